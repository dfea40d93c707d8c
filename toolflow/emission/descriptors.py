"""Layer descriptors: what an engine's sequencer reads of each layer, 64 bytes each.

A descriptor is sixteen little-endian 32-bit words. ``FIELDS`` is the format's one definition:
name, word, lowest bit, width; the header comment of the generated package lists it. A
concatenation has one descriptor an input, each with the channel its data starts at.

A layer's weights are two planes of ``weights.bin`` (``memory_images``): ``weight_offset`` is the
first byte of the high one, whose digits have the stored wordlength less ``weight_low_bits``;
``weight_low_offset`` that of the low one, whose digits have ``weight_low_bits``. Both units'
descriptors have both, though the LPU reads the high plane only: its weights are the high digits,
saturated. ``records_offset`` is the first of its channels' records in ``channels.bin``.

``low`` and ``high`` bound ``q``; a tensor's word is ``q + zero`` (``memory_images``). ``zero_in``,
``zero_second`` and ``zero_out`` are the zero points of the first and the second input and of the
output:

* convolution and dense layer: words are multiplied as they are, padding is the word ``zero_in``;
  the bias makes up for the zero point. After the clamp, ``zero_out`` is added.
* average pooling: sums ``q = word - zero_in`` over the window, padding is ``q = 0``; after the
  reciprocal and the clamp, ``zero_out`` is added.
* addition: ``(word - zero_in) << align_first`` plus ``(word - zero_second) << align_second``,
  shifted and clamped; then ``zero_out`` is added. Activation alone: the same with one input.
* max pooling, concatenation and flattening move words: inputs and output share one format.

A ``wide`` tensor's words are ``LOGIT_BITS`` wide and signed at any precision: the logits and what
becomes them by pooling alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from toolflow.emission.memory_images import ParameterImage, WeightImage
from toolflow.emulator.integer_network import (
    IntegerAvgPool,
    IntegerEltwise,
    IntegerLayer,
    IntegerMatmul,
    IntegerNetwork,
    Requantiser,
)
from toolflow.emulator.reference import reciprocal_map
from toolflow.errors import UserError
from toolflow.network.graph import (
    Activate,
    Add,
    AvgPool,
    Concat,
    Conv,
    Dense,
    Flatten,
    MaxPool,
    Pool,
    Shape,
)

WORDS = 16


@dataclass(frozen=True)
class Field:
    """A field's place in the descriptor."""

    name: str
    word: int
    low: int
    width: int
    signed: bool = False


FIELDS = (
    Field("op", 0, 0, 8),
    Field("in_signed", 0, 8, 1),
    Field("leaky", 0, 9, 1),
    Field("count_pad", 0, 10, 1),
    Field("in_wide", 0, 11, 1),
    Field("out_wide", 0, 12, 1),
    Field("groups", 0, 16, 16),
    Field("in_channels", 1, 0, 16),
    Field("in_height", 1, 16, 16),
    Field("in_width", 2, 0, 16),
    Field("out_channels", 2, 16, 16),
    Field("out_height", 3, 0, 16),
    Field("out_width", 3, 16, 16),
    Field("kernel_height", 4, 0, 8),
    Field("kernel_width", 4, 8, 8),
    Field("stride_height", 4, 16, 8),
    Field("stride_width", 4, 24, 8),
    Field("pad_top", 5, 0, 8),
    Field("pad_left", 5, 8, 8),
    Field("pad_bottom", 5, 16, 8),
    Field("pad_right", 5, 24, 8),
    Field("weight_offset", 6, 0, 32),
    Field("records_offset", 7, 0, 32),
    Field("weight_low_bits", 8, 0, 5),
    Field("bias_window", 8, 8, 5),
    Field("shift", 8, 16, 8),
    Field("slope_shift", 8, 24, 8),
    Field("low", 9, 0, 17, signed=True),
    Field("align_first", 9, 17, 5),
    Field("align_second", 9, 22, 5),
    Field("high", 10, 0, 17, signed=True),
    Field("slope_mantissa", 10, 17, 8),
    Field("zero_in", 11, 0, 16),
    Field("zero_second", 11, 16, 16),
    Field("input_first", 12, 0, 16),
    Field("input_second", 12, 16, 16),
    Field("output", 13, 0, 16),
    Field("channel_offset", 13, 16, 16),
    Field("reciprocal_mantissa", 14, 0, 16),
    Field("zero_out", 14, 16, 16),
    Field("weight_low_offset", 15, 0, 32),
)


class Op(IntEnum):
    """Layer kinds as the sequencer numbers them."""

    CONV = 1
    DENSE = 2
    MAX_POOL = 3
    AVG_POOL = 4
    ADD = 5
    ACTIVATE = 6
    CONCAT = 7
    FLATTEN = 8


_OPS: Mapping[type, Op] = {
    Conv: Op.CONV,
    Dense: Op.DENSE,
    MaxPool: Op.MAX_POOL,
    AvgPool: Op.AVG_POOL,
    Add: Op.ADD,
    Activate: Op.ACTIVATE,
    Concat: Op.CONCAT,
    Flatten: Op.FLATTEN,
}


