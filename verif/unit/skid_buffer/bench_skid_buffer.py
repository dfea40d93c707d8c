"""cocotb tests of ``skid_buffer``."""

from __future__ import annotations

from typing import Any

import cocotb

from verif.common.buffer_bench import BufferBench
from verif.common.streams import never

BEATS = 300


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def order_and_data(dut: Any) -> None:
    """Every word comes out once and in order, under every pair of stall patterns."""
    await BufferBench(dut).order_and_data(BEATS)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """Without stalls: one word a cycle, one cycle of latency."""
    bench = BufferBench(dut)
    await bench.testbench.start()
    bench.send(BEATS)
    await bench.testbench.run_until(lambda: bench.board.done, 2 * BEATS)
    bench.board.finish()
    first = bench.source.accepted_cycles[0]
    assert bench.source.accepted_cycles == list(range(first, first + BEATS))
    assert bench.sink.beat_cycles == list(range(first + 1, first + 1 + BEATS))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def registered_outputs(dut: Any) -> None:
    """A blocked output takes two words; in_ready_o follows out_ready_i a cycle later."""
    bench = BufferBench(dut)
    await bench.testbench.start()
    bench.sink.stall = lambda: True
    bench.send(4)
    await bench.testbench.run(8)
    assert len(bench.source.accepted_cycles) == 2
    bench.sink.stall = never
    released = bench.testbench.cycle
    await bench.testbench.run_until(lambda: bench.board.done, 20)
    assert bench.source.accepted_cycles[2] == released + 1
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_empties(dut: Any) -> None:
    """A reset drops what is stored, and the buffer works on."""
    bench = BufferBench(dut)
    await bench.testbench.start()
    for _ in range(20):
        bench.sink.stall = lambda: True
        bench.send(3)
        await bench.testbench.run(bench.rng.randint(1, 6))
        await bench.testbench.reset(1)
        bench.board.drop()
        bench.sink.stall = never
        await bench.testbench.run(2)  # a word that survived would be unexpected
        bench.send(5)
        await bench.testbench.run_until(lambda: bench.board.done, 20)
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in one expected word must fail the comparison."""
    await BufferBench(dut).planted_error_is_found()
