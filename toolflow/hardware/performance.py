"""How fast an engine is: exact cycles of the MM unit, and a roofline over memory traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolflow.fixedpoint import storage_bits
from toolflow.hardware.devices import Device
from toolflow.hardware.resources import Count, EngineConfig
from toolflow.hardware.workload import LayerWork

PIPELINE_CYCLES = 5
"""Cycles beyond T_P from a row's acceptance to its output (``rtl/mm/mm_unit.sv``)."""


@dataclass(frozen=True)
class LayerTime:
    """A layer's time for one batch of images.

    Attributes:
        cycles: Cycles of the MM unit.
        bytes: Bytes read and written off chip.
        seconds: The longer of the two at the device's clock and bandwidth.
        bound: "compute" or "memory", whichever is longer.
    """

    name: str
    cycles: int
    bytes: int
    seconds: float
    bound: str


@dataclass(frozen=True)
class EngineTime:
    """An engine's time on a whole network; ``images_per_s`` has all the device's bandwidth."""

    layers: tuple[LayerTime, ...]
    cycles_per_image: float
    bytes_per_image: float
    images_per_s: float


def ceil_div(dividend: Count, divisor: Count) -> Count:
    """Return the quotient rounded up."""
    return -(-dividend // divisor)


def cycles_of(
    rows: int, depth: int, columns: int, groups: int, t_r: Count, t_p: Count, t_c: Count
) -> NDArray[np.int64]:
    """Return ``matmul_cycles`` for integers or arrays of tile sizes."""
    full, rest = rows // np.asarray(t_r), rows % np.asarray(t_r)
    last = np.where(np.equal(rest, 0), t_r, rest)
    sweep = full * np.maximum(t_r, t_c) + np.where(np.equal(rest, 0), 0, np.maximum(rest, t_c))
    steps = groups * ceil_div(columns, t_c) * ceil_div(depth, t_p) * sweep
    # Nothing is loaded behind the last tile: it takes its rows only.
    return np.asarray(t_c + steps - np.maximum(last, t_c) + last + t_p + PIPELINE_CYCLES)


def matmul_cycles(
    rows: int, depth: int, columns: int, groups: int, t_r: int, t_p: int, t_c: int
) -> int:
    """Return the MM unit's cycles for ``groups`` products ``[rows x depth] . [depth x columns]``.

    From the first weight beat to the last output, streams never waiting: T_C to load the first
    weight tile, ``max(rows of the tile, T_C)`` a tile (the next one's weights load meanwhile; the
    last one takes its rows only), and a pipeline latency of T_P + 5. Groups follow without a gap.
    """
    return int(cycles_of(rows, depth, columns, groups, t_r, t_p, t_c))


def batch_bits(
    layer: LayerWork,
    batch: int,
    tiles: tuple[Count, Count],
    buffers: tuple[Count, Count],
    word_bits: tuple[int, int],
) -> NDArray[np.int64]:
    """Return the bits that a layer moves for a batch of images.

    Outputs are written once. A column tile's weights are read once where they stay on chip, else
    once a row tile. Inputs are read once where a whole map stays on chip, else once a column tile;
    a buffer shorter than the window's lines reads every window anew. A convolution runs its batch
    in the better of two orders: image by image (weights again for every image), or column tile by
    column tile (inputs again for every column tile).

    Args:
        layer: the work.
        batch: images.
        tiles: T_R and T_C.
        buffers: the deepest column tile of weights and the input words that stay on chip.
        word_bits: bits that are read of a weight, and of an activation's container in memory.
    """
    (t_r, t_c), (weight_depth, act_words) = tiles, buffers
    rows, images = (batch, batch) if layer.batched else (layer.rows, 1)
    words = layer.input_words * images
    windows = max(words, layer.groups * rows * layer.depth)
    per_column_tile = np.where(np.greater_equal(act_words, layer.line_words), words, windows)
    column_tiles = np.asarray(ceil_div(layer.columns, t_c))
    again = per_column_tile * column_tiles
    inputs = np.where(np.greater_equal(act_words, words), words, again)
    buffered = np.greater_equal(weight_depth, layer.depth)
    reads = np.where(buffered, 1, ceil_div(rows, t_r))
    weight, act = word_bits
    runs = 1 if layer.batched else batch
    image_first = runs * (reads * layer.weight_words * weight + inputs * act)
    once = np.where(buffered, 1, runs * reads)
    column_first = once * layer.weight_words * weight + runs * again * act
    moved = np.minimum(image_first, column_first) + batch * layer.output_words * act
    return np.asarray(moved, np.int64)


def engine_time(
    config: EngineConfig, work: Sequence[LayerWork], device: Device, batch: int
) -> EngineTime:
    """Return an engine's time on a network, ``batch`` images at a time.

    Convolutions run image after image; a dense layer takes the batch as the rows of one product. A
    layer takes the longer of its cycles and of its traffic. Weights are planes, read bit for bit;
    activations lie in containers of 2, 4, 8 or 16 bits, and outputs are written once.
    """
    layers = tuple(
        _layer_time(config, layer, bits, device, batch)
        for layer, bits in zip(work, config.read_bits(len(work)), strict=True)
    )
    return EngineTime(
        layers=layers,
        cycles_per_image=sum(layer.cycles for layer in layers) / batch,
        bytes_per_image=sum(layer.bytes for layer in layers) / batch,
        images_per_s=batch / sum(layer.seconds for layer in layers),
    )


def _layer_time(
    config: EngineConfig, layer: LayerWork, weight_bits: int, device: Device, batch: int
) -> LayerTime:
    rows, runs = (batch, 1) if layer.batched else (layer.rows, batch)
    cycles = runs * matmul_cycles(
        rows, layer.depth, layer.columns, layer.groups, config.t_r, config.t_p, config.t_c
    )
    bits = batch_bits(
        layer,
        batch,
        (config.t_r, config.t_c),
        (config.weight_depth, config.act_buffer_words),
        (weight_bits, storage_bits(config.act_bits)),
    )
    moved = -(-int(bits) // 8)
    compute, memory = cycles / clock_hz(device), moved / bytes_per_second(device)
    bound = "compute" if compute >= memory else "memory"
    return LayerTime(layer.name, cycles, moved, max(compute, memory), bound)


def clock_hz(device: Device) -> float:
    """Return the planned clock in Hz."""
    return 1e6 * device.clock_mhz


def bytes_per_second(device: Device) -> float:
    """Return the usable bandwidth of all engines together."""
    return 1e9 * device.usable_gb_per_s


def grid_times(
    work: Sequence[LayerWork],
    device: Device,
    batch: int,
    weight_bits: Sequence[int],
    act_container: int,
    axes: tuple[NDArray[np.int64], ...],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return seconds and bytes per image for a grid of engines.

    ``axes`` are (T_R, T_P, T_C, weight depth, activation buffer), shaped to broadcast together;
    ``weight_bits`` are the bits read of a weight, one a layer, ``act_container`` those of a stored
    activation. Same model as ``engine_time``.
    """
    t_r, t_p, t_c, depth, buffer = axes
    seconds = np.zeros(np.broadcast_shapes(*(axis.shape for axis in axes)))
    moved = np.zeros(seconds.shape)
    for layer, bits_a_weight in zip(work, weight_bits, strict=True):
        rows, runs = (batch, 1) if layer.batched else (layer.rows, batch)
        cycles = runs * np.asarray(
            cycles_of(rows, layer.depth, layer.columns, layer.groups, t_r, t_p, t_c)
        )
        bits = batch_bits(layer, batch, (t_r, t_c), (depth, buffer), (bits_a_weight, act_container))
        layer_bytes = -(-bits // 8)
        compute, memory = cycles / clock_hz(device), layer_bytes / bytes_per_second(device)
        seconds += np.maximum(compute, memory) / batch
        moved += layer_bytes / batch
    return seconds, moved
