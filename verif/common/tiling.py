"""How a matrix product is cut into the MM unit's streams, and how many cycles that takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Tiling:
    """Tile sizes of an MM unit: T_R rows, T_P deep, T_C columns."""

    t_r: int
    t_p: int
    t_c: int


@dataclass(frozen=True)
class Streams:
    """The beats of one matrix product, in order.

    Attributes:
        weights: beats x T_P, one column of a weight tile a beat.
        acts: beats x T_P, one row of a tile a beat.
        first: per activation beat: first chunk of P.
        last: per activation beat: last chunk of P.
        tile_last: per activation beat: last row of its tile.
        outputs: beats x T_C, the accumulators that must come out.
    """

    weights: IntArray
    acts: IntArray
    first: NDArray[np.bool_]
    last: NDArray[np.bool_]
    tile_last: NDArray[np.bool_]
    outputs: IntArray


def chunks(total: int, size: int) -> Iterator[slice]:
    """Cut ``range(total)`` into slices of ``size``; the last may be shorter."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def padded(block: IntArray, shape: tuple[int, int]) -> IntArray:
    """Return ``block`` with zeros added at the high ends up to ``shape``."""
    return np.pad(block, [(0, shape[0] - block.shape[0]), (0, shape[1] - block.shape[1])])


def tile_rows(rows: int, depth: int, columns: int, tiling: Tiling) -> list[int]:
    """Return the number of rows of every tile of an ``R x P x C`` product, in order."""
    row_tiles = [piece.stop - piece.start for piece in chunks(rows, tiling.t_r)]
    depth_tiles = len(range(0, depth, tiling.t_p))
    column_tiles = len(range(0, columns, tiling.t_c))
    return [count for count in row_tiles for _ in range(depth_tiles)] * column_tiles


def streams(a: IntArray, b: IntArray, tiling: Tiling) -> Streams:
    """Cut ``a @ b`` into streams: column tiles outermost, then row tiles, then chunks of P."""
    product = a @ b
    weights, acts, first, last, tile_last, outputs = [], [], [], [], [], []
    depth_slices = list(chunks(a.shape[1], tiling.t_p))
    for columns in chunks(b.shape[1], tiling.t_c):
        for rows in chunks(a.shape[0], tiling.t_r):
            count = rows.stop - rows.start
            for index, depth in enumerate(depth_slices):
                weights.append(padded(b[depth, columns], (tiling.t_p, tiling.t_c)).T)
                acts.append(padded(a[rows, depth], (count, tiling.t_p)))
                first.append(np.full(count, index == 0))
                last.append(np.full(count, index == len(depth_slices) - 1))
                tile_last.append(np.arange(count) == count - 1)
            outputs.append(padded(product[rows, columns], (count, tiling.t_c)))
    return Streams(
        weights=np.concatenate(weights),
        acts=np.concatenate(acts),
        first=np.concatenate(first),
        last=np.concatenate(last),
        tile_last=np.concatenate(tile_last),
        outputs=np.concatenate(outputs),
    )


def row_cycles(rows: Sequence[int], t_c: int) -> list[int]:
    """Return the cycle in which each row enters an MM unit whose streams never wait.

    Cycle 0 is that of the first weight beat. A tile starts when its ``t_c`` weight beats are in,
    which are loaded from the previous tile's start on, and when the previous tile's rows are done:
    in the steady state a tile takes ``max(rows, t_c)`` cycles.
    """
    start = t_c
    cycles: list[int] = []
    for count in rows:
        cycles.extend(range(start, start + count))
        start += max(count, t_c)
    return cycles
