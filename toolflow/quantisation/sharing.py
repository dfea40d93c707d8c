"""One set of weight words that is good for two precisions.

The LPU's weights are cut from the HPU's words by a window of ``shift`` bits, rounded: an LPU weight
``c`` comes of every word in ``c * 2**shift - 2**(shift - 1) .. c * 2**shift + 2**(shift - 1) - 1``.
That is a freedom to use twice. The layers are walked in the order of execution, each on the inputs
that the quantised layers before it make:

1. the fraction length of every output channel and the LPU's integers are chosen by the error of
   the layer's output (``rounding``), towards weights that make up for the errors of the inputs;
   only integers whose words lie within a few steps of the real weight are allowed;
2. the HPU's words are chosen by the same criterion on the float network's inputs, each within the
   interval of its LPU integer;
3. biases absorb what is left of the mean error, the HPU's in its words, the LPU's in a correction.

A single-stage design is the same with one precision: no window, no words around the integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolflow.emulator.exact_float import run_integer_layer
from toolflow.emulator.integer_network import (
    MAX_SHIFT,
    IntegerLayer,
    IntegerNetwork,
    StoredLayer,
    StoredParameters,
    compile_layer,
    integer_matmul,
    quantise_images,
    stored_layer,
)
from toolflow.fixedpoint import (
    BIAS_BITS,
    CORRECTION_BITS,
    LOGIT_BITS,
    Format,
    IntArray,
    planar_high,
    quantise,
    saturate,
    window,
)
from toolflow.network.graph import Network, WeightLayer
from toolflow.quantisation.inputs import LayerInputs, patches_at
from toolflow.quantisation.legality import legalised
from toolflow.quantisation.rounding import (
    Bound,
    FloatArray,
    SequentialRounding,
    clipped_nearest,
    damped,
    descend,
    output_error,
)
from toolflow.quantisation.scheme import Scheme, TensorGroup, WeightFormat

LPU_DAMPING = 0.3
"""Share of the mean input power that is added to every input's own: few images, many inputs."""

HPU_DAMPING = 0.01

FRACTIONS = 4
"""Fraction lengths tried for an output channel, from the one that clips nothing."""

BIAS_HEADROOM = 2
"""Bits that biases stay below their wordlength."""


@dataclass(frozen=True)
class Method:
    """What the rounding does; the defaults are what measures best (``scripts/figures.py``).

    Attributes:
        displacement: steps of the HPU that a word may be moved beyond its real weight for the
            LPU's sake; with 0, the LPU's integers are the nearest ones to the real weights.
        compensation: how far the weights' targets move to make up for the errors of quantised
            inputs, 0 not at all, 1 fully.
        by_output_error: round by the error of the layer's output, else each weight alone.
        balance_biases: biases keep the mean of the layer's output.
        scale_a_channel: every output channel has its own fraction length.
    """

    displacement: float = 12.0
    compensation: float = 0.5
    by_output_error: bool = True
    balance_biases: bool = True
    scale_a_channel: bool = True


@dataclass(frozen=True, eq=False)
class SharedWords:
    """The stored words and the scheme of the LPU that is cut from them."""

    stored: StoredParameters
    lpu: Scheme


@dataclass(frozen=True, eq=False)
class _Moments:
    """Means of a layer's inputs, float and quantised, and second moments about them.

    ``gram`` is of the quantised inputs, ``cross`` of float with quantised ones.

    Gram matrices are (groups, depth, depth), means (groups, 1, depth).
    """

    float_mean: FloatArray
    mean: FloatArray
    gram: FloatArray
    cross: FloatArray


@dataclass(frozen=True, eq=False)
class _Rounded:
    """A layer's integers (groups, channels, depth), its fraction lengths and real biases."""

    words: FloatArray
    fracs: NDArray[np.int64]
    bias: FloatArray


