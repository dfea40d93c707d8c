"""cocotb test of ``weight_planes`` on the bytes that lie in memory."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from toolflow.emission.memory_images import BLOCK_WORDS, pack_plane
from toolflow.fixedpoint import planar_high, split_planes
from verif.unit.weight_planes.plane_bench import PlaneBench


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_word_at_every_window(dut: Any) -> None:
    """All words of ``MaxBits`` bits that split, by every window: packed, read and joined again."""
    bench = PlaneBench(dut, joins=True)
    assert bench.block == BLOCK_WORDS
    await bench.testbench.start()
    for low_bits in range(bench.max_bits):
        bench.set_widths(bench.max_bits - low_bits, low_bits)
        words = np.arange(-(1 << (bench.max_bits - 1)), planar_high(bench.max_bits, low_bits) + 1)
        high, low = split_planes(words, low_bits)
        for driver, digits, bits in (
            (bench.high, high, bench.high_bits),
            (bench.low, low, low_bits),
        ):
            data, size = pack_plane(digits, bits), bench.beat_bits // 8
            driver.send(
                {"data": int.from_bytes(data[k : k + size], "little")}
                for k in range(0, len(data), size)
            )
        blocks = np.zeros((-(-len(words) // BLOCK_WORDS), BLOCK_WORDS), np.int64)
        blocks.reshape(-1)[: len(words)] = words
        bench.board.expect((blocks & ((1 << bench.max_bits) - 1)).tolist())
        await bench.drain(len(blocks))
