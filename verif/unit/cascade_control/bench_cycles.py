"""cocotb tests of ``cascade_control``: the cycles that its header states, exactly."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cocotb

from verif.unit.cascade_control.control_bench import Bench

RUN_GAP = 2
"""Cycles beyond one an image from a run's end to the next one's offer."""

START_GAP = 3
"""The same from the start of a run of the cascade to the first offer to the LPU."""

CEU_PIPELINE = 8
"""Cycles of an image beyond two a class, without what becomes of it."""


def gaps(starts: list[int], ends: list[int]) -> list[int]:
    """Return the cycles from each end to the next start."""
    return [start - end for end, start in zip(ends[:-1], starts[1:], strict=True)]


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def lpu_never_waits_longer(dut: Any) -> None:
    """With two banks and room in the queue: batch + 2 cycles from a run to the next."""
    bench = Bench(dut)
    await bench.testbench.start()
    for forward, classes in (("none", bench.sizes.max_classes), ("some", 2)):
        for batch in {1, min(bench.sizes.max_batch, bench.sizes.queue_depth // 4 or 1)}:
            reading = 2 * batch * (2 * classes + CEU_PIPELINE + 16) + 100
            bench.calm_agents(lpu_time=2 * reading, hpu_time=1)
            run = bench.random_run(
                count=5 * batch,
                forward=forward,
                classes=classes,
                lpu_batch=batch,
                hpu_batch=1,
                lpu_banks=2,
                hpu_banks=2,
                exclusive=False,
            )
            await bench.complete(run)
            starts, ends = bench.engines.starts[0], bench.engines.ends[0]
            assert starts[0] - bench.host.started[-1] == batch + START_GAP
            if bench.sizes.queue_depth >= 3 * batch:  # two batches, and images on their way
                assert gaps(starts, ends) == [batch + RUN_GAP] * 4


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def hpu_gap(dut: Any) -> None:
    """Where images wait: batch + 2 cycles from a run of the HPU to the next."""
    bench = Bench(dut)
    await bench.testbench.start()
    depth = bench.sizes.queue_depth
    bench.calm_agents(lpu_time=1, hpu_time=60 * (depth + 1))
    run = bench.random_run(
        count=depth + 5,
        forward="all",
        classes=2,
        lpu_batch=1,
        hpu_batch=1,
        lpu_banks=2,
        hpu_banks=2,
        exclusive=False,
    )
    await bench.complete(run)
    assert gaps(bench.engines.starts[1], bench.engines.ends[1]) == [1 + RUN_GAP] * (depth + 4)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def ceu_rate(dut: Any) -> None:
    """Within a batch: 2 C + 8 cycles an image, and those of its record or of its forwarding."""
    bench = Bench(dut)
    await bench.testbench.start()
    beats = 512 // bench.sizes.data_bits
    batch = min(bench.sizes.max_batch, bench.sizes.queue_depth)
    most = bench.sizes.max_classes
    for classes in sorted({1, 2, min(3, most), most // 2, most}):
        for forward in ("none", "all"):
            bench.calm_agents(lpu_time=10, hpu_time=10)
            run = bench.random_run(
                count=batch,
                forward=forward,
                classes=classes,
                lpu_batch=batch,
                hpu_batch=batch,
                eager=False,
                exclusive=False,
            )
            await bench.complete(run)
            period = 2 * classes + CEU_PIPELINE + beats
            cycles = bench.writes.record_cycles
            assert [after - before for before, after in pairwise(cycles)] == [period] * (batch - 1)
            busy = batch * period
            if forward == "all":
                busy += batch * (2 * classes + CEU_PIPELINE + 1)
            assert bench.counters()["ceu_busy"] == busy


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def ceu_between_batches(dut: Any) -> None:
    """From a batch to one that waits: 3 cycles more than from image to image, and the latency."""
    bench = Bench(dut)
    await bench.testbench.start()
    beats = 512 // bench.sizes.data_bits
    batch = min(bench.sizes.max_batch, bench.sizes.queue_depth // 2) or 1
    for latency in (1, 7):
        bench.calm_agents(lpu_time=1)
        bench.reads.delay = lambda latency=latency: latency  # type: ignore[misc]
        run = bench.random_run(
            count=4 * batch,
            forward="none",
            classes=2,
            lpu_batch=batch,
            lpu_banks=2,
            exclusive=False,
        )
        await bench.complete(run)
        if bench.sizes.queue_depth >= 2 * batch:
            period = 2 * 2 + CEU_PIPELINE + beats
            steps = [period] * (batch - 1) + [period + 3 + latency]
            cycles = bench.writes.record_cycles
            assert [after - before for before, after in pairwise(cycles)] == (steps * 4)[:-1]


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def counted_cycles(dut: Any) -> None:
    """The cycles of the run, and those in which each unit had a batch."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.calm_agents(lpu_time=70, hpu_time=50)
    run = bench.random_run(count=11, forward="all", classes=2)
    await bench.complete(run)
    counters = bench.counters()
    # done_o comes a cycle after busy_o has ended, which begins a cycle after start_i.
    assert counters["cycles"] == bench.host.done[-1] - bench.host.started[-1] - 1
    for unit, name, time in ((0, "lpu_busy", 70), (1, "hpu_busy", 50)):
        batches = [len(batch) for batch in bench.engines.batches[unit]]
        # A batch: its images are loaded, offered for a cycle, and run.
        assert counters[name] == sum(size + 1 + time for size in batches)
