"""cocotb tests that break ``mm_unit``'s protocol: each must end in a failed assertion."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from verif.common.mm_agents import MmBench


async def broken_protocol(dut: Any, rows: int, first: list[int], last: list[int]) -> None:
    """Send single-tile rows with the given flags and no end of tile."""
    bench = MmBench(dut, int(cocotb.RANDOM_SEED))
    await bench.testbench.start()
    t = bench.parameters.tiling
    bench.weight.send([{"data": 0}] * t.t_c)
    flags = zip(first, last, strict=True)
    bench.act.send(
        {"data": 0, "first": f, "last": e, "tile_last": 0, "signed": 0} for f, e in flags
    )
    bench.board.expect([(0,) * t.t_c] * sum(last))
    await bench.testbench.run(20 * (t.t_p + t.t_c + rows))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def too_many_rows(dut: Any) -> None:
    """A tile of T_R + 1 rows; an assertion must end the simulation."""
    rows = int(dut.TR.value) + 1
    await broken_protocol(dut, rows, [1] * rows, [1] * rows)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def chunk_without_first(dut: Any) -> None:
    """A row that continues an accumulation that never began."""
    await broken_protocol(dut, 1, [0], [1])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def withdrawn_beat(dut: Any) -> None:
    """An activation offered while no weights are loaded, then withdrawn."""
    bench = MmBench(dut, int(cocotb.RANDOM_SEED))
    await bench.testbench.start()
    dut.act_valid_i.value = 1
    await RisingEdge(dut.clk_i)
    dut.act_valid_i.value = 0
    await ClockCycles(dut.clk_i, 3)
