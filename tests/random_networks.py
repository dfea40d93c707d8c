"""Small random networks with every layer kind, built straight in the layer graph."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np

from toolflow.fixedpoint import LOGIT_BITS, Format
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
    Lrn,
    MaxPool,
    Network,
    Preprocessing,
)
from toolflow.quantisation.scheme import (
    Precision,
    Scheme,
    TensorGroup,
    WeightFormat,
    format_groups,
)

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


def alex_like(seed: int = 0) -> Network:
    """A small network of the large ones' layers: 11x11 stride 4, 5x5 in two groups, 3x3, 1x1."""
    rng = np.random.default_rng(seed)
    a = _conv(rng, "a", "image", (3, 35, 35), 12, (11, 11), (4, 4), (2, 1, 2, 1))
    b = MaxPool(
        name="b", inputs=("a",), output="b", out_shape=(12, 3, 3),
        kernel=(3, 3), stride=(2, 2), pads=(0, 0, 0, 0),
    )  # fmt: skip
    c = _conv(rng, "c", "b", (12, 3, 3), 10, (5, 5), (1, 1), (2, 2, 2, 2), 2, LEAKY)
    d = _conv(rng, "d", "c", (10, 3, 3), 21, (3, 3), (1, 1), (1, 1, 1, 1))
    e = _conv(rng, "e", "d", (21, 3, 3), 8, (1, 1), activation=Activation())
    f = _conv(rng, "f", "e", (8, 3, 3), 16, (3, 3), (2, 2), (1, 1, 1, 1))
    g = MaxPool(
        name="g", inputs=("f",), output="g", out_shape=(16, 1, 1),
        kernel=(2, 2), stride=(2, 2), pads=(0, 0, 0, 0),
    )  # fmt: skip
    h = Flatten(name="h", inputs=("g",), output="h", out_shape=(16,))
    i = Dense(
        name="i", inputs=("h",), output="i", out_shape=(37,),
        weight=_weights(rng, 37, 16), bias=rng.normal(0, 0.2, 37).astype(np.float32),
        activation=RELU,
    )  # fmt: skip
    logits = Dense(
        name="j", inputs=("i",), output="logits", out_shape=(11,),
        weight=_weights(rng, 11, 37), bias=rng.normal(0, 0.2, 11).astype(np.float32),
    )  # fmt: skip
    layers: tuple[Layer, ...] = (a, b, c, d, e, f, g, h, i, logits)
    return Network(
        name="alex_like",
        sha256="0" * 64,
        input="image",
        input_shape=(3, 35, 35),
        output="logits",
        layers=layers,
        preprocessing=Preprocessing(),
        softmax_removed=False,
        classes=11,
    )


def small_maps(seed: int = 0) -> Network:
    """Maps of few pixels without gaps between images, so that images share row tiles."""
    rng = np.random.default_rng(seed)
    a = _conv(rng, "a", "image", (3, 8, 16), 16, (3, 3), (2, 2), (1, 1, 1, 1))
    b = _conv(rng, "b", "a", (16, 4, 8), 32, (3, 3), (1, 1), (1, 1, 1, 1))
    c = MaxPool(
        name="c", inputs=("b",), output="c", out_shape=(32, 2, 4),
        kernel=(2, 2), stride=(2, 2), pads=(0, 0, 0, 0),
    )  # fmt: skip
    d = _conv(rng, "d", "c", (32, 2, 4), 64, (3, 3), (1, 1), (1, 1, 1, 1), 1, LEAKY)
    e = MaxPool(
        name="e", inputs=("d",), output="e", out_shape=(64, 1, 2),
        kernel=(2, 2), stride=(2, 2), pads=(0, 0, 0, 0),
    )  # fmt: skip
    f = _conv(rng, "f", "e", (64, 1, 2), 64, (1, 1), activation=Activation())
    g = _conv(rng, "g", "f", (64, 1, 2), 64, (3, 3), (1, 1), (1, 1, 1, 1), 2)
    h = Flatten(name="h", inputs=("g",), output="h", out_shape=(128,))
    logits = Dense(
        name="i", inputs=("h",), output="logits", out_shape=(10,),
        weight=_weights(rng, 10, 128), bias=rng.normal(0, 0.2, 10).astype(np.float32),
    )  # fmt: skip
    return Network(
        name="small_maps",
        sha256="0" * 64,
        input="image",
        input_shape=(3, 8, 16),
        output="logits",
        layers=(a, b, c, d, e, f, g, h, logits),
        preprocessing=Preprocessing(),
        softmax_removed=False,
        classes=10,
    )


