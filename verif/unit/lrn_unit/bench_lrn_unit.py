"""cocotb tests of ``lrn_unit`` against the emulator's reference."""

from __future__ import annotations

from itertools import accumulate
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
    """Without stalls: a part a cycle, the stated latency; a blocked output keeps what came."""
    bench = LrnBench(dut)
    await bench.testbench.start()
    items = bench.random_items(BEATS)
    bench.send(items)
    await bench.drain(BEATS)
    accepted = bench.source.accepted_cycles
    start = accepted[0] - bench.parts(items[0])
    assert accepted == [start + parts for parts in accumulate(map(bench.parts, items))]
    assert bench.sink.beat_cycles == [cycle + bench.latency for cycle in accepted]
    await bench.testbench.run(3)
    bench.sink.stall = lambda: True
    many = 2 * bench.latency
    items = bench.random_items(many)
    bench.send(items)
    await bench.testbench.run(3 * many * bench.lanes // bench.part)
    kept = sum(bench.parts(item) for item in items[: len(accepted) - BEATS])
    # A beat that is taken in parts may be inside but for its last ones.
    most = bench.latency + 1 + bench.lanes // bench.part - 1
    assert most - 2 * (bench.lanes // bench.part - 1) <= kept <= most
    assert not dut.idle_o.value
    bench.sink.stall = never
    await bench.drain(many)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def look_ahead(dut: Any) -> None:
    """A part waits for the stated number of others of its pixel, and for no other pixel's."""
    bench = LrnBench(dut)
    await bench.testbench.start()
    parts = bench.lanes // bench.part
    seen = 0
    for extra in (1, 2, 5):
        beats = bench.ahead + 2 + extra
        items = bench.pixel(bench.random_pixel(beats * bench.lanes))
        bench.send(items[:-1])
        await bench.testbench.run(2 * beats * parts + 2 * bench.latency)
        out = parts * (beats - 1) - (bench.ahead + 2)
        assert bench.board.compared == seen + out // parts
        assert not dut.idle_o.value
        bench.send(items[-1:])
        await bench.drain(beats)
        seen += beats
        taken = bench.source.accepted_cycles[-1]
        assert bench.sink.beat_cycles[-1] == taken + bench.latency
        await bench.testbench.step()
        assert dut.idle_o.value


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset drops the beats in the pipeline, also half a pixel, and the block works on."""
    bench = LrnBench(dut)
    await bench.reset_in_flight(rounds=20, items=24, flush=3 * bench.latency)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in one expected word must fail the comparison."""
    await LrnBench(dut).planted_error_is_found()