def encode(values: Mapping[str, int], where: str = "descriptor") -> bytes:
    """Return a descriptor's 64 bytes.

    Raises:
        UserError: a value does not fit its field.
    """
    words = [0] * WORDS
    fields = {field.name: field for field in FIELDS}
    for name, value in values.items():
        field = fields[name]
        low = -(1 << (field.width - 1)) if field.signed else 0
        if not low <= value < low + (1 << field.width):
            raise UserError(
                f"{where}: {name} = {value} does not fit the descriptor's {field.width} bits; "
                "the layer is too large for this accelerator"
            )
        words[field.word] |= (value & ((1 << field.width) - 1)) << field.low
    return np.array(words, "<u4").tobytes()


def decode(data: bytes) -> dict[str, int]:
    """Return a descriptor's fields."""
    words = np.frombuffer(data, "<u4", WORDS)
    values = {}
    for field in FIELDS:
        value = (int(words[field.word]) >> field.low) & ((1 << field.width) - 1)
        if field.signed and value >> (field.width - 1):
            value -= 1 << field.width
        values[field.name] = value
    return values


def descriptor_image(
    network: IntegerNetwork, weights: WeightImage, channels: ParameterImage
) -> bytes:
    """Return ``descriptors_<unit>.bin``: all layers in execution order."""
    ids = {name: index for index, name in enumerate(network.network.shapes)}
    return b"".join(
        encode(values, f"layer {layer.layer.name}")
        for layer in network.layers
        for values in _descriptors(network, layer, ids, weights, channels)
    )


def _descriptors(
    network: IntegerNetwork,
    layer: IntegerLayer,
    ids: Mapping[str, int],
    weights: WeightImage,
    channels: ParameterImage,
) -> Iterable[dict[str, int]]:
    spec, shapes = layer.layer, network.network.shapes
    formats = network.scheme.tensors
    source_format, out_format = formats[spec.inputs[0]], formats[spec.output]
    act_bits = network.scheme.precision.act_bits
    common = {
        "op": int(_OPS[type(spec)]),
        "in_signed": int(source_format.signed),
        "in_wide": int(source_format.bits > act_bits),
        "out_wide": int(out_format.bits > act_bits),
        "zero_in": source_format.zero,
        "zero_out": out_format.zero,
        "groups": 1,
        "output": ids[spec.output],
        **_shape("out", spec.out_shape),
    }
    channel = 0
    sources = spec.inputs if isinstance(spec, Concat) else spec.inputs[:1]
    for source in sources:
        values = {**common, **_shape("in", shapes[source]), "input_first": ids[source]}
        if isinstance(spec, Concat):
            values["channel_offset"] = channel
            channel += shapes[source][0]
        elif isinstance(spec, Pool):
            values |= _geometry(spec.kernel, spec.stride, spec.pads)
        if isinstance(layer, IntegerMatmul):
            values |= _matmul(layer, weights, channels)
        elif isinstance(layer, IntegerAvgPool):
            mantissa, shift = reciprocal_map(layer)
            values |= _requantiser(layer.requantiser)
            values |= {
                "reciprocal_mantissa": int(mantissa.flat[0]),
                "shift": int(shift.flat[0]),
                "count_pad": int(isinstance(spec, AvgPool) and spec.count_include_pad),
            }
        elif isinstance(layer, IntegerEltwise):
            values |= _requantiser(layer.requantiser) | {"align_first": layer.align[0]}
            if len(spec.inputs) == 2:
                values |= {
                    "input_second": ids[spec.inputs[1]],
                    "align_second": layer.align[1],
                    "zero_second": formats[spec.inputs[1]].zero,
                }
        yield values


def _shape(prefix: str, shape: Shape) -> dict[str, int]:
    channels, height, width = (shape[0], 1, 1) if len(shape) == 1 else shape
    return {
        f"{prefix}_channels": channels,
        f"{prefix}_height": height,
        f"{prefix}_width": width,
    }


def _geometry(
    kernel: tuple[int, int], stride: tuple[int, int], pads: tuple[int, int, int, int]
) -> dict[str, int]:
    sides = zip(("top", "left", "bottom", "right"), pads, strict=True)
    return {
        "kernel_height": kernel[0],
        "kernel_width": kernel[1],
        "stride_height": stride[0],
        "stride_width": stride[1],
        **{f"pad_{side}": pad for side, pad in sides},
    }


def _requantiser(requantiser: Requantiser) -> dict[str, int]:
    values = {
        "shift": int(requantiser.shift.min()),
        "low": requantiser.low,
        "high": requantiser.high,
    }
    if requantiser.slope is not None:
        values |= {
            "leaky": 1,
            "slope_mantissa": requantiser.slope.mantissa,
            "slope_shift": requantiser.slope.shift,
        }
    return values


def _matmul(layer: IntegerMatmul, weights: WeightImage, channels: ParameterImage) -> dict[str, int]:
    spec = layer.layer
    values = _requantiser(layer.requantiser) | {
        "weight_offset": weights.high_offsets[spec.name],
        "weight_low_offset": weights.low_offsets[spec.name],
        "weight_low_bits": weights.low_bits[spec.name],
        "records_offset": channels.offsets[spec.name],
        "bias_window": layer.bias_window,
    }
    if isinstance(spec, Conv):
        kernel = (spec.weight.shape[2], spec.weight.shape[3])
        values |= _geometry(kernel, spec.stride, spec.pads) | {"groups": spec.groups}
    return values
