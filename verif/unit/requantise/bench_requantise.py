"""cocotb tests of ``requantise`` against ``fixedpoint.requantise``."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import cocotb
import numpy as np

from toolflow.fixedpoint import BIAS_BITS, Format, Slope, requantise
from verif.common.packing import pack
from verif.common.streams import StreamDriver, never
from verif.common.word_bench import IntArray, WordBench

SHIFTS = 32
WORDLENGTHS = (2, 3, 4, 8, 16)
BEATS = 250


@dataclass(frozen=True)
class Beat:
    """One transfer into the design; ``slope`` None is leaky off, ``wide`` its guard's width."""

    acc: IntArray
    bias: IntArray
    shift: IntArray
    low: int
    high: int
    slope: Slope | None
    zero: int = 0
    wide: bool = False


class Bench(WordBench[Beat]):
    """The design between a driver and a monitor."""

    def __init__(self, dut: Any) -> None:
        self.acc_bits = int(dut.AccBits.value)
        self.act_bits = int(dut.ActBits.value)
        self.leaky_support = bool(int(dut.LeakySupport.value))
        self.latency = 7 if self.leaky_support else 4
        super().__init__(dut, int(dut.Lanes.value), int(dut.OutBits.value))

    def make_sources(self) -> tuple[StreamDriver, ...]:
        """Return the driver of the input."""
        dut = self.dut
        payload = {
            "acc": dut.in_acc_i,
            "bias": dut.bias_i,
            "shift": dut.shift_i,
            "low": dut.low_i,
            "high": dut.high_i,
            "zero": dut.zero_i,
            "wide": dut.wide_i,
            "leaky": dut.leaky_i,
            "mantissa": dut.slope_mantissa_i,
            "slope_shift": dut.slope_shift_i,
        }
        self.source = StreamDriver(dut.in_valid_i, dut.in_ready_o, payload, self.rng)
        return (self.source,)

    def reference(self, item: Beat) -> IntArray:
        """Return what the design must make of a beat."""
        bits = self.out_bits if item.wide else self.act_bits
        q = requantise(item.acc, item.bias, item.shift, item.low, item.high, item.slope, bits)
        return q + item.zero

    def drive(self, item: Beat) -> None:
        """Queue a beat, with junk for a slope that it does not use."""
        slope = item.slope or Slope(self.rng.randrange(256), self.rng.randrange(SHIFTS))
        bounds_mask = (1 << (self.out_bits + 1)) - 1
        payload = {
            "acc": pack(item.acc, self.acc_bits)[0],
            "bias": pack(item.bias, BIAS_BITS)[0],
            "shift": pack(item.shift, 5)[0],
            "low": item.low & bounds_mask,
            "high": item.high & bounds_mask,
            "zero": item.zero,
            "wide": int(item.wide),
            "leaky": int(item.slope is not None),
            "mantissa": slope.mantissa,
            "slope_shift": slope.shift,
        }
        self.source.send([payload])

    def random_format(self) -> Format:
        """Draw a wordlength, sign and zero point."""
        bits = self.rng.choice([bits for bits in WORDLENGTHS if bits <= self.out_bits])
        fmt = Format(bits, 0, signed=self.rng.random() < 0.3)
        if fmt.signed or self.rng.random() < 0.3:
            return fmt
        top = (1 << min(bits, self.act_bits)) - 1
        return replace(fmt, zero=self.rng.choice([1, top, self.rng.randint(1, top)]))

    def random_bounds(self, fmt: Format) -> tuple[int, int]:
        """Draw the bounds of an activation function."""
        kind = self.rng.choice(["plain", "relu", "clip", "any"])
        if kind == "plain":
            return fmt.low, fmt.high
        if kind == "relu":
            return 0, fmt.high
        if kind == "clip":
            return 0, self.rng.randint(0, fmt.high)
        low, high = sorted(self.rng.randint(fmt.low, fmt.high) for _ in range(2))
        return low, high

    def random_item(self) -> Beat:
        """Draw a beat whose results are spread over and around its bounds."""
        fmt, wide = self.random_format(), self.rng.random() < 0.3
        low, high = self.random_bounds(fmt)
        slope = None
        if self.leaky_support and self.rng.random() < 0.6:
            slope = Slope(self.rng.randrange(256), self.rng.choice([*range(12), 20, 30, 31]))
        bias_format = Format(BIAS_BITS, 0)
        acc_low, acc_high = -(1 << (self.acc_bits - 1)), (1 << (self.acc_bits - 1)) - 1
        guard = Format((self.out_bits if wide else self.act_bits) + 6, 0)
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
        return Beat(acc_row, bias_row, shift_row, low, high, slope, fmt.zero, wide)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_stall_pattern(dut: Any) -> None:
    """Random and corner beats under every pair of stall patterns."""
    await Bench(dut).every_stall_pattern(BEATS)


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
        unsigned = Format(bench.out_bits, 0, signed=False)
        top_zero = replace(unsigned, zero=(1 << bench.act_bits) - 1)
        for fmt in (Format(bench.out_bits, 0), unsigned, top_zero):
            shifts = np.full(bench.lanes, shift)
            beats += [
                Beat(r[:, 0], r[:, 1], shifts, fmt.low, fmt.high, None, fmt.zero) for r in rows
            ]
    bench.send(beats)
    await bench.drain(len(beats))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """Without stalls: one beat a cycle, the stated latency; a blocked output keeps what came."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.send(bench.random_items(BEATS))
    await bench.drain(BEATS)
    first = bench.source.accepted_cycles[0]
    assert bench.source.accepted_cycles == list(range(first, first + BEATS))
    start = first + bench.latency
    assert bench.sink.beat_cycles == list(range(start, start + BEATS))
    bench.sink.stall = lambda: True
    bench.send(bench.random_items(20))
    await bench.testbench.run(30)
    assert len(bench.source.accepted_cycles) == BEATS + bench.latency + 1
    bench.sink.stall = never
    await bench.drain(20)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset drops the beats in the pipeline, and the block works on."""
    bench = Bench(dut)
    await bench.reset_in_flight(rounds=20, items=12, flush=2 * bench.latency)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in one expected word must fail the comparison."""
    await Bench(dut).planted_error_is_found()
