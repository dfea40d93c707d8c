"""cocotb tests of ``fifo``."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from verif.common.scoreboard import Scoreboard
from verif.common.streams import (
    StreamDriver,
    StreamMonitor,
    Testbench,
    never,
    stall_patterns,
    width_of,
)

BEATS = 300


class Bench:
    """The FIFO with an agent on either side and a scoreboard between them."""

    def __init__(self, dut: Any) -> None:
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.width = width_of(dut.in_data_i)
        self.depth = int(dut.Depth.value)
        self.board: Scoreboard[int] = Scoreboard("out")
        self.source = StreamDriver(
            dut.in_valid_i, dut.in_ready_o, {"data": dut.in_data_i}, self.rng
        )
        self.sink = StreamMonitor(
            dut.out_valid_o,
            dut.out_ready_i,
            {"data": dut.out_data_o},
            lambda beat: self.board.observe(beat["data"]),
        )
        self.testbench = Testbench(dut, [self.source, self.sink])

    def send(self, count: int) -> None:
        """Queue random words and expect them."""
        words = [self.rng.getrandbits(self.width) for _ in range(count)]
        self.source.send({"data": word} for word in words)
        self.board.expect(words)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def order_and_data(dut: Any) -> None:
    """Every word comes out once and in order, under every pair of stall patterns."""
    bench = Bench(dut)
    await bench.testbench.start()
    for source_stall in stall_patterns(bench.rng).values():
        for sink_stall in stall_patterns(bench.rng).values():
            bench.source.stall, bench.sink.stall = source_stall, sink_stall
            bench.send(BEATS)
            await bench.testbench.run_until(lambda: bench.board.done, 40 * BEATS)
    bench.board.finish()
    assert bench.board.compared == 16 * BEATS


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """Without stalls: one cycle of latency and one word a cycle (a single slot: every other)."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.send(BEATS)
    await bench.testbench.run_until(lambda: bench.board.done, 3 * BEATS)
    bench.board.finish()
    first = bench.source.accepted_cycles[0]
    pace = 1 if bench.depth > 1 else 2
    assert bench.source.accepted_cycles == list(range(first, first + pace * BEATS, pace))
    assert bench.sink.beat_cycles == [cycle + 1 for cycle in bench.source.accepted_cycles]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def capacity(dut: Any) -> None:
    """A blocked FIFO takes exactly ``Depth`` words, from any position of its pointers."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(2 * bench.depth + 1):
        before = len(bench.source.accepted_cycles)
        bench.sink.stall = lambda: True
        bench.send(bench.depth + 3)
        await bench.testbench.run(2 * bench.depth + 8)
        assert len(bench.source.accepted_cycles) == before + bench.depth
        bench.sink.stall = never
        await bench.testbench.run_until(lambda: bench.board.done, 4 * bench.depth + 20)
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_empties(dut: Any) -> None:
    """A reset drops what is stored, and the FIFO works on."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(20):
        bench.sink.stall = lambda: True
        bench.send(bench.depth + 1)
        await bench.testbench.run(bench.rng.randint(1, bench.depth + 4))
        await bench.testbench.reset(1)
        bench.board.drop()
        bench.sink.stall = never
        await bench.testbench.run(2)  # a word that survived would be unexpected
        bench.send(2 * bench.depth + 1)
        await bench.testbench.run_until(lambda: bench.board.done, 8 * bench.depth + 20)
    bench.board.finish()
