"""Layers' outputs as the writer gets them, and the beats that must come of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import lcm

import numpy as np
from numpy.typing import NDArray

from toolflow.emission.address_map import Placement

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Sizes:
    """What the design is built for."""

    columns: int
    vector_lanes: int
    beat_bytes: int


@dataclass(frozen=True, eq=False)
class WrittenLayer:
    """A layer's output.

    Attributes:
        words: (N, C, H, W), as they lie in memory.
        place: where.
        vector: whether the vector unit makes it.
        groups: of a product, each of C / groups columns.
        dense: whether the images are rows of one job.
        tile_major: whether a job is an image's column tile, all images' before the next tile's.
    """

    words: IntArray
    place: Placement
    vector: bool
    groups: int = 1
    dense: bool = False
    tile_major: bool = False

    @property
    def columns(self) -> int:
        """Channels of a group."""
        return self.place.channels // self.groups

    def settings(self, sizes: Sizes) -> dict[str, int]:
        """Return the design's settings; junk for the path that is not used."""
        place = self.place
        return {
            "vector": int(self.vector),
            "container": place.container.bit_length() - 1,
            "rows": len(self.words) if self.dense else place.height * place.width,
            "pitch": place.image_stride if self.dense else place.pixel_bytes,
            "groups": 0 if self.vector else self.groups,
            "channels": place.channels if self.vector else 0,
        }

    def jobs(self, sizes: Sizes) -> Iterator[tuple[dict[str, int], list[Segment]]]:
        """Yield each job's fields and its segments in order."""
        place = self.place
        tiles = -(-self.columns // sizes.columns)
        last = self.columns - (tiles - 1) * sizes.columns
        own = {"tiles": 0 if self.vector else tiles, "last": 0xFF if self.vector else last}
        rows = self.words.reshape(*self.words.shape[:2], -1).transpose(0, 2, 1)
        if self.dense:
            found = list(self._segments(rows[:, 0], place.image_stride, sizes))
            yield {"base": place.base} | own, found
            return
        for tile in range(tiles) if self.tile_major else (None,):
            for image, words in enumerate(rows):
                offset = image * place.image_stride
                base = place.base + offset
                found = [
                    Segment(offset + s.address, s.bytes, s.words)
                    for s in self._segments(words, place.pixel_bytes, sizes)
                ]
                if tile is not None:
                    count = len(words)
                    found = found[tile * count : (tile + 1) * count]
                    base = found[0].address
                    own = {"tiles": 1, "last": last if tile == tiles - 1 else sizes.columns}
                yield {"base": base} | own, found

    def _segments(self, rows: IntArray, pitch: int, sizes: Sizes) -> Iterator[Segment]:
        bits, base = self.place.container, self.place.base
        if self.vector:
            step = sizes.vector_lanes
            pieces = [
                (row, first, min(first + step, self.place.channels))
                for row in range(len(rows))
                for first in range(0, self.place.channels, step)
            ]
        else:
            pieces = [
                (row, group + tile, min(group + tile + sizes.columns, group + self.columns))
                for group in range(0, self.place.channels, self.columns)
                for tile in range(0, self.columns, sizes.columns)
                for row in range(len(rows))
            ]
        for row, first, end in pieces:
            address = base + row * pitch + first * bits // 8
            yield Segment(address, -(-(end - first) * bits // 8), rows[row, first:end])


@dataclass(frozen=True, eq=False)
class Segment:
    """A beat of words: its first byte's address, its length, and its words."""

    address: int
    bytes: int
    words: IntArray


@dataclass(frozen=True)
class WrittenBeat:
    """A beat of memory: address and strobes."""

    address: int
    strobes: int


def beats_of(segments: Iterable[Segment], beat_bytes: int) -> list[WrittenBeat]:
    """Return the beats of a job: bytes of one beat that come one after the other are together."""
    beats: list[WrittenBeat] = []
    for segment in segments:
        for address in range(segment.address, segment.address + segment.bytes):
            beat, strobe = address - address % beat_bytes, 1 << address % beat_bytes
            if beats and beats[-1].address == beat:
                strobe |= beats.pop().strobes
            beats.append(WrittenBeat(beat, strobe))
    return beats


def runs_of(beats: Iterable[WrittenBeat], beat_bytes: int) -> list[int]:
    """Return the lengths of the runs of successive beats."""
    runs: list[int] = []
    after = None
    for beat in beats:
        if beat.address == after:
            runs[-1] += 1
        else:
            runs.append(1)
        after = beat.address + beat_bytes
    return runs


def cycles_of(segments: Iterable[Segment], beat_bytes: int) -> list[int]:
    """Return every segment's cycles, by the formula of the design's header."""
    cycles: list[int] = []
    written_last = None
    for segment in segments:
        first, end = segment.address, segment.address + segment.bytes
        crosses = first % beat_bytes + min(segment.bytes, beat_bytes) > beat_bytes
        apart = written_last is not None and first // beat_bytes != written_last
        cycles.append(-(-segment.bytes // beat_bytes) + int(crosses and apart))
        written_last = (end - 1) // beat_bytes
    return cycles


def random_layer(sizes: Sizes, size: int, rng: random.Random) -> WrittenLayer:
    """Draw a layer's output that lies anywhere in ``size`` bytes."""
    while True:
        made = _random_layer(sizes, rng)
        place = made.place
        if place.base + len(made.words) * place.image_stride <= size:
            return made


def _random_layer(sizes: Sizes, rng: random.Random) -> WrittenLayer:
    vector, dense = rng.random() < 0.4, rng.random() < 0.15
    dense = dense and not vector
    container = rng.choice([2, 4, 8, 16])
    unit = lcm(container, 8) // container
    groups = rng.choice([1, 1, 2, 3]) if not vector and not dense else 1
    most = 3 * (sizes.vector_lanes if vector else sizes.columns)
    columns = rng.choice([rng.randint(1, most), rng.randint(1, most), sizes.columns])
    if groups > 1:
        columns = -(-columns // unit) * unit
    if not vector and columns > sizes.columns and sizes.columns % unit:
        container, unit = max(container, 8), 1
    channels = groups * columns
    height, width = (1, 1) if dense else (rng.randint(1, 5), rng.randint(1, 5))
    packed = -(-channels // unit) * unit
    pitch = rng.choice([packed, packed, packed + unit * rng.randint(1, 9)])
    size = height * width * pitch * container // 8
    place = Placement(
        in_images=False,
        base=rng.choice([0, 64, rng.randint(1, 200)]),
        image_stride=rng.choice([size, -(-size // 64) * 64, size + rng.randint(1, 70)]),
        channels=channels,
        height=height,
        width=width,
        pitch=pitch,
        container=container,
    )
    half = 1 << (container - 1)
    low = -half if rng.random() < 0.5 else 0
    draw = np.random.default_rng(rng.getrandbits(32))
    words = draw.integers(low, low + 2 * half, (rng.randint(1, 3), channels, height, width))
    tile_major = groups == 1 and not vector and not dense and rng.random() < 0.5
    return WrittenLayer(words, place, vector, groups, dense, tile_major)
