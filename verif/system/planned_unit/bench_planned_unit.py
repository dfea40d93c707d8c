"""Whole layers of a planned network through one unit of the planned size, word by word.

All data come from the plan's folder, as an integrator finds them: weights and channel records from
the memory images, settings from the unit's descriptors, activations from the golden vectors. A
layer's weights go through the unit's reader of planes first, then, tile by tile, through its MM
unit.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import cocotb

from toolflow.emission.memory_images import BLOCK_WORDS, RECORD_BYTES
from toolflow.hardware.engine import Op
from toolflow.plan import EngineRecord, Plan, read_plan
from verif.common.packing import pack, unpack
from verif.common.planned import IntArray, LayerJob, Planes, jobs_of
from verif.common.scoreboard import Scoreboard
from verif.common.streams import StreamDriver, StreamMonitor, Testbench, stall_patterns
from verif.common.tiling import Tiling, chunks, streams

LOGIT_BITS = 16
BEAT_BYTES = 8


class PlannedUnit:
    """The unit with an agent on every stream."""

    def __init__(self, dut: Any, plan: Plan, unit: str) -> None:
        engine: EngineRecord = getattr(plan.design, unit)
        self.tiling = Tiling(engine.t_r, engine.t_p, engine.t_c)
        self.reads_low = unit == "hpu"
        self.weight_bits = getattr(plan, unit).weight_bits
        self.act_bits = getattr(plan, unit).act_bits
        self.dut = dut
        self.board: Scoreboard[tuple[int, ...]] = Scoreboard("activations")
        rng = random.Random(int(cocotb.RANDOM_SEED))
        patterns = stall_patterns(rng)

        def stall() -> Any:
            return patterns[rng.choice(sorted(patterns))]

        self.high, self.low = (
            StreamDriver(
                getattr(dut, f"{plane}_valid_i"),
                getattr(dut, f"{plane}_ready_o"),
                {"data": getattr(dut, f"{plane}_data_i")},
                rng,
                stall(),
            )
            for plane in ("high", "low")
        )
        self.words = StreamMonitor(
            dut.words_valid_o,
            dut.words_ready_i,
            {"data": dut.words_data_o},
            lambda beat: self._blocks.append(beat["data"]),
            stall(),
        )
        self.weight = StreamDriver(
            dut.weight_valid_i, dut.weight_ready_o, {"data": dut.weight_data_i}, rng, stall()
        )
        self.record = StreamDriver(
            dut.record_valid_i, dut.record_ready_o, {"data": dut.record_data_i}, rng, stall()
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
            stall(),
        )
        self.out = StreamMonitor(
            dut.out_valid_o, dut.out_ready_i, {"data": dut.out_data_o}, self._observe
        )
        self.out.stall = stall()
        self.testbench = Testbench(
            dut, [self.high, self.low, self.words, self.weight, self.record, self.act, self.out]
        )
        self._blocks: list[int] = []
        self._signed_words = True
        self._widths: list[int] = []

    async def read(self, planes: Planes) -> IntArray:
        """Read a layer's planes; return the unit's weights (groups, columns, depth)."""
        self.dut.high_bits_i.value = planes.high_bits
        self.dut.low_bits_i.value = planes.low_bits if self.reads_low else 0
        self.high.send(_beats(planes.high))
        if self.reads_low:
            self.low.send(_beats(planes.low))
        self._blocks.clear()
        count = prod(planes.shape)
        blocks = -(-count // BLOCK_WORDS)
        beats = (len(planes.high) + len(planes.low)) // BEAT_BYTES
        await self.testbench.run_until(lambda: len(self._blocks) == blocks, 500 + 40 * beats)
        assert self.high.idle
        assert self.low.idle
        words = unpack(self._blocks, self.weight_bits, BLOCK_WORDS, signed=True)
        return words.reshape(-1)[:count].reshape(planes.shape)

    async def run(self, job: LayerJob, weights: IntArray, planted_error: int = 0) -> int:
        """Run one group of a layer and compare all its outputs; return the words compared.

        ``weights`` is (columns, depth), as the unit reads them.
        """
        dut, d = self.dut, job.descriptor
        dut.bias_window_i.value = d["bias_window"]
        dut.shift_i.value = d["shift"]
        dut.low_i.value = d["low"]
        dut.high_i.value = d["high"]
        dut.zero_i.value = d["zero_out"]
        dut.wide_i.value = d["out_wide"]
        dut.leaky_i.value = d["leaky"]
        dut.slope_mantissa_i.value = d["slope_mantissa"]
        dut.slope_shift_i.value = d["slope_shift"]
        self._signed_words = d["low"] + d["zero_out"] < 0
        columns = list(chunks(len(weights), self.tiling.t_c))
        rows = list(chunks(job.acts.shape[0], self.tiling.t_r))
        cut = streams(job.acts, weights.T, self.tiling)
        self.weight.send({"data": w} for w in pack(cut.weights, self.weight_bits))
        self.act.send(
            {
                "data": word,
                "first": int(first),
                "last": int(last),
                "tile_last": int(tile_last),
                "signed": d["in_signed"],
            }
            for word, first, last, tile_last in zip(
                pack(cut.acts, self.act_bits), cut.first, cut.last, cut.tile_last, strict=True
            )
        )
        for column in columns:
            width = column.stop - column.start
            start = RECORD_BYTES * column.start
            records = job.records[start : RECORD_BYTES * column.stop]
            for row in rows:
                expected = job.outputs[row, column].copy()
                expected[-1, -1] += planted_error
                self.board.expect(tuple(line) for line in expected.tolist())
                count = len(expected)
                self._widths += [width] * count
                self.record.send([{"data": int.from_bytes(records, "little")}] * count)
        steps = sum(max(r.stop - r.start, self.tiling.t_c) for r in rows)
        depth = -(-job.acts.shape[1] // self.tiling.t_p)
        await self.testbench.run_until(
            lambda: self.board.done and self.weight.idle and self.act.idle and self.record.idle,
            500 + 40 * steps * depth * len(columns),
        )
        self.board.finish()
        return int(job.outputs.size)

    def _observe(self, beat: dict[str, int]) -> None:
        row = unpack([beat["data"]], LOGIT_BITS, self.tiling.t_c, signed=self._signed_words)[0]
        self.board.observe(tuple(row[: self._widths.pop(0)].tolist()))


def _beats(data: bytes) -> Iterator[dict[str, int]]:
    for start in range(0, len(data), BEAT_BYTES):
        yield {"data": int.from_bytes(data[start : start + BEAT_BYTES], "little")}


@cocotb.test(timeout_time=2, timeout_unit="sec")
async def whole_layers(dut: Any) -> None:
    """The chosen layers of the planned network, every output word, under random stalls."""
    name = "lpu" if int(dut.Lpu.value) else "hpu"
    folder = Path(os.environ["PLAN_FOLDER"])
    unit = PlannedUnit(dut, read_plan(folder), name)
    await unit.testbench.start()
    planted = int(os.environ.get("PLANTED_ERROR", "0"))
    kinds = set()
    compared = 0
    for job in jobs_of(folder, name, os.environ["PLAN_LAYERS"].split(",")):
        if job.group == 0:
            weights = await unit.read(job.planes)
        compared += await unit.run(job, weights[job.group], planted)
        kinds.add(job.descriptor["op"])
    assert kinds == {int(Op.CONV), int(Op.DENSE)}, "a convolution and a dense layer must run"
    dut._log.info("%d words equal", compared)
    assert compared > 0
