"""A network turned into the integer operations that the hardware runs.

``store`` quantises the parameters once, at the HPU's precision, and ``balance`` fits those words to
the LPU that will be cut from them. ``compile_network`` makes the
integer network of any scheme from those stored words by the window (``fixedpoint.window``), so
that the LPU never has parameters of its own (paper section 2.2, weight sharing). With the scheme
that the parameters were stored in, every window is the identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolflow.errors import UserError
from toolflow.fixedpoint import (
    BIAS_BITS,
    Format,
    IntArray,
    Reciprocal,
    Slope,
    dequantise,
    planar_high,
    quantise,
    reciprocal_of,
    slope_of,
    window,
)
from toolflow.network.graph import (
    Activate,
    Activation,
    ActivationKind,
    Add,
    AvgPool,
    Layer,
    Network,
    WeightLayer,
)
from toolflow.quantisation.scheme import Scheme

MAX_SHIFT = 31
MAX_ACCUMULATOR_BITS = 46


@dataclass(frozen=True, eq=False)
class StoredLayer:
    """The one copy of a layer's parameters that is kept in memory."""

    weight: IntArray
    weight_format: Format
    bias: IntArray
    bias_frac: int


@dataclass(frozen=True, eq=False)
class StoredParameters:
    """All parameters, quantised by ``scheme`` (the HPU's), and the stored images' format."""

    scheme: Scheme
    layers: Mapping[str, StoredLayer]
    input_format: Format


@dataclass(frozen=True, eq=False)
class Requantiser:
    """What turns accumulators into a tensor: see ``fixedpoint.requantise``.

    ``shift`` has one entry an output channel for weight layers, one for others.
    """

    shift: IntArray
    low: int
    high: int
    slope: Slope | None
    act_bits: int


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A layer that hardware runs without arithmetic of its own (pooling, flatten, concat)."""

    layer: Layer


@dataclass(frozen=True, eq=False)
class IntegerMatmul(IntegerLayer):
    """Convolution or dense layer on integers; ``accumulator_limit`` bounds |acc + bias|."""

    weight: IntArray
    bias: IntArray
    requantiser: Requantiser
    weight_window: int
    bias_window: int
    input_limit: int
    accumulator_limit: int


@dataclass(frozen=True, eq=False)
class IntegerAvgPool(IntegerLayer):
    """Average pooling: ``round_shift(sum * mantissa, shift)``; one reciprocal a divisor."""

    reciprocals: Mapping[int, Reciprocal]
    frac_change: int
    requantiser: Requantiser
    input_limit: int


@dataclass(frozen=True, eq=False)
class IntegerEltwise(IntegerLayer):
    """Add or Activate: inputs are shifted left by ``align``, summed and requantised."""

    align: tuple[int, ...]
    requantiser: Requantiser
    input_limits: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """A network in integers.

    Images arrive as the stored words (``stored_input``); ``input_window`` cuts them to ``input``.
    """

    network: Network
    scheme: Scheme
    stored_input: Format
    input: Format
    input_window: int
    layers: tuple[IntegerLayer, ...]

    @property
    def matmuls(self) -> tuple[IntegerMatmul, ...]:
        """The layers of the MM unit."""
        return tuple(layer for layer in self.layers if isinstance(layer, IntegerMatmul))

    @property
    def logit_format(self) -> Format:
        """Format of the network's output."""
        return self.scheme.tensors[self.network.output]

    @property
    def accumulator_bits(self) -> int:
        """Signed width that no accumulator of this network can leave, whatever the image."""
        return 1 + max(layer.accumulator_limit for layer in self.matmuls).bit_length()


def store(network: Network, scheme: Scheme) -> StoredParameters:
    """Quantise all parameters at the (HPU's) scheme; biases are 32 bit at accumulator scale."""
    layers = {}
    for layer in network.weight_layers:
        fmt = scheme.weights[layer.name]
        bias_frac = fmt.frac + scheme.tensors[layer.inputs[0]].frac
        layers[layer.name] = StoredLayer(
            weight=_frozen(quantise(layer.weight, fmt)),
            weight_format=fmt,
            bias=_frozen(quantise(layer.bias, Format(BIAS_BITS, bias_frac))),
            bias_frac=bias_frac,
        )
    return StoredParameters(scheme, MappingProxyType(layers), scheme.tensors[network.input])


def balance(network: Network, stored: StoredParameters, scheme: Scheme) -> StoredParameters:
    """Return stored words from which ``scheme``'s weights are cut without a bias.

    The window rounds half up, and of integers one in ``2**shift`` is a tie: all of them upwards
    would shift the LPU's mean weight by half a stored step. So a tied word whose float weight lies
    below it is stored one step lower: about half of the ties then round down. The HPU pays with
    an error of up to one step instead of a half, in one word of ``2**(shift + 1)``.

    The words are stored as two digits (``fixedpoint.split_planes``), the high one being what the
    LPU reads; so they are also clipped to ``fixedpoint.planar_high``.
    """
    layers = {
        layer.name: replace(
            stored.layers[layer.name],
            weight=_frozen(
                balanced_words(layer.weight, stored.layers[layer.name], scheme.weights[layer.name])
            ),
        )
        for layer in network.weight_layers
    }
    return replace(stored, layers=MappingProxyType(layers))


