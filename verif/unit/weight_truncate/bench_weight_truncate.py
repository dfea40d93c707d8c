"""cocotb tests of ``weight_truncate`` against ``fixedpoint.window``."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import cocotb
import numpy as np
import pytest
from numpy.typing import NDArray

from toolflow.fixedpoint import Format, window
from verif.common.packing import pack, unpack
from verif.common.scoreboard import Scoreboard
from verif.common.streams import (
    StreamDriver,
    StreamMonitor,
    Testbench,
    never,
    stall_patterns,
)

IntArray = NDArray[np.int64]
SHIFTS = 32
BEATS = 200


class Bench:
    """The design between a driver and a monitor; the reference feeds the scoreboard."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.lanes = int(dut.Lanes.value)
        self.in_bits = int(dut.InBits.value)
        self.out_bits = int(dut.OutBits.value)
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.random = np.random.default_rng(cocotb.RANDOM_SEED)
        self.board: Scoreboard[list[int]] = Scoreboard("words")
        self.source = StreamDriver(
            dut.in_valid_i,
            dut.in_ready_o,
            {"words": dut.in_words_i, "shift": dut.shift_i, "unsigned": dut.unsigned_i},
            self.rng,
        )
        self.sink = StreamMonitor(
            dut.out_valid_o,
            dut.out_ready_i,
            {"words": dut.out_words_o},
            lambda beat: self.board.observe(self.unpacked(beat["words"])),
        )
        self.testbench = Testbench(dut, [self.source, self.sink])

    def unpacked(self, packed: int) -> list[int]:
        """Return a beat's output words as bit patterns."""
        return [int(w) for w in unpack([packed], self.out_bits, self.lanes, signed=False)[0]]

    def expected(self, words: IntArray, shift: int, unsigned: bool) -> list[int]:
        """Return what the design must make of one beat, as bit patterns."""
        fmt = Format(self.out_bits, 0, signed=not unsigned)
        cut = window(words, shift, fmt.low, fmt.high)
        return [int(w) for w in cut & ((1 << self.out_bits) - 1)]

    def send(self, beats: Sequence[tuple[IntArray, int, bool]]) -> None:
        """Queue beats (words, shift, unsigned) and expect their results."""
        for words, shift, unsigned in beats:
            packed = pack(words, self.in_bits)[0]
            self.source.send([{"words": packed, "shift": shift, "unsigned": int(unsigned)}])
            self.board.expect([self.expected(words, shift, unsigned)])

    def random_beats(self, count: int) -> list[tuple[IntArray, int, bool]]:
        """Draw beats: half of the words are corners of the input, output or rounding."""
        beats = []
        for _ in range(count):
            unsigned, shift = self.rng.random() < 0.5, self.rng.randrange(SHIFTS)
            source = Format(self.in_bits, 0, signed=not unsigned)
            target = Format(self.out_bits, 0, signed=not unsigned)
            edges = [value << shift for value in (target.low, target.high, 0, 1)]
            half = 1 << shift >> 1
            corners = [
                edge + near for edge in edges for near in (-half - 1, -half, 0, half - 1, half)
            ]
            corners += [source.low, source.high]
            anything = self.random.integers(source.low, source.high + 1, self.lanes)
            cornered = np.clip(self.rng.choices(corners, k=self.lanes), source.low, source.high)
            beats.append(
                (
                    np.where(self.random.random(self.lanes) < 0.5, anything, cornered),
                    shift,
                    unsigned,
                )
            )
        return beats

    async def drain(self, beats: int) -> None:
        """Run until everything expected has been observed."""
        await self.testbench.run_until(lambda: self.board.done, 40 * beats + 40)
        self.board.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_stall_pattern(dut: Any) -> None:
    """Random and corner words, random shifts and signs, under every pair of stall patterns."""
    bench = Bench(dut)
    await bench.testbench.start()
    patterns = [stall_patterns(bench.rng).values() for _ in range(2)]
    for bench.source.stall, bench.sink.stall in itertools.product(*patterns):
        bench.send(bench.random_beats(BEATS))
        await bench.drain(BEATS)
    assert bench.board.compared == 16 * BEATS


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_word_and_shift(dut: Any) -> None:
    """Words of 8 bits: all of them, at all shifts, signed and unsigned. Wider: corners instead."""
    bench = Bench(dut)
    await bench.testbench.start()
    bits = min(bench.in_bits, 8)
    beats = []
    for unsigned, shift in itertools.product((False, True), range(SHIFTS)):
        low = 0 if unsigned else -(1 << (bits - 1))
        words = np.arange(low, low + (1 << bits)) << (bench.in_bits - bits)
        padded = np.resize(words, (-(-words.size // bench.lanes), bench.lanes))
        beats += [(row, shift, unsigned) for row in padded]
    bench.send(beats)
    await bench.drain(len(beats))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """Without stalls: one beat a cycle, one cycle of latency; a blocked output stalls at once."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.send(bench.random_beats(BEATS))
    await bench.drain(BEATS)
    first = bench.source.accepted_cycles[0]
    assert bench.source.accepted_cycles == list(range(first, first + BEATS))
    assert bench.sink.beat_cycles == list(range(first + 1, first + 1 + BEATS))
    bench.sink.stall = lambda: True
    bench.send(bench.random_beats(3))
    await bench.testbench.run(8)
    assert len(bench.source.accepted_cycles) == BEATS + 1
    bench.sink.stall = never
    await bench.drain(3)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset drops the stored beat, and the block works on."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(10):
        bench.sink.stall = lambda: True
        bench.send(bench.random_beats(3))
        await bench.testbench.run(bench.rng.randint(1, 5))
        await bench.testbench.reset(1)
        bench.board.drop()
        bench.sink.stall = never
        await bench.testbench.run(3)  # whatever came out now would be unexpected
        bench.send(bench.random_beats(5))
        await bench.drain(5)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in one expected word must fail the comparison."""
    bench = Bench(dut)
    await bench.testbench.start()
    beats = bench.random_beats(20)
    bench.send(beats[:10])
    words, shift, unsigned = beats[10]
    wrong = bench.expected(words, shift, unsigned)
    wrong[bench.rng.randrange(bench.lanes)] ^= 1 << bench.rng.randrange(bench.out_bits)
    packed = pack(words, bench.in_bits)[0]
    bench.source.send([{"words": packed, "shift": shift, "unsigned": int(unsigned)}])
    bench.board.expect([wrong])
    bench.send(beats[11:])
    with pytest.raises(AssertionError, match="words: item 10 is"):
        await bench.drain(len(beats))