def normalised_maps(seed: int = 0) -> Network:
    """A network as AlexNet begins, with normalisations of several windows and of signed maps."""
    rng = np.random.default_rng(seed)
    shape = (8, 12, 10)
    a = _conv(rng, "a", "image", (3, 12, 10), 8, (3, 3), (1, 1), (1, 1, 1, 1))
    first = Lrn(
        name="b", inputs=("a",), output="b", out_shape=shape, size=5, alpha=2.0, beta=0.75, bias=1.0
    )
    pooled = MaxPool(
        name="c", inputs=("b",), output="c", out_shape=(8, 5, 4),
        kernel=(3, 3), stride=(2, 2), pads=(0, 0, 0, 0),
    )  # fmt: skip
    d = _conv(rng, "d", "c", (8, 5, 4), 6, (3, 3), (1, 1), (1, 1, 1, 1), 2, Activation())
    second = Lrn(
        name="e", inputs=("d",), output="e", out_shape=(6, 5, 4), size=7, alpha=0.3, beta=1.25,
        bias=0.5,
    )  # fmt: skip
    joined = Concat(name="f", inputs=("e", "d"), output="f", out_shape=(12, 5, 4))
    third = Lrn(
        name="g", inputs=("f",), output="g", out_shape=(12, 5, 4), size=3, alpha=1.0, beta=0.5,
        bias=0.3,
    )  # fmt: skip
    flat = Flatten(name="h", inputs=("g",), output="h", out_shape=(240,))
    logits = Dense(
        name="i", inputs=("h",), output="logits", out_shape=(10,),
        weight=_weights(rng, 10, 240), bias=rng.normal(0, 0.2, 10).astype(np.float32),
    )  # fmt: skip
    return Network(
        name="normalised_maps",
        sha256="0" * 64,
        input="image",
        input_shape=(3, 12, 10),
        output="logits",
        layers=(a, first, pooled, d, second, joined, third, flat, logits),
        preprocessing=Preprocessing(),
        softmax_removed=False,
        classes=10,
    )


def vgg_like(seed: int = 0) -> Network:
    """Layers long enough that little of their time is start-up: 3x3, 5x5 in groups, depthwise."""
    rng = np.random.default_rng(seed)
    a = _conv(rng, "a", "image", (3, 24, 24), 16, (3, 3), (1, 1), (1, 1, 1, 1))
    b = _conv(rng, "b", "a", (16, 24, 24), 32, (3, 3), (1, 1), (1, 1, 1, 1), 1, LEAKY)
    c = MaxPool(
        name="c", inputs=("b",), output="c", out_shape=(32, 12, 12),
        kernel=(2, 2), stride=(2, 2), pads=(0, 0, 0, 0),
    )  # fmt: skip
    d = _conv(rng, "d", "c", (32, 12, 12), 64, (3, 3), (1, 1), (1, 1, 1, 1))
    e = _conv(rng, "e", "d", (64, 12, 12), 64, (5, 5), (1, 1), (2, 2, 2, 2), 8)
    f = _conv(rng, "f", "e", (64, 12, 12), 64, (3, 3), (1, 1), (1, 1, 1, 1), 64)
    g = _conv(rng, "g", "f", (64, 12, 12), 48, (1, 1), activation=Activation())
    h = _conv(rng, "h", "d", (64, 12, 12), 48, (3, 3), (1, 1), (1, 1, 1, 1))
    i = Add(name="i", inputs=("g", "h"), output="i", out_shape=(48, 12, 12), activation=RELU)
    j = AvgPool(
        name="j", inputs=("i",), output="j", out_shape=(48, 6, 6),
        kernel=(3, 3), stride=(2, 2), pads=(1, 1, 0, 0), count_include_pad=False,
    )  # fmt: skip
    k = Flatten(name="k", inputs=("j",), output="k", out_shape=(1728,))
    m = Dense(
        name="m", inputs=("k",), output="m", out_shape=(60,),
        weight=_weights(rng, 60, 1728), bias=rng.normal(0, 0.2, 60).astype(np.float32),
        activation=RELU,
    )  # fmt: skip
    logits = Dense(
        name="n", inputs=("m",), output="logits", out_shape=(10,),
        weight=_weights(rng, 10, 60), bias=rng.normal(0, 0.2, 10).astype(np.float32),
    )  # fmt: skip
    layers: tuple[Layer, ...] = (a, b, c, d, e, f, g, h, i, j, k, m, logits)
    return Network(
        name="vgg_like",
        sha256="0" * 64,
        input="image",
        input_shape=(3, 24, 24),
        output="logits",
        layers=layers,
        preprocessing=Preprocessing(),
        softmax_removed=False,
        classes=10,
    )


