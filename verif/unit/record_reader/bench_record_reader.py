"""cocotb tests of ``record_reader`` on records as ``pack_records`` lays them in memory."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb
import numpy as np

from toolflow.emission.memory_images import ChannelRecords, pack_records
from toolflow.fixedpoint import BIAS_BITS, CORRECTION_BITS, Format, window
from verif.common.layer_ports import descriptor_word
from verif.common.memory_port import Memory, MemoryPort, ReadClient, ReadSignals
from verif.common.packing import pack
from verif.common.scoreboard import Scoreboard
from verif.common.streams import Stall, StreamDriver, StreamMonitor, Testbench, stall_patterns

FULL = Format(BIAS_BITS, 0)
Tile = tuple[int, int]
"""A column tile's biases and shifts, packed."""


class Bench:
    """The reader, a memory with records, and the settings that must come."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.rng = random.Random(int(cocotb.RANDOM_SEED))
        self.t_c = int(dut.TC.value)
        self.corrected = bool(int(dut.Corrected.value))
        self.memory = Memory(1 << 16)
        self.port = MemoryPort(self.memory, int(dut.DataBits.value) // 8)
        self.client = ReadClient(ReadSignals.of(dut, ""), self.port)
        self.board: Scoreboard[Tile] = Scoreboard("tiles")
        self.jobs = StreamDriver(dut.job_valid_i, dut.job_ready_o, {"base": dut.base_i}, self.rng)
        self.out = StreamMonitor(
            dut.out_valid_o,
            dut.out_ready_i,
            {"bias": dut.out_bias_o, "shift": dut.out_shift_o},
            lambda beat: self.board.observe((beat["bias"], beat["shift"])),
        )
        self.testbench = Testbench(dut, [self.port, self.client, self.jobs, self.out])

    def stall(self, choose: str | None = None) -> None:
        """Choose stall patterns and the memory's latency."""

        def pattern() -> Stall:
            patterns = stall_patterns(self.rng)
            return patterns[choose or self.rng.choice(sorted(patterns))]

        self.client.command_stall, self.client.data_stall = pattern(), pattern()
        self.port.stall, self.out.stall = pattern(), pattern()
        self.port.latency = 0 if choose else self.rng.choice([0, 5, 40])

    def records(self, count: int) -> ChannelRecords:
        """Return random records whose biases stay within their wordlength."""
        rng = np.random.default_rng(self.rng.getrandbits(32))
        limit = Format(CORRECTION_BITS, 0)
        return ChannelRecords(
            bias=rng.integers(FULL.low // 2, FULL.high // 2, count),
            correction=rng.integers(limit.low, limit.high + 1, count),
            step=rng.integers(0, 16, count),
        )

    async def run(self, groups: int, columns: int, jobs: int) -> None:
        """Run jobs of one layer, each with records of its own."""
        t_c, tiles = self.t_c, -(-columns // self.t_c)
        bias_window, shift = self.rng.randrange(16), self.rng.randrange(16)
        self.dut.layer_i.value = descriptor_word(
            {
                "groups": groups,
                "columns": columns,
                "column_tiles": tiles,
                "last_columns": columns - (tiles - 1) * t_c,
                "bias_window": bias_window,
                "shift": shift,
            }
        )
        self.memory.forbid_all()
        at = 0
        for _ in range(jobs):
            records = self.records(groups * columns)
            data = pack_records(records)
            data += bytes(-len(data) % self.port.beat_bytes)
            self.memory.data[at : at + len(data)] = data
            self.memory.allow(range(at, at + len(data)))
            self.jobs.send([{"base": at}])
            self.board.expect(self.expected(records, groups, tiles, bias_window, shift))
            at += -(-len(data) // 64) * 64
        limit = 500 + 60 * jobs * groups * tiles * (t_c + 4)
        await self.testbench.run_until(lambda: self.board.done and self.jobs.idle, limit)
        await self.testbench.run(2)
        assert self.dut.idle_o.value
        assert not self.client.answers
        self.board.finish()

    def expected(
        self, records: ChannelRecords, groups: int, tiles: int, bias_window: int, shift: int
    ) -> list[Tile]:
        """Return the tiles' settings, by the toolflow's arithmetic."""
        bias = window(records.bias, bias_window, FULL.low, FULL.high)
        bias = bias + (records.correction if self.corrected else 0)
        padded = np.zeros((2, groups, tiles * self.t_c), np.int64)
        columns = len(bias) // groups
        padded[0, :, :columns] = bias.reshape(groups, -1)
        padded[1, :, :columns] = (shift + records.step).reshape(groups, -1)
        biases, shifts = padded.reshape(2, -1, self.t_c)
        if "PLANTED_ERROR" in os.environ:
            shifts[-1, 0] ^= 1
        return list(zip(pack(biases, BIAS_BITS), pack(shifts, 5), strict=True))


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def random_layers(dut: Any) -> None:
    """Groups, ragged tiles, odd numbers of records and several jobs, under all stall patterns."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(40):
        bench.stall()
        groups = bench.rng.choice([1, 1, 2, 5])
        await bench.run(groups, bench.rng.randint(1, 3 * bench.t_c), bench.rng.randint(1, 3))


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """Without stalls a column tile takes T_C + 1 cycles."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.stall("full_rate")
    await bench.run(1, 8 * bench.t_c, 1)
    steps = np.diff(bench.out.beat_cycles)
    assert steps.max() <= bench.t_c + 1
    assert steps.sum() == (len(steps)) * (bench.t_c + 1)
