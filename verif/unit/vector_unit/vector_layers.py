"""Layers of the vector unit with formats and input words, and the beats that run them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolflow.emission.descriptors import arithmetic_fields, decode, encode
from toolflow.emulator.integer_network import IntegerLayer, compile_layer, vector_limit
from toolflow.emulator.reference import run_layer
from toolflow.fixedpoint import LOGIT_BITS, Format
from toolflow.network.graph import (
    Activate,
    Activation,
    ActivationKind,
    Add,
    AvgPool,
    Layer,
    MaxPool,
    Pool,
)
from toolflow.quantisation.scheme import Precision, Scheme

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Beat:
    """One transfer into the design: words, or junk where ``pad``."""

    words: IntArray
    first: bool
    last: bool
    pad: bool = False
    second: bool = False


@dataclass(frozen=True, eq=False)
class Output:
    """An output's beats, and the words that must come of them."""

    beats: tuple[Beat, ...]
    words: IntArray


@dataclass(frozen=True, eq=False)
class VectorLayer:
    """A layer in integers with its input words, (C, H, W) each.

    Attributes:
        fields: its descriptor's, those of the arithmetic.
        inputs: words, ``q + zero``.
        output: the emulator's words for them.
    """

    layer: IntegerLayer
    fields: dict[str, int]
    inputs: tuple[IntArray, ...]
    output: IntArray

    def outputs(self, lanes: int, rng: random.Random) -> Iterator[Output]:
        """Yield every output beat in the order of a layer: pixel by pixel, chunks of channels."""
        channels, height, width = self.output.shape
        for y in range(height):
            for x in range(width):
                for start in range(0, channels, lanes):
                    yield self.output_at(y, x, start, lanes, rng)

    def output_at(self, y: int, x: int, start: int, lanes: int, rng: random.Random) -> Output:
        """Return one output beat; the lanes beyond the last channel are no words of the layer's."""
        part = slice(start, start + lanes)
        words = [None if values is None else values[part] for values in self._positions(y, x)]
        live = len(self.output[part])
        beats = []
        for index, values in enumerate(words):
            junk = np.array([rng.getrandbits(2) for _ in range(lanes)], np.int64)
            if values is not None:
                junk[:live] = values
            beats.append(
                Beat(
                    words=junk,
                    first=index == 0,
                    last=index == len(words) - 1,
                    pad=values is None,
                    second=len(self.inputs) == 2 and index == 1,
                )
            )
        return Output(tuple(beats), self.output[part, y, x])

    def _positions(self, y: int, x: int) -> list[IntArray | None]:
        """Return the channels at every kernel position of an output, None for padding."""
        spec = self.layer.layer
        if not isinstance(spec, Pool):
            return [values[:, y, x] for values in self.inputs]
        values = self.inputs[0]
        _, height, width = values.shape
        found: list[IntArray | None] = []
        for row in range(spec.kernel[0]):
            for column in range(spec.kernel[1]):
                at_y = y * spec.stride[0] + row - spec.pads[0]
                at_x = x * spec.stride[1] + column - spec.pads[1]
                inside = 0 <= at_y < height and 0 <= at_x < width
                found.append(values[:, at_y, at_x] if inside else None)
        return found


def vector_layer(
    spec: Layer,
    inputs: tuple[Format, ...],
    output: Format,
    act_bits: int,
    words: tuple[IntArray, ...],
) -> VectorLayer:
    """Return a layer with the emulator's answer.

    Raises:
        ValueError: the formats need a shift that the hardware does not have.
    """
    tensors = dict(zip((*spec.inputs, spec.output), (*inputs, output), strict=True))
    scheme = Scheme(Precision(8, act_bits), MappingProxyType({}), MappingProxyType(tensors))
    layer = compile_layer(spec, scheme)
    values = [(w - fmt.zero)[None] for w, fmt in zip(words, inputs, strict=True)]
    fields = decode(encode(arithmetic_fields(layer, inputs, output, act_bits)))
    return VectorLayer(layer, fields, words, run_layer(layer, values)[0] + output.zero)


@dataclass(frozen=True)
class Widths:
    """What the design is built for."""

    in_bits: int
    act_bits: int
    out_bits: int
    acc_bits: int
    leaky: bool


def random_layer(widths: Widths, channels: int, rng: random.Random) -> VectorLayer:
    """Draw a layer of any kind that the design can run."""
    while True:
        kind = rng.choice([_max_pool, _average_pool, _average_pool, _addition, _activation])
        try:
            made = kind(widths, channels, rng)
        except ValueError:
            continue
        if vector_limit(made.layer) < 1 << (widths.acc_bits - 1):
            return made


def random_words(fmt: Format, shape: tuple[int, ...], rng: random.Random) -> IntArray:
    """Draw words of a format: any, extremes, or small ones."""
    draw = np.random.default_rng(rng.getrandbits(32))
    low, high = fmt.low + fmt.zero, fmt.high + fmt.zero
    kind = rng.choice(["any", "any", "extremes", "top", "bottom", "small"])
    if kind == "any":
        return draw.integers(low, high + 1, shape)
    if kind == "extremes":
        return draw.choice([low, high, fmt.zero], shape)
    if kind == "small":
        return np.clip(draw.integers(-2, 3, shape) + fmt.zero, low, high)
    return np.full(shape, high if kind == "top" else low)


