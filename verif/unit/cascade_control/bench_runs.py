"""cocotb tests of ``cascade_control``: runs that end well, under all conditions."""

from __future__ import annotations

from itertools import product
from typing import Any

import cocotb
import pytest

from verif.unit.cascade_control.control_bench import Bench


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def random_runs(dut: Any) -> None:
    """Any registers, stalls, latencies and engine times, a run after the other."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(40):
        bench.randomise_agents()
        await bench.complete(bench.random_run())
    assert min(bench.seen["forwarded"], bench.seen["confident"]) > 30
    assert bench.seen["overlapping"] > 0


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def no_deadlock(dut: Any) -> None:
    """All images forwarded, every relation of batches to each other and the queue's depth."""
    bench = Bench(dut)
    await bench.testbench.start()
    most = bench.sizes.max_batch
    lpu_batches = {1, min(most, bench.sizes.queue_depth)}
    for lpu, hpu, eager, exclusive in product(lpu_batches, {1, most}, *[(False, True)] * 2):
        bench.randomise_agents()
        run = bench.random_run(
            count=bench.sizes.queue_depth + bench.sizes.max_batch + 1,
            forward="all",
            classes=2,
            lpu_batch=lpu,
            hpu_batch=hpu,
            eager=eager,
            exclusive=exclusive,
        )
        await bench.complete(run)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def both_units_at_once(dut: Any) -> None:
    """With every image forwarded and equal times, both engines run most of the time."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.calm_agents(lpu_time=400, hpu_time=400)
    most = min(bench.sizes.max_batch, bench.sizes.queue_depth // 2) or 1
    run = bench.random_run(
        count=10 * most,
        forward="all",
        classes=2,
        lpu_batch=most,
        hpu_batch=most,
        lpu_banks=2,
        hpu_banks=2,
        eager=False,
        exclusive=False,
    )
    await bench.complete(run)
    if bench.sizes.queue_depth >= 2 * most:
        assert bench.engines.overlap > 8 * 400


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def hpu_waits_for_a_batch(dut: Any) -> None:
    """Not eager: full batches while the LPU can go on; eager: what waits, as soon as it waits."""
    bench = Bench(dut)
    await bench.testbench.start()
    sizes = bench.sizes
    batch = min(sizes.max_batch, sizes.queue_depth)
    for eager in (False, True):
        bench.calm_agents(lpu_time=300, hpu_time=1)
        run = bench.random_run(
            count=2 * batch + 1,
            forward="all",
            classes=2,
            lpu_batch=1,
            hpu_batch=batch,
            eager=eager,
            exclusive=False,
        )
        await bench.complete(run)
        sizes_seen = [len(images) for images in bench.engines.batches[1]]
        assert sizes_seen == ([1] * (2 * batch + 1) if eager else [batch, batch, 1])


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def exclusive_passes(dut: Any) -> None:
    """Passes in turn: `chunk` images on the LPU, then what of them was forwarded on the HPU."""
    bench = Bench(dut)
    await bench.testbench.start()
    sizes = bench.sizes
    for chunk in {1, sizes.queue_depth, max(1, sizes.queue_depth - 1)}:
        bench.randomise_agents()
        run = bench.random_run(
            count=3 * chunk, forward="all", classes=2, exclusive=True, chunk=chunk, lpu_batch=1
        )
        await bench.complete(run)
        order = sorted((cycle, unit) for unit in (0, 1) for cycle in bench.engines.starts[unit])
        batch = run.config.hpu.batch
        one_pass = [0] * chunk + [1] * -(-chunk // batch)
        assert [unit for _, unit in order] == one_pass * 3


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in an expected record must fail the comparison."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.calm_agents()
    run = bench.random_run(count=3)
    with pytest.raises(AssertionError, match="places of records: item 3 is"):
        await bench.complete(run, planted=1 << bench.rng.randrange(512))
