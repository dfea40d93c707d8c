"""A network turned into the integer operations that the hardware runs.

There is one copy of the weights, the HPU's (``StoredParameters``): ``store`` makes it by plain
rounding, ``quantisation.sharing`` such that the LPU's are good as well. ``compile_network`` makes
the integer network of the HPU from those words, ``cut_network`` the LPU's, whose weights and biases
are cut from them by the window (``fixedpoint.window``; paper section 2.2, weight sharing). The only
parameters of its own that the LPU has are a small correction of each output channel's bias, kept
in the bias words, and the zero points of its tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolflow.emulator.factor_table import FactorTable, factor_frac, factor_table
from toolflow.errors import UserError
from toolflow.fixedpoint import (
    BIAS_BITS,
    Format,
    IntArray,
    Reciprocal,
    Slope,
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
    Lrn,
    Network,
    WeightLayer,
)
from toolflow.quantisation.scheme import Scheme, WeightFormat

MAX_SHIFT = 31
MAX_ACCUMULATOR_BITS = 46
"""What requantisation is built for at most, behind the MM unit and in the vector unit."""


@dataclass(frozen=True, eq=False)
class StoredLayer:
    """The one copy of a layer's parameters that is kept in memory.

    ``weight`` is OIHW or (outputs, inputs); ``bias`` has an entry an output channel, at the scale
    of that channel's HPU accumulators, ``2**-bias_fracs``. ``correction`` is added to the LPU's
    biases after they are cut, at the scale of the LPU's accumulators.
    """

    weight: IntArray
    weight_format: WeightFormat
    bias: IntArray
    bias_fracs: IntArray
    correction: IntArray


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
class IntegerLrn(IntegerLayer):
    """Local response normalisation over ``size`` channels: see ``factor_table``.

    The requantiser's shift is that of factors of exponent 0.
    """

    size: int
    table: FactorTable
    requantiser: Requantiser


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

    @property
    def vector_bits(self) -> int:
        """Signed width that no sum or product of the vector unit can leave, whatever the image."""
        return 1 + max((vector_limit(layer) for layer in self.layers), default=0).bit_length()


def store(network: Network, scheme: Scheme) -> StoredParameters:
    """Round all parameters to the nearest words of the (HPU's) scheme."""
    layers = {
        layer.name: stored_layer(
            layer,
            scheme,
            quantise(
                scaled(layer.weight, scheme.weights[layer.name]), scheme.weights[layer.name].words
            ),
            layer.bias.astype(np.float64),
        )
        for layer in network.weight_layers
    }
    return StoredParameters(scheme, MappingProxyType(layers), scheme.tensors[network.input])


def stored_layer(
    layer: WeightLayer, scheme: Scheme, words: IntArray, bias: NDArray[np.float64]
) -> StoredLayer:
    """Return a layer's parameters of weight words and real biases; no correction."""
    fmt = scheme.weights[layer.name]
    fracs = np.array(fmt.fracs) + scheme.tensors[layer.inputs[0]].frac
    return StoredLayer(
        weight=_frozen(words),
        weight_format=fmt,
        bias=_frozen(quantise(np.ldexp(bias, fracs), Format(BIAS_BITS, 0))),
        bias_fracs=_frozen(fracs),
        correction=_frozen(np.zeros(len(fracs), np.int64)),
    )


def scaled(weight: NDArray[np.float32], fmt: WeightFormat) -> NDArray[np.float64]:
    """Return weights in steps of each output channel's format."""
    fracs = np.array(fmt.fracs).reshape(-1, *[1] * (weight.ndim - 1))
    return np.asarray(np.ldexp(weight.astype(np.float64), fracs))


def compile_network(network: Network, stored: StoredParameters) -> IntegerNetwork:
    """Return the HPU's integer network: the stored words as they are.

    Raises:
        UserError: an accumulator could overflow the widest one the hardware can be built with.
        ValueError: the scheme needs a negative shift, or a window that leaves no bit of a weight
            (the search never makes such a scheme).
    """
    return _compiled(network, stored.scheme, stored, corrected=False)


def cut_network(network: Network, scheme: Scheme, stored: StoredParameters) -> IntegerNetwork:
    """Return the LPU's integer network: ``scheme``, its parameters cut from ``stored``.

    Raises:
        UserError, ValueError: see ``compile_network``.
    """
    return _compiled(network, scheme, stored, corrected=True)


def _compiled(
    network: Network, scheme: Scheme, stored: StoredParameters, corrected: bool
) -> IntegerNetwork:
    layers = tuple(
        _compile_matmul(layer, scheme, stored.layers[layer.name], corrected)
        if isinstance(layer, WeightLayer)
        else compile_layer(layer, scheme)
        for layer in network.layers
    )
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
    if result.vector_bits > MAX_ACCUMULATOR_BITS:
        raise UserError(
            f"{network.name}: at {scheme.precision} bits an average pooling or an addition needs "
            f"{result.vector_bits} bits, more than the {MAX_ACCUMULATOR_BITS} that the vector unit "
            "has; use fewer bits for the activations"
        )
    return result


def cut_weights(words: IntArray, stored: WeightFormat, fmt: WeightFormat) -> IntArray:
    """Return weights in ``fmt``, cut from words of the format ``stored`` by the window.

    Raises:
        ValueError: the window differs between channels.
    """
    return window(words, window_shift(stored, fmt), fmt.words.low, fmt.words.high)


def window_shift(stored: WeightFormat, fmt: WeightFormat) -> int:
    """Return by how much the window shifts, the same for all channels of a layer.

    Raises:
        ValueError: the window differs between channels, or its shift is negative.
    """
    shifts = {a - b for a, b in zip(stored.fracs, fmt.fracs, strict=True)}
    if len(shifts) > 1:
        raise ValueError(f"a layer's weights have windows of several shifts, {sorted(shifts)}")
    return _shift(shifts.pop(), "weights")


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


def compile_layer(layer: Layer, scheme: Scheme) -> IntegerLayer:
    """Return a layer without weights."""
    inputs = [scheme.tensors[name] for name in layer.inputs]
    out = scheme.tensors[layer.output]
    if isinstance(layer, AvgPool):
        area = layer.kernel[0] * layer.kernel[1]
        divisors = {area} if layer.count_include_pad else set(range(1, area + 1))
        reciprocals = {d: reciprocal_of(d) for d in sorted(divisors)}
        frac_change = inputs[0].frac - out.frac
        for divisor in (1, area):
            _shift(reciprocal_of(divisor).shift + frac_change, layer.name)
        return IntegerAvgPool(
            layer=layer,
            reciprocals=MappingProxyType(reciprocals),
            frac_change=frac_change,
            requantiser=_requantiser(layer.activation, out, np.zeros(1, np.int64), layer.name),
            input_limit=inputs[0].operand_limit,
        )
    if isinstance(layer, Add | Activate):
        finest = max(fmt.frac for fmt in inputs)
        return IntegerEltwise(
            layer=layer,
            align=tuple(_shift(finest - fmt.frac, layer.name) for fmt in inputs),
            requantiser=_requantiser(
                layer.activation, out, np.array([finest - out.frac], np.int64), layer.name
            ),
            input_limits=tuple(fmt.operand_limit for fmt in inputs),
        )
    if isinstance(layer, Lrn):
        shift = _shift(inputs[0].frac + factor_frac(layer) - out.frac, layer.name)
        return IntegerLrn(
            layer=layer,
            size=layer.size,
            table=factor_table(layer, inputs[0], MAX_SHIFT - shift),
            requantiser=_requantiser(Activation(), out, np.array([shift], np.int64), layer.name),
        )
    return IntegerLayer(layer)


def vector_limit(layer: IntegerLayer) -> int:
    """Bound the magnitude of what the vector unit requantises; a maximum is a word."""
    if isinstance(layer, IntegerAvgPool):
        return max(d * r.mantissa * layer.input_limit for d, r in layer.reciprocals.items())
    if isinstance(layer, IntegerEltwise):
        return sum(limit << by for limit, by in zip(layer.input_limits, layer.align, strict=True))
    return 0


def _compile_matmul(
    layer: WeightLayer, scheme: Scheme, stored: StoredLayer, corrected: bool
) -> IntegerMatmul:
    fmt, data = scheme.weights[layer.name], scheme.tensors[layer.inputs[0]]
    fracs = np.array(fmt.fracs) + data.frac
    bias_windows = set((stored.bias_fracs - fracs).tolist())
    if len(bias_windows) > 1:
        raise ValueError(f"{layer.name}: biases have windows of several shifts")
    bias_window = _shift(bias_windows.pop(), layer.name)
    full = Format(BIAS_BITS, 0)
    bias = window(stored.bias, bias_window, full.low, full.high)
    return integer_matmul(
        layer,
        scheme,
        cut_weights(stored.weight, stored.weight_format, fmt),
        bias + stored.correction if corrected else bias,
        weight_window=window_shift(stored.weight_format, fmt),
        bias_window=bias_window,
    )


def integer_matmul(
    layer: WeightLayer,
    scheme: Scheme,
    weight: IntArray,
    bias: IntArray,
    weight_window: int = 0,
    bias_window: int = 0,
) -> IntegerMatmul:
    """Return a matrix layer of integer weights and biases in the formats of ``scheme``.

    Raises:
        ValueError: a channel would need a shift that the hardware does not have.
    """
    data, out = scheme.tensors[layer.inputs[0]], scheme.tensors[layer.output]
    shift = np.array(scheme.weights[layer.name].fracs) + data.frac - out.frac
    requantiser = _requantiser(layer.activation, out, shift, layer.name)
    per_channel = np.abs(weight).reshape(len(weight), -1).sum(axis=1) * data.operand_limit
    half = np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0)
    limit = int((per_channel + np.abs(bias) + half).max())
    return IntegerMatmul(
        layer=layer,
        weight=_frozen(weight),
        bias=_frozen(bias),
        requantiser=requantiser,
        weight_window=weight_window,
        bias_window=bias_window,
        input_limit=data.operand_limit,
        accumulator_limit=limit,
    )
