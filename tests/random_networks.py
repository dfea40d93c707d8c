"""Small random networks with every layer kind, built straight in the layer graph."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from toolflow.fixedpoint import Format
from toolflow.network.graph import (
    Activate,
    Activation,
    ActivationKind,
    Add,
    AvgPool,
    Concat,
    Conv,
    Dense,
    Flatten,
    Layer,
    MaxPool,
    Network,
    Preprocessing,
)
from toolflow.quantisation.scheme import Precision, Scheme, format_groups, group_format

RELU = Activation(ActivationKind.RELU)
RELU6 = Activation(ActivationKind.CLIP, low=0.0, high=6.0)
LEAKY = Activation(ActivationKind.LEAKY_RELU, slope=0.1)


def _weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    spread = 1.5 / np.sqrt(np.prod(shape[1:]))
    return rng.normal(0, spread, shape).astype(np.float32)


def _conv(
    rng: np.random.Generator,
    name: str,
    source: str,
    in_shape: tuple[int, int, int],
    out: int,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    groups: int = 1,
    activation: Activation = RELU,
) -> Conv:
    channels, height, width = in_shape
    rows = (height + pads[0] + pads[2] - kernel[0]) // stride[0] + 1
    columns = (width + pads[1] + pads[3] - kernel[1]) // stride[1] + 1
    return Conv(
        name=name,
        inputs=(source,),
        output=name,
        out_shape=(out, rows, columns),
        weight=_weights(rng, out, channels // groups, *kernel),
        bias=rng.normal(0, 0.2, out).astype(np.float32),
        activation=activation,
        stride=stride,
        pads=pads,
        groups=groups,
    )


def every_layer_kind(seed: int = 0) -> Network:
    """A network with every layer kind: branches, groups, ragged pads, all activations."""
    rng = np.random.default_rng(seed)
    a = _conv(rng, "a", "image", (3, 13, 11), 8, (3, 3), (1, 1), (1, 1, 1, 1))
    b = _conv(rng, "b", "a", (8, 13, 11), 12, (5, 3), (2, 1), (2, 0, 1, 1), 4, LEAKY)
    c = _conv(rng, "c", "a", (8, 13, 11), 12, (5, 3), (2, 1), (2, 0, 1, 1), 1, RELU6)
    shape = b.out_shape
    added = Add(name="d", inputs=("b", "c"), output="d", out_shape=shape, activation=LEAKY)
    joined = Concat(name="e", inputs=("d", "c"), output="e", out_shape=(24, shape[1], shape[2]))
    depthwise = _conv(
        rng, "f", "e", (24, shape[1], shape[2]), 24, (3, 3), (1, 1), (1, 1, 1, 1), 24,
        Activation(),
    )  # fmt: skip
    active = Activate(
        name="g", inputs=("f",), output="g", out_shape=depthwise.out_shape, activation=RELU
    )
    pooled_shape = (24, (shape[1] + 1 - 3) // 2 + 1, (shape[2] + 1 - 3) // 2 + 1)
    pooled = MaxPool(
        name="h", inputs=("g",), output="h", out_shape=pooled_shape,
        kernel=(3, 3), stride=(2, 2), pads=(1, 0, 0, 1),
    )  # fmt: skip
    averaged = AvgPool(
        name="i", inputs=("h",), output="i", out_shape=pooled_shape,
        kernel=(3, 3), stride=(1, 1), pads=(1, 1, 1, 1), count_include_pad=False,
    )  # fmt: skip
    whole = AvgPool(
        name="j", inputs=("i",), output="j", out_shape=(24, 1, 1),
        kernel=(pooled_shape[1], pooled_shape[2]), stride=(1, 1), pads=(0, 0, 0, 0),
    )  # fmt: skip
    flat = Flatten(name="k", inputs=("j",), output="k", out_shape=(24,))
    hidden = Dense(
        name="l", inputs=("k",), output="l", out_shape=(16,),
        weight=_weights(rng, 16, 24), bias=rng.normal(0, 0.2, 16).astype(np.float32),
        activation=RELU,
    )  # fmt: skip
    logits = Dense(
        name="m", inputs=("l",), output="logits", out_shape=(10,),
        weight=_weights(rng, 10, 16), bias=rng.normal(0, 0.2, 10).astype(np.float32),
    )  # fmt: skip
    layers: tuple[Layer, ...] = (
        a, b, c, added, joined, depthwise, active, pooled, averaged, whole, flat, hidden, logits,
    )  # fmt: skip
    return Network(
        name="every_layer_kind",
        sha256="0" * 64,
        input="image",
        input_shape=(3, 13, 11),
        output="logits",
        layers=layers,
        preprocessing=Preprocessing(),
        softmax_removed=False,
        classes=10,
    )


def blocked_channels(seed: int = 0) -> Network:
    """A network whose maps all have a multiple of 16 channels, and averages over ragged windows."""
    rng = np.random.default_rng(seed)
    shape = (16, 12, 10)
    a = _conv(rng, "a", "image", (3, 12, 10), 16, (3, 3), (1, 1), (1, 1, 1, 1), 1, LEAKY)
    b = _conv(rng, "b", "a", shape, 16, (3, 3), (1, 1), (1, 1, 1, 1), 16, RELU6)
    c = _conv(rng, "c", "b", shape, 16, (1, 1), activation=Activation())
    added = Add(name="d", inputs=("a", "c"), output="d", out_shape=shape, activation=LEAKY)
    again = Add(name="e", inputs=("d", "b"), output="e", out_shape=shape)
    joined = Concat(name="f", inputs=("e", "d"), output="f", out_shape=(32, 12, 10))
    pooled = MaxPool(
        name="g", inputs=("f",), output="g", out_shape=(32, 6, 5),
        kernel=(3, 3), stride=(2, 2), pads=(0, 1, 1, 1),
    )  # fmt: skip
    averaged = AvgPool(
        name="h", inputs=("g",), output="h", out_shape=(32, 3, 3),
        kernel=(3, 3), stride=(2, 2), pads=(1, 1, 1, 1), count_include_pad=False,
    )  # fmt: skip
    strided = AvgPool(
        name="i", inputs=("h",), output="i", out_shape=(32, 1, 1),
        kernel=(2, 2), stride=(2, 2), pads=(0, 0, 0, 0), activation=RELU,
    )  # fmt: skip
    flat = Flatten(name="j", inputs=("i",), output="j", out_shape=(32,))
    logits = Dense(
        name="k", inputs=("j",), output="logits", out_shape=(10,),
        weight=_weights(rng, 10, 32), bias=rng.normal(0, 0.2, 10).astype(np.float32),
    )  # fmt: skip
    layers: tuple[Layer, ...] = (
        a, b, c, added, again, joined, pooled, averaged, strided, flat, logits,
    )  # fmt: skip
    return Network(
        name="blocked_channels",
        sha256="0" * 64,
        input="image",
        input_shape=(3, 12, 10),
        output="logits",
        layers=layers,
        preprocessing=Preprocessing(),
        softmax_removed=False,
        classes=10,
    )


def plain_scheme(network: Network, precision: Precision) -> Scheme:
    """Formats in which nothing of the networks above saturates much; no search."""
    act_frac, weight_frac = precision.act_bits - 2, precision.weight_bits - 1
    tensors = {
        name: group_format(group, precision.act_bits, frac)
        for group in format_groups(network)
        for frac in [act_frac if not group.is_logits else min(7, act_frac + weight_frac)]
        for name in group.tensors
    }
    weights = {
        layer.name: Format(precision.weight_bits, weight_frac) for layer in network.weight_layers
    }
    return Scheme(precision, MappingProxyType(weights), MappingProxyType(tensors))
