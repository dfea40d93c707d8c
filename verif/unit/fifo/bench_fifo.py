"""cocotb tests of ``fifo``."""

from __future__ import annotations

from typing import Any

import cocotb

from verif.common.buffer_bench import BufferBench
from verif.common.streams import never

BEATS = 300


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def order_and_data(dut: Any) -> None:
    """Every word comes out once and in order, under every pair of stall patterns."""
    await BufferBench(dut).order_and_data(BEATS)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """Without stalls: one cycle of latency and one word a cycle (a single slot: every other)."""
    bench, depth = BufferBench(dut), int(dut.Depth.value)
    await bench.testbench.start()
    bench.send(BEATS)
    await bench.testbench.run_until(lambda: bench.board.done, 3 * BEATS)
    bench.board.finish()
    first = bench.source.accepted_cycles[0]
    pace = 1 if depth > 1 else 2
    assert bench.source.accepted_cycles == list(range(first, first + pace * BEATS, pace))
    assert bench.sink.beat_cycles == [cycle + 1 for cycle in bench.source.accepted_cycles]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def capacity(dut: Any) -> None:
    """A blocked FIFO takes exactly ``Depth`` words, from any position of its pointers."""
    bench, depth = BufferBench(dut), int(dut.Depth.value)
    await bench.testbench.start()
    for _ in range(2 * depth + 1):
        before = len(bench.source.accepted_cycles)
        bench.sink.stall = lambda: True
        bench.send(depth + 3)
        await bench.testbench.run(2 * depth + 8)
        assert len(bench.source.accepted_cycles) == before + depth
        bench.sink.stall = never
        await bench.testbench.run_until(lambda: bench.board.done, 4 * depth + 20)
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_empties(dut: Any) -> None:
    """A reset drops what is stored, and the FIFO works on."""
    bench, depth = BufferBench(dut), int(dut.Depth.value)
    await bench.testbench.start()
    for _ in range(20):
        bench.sink.stall = lambda: True
        bench.send(depth + 1)
        await bench.testbench.run(bench.rng.randint(1, depth + 4))
        await bench.testbench.reset(1)
        bench.board.drop()
        bench.sink.stall = never
        await bench.testbench.run(2)  # a word that survived would be unexpected
        bench.send(2 * depth + 1)
        await bench.testbench.run_until(lambda: bench.board.done, 8 * depth + 20)
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in one expected word must fail the comparison."""
    await BufferBench(dut).planted_error_is_found()