class WeightSharing:
    """Rounds the weights of one network for any pair of precisions.

    Args:
        network: the float network.
        groups: the tensors that share formats.
        images: pre-processed calibration images.
        inputs: what ``sample_inputs`` took of them.
        threads: emulator threads.
        method: what the rounding does.
    """

    def __init__(
        self,
        network: Network,
        groups: tuple[TensorGroup, ...],
        images: NDArray[np.float32],
        inputs: LayerInputs,
        threads: int,
        method: Method = Method(),
    ) -> None:
        self._method = method
        self._network = network
        self._groups = groups
        self._images = images
        self._inputs = inputs
        self._threads = threads
        self._last_use = {
            name: index for index, layer in enumerate(network.layers) for name in layer.inputs
        }
        self._hpu_factors: dict[str, tuple[FloatArray, SequentialRounding]] = {}

    def share(self, lpu: Scheme, hpu: Scheme, displacement: float | None = None) -> SharedWords:
        """Return words for two precisions; only the tensors' formats of the schemes are used.

        ``displacement`` is the method's (None) or another one, as what the HPU's words give up
        for the LPU's shows in the whole network only.
        """
        allowed = self._method.displacement if displacement is None else displacement
        return self._walk(lpu, hpu, allowed)

    def single(self, scheme: Scheme) -> StoredParameters:
        """Return the words of a single-stage design; only the tensors' formats are used."""
        return self._walk(scheme, scheme, None).stored

    def _walk(self, lpu: Scheme, hpu: Scheme, displacement: float | None) -> SharedWords:
        """Round layer by layer; with no ``displacement`` at all, for one precision alone."""
        stored_input = lpu.tensors[self._network.input]
        tensors: dict[str, NDArray[Any]] = {
            self._network.input: quantise_images(self._images, stored_input)
        }
        rounded: dict[str, tuple[_Rounded, _Rounded]] = {}
        for index, layer in enumerate(self._network.layers):
            inputs = [tensors[name] for name in layer.inputs]
            if isinstance(layer, WeightLayer):
                low, high = self._round(layer, lpu, hpu, inputs[0], displacement)
                rounded[layer.name] = low, high
                lpu = _capped(lpu, layer, low, self._groups)
                made: IntegerLayer = integer_matmul(
                    layer, lpu, _shaped(layer, low.words), _bias_words(layer, lpu, low)
                )
            else:
                made = compile_layer(layer, lpu)
            alone = IntegerNetwork(self._network, lpu, stored_input, stored_input, 0, (made,))
            tensors[layer.output] = run_integer_layer(alone, inputs, self._threads)
            for name in layer.inputs:
                if self._last_use[name] == index:
                    tensors.pop(name, None)
        return self._assembled(lpu, hpu, rounded, single=displacement is None)

    def _round(
        self,
        layer: WeightLayer,
        lpu: Scheme,
        hpu: Scheme,
        values: NDArray[Any],
        displacement: float | None,
    ) -> tuple[_Rounded, _Rounded]:
        moments = self._moments(layer, lpu, values)
        groups, depth = moments.gram.shape[:2]
        real = layer.weight.astype(np.float64).reshape(groups, -1, depth)
        bias = layer.bias.astype(np.float64).reshape(real.shape[:2])
        precision = lpu.precision.weight_bits, hpu.precision.weight_bits
        words = Format(precision[0], 0)
        gram = damped(moments.gram, LPU_DAMPING)
        target = _compensated(real, moments, gram, self._method.compensation)
        gram = self._criterion(gram)
        rounding = SequentialRounding(gram)
        bounds = _fraction_range(layer, real, lpu, hpu)
        fracs = _best_fractions(target, gram, rounding, words, bounds, self._method.scale_a_channel)
        shift = _window(real, fracs, *precision)
        low: Bound = words.low
        high: Bound = words.high
        if displacement is not None:
            low, high = _allowed(real, fracs, shift, words, precision[1], displacement)
        steps = np.ldexp(1.0, fracs)[:, :, None]
        integers = rounding.round(target * steps, low, high)
        integers = descend(integers, target * steps, gram, low, high)
        lpu_part = _Rounded(
            integers,
            fracs,
            self._balanced(bias, real, integers / steps, moments.float_mean, moments.mean),
        )
        around = self._words_around(layer, real * steps * 2.0**shift, integers, shift, precision)
        mended = around / (steps * 2.0**shift)
        hpu_part = _Rounded(
            around,
            fracs + shift,
            self._balanced(bias, real, mended, moments.float_mean, moments.float_mean),
        )
        return lpu_part, hpu_part

    def _criterion(self, gram: FloatArray) -> FloatArray:
        """Return the matrix to round by: of its diagonal alone, each weight for itself."""
        return gram if self._method.by_output_error else gram * np.eye(gram.shape[1])

    def _balanced(
        self,
        bias: FloatArray,
        real: FloatArray,
        rounded: FloatArray,
        float_mean: FloatArray,
        mean: FloatArray,
    ) -> FloatArray:
        """Return biases that keep the mean of a layer's outputs over the calibration images."""
        if not self._method.balance_biases:
            return bias
        return np.asarray(bias + (real * float_mean).sum(axis=2) - (rounded * mean).sum(axis=2))

    def _words_around(
        self,
        layer: WeightLayer,
        target: FloatArray,
        integers: FloatArray,
        shift: int,
        precision: tuple[int, int],
    ) -> FloatArray:
        """Return the HPU's words, each in the interval that the window maps to its integer."""
        if shift == 0:
            return integers
        words, stored = Format(precision[0], 0), Format(precision[1], 0)
        half = 1 << (shift - 1)
        low = np.where(integers == words.low, stored.low, integers * 2.0**shift - half)
        high = np.where(
            integers == words.high,
            planar_high(precision[1], shift),
            integers * 2.0**shift + half - 1,
        )
        low, high = np.maximum(low, stored.low), np.minimum(high, planar_high(precision[1], shift))
        gram, rounding = self._hpu_rounding(layer)
        return descend(rounding.round(target, low, high), target, gram, low, high)

    def _hpu_rounding(self, layer: WeightLayer) -> tuple[FloatArray, SequentialRounding]:
        if layer.name not in self._hpu_factors:
            patches = self._inputs.patches[layer.name]
            centred = patches - patches.mean(axis=1, keepdims=True)
            gram = self._criterion(damped(_gram(centred, centred), HPU_DAMPING))
            self._hpu_factors[layer.name] = gram, SequentialRounding(gram)
        return self._hpu_factors[layer.name]

    def _moments(self, layer: WeightLayer, lpu: Scheme, values: NDArray[Any]) -> _Moments:
        step = lpu.tensors[layer.inputs[0]].step
        positions = self._inputs.positions[layer.name]
        quantised = patches_at(layer, values, positions) * np.float32(step)
        real = self._inputs.patches[layer.name]
        mean, float_mean = (
            x.mean(axis=1, keepdims=True, dtype=np.float64) for x in (quantised, real)
        )
        quantised = quantised - mean.astype(np.float32)
        real = real - float_mean.astype(np.float32)
        return _Moments(float_mean, mean, _gram(quantised, quantised), _gram(real, quantised))

    def _assembled(
        self,
        lpu: Scheme,
        hpu: Scheme,
        rounded: Mapping[str, tuple[_Rounded, _Rounded]],
        single: bool,
    ) -> SharedWords:
        """Return the words and schemes, the HPU's tensors coarsened where products are coarser."""
        lpu = _with_weights(lpu, {name: low for name, (low, _) in rounded.items()})
        if single:
            hpu = lpu
        else:
            high = {name: part for name, (_, part) in rounded.items()}
            hpu = legalised(_with_weights(hpu, high), self._network, self._groups)
        layers = {}
        for layer in self._network.weight_layers:
            low, high_part = rounded[layer.name]
            part = low if single else high_part
            stored = stored_layer(layer, hpu, _shaped(layer, part.words), part.bias.reshape(-1))
            layers[layer.name] = (
                stored if single else _corrected(stored, layer, lpu, low.bias.reshape(-1))
            )
        return SharedWords(
            StoredParameters(hpu, MappingProxyType(layers), hpu.tensors[self._network.input]), lpu
        )


