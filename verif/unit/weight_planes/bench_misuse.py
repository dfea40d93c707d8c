"""cocotb tests that break a rule on the inputs; the design's assertions must end the run."""

from __future__ import annotations

import json
import os
from typing import Any

import cocotb

from verif.unit.weight_planes.bench_weight_planes import bench_of


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def illegal_widths(dut: Any) -> None:
    """Beats with the widths of the environment."""
    bench = bench_of(dut)
    await bench.testbench.start()
    dut.high_bits_i.value, dut.low_bits_i.value = json.loads(os.environ["WIDTHS"])
    for source in bench.sources:
        source.send([{"data": 0}] * 8)
    await bench.testbench.run(20)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def widths_change_within_a_block(dut: Any) -> None:
    """A width that changes between a block's first and last beat."""
    bench = bench_of(dut)
    await bench.testbench.start()
    bench.set_widths(4, 3)
    bench.send(bench.random_items(1))
    await bench.testbench.run(2)
    dut.high_bits_i.value = 3
    await bench.testbench.run(50)
