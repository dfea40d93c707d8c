"""Drives the planes of blocks of weights and says what must come of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolflow.fixedpoint import Format, join_planes, window
from verif.common.packing import pack, wrap
from verif.common.streams import StreamDriver
from verif.common.word_bench import IntArray, WordBench

PATTERNS_A_WIDTH = 9
"""Odd, so that every width meets other combinations than the one before."""


@dataclass(frozen=True)
class Block:
    """The digits of one block of weights."""

    high: IntArray
    low: IntArray


class PlaneBench(WordBench[Block]):
    """A design that takes planes, between drivers and a monitor.

    Attributes:
        joins: whether the design has a low plane.
        high_bits, low_bits: the digits' widths.
    """

    def __init__(self, dut: Any, joins: bool, words_a_weight: int = 1) -> None:
        self.joins = joins
        self.block = int(dut.Lanes.value)
        self.beat_bits = int(dut.BeatBits.value)
        self.max_bits = int(dut.MaxBits.value)
        super().__init__(dut, words_a_weight * self.block, self.max_bits)
        self.set_widths(self.max_bits, 0)

    def widths(self) -> Iterator[tuple[int, int]]:
        """Yield every pair of widths that the design takes."""
        for high_bits in range(1, self.max_bits + 1):
            for low_bits in range(self.max_bits - high_bits + 1 if self.joins else 1):
                yield high_bits, low_bits

    def set_widths(self, high_bits: int, low_bits: int) -> None:
        """Set the digits' widths from now on."""
        self.high_bits, self.low_bits = high_bits, low_bits
        self.dut.high_bits_i.value = high_bits
        if self.joins:
            self.dut.low_bits_i.value = low_bits
        bits = high_bits + low_bits if self.joins else high_bits
        self.cycles_per_item = bits * self.block // self.beat_bits

    def cycles(self) -> tuple[list[int], list[int], list[int]]:
        """Return the cycles in which high beats, low beats and blocks were transferred."""
        low = self.low.accepted_cycles if self.joins else []
        return self.high.accepted_cycles, low, self.sink.beat_cycles

    async def every_width(self, blocks: int) -> None:
        """Check blocks of all pairs of widths, each pair under the next few stall patterns."""
        await self.testbench.start()
        expected = 0
        patterns = itertools.chain.from_iterable(self.stall_patterns() for _ in itertools.count())
        for widths in self.widths():
            self.set_widths(*widths)
            for _ in itertools.islice(patterns, PATTERNS_A_WIDTH):
                self.send(self.random_items(blocks))
                await self.drain(blocks)
                expected += blocks
        assert self.board.compared == expected > 0

    def make_sources(self) -> tuple[StreamDriver, ...]:
        """Return the drivers of the planes."""
        dut = self.dut
        self.high = StreamDriver(
            dut.high_valid_i, dut.high_ready_o, {"data": dut.high_data_i}, self.rng
        )
        if not self.joins:
            return (self.high,)
        self.low = StreamDriver(
            dut.low_valid_i, dut.low_ready_o, {"data": dut.low_data_i}, self.rng
        )
        return self.high, self.low

    def random_item(self) -> Block:
        """Draw digits: half of them are corners."""
        return Block(self._digits(self.high_bits), self._digits(self.low_bits))

    def drive(self, item: Block) -> None:
        """Queue a block's beats."""
        self.high.send({"data": beat} for beat in self.beats(item.high, self.high_bits))
        if self.joins:
            self.low.send({"data": beat} for beat in self.beats(item.low, self.low_bits))

    def beats(self, digits: IntArray, bits: int) -> list[int]:
        """Return a plane's beats for one block: position by position, the lowest first."""
        if bits == 0:
            return []
        positions = (digits[None, :] >> np.arange(bits)[:, None]) & 1
        return pack(positions.reshape(-1, self.beat_bits), 1)

    def reference(self, item: Block) -> IntArray:
        """Return the whole words, modulo their width."""
        return wrap(join_planes(item.high, item.low, self.low_bits), self.high_bits + self.low_bits)

    def _digits(self, bits: int) -> IntArray:
        half = 1 << bits >> 1
        anything = self.random.integers(-half, max(half, 1), self.block)
        corners = self.rng.choices([-half, max(half - 1, 0), 0, -1 if bits else 0], k=self.block)
        return np.where(self.random.random(self.block) < 0.5, anything, corners)


class CutBench(PlaneBench):
    """``cut_weights``: the high plane only, cut for LPUs of all wordlengths.

    The low digits are part of the stored words that the reference cuts, and of no stream.
    """

    def __init__(self, dut: Any) -> None:
        self.lpu_bits = range(2, int(dut.MaxBits.value) + 1)
        super().__init__(dut, joins=False, words_a_weight=len(self.lpu_bits))

    def widths(self) -> Iterator[tuple[int, int]]:
        """Yield every pair of widths of a stored word."""
        for high_bits in range(1, self.max_bits + 1):
            for low_bits in range(self.max_bits - high_bits + 1):
                yield high_bits, low_bits

    def reference(self, item: Block) -> IntArray:
        """Return the windows of the whole stored words, LPU by LPU."""
        words = join_planes(item.high, item.low, self.low_bits)
        formats = [Format(bits, 0) for bits in self.lpu_bits]
        return np.concatenate([window(words, self.low_bits, f.low, f.high) for f in formats])