def random_format(bits: int, rng: random.Random) -> Format:
    """Draw a format: signed, unsigned, or with a zero point."""
    signed = rng.random() < 0.3
    if signed or rng.random() < 0.3:
        return Format(bits, 0, signed)
    top = (1 << bits) - 1
    return Format(bits, 0, False, rng.choice([1, top, rng.randint(1, top)]))


def random_activation(leaky: bool, rng: random.Random) -> Activation:
    """Draw an activation function, a clip's bounds near a few bits' range."""
    kinds = [ActivationKind.NONE, ActivationKind.RELU, ActivationKind.CLIP]
    kind = rng.choice([*kinds, *[ActivationKind.LEAKY_RELU] * (3 * leaky)])
    if kind is ActivationKind.CLIP:
        return Activation(kind, low=-rng.choice([0.0, 1.0, 5.0]), high=float(rng.randint(0, 99)))
    if kind is ActivationKind.LEAKY_RELU:
        return Activation(kind, slope=rng.choice([0.01, 0.1, 0.2, 0.3, 0.999]))
    return Activation(kind)


def _formats(widths: Widths, count: int, rng: random.Random) -> list[Format]:
    """Draw inputs' formats and, last, the output's, which is wide now and then."""
    bits = [min(widths.act_bits, widths.in_bits)] * count
    if widths.in_bits >= LOGIT_BITS and rng.random() < 0.3:
        bits[rng.randrange(count)] = LOGIT_BITS
    inputs = [random_format(b, rng) for b in bits]
    if widths.out_bits == LOGIT_BITS and rng.random() < 0.3:
        return [*inputs, Format(LOGIT_BITS, 0)]
    return [*inputs, random_format(widths.act_bits, rng)]


def _max_pool(widths: Widths, channels: int, rng: random.Random) -> VectorLayer:
    bits = min(widths.in_bits, widths.act_bits)
    fmt = random_format(bits, rng)
    if min(widths.in_bits, widths.out_bits) == LOGIT_BITS and rng.random() < 0.3:
        fmt = Format(LOGIT_BITS, 0)
    geometry, shape = _pool(channels, rng)
    spec = MaxPool(name="layer", inputs=("x",), output="y", **geometry)
    return vector_layer(spec, (fmt,), fmt, widths.act_bits, (random_words(fmt, shape, rng),))


def _average_pool(widths: Widths, channels: int, rng: random.Random) -> VectorLayer:
    source, output = _formats(widths, 1, rng)
    output = output.at(rng.choice([0, 0, rng.randint(-14, 15)]))
    geometry, shape = _pool(channels, rng)
    spec = AvgPool(
        name="layer", inputs=("x",), output="y", count_include_pad=rng.random() < 0.4,
        activation=random_activation(widths.leaky, rng), **geometry,
    )  # fmt: skip
    words = random_words(source, shape, rng)
    return vector_layer(spec, (source,), output, widths.act_bits, (words,))


def _pool(channels: int, rng: random.Random) -> tuple[dict[str, Any], tuple[int, int, int]]:
    """Draw a pooling's geometry and its input's shape: ragged windows, pads, whole maps.

    Raises:
        ValueError: the window does not fit.
    """
    kernel = rng.choice([(2, 2), (3, 3), (3, 3), (1, 3), (5, 2), (1, 1), (4, 4)])
    stride = rng.choice([(1, 1), (2, 2), (2, 1), (3, 3)])
    pads = tuple(rng.randint(0, kernel[side % 2] - 1) for side in range(4))
    size = tuple(rng.randint(max(1, k - 1), 6) for k in kernel)
    if rng.random() < 0.2:
        kernel, stride, pads = (size[0], size[1]), (1, 1), (0, 0, 0, 0)
    out = [
        (size[axis] + pads[axis] + pads[axis + 2] - kernel[axis]) // stride[axis] + 1
        for axis in (0, 1)
    ]
    if min(out) < 1:
        raise ValueError("the window does not fit")
    geometry = {"kernel": kernel, "stride": stride, "pads": pads, "out_shape": (channels, *out)}
    return geometry, (channels, size[0], size[1])


def _addition(widths: Widths, channels: int, rng: random.Random) -> VectorLayer:
    first, second, output = _formats(widths, 2, rng)
    first, second = (fmt.at(rng.choice([0, 1, rng.randint(0, 16)])) for fmt in (first, second))
    output = output.at(max(first.frac, second.frac) - rng.choice([0, 1, 2, rng.randint(0, 31)]))
    shape = (channels, rng.randint(1, 4), rng.randint(1, 4))
    spec = Add(
        name="layer", inputs=("a", "b"), output="y", out_shape=shape,
        activation=random_activation(widths.leaky, rng),
    )  # fmt: skip
    words = random_words(first, shape, rng), random_words(second, shape, rng)
    return vector_layer(spec, (first, second), output, widths.act_bits, words)


def _activation(widths: Widths, channels: int, rng: random.Random) -> VectorLayer:
    source, output = _formats(widths, 1, rng)
    output = output.at(source.frac - rng.choice([0, 1, rng.randint(0, 31)]))
    shape = (channels, rng.randint(1, 4), rng.randint(1, 4))
    spec = Activate(
        name="layer", inputs=("x",), output="y", out_shape=shape,
        activation=random_activation(widths.leaky, rng),
    )  # fmt: skip
    words = (random_words(source, shape, rng),)
    return vector_layer(spec, (source,), output, widths.act_bits, words)
