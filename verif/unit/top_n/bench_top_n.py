"""cocotb tests of ``top_n`` against a sort of everything it was given."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import cocotb
import pytest

from verif.common.packing import unpack
from verif.common.scoreboard import Scoreboard
from verif.common.streams import Testbench

IMAGES = 60


@dataclass(frozen=True)
class Pair:
    """A logit and its class."""

    logit: int
    index: int


def best(pairs: list[Pair], count: int) -> list[Pair]:
    """Return the ``count`` best pairs; of equal logits the lower class comes first."""
    return sorted(pairs, key=lambda pair: (-pair.logit, pair.index))[:count]


class Bench:
    """Drives the sorter cycle by cycle and compares its whole list in every cycle."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.max_n = int(dut.MaxN.value)
        self.logit_bits = int(dut.LogitBits.value)
        self.class_bits = int(dut.ClassBits.value)
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.board: Scoreboard[list[Pair]] = Scoreboard("list")
        self.pairs: list[Pair] = []
        self.next: tuple[bool, Pair | None] = (False, None)
        self.corrupt = False
        self.testbench = Testbench(dut, [self])

    def reset(self) -> None:
        """Forget all pairs; offer none."""
        self.pairs = []
        self.next = (False, None)

    def drive(self) -> None:
        """Drive ``next``: whether to clear, and a pair or None."""
        clear, pair = self.next
        shown = pair or Pair(self.rng.getrandbits(self.logit_bits), self.rng.getrandbits(3))
        self.dut.clear_i.value = int(clear)
        self.dut.in_valid_i.value = int(pair is not None)
        self.dut.in_logit_i.value = shown.logit & ((1 << self.logit_bits) - 1)
        self.dut.in_class_i.value = shown.index % (1 << self.class_bits)

    def sample(self, cycle: int) -> None:
        """Compare the list, then follow what the coming edge does to it."""
        expected = best(self.pairs, self.max_n)
        if self.corrupt:
            expected[0], expected[1] = expected[1], expected[0]
        self.board.expect([expected])
        self.board.observe(self.observed())
        clear, pair = self.next
        self.pairs = ([] if clear else self.pairs) + ([pair] if pair else [])

    def observed(self) -> list[Pair]:
        """Read the list; entries that are not valid must be the last and zero."""
        valid = self.dut.list_valid_o.value.to_unsigned()
        count = valid.bit_count()
        assert valid == (1 << count) - 1, f"valid entries with a gap: {valid:b}"
        logits = self.words(self.dut.list_logit_o, self.logit_bits, signed=True)
        classes = self.words(self.dut.list_class_o, self.class_bits, signed=False)
        assert not any(logits[count:] + classes[count:]), "an empty entry is not zero"
        return [Pair(*entry) for entry in zip(logits[:count], classes[:count], strict=True)]

    def words(self, port: Any, bits: int, *, signed: bool) -> list[int]:
        """Unpack a port with one word an entry."""
        packed = port.value.to_unsigned()
        return [int(w) for w in unpack([packed], bits, self.max_n, signed=signed)[0]]

    async def play(self, clear: bool, pair: Pair | None) -> None:
        """Run one cycle."""
        self.next = (clear, pair)
        await self.testbench.step()

    async def image(self, logits: list[int], gaps: float) -> None:
        """Play an image's logits, clearing with the first, with gaps between them."""
        for index, logit in enumerate(logits):
            while self.rng.random() < gaps:
                await self.play(False, None)
            await self.play(index == 0, Pair(logit, index))

    def logits(self) -> list[int]:
        """Draw an image: random, with many ties, rising, falling, or of extremes."""
        low, high = -(1 << (self.logit_bits - 1)), (1 << (self.logit_bits - 1)) - 1
        count = self.rng.randint(1, min(4 * self.max_n, 1 << self.class_bits))
        drawn = [self.rng.randint(low, high) for _ in range(count)]
        kind = self.rng.choice(["random", "ties", "rising", "falling", "extremes"])
        if kind == "ties":
            return [self.rng.choice([-1, 0, 1]) for _ in drawn]
        if kind == "extremes":
            return [self.rng.choice([low, high]) for _ in drawn]
        if kind == "random":
            return drawn
        return sorted(drawn, reverse=kind == "falling")


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def images(dut: Any) -> None:
    """The list is right in every cycle: images back to back, with gaps, and cleared ones."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(IMAGES):
        await bench.image(bench.logits(), bench.rng.choice([0, 0, 0.5]))
        if bench.rng.random() < 0.2:
            await bench.play(True, None)
    await bench.play(False, None)
    bench.board.finish()
    assert bench.board.compared > IMAGES


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset empties the list."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(10):
        await bench.image(bench.logits(), 0)
        await bench.testbench.reset(1)
        await bench.play(False, None)
        await bench.play(False, Pair(-1, 1))
        await bench.play(False, None)
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """An expected list with its first two entries swapped must fail the comparison."""
    bench = Bench(dut)
    await bench.testbench.start()
    await bench.image([3, 3, 1], 0)
    bench.corrupt = True
    with pytest.raises(AssertionError, match="list: item 3 is"):
        await bench.play(False, None)
