"""cocotb tests of ``weight_truncate`` against ``fixedpoint.window``."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np

from toolflow.fixedpoint import Format, window
from verif.common.packing import pack
from verif.common.streams import StreamDriver, never
from verif.common.word_bench import IntArray, WordBench

SHIFTS = 32
BEATS = 200


@dataclass(frozen=True)
class Beat:
    """One transfer into the design."""

    words: IntArray
    shift: int
    unsigned: bool


class Bench(WordBench[Beat]):
    """The design between a driver and a monitor."""

    def __init__(self, dut: Any) -> None:
        self.in_bits = int(dut.InBits.value)
        super().__init__(dut, int(dut.Lanes.value), int(dut.OutBits.value))

    def make_sources(self) -> tuple[StreamDriver, ...]:
        """Return the driver of the input."""
        dut = self.dut
        payload = {"words": dut.in_words_i, "shift": dut.shift_i, "unsigned": dut.unsigned_i}
        self.source = StreamDriver(dut.in_valid_i, dut.in_ready_o, payload, self.rng)
        return (self.source,)

    def random_item(self) -> Beat:
        """Draw a beat: half of the words are corners of the input, output or rounding."""
        unsigned, shift = self.rng.random() < 0.5, self.rng.randrange(SHIFTS)
        source = Format(self.in_bits, 0, signed=not unsigned)
        target = Format(self.out_bits, 0, signed=not unsigned)
        edges = [value << shift for value in (target.low, target.high, 0, 1)]
        half = 1 << shift >> 1
        corners = [edge + near for edge in edges for near in (-half - 1, -half, 0, half - 1, half)]
        corners += [source.low, source.high]
        anything = self.random.integers(source.low, source.high + 1, self.lanes)
        cornered = np.clip(self.rng.choices(corners, k=self.lanes), source.low, source.high)
        words = np.where(self.random.random(self.lanes) < 0.5, anything, cornered)
        return Beat(words, shift, unsigned)

    def drive(self, item: Beat) -> None:
        """Queue a beat."""
        words = pack(item.words, self.in_bits)[0]
        self.source.send([{"words": words, "shift": item.shift, "unsigned": int(item.unsigned)}])

    def reference(self, item: Beat) -> IntArray:
        """Return what the design must make of a beat."""
        fmt = Format(self.out_bits, 0, signed=not item.unsigned)
        return window(item.words, item.shift, fmt.low, fmt.high)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_stall_pattern(dut: Any) -> None:
    """Random and corner words, random shifts and signs, under every pair of stall patterns."""
    await Bench(dut).every_stall_pattern(BEATS)


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
        beats += [Beat(row, shift, unsigned) for row in padded]
    bench.send(beats)
    await bench.drain(len(beats))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """Without stalls: one beat a cycle, one cycle of latency; a blocked output stalls at once."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.send(bench.random_items(BEATS))
    await bench.drain(BEATS)
    first = bench.source.accepted_cycles[0]
    assert bench.source.accepted_cycles == list(range(first, first + BEATS))
    assert bench.sink.beat_cycles == list(range(first + 1, first + 1 + BEATS))
    bench.sink.stall = lambda: True
    bench.send(bench.random_items(3))
    await bench.testbench.run(8)
    assert len(bench.source.accepted_cycles) == BEATS + 1
    bench.sink.stall = never
    await bench.drain(3)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset drops the stored beat, and the block works on."""
    await Bench(dut).reset_in_flight(rounds=10, items=5, flush=3)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in one expected word must fail the comparison."""
    await Bench(dut).planted_error_is_found()
