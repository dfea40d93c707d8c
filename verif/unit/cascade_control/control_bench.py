"""The cascade control among its agents, and the checks of a run's results."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import cocotb

from toolflow.emission.result_records import RECORD_BYTES, encode
from verif.common.scoreboard import Scoreboard
from verif.common.streams import Testbench, int_of, never, stall_patterns
from verif.unit.cascade_control.agents import Engines, Host, Memory, ReadPort, WritePort
from verif.unit.cascade_control.runs import (
    GUARD_BYTES,
    MEMORY_BASE,
    Outcome,
    Run,
    Sizes,
    random_run,
)

COUNTERS = {
    "lpu_images": 24,
    "hpu_images": 24,
    "forwarded": 24,
    "cycles": 48,
    "lpu_busy": 48,
    "hpu_busy": 48,
    "ceu_busy": 48,
}
"""Fields of ``run_counters_t``, the highest first."""


class Bench:
    """The design, its agents, and a scoreboard of what lies in memory after each run."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.sizes = Sizes(
            int(dut.DataBits.value),
            int(dut.MaxBatch.value),
            int(dut.QueueDepth.value),
            int(dut.MaxClasses.value),
            int(dut.MaxN.value),
        )
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.memory = Memory(self.rng)
        self.reads = ReadPort(dut, self.memory, self.rng)
        self.writes = WritePort(dut, self.memory)
        self.engines = Engines(dut, self.memory, self.rng)
        self.host = Host(dut, self.rng)
        self.board: Scoreboard[bytes] = Scoreboard("places of records")
        self.seen: Counter[str] = Counter()
        self.testbench = Testbench(dut, [self.reads, self.writes, self.engines, self.host])
        self.before = b""

    def random_run(self, **changes: Any) -> Run:
        """Draw a run for the module's sizes, see ``runs.random_run``."""
        return random_run(self.rng, self.sizes, **changes)

    def randomise_agents(self) -> None:
        """Draw stalls, latencies and engine times."""
        rng = self.rng
        patterns = [*stall_patterns(rng).values()]
        self.reads.cmd_stall = rng.choice(patterns)
        self.reads.data_stall = rng.choice(patterns)
        self.writes.stall = rng.choice(patterns)
        self.engines.ready_stall = rng.choice(patterns)
        latency = rng.choice([1, 20])
        self.reads.delay = lambda: rng.randint(1, latency)
        settling = rng.choice([0, 0, 40])
        self.writes.delay = lambda: rng.randint(0, settling)
        slow = [rng.choice([1, 60, 400]) for _ in range(2)]
        self.engines.times = (lambda: rng.randint(1, slow[0]), lambda: rng.randint(1, slow[1]))
        self.engines.stop_time = lambda: rng.randint(1, 40)

    def calm_agents(self, lpu_time: int = 20, hpu_time: int = 20) -> None:
        """Let nothing stall, memory answer at once, and each engine take one time."""
        self.reads.cmd_stall = self.reads.data_stall = self.writes.stall = never
        self.engines.ready_stall = never
        self.reads.delay = lambda: 1
        self.writes.delay = lambda: 0
        self.engines.times = (lambda: lpu_time, lambda: hpu_time)
        self.engines.stop_time = lambda: 5

    def prepare(self, run: Run) -> None:
        """Fill the memory with junk and tell the agents of a run."""
        self.memory.fill(run.memory_bytes)
        self.before = self._results(run)
        self.engines.begin_run(run)
        self.writes.run = run
        self.writes.images, self.writes.record_cycles = [], []
        self.writes.bad_images = set()
        self.reads.bad_beats = set()
        self.reads.commands = []

    async def start(self, run: Run) -> None:
        """Start a prepared run."""
        self.host.start(run.config.word())
        await self.testbench.run(2)

    async def until_done(self, limit: int = 60000) -> Outcome:
        """Wait for the end of a run and check that nothing is under way; return the outcome."""
        ended = len(self.host.done)
        await self.testbench.run_until(lambda: len(self.host.done) > ended, limit)
        assert len(self.host.done) == ended + 1
        assert not self.host.busy
        assert not self.reads.beats, "reads are outstanding after a run"
        assert not self.writes.outstanding, "a record is not in memory after a run"
        assert not self.writes.beat_of_record, "half a record"
        assert not any(self.engines.running), "an engine runs after a run"
        return Outcome(int_of(self.dut.outcome_o))

    async def complete(self, run: Run, *, planted: int = 0) -> None:
        """Do a run that must end well and compare everything; ``planted`` bits are flipped."""
        self.prepare(run)
        await self.start(run)
        assert await self.until_done() is Outcome.GOOD
        self.check_good(run, planted)

    def check_good(self, run: Run, planted: int = 0) -> None:
        """Compare the result area, byte for byte, the batches and the counters of a good run."""
        expected = [encode(record) for record in run.records()]
        if planted:
            wrong = int.from_bytes(expected[-1], "little") ^ planted
            expected[-1] = wrong.to_bytes(RECORD_BYTES, "little")
        self._compare(run, expected)
        forwarded = [k for k in range(run.config.count) if run.is_forwarded(k)]
        self.seen["forwarded"] += len(forwarded)
        self.seen["confident"] += run.config.count - len(forwarded)
        lpu, hpu = self.engines.batches
        assert [image for batch in lpu for image in batch] == [*range(run.config.count)]
        assert [image for batch in hpu for image in batch] == forwarded
        if not run.config.exclusive:
            assert all(len(batch) == run.config.lpu.batch for batch in lpu[:-1])
        counters = self.counters()
        assert counters["lpu_images"] == run.config.count - len(forwarded)
        assert counters["hpu_images"] == counters["forwarded"] == len(forwarded)
        if run.config.exclusive:
            assert not self.engines.overlap
        self.seen["overlapping"] += self.engines.overlap > 0

    def check_cut(self, run: Run, bad: dict[int, bytes] | None = None) -> None:
        """Compare the results of a run that was cut short: records that are there are right.

        ``bad`` are the only records that may, and must, say that they are not valid.
        """
        written = set(self.writes.images)
        flagged = bad or {}
        places = [
            flagged.get(k, encode(run.record(k))) if k in written else self._before(k)
            for k in range(run.config.count)
        ]
        assert flagged.keys() <= written
        self._compare(run, places)
        good = written - flagged.keys()
        counters = self.counters()
        forwarded = {k for k in range(run.config.count) if run.is_forwarded(k)}
        assert counters["lpu_images"] == len(good - forwarded)
        assert counters["hpu_images"] == len(good & forwarded)
        assert counters["forwarded"] >= len(good & forwarded)
        self.seen["cut"] += 1
        self.seen["cut short"] += len(good) < run.config.count

    def counters(self) -> dict[str, int]:
        """Return the counters."""
        word = int_of(self.dut.counters_o)
        values = {}
        for name, width in reversed(COUNTERS.items()):
            values[name] = word & ((1 << width) - 1)
            word >>= width
        return values

    def _compare(self, run: Run, expected: list[bytes]) -> None:
        """Compare guard bytes and the places of all records."""
        area = self._results(run)
        self.board.expect([self.before[:GUARD_BYTES], *expected, self.before[-GUARD_BYTES:]])
        self.board.observe(area[:GUARD_BYTES])
        for image in range(run.config.count):
            low = GUARD_BYTES + RECORD_BYTES * image
            self.board.observe(area[low : low + RECORD_BYTES])
        self.board.observe(area[-GUARD_BYTES:])
        self.board.finish()

    def _results(self, run: Run) -> bytes:
        low = run.config.results - GUARD_BYTES
        return self.memory.read(low, run.memory_bytes - (low - MEMORY_BASE))

    def _before(self, image: int) -> bytes:
        low = GUARD_BYTES + RECORD_BYTES * image
        return self.before[low : low + RECORD_BYTES]
