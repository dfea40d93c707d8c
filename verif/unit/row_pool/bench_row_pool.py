"""cocotb tests of ``row_pool``: maps of all sizes, pooled or passed, against numpy's maxima."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from toolflow.emission.steps import ended_windows
from toolflow.fixedpoint import MAX_BITS
from verif.common.packing import pack
from verif.common.scoreboard import Scoreboard
from verif.common.streams import StreamDriver, StreamMonitor, Testbench, never, stall_patterns

IntArray = NDArray[np.int64]
MAPS = 12


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps of one layer: words (N, H, W, lanes), pooled by ``size``; 0 or 1: not.

    Windows share ``overlap`` lines with the next ones; ``pad`` lines are before the map; ``wanted``
    windows a column, and a line.
    """

    words: IntArray
    size: int
    signed: bool
    overlap: int = 0
    pad: int = 0
    wanted: tuple[int, int] = (1, 1)

    @property
    def results(self) -> IntArray:
        """The rows that must come out, (rows, lanes)."""
        words, size = self.words, self.size
        if size <= 1:
            return words.reshape(-1, words.shape[-1])
        stride = size - self.overlap
        ends = [count * stride + size for count in self.wanted]
        lowest = np.iinfo(np.int64).min
        padded = np.full((len(words), *ends, words.shape[-1]), lowest)
        _, height, width, _ = (
            min(have, room - self.pad) if place in (1, 2) else have
            for place, (have, room) in enumerate(zip(words.shape, padded.shape, strict=True))
        )
        into = padded[:, self.pad : self.pad + height, self.pad : self.pad + width]
        into[:] = words[:, :height, :width]
        windows = sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]
        pooled: IntArray = windows[:, : self.wanted[0], : self.wanted[1]].max(axis=(-1, -2))
        return pooled.reshape(-1, words.shape[-1])


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
        """Draw a layer's maps; some pixels are in no window, some windows reach over the end."""
        rng = self.rng
        size = rng.choice([0, 1, 2, 2, 3, 4, 15]) if size is None else size
        overlap = int(size > 2 and rng.random() < 0.6)
        stride = max(size - overlap, 1)
        pad = int(stride > 1 and rng.random() < 0.3)
        line = stride * rng.randint(1, self.width) + rng.randrange(stride)
        height = rng.randint(stride, 3 * stride if stride < 14 else 17)
        line = min(line, 40) if size != 15 else line
        wanted = [ended_windows(each + pad, stride, overlap) for each in (height, line)]
        wanted[1] = min(wanted[1], self.width)
        if 0 in wanted:
            return self.maps(size)
        if rng.random() < 0.3:
            wanted = [rng.randint(1, most) for most in wanted]
        signed = rng.random() < 0.5
        low = -(1 << (self.bits - 1)) if signed else 0
        draw = np.random.default_rng(rng.getrandbits(32))
        shape = (rng.randint(1, 3), height, line, self.lanes)
        words = draw.integers(low, low + (1 << self.bits), shape)
        return Maps(words, size, signed, overlap, pad, (wanted[0], wanted[1]))

    def settings(self, maps: Maps) -> None:
        """Drive a layer's settings."""
        _, height, line, _ = maps.words.shape
        for name, value in (
            ("size", maps.size), ("overlaps", maps.overlap), ("pad", maps.pad), ("line", line),
            ("rows", height * line), ("height", maps.wanted[0]), ("width", maps.wanted[1]),
            ("signed", int(maps.signed)),
        ):  # fmt: skip
            getattr(self.dut, f"{name}_i").value = value

    async def run(self, maps: Maps, flip: int = 0) -> None:
        """Send maps and compare every row; ``flip``: bits of the first expected row."""
        self.settings(maps)
        await self.testbench.step()
        rows = maps.words.reshape(-1, self.lanes)
        self.source.send([{"words": pack(row, MAX_BITS)[0]} for row in rows])
        expected = [pack(row, MAX_BITS)[0] for row in maps.results]
        if expected:
            expected[0] ^= flip
        self.board.expect(expected)
        await self.testbench.run_until(
            lambda: self.source.idle and self.board.done, 60 * len(rows) + 100
        )
        await self.testbench.run(1)
        assert self.dut.idle_o.value
        await self.testbench.run(2)


async def started(dut: Any) -> Bench:
    """Return a bench whose settings are legal and that was reset."""
    for name in ("size", "overlaps", "pad", "signed"):
        getattr(dut, f"{name}_i").value = 0
    for name in ("line", "rows", "width", "height"):
        getattr(dut, f"{name}_i").value = 1
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
        bench.settings(maps)
        await bench.testbench.step()
        rows = maps.words.reshape(-1, bench.lanes)
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
