"""A plan's folder as its integrator finds it: layers with their data, ready for the MM unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from toolflow.emission.descriptors import decode_all
from toolflow.emission.files import GOLDEN_FILE
from toolflow.emission.memory_images import BLOCK_WORDS, RECORD_BYTES
from toolflow.emission.memory_map import UnitMap, read_memory_map
from toolflow.emission.memory_order import memory_order
from toolflow.emission.steps import row_pools
from toolflow.emission.stored_parameters import CHANNELS_FILE, WEIGHTS_FILE
from toolflow.hardware.engine import Op
from toolflow.network.importer import load_network
from toolflow.plan import MODEL_FILE

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Planes:
    """A layer's stored weights as they lie in memory.

    Attributes:
        high, low: the planes' bytes, whole blocks.
        high_bits, low_bits: their digits' widths.
        shape: groups, columns of a group, depth.
    """

    high: bytes
    low: bytes
    high_bits: int
    low_bits: int
    shape: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class LayerJob:
    """One group of one layer for one image: ``outputs = requantise(acts @ weights + biases)``.

    Activations are words as they lie in memory, ``q + zero``.

    Attributes:
        descriptor: the layer's descriptor fields.
        acts: rows x depth, the unit's activations (padding made: the word of the zero point).
        planes: the layer's weights; the same object for all groups of a layer.
        group: which of the layer's groups.
        records: the columns' channel records, the bytes as they lie in memory.
        outputs: rows x columns, what the emulator says.
    """

    name: str
    descriptor: dict[str, int]
    acts: IntArray
    planes: Planes
    group: int
    records: bytes
    outputs: IntArray


def jobs_of(folder: Path, unit: str, layers: Sequence[str], image: int = 0) -> Iterator[LayerJob]:
    """Yield the named layers' groups for one golden image.

    Raises:
        KeyError: a layer is not in the plan.
    """
    network = load_network(folder / MODEL_FILE)
    golden = np.load(folder / GOLDEN_FILE)
    descriptors = decode_all((folder / f"descriptors_{unit}.bin").read_bytes())
    memory: UnitMap = getattr(read_memory_map(folder), unit)
    steps = {step.name: place for place, step in enumerate(memory.steps)}
    pools = row_pools(network)
    for name in layers:
        step = memory.steps[steps[name]]
        # What a layer pools by the way is pooled after the MM unit.
        result = pools[name].inputs[0] if name in pools else step.output
        x, y = (
            golden[f"{unit}/tensor/{tensor}"][image].astype(np.int64)
            for tensor in (step.inputs[0], result)
        )
        if x.ndim == 1:
            x = x[memory_order(network, step.inputs[0])]
        yield from _jobs(folder, name, descriptors[steps[name]], x, y)


def _jobs(
    folder: Path, name: str, d: dict[str, int], x: IntArray, y: IntArray
) -> Iterator[LayerJob]:
    """Yield a layer's groups; ``x`` and ``y`` are an image's input and output, memory's order."""
    x = x + d["zero_in"]
    y = y + d["zero_out"]
    groups, width, depth = d["groups"], d["columns"], d["depth"]
    if d["op"] == Op.CONV:
        columns = _im2col(x, d, y.shape[1:])
        results = y.transpose(1, 2, 0).reshape(-1, groups * width)
    else:
        columns, results = [x[None]], y[None]
    planes = _planes(folder, d, (groups, width, depth))
    records = (folder / CHANNELS_FILE).read_bytes()[d["records_offset"] :]
    for group in range(groups):
        part = slice(group * width, (group + 1) * width)
        group_records = records[RECORD_BYTES * part.start : RECORD_BYTES * part.stop]
        yield LayerJob(name, d, columns[group], planes, group, group_records, results[:, part])


def _planes(folder: Path, d: dict[str, int], shape: tuple[int, int, int]) -> Planes:
    data = (folder / WEIGHTS_FILE).read_bytes()
    high_bits, low_bits = d["weight_high_bits"], d["weight_low_bits"]
    blocks = -(-prod(shape) // BLOCK_WORDS)

    def plane(offset: int, bits: int) -> bytes:
        return data[offset : offset + blocks * bits * BLOCK_WORDS // 8]

    high, low = plane(d["weight_offset"], high_bits), plane(d["weight_low_offset"], low_bits)
    return Planes(high, low, high_bits, low_bits, shape)


def _im2col(x: IntArray, d: dict[str, int], out: tuple[int, ...]) -> list[IntArray]:
    """Return a matrix a group, ``out`` pixels x (kernel row, column, channel)."""
    kernel = (d["kernel_height"], d["kernel_width"])
    top, left = d["pad_top"], d["pad_left"]
    bottom = (out[0] - 1) * d["stride_height"] + kernel[0] - top - d["in_height"]
    right = (out[1] - 1) * d["stride_width"] + kernel[1] - left - d["in_width"]
    padded = np.pad(
        x, ((0, 0), (top, max(bottom, 0)), (left, max(right, 0))), constant_values=d["zero_in"]
    )
    windows = sliding_window_view(padded, kernel, axis=(1, 2))
    windows = windows[:, :: d["stride_height"], :: d["stride_width"]]
    per_group = np.split(windows, d["groups"], axis=0)
    return [
        part.transpose(1, 2, 3, 4, 0).reshape(-1, kernel[0] * kernel[1] * part.shape[0])
        for part in per_group
    ]
