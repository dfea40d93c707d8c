"""cocotb tests of ``exp_table`` against ``toolflow.confidence.exp_table``."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import cocotb
import numpy as np
import pytest

from toolflow.confidence.exp_table import ExpScale, exp_scale, exponential
from verif.common.scoreboard import Scoreboard
from verif.common.streams import StreamDriver, StreamMonitor, Testbench, at_random, never

LATENCY = 4
ONE_STEP = ExpScale(1, 0)
"""Distances are table addresses as they are."""

CORNER_SCALES = (
    ExpScale(0, 0),
    ExpScale(0, 31),
    ExpScale(1, 0),
    ExpScale(1, 1),
    ExpScale(1, 31),
    ExpScale(0x8000, 15),
    ExpScale(0xFFFF, 0),
    ExpScale(0xFFFF, 1),
    ExpScale(0xFFFF, 16),
    ExpScale(0xFFFF, 31),
)


class NoHandshake:
    """Stands for the ready signal that this block does not have."""

    value = 1


class Bench:
    """The design between a driver and a monitor; the reference feeds the scoreboard."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.tag_bits = int(dut.TagBits.value)
        self.max_distance = (1 << int(dut.LogitBits.value)) - 1
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.board: Scoreboard[dict[str, int]] = Scoreboard("exponentials")
        ready: Any = NoHandshake()
        self.source = StreamDriver(
            dut.in_valid_i,
            ready,
            {"distance": dut.in_distance_i, "tag": dut.in_tag_i},
            self.rng,
        )
        self.sink = StreamMonitor(
            dut.out_valid_o, ready, {"exp": dut.out_exp_o, "tag": dut.out_tag_o}, self.board.observe
        )
        self.testbench = Testbench(dut, [self.source, self.sink])
        self.set_scale(ONE_STEP)

    def set_scale(self, scale: ExpScale) -> None:
        """Set the registers; nothing may be in flight."""
        self.scale = scale
        self.dut.mult_i.value = scale.mult
        self.dut.shift_i.value = scale.shift

    def send(self, distances: Iterable[int], corrupt: int = 0) -> None:
        """Queue distances and expect their exponentials, with the bits ``corrupt`` flipped."""
        for distance in distances:
            tag = self.rng.getrandbits(self.tag_bits)
            self.source.send([{"distance": distance, "tag": tag}])
            e = int(exponential(distance, self.scale))
            self.board.expect([{"exp": e ^ corrupt, "tag": tag}])

    def some_distances(self, count: int) -> list[int]:
        """Draw distances: any, short ones, and those around the octaves' ends."""
        drawn = [0, 1, self.max_distance]
        factor = self.scale.value or 1.0
        for _ in range(count):
            octave_end = int(self.rng.randint(1, 33) * 256 / factor) + self.rng.randint(-2, 2)
            any_length = self.rng.randint(0, self.max_distance) >> self.rng.randrange(16)
            drawn.append(self.rng.choice([octave_end, any_length]))
        return [int(d) for d in np.clip(drawn, 0, self.max_distance)]

    async def drain(self, beats: int) -> None:
        """Run until everything expected has been observed."""
        await self.testbench.run_until(lambda: self.board.done, 10 * beats + 40)
        self.board.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_entry_and_octave(dut: Any) -> None:
    """All table entries at all octaves and beyond, one a cycle, at the stated latency."""
    bench = Bench(dut)
    await bench.testbench.start()
    count = min(35 * 256, bench.max_distance + 1)
    bench.send(range(count))
    await bench.drain(count)
    first = bench.source.accepted_cycles[0]
    assert bench.source.accepted_cycles == list(range(first, first + count))
    assert bench.sink.beat_cycles == list(range(first + LATENCY, first + LATENCY + count))


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def scales_and_gaps(dut: Any) -> None:
    """Corner scales, those of real logits, and random ones, with gaps between distances."""
    bench = Bench(dut)
    await bench.testbench.start()
    rng = bench.rng
    scales = [*CORNER_SCALES]
    scales += [exp_scale(frac, rng.uniform(0.5, 3)) for frac in range(-4, 20, 3)]
    scales += [ExpScale(rng.getrandbits(16), shift) for shift in range(32)]
    for scale in scales:
        bench.set_scale(scale)
        bench.source.stall = rng.choice([never, at_random(0.5, rng)])
        distances = bench.some_distances(60)
        bench.send(distances)
        await bench.drain(len(distances))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset drops what is in the pipeline."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(10):
        bench.send(bench.some_distances(3))
        await bench.testbench.run(bench.rng.randint(1, 6))
        await bench.testbench.reset(1)
        bench.board.drop()
        await bench.testbench.run(2 * LATENCY)  # what came out now would be unexpected
        bench.send(bench.some_distances(5))
        await bench.drain(8)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in one expected exponential must fail the comparison."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.send(bench.some_distances(7))
    bench.send([5], corrupt=1 << bench.rng.randrange(17))
    with pytest.raises(AssertionError, match="exponentials: item 10 is"):
        await bench.drain(20)
