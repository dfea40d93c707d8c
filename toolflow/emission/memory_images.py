"""The images that the accelerator finds in memory, byte for byte.

Everything is little-endian. Feature maps and weights are channel-last: a convolution's depth runs
over kernel row, kernel column, input channel, the channel fastest; a dense layer behind a flattened
map has its inputs in the same (height, width, channel) order. Words lie in the next power of two of
their wordlength (``fixedpoint.storage_bits``), the first word in the lowest bits.

``weights.bin``: per layer, group and output channel the depth's words, each layer from a 64-byte
boundary. ``biases.bin``: per layer the 32-bit biases of its output channels. There is one copy, the
HPU's: the LPU's parameters are cut from it by the windows in its descriptors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from toolflow.emulator.integer_network import StoredParameters
from toolflow.fixedpoint import BIAS_BITS, IntArray, storage_bits
from toolflow.network.graph import Conv, Dense, Flatten, Network, WeightLayer

ALIGNMENT = 64


@dataclass(frozen=True, eq=False)
class ParameterImage:
    """The bytes of all layers' parameters and each layer's first byte."""

    data: bytes
    offsets: Mapping[str, int]


def weight_image(network: Network, stored: StoredParameters) -> ParameterImage:
    """Return ``weights.bin``."""
    return _layers_image(
        {
            layer.name: pack_words(
                channel_last_weights(network, layer, stored.layers[layer.name].weight).reshape(-1),
                storage_bits(stored.layers[layer.name].weight_format.bits),
            )
            for layer in network.weight_layers
        }
    )


def bias_image(stored: StoredParameters) -> ParameterImage:
    """Return ``biases.bin``."""
    return _layers_image(
        {name: pack_words(layer.bias, BIAS_BITS) for name, layer in stored.layers.items()}
    )


def channel_last_weights(network: Network, layer: WeightLayer, weight: IntArray) -> IntArray:
    """Return a layer's weights as (output channel, depth), depth in the hardware's order."""
    if isinstance(layer, Conv):
        return weight.transpose(0, 2, 3, 1).reshape(weight.shape[0], -1)
    shape = flattened_shape(network, layer)
    if shape is None:
        return weight
    return weight.reshape(-1, *shape).transpose(0, 2, 3, 1).reshape(weight.shape[0], -1)


def flattened_shape(network: Network, layer: WeightLayer) -> tuple[int, int, int] | None:
    """Return the (C, H, W) that a dense layer's input was flattened from, if it was."""
    if not isinstance(layer, Dense):
        return None
    makers = {maker.output: maker for maker in network.layers}
    maker = makers.get(layer.inputs[0])
    if not isinstance(maker, Flatten):
        return None
    shape = network.shapes[maker.inputs[0]]
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else None


def pack_words(words: IntArray, bits: int) -> bytes:
    """Pack integers, two's complement, into ``bits``-wide places, the first one lowest.

    ``bits`` is 2, 4, 8, 16 or 32; a last byte that is not full is filled with zeros.
    """
    if bits >= 8:
        return bytes(words.astype(f"<i{bits // 8}", casting="unsafe").tobytes())
    per_byte = 8 // bits
    padded = np.zeros(-(-len(words) // per_byte) * per_byte, np.int64)
    padded[: len(words)] = words & ((1 << bits) - 1)
    places = padded.reshape(-1, per_byte) << (bits * np.arange(per_byte))
    return bytes(places.sum(axis=1).astype(np.uint8).tobytes())


def unpack_words(data: bytes, bits: int, count: int, signed: bool = True) -> IntArray:
    """Return the first ``count`` words that ``pack_words`` packed."""
    if bits >= 8:
        kind = "i" if signed else "u"
        return np.frombuffer(data, f"<{kind}{bits // 8}")[:count].astype(np.int64)
    raw: NDArray[np.int64] = np.frombuffer(data, np.uint8).astype(np.int64)
    places = (raw[:, None] >> (bits * np.arange(8 // bits))) & ((1 << bits) - 1)
    words = places.reshape(-1)[:count]
    return np.where(words >= 1 << (bits - 1), words - (1 << bits), words) if signed else words


def _layers_image(parts: Mapping[str, bytes]) -> ParameterImage:
    data, offsets = bytearray(), {}
    for name, part in parts.items():
        offsets[name] = len(data)
        data += part + bytes(-len(part) % ALIGNMENT)
    return ParameterImage(bytes(data), MappingProxyType(offsets))
