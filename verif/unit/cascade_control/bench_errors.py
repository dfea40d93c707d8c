"""cocotb tests of ``cascade_control``: runs that fail, are aborted, refused or reset."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import cocotb
import pytest

from toolflow.emission.result_records import encode
from verif.common.streams import int_of
from verif.unit.cascade_control.control_bench import Bench
from verif.unit.cascade_control.runs import Outcome, Run


def some_run(bench: Bench, **changes: Any) -> Run:
    """Draw a run of a few images."""
    return bench.random_run(**({"count": bench.rng.randint(4, 20)} | changes))


def outcome_image(bench: Bench) -> int:
    """Return the image that the outcome names."""
    return int_of(bench.dut.outcome_image_o)


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def engine_failures(dut: Any) -> None:
    """A unit fails in any of its runs: the outcome names it and its batch; the next run is good."""
    bench = Bench(dut)
    await bench.testbench.start()
    reached: Counter[int] = Counter()
    for trial in range(16):
        unit = trial % 2
        bench.randomise_agents()
        run = some_run(bench, forward="all" if unit else None)
        bench.prepare(run)
        bench.engines.fail_at = {unit: bench.rng.randrange(4)}
        await bench.start(run)
        outcome = await bench.until_done()
        if outcome is Outcome.GOOD:  # the unit had fewer runs
            assert len(bench.engines.batches[unit]) <= bench.engines.fail_at[unit]
            bench.check_good(run)
            continue
        reached[unit] += 1
        assert outcome is (Outcome.HPU if unit else Outcome.LPU)
        assert outcome_image(bench) == bench.engines.batches[unit][bench.engines.fail_at[unit]][0]
        bench.check_cut(run)
        await bench.complete(some_run(bench))
    assert min(reached[0], reached[1]) >= 3


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def bad_logits(dut: Any) -> None:
    """A beat of logits with an error: that image's record says so, and the run ends."""
    bench = Bench(dut)
    await bench.testbench.start()
    reached: Counter[int] = Counter()
    for trial in range(16):
        unit = trial % 2
        bench.randomise_agents()
        run = some_run(bench, forward="all" if unit else None)
        place = bench.rng.randrange(run.config.unit(unit).batch)
        config = run.config.unit(unit)
        beats = -(-2 * run.config.classes * 8 // bench.sizes.data_bits)
        beat = bench.rng.randrange(beats) * bench.sizes.data_bits // 8
        bench.prepare(run)
        bad = config.logits + place * config.logits_stride + beat  # of the first bank
        bench.reads.bad_beats = {bad}
        await bench.start(run)
        outcome = await bench.until_done()
        if outcome is Outcome.GOOD:  # no batch of the first bank was as large
            bench.check_good(run)
            continue
        reached[unit] += 1
        assert outcome is Outcome.LOGITS
        image = outcome_image(bench)
        first_bank = bench.engines.batches[unit][:: 2 if config.bank_bytes else 1]
        assert image == next(batch[place] for batch in first_bank if len(batch) > place)
        assert bench.writes.images[-1] == image
        bench.check_cut(run, {image: run.failed_record(image, unit)})
        await bench.complete(some_run(bench))
    assert min(reached[0], reached[1]) >= 3


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def bad_writes(dut: Any) -> None:
    """A record that memory answers with an error ends the run, the last one too."""
    bench = Bench(dut)
    await bench.testbench.start()
    for trial in range(8):
        bench.randomise_agents()
        run = some_run(bench, forward="none" if trial % 2 else None)
        bench.prepare(run)
        last = run.config.count - 1
        bench.writes.bad_images = {last if trial % 2 else bench.rng.randrange(last)}
        await bench.start(run)
        assert await bench.until_done() is Outcome.RECORDS
        bench.check_cut(run)
        await bench.complete(some_run(bench))


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def aborts(dut: Any) -> None:
    """An abort in any cycle of a run ends it, and the next run is good."""
    bench = Bench(dut)
    await bench.testbench.start()
    for trial in range(80):
        bench.randomise_agents()
        run = some_run(bench)
        bench.prepare(run)
        bench.host.start(run.config.word())
        await bench.testbench.run(1 + (trial if trial < 40 else bench.rng.randrange(1000)))
        bench.host.abort()
        await bench.testbench.run(1)
        if not bench.host.busy:  # the run was over before
            ended = len(bench.host.done)
            await bench.testbench.run(10)
            assert len(bench.host.done) == ended
            bench.check_good(run)
            continue
        outcome = await bench.until_done(3000)
        if outcome is Outcome.GOOD:  # it ended in the very cycle
            bench.check_good(run)
            continue
        assert outcome is Outcome.ABORTED
        bench.check_cut(run)
        if trial % 4 == 0:
            await bench.complete(some_run(bench))
    assert bench.seen["cut short"] > 40


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def illegal_registers(dut: Any) -> None:
    """Registers that no run can have end it at once, with nothing touched."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.calm_agents()
    sizes = bench.sizes
    beat = sizes.data_bits // 8
    for unit in ("lpu", "hpu"):
        run = some_run(bench)
        mine = getattr(run.config, unit)
        wrong = [
            {"batch": 0},
            {"batch": sizes.max_batch + 1},
            {"bank_bytes": mine.bank_bytes + beat // 2},
            {"logits": mine.logits + 2},
            {"logits_stride": mine.logits_stride + 1},
        ]
        if unit == "lpu" and sizes.queue_depth < sizes.max_batch:
            wrong.append({"batch": sizes.queue_depth + 1})
        for change in wrong:
            config = replace(run.config, **{unit: replace(mine, **change)})
            await refused(bench, run, config.word())
    run = some_run(bench)
    others: list[dict[str, Any]] = [
        {"classes": 0},
        {"classes": sizes.max_classes + 1},
        {"results": run.config.results + 32},
        {"exclusive": True, "chunk": 0},
        {"classes": 0, "count": 0},
    ]
    for other in others:
        await refused(bench, run, replace(run.config, **other).word())
    for m, n in ((0, 1), (2, 1), (1, 0), (1, sizes.max_n + 1)):
        await refused(bench, run, run.config.word(m=m, n=n))
    await bench.complete(run)


async def refused(bench: Bench, run: Run, word: int) -> None:
    """Start with illegal registers and expect the end of the run after two cycles."""
    bench.prepare(run)
    bench.host.start(word)
    assert await bench.until_done(10) is Outcome.CONFIG
    assert bench.host.done[-1] - bench.host.started[-1] == 2
    assert not bench.writes.images
    assert not bench.engines.starts[0]
    assert bench.counters()["cycles"] == 1


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def refused_starts(dut: Any) -> None:
    """A start while busy, or with an abort, is flagged and does nothing else."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(5):
        bench.randomise_agents()
        run = some_run(bench)
        bench.prepare(run)
        bench.host.start(run.config.word(), abort=True)
        await bench.testbench.run(3)
        assert bench.host.refused[-1:] == [bench.host.started[-1] + 1]
        assert not bench.host.busy
        await bench.start(run)
        other = bench.random_run().config.word()
        for _ in range(6):
            bench.host.start(other)
            await bench.testbench.run(bench.rng.choice([1, 2, 7]))
            assert bench.host.busy
        assert await bench.until_done() is Outcome.GOOD
        bench.check_good(run)
        assert bench.host.refused[-6:] == [cycle + 1 for cycle in bench.host.started[-6:]]


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset in any cycle leaves nothing behind: the next run is good."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(25):
        bench.randomise_agents()
        run = some_run(bench)
        bench.prepare(run)
        await bench.start(run)
        await bench.testbench.run(bench.rng.randrange(600))
        await bench.testbench.reset(1)
        await bench.testbench.run(3)
        assert not bench.host.busy
        await bench.complete(some_run(bench, count=6))


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def wrong_abort_is_found(dut: Any) -> None:
    """The comparison of a run that was cut short fails on a record that is not right."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.calm_agents()
    run = some_run(bench, forward="none")
    bench.prepare(run)
    await bench.start(run)
    await bench.testbench.run_until(lambda: len(bench.writes.images) == 2, 2000)
    bench.host.abort()
    assert await bench.until_done() is Outcome.ABORTED
    wrong = replace(run.record(0), confident=False)
    bench.memory.write(run.config.results, encode(wrong))
    with pytest.raises(AssertionError, match="places of records: item 1 is"):
        bench.check_cut(run)
