"""The images that the accelerator finds in memory, byte for byte.

Everything is little-endian. Feature maps and weights are channel-last: a convolution's depth runs
over kernel row, kernel column, input channel, the channel fastest; a dense layer behind a flattened
map has its inputs in the same (height, width, channel) order. Activations lie in the next power of
two of their wordlength (``fixedpoint.storage_bits``), the first word in the lowest bits.

``biases.bin``: per layer, from a 64-byte boundary, the 32-bit biases of its output channels. There
is one copy of all parameters, the HPU's: the LPU's are cut from it by the windows in its
descriptors.

``weights.bin``: every weight is split into two signed digits (``fixedpoint.split_planes``), the low
one as wide as the layer's LPU window. The high digits of a layer are its high plane: all that the
LPU reads. The low digits are its low plane, which the HPU reads too. First come the high planes of
all layers, then their low planes, each from a 64-byte boundary.

A plane is stored by bit positions, so that digits of any width pack without a gap. The layer's
digits, in the order group, output channel, depth, are cut into blocks of ``BLOCK_WORDS``; the last
one is filled with zeros. A block is the lowest bit position of all its digits, then the next
position, up to the sign; a position is 16 bytes, the block's first digit in the lowest bit. That is
one beat of a 128-bit memory port and two of a 64-bit port, so a block never shares a beat.

Output channels run on within a layer, they do not start on block boundaries: padding each to
whole blocks would store a channel of 27 weights nearly five times. An engine reads a column tile,
which is successive channels, as one run of blocks; of the first and the last one, shared with the
neighbouring tiles, it drops or keeps the neighbours' words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from toolflow.emulator.integer_network import IntegerNetwork, StoredParameters
from toolflow.fixedpoint import BIAS_BITS, IntArray, split_planes
from toolflow.network.graph import Conv, Dense, Flatten, Network, WeightLayer

ALIGNMENT = 64

BLOCK_WORDS = 128
"""Digits that share a position's bytes (``WEIGHT_BLOCK`` in ``rtl/cascade_pkg.sv``)."""


@dataclass(frozen=True, eq=False)
class ParameterImage:
    """The bytes of all layers' parameters and each layer's first byte."""

    data: bytes
    offsets: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class WeightImage:
    """``weights.bin``, and per layer the first bytes of its planes and its low digits' width."""

    data: bytes
    high_offsets: Mapping[str, int]
    low_offsets: Mapping[str, int]
    low_bits: Mapping[str, int]


def weight_image(lpu: IntegerNetwork, stored: StoredParameters) -> WeightImage:
    """Return ``weights.bin`` of the words ``stored``, split for an LPU.

    Raises:
        ValueError: a word is too large to be split; ``balance`` makes words that are not.
    """
    high, low = {}, {}
    low_bits = {layer.layer.name: layer.weight_window for layer in lpu.matmuls}
    for layer in lpu.network.weight_layers:
        parameters, bits = stored.layers[layer.name], low_bits[layer.name]
        words = channel_last_weights(lpu.network, layer, parameters.weight).reshape(-1)
        high_digits, low_digits = split_planes(words, bits)
        high[layer.name] = pack_plane(high_digits, parameters.weight_format.bits - bits)
        low[layer.name] = pack_plane(low_digits, bits)
    high_image, low_image = _layers_image(high), _layers_image(low)
    start = len(high_image.data)
    return WeightImage(
        data=high_image.data + low_image.data,
        high_offsets=high_image.offsets,
        low_offsets=MappingProxyType(
            {name: start + offset for name, offset in low_image.offsets.items()}
        ),
        low_bits=MappingProxyType(low_bits),
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


def pack_plane(digits: IntArray, bits: int) -> bytes:
    """Pack signed digits by bit positions, in blocks of ``BLOCK_WORDS``.

    Raises:
        ValueError: a digit does not fit ``bits`` bits.
    """
    half = 1 << bits >> 1
    if digits.size and not -half <= digits.min() <= digits.max() <= max(half - 1, 0):
        raise ValueError(f"a digit of {digits.min()}..{digits.max()} does not fit {bits} bits")
    blocks = np.zeros((-(-len(digits) // BLOCK_WORDS), 1, BLOCK_WORDS), np.int64)
    blocks.reshape(-1)[: len(digits)] = digits
    positions = (blocks >> np.arange(bits)[:, None]) & 1
    return bytes(np.packbits(positions.astype(np.uint8), axis=-1, bitorder="little").tobytes())


def unpack_plane(data: bytes, bits: int, count: int) -> IntArray:
    """Return the first ``count`` digits that ``pack_plane`` packed."""
    if bits == 0:
        return np.zeros(count, np.int64)
    size = -(-count // BLOCK_WORDS) * bits * BLOCK_WORDS // 8
    octets = np.frombuffer(data, np.uint8, size).reshape(-1, bits, BLOCK_WORDS // 8)
    positions = np.unpackbits(octets, axis=-1, bitorder="little").astype(np.int64)
    weights = np.left_shift(1, np.arange(bits))
    weights[-1] *= -1
    return np.asarray(weights @ positions, np.int64).reshape(-1)[:count]


def _layers_image(parts: Mapping[str, bytes]) -> ParameterImage:
    data, offsets = bytearray(), {}
    for name, part in parts.items():
        offsets[name] = len(data)
        data += part + bytes(-len(part) % ALIGNMENT)
    return ParameterImage(bytes(data), MappingProxyType(offsets))
