"""cocotb tests of ``weight_planes`` against ``fixedpoint.join_planes``."""

from __future__ import annotations

from typing import Any

import cocotb

from verif.common.streams import never
from verif.unit.weight_planes.plane_bench import PlaneBench

BLOCKS = 3


def bench_of(dut: Any) -> PlaneBench:
    """Return the bench of a design with one plane or two."""
    dut.low_bits_i.value = 0
    return PlaneBench(dut, joins=bool(int(dut.Join.value)))


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def every_width(dut: Any) -> None:
    """Random and corner digits of all pairs of widths, each under several stall patterns."""
    await bench_of(dut).every_width(BLOCKS)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """Without stalls: a beat a cycle, low plane first; a block the cycle after its last beat."""
    bench = bench_of(dut)
    await bench.testbench.start()
    for high_bits, low_bits in bench.widths():
        bench.set_widths(high_bits, low_bits)
        high, low, out = (len(cycles) for cycles in bench.cycles())
        start = bench.testbench.cycle
        bench.send(bench.random_items(BLOCKS))
        await bench.drain(BLOCKS)
        parts, length = bench.block // bench.beat_bits, bench.cycles_per_item
        beats = range(start, start + BLOCKS * length)
        in_low = [cycle for cycle in beats if (cycle - start) % length < low_bits * parts]
        in_high = [cycle for cycle in beats if (cycle - start) % length >= low_bits * parts]
        highs, lows, outs = bench.cycles()
        assert (highs[high:], lows[low:]) == (in_high, in_low)
        assert outs[out:] == [start + (block + 1) * length for block in range(BLOCKS)]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def blocked_output(dut: Any) -> None:
    """A blocked output takes one block; its release lets the next beat in, in the same cycle."""
    bench = bench_of(dut)
    await bench.testbench.start()
    bench.sink.stall = lambda: True
    bench.send(bench.random_items(3))
    await bench.testbench.run(3 * bench.cycles_per_item + 4)
    assert len(bench.high.accepted_cycles) == bench.cycles_per_item
    bench.sink.stall = never
    released = bench.testbench.cycle
    await bench.drain(3)
    assert bench.high.accepted_cycles[bench.cycles_per_item] == released


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def widths_change_behind_a_block(dut: Any) -> None:
    """A block that waits to be taken keeps its words when the next one's widths are set."""
    bench = bench_of(dut)
    await bench.testbench.start()
    widths = list(bench.widths())
    for _ in range(100):
        bench.set_widths(*bench.rng.choice(widths))
        bench.sink.stall = lambda: True
        bench.send(bench.random_items(1))
        await bench.testbench.run(bench.cycles_per_item + bench.rng.randrange(2))
        assert all(source.idle for source in bench.sources)
        bench.set_widths(*bench.rng.choice(widths))
        bench.send(bench.random_items(1))
        await bench.testbench.run(bench.rng.randrange(2))
        bench.sink.stall = never
        await bench.drain(2)
    assert bench.board.compared == 200


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset drops a block, whole or not, and the design works on."""
    bench = bench_of(dut)
    await bench.reset_in_flight(rounds=20, items=3, flush=3)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in one expected word must fail the comparison."""
    await bench_of(dut).planted_error_is_found()
