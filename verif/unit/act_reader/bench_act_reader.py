"""cocotb tests of ``act_reader`` against im2col in numpy."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import cocotb
import numpy as np
import pytest

from toolflow.hardware.act_jobs import (
    ActJob,
    Window,
    add_job,
    conv_job,
    dense_job,
    pool_job,
    read_pieces,
)
from verif.common.act_agents import ReaderBench, place_words
from verif.common.act_reference import add_beats, conv_beats, pool_beats, product_beats
from verif.common.streams import Stall, stall_patterns

MAX_LATENCY = 40
FEW_LANES = 8


@dataclass(frozen=True)
class Convolution:
    """A convolution's sizes: map (H, W, C), what is done with it; images that are joined."""

    shape: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int] = (0, 0)
    groups: int = 1
    column_tiles: int = 1
    images: int = 1

    @property
    def window(self) -> Window:
        """Its window; as much padding below and right as above and left."""
        out = [
            (self.shape[i] + 2 * self.pads[i] - self.kernel[i]) // self.stride[i] + 1
            for i in (0, 1)
        ]
        return Window(self.kernel, self.stride, self.pads, (out[0], out[1]))


CONVOLUTIONS = {
    "11x11 by 4, three channels": Convolution((23, 23, 3), (11, 11), (4, 4), (2, 2)),
    "5x5, two groups": Convolution((7, 6, 16), (5, 5), (1, 1), (2, 2), 2, 2),
    "3x3": Convolution((7, 9, 5), (3, 3), (1, 1), (1, 1), 1, 2),
    "3x3, large": Convolution((24, 10, 12), (3, 3), (1, 1), (1, 1), 1, 2),
    "3x3 by 2": Convolution((9, 8, 10), (3, 3), (2, 2), (1, 1), 1, 3),
    "3x3 by 2, three channels": Convolution((16, 17, 3), (3, 3), (2, 2), (1, 1)),
    "1x1": Convolution((5, 6, 24), (1, 1), column_tiles=3),
    "1x1 by 2": Convolution((9, 9, 17), (1, 1), (2, 2), column_tiles=2),
    "1x1 of one long line": Convolution((2, 96, 6), (1, 1)),
    "depthwise": Convolution((6, 7, 8), (3, 3), (1, 1), (1, 1), 8),
    "depthwise by 2, large": Convolution((12, 13, 8), (3, 3), (2, 2), (1, 1), 8),
    "four groups": Convolution((5, 5, 12), (3, 3), (1, 1), (1, 1), 4, 2),
    "a pixel": Convolution((1, 1, 50), (1, 1), column_tiles=2),
    "global": Convolution((4, 4, 9), (4, 4), column_tiles=3),
    "more padding than map": Convolution((2, 1, 7), (5, 5), (1, 1), (3, 3)),
    "windows apart": Convolution((16, 16, 2), (2, 2), (5, 3)),
    "1x3": Convolution((6, 8, 6), (1, 3), (1, 1), (0, 1)),
    "joined 3x3": Convolution((4, 5, 6), (3, 3), (1, 1), (1, 1), 1, 2, 4),
    "joined 3x3, large": Convolution((8, 8, 12), (3, 3), (1, 1), (1, 1), 1, 2, 4),
    "joined 3x3 by 2, a line left": Convolution((6, 5, 10), (3, 3), (2, 2), (0, 0), 1, 2, 2),
    "joined 1x1": Convolution((2, 3, 12), (1, 1), column_tiles=3, images=8),
    "joined, two groups": Convolution((3, 4, 8), (3, 3), (1, 1), (1, 1), 2, 2, 4),
    "joined depthwise": Convolution((4, 3, 8), (3, 3), (1, 1), (1, 1), 8, 1, 2),
    "3x1 by 1 and 2": Convolution((6, 8, 6), (3, 1), (1, 2), (1, 0)),
}

