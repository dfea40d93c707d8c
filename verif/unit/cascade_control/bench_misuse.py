"""cocotb tests that break rules of the cascade control's ports; an assertion must end the run."""

from __future__ import annotations

from typing import Any

import cocotb

from verif.unit.cascade_control.control_bench import Bench
from verif.unit.cascade_control.runs import MEMORY_BASE


async def running(dut: Any) -> Bench:
    """Return a bench whose LPU runs its first batch."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.calm_agents(lpu_time=50)
    run = bench.random_run(count=4, lpu_batch=1)
    bench.prepare(run)
    await bench.start(run)
    await bench.testbench.run_until(lambda: bench.engines.running[0], 20)
    return bench


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def end_of_no_run(dut: Any) -> None:
    """The HPU says that a run ended, and there was none."""
    bench = await running(dut)
    bench.engines.units[1].left = 1
    bench.engines.units[1].failing = True
    await bench.testbench.run(5)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def data_of_no_command(dut: Any) -> None:
    """Memory answers what was not asked."""
    bench = await running(dut)
    bench.reads.beats.append((MEMORY_BASE, 0))
    await bench.testbench.run(5)
