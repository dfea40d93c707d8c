"""cocotb test of ``lrn_factor`` against ``factor_table.factors``."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb
import numpy as np

from toolflow.emission.memory_images import pack_table
from toolflow.emulator.factor_table import FactorTable, factor_table, factors, segment_starts
from toolflow.fixedpoint import Format, IntArray
from toolflow.network.graph import Lrn
from verif.common.scoreboard import Scoreboard
from verif.common.streams import Testbench

LATENCY = 5
TABLES = 4
SUMS = 1500


class Lane:
    """Drives a sum in every enabled cycle and compares what comes ``LATENCY`` of them later."""

    def __init__(self, dut: Any, rng: random.Random) -> None:
        self._dut = dut
        self._rng = rng
        self._inside: deque[tuple[int, int]] = deque()
        self._expected: deque[tuple[int, int, int]] = deque()
        self.board: Scoreboard[tuple[int, int]] = Scoreboard("factors")
        self.enable = 1.0

    def send(self, table: FactorTable, sums: IntArray) -> None:
        """Queue sums."""
        mantissas, exponents = factors(table, sums)
        self._expected.extend(
            zip(sums.tolist(), mantissas.tolist(), exponents.tolist(), strict=True)
        )

    def flush(self) -> None:
        """Queue as many sums as push the others out."""
        self._expected.extend([(0, -1, -1)] * LATENCY)

    @property
    def idle(self) -> bool:
        """Whether everything queued has been taken."""
        return not self._expected

    def reset(self) -> None:
        """Drive nothing."""
        self._dut.en_i.value = 0
        self._dut.valid_i.value = 0
        self._dut.table_write_i.value = 0

    def drive(self) -> None:
        """Offer the next sum with a random enable."""
        enabled = bool(self._expected) and self._rng.random() < self.enable
        self._dut.en_i.value = self._dut.valid_i.value = int(enabled)
        if enabled:
            self._dut.sum_i.value = self._expected[0][0]

    def sample(self, cycle: int) -> None:
        """Compare the factor of the sum that was taken ``LATENCY`` enabled cycles ago."""
        if not self._dut.en_i.value:
            return
        if len(self._inside) == LATENCY:
            expected = self._inside.popleft()
            if expected != (-1, -1):
                self.board.expect([expected])
                self.board.observe((int(self._dut.factor_o.value), int(self._dut.exponent_o.value)))
        _, mantissa, exponent = self._expected.popleft()
        self._inside.append((mantissa, exponent))


def drawn_table(rng: random.Random, sum_bits: int) -> FactorTable:
    """Draw a table for sums of up to ``sum_bits`` bits."""
    bits = rng.randint(2, (sum_bits - 4) // 2)
    fmt = Format(bits, 0, signed=False)
    limit = float(15 * fmt.high**2)
    spec = Lrn(
        name="n", inputs=("x",), output="y", out_shape=(1, 1, 1), size=15,
        alpha=15 * 10 ** rng.uniform(-2, 3) / limit, beta=rng.choice([0.5, 0.75, 1.0, 1.7]),
        bias=rng.choice([0.3, 1.0, 2.0]),
    )  # fmt: skip
    return factor_table(spec, fmt, rng.choice([3, 15]))


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_segment(dut: Any) -> None:
    """The first, the last and a middle sum of every segment, and random ones; random enables."""
    rng = random.Random(cocotb.RANDOM_SEED)
    draw = np.random.default_rng(cocotb.RANDOM_SEED)
    lane = Lane(dut, rng)
    bench = Testbench(dut, [lane])
    await bench.start()
    for number in range(TABLES):
        table = drawn_table(rng, int(dut.SumBits.value))
        dut.floor_i.value = table.floor
        for index, entry in enumerate(np.frombuffer(pack_table(table), "<u8").tolist()):
            dut.table_write_i.value = 1
            dut.table_index_i.value = index
            dut.table_entry_i.value = entry
            await bench.step()
        dut.table_write_i.value = 0
        starts = segment_starts(table.floor)
        middles = starts[:-1] + draw.integers(0, np.diff(starts))
        spread = np.exp2(draw.uniform(0, np.log2(table.largest), SUMS)).astype(np.int64)
        sums = np.concatenate([starts, starts[1:] - 1, middles, spread])
        sums = np.append(sums[sums <= table.largest], table.largest)
        lane.enable = 1.0 if number % 2 else 0.7
        lane.send(table, draw.permutation(sums))
        lane.flush()
        await bench.run_until(lambda: lane.idle, 4 * len(sums) + 100)
    lane.board.finish()
    assert lane.board.compared > TABLES * SUMS
