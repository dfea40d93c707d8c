"""cocotb test of ``mm_unit``: every product of columns that share a DSP block."""

from __future__ import annotations

import itertools
import os
from typing import Any

import cocotb
import numpy as np

from verif.common.mm_agents import MmBench, act_range, weight_range

PIECE = 3000
"""Columns that are queued at once."""


@cocotb.test(timeout_time=1, timeout_unit="sec")
async def every_product(dut: Any) -> None:
    """All weights of a group with all activations; every lane's depth too, for ``PLACES`` lanes.

    The other lanes hold the extremes of both operands, in turn, so that sums are at their limits.
    """
    bench = MmBench(dut, int(cocotb.RANDOM_SEED))
    await bench.testbench.start()
    unit, columns = bench.parameters, int(dut.PackColumns.value)
    tiling = unit.tiling
    assert tiling.t_c % columns == 0
    low, high = weight_range(unit.weight_bits)
    words = range(low, high + 1)
    groups = np.array(list(itertools.product(words, repeat=columns)))
    weights = groups.reshape(-1)
    planted = int(os.environ.get("PLANTED_ERROR", "0"))
    for signed, place, fill in itertools.product((False, True), range(tiling.t_p), (low, high)):
        acts = act_range(unit.act_bits, signed=signed)
        a = np.full((acts[1] - acts[0] + 1, tiling.t_p), acts[place % 2])
        a[:, place] = range(acts[0], acts[1] + 1)
        for begin in range(0, len(weights), PIECE - PIECE % tiling.t_c):
            part = weights[begin : begin + PIECE - PIECE % tiling.t_c]
            b = np.full((tiling.t_p, len(part)), fill)
            b[place] = part
            bench.multiply(a, b, act_signed=signed, planted_error=planted)
            planted = 0
            await bench.finish(2000 + 2 * len(part) * max(len(a), tiling.t_c))
    bench.board.finish()
    row_words = -(-len(weights) // tiling.t_c)
    assert bench.board.compared >= 2 * 2 * tiling.t_p * row_words * (acts[1] - acts[0] + 1)
