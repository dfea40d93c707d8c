"""cocotb tests of ``mm_unit`` against a numpy matrix product in 64-bit integers."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from verif.common.mm_agents import MmBench, act_range, weight_range
from verif.common.streams import never, stall_patterns
from verif.common.tiling import row_cycles, tile_rows

IntArray = NDArray[np.int64]
Shape = tuple[int, int, int]


class Bench:
    """An ``MmBench`` with a random source of operands."""

    def __init__(self, dut: Any) -> None:
        self.seed = int(cocotb.RANDOM_SEED)
        self.rng = np.random.default_rng(self.seed)
        self.mm = MmBench(dut, self.seed)
        self.unit = self.mm.parameters

    async def start(self) -> None:
        await self.mm.testbench.start()

    def operands(self, shape: Shape, *, signed: bool) -> tuple[IntArray, IntArray]:
        """Return random matrices over the full range of both wordlengths."""
        rows, depth, columns = shape
        a_low, a_high = act_range(self.unit.act_bits, signed=signed)
        b_low, b_high = weight_range(self.unit.weight_bits)
        a = self.rng.integers(a_low, a_high, (rows, depth), endpoint=True)
        b = self.rng.integers(b_low, b_high, (depth, columns), endpoint=True)
        return a, b

    def shapes(self, count: int) -> Iterator[Shape]:
        """Yield whole, single, ragged and random shapes (R, P, C)."""
        t = self.unit.tiling
        yield t.t_r, t.t_p, t.t_c
        yield 1, 1, 1
        yield 1, 3 * t.t_p + 1, 2 * t.t_c
        yield 2 * t.t_r + 1, t.t_p + 1, t.t_c + 1
        yield t.t_r, 2 * t.t_p, 2 * t.t_c - 1
        for _ in range(count):
            yield (
                int(self.rng.integers(1, 3 * t.t_r + 1)),
                int(self.rng.integers(1, 4 * t.t_p + 1)),
                int(self.rng.integers(1, 3 * t.t_c + 1)),
            )

    def stall(self, weight: str, act: str, out: str) -> None:
        """Choose the stall pattern of every stream by name."""
        patterns = stall_patterns(random.Random(int(self.rng.integers(1 << 30))))
        self.mm.weight.stall = patterns[weight]
        self.mm.act.stall = patterns[act]
        self.mm.out.stall = patterns[out]

    def cycles(self, shape: Shape) -> int:
        """Return a generous limit for the cycles of a product under the heaviest stalls."""
        t = self.unit.tiling
        tiles = tile_rows(*shape, t)
        return 200 + 20 * sum(max(rows, t.t_c) for rows in tiles)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def products(dut: Any) -> None:
    """Many shapes, signed and unsigned activations, every stall pattern on every stream."""
    bench = Bench(dut)
    await bench.start()
    names = list(stall_patterns(random.Random(0)))
    planted = int(os.environ.get("PLANTED_ERROR", "-1"))
    patterns = list(itertools.product(names, repeat=3))
    bench.rng.shuffle(patterns)
    for index, (shape, pattern) in enumerate(
        zip(bench.shapes(20), itertools.cycle(patterns), strict=False)
    ):
        signed = bool(index % 2)
        bench.stall(*pattern)
        a, b = bench.operands(shape, signed=signed)
        bench.mm.multiply(a, b, act_signed=signed, planted_error=int(index == planted))
        await bench.mm.finish(bench.cycles(shape))
    bench.mm.board.finish()
    assert bench.mm.board.compared >= 25


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def back_to_back(dut: Any) -> None:
    """Products queued without a pause, the activations' sign changing from one to the next."""
    bench = Bench(dut)
    await bench.start()
    for pattern in (("full_rate",) * 3, ("light", "light", "light"), ("bursts",) * 3):
        bench.stall(*pattern)
        limit = 0
        for index, shape in enumerate(bench.shapes(6)):
            a, b = bench.operands(shape, signed=index % 2 == 0)
            bench.mm.multiply(a, b, act_signed=index % 2 == 0)
            limit += bench.cycles(shape)
        await bench.mm.finish(limit)
    bench.mm.board.finish()


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def corner_values(dut: Any) -> None:
    """All smallest, all largest and mixed extremes of both operands, over several chunks of P."""
    bench = Bench(dut)
    await bench.start()
    t = bench.unit.tiling
    shape = (t.t_r, 2 * t.t_p + 1, t.t_c)
    for signed in (False, True):
        acts = act_range(bench.unit.act_bits, signed=signed)
        weights = weight_range(bench.unit.weight_bits)
        fills = [(a, w) for a in (*acts, 0, 1) for w in (*weights, 0, -1)]
        for act, weight in fills:
            bench.mm.multiply(
                np.full(shape[:2], act), np.full(shape[1:], weight), act_signed=signed
            )
        for _ in range(4):
            bench.mm.multiply(
                bench.rng.choice(acts, shape[:2]),
                bench.rng.choice(weights, shape[1:]),
                act_signed=signed,
            )
    await bench.mm.finish(40 * bench.cycles(shape))
    bench.mm.board.finish()
    assert bench.mm.board.compared == 2 * 20 * t.t_r


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def cycle_counts(dut: Any) -> None:
    """With streams that never wait, every row enters and leaves in exactly the predicted cycle."""
    bench = Bench(dut)
    await bench.start()
    t = bench.unit.tiling
    whole = (3 * t.t_r, 3 * t.t_p, 2 * t.t_c)
    starved = (max(1, min(t.t_r, t.t_c) - 1), 3 * t.t_p, 3 * t.t_c)
    no_bubble = weight_bound = 0
    for shape in (whole, starved, *bench.shapes(6)):
        await bench.mm.testbench.reset()
        for cycles in (
            bench.mm.act.accepted_cycles,
            bench.mm.weight.accepted_cycles,
            bench.mm.out.valid_cycles,
        ):
            cycles.clear()
        a, b = bench.operands(shape, signed=True)
        bench.mm.multiply(a, b, act_signed=True)
        begin = bench.mm.testbench.cycle
        await bench.mm.finish(bench.cycles(shape))

        tiles = tile_rows(*shape, t)
        entered = [cycle - begin for cycle in bench.mm.act.accepted_cycles]
        assert entered == row_cycles(tiles, t.t_c), f"{shape}: {entered}"
        # Only rows of the last chunk of P come out.
        chunk_count = -(-shape[1] // t.t_p)
        leaving = [index % chunk_count == chunk_count - 1 for index in range(len(tiles))]
        emitted = [last for last, count in zip(leaving, tiles, strict=True) for _ in range(count)]
        expected = [
            cycle + bench.unit.latency for cycle, last in zip(entered, emitted, strict=True) if last
        ]
        assert [cycle - begin for cycle in bench.mm.out.valid_cycles] == expected, f"{shape}"

        if all(count >= t.t_c for count in tiles):
            assert entered == list(range(t.t_c, t.t_c + len(entered))), "a bubble"
            no_bubble += len(tiles) > 1
        if all(count <= t.t_c for count in tiles):
            taken = [cycle - begin for cycle in bench.mm.weight.accepted_cycles]
            assert taken == list(range(len(taken))), "a weight-bound tile takes T_C cycles"
            weight_bound += len(tiles) > 1
    assert weight_bound
    assert no_bubble or t.t_r < t.t_c
    bench.mm.board.finish()


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def output_stall_freezes(dut: Any) -> None:
    """A blocked output stops the unit within the skid buffer and loses nothing."""
    bench = Bench(dut)
    await bench.start()
    t = bench.unit.tiling
    shape = (3 * t.t_r, t.t_p, t.t_c)
    a, b = bench.operands(shape, signed=True)
    beats = 0
    while beats < 2 * bench.unit.latency:  # more than the unit can hold
        beats += bench.mm.multiply(a, b, act_signed=True)
    bench.mm.out.stall = lambda: True
    await bench.mm.testbench.run((1 + beats) * (t.t_c + 1))
    stopped = len(bench.mm.act.accepted_cycles)
    # The pipeline and the skid buffer hold this many rows, and every row comes out here.
    assert 2 <= stopped <= bench.unit.latency + 1
    await bench.mm.testbench.run(20)
    assert len(bench.mm.act.accepted_cycles) == stopped
    assert not bench.mm.out.beat_cycles
    bench.mm.out.stall = never
    await bench.mm.finish(40 * bench.cycles(shape))
    bench.mm.board.finish()


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset at any moment leaves nothing behind."""
    bench = Bench(dut)
    await bench.start()
    t = bench.unit.tiling
    span = 4 * (t.t_p + t.t_c + t.t_r)
    for shape in bench.shapes(25):
        bench.stall("light", "light", "light")
        a, b = bench.operands(shape, signed=True)
        for _ in range(3):
            bench.mm.multiply(a, b, act_signed=True)
        await bench.mm.testbench.run(int(bench.rng.integers(1, span)))
        await bench.mm.testbench.reset(1)
        bench.mm.board.drop()
        a, b = bench.operands(shape, signed=False)
        bench.mm.multiply(a, b, act_signed=False)
        await bench.mm.finish(bench.cycles(shape))
    bench.mm.board.finish()
