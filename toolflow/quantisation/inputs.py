"""What the weight layers of the float network see on the calibration images.

Rounding needs, of each layer's output positions, the inputs that meet there (the rows of its im2col
matrix). A few thousand of them, drawn at random, are enough; they are taken once for a network, at
positions that every precision's own inputs are later taken at as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from toolflow.network.float_reference import float_tensors
from toolflow.network.graph import Conv, Network, WeightLayer

POSITIONS = 4096
"""Output positions sampled of a layer, over all calibration images."""

BATCH = 8

Positions = tuple[NDArray[np.int64], ...]


@dataclass(frozen=True, eq=False)
class LayerInputs:
    """Sampled inputs of the float network.

    ``positions`` are (image,) or (image, row, column) indices of a layer's output, ``patches``
    (groups, positions, depth) the inputs there, depth in the order of the layer's weights.
    """

    positions: Mapping[str, Positions]
    patches: Mapping[str, NDArray[np.float32]]


def sample_inputs(network: Network, images: NDArray[np.float32], seed: int = 0) -> LayerInputs:
    """Run the float network on pre-processed calibration images and sample its layers' inputs."""
    rng = np.random.default_rng(seed)
    layers = network.weight_layers
    positions = {layer.name: _positions(layer, len(images), rng) for layer in layers}
    parts: dict[str, list[NDArray[np.float32]]] = {layer.name: [] for layer in layers}
    names = list(dict.fromkeys(layer.inputs[0] for layer in layers))
    first = 0
    for values in float_tensors(network, images, names, batch=BATCH):
        size = len(values[names[0]])
        for layer in layers:
            where = positions[layer.name]
            inside = (where[0] >= first) & (where[0] < first + size)
            local = (where[0][inside] - first, *[axis[inside] for axis in where[1:]])
            parts[layer.name].append(patches_at(layer, values[layer.inputs[0]], local))
        first += size
    return LayerInputs(
        MappingProxyType(positions),
        MappingProxyType({name: np.concatenate(part, axis=1) for name, part in parts.items()}),
    )


def patches_at(
    layer: WeightLayer, values: NDArray[Any], positions: Positions
) -> NDArray[np.float32]:
    """Return (groups, positions, depth) inputs of a layer, from its whole input tensor."""
    if not isinstance(layer, Conv):
        return np.asarray(values[positions[0]][None], np.float32)
    top, left, bottom, right = layer.pads
    padded = np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)))
    kernel = layer.weight.shape[2:]
    windows = sliding_window_view(padded, kernel, axis=(2, 3))
    windows = windows[:, :, :: layer.stride[0], :: layer.stride[1]]
    image, row, column = positions
    picked = windows[image, :, row, column]
    shaped = picked.reshape(len(image), layer.groups, -1).transpose(1, 0, 2)
    return np.ascontiguousarray(shaped, np.float32)


def _positions(layer: WeightLayer, images: int, rng: np.random.Generator) -> Positions:
    """Return sampled output positions, ordered by image."""
    if not isinstance(layer, Conv):
        return (np.arange(images),)
    height, width = layer.out_shape[1:]
    total = images * height * width
    flat = np.arange(total)
    if total > POSITIONS:
        flat = np.sort(rng.choice(total, POSITIONS, replace=False))
    return flat // (height * width), flat // width % height, flat % width
