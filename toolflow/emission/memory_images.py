"""The images that the accelerator finds in memory, byte for byte.

Everything is little-endian. Feature maps and weights are channel-last (``memory_order``);
``address_map`` says where activations lie and how. A word of activations is ``q + zero``: unsigned
where the tensor's format has a zero point, two's complement or plain unsigned ``q`` elsewhere,
where ``zero`` is 0.

There is one copy of all parameters, the HPU's: the LPU's are cut from it by the windows in its
descriptors. What it has of its own is a small correction of each bias.

``channels.bin``: per layer, from a 64-byte boundary, an eight-byte record for each output channel:

* bits 31..0: the HPU's bias, signed, for products of *words*. As ``sum(w * q)`` is
  ``sum(w * word) - zero * sum(w)``, it is the emulator's bias less ``zero * sum(w)``: the zero
  point costs hardware nothing.
* bits 55..32: the LPU's correction, signed. Its bias, also for products of words, is
  ``window(bias, bias_window) + correction``; it makes up for the zero point as well.
* bits 63..56: the step, unsigned. Both units requantise the channel by the descriptor's ``shift``,
  which is the coarsest channel's, plus the step.

Behind the records ``channels.bin`` has the tables of the layers that normalise
(``emulator/factor_table.py``): all of the LPU's, then all of the HPU's, each from a 64-byte
boundary. They are the units' own, as a table is made for the format of its layer's input. An entry,
a segment's, is eight bytes: bits 15..0 the base, 31..16 the drop, 35..32 the exponent, all
unsigned, then zeros.

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

from toolflow.emission.memory_order import channel_last_weights
from toolflow.emulator.factor_table import FACTOR_BITS, TABLE_ENTRIES, FactorTable
from toolflow.emulator.integer_network import (
    IntegerLrn,
    IntegerMatmul,
    IntegerNetwork,
    StoredParameters,
)
from toolflow.errors import UserError
from toolflow.fixedpoint import BIAS_BITS, CORRECTION_BITS, Format, IntArray, split_planes, window

ALIGNMENT = 64

BLOCK_WORDS = 128
"""Digits that share a position's bytes (``WEIGHT_BLOCK`` in ``rtl/cascade_pkg.sv``)."""


STEP_BITS = 8

RECORD_BYTES = (BIAS_BITS + CORRECTION_BITS + STEP_BITS) // 8

TABLE_ENTRY_BYTES = 8

TABLE_BYTES = TABLE_ENTRIES * TABLE_ENTRY_BYTES


@dataclass(frozen=True, eq=False)
class ChannelRecords:
    """A layer's records in ``channels.bin``, an entry an output channel."""

    bias: IntArray
    correction: IntArray
    step: IntArray


@dataclass(frozen=True, eq=False)
class ParameterImage:
    """The bytes of all layers' parameters and each layer's first byte."""

    data: bytes
    offsets: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class WeightImage:
    """``weights.bin``, and per layer the first bytes of its planes and their digits' widths."""

    data: bytes
    high_offsets: Mapping[str, int]
    low_offsets: Mapping[str, int]
    high_bits: Mapping[str, int]
    low_bits: Mapping[str, int]


def weight_image(lpu: IntegerNetwork, stored: StoredParameters) -> WeightImage:
    """Return ``weights.bin`` of the words ``stored``, split for an LPU.

    Raises:
        ValueError: a word is too large to be split; ``WeightSharing`` makes words that are not.
    """
    high, low, high_bits = {}, {}, {}
    low_bits = {layer.layer.name: layer.weight_window for layer in lpu.matmuls}
    for layer in lpu.network.weight_layers:
        parameters, bits = stored.layers[layer.name], low_bits[layer.name]
        words = channel_last_weights(lpu.network, layer, parameters.weight).reshape(-1)
        high_digits, low_digits = split_planes(words, bits)
        high_bits[layer.name] = parameters.weight_format.bits - bits
        high[layer.name] = pack_plane(high_digits, high_bits[layer.name])
        low[layer.name] = pack_plane(low_digits, bits)
    high_image, low_image = _layers_image(high), _layers_image(low)
    start = len(high_image.data)
    return WeightImage(
        data=high_image.data + low_image.data,
        high_offsets=high_image.offsets,
        low_offsets=MappingProxyType(
            {name: start + offset for name, offset in low_image.offsets.items()}
        ),
        high_bits=MappingProxyType(high_bits),
        low_bits=MappingProxyType(low_bits),
    )


