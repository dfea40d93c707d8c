"""A plan's folder as its integrator finds it: layers with their data, ready for the MM unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from toolflow.emission.descriptors import WORDS, Op, decode
from toolflow.emission.files import GOLDEN_FILE
from toolflow.emission.memory_images import BLOCK_WORDS, RECORD_BYTES
from toolflow.emission.stored_parameters import CHANNELS_FILE, WEIGHTS_FILE
from toolflow.plan import Plan, read_plan

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


def descriptors_of(folder: Path, unit: str) -> list[dict[str, int]]:
    """Return all of a unit's descriptors."""
    data = (folder / f"descriptors_{unit}.bin").read_bytes()
    size = 4 * WORDS
    return [decode(data[k : k + size]) for k in range(0, len(data), size)]


def jobs_of(folder: Path, unit: str, layers: Sequence[str], image: int = 0) -> Iterator[LayerJob]:
    """Yield the named layers' groups for one golden image.

    Raises:
        KeyError: a layer is not in the plan.
    """
    plan = read_plan(folder)
    golden = np.load(folder / GOLDEN_FILE)
    tensors = {
        index: golden[f"{unit}/tensor/{tensor.name}"][image].astype(np.int64)
        for index, tensor in enumerate(plan.tensors)
    }
    descriptors = descriptors_of(folder, unit)
    names = [layer.name for layer in plan.layers]
    assert len(names) == len(descriptors), "a layer with several descriptors: match by tensor"
    by_name = dict(zip(names, descriptors, strict=True))
    for name in layers:
        yield from _jobs(folder, plan, name, by_name[name], tensors)


def _jobs(
    folder: Path, plan: Plan, name: str, d: dict[str, int], tensors: dict[int, IntArray]
) -> Iterator[LayerJob]:
    x, y = tensors[d["input_first"]] + d["zero_in"], tensors[d["output"]] + d["zero_out"]
    groups, out_channels = d["groups"], d["out_channels"]
    if d["op"] == Op.CONV:
        depth = d["kernel_height"] * d["kernel_width"] * d["in_channels"] // groups
        columns = _im2col(x, d)
        results = y.transpose(1, 2, 0).reshape(-1, out_channels)
    else:
        depth = x.size
        columns = [_channel_last_vector(d, tensors, x)[None]]
        results = y[None]
    width = out_channels // groups
    planes = _planes(folder, plan.hpu.weight_bits, d, (groups, width, depth))
    records = (folder / CHANNELS_FILE).read_bytes()[d["records_offset"] :]
    for group in range(groups):
        part = slice(group * width, (group + 1) * width)
        group_records = records[RECORD_BYTES * part.start : RECORD_BYTES * part.stop]
        yield LayerJob(name, d, columns[group], planes, group, group_records, results[:, part])


def _planes(
    folder: Path, stored_bits: int, d: dict[str, int], shape: tuple[int, int, int]
) -> Planes:
    data = (folder / WEIGHTS_FILE).read_bytes()
    low_bits = d["weight_low_bits"]
    high_bits = stored_bits - low_bits
    blocks = -(-prod(shape) // BLOCK_WORDS)

    def plane(offset: int, bits: int) -> bytes:
        return data[offset : offset + blocks * bits * BLOCK_WORDS // 8]

    high, low = plane(d["weight_offset"], high_bits), plane(d["weight_low_offset"], low_bits)
    return Planes(high, low, high_bits, low_bits, shape)


def _im2col(x: IntArray, d: dict[str, int]) -> list[IntArray]:
    """Return a matrix a group, output pixels x (kernel row, kernel column, channel)."""
    padded = np.pad(
        x,
        ((0, 0), (d["pad_top"], d["pad_bottom"]), (d["pad_left"], d["pad_right"])),
        constant_values=d["zero_in"],
    )
    kernel = (d["kernel_height"], d["kernel_width"])
    windows = sliding_window_view(padded, kernel, axis=(1, 2))
    windows = windows[:, :: d["stride_height"], :: d["stride_width"]]
    per_group = np.split(windows, d["groups"], axis=0)
    return [
        part.transpose(1, 2, 3, 4, 0).reshape(-1, kernel[0] * kernel[1] * part.shape[0])
        for part in per_group
    ]


def _channel_last_vector(d: dict[str, int], tensors: dict[int, IntArray], x: IntArray) -> IntArray:
    """Return a dense layer's input in memory order: channel-last if it was flattened."""
    for source, tensor in tensors.items():
        flat = tensor.ndim == 3 and source < d["input_first"] and tensor.size == x.size
        if flat and np.array_equal(tensor.reshape(-1) + d["zero_in"], x):
            return tensor.transpose(1, 2, 0).reshape(-1) + d["zero_in"]
    return x