def small_network(seed: int) -> Network:
    """A random small network: two to five weight layers of any kind, ends in one of three ways."""
    rng = np.random.default_rng(seed)
    maps = _Maps(rng, (int(rng.integers(2, 5)), 6, 7))
    for _ in range(int(rng.integers(1, 4))):
        maps.add(str(rng.choice(["conv", "strided", "depthwise", "grouped", "branch", "pool"])))
    maps.add(str(rng.choice(["dense", "two dense", "pooled"])))
    return Network(
        name=f"small_{seed}",
        sha256="0" * 64,
        input="image",
        input_shape=maps.input_shape,
        output=maps.layers[-1].output,
        layers=tuple(maps.layers),
        preprocessing=Preprocessing(),
        softmax_removed=False,
        classes=6,
    )


class _Maps:
    """A network under construction: ``add`` appends layers after the last one."""

    def __init__(self, rng: np.random.Generator, input_shape: tuple[int, int, int]) -> None:
        self.rng = rng
        self.input_shape = input_shape
        self.layers: list[Layer] = []
        self._last, self._shape = "image", input_shape

    def add(self, kind: str) -> None:
        channels, height, width = self._shape
        if kind in ("dense", "two dense"):
            self._flatten()
            if kind == "two dense":
                self._dense(9, RELU)
            self._dense(6, Activation())
        elif kind == "pooled":
            self._conv(6, activation=Activation())
            self._append(
                AvgPool(
                    name=self._name(), inputs=(self._last,), output=self._name(),
                    out_shape=(6, 1, 1), kernel=(height, width), stride=(1, 1), pads=(0, 0, 0, 0),
                )
            )  # fmt: skip
            self._flatten()
        elif kind == "pool":
            if min(height, width) > 2:
                self._append(
                    MaxPool(
                        name=self._name(), inputs=(self._last,), output=self._name(),
                        out_shape=(channels, height // 2, width // 2),
                        kernel=(2, 2), stride=(2, 2), pads=(0, 0, 0, 0),
                    )
                )  # fmt: skip
        elif kind == "branch":
            self._branch()
        elif kind == "strided":
            self._conv(8, (3, 2), (2, 1), (1, 1, 1, 0))
        elif kind == "depthwise":
            self._conv(channels, (3, 3), (1, 1), (1, 1, 1, 1), channels)
        elif kind == "grouped" and channels % 2 == 0:
            self._conv(2 * channels, (1, 3), (1, 1), (0, 1, 0, 1), 2)
        else:
            self._conv(8, (3, 3), (1, 1), (1, 1, 1, 1))

    def _branch(self) -> None:
        """Two convolutions of one tensor, added or joined."""
        source, shape = self._last, self._shape
        self._conv(4)
        first = self._last
        self._last, self._shape = source, shape
        self._conv(4, (3, 3), (1, 1), (1, 1, 1, 1))
        second, (_, height, width) = self._last, self._shape
        name, inputs = self._name(), (first, second)
        if self.rng.integers(2):
            activation = (RELU, LEAKY, Activation())[self.rng.integers(3)]
            shape = (4, height, width)
            added = Add(
                name=name, inputs=inputs, output=name, out_shape=shape, activation=activation
            )
            self._append(added)
        else:
            self._append(
                Concat(name=name, inputs=inputs, output=name, out_shape=(8, height, width))
            )

    def _conv(
        self,
        out: int,
        kernel: tuple[int, int] = (1, 1),
        stride: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        groups: int = 1,
        activation: Activation | None = None,
    ) -> None:
        if activation is None:
            activation = (RELU, RELU6, LEAKY, Activation())[self.rng.integers(4)]
        conv = _conv(
            self.rng, self._name(), self._last, self._shape, out, kernel, stride, pads, groups,
            activation,
        )  # fmt: skip
        spread = np.exp2(self.rng.uniform(-2, 1, (out, 1, 1, 1)))
        self._append(replace(conv, weight=(conv.weight * spread).astype(np.float32)))

    def _dense(self, out: int, activation: Activation) -> None:
        self._append(
            Dense(
                name=self._name(), inputs=(self._last,), output=self._name(), out_shape=(out,),
                weight=_weights(self.rng, out, self._shape[0]),
                bias=self.rng.normal(0, 0.2, out).astype(np.float32), activation=activation,
            )
        )  # fmt: skip

    def _flatten(self) -> None:
        size = int(np.prod(self._shape))
        self._append(
            Flatten(name=self._name(), inputs=(self._last,), output=self._name(), out_shape=(size,))
        )

    def _name(self) -> str:
        return f"t{len(self.layers)}"

    def _append(self, layer: Layer) -> None:
        self.layers.append(layer)
        self._last = layer.output
        channels, height, width = (*layer.out_shape, 1, 1)[:3]
        self._shape = channels, height, width


def plain_scheme(network: Network, precision: Precision) -> Scheme:
    """Formats in which nothing of the networks above saturates much; no search."""
    weights = {
        layer.name: WeightFormat.uniform(
            precision.weight_bits, precision.weight_bits - 1, len(layer.weight)
        )
        for layer in network.weight_layers
    }
    tensors = {
        name: group_format(group, precision.act_bits, _tensor_frac(group, precision))
        for group in format_groups(network)
        for name in group.tensors
    }
    return Scheme(precision, MappingProxyType(weights), MappingProxyType(tensors))


def drawn_scheme(network: Network, precision: Precision, seed: int = 0) -> Scheme:
    """`plain_scheme` with a fraction length a channel, and zero points where they may be.

    With one seed, the formats of two precisions differ by the same in every channel of a layer.
    """
    rng = np.random.default_rng(seed)
    scheme = plain_scheme(network, precision)
    for layer in network.weight_layers:
        fmt = scheme.weights[layer.name]
        steps = rng.integers(0, 4, len(fmt.fracs))
        fracs = tuple((np.array(fmt.fracs) + steps).tolist())
        scheme = scheme.with_weight(layer.name, replace(fmt, fracs=fracs))
    for group in format_groups(network):
        share = rng.uniform(0.05, 0.6)
        if not (group.non_negative or group.is_head or group.is_input):
            zero = max(1, int(share * (1 << precision.act_bits)))
            frac = _tensor_frac(group, precision)
            scheme = scheme.with_group(group, group_format(group, precision.act_bits, frac, zero))
    return scheme


def group_format(group: TensorGroup, bits: int, frac: int, zero: int = 0) -> Format:
    """Return a tensor group's format: ``LOGIT_BITS`` for the head, signed only where it must be."""
    if group.is_head:
        return Format(LOGIT_BITS, frac)
    return Format(bits, frac, signed=not (group.non_negative or zero), zero=zero)


def _tensor_frac(group: TensorGroup, precision: Precision) -> int:
    frac = precision.act_bits - 2
    return min(7, frac + precision.weight_bits - 1) if group.is_head else frac
