"""The typed, frozen layer graph that every later part of the toolflow reads.

Shapes are per image, without the batch: ``(C, H, W)`` for feature maps, ``(F,)`` for vectors.
Tensors are named; each is produced once, by the input or by one layer. Layers stand in execution
order. Weights are float32 as trained (batch normalisation already folded).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from math import prod
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
FloatArray = NDArray[np.float32]


class ActivationKind(StrEnum):
    """Activation functions that fuse into a layer."""

    NONE = "none"
    RELU = "relu"
    CLIP = "clip"
    LEAKY_RELU = "leaky_relu"


@dataclass(frozen=True)
class Activation:
    """An activation function: ``low``/``high`` bound a CLIP, ``slope`` is LEAKY_RELU's alpha."""

    kind: ActivationKind = ActivationKind.NONE
    low: float = -np.inf
    high: float = np.inf
    slope: float = 1.0

    @property
    def non_negative(self) -> bool:
        """Whether no output can be below zero."""
        return self.kind is ActivationKind.RELU or (
            self.kind is ActivationKind.CLIP and self.low >= 0
        )


@dataclass(frozen=True)
class MatmulShape:
    """A layer as the MM unit sees it, per image: ``groups`` products ``[R x P] . [P x C]``."""

    groups: int
    rows: int
    depth: int
    columns: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates per image."""
        return self.groups * self.rows * self.depth * self.columns


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """Base of all layers: ``inputs`` and ``output`` are tensor names."""

    name: str
    inputs: tuple[str, ...]
    output: str
    out_shape: Shape

    @property
    def op(self) -> str:
        """The layer kind's name, as written in plans and reports."""
        return type(self).__name__.lower()


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightLayer(Layer):
    """A layer of the MM unit. ``weight`` is OIHW (convolution) or OI (dense); ``bias`` is (O,)."""

    weight: FloatArray
    bias: FloatArray
    activation: Activation = field(default_factory=Activation)

    @property
    def matmul(self) -> MatmulShape:
        """The layer's matrix product."""
        raise TypeError(f"{self.op} has no matrix product")


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(WeightLayer):
    """2-D convolution. ``stride`` is (h, w); ``pads`` is (top, left, bottom, right)."""

    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    groups: int = 1

    @property
    def matmul(self) -> MatmulShape:
        """Rows are output pixels, depth is kernel height x width x input channels of a group."""
        out_channels, depth = self.weight.shape[0], prod(self.weight.shape[1:])
        pixels = self.out_shape[1] * self.out_shape[2]
        return MatmulShape(self.groups, pixels, depth, out_channels // self.groups)


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(WeightLayer):
    """Fully-connected layer on a vector; images of a batch are the rows."""

    @property
    def matmul(self) -> MatmulShape:
        """One row an image."""
        return MatmulShape(1, 1, self.weight.shape[1], self.weight.shape[0])


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Layer):
    """A pooling layer: ``kernel``, ``stride`` are (h, w), ``pads`` (top, left, bottom, right)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Pool):
    """Maximum pooling; padding never wins."""


@dataclass(frozen=True, eq=False, kw_only=True)
class AvgPool(Pool):
    """Average pooling (global average pooling is a kernel as large as the map).

    ``count_include_pad`` says whether padded zeros count in the divisor.
    """

    count_include_pad: bool = True
    activation: Activation = field(default_factory=Activation)


@dataclass(frozen=True, eq=False, kw_only=True)
class Lrn(Layer):
    """Local response normalisation: ``x / (bias + alpha / size * sum(x**2)) ** beta``.

    The sum is over ``size`` channels, an odd number, the value's own in the middle; channels that
    do not exist add nothing. ``alpha``, ``beta`` and ``bias`` are greater than zero.
    """

    size: int
    alpha: float
    beta: float
    bias: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Layer):
    """Element-wise sum of two tensors of one shape."""

    activation: Activation = field(default_factory=Activation)


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Layer):
    """Concatenation along the channels."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Flatten(Layer):
    """(C, H, W) to (C*H*W,), in C, H, W order."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Activate(Layer):
    """An activation function that no producer could absorb."""

    activation: Activation


@dataclass(frozen=True)
class Preprocessing:
    """``input = (image / scale - mean) / std`` per channel.

    ``channel_order`` is the order the network expects: "RGB", "BGR" or "grey".
    """

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    channel_order: str = "RGB"
    stated: bool = False
    """Whether the model's metadata (or the user) said so; False means these are defaults."""
    short_side: int | None = None
    """Shorter side that images are resized to before the centre crop; None for the input's."""


@dataclass(frozen=True, eq=False)
class Network:
    """A whole network, input to logits."""

    name: str
    sha256: str
    input: str
    input_shape: Shape
    output: str
    layers: tuple[Layer, ...]
    preprocessing: Preprocessing
    softmax_removed: bool
    classes: int
    class_names: tuple[str, ...] = ()
    """Names from the model's metadata, one a class; empty where it has none."""

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Per-image shape of every tensor."""
        shapes = {self.input: self.input_shape}
        shapes.update({layer.output: layer.out_shape for layer in self.layers})
        return MappingProxyType(shapes)

    @cached_property
    def weight_layers(self) -> tuple[WeightLayer, ...]:
        """The layers of the MM unit, in execution order."""
        return tuple(layer for layer in self.layers if isinstance(layer, WeightLayer))

    @property
    def macs(self) -> int:
        """Multiply-accumulates per image."""
        return sum(layer.matmul.macs for layer in self.weight_layers)

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum(layer.weight.size + layer.bias.size for layer in self.weight_layers)
