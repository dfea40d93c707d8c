"""cocotb tests of ``requantise`` against ``fixedpoint.requantise``."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np
import pytest
from numpy.typing import NDArray

from toolflow.fixedpoint import BIAS_BITS, Format, Slope, requantise
from verif.common.packing import pack, unpack
from verif.common.scoreboard import Scoreboard
from verif.common.streams import StreamDriver, StreamMonitor, Testbench, never, stall_patterns

IntArray = NDArray[np.int64]
SHIFTS = 32
WORDLENGTHS = (2, 3, 4, 8, 16)
BEATS = 250


@dataclass(frozen=True)
class Beat:
    """One transfer into the design; ``slope`` None is leaky off."""

    acc: IntArray
    bias: IntArray
    shift: IntArray
    low: int
    high: int
    slope: Slope | None


class Bench:
    """The design between a driver and a monitor; the reference feeds the scoreboard."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.lanes = int(dut.Lanes.value)
        self.acc_bits = int(dut.AccBits.value)
        self.act_bits = int(dut.ActBits.value)
        self.out_bits = int(dut.OutBits.value)
        self.leaky_support = bool(int(dut.LeakySupport.value))
        self.latency = 7 if self.leaky_support else 4
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.random = np.random.default_rng(cocotb.RANDOM_SEED)
        self.board: Scoreboard[list[int]] = Scoreboard("words")
        self.source = StreamDriver(
            dut.in_valid_i,
            dut.in_ready_o,
            {
                "acc": dut.in_acc_i,
                "bias": dut.bias_i,
                "shift": dut.shift_i,
                "low": dut.low_i,
                "high": dut.high_i,
                "leaky": dut.leaky_i,
                "mantissa": dut.slope_mantissa_i,
                "slope_shift": dut.slope_shift_i,
            },
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

    def expected(self, beat: Beat) -> list[int]:
        """Return what the design must make of a beat, as bit patterns."""
        words = requantise(
            beat.acc, beat.bias, beat.shift, beat.low, beat.high, beat.slope, self.act_bits
        )
        return [int(w) for w in words & ((1 << self.out_bits) - 1)]

    def drive(self, beat: Beat) -> None:
        """Queue a beat, with junk for a slope that it does not use."""
        slope = beat.slope or Slope(self.rng.randrange(256), self.rng.randrange(SHIFTS))
        bounds_mask = (1 << (self.out_bits + 1)) - 1
        payload = {
            "acc": pack(beat.acc, self.acc_bits)[0],
            "bias": pack(beat.bias, BIAS_BITS)[0],
            "shift": pack(beat.shift, 5)[0],
            "low": beat.low & bounds_mask,
            "high": beat.high & bounds_mask,
            "leaky": int(beat.slope is not None),
            "mantissa": slope.mantissa,
            "slope_shift": slope.shift,
        }
        self.source.send([payload])

    def send(self, beats: Sequence[Beat]) -> None:
        """Queue beats and expect their results."""
        for beat in beats:
            self.drive(beat)
            self.board.expect([self.expected(beat)])

    def random_bounds(self) -> tuple[int, int]:
        """Draw the bounds of a wordlength, sign and activation function."""
        bits = self.rng.choice([bits for bits in WORDLENGTHS if bits <= self.out_bits])
        fmt = Format(bits, 0, signed=self.rng.random() < 0.5)
        kind = self.rng.choice(["plain", "relu", "clip", "any"])
        if kind == "plain":
            return fmt.low, fmt.high
        if kind == "relu":
            return 0, fmt.high
        if kind == "clip":
            return 0, self.rng.randint(0, fmt.high)
        low, high = sorted(self.rng.randint(fmt.low, fmt.high) for _ in range(2))
        return low, high

    def random_beat(self) -> Beat:
        """Draw a beat whose results are spread over and around its bounds."""
        low, high = self.random_bounds()
        slope = None
        if self.leaky_support and self.rng.random() < 0.6:
            slope = Slope(self.rng.randrange(256), self.rng.choice([*range(12), 20, 30, 31]))
        bias_format = Format(BIAS_BITS, 0)
        acc_low, acc_high = -(1 << (self.acc_bits - 1)), (1 << (self.acc_bits - 1)) - 1
        guard = Format(self.act_bits + 6, 0)
        targets = [low, high, 0, -1, 1, guard.low, guard.high, (low + high) // 2, low * 16]
        rows = []
        for _ in range(self.lanes):
            shift = self.rng.choice([0, 1, 31, *range(SHIFTS)])
            kind = self.rng.choice(["aimed", "aimed", "any", "corner"])
            bias_scale = self.rng.randrange(BIAS_BITS)
            bias = self.rng.randint(bias_format.low, bias_format.high) >> bias_scale
            if kind == "aimed":
                near = self.rng.choice([-1, 0, 1]) + self.rng.choice([-1, 0, 1]) * (1 << shift >> 1)
                acc = (self.rng.choice(targets) << shift) - bias + near
            elif kind == "any":
                acc = self.rng.randint(acc_low, acc_high) >> self.rng.randrange(self.acc_bits)
            else:
                acc = self.rng.choice([acc_low, acc_high, 0, -1])
                bias = self.rng.choice([bias_format.low, bias_format.high, 0, -1])
            rows.append((min(max(acc, acc_low), acc_high), bias, shift))
        acc_row, bias_row, shift_row = np.array(rows, np.int64).T
        return Beat(acc_row, bias_row, shift_row, low, high, slope)

    def random_beats(self, count: int) -> list[Beat]:
        """Draw beats; neighbours differ in all parameters."""
        return [self.random_beat() for _ in range(count)]

    async def drain(self, beats: int) -> None:
        """Run until everything expected has been observed."""
        await self.testbench.run_until(lambda: self.board.done, 40 * beats + 40)
        self.board.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_stall_pattern(dut: Any) -> None:
    """Random and corner beats under every pair of stall patterns."""
    bench = Bench(dut)
    await bench.testbench.start()
    patterns = [stall_patterns(bench.rng).values() for _ in range(2)]
    for bench.source.stall, bench.sink.stall in itertools.product(*patterns):
        bench.send(bench.random_beats(BEATS))
        await bench.drain(BEATS)
    assert bench.board.compared == 16 * BEATS


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_shift(dut: Any) -> None:
    """All shifts with the extreme accumulators and biases, and those next to a rounding tie."""
    bench = Bench(dut)
    await bench.testbench.start()
    top = 1 << (bench.acc_bits - 1)
    beats = []
    for shift in range(SHIFTS):
        half = 1 << shift >> 1
        near = [half - 1, half, -half, -half - 1, 3 * half, -3 * half, 3 * half - 1, 0]
        pairs = [(min(max(acc, -top), top - 1), 0) for acc in near]
        pairs += itertools.product((-top, top - 1), (-(1 << 31), (1 << 31) - 1))
        rows = np.resize(np.array(pairs, np.int64), (-(-len(pairs) // bench.lanes), bench.lanes, 2))
        for fmt in (Format(bench.out_bits, 0), Format(bench.out_bits, 0, signed=False)):
            beats += [
                Beat(r[:, 0], r[:, 1], np.full(bench.lanes, shift), fmt.low, fmt.high, None)
                for r in rows
            ]
    bench.send(beats)
    await bench.drain(len(beats))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """Without stalls: one beat a cycle, the stated latency; a blocked output keeps what came."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.send(bench.random_beats(BEATS))
    await bench.drain(BEATS)
    first = bench.source.accepted_cycles[0]
    assert bench.source.accepted_cycles == list(range(first, first + BEATS))
    start = first + bench.latency
    assert bench.sink.beat_cycles == list(range(start, start + BEATS))
    bench.sink.stall = lambda: True
    bench.send(bench.random_beats(20))
    await bench.testbench.run(30)
    assert len(bench.source.accepted_cycles) == BEATS + bench.latency + 1
    bench.sink.stall = never
    await bench.drain(20)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset drops the beats in the pipeline, and the block works on."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(20):
        bench.sink.stall = never if bench.rng.random() < 0.5 else lambda: True
        bench.send(bench.random_beats(12))
        await bench.testbench.run(bench.rng.randint(1, 12))
        await bench.testbench.reset(1)
        bench.board.drop()
        bench.sink.stall = never
        await bench.testbench.run(2 * bench.latency)  # what came out now would be unexpected
        bench.send(bench.random_beats(5))
        await bench.drain(5)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in one expected word must fail the comparison."""
    bench = Bench(dut)
    await bench.testbench.start()
    beats = bench.random_beats(20)
    bench.send(beats[:10])
    wrong = bench.expected(beats[10])
    wrong[bench.rng.randrange(bench.lanes)] ^= 1 << bench.rng.randrange(bench.out_bits)
    bench.drive(beats[10])
    bench.board.expect([wrong])
    bench.send(beats[11:])
    with pytest.raises(AssertionError, match="words: item 10 is"):
        await bench.drain(len(beats))
