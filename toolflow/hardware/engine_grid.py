"""Cycles of a network's steps on a grid of engines, by the model of ``engine_cycles``.

Nothing is quantised yet: steps are geometry (``engine_steps``). A grid has the axes T_R, T_P, T_C,
weight depth and activation buffer, in this order, as arrays that broadcast together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

from toolflow.emission.memory_images import BLOCK_WORDS
from toolflow.hardware.act_jobs import (
    ActJob,
    ReaderSizes,
    add_job,
    conv_jobs,
    dense_job,
    fetched_beats,
    images_in_tile,
    joined,
    pool_job,
    read_pieces,
)
from toolflow.hardware.engine import (
    VECTOR_LANES,
    EngineSizes,
    Op,
    act_buffer_words,
    segmentations,
    weight_buffer_words,
)
from toolflow.hardware.engine_cycles import (
    Number,
    Parts,
    Port,
    Product,
    Region,
    UnitSizes,
    Vector,
    Writes,
    load_of,
    pieces_of,
    product_cycles,
    tile_writes,
    vector_cycles,
    vector_of,
    weight_blocks,
)
from toolflow.hardware.engine_steps import StepWork

Axes = tuple[NDArray[np.int64], ...]
T_R, T_P, T_C, DEPTH, WORDS = range(5)


@dataclass(frozen=True, eq=False)
class Choice:
    """A way to do a step on some engines of a grid: those that can, and choose this job."""

    chosen: NDArray[np.bool_]
    work: Product | Vector


class StepGrid:
    """One step on a grid of engines, weights of any wordlength.

    Args:
        step: the step.
        axes: of the grid.
        act_bits: wordlength of activations.
        data_bits: of the memory port.
        images: of a batch.
    """

    def __init__(
        self, step: StepWork, axes: Axes, act_bits: int, data_bits: int, images: int
    ) -> None:
        self._step = step
        self._act_bits, self._data_bits, self._images = act_bits, data_bits, images
        # Tiles of more rows than there are do as well as one of all.
        rows = np.array([self._tile_rows(int(t_r)) for t_r in axes[T_R].flat])
        unique, self._of_t_r = np.unique(rows, return_inverse=True)
        self._axes = (unique.reshape(-1, *axes[T_R].shape[1:]), *axes[1:])
        self._buffers = [list(self._choices(int(words))) for words in axes[WORDS].flat]

    def cycles(self, high_bits: int, low_bits: int, port: Port, *, last: bool = False) -> Parts:
        """Return all engines' cycles in the fastest way, infinite where the step does not fit.

        Args:
            high_bits, low_bits: of a weight that are read, plane by plane.
            port: the engine's memory.
            last: no descriptor is behind the step's.
        """
        shape = np.broadcast_shapes(*(axis.shape for axis in self._axes))
        whole = Parts(*(np.full(shape, np.inf) for _ in Parts._fields))
        for buffer, choices in enumerate(self._buffers):
            for choice in choices:
                if isinstance(choice.work, Product):
                    work = replace(choice.work, high_bits=high_bits, low_bits=low_bits)
                    parts = product_cycles(work, port, last=last)
                else:
                    parts = vector_cycles(choice.work, port)
                found = Parts(*(values[..., buffer : buffer + 1] for values in whole))
                equal = (parts.total == found.total) & (parts.beats < found.beats)
                better = choice.chosen & ((parts.total < found.total) | equal)
                for values, part in zip(found, parts, strict=True):
                    np.copyto(values, part, where=better)
        return Parts(*(np.take(values, self._of_t_r.reshape(-1), axis=T_R) for values in whole))

    # ------------------------------------------------------------------ jobs

    def _choices(self, words: int) -> Iterator[Choice]:
        """Yield what the step is on engines of one activation buffer."""
        if not self._step.is_product:
            yield from self._vector(words)
            return
        tiles = -(-self._step.columns // self._axes[T_C])
        yield from self._products(tiles, words, tile_major=False)
        if self._step.op == Op.CONV and self._step.groups == 1:
            yield from self._products(np.ones_like(tiles), words, tile_major=True)

    def _tile_rows(self, t_r: int) -> int:
        """Return the rows of a row tile, as many as there are at most."""
        step = self._step
        if step.op == Op.DENSE:
            return min(t_r, self._images)
        images = images_in_tile(step.rows, t_r, self._images) if step.can_join else 1
        return min(t_r, images * step.rows)

    def _products(self, tiles: NDArray[np.int64], words: int, tile_major: bool) -> Iterator[Choice]:
        """Yield what a product is in one order; ``tiles``: column tiles of a reader's job."""
        options = [
            self._option(jobs, tiles, words) for jobs in zip(*self._jobs(words), strict=True)
        ]
        shape = np.broadcast_shapes(*(axis.shape for axis in self._axes[:WORDS]))
        fits, costs, beats = (
            np.stack([np.broadcast_to(getattr(option, name), shape) for option in options])
            for name in ("fits", "cost", "beats")
        )
        # As conv_job: what fits, then the fastest, then the least traffic.
        costs = np.where(fits, costs, np.inf)
        beats = np.where(costs == costs.min(axis=0), beats, np.inf)
        best = beats.argmin(axis=0)
        for index, option in enumerate(options):
            chosen = fits[index] & (best == index)
            if not chosen.any():
                continue
            for weights in self._weights:
                if (there := chosen & weights.fits).any():
                    yield Choice(there, self._product(option, weights, words, tile_major))

    def _jobs(self, words: int) -> list[list[ActJob]]:
        """Return the jobs to choose from, for each T_R: on chip for good, one column tile."""
        step = self._step
        return [
            [
                dense_job(
                    0, step.image_stride, step.inputs[0].container, False, step.depth,
                    self._images, 1, self._reader(int(t_r), words),
                )
            ]
            if step.op == Op.DENSE
            else self._conv_jobs(self._reader(int(t_r), words))
            for t_r in self._axes[T_R].flat
        ]  # fmt: skip

    def _conv_jobs(self, reader: ReaderSizes) -> list[ActJob]:
        step, place = self._step, self._step.inputs[0]
        assert step.window is not None
        if step.can_join:
            place = joined(place, step.groups, step.window, self._images, reader)
        return conv_jobs(place, step.groups, step.window, 1, 0, reader)

    def _reader(self, t_r: int, words: int, t_p: int = 64) -> ReaderSizes:
        slots = act_buffer_words(t_p, self._act_bits, self._data_bits, words)
        return ReaderSizes(t_r, t_p, self._act_bits, VECTOR_LANES, slots, self._data_bits)

    def _vector(self, words: int) -> Iterator[Choice]:
        step, reader = self._step, self._reader(1, words)
        if step.op == Op.ADD:
            job = add_job(step.inputs[0], step.inputs[1], reader)
        else:
            assert step.window is not None
            job = pool_job(step.inputs[0], step.window, 0, reader)
        if job.fits(reader):
            sizes = EngineSizes(1, 1, 1, act_words=reader.buffer_slots, data_bits=self._data_bits)
            unit = UnitSizes(sizes, self._act_bits, joins=False)
            values = self._descriptor(job)
            yield Choice(np.array(True), vector_of(values, unit, self._images))

    def _option(self, jobs: tuple[ActJob, ...], tiles: NDArray[np.int64], words: int) -> _Option:
        """Return one of the jobs to choose from; ``jobs``: for each T_R."""
        job = jobs[0]
        loads = np.where(self._along(T_R, [job.resident for job in jobs]), 1, tiles)
        reader = self._reader(1, words)
        pieces = [read_pieces(job, replace(reader, t_p=int(t))) for t in self._axes[T_P].flat]
        beats = self._along(T_R, [fetched_beats(job, reader) for job in jobs]) * loads
        of_tile = np.array([job.rows for job in jobs]) // job.rows
        return _Option(
            jobs=jobs,
            fits=self._along(
                T_R,
                [
                    job.fits(self._reader(int(t_r), words))
                    for job, t_r in zip(jobs, self._axes[T_R].flat, strict=True)
                ],
            ),
            beats=beats,
            cost=np.maximum(beats, self._along(T_R, of_tile) * self._along(T_P, pieces) * tiles),
        )

    def _product(self, option: _Option, weights: _Weights, words: int, tile_major: bool) -> Product:
        """Return a product on all engines of one activation buffer."""
        step, job = self._step, option.jobs[0]
        dense = step.op == Op.DENSE
        rows = self._along(T_R, [each.rows for each in option.jobs])
        jobs = 1 if dense else -(-self._images * step.rows // rows)
        t_r, t_p, t_c = (self._axes[axis] for axis in (T_R, T_P, T_C))
        values = self._descriptor(job)
        loads = [
            load_of(self._descriptor(each), self._data_bits, self._images) for each in option.jobs
        ]
        beats, commands = (self._along(T_R, of) for of in zip(*loads, strict=True))
        pieces = [pieces_of(values, int(size)) for size in t_p.flat]
        most = max(map(max, pieces))
        writes = [
            tile_writes(values, int(size), self._data_bits).scaled(step.written)
            for size in t_c.flat
        ]
        row_tiles = -(-rows // t_r)
        tiles = step.groups * -(-step.columns // t_c)
        shared = jobs if tile_major else 1
        runs, passes = (shared * tiles, 1) if tile_major else (jobs, tiles)
        read_again = np.where(weights.segments > 1, row_tiles * shared, 1)
        blocks = weights.blocks * read_again
        share = passes / (tiles * shared)
        return Product(
            runs=runs,
            shared=shared,
            rows=rows,
            tile_rows=np.minimum(t_r, rows),
            t_c=t_c,
            t_p=t_p,
            pieces=tuple(
                self._along(T_P, [chunks.count(n) for chunks in pieces]) for n in range(1, most + 1)
            ),
            passes=passes,
            blocks=job.blocks,
            resident=self._along(T_R, [each.resident for each in option.jobs]),
            chunks=self._along(T_P, [len(chunks) for chunks in pieces]),
            row_chunks=self._along(
                T_P, [1.0 if dense else len(chunks) / job.kernel_rows for chunks in pieces]
            ),
            kernel_rows=1 if dense else job.kernel_rows,
            stride=1 if dense else job.stride_lines,
            pad=0 if dense else job.pad_top,
            height=rows
            if dense
            else self._along(T_R, [each.load_slots // each.line_slots for each in option.jobs]),
            out_width=1 if dense else job.out_width,
            beats=beats,
            commands=commands,
            load_slots=rows * step.depth
            if dense
            else self._along(T_R, [each.load_slots for each in option.jobs]),
            window_slots=self._along(T_R, [job.window_slots for job in option.jobs]),
            room=self._reader(1, words).buffer_slots,
            weight_blocks=blocks * share,
            job_blocks=blocks,
            columns=step.columns,
            column_tiles=tiles // step.groups,
            segments=weights.segments,
            whole=weights.whole,
            last=weights.last,
            weight_words=weights.words,
            high_bits=0,
            low_bits=0,
            row_words=self._along(T_P, [1 << (int(size) - 1).bit_length() for size in t_p.flat]),
            data_bits=self._data_bits,
            records=step.groups * step.columns * share,
            last_pieces=self._along(T_P, [chunks[-1] for chunks in pieces]),
            writes=Writes(
                *(
                    self._along(T_C, [getattr(write, name) for write in writes])
                    for name in ("cycles", "beats", "bursts")
                )
            ),
        )

    @cached_property
    def _weights(self) -> tuple[_Weights, _Weights]:
        """How the weights are loaded, whole column tiles or segments, for all T_P, T_C, depths."""
        step = self._step
        axes = [self._axes[axis] for axis in (T_P, T_C, DEPTH)]
        shape = np.broadcast_shapes(*(axis.shape for axis in axes))
        sizes = list(zip(*(np.broadcast_to(a, shape).flat for a in axes), strict=True))

        def way(segmented: bool) -> _Weights:
            found = np.array(
                [
                    _loaded(step.groups * step.columns, step.depth, segmented, *map(int, size))
                    for size in sizes
                ]
            )
            words, count, blocks, chunks, in_whole, last_chunks, in_last = (
                found[:, place].reshape(shape) for place in range(7)
            )
            whole, last = Region(chunks, in_whole), Region(last_chunks, in_last)
            return _Weights(count > 0, words, np.maximum(count, 1), blocks, whole, last)

        return way(False), way(True)

    def _descriptor(self, job: ActJob) -> dict[str, int]:
        """Return the fields of a descriptor that the model looks at."""
        step = self._step
        fields = {f"read_{name}": value for name, value in asdict(job).items()}
        return fields | {
            "op": int(step.op),
            "rows": step.rows,
            "groups": step.groups,
            "columns": step.columns,
            "in_container": step.inputs[0].container,
            "second_container": step.inputs[-1].container,
            "out_container": step.out_container,
            "out_base": step.out_base,
            "out_channels": step.out_channels,
            "out_pixel_bytes": step.out_pixel_bytes,
            "out_stride": step.out_stride,
        }

    def _along(self, axis: int, values: Sequence[float] | NDArray[np.int64]) -> Number:
        """Return an array along an axis of the grid."""
        return np.array(values).reshape(self._axes[axis].shape)


@dataclass(frozen=True, eq=False)
class _Option:
    """A convolution's jobs, one for each T_R, and what ``conv_job`` chooses them by."""

    jobs: tuple[ActJob, ...]
    fits: Number
    beats: Number
    cost: Number


@dataclass(frozen=True, eq=False)
class _Weights:
    """The weight buffer's words, and how it is loaded: see ``Product``; blocks of a row tile.

    ``fits``: the engines that can do so.
    """

    fits: NDArray[np.bool_]
    words: Number
    segments: Number
    blocks: Number
    whole: Region
    last: Region


@lru_cache(maxsize=1 << 16)
def _loaded(
    columns: int, depth: int, segmented: bool, t_p: int, t_c: int, weight_depth: int
) -> tuple[float, ...]:
    """Return the buffer's words, segments, blocks, and a whole segment's and the last's parts.

    Parts are chunks of depth and blocks of a column. No segments: it cannot be done in this way.
    """
    words = weight_buffer_words(t_p, t_c, weight_depth)
    ways = segmentations(EngineSizes(1, t_p, t_c, weight_words=words), depth)
    found = [(way.count, way.depth) for way in ways if (way.count > 1) == segmented]
    chunks = -(-depth // t_p)
    in_column = depth / BLOCK_WORDS
    if not found or not segmented:
        blocks = -(-columns * depth // BLOCK_WORDS)
        return words, len(found), blocks, chunks, in_column, chunks, in_column
    count, each = found[0]
    # Columns begin at the same places of a block again and again.
    period = min(columns, BLOCK_WORDS // gcd(depth, BLOCK_WORDS))
    blocks, in_whole, in_last = weight_blocks(period, depth, each)
    last = depth - (count - 1) * each
    blocks_of_all = blocks * columns / period
    return words, count, blocks_of_all, each // t_p, in_whole, -(-last // t_p), in_last