POOLS = {
    "3x3 by 2": Convolution((9, 8, 10), (3, 3), (2, 2), (1, 1)),
    "3x3 by 2, unpadded": Convolution((13, 13, 3), (3, 3), (2, 2)),
    "2x2 by 2": Convolution((10, 8, 9), (2, 2), (2, 2)),
    "3x3, large": Convolution((20, 8, 8), (3, 3), (1, 1), (1, 1)),
    "global": Convolution((5, 5, 13), (5, 5)),
    "global, larger than the buffer": Convolution((6, 5, 480), (6, 5)),
    "activation": Convolution((6, 7, 11), (1, 1)),
    "activation of a vector": Convolution((1, 1, 100), (1, 1)),
}

ADDITIONS = ((5, 6, 7), (1, 1, 60), (8, 8, 4), (12, 4, 9))

DENSE = ((40, 3, 2), (333, 5, 2), (1100, 4, 1), (7, 9, 3), (1536, 1, 2))
"""Depth, rows and column tiles."""


class Bench(ReaderBench):
    """A source of jobs: random words, containers, gaps and signs."""

    def __init__(self, dut: Any, t_r: int | None = None) -> None:
        seed = int(cocotb.RANDOM_SEED)
        super().__init__(dut, seed, t_r or random.Random(seed).choice((1, 4, 7, 16)))
        self.beats = 0
        self.pieces = 0
        self.resident = 0
        self.streamed = 0
        self.split = 0

    def container(self) -> int:
        """Return a container that words of products may lie in."""
        return self.rng.choice([c for c in (self.sizes.slot_log, 3) if c >= self.sizes.slot_log])

    def vector_word(self) -> tuple[int, int]:
        """Return wordlength and container of words of vector work."""
        if self.rng.random() < 0.3:
            return 16, 4
        return self.sizes.act_bits, self.container()

    def gaps(self, container: int) -> tuple[int, int]:
        """Return words before and behind a pixel's, whole bytes before."""
        unit = max(1, 8 >> container)
        return self.rng.choice(((0, 0), (0, 0), (2 * unit, 5), (0, 3)))

    def count(self, job: ActJob, beats: int) -> None:
        """Note a job."""
        assert job.fits(self.sizes), job
        self.beats += beats
        self.pieces += read_pieces(job, self.sizes)
        self.resident += job.resident
        self.streamed += not job.resident

    def convolve(self, case: Convolution, planted: bool = False) -> ActJob:
        """Queue a convolution."""
        signed, container = self.rng.random() < 0.5, self.container()
        height, *line = case.shape
        image = self.words((case.images * height, *line), self.sizes.act_bits, signed=signed)
        place = self.lay_out(image, container, signed, *self.gaps(container))
        place = replace(place, height=height, images=case.images)
        zero = 0 if signed else self.rng.getrandbits(self.sizes.act_bits)
        job = conv_job(place, case.groups, case.window, case.column_tiles, zero, self.sizes)
        tile = self.sizes.t_r, self.sizes.t_p
        if planted:
            image[-1, -1, -1] ^= 1
        beats = conv_beats(
            image.reshape(case.images, *case.shape), case.groups, case.window, tile,
            case.column_tiles, zero, self.sizes.act_bits, signed,
        )  # fmt: skip
        self.count(job, self.send(job, beats))
        return job

    def pool(self, case: Convolution) -> ActJob:
        """Queue a pooling."""
        signed = self.rng.random() < 0.5
        bits, container = self.vector_word()
        image = self.words(case.shape, bits, signed=signed)
        place = self.lay_out(image, container, signed, *self.gaps(container))
        zero = 0 if signed else self.rng.getrandbits(bits)
        job = pool_job(place, case.window, zero, self.sizes)
        # Some channels after the others where not all fit the buffer.
        parts = np.split(image, job.blocks, axis=2)
        beats = itertools.chain.from_iterable(
            pool_beats(part, case.window, zero, self.sizes.vector_lanes, 16, signed)
            for part in parts
        )
        self.split += job.blocks > 1
        self.count(job, self.send(job, beats))
        return job

    def add(self, shape: tuple[int, int, int]) -> ActJob:
        """Queue an addition of tensors of any two formats."""
        images, places = [], []
        for _ in range(2):
            signed = self.rng.random() < 0.5
            bits, container = self.vector_word()
            images.append(self.words(shape, bits, signed=signed))
            places.append(self.lay_out(images[-1], container, signed, *self.gaps(container)))
        first, second = places
        job = add_job(first, second, self.sizes)
        beats = add_beats(
            images[0], images[1], self.sizes.vector_lanes, 16, (first.signed, second.signed)
        )
        self.count(job, self.send(job, beats))
        return job

    def dense(self, depth: int, rows: int, column_tiles: int) -> ActJob:
        """Queue a dense layer of ``rows`` images."""
        signed, container = self.rng.random() < 0.5, self.container()
        bits = self.sizes.act_bits
        words = self.words((rows, depth), bits, signed=signed)
        stride = (-(-(depth << container) // 512) + 1) * 64
        base = self.allocate(rows * stride)
        for row in range(rows):
            place_words(self.memory.data, base + row * stride, words[row : row + 1], container, 0)
        job = dense_job(base, stride, container, signed, depth, rows, column_tiles, self.sizes)
        tile = self.sizes.t_r, self.sizes.t_p
        beats = product_beats([words], tile, column_tiles, bits, signed)
        self.count(job, self.send(job, beats))
        return job

    def stalls(self) -> Iterator[dict[str, Stall]]:
        """Yield combinations of the streams' stall patterns, without end."""
        names = ("memory", "command", "data", "beats")
        patterns = list(itertools.product(stall_patterns(self.rng).values(), repeat=len(names)))
        self.rng.shuffle(patterns)
        for pattern in itertools.cycle(patterns):
            yield dict(zip(names, pattern, strict=True))

    async def run_case(self, stalls: dict[str, Stall]) -> None:
        """Run what was queued."""
        self.stall(stalls, self.rng.randrange(MAX_LATENCY))
        await self.finish(400_000)
        self.new_memory()

    def check(self) -> None:
        """End the comparison: something was compared on the streams that were used."""
        assert self.act_board.done
        assert self.vec_board.done
        compared = self.act_board.compared + self.vec_board.compared
        assert compared == self.beats > 0
        cocotb.log.info(
            "%d beats compared, %d jobs resident, %d streamed, T_R %d",
            compared, self.resident, self.streamed, self.sizes.t_r,
        )  # fmt: skip


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def convolutions(dut: Any) -> None:
    """Every named convolution, each under two random stall patterns; one for few lanes, as slow."""
    bench = Bench(dut)
    await bench.testbench.start()
    times = 2 if bench.sizes.t_p >= FEW_LANES else 1
    for case, stalls in zip([*CONVOLUTIONS.values()] * times, bench.stalls(), strict=False):
        bench.convolve(case)
        await bench.run_case(stalls)
    bench.check()


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def dense_layers(dut: Any) -> None:
    """Dense layers of all depths, larger than the buffer and smaller."""
    bench = Bench(dut)
    await bench.testbench.start()
    for case, stalls in zip(DENSE * 2, bench.stalls(), strict=False):
        bench.dense(*case)
        await bench.run_case(stalls)
    assert bench.streamed
    assert bench.resident
    bench.check()


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def vector_work(dut: Any) -> None:
    """Poolings, activations and additions of all formats."""
    bench = Bench(dut)
    await bench.testbench.start()
    stalls = bench.stalls()
    for case in [*POOLS.values()] * 3:
        bench.pool(case)
        await bench.run_case(next(stalls))
    for shape in ADDITIONS * 4:
        bench.add(shape)
        await bench.run_case(next(stalls))
    assert bench.split
    bench.check()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One word changed in what is expected must fail the comparison."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.convolve(CONVOLUTIONS["1x1"], planted=True)
    with pytest.raises(AssertionError, match="act: item"):
        await bench.finish(10_000)