def channel_image(lpu: IntegerNetwork, stored: StoredParameters) -> ParameterImage:
    """Return the records of ``channels.bin``: of words ``stored`` and an LPU cut from them.

    Raises:
        UserError: a bias or a correction does not fit its field.
    """
    return _layers_image(
        {
            layer.layer.name: pack_records(channel_records(layer, lpu, stored))
            for layer in lpu.matmuls
        }
    )


def parameter_images(
    lpu: IntegerNetwork, hpu: IntegerNetwork, stored: StoredParameters
) -> tuple[ParameterImage, ParameterImage]:
    """Return ``channels.bin``, tables included, with the offsets of the LPU's and the HPU's layers.

    Raises:
        UserError: see ``channel_image``.
    """
    records = channel_image(lpu, stored)
    data, offsets = records.data, []
    for unit in (lpu, hpu):
        layers = [layer for layer in unit.layers if isinstance(layer, IntegerLrn)]
        tables = _layers_image({layer.layer.name: pack_table(layer.table) for layer in layers})
        moved = {name: len(data) + offset for name, offset in tables.offsets.items()}
        offsets.append(MappingProxyType({**records.offsets, **moved}))
        data += tables.data
    return ParameterImage(data, offsets[0]), ParameterImage(data, offsets[1])


def pack_table(table: FactorTable) -> bytes:
    """Return a table as it lies in memory."""
    words = table.base | table.drop << FACTOR_BITS | table.exponent << 2 * FACTOR_BITS
    return bytes(words.astype("<u8").tobytes())


def channel_records(
    layer: IntegerMatmul, lpu: IntegerNetwork, stored: StoredParameters
) -> ChannelRecords:
    """Return the records of a layer of the LPU.

    Raises:
        UserError: see ``channel_image``.
    """
    name, source = layer.layer.name, layer.layer.inputs[0]
    parameters = stored.layers[name]
    zero = stored.scheme.tensors[source].zero
    bias = parameters.bias - zero * channel_sums(parameters.weight)
    lpu_bias = layer.bias - lpu.scheme.tensors[source].zero * channel_sums(layer.weight)
    full = Format(BIAS_BITS, 0)
    cut = window(bias, layer.bias_window, full.low, full.high)
    records = ChannelRecords(bias, lpu_bias - cut, np.array(parameters.weight_format.steps))
    for what, values, bits in (
        ("the HPU's bias", records.bias, BIAS_BITS),
        ("the LPU's bias", lpu_bias, BIAS_BITS),
        ("the correction of the LPU's bias", records.correction, CORRECTION_BITS),
    ):
        fmt = Format(bits, 0)
        outside = np.flatnonzero((values < fmt.low) | (values > fmt.high))
        if outside.size:
            raise UserError(
                f"layer {name}: {what} is {values[outside[0]]} in output channel {outside[0]}, "
                f"more than the {bits} bits that it has in memory; plan with other wordlengths "
                "(--lpu-bits, --hpu-bits), fewer bits for the activations first"
            )
    return records


def channel_sums(weight: IntArray) -> IntArray:
    """Return the sum of each output channel's weights: what a step of a zero point adds."""
    return np.asarray(weight.reshape(len(weight), -1).sum(axis=1))


def pack_records(records: ChannelRecords) -> bytes:
    """Return records as they lie in memory; all values fit their fields."""
    mask = (1 << CORRECTION_BITS) - 1
    upper = (records.correction & mask) | records.step << CORRECTION_BITS
    words = np.stack([records.bias & 0xFFFFFFFF, upper], axis=1)
    return bytes(words.astype("<u4").tobytes())


def unpack_records(data: bytes, count: int) -> ChannelRecords:
    """Return the first ``count`` records that ``pack_records`` packed."""
    words = np.frombuffer(data, "<u4", 2 * count).reshape(count, 2).astype(np.int64)
    sign = 1 << (CORRECTION_BITS - 1)
    return ChannelRecords(
        bias=(words[:, 0] ^ 1 << 31) - (1 << 31),
        correction=((words[:, 1] & (2 * sign - 1)) ^ sign) - sign,
        step=words[:, 1] >> CORRECTION_BITS,
    )


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
    octets = np.frombuffer(data, np.uint8, plane_bytes(count, bits)).reshape(
        -1, bits, BLOCK_WORDS // 8
    )
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


def plane_bytes(count: int, bits: int) -> int:
    """Return how long a plane of ``count`` digits is."""
    return -(-count // BLOCK_WORDS) * bits * BLOCK_WORDS // 8