def _gram(a: NDArray[np.float32], b: NDArray[np.float32]) -> FloatArray:
    """Return the mean products (groups, depth, depth) of inputs (groups, positions, depth)."""
    return np.asarray(a.transpose(0, 2, 1) @ b / a.shape[1], np.float64)


def _compensated(real: FloatArray, moments: _Moments, gram: FloatArray, share: float) -> FloatArray:
    """Return the weights that on the quantised inputs come closest to the float outputs.

    Least squares, damped towards the real weights, and ``share`` of the way there.
    """
    undamped = moments.gram
    right = share * moments.cross + (1 - share) * undamped + (gram - undamped)
    solved = np.linalg.solve(gram, (real @ right).transpose(0, 2, 1))
    return np.ascontiguousarray(solved.transpose(0, 2, 1))


def _fraction_range(
    layer: WeightLayer, real: FloatArray, lpu: Scheme, hpu: Scheme
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each channel's coarsest and finest fraction length that is worth trying.

    The coarsest clips nothing (at most the step that positive words lack) and makes no product
    coarser than a hidden output: this comes first.
    The finest keeps shifts and biases within their fields, and ends where the rounding of weights
    is lost in that of the output: finer words of channels with hardly any weights would only make
    the accumulators of the whole unit wider.
    """
    most = hpu.precision.weight_bits - lpu.precision.weight_bits
    largest = np.maximum(np.abs(real).max(axis=2), np.finfo(np.float32).tiny)
    coarsest = lpu.precision.weight_bits - 1 - np.ceil(np.log2(largest)).astype(np.int64)
    if lpu.tensors[layer.output].bits < LOGIT_BITS:
        step = lpu.tensors[layer.output].frac - lpu.tensors[layer.inputs[0]].frac
        coarsest = np.maximum(coarsest, step)
    # The rounding errors of a channel's weights add up like the root of their number.
    summed = (real.shape[2] - 1).bit_length() // 2 + 1
    bias = np.maximum(np.abs(layer.bias).reshape(coarsest.shape), np.finfo(np.float32).tiny)
    room = BIAS_BITS - 1 - BIAS_HEADROOM - np.ceil(np.log2(bias)).astype(np.int64)
    fitting, useful = room, np.iinfo(np.int64).min
    for scheme, shift in ((lpu, 0), (hpu, most)):
        source, out = scheme.tensors[layer.inputs[0]], scheme.tensors[layer.output]
        scale = source.frac + shift
        # An output finer than the coarsest channel's products is made as coarse as they are.
        unshifted = min(out.frac, int(coarsest.min()) + scale) - scale
        fitting = np.minimum(fitting, np.minimum(unshifted + MAX_SHIFT, room - scale))
        useful = max(useful, unshifted + source.bits + summed)
    finest = np.minimum(fitting, useful)
    coarsest = np.minimum(coarsest, finest)
    if lpu.tensors[layer.output].bits < LOGIT_BITS:
        coarsest = np.maximum(coarsest, step)
    return coarsest, np.maximum(finest, coarsest)


def _best_fractions(
    target: FloatArray,
    gram: FloatArray,
    rounding: SequentialRounding,
    words: Format,
    bounds: tuple[NDArray[np.int64], NDArray[np.int64]],
    a_channel: bool,
) -> NDArray[np.int64]:
    """Return the fraction length of each output channel whose rounded weights err least.

    Not ``a_channel``: one for the layer.
    """
    coarsest, finest = bounds
    if not a_channel:
        coarsest = np.full_like(coarsest, coarsest.min())
        finest = np.full_like(finest, finest.min())
    choices = np.minimum(coarsest[None] + np.arange(FRACTIONS)[:, None, None], finest[None])
    # All choices in one walk over the depth: (groups, choices * channels, depth).
    steps = np.ldexp(1.0, np.concatenate(choices, axis=1))[:, :, None]
    targets = np.tile(target, (1, FRACTIONS, 1))
    rounded = rounding.round(targets * steps, words.low, words.high) / steps
    errors = np.array(np.split(output_error(rounded, targets, gram), FRACTIONS, axis=1))
    if not a_channel:
        errors = np.broadcast_to(errors.sum(axis=(1, 2), keepdims=True), errors.shape)
    best = errors.argmin(axis=0)
    return np.asarray(np.take_along_axis(choices, best[None], axis=0)[0])


def _window(real: FloatArray, fracs: NDArray[np.int64], lpu_bits: int, hpu_bits: int) -> int:
    """Return the longest window shift at which the HPU's words still hold every weight.

    A longer one would make the HPU's steps finer at the price of clipped weights, and leave the
    LPU's integers less freedom.
    """
    largest = float((np.abs(real).max(axis=2) * np.ldexp(1.0, fracs)).max())
    fitting = (
        shift
        for shift in range(hpu_bits - lpu_bits, 0, -1)
        if largest * 2.0**shift <= planar_high(hpu_bits, shift) + 0.5
    )
    return next(fitting, 0)


def _allowed(
    real: FloatArray,
    fracs: NDArray[np.int64],
    shift: int,
    words: Format,
    hpu_bits: int,
    displacement: float,
) -> tuple[FloatArray, FloatArray]:
    """Return the LPU integers whose words lie within ``displacement`` of the real weights."""
    exact = real * np.ldexp(1.0, fracs + shift)[:, :, None]
    exact = np.clip(exact, Format(hpu_bits, 0).low, planar_high(hpu_bits, shift))
    bounds = np.full_like(real, words.low), np.full_like(real, words.high)
    low = clipped_nearest((exact - displacement) / 2.0**shift, *bounds)
    return low, clipped_nearest((exact + displacement) / 2.0**shift, *bounds)


def _shaped(layer: WeightLayer, words: FloatArray) -> IntArray:
    return words.reshape(layer.weight.shape).astype(np.int64)


def _bias_words(layer: WeightLayer, scheme: Scheme, rounded: _Rounded) -> IntArray:
    fracs = rounded.fracs.reshape(-1) + scheme.tensors[layer.inputs[0]].frac
    return quantise(np.ldexp(rounded.bias.reshape(-1), fracs), Format(BIAS_BITS, 0))


def _with_weights(scheme: Scheme, rounded: Mapping[str, _Rounded]) -> Scheme:
    bits = scheme.precision.weight_bits
    formats = {
        name: WeightFormat(bits, tuple(part.fracs.reshape(-1).tolist()))
        for name, part in rounded.items()
    }
    return replace(scheme, weights=MappingProxyType(formats))


def _corrected(
    stored: StoredLayer, layer: WeightLayer, lpu: Scheme, bias: FloatArray
) -> StoredLayer:
    """Add what the LPU's biases differ by from those cut of the stored ones."""
    fracs = np.array(lpu.weights[layer.name].fracs) + lpu.tensors[layer.inputs[0]].frac
    full = Format(BIAS_BITS, 0)
    cut = window(stored.bias, stored.bias_fracs - fracs, full.low, full.high)
    wanted = quantise(np.ldexp(bias, fracs), full)
    limit = Format(CORRECTION_BITS, 0)
    return replace(stored, correction=saturate(wanted - cut, limit.low, limit.high))


def _group_of(groups: tuple[TensorGroup, ...], tensor: str) -> TensorGroup:
    return next(group for group in groups if tensor in group.tensors)


def _capped(
    scheme: Scheme, layer: WeightLayer, rounded: _Rounded, groups: tuple[TensorGroup, ...]
) -> Scheme:
    """Set a layer's weight format; coarsen its output to its coarsest channel's products."""
    fmt = WeightFormat(scheme.precision.weight_bits, tuple(rounded.fracs.reshape(-1).tolist()))
    scheme = scheme.with_weight(layer.name, fmt)
    out = scheme.tensors[layer.output]
    finest = fmt.frac + scheme.tensors[layer.inputs[0]].frac
    if out.frac <= finest:
        return scheme
    return scheme.with_group(_group_of(groups, layer.output), out.at(finest))
