"""Converters of convolution and matrix products."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from toolflow.network.geometry import Pair
from toolflow.network.graph import Conv, Dense, FloatArray, Layer
from toolflow.network.node_view import (
    Layers,
    NodeView,
    RefusalError,
    as_float32,
    check_finite,
    per_channel,
)
from toolflow.network.onnx_graph import MAX_ELEMENTS
from toolflow.network.operators.common import RE_EXPORT, Conversion, Converter, make_layer, pair_of
from toolflow.network.operators.windows import positive_pair, window_of


def _conv(view: NodeView) -> Conversion:
    weight = view.weights(1, "weight")
    if weight.ndim != 4:
        raise RefusalError(
            f"it is a {weight.ndim - 2}-D convolution; 2-D ones are supported",
            "express a 1-D convolution as a 2-D one with height 1",
        )
    channels, *size = view.map_shape()
    groups = view.integer("group", 1)
    outputs = weight.shape[0]
    if groups < 1 or channels % groups or outputs % groups or not outputs:
        raise RefusalError(
            f"{channels} input and {outputs} output channels do not split in {groups}"
        )
    if weight.shape[1] != channels // groups:
        raise RefusalError(
            f"its weight takes {weight.shape[1] * groups} channels, its input has {channels}"
        )
    if view.ints("kernel_shape", weight.shape[2:]) != weight.shape[2:]:
        raise RefusalError("its kernel_shape differs from its weight's shape")
    bias = view.weights(2, "bias") if view.has(2) else np.zeros(outputs, np.float32)
    if bias.shape != (outputs,):
        raise RefusalError(f"its bias has shape {bias.shape}, its weight {outputs} outputs")
    dilation = positive_pair(view, "dilations")
    window = window_of(view, _dilated_size(pair_of(weight.shape[2:]), dilation), pair_of(size))
    out_size = window.output(pair_of(size))
    if min(out_size) < 1:
        raise RefusalError("its kernel is larger than its padded input")
    layer = make_layer(
        view,
        Conv,
        (outputs, *out_size),
        weight=_dilate(weight, dilation),
        bias=bias,
        stride=window.stride,
        pads=window.pads,
        groups=groups,
    )
    note = "" if dilation == (1, 1) else f"dilation {dilation}: kernel expanded with zeros"
    return Layers((layer,), note)


def _dilated_size(kernel: Pair, dilation: Pair) -> Pair:
    return (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1


def _dilate(weight: FloatArray, dilation: Pair) -> FloatArray:
    """The dense kernel that does what a dilated one does: zeros between its taps."""
    if dilation == (1, 1):
        return weight
    shape = (*weight.shape[:2], *_dilated_size(pair_of(weight.shape[2:]), dilation))
    if prod(shape) > MAX_ELEMENTS:
        raise RefusalError(f"its dilation {dilation} makes the kernel too large")
    expanded = np.zeros(shape, np.float32)
    expanded[:, :, :: dilation[0], :: dilation[1]] = weight
    return expanded


def _gemm(view: NodeView) -> Conversion:
    if view.integer("transA", 0):
        raise RefusalError("transA=1 multiplies across the images of a batch", RE_EXPORT)
    weight = view.weights(1, "weight")
    if weight.ndim != 2:
        raise RefusalError(f"its weight has {weight.ndim} axes, 2 are expected")
    if not view.integer("transB", 0):
        weight = weight.T
    outputs = weight.shape[0]
    bias = np.zeros(outputs, np.float32)
    if view.has(2):
        stated = per_channel(view.weights(2, "bias"), (outputs,))
        if stated is None:
            raise RefusalError("its bias does not fit its outputs (or differs between images)")
        bias = (stated * view.number("beta", 1.0)).astype(np.float32)
    alpha = view.number("alpha", 1.0)
    if alpha != 1.0:
        weight = as_float32(weight * np.float64(alpha), "weight times alpha")
    check_finite(bias, "bias times beta")
    return Layers((_dense(view, weight, bias),))


def _matmul(view: NodeView) -> Conversion:
    if not view.is_constant(1):
        if view.is_constant(0):
            raise RefusalError("its constant is on the left", "transpose the product in the model")
        raise RefusalError("it multiplies two activations (attention?), weights must be constant")
    weight = view.weights(1, "weight")
    if weight.ndim != 2:
        raise RefusalError(f"its weight has {weight.ndim} axes, 2 are expected")
    return Layers((_dense(view, weight.T, np.zeros(weight.shape[1], np.float32)),))


def _dense(view: NodeView, weight: FloatArray, bias: FloatArray) -> Layer:
    shape = view.shape()
    if len(shape) != 1:
        raise RefusalError(
            f"its input is a {' x '.join(map(str, shape))} map, a vector is expected",
            "flatten the map first (Flatten with axis=1)",
        )
    if weight.shape[1] != shape[0]:
        raise RefusalError(f"its weight takes {weight.shape[1]} inputs, its input has {shape[0]}")
    return make_layer(view, Dense, (weight.shape[0],), weight=weight, bias=bias)


CONVERTERS: Mapping[str, Converter] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
}
