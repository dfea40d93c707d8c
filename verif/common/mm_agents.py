"""Drives matrix products through an ``mm_unit`` and compares every word that comes out."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolflow.hardware.packing import packing
from verif.common.packing import pack, unpack, wrap
from verif.common.scoreboard import Scoreboard
from verif.common.streams import StreamDriver, StreamMonitor, Testbench
from verif.common.tiling import Tiling, streams

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class MmParameters:
    """The parameters of an ``mm_unit``; ``latency`` is from a row's acceptance to its output."""

    tiling: Tiling
    weight_bits: int
    act_bits: int
    acc_bits: int
    latency: int

    @classmethod
    def of(cls, dut: Any) -> MmParameters:
        """Read the parameters of the simulated module."""
        tiling = Tiling(int(dut.TR.value), int(dut.TP.value), int(dut.TC.value))
        bits = int(dut.WeightBits.value), int(dut.ActBits.value)
        chains = packing(int(dut.PackColumns.value), *bits, tiling.t_p, int(dut.DspBits.value))
        assert chains
        return cls(tiling, *bits, int(dut.AccBits.value), chains.latency)


class MmBench:
    """An ``mm_unit`` with an agent on every stream and a scoreboard of output words.

    Attributes:
        parameters: the unit's parameters.
        weight: driver of the weight stream.
        act: driver of the activation stream.
        out: monitor of the output stream.
        board: compares rows of T_C accumulators.
        testbench: clock and reset.
    """

    def __init__(self, dut: Any, seed: int) -> None:
        rng = random.Random(seed)
        self.parameters = MmParameters.of(dut)
        self.board: Scoreboard[tuple[int, ...]] = Scoreboard("accumulators")
        self.weight = StreamDriver(
            dut.weight_valid_i, dut.weight_ready_o, {"data": dut.weight_data_i}, rng
        )
        self.act = StreamDriver(
            dut.act_valid_i,
            dut.act_ready_o,
            {
                "data": dut.act_data_i,
                "first": dut.act_first_i,
                "last": dut.act_last_i,
                "tile_last": dut.act_tile_last_i,
                "signed": dut.act_signed_i,
            },
            rng,
        )
        self.out = StreamMonitor(
            dut.out_valid_o, dut.out_ready_i, {"data": dut.out_data_o}, self._observe
        )
        self.testbench = Testbench(dut, [self.weight, self.act, self.out])

    def multiply(
        self, a: IntArray, b: IntArray, *, act_signed: bool, planted_error: int = 0
    ) -> int:
        """Queue ``a @ b`` and expect its words; return the number of activation beats.

        ``planted_error`` is added to the last expected word, to show that a bench can fail.
        """
        unit = self.parameters
        cut = streams(a, b, unit.tiling)
        self.weight.send({"data": word} for word in pack(cut.weights, unit.weight_bits))
        self.act.send(
            self._act_beat(word, flags, act_signed)
            for word, *flags in zip(
                pack(cut.acts, unit.act_bits), cut.first, cut.last, cut.tile_last, strict=True
            )
        )
        expected = wrap(cut.outputs, unit.acc_bits)
        expected[-1, -1] += planted_error
        self.board.expect(tuple(row) for row in expected.tolist())
        return len(cut.acts)

    async def finish(self, limit: int) -> None:
        """Run until every expected word has come out and every input is taken."""
        await self.testbench.run_until(
            lambda: self.board.done and self.act.idle and self.weight.idle, limit
        )

    @staticmethod
    def _act_beat(word: int, flags: list[bool], act_signed: bool) -> Mapping[str, int]:
        first, last, tile_last = (int(flag) for flag in flags)
        return {
            "data": word,
            "first": first,
            "last": last,
            "tile_last": tile_last,
            "signed": int(act_signed),
        }

    def _observe(self, beat: dict[str, int]) -> None:
        unit = self.parameters
        row = unpack([beat["data"]], unit.acc_bits, unit.tiling.t_c, signed=True)[0]
        self.board.observe(tuple(row.tolist()))


def act_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """Return the smallest and largest activation of a wordlength."""
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def weight_range(bits: int) -> tuple[int, int]:
    """Return the smallest and largest weight of a wordlength."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1
