"""The memory of a simulated cascade: files, images, buffers, and guards between them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolflow.emission.address_map import Placement, store_words
from toolflow.emission.memory_map import MemoryMap
from toolflow.emission.result_records import RECORD_BYTES
from toolflow.emission.steps import STORED_IMAGES
from toolflow.emission.stored_parameters import CHANNELS_FILE, WEIGHTS_FILE
from toolflow.fixedpoint import IntArray

BLOCK = 64
"""Regions are whole blocks: what the engines' addresses are aligned to."""

GUARD = 4 * BLOCK
LPU, HPU, RESULTS = 0, 1, 2
"""The AXI4 masters."""


@dataclass(frozen=True)
class Region:
    """Bytes ``base .. base + size - 1``, and the masters that read and that write them."""

    name: str
    base: int
    size: int
    readers: tuple[int, ...]
    writers: tuple[int, ...] = ()

    @property
    def end(self) -> int:
        """The first byte behind it, in whole blocks."""
        return self.base + -(-self.size // BLOCK) * BLOCK


@dataclass(frozen=True)
class Layout:
    """Where everything lies, by its name; ``banks`` is from a unit's workspace to its second."""

    regions: Mapping[str, Region]
    banks: Mapping[str, int]
    size: int

    def base(self, name: str) -> int:
        """Return a region's first byte."""
        return self.regions[name].base


def layout_of(memory_map: MemoryMap, files: Mapping[str, int], images: int) -> Layout:
    """Return a layout for ``images`` images; ``files`` are sizes in bytes by name."""
    stride = memory_map.hpu.tensors[STORED_IMAGES].image_stride
    wanted = [
        Region("descriptors_lpu", 0, files["descriptors_lpu"], (LPU,)),
        Region("descriptors_hpu", 0, files["descriptors_hpu"], (HPU,)),
        Region("weights", 0, files["weights"], (LPU, HPU)),
        Region("channels", 0, files["channels"], (LPU, HPU)),
        Region("images", 0, images * stride, (LPU, HPU)),
        Region("results", 0, images * RECORD_BYTES, (), (RESULTS,)),
    ]
    banks = {}
    for port, (unit, record) in enumerate((("lpu", memory_map.lpu), ("hpu", memory_map.hpu))):
        size = record.workspace_bytes
        banks[unit] = -(-size // BLOCK) * BLOCK + GUARD
        wanted += [
            Region(f"workspace_{unit}_{bank}", 0, size, (port, RESULTS), (port,)) for bank in (0, 1)
        ]
    regions, free = {}, GUARD
    for region in wanted:
        placed = Region(region.name, free, region.size, region.readers, region.writers)
        regions[region.name] = placed
        free = placed.end + GUARD
    return Layout(regions, banks, free)


class HostMemory:
    """A memory in a file: random bytes, then the plan's files and the images.

    Args:
        folder: the plan's folder.
        memory_map: its map.
        images: (N, C, H, W) integers in the stored images' format.
        path: the file to make.
        seed: of the random bytes.
    """

    def __init__(
        self, folder: Path, memory_map: MemoryMap, images: IntArray, path: Path, seed: int
    ) -> None:
        contents = {
            "descriptors_lpu": (folder / "descriptors_lpu.bin").read_bytes(),
            "descriptors_hpu": (folder / "descriptors_hpu.bin").read_bytes(),
            "weights": (folder / WEIGHTS_FILE).read_bytes(),
            "channels": (folder / CHANNELS_FILE).read_bytes(),
        }
        sizes = {name: len(data) for name, data in contents.items()}
        self.path = path
        self.layout = layout_of(memory_map, sizes, len(images))
        self.bytes = np.memmap(path, np.uint8, "w+", shape=(self.layout.size,))
        self.bytes[:] = np.random.default_rng(seed).integers(0, 256, self.layout.size, np.uint8)
        for name, data in contents.items():
            self._fill(name, np.frombuffer(data, np.uint8))
        place = memory_map.hpu.tensors[STORED_IMAGES]
        words = bytearray(len(images) * place.image_stride)
        store_words(words, 0, place, images)
        self._fill("images", np.frombuffer(words, np.uint8))
        self._fill("results", np.zeros(len(images) * RECORD_BYTES, np.uint8))
        self._guards = self._unowned()
        self._before = self.bytes[self._guards].copy()

    def region(self, name: str) -> bytes:
        """Return a region's bytes."""
        region = self.layout.regions[name]
        return self.bytes[region.base : region.base + region.size].tobytes()

    def window(self, start: int, placement: Placement, images: int) -> bytes:
        """Return the bytes of a tensor of ``images`` images, its placement's base first."""
        first = start + placement.base
        size = (images - 1) * placement.image_stride + placement.image_bytes
        return self.bytes[first : first + size].tobytes()

    def stray_bytes(self) -> int:
        """Return how many bytes that no master may write have changed."""
        return int(np.count_nonzero(self.bytes[self._guards] != self._before))

    def _fill(self, name: str, data: np.ndarray) -> None:
        base = self.layout.base(name)
        self.bytes[base : base + len(data)] = data

    def _unowned(self) -> np.ndarray:
        owned = np.zeros(self.layout.size, bool)
        for region in self.layout.regions.values():
            if region.writers:
                owned[region.base : region.base + region.size] = True
        return np.flatnonzero(~owned)


def script_regions(layout: Layout) -> list[str]:
    """Return the harness's lines that say which master may touch what."""
    return [
        f"region {region.base} {region.end} {_mask(region.readers)} {_mask(region.writers)}"
        for region in layout.regions.values()
    ]


def _mask(ports: tuple[int, ...]) -> int:
    return sum(1 << port for port in ports)


def rate_fraction(beats_per_cycle: float) -> tuple[int, int]:
    """Return beats and cycles of a rate, rounded down; at least one beat in 1000 cycles."""
    return max(1, math.floor(beats_per_cycle * 1000)), 1000