def balanced_words(weight: NDArray[np.float32], stored: StoredLayer, fmt: Format) -> IntArray:
    """Return one layer's stored words for cutting weights of format ``fmt`` (see ``balance``)."""
    shift = stored.weight_format.frac - fmt.frac
    if shift < 1:
        return stored.weight
    tied = (stored.weight & ((1 << shift) - 1)) == 1 << (shift - 1)
    above = dequantise(stored.weight, stored.weight_format.frac) > weight
    lowered = tied & above & (stored.weight > stored.weight_format.low)
    # A shift of the whole word leaves the LPU no weights; `compile_network` refuses it.
    bits = stored.weight_format.bits
    top = planar_high(bits, min(shift, bits - 1))
    return np.asarray(np.minimum(stored.weight - lowered, top), np.int64)


def compile_network(network: Network, scheme: Scheme, stored: StoredParameters) -> IntegerNetwork:
    """Return the integer network of ``scheme``, its parameters cut from ``stored``.

    Raises:
        UserError: an accumulator could overflow the widest one the hardware can be built with.
        ValueError: the scheme needs a negative shift, or a window that leaves no bit of a weight
            (the search never makes such a scheme).
    """
    layers = tuple(_compile_layer(layer, scheme, stored) for layer in network.layers)
    input_format = scheme.tensors[network.input]
    result = IntegerNetwork(
        network=network,
        scheme=scheme,
        stored_input=stored.input_format,
        input=input_format,
        input_window=_shift(stored.input_format.frac - input_format.frac, network.input),
        layers=layers,
    )
    if result.accumulator_bits > MAX_ACCUMULATOR_BITS:
        raise UserError(
            f"{network.name}: at {scheme.precision} bits an accumulator needs "
            f"{result.accumulator_bits} bits, more than the {MAX_ACCUMULATOR_BITS} that the MM "
            "unit has; use fewer bits for weights or activations"
        )
    return result


def cut_weights(words: IntArray, stored: Format, fmt: Format) -> IntArray:
    """Return weights in ``fmt``, cut from words of the format ``stored`` by the window."""
    return window(words, stored.frac - fmt.frac, fmt.low, fmt.high)


def quantise_images(images: NDArray[Any], fmt: Format) -> IntArray:
    """Quantise pre-processed images (N, C, H, W) to the stored input format."""
    return quantise(images, fmt)


def _frozen(array: IntArray) -> IntArray:
    array.flags.writeable = False
    return array


def _shift(value: int, where: str, limit: int = MAX_SHIFT) -> int:
    if not 0 <= value <= limit:
        raise ValueError(f"{where}: shift {value} is outside 0..{limit}")
    return value


def _limit(fmt: Format) -> int:
    return max(-fmt.low, fmt.high)


def _requantiser(activation: Activation, out: Format, shift: IntArray, where: str) -> Requantiser:
    for value in np.unique(shift):
        _shift(int(value), where)
    low, high, slope = out.low, out.high, None
    if activation.kind is ActivationKind.RELU:
        low = 0
    elif activation.kind is ActivationKind.CLIP:
        if np.isfinite(activation.low):
            low = int(quantise(activation.low, out))
        if np.isfinite(activation.high):
            high = int(quantise(activation.high, out))
    elif activation.kind is ActivationKind.LEAKY_RELU:
        slope = slope_of(activation.slope)
    return Requantiser(_frozen(shift), max(low, out.low), high, slope, out.bits)


def _compile_layer(layer: Layer, scheme: Scheme, stored: StoredParameters) -> IntegerLayer:
    inputs = [scheme.tensors[name] for name in layer.inputs]
    out = scheme.tensors[layer.output]
    if isinstance(layer, WeightLayer):
        return _compile_matmul(layer, scheme, stored.layers[layer.name])
    if isinstance(layer, AvgPool):
        area = layer.kernel[0] * layer.kernel[1]
        divisors = {area} if layer.count_include_pad else set(range(1, area + 1))
        return IntegerAvgPool(
            layer=layer,
            reciprocals=MappingProxyType({d: reciprocal_of(d) for d in sorted(divisors)}),
            frac_change=inputs[0].frac - out.frac,
            requantiser=_requantiser(layer.activation, out, np.zeros(1, np.int64), layer.name),
            input_limit=_limit(inputs[0]),
        )
    if isinstance(layer, Add | Activate):
        finest = max(fmt.frac for fmt in inputs)
        return IntegerEltwise(
            layer=layer,
            align=tuple(_shift(finest - fmt.frac, layer.name) for fmt in inputs),
            requantiser=_requantiser(
                layer.activation, out, np.array([finest - out.frac], np.int64), layer.name
            ),
            input_limits=tuple(_limit(fmt) for fmt in inputs),
        )
    return IntegerLayer(layer)


def _compile_matmul(layer: WeightLayer, scheme: Scheme, stored: StoredLayer) -> IntegerMatmul:
    fmt, data = scheme.weights[layer.name], scheme.tensors[layer.inputs[0]]
    out = scheme.tensors[layer.output]
    weight_window = _shift(
        stored.weight_format.frac - fmt.frac, layer.name, stored.weight_format.bits - 1
    )
    bias_window = _shift(stored.bias_frac - fmt.frac - data.frac, layer.name)
    weight = cut_weights(stored.weight, stored.weight_format, fmt)
    full = Format(BIAS_BITS, 0)
    bias = window(stored.bias, bias_window, full.low, full.high)
    shift = np.full(weight.shape[0], fmt.frac + data.frac - out.frac, np.int64)
    requantiser = _requantiser(layer.activation, out, shift, layer.name)
    per_channel = np.abs(weight).reshape(len(weight), -1).sum(axis=1) * _limit(data)
    half = np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0)
    limit = int((per_channel + np.abs(bias) + half).max())
    return IntegerMatmul(
        layer=layer,
        weight=_frozen(weight),
        bias=_frozen(bias),
        requantiser=requantiser,
        weight_window=weight_window,
        bias_window=bias_window,
        input_limit=_limit(data),
        accumulator_limit=limit,
    )
