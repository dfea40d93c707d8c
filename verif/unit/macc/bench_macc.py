"""cocotb tests of ``macc`` against a model of its registers."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from verif.common.packing import wrap
from verif.common.scoreboard import Scoreboard

CYCLES = 4000
FLUSH = 6
"""Enabled cycles that replace every random initial value."""


@dataclass(frozen=True)
class Inputs:
    """One cycle's inputs."""

    en: int
    load: int
    swap: int
    weight: int
    act: int
    sum: int


@dataclass(frozen=True)
class State:
    """The cell's registers, with unlimited precision."""

    loading: int = 0
    working: int = 0
    act: int = 0
    product: int = 0
    sum: int = 0

    def after(self, inputs: Inputs) -> State:
        """Return the registers after a clock edge."""
        if not inputs.en:
            return self
        return State(
            loading=inputs.weight if inputs.load else self.loading,
            working=self.loading if inputs.swap else self.working,
            act=inputs.act,
            product=self.working * self.act,
            sum=inputs.sum + self.product,
        )


def word(rng: random.Random, bits: int) -> int:
    """Return a signed word: an extreme, zero, minus one, or any."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return rng.choice((low, high, 0, -1, rng.randint(low, high), rng.randint(low, high)))


async def compare(dut: Any, cycles: int, planted_at: int | None = None) -> int:
    """Compare the outputs with the model's in every cycle; return the number of comparisons.

    In cycle ``planted_at`` one bit of the expected sum is flipped.
    """
    rng = random.Random(cocotb.RANDOM_SEED)
    weight_bits = int(dut.WeightBits.value)
    act_bits = int(dut.ActBits.value)
    sum_bits = int(dut.SumBits.value)
    board: Scoreboard[tuple[int, int]] = Scoreboard("sum and weight")
    state = State()
    Clock(dut.clk_i, 10, "ns", impl="gpi").start(start_high=False)
    for cycle in range(cycles):
        flushing = cycle < FLUSH
        inputs = Inputs(
            en=int(flushing or rng.random() < 0.8),
            load=int(flushing or rng.random() < 0.4),
            swap=int(flushing or rng.random() < 0.3),
            weight=word(rng, weight_bits),
            act=word(rng, act_bits),
            sum=word(rng, sum_bits),
        )
        dut.en_i.value = inputs.en
        dut.load_i.value = inputs.load
        dut.swap_i.value = inputs.swap
        dut.weight_i.value = inputs.weight
        dut.act_i.value = inputs.act
        dut.sum_i.value = inputs.sum
        await ReadOnly()
        if not flushing:
            flipped = 1 << rng.randrange(sum_bits) if cycle == planted_at else 0
            board.expect([(int(wrap(state.sum ^ flipped, sum_bits)), state.loading)])
            board.observe((dut.sum_o.value.to_signed(), dut.weight_o.value.to_signed()))
        await RisingEdge(dut.clk_i)
        state = state.after(inputs)
    board.finish()
    return board.compared


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def every_cycle(dut: Any) -> None:
    """Random controls and corner operands: the outputs equal the model's in every cycle."""
    assert await compare(dut, CYCLES) == CYCLES - FLUSH


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in one expected sum must fail the comparison."""
    with pytest.raises(AssertionError, match="sum and weight: item 94 is"):
        await compare(dut, 200, planted_at=FLUSH + 94)
