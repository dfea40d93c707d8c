"""cocotb tests of ``row_pool``: maps of all sizes, pooled or passed, against numpy's maxima."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np
import pytest
from numpy.typing import NDArray

from toolflow.fixedpoint import MAX_BITS
from verif.common.packing import pack
from verif.common.scoreboard import Scoreboard
from verif.common.streams import StreamDriver, StreamMonitor, Testbench, never, stall_patterns

IntArray = NDArray[np.int64]
MAPS = 12


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps of one layer: words (N, H, W, lanes), pooled by ``size``; 0 or 1: not."""

    words: IntArray
    size: int
    signed: bool

    @property
    def results(self) -> IntArray:
        """The rows that must come out, (rows, lanes)."""
        words, size = self.words, self.size
        if size > 1:
            count, height, width, lanes = words.shape
            high, wide = height // size, width // size
            windows = words[:, : high * size, : wide * size].reshape(
                count, high, size, wide, size, lanes
            )
            words = windows.max(axis=(2, 4))
        return words.reshape(-1, words.shape[-1])


class Bench:
    """The design between a driver and a scoreboard of rows."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.lanes, self.bits, self.width = (
            int(getattr(dut, name).value) for name in ("Lanes", "Bits", "Width")
        )
        self.board: Scoreboard[int] = Scoreboard("rows")
        self.source = StreamDriver(
            dut.in_valid_i, dut.in_ready_o, {"words": dut.in_words_i}, self.rng
        )
        self.sink = StreamMonitor(
            dut.out_valid_o,
            dut.out_ready_i,
            {"words": dut.out_words_o},
            lambda beat: self.board.observe(beat["words"]),
        )
        self.testbench = Testbench(dut, [self.source, self.sink])

    def maps(self, size: int | None = None) -> Maps:
        """Draw a layer's maps; lines and pixels that fill no window included."""
        rng = self.rng
        size = rng.choice([0, 1, 2, 2, 3, 4, 15]) if size is None else size
        window = max(size, 1)
        line = window * rng.randint(1, self.width) + rng.randrange(window)
        height = rng.randint(1, 3 * window if window < 15 else 16)
        line = min(line, 40) if size != 15 else line
        signed = rng.random() < 0.5
        low = -(1 << (self.bits - 1)) if signed else 0
        draw = np.random.default_rng(rng.getrandbits(32))
        shape = (rng.randint(1, 3), height, line, self.lanes)
        words = draw.integers(low, low + (1 << self.bits), shape)
        return Maps(words, size, signed)

    async def run(self, maps: Maps, flip: int = 0) -> None:
        """Send maps and compare every row; ``flip``: bits of the first expected row."""
        _, height, line, lanes = maps.words.shape
        self.dut.size_i.value = maps.size
        self.dut.line_i.value = line
        self.dut.rows_i.value = height * line
        self.dut.signed_i.value = int(maps.signed)
        rows = maps.words.reshape(-1, lanes)
        self.source.send([{"words": pack(row, MAX_BITS)[0]} for row in rows])
        expected = [pack(row, MAX_BITS)[0] for row in maps.results]
        if expected:
            expected[0] ^= flip
        self.board.expect(expected)
        await self.testbench.run_until(
            lambda: self.source.idle and self.board.done, 60 * len(rows) + 100
        )
        await self.testbench.run(2)


async def started(dut: Any) -> Bench:
    """Return a bench whose settings are legal and that was reset."""
    for name, value in (("size_i", 0), ("line_i", 1), ("rows_i", 1), ("signed_i", 0)):
        getattr(dut, name).value = value
    bench = Bench(dut)
    await bench.testbench.start()
    return bench


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def every_stall_pattern(dut: Any) -> None:
    """Layers one after the other under every pair of stall patterns."""
    bench = await started(dut)
    patterns = (stall_patterns(bench.rng).values() for _ in range(2))
    for bench.source.stall, bench.sink.stall in itertools.product(*patterns):
        for _ in range(MAPS):
            await bench.run(bench.maps())
    bench.board.finish()
    assert bench.board.compared > 16 * MAPS


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """Without stalls a row a cycle; a window's row leaves with its last pixel."""
    bench = await started(dut)
    for size in (0, 2, 3):
        bench.source.accepted_cycles.clear()
        bench.sink.beat_cycles.clear()
        maps = bench.maps(size)
        await bench.run(maps)
        cycles = bench.source.accepted_cycles
        assert cycles == list(range(cycles[0], cycles[0] + len(cycles)))
        assert set(bench.sink.beat_cycles) <= set(cycles)
        assert len(bench.sink.beat_cycles) == len(maps.results)
    bench.board.finish()


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset forgets a map that is under way."""
    bench = await started(dut)
    for _ in range(20):
        maps = bench.maps(2)
        _, height, line, lanes = maps.words.shape
        dut.size_i.value, dut.line_i.value = 2, line
        dut.rows_i.value, dut.signed_i.value = height * line, int(maps.signed)
        rows = maps.words.reshape(-1, lanes)
        bench.sink.stall = lambda: True
        bench.source.send([{"words": pack(row, MAX_BITS)[0]} for row in rows])
        await bench.testbench.run(bench.rng.randint(1, 9))
        await bench.testbench.reset(1)
        bench.sink.stall = never
        await bench.run(bench.maps())
    bench.board.finish()


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit of one expected row must fail the comparison."""
    bench = await started(dut)
    maps = bench.maps(1)
    with pytest.raises(AssertionError, match="rows: item 0 is"):
        await bench.run(maps, flip=1 << bench.rng.randrange(bench.lanes * MAX_BITS))
