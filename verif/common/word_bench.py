"""Bench of a block that makes lanes of words from what goes into it."""

from __future__ import annotations

import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import cocotb
import numpy as np
import pytest
from numpy.typing import NDArray

from verif.common.packing import unpack
from verif.common.scoreboard import Scoreboard
from verif.common.streams import (
    StreamDriver,
    StreamMonitor,
    Testbench,
    never,
    stall_patterns,
)

IntArray = NDArray[np.int64]
Item = TypeVar("Item")


class WordBench(ABC, Generic[Item]):
    """Drivers, a monitor of the output and a scoreboard of its words, as bit patterns.

    An item is what becomes one beat of output: a subclass says how it is drawn and driven and what
    must come of it.

    Attributes:
        cycles_per_item: how many cycles an item takes at full rate.
        sources: the drivers of the design's inputs.
    """

    cycles_per_item = 1

    def __init__(self, dut: Any, lanes: int, out_bits: int) -> None:
        self.dut = dut
        self.lanes = lanes
        self.out_bits = out_bits
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.random = np.random.default_rng(cocotb.RANDOM_SEED)
        self.board: Scoreboard[list[int]] = Scoreboard("words")
        self.sink = StreamMonitor(
            dut.out_valid_o,
            dut.out_ready_i,
            self.outputs(),
            lambda beat: self.board.observe(self.observed(beat)),
        )
        self.sources = self.make_sources()
        self.testbench = Testbench(dut, [*self.sources, self.sink])

    @abstractmethod
    def make_sources(self) -> tuple[StreamDriver, ...]:
        """Return the drivers of the design's inputs."""

    def outputs(self) -> dict[str, Any]:
        """Return the signals of the output."""
        return {"words": self.dut.out_words_o}

    def observed(self, beat: dict[str, int]) -> list[int]:
        """Return the words of an output beat, as bit patterns."""
        return self.unpacked(beat["words"])

    @abstractmethod
    def random_item(self) -> Item:
        """Draw an item, corners included."""

    @abstractmethod
    def drive(self, item: Item) -> None:
        """Queue an item's beats."""

    @abstractmethod
    def reference(self, item: Item) -> IntArray:
        """Return the words that the design must make of an item."""

    def expected(self, item: Item) -> list[int]:
        """Return the words that the design must make of an item, as bit patterns."""
        return [int(w) for w in self.reference(item) & ((1 << self.out_bits) - 1)]

    def unpacked(self, packed: int) -> list[int]:
        """Return a beat's output words as bit patterns."""
        return [int(w) for w in unpack([packed], self.out_bits, self.lanes, signed=False)[0]]

    def random_items(self, count: int) -> list[Item]:
        """Draw items."""
        return [self.random_item() for _ in range(count)]

    def send(self, items: Sequence[Item]) -> None:
        """Queue items and expect their results."""
        for item in items:
            self.drive(item)
            self.board.expect([self.expected(item)])

    async def drain(self, items: int) -> None:
        """Run until everything expected has been observed."""
        limit = 40 * (items + 1) * self.cycles_per_item
        await self.testbench.run_until(lambda: self.board.done, limit)
        self.board.finish()

    def stall_patterns(self) -> Iterator[None]:
        """Set all combinations of the streams' stall patterns, one after the other."""
        streams: list[StreamDriver | StreamMonitor] = [*self.sources, self.sink]
        patterns = [stall_patterns(self.rng).values() for _ in streams]
        for stalls in itertools.product(*patterns):
            for stream, stall in zip(streams, stalls, strict=True):
                stream.stall = stall
            yield

    async def every_stall_pattern(self, items: int) -> None:
        """Check random items under all combinations of the streams' stall patterns."""
        await self.testbench.start()
        combinations = 0
        for _ in self.stall_patterns():
            self.send(self.random_items(items))
            await self.drain(items)
            combinations += 1
        assert combinations == 4 ** (len(self.sources) + 1)
        assert self.board.compared == combinations * items

    async def reset_in_flight(self, rounds: int, items: int, flush: int) -> None:
        """Check that resets drop what is inside, and that the block works on.

        ``flush`` cycles after a reset would show anything that survived it.
        """
        await self.testbench.start()
        for _ in range(rounds):
            self.sink.stall = never if self.rng.random() < 0.5 else lambda: True
            self.send(self.random_items(items))
            await self.testbench.run(self.rng.randint(1, items * self.cycles_per_item))
            await self.testbench.reset(1)
            self.board.drop()
            self.sink.stall = never
            await self.testbench.run(flush)
            self.send(self.random_items(5))
            await self.drain(5)

    async def planted_error_is_found(self) -> None:
        """Check that one flipped bit in one expected word fails the comparison."""
        await self.testbench.start()
        items = self.random_items(20)
        self.send(items[:10])
        wrong = self.expected(items[10])
        wrong[self.rng.randrange(self.lanes)] ^= 1 << self.rng.randrange(self.out_bits)
        self.drive(items[10])
        self.board.expect([wrong])
        self.send(items[11:])
        with pytest.raises(AssertionError, match="words: item 10 is"):
            await self.drain(len(items))
