"""cocotb tests of ``lrn_unit`` against the emulator's reference."""

from __future__ import annotations

from typing import Any

import cocotb

from verif.common.streams import at_random, never
from verif.unit.lrn_unit.lrn_bench import CHANNELS, LrnBench

BEATS = 120
LAYERS = 12


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_stall_pattern(dut: Any) -> None:
    """Random pixels under every pair of stall patterns."""
    await LrnBench(dut).every_stall_pattern(BEATS)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def layers_follow_each_other(dut: Any) -> None:
    """Layers of all windows, formats and parameters, each with its table."""
    bench = LrnBench(dut)
    await bench.testbench.start()
    sizes, words = set(), 0
    for number in range(LAYERS):
        layer = bench.random_layer()
        sizes.add(layer.integer.size)
        await bench.testbench.load(layer)
        bench.source.stall = at_random(0.3, bench.rng) if number % 3 == 0 else never
        bench.sink.stall = at_random(0.3, bench.rng) if number % 3 == 1 else never
        for channels in CHANNELS:
            for _ in range(5):
                items = bench.pixel(bench.random_pixel(channels))
                bench.send(items)
                words += len(items)
        await bench.drain(words)
    assert bench.board.compared == words
    assert len(sizes) > 1


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """Without stalls: one beat a cycle, the stated latency; a blocked output keeps what came."""
    bench = LrnBench(dut)
    await bench.testbench.start()
    bench.send(bench.random_items(BEATS))
    await bench.drain(BEATS)
    first = bench.source.accepted_cycles[0]
    assert bench.source.accepted_cycles == list(range(first, first + BEATS))
    start = first + bench.latency
    assert bench.sink.beat_cycles == list(range(start, start + BEATS))
    await bench.testbench.run(3)
    bench.sink.stall = lambda: True
    many = 2 * bench.latency
    bench.send(bench.random_items(many))
    await bench.testbench.run(3 * many)
    assert len(bench.source.accepted_cycles) == BEATS + bench.latency + 1
    assert not dut.idle_o.value
    bench.sink.stall = never
    await bench.drain(many)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def look_ahead(dut: Any) -> None:
    """A beat waits for the stated number of others of its pixel, and for no other pixel's."""
    bench = LrnBench(dut)
    await bench.testbench.start()
    seen = 0
    for extra in (1, 2, 5):
        beats = bench.ahead + 2 + extra
        items = bench.pixel(bench.random_pixel(beats * bench.lanes))
        bench.send(items[:-1])
        await bench.testbench.run(4 * bench.latency)
        assert bench.board.compared == seen + extra - 1
        assert not dut.idle_o.value
        bench.send(items[-1:])
        taken = bench.testbench.cycle
        await bench.drain(beats)
        seen += beats
        assert bench.sink.beat_cycles[-1] == taken + bench.latency
        await bench.testbench.step()
        assert dut.idle_o.value


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset drops the beats in the pipeline, also half a pixel, and the block works on."""
    bench = LrnBench(dut)
    await bench.reset_in_flight(rounds=20, items=24, flush=2 * bench.latency)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in one expected word must fail the comparison."""
    await LrnBench(dut).planted_error_is_found()
