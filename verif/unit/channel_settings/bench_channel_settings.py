"""cocotb tests of ``channel_settings`` on records as ``pack_records`` lays them in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np

from toolflow.emission.memory_images import RECORD_BYTES, ChannelRecords, pack_records
from toolflow.fixedpoint import BIAS_BITS, CORRECTION_BITS, Format, window
from verif.common.packing import unpack
from verif.common.streams import StreamDriver, never
from verif.common.word_bench import IntArray, WordBench

SHIFTS = 32
SHIFT_BITS = 5
BEATS = 200
LATENCY = 3
FULL = Format(BIAS_BITS, 0)
SMALL = Format(CORRECTION_BITS, 0)


@dataclass(frozen=True)
class Beat:
    """One transfer into the design."""

    records: ChannelRecords
    bias_window: int
    shift: int


class Bench(WordBench[Beat]):
    """The design between a driver and a monitor; a word is a channel's shift above its bias."""

    def __init__(self, dut: Any) -> None:
        self.corrected = bool(int(dut.Corrected.value))
        super().__init__(dut, int(dut.Lanes.value), BIAS_BITS + SHIFT_BITS)

    def make_sources(self) -> tuple[StreamDriver, ...]:
        """Return the driver of the input."""
        dut = self.dut
        payload = {"records": dut.in_records_i, "window": dut.bias_window_i, "shift": dut.shift_i}
        self.source = StreamDriver(dut.in_valid_i, dut.in_ready_o, payload, self.rng)
        return (self.source,)

    def outputs(self) -> dict[str, Any]:
        """Return the signals of the output."""
        return {"bias": self.dut.out_bias_o, "shift": self.dut.out_shift_o}

    def observed(self, beat: dict[str, int]) -> list[int]:
        """Return the words of an output beat."""
        bias = unpack([beat["bias"]], BIAS_BITS, self.lanes, signed=False)[0]
        shift = unpack([beat["shift"]], SHIFT_BITS, self.lanes, signed=False)[0]
        return [int(word) for word in shift << BIAS_BITS | bias]

    def random_item(self) -> Beat:
        """Draw a beat: half of its fields are corners, biases stay within their wordlength."""
        bias_window, shift = self.rng.randrange(SHIFTS), self.rng.randrange(SHIFTS)
        half = 1 << bias_window >> 1
        ties = [sign * half + near for sign in (-3, -1, 1, 3) for near in (-1, 0)]
        bias = self._fields(FULL, [FULL.low, FULL.high, 0, -1, *ties])
        correction = self._fields(SMALL, [SMALL.low, SMALL.high, 0, -1])
        if self.corrected:
            cut = window(bias, bias_window, FULL.low, FULL.high)
            correction = np.clip(cut + correction, FULL.low, FULL.high) - cut
        steps = self.random.integers(0, SHIFTS - shift, self.lanes)
        if self.rng.random() < 0.3:
            steps[self.rng.randrange(self.lanes)] = SHIFTS - 1 - shift
        return Beat(ChannelRecords(bias, correction, steps), bias_window, shift)

    def drive(self, item: Beat) -> None:
        """Queue a beat."""
        data = pack_records(item.records)
        assert len(data) == self.lanes * RECORD_BYTES
        records = int.from_bytes(data, "little")
        self.source.send([{"records": records, "window": item.bias_window, "shift": item.shift}])

    def reference(self, item: Beat) -> IntArray:
        """Return what the design must make of a beat."""
        records = item.records
        bias = window(records.bias, item.bias_window, FULL.low, FULL.high)
        if self.corrected:
            bias = bias + records.correction
        return (item.shift + records.step) << BIAS_BITS | bias & ((1 << BIAS_BITS) - 1)

    def _fields(self, fmt: Format, corners: list[int]) -> IntArray:
        scale = self.rng.randrange(fmt.bits)
        anything = self.random.integers(fmt.low, fmt.high + 1, self.lanes) >> scale
        cornered = np.clip(self.rng.choices(corners, k=self.lanes), fmt.low, fmt.high)
        return np.where(self.random.random(self.lanes) < 0.5, anything, cornered)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_stall_pattern(dut: Any) -> None:
    """Random and corner records under every pair of stall patterns."""
    await Bench(dut).every_stall_pattern(BEATS)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_window_and_shift(dut: Any) -> None:
    """All windows with biases at the rounding's ties, all sums of shift and step."""
    bench = Bench(dut)
    await bench.testbench.start()
    beats = []
    for bias_window in range(SHIFTS):
        half = 1 << bias_window >> 1
        biases = [FULL.low, FULL.high, half, half - 1, -half, -half - 1, 3 * half, -3 * half]
        for bias in np.clip(biases, FULL.low, FULL.high):
            value = np.full(bench.lanes, bias)
            none = np.zeros_like(value)
            beats.append(Beat(ChannelRecords(value, none, none), bias_window, 0))
    for shift in range(SHIFTS):
        for step in range(SHIFTS - shift):
            value = np.full(bench.lanes, step)
            none = np.zeros_like(value)
            beats.append(Beat(ChannelRecords(none, none, value), 0, shift))
    bench.send(beats)
    await bench.drain(len(beats))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """Without stalls: one beat a cycle, the stated latency; a blocked output keeps three beats."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.send(bench.random_items(BEATS))
    await bench.drain(BEATS)
    first = bench.source.accepted_cycles[0]
    assert bench.source.accepted_cycles == list(range(first, first + BEATS))
    start = first + LATENCY
    assert bench.sink.beat_cycles == list(range(start, start + BEATS))
    bench.sink.stall = lambda: True
    bench.send(bench.random_items(5))
    await bench.testbench.run(10)
    assert len(bench.source.accepted_cycles) == BEATS + LATENCY
    bench.sink.stall = never
    await bench.drain(5)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset drops the stored beats, and the block works on."""
    await Bench(dut).reset_in_flight(rounds=10, items=5, flush=4)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in one expected word must fail the comparison."""
    await Bench(dut).planted_error_is_found()
