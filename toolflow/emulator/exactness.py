"""What float arithmetic computes an integer layer without rounding, proven from its numbers.

The order in which a library adds a sum's terms is its own, so the proof bounds every partial sum:
with inputs between ``low <= 0`` and ``high >= 0``, no subset of the terms can exceed the sum of the
largest or fall below the sum of the smallest values that the terms can take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise, product

import numpy as np

from toolflow.emulator.integer_network import (
    IntegerAvgPool,
    IntegerEltwise,
    IntegerLayer,
    IntegerLrn,
    IntegerMatmul,
    IntegerNetwork,
    Requantiser,
)
from toolflow.emulator.reference import reciprocal_map
from toolflow.fixedpoint import LEAKY_GUARD_BITS, LEAKY_SLOPE_BITS, Format, IntArray, leaky
from toolflow.network.graph import Concat, Flatten, MaxPool, Pool

EXACT_FLOAT32 = 1 << 24
EXACT_FLOAT64 = 1 << 53
NEAREST_FLOAT32 = 1 << 22
"""Adding and taking away 1.5 * 2**23 rounds float32 numbers up to this to the nearest integer."""

MOST_PRODUCTS = 4
"""Products of digits for one layer; with more, the reference is as fast."""

MOST_SUMS = 1 << 20
"""A normalisation whose sums are below this takes the factor of each from one table."""

MOST_LEAKY_BITS = 10
"""Activations up to this wide have their LeakyReLU tried on every argument."""


class Finish(Enum):
    """How sums become activations."""

    NEAREST = "float32, rounded by adding a large number: fastest, costs a bit of the range"
    FLOOR = "float32, rounded down"
    WIDE = "float64, rounded down"


@dataclass(frozen=True)
class Plan:
    """How a layer is computed exactly.

    ``weight_digits`` and ``input_digits`` are the digits that products are cut in, ``(0,)`` for
    none: the exponent of two of each digit, from the lowest.
    """

    finish: Finish = Finish.NEAREST
    weight_digits: tuple[int, ...] = (0,)
    input_digits: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Range:
    """The integers ``low..high``, zero among them."""

    low: int
    high: int


def plan_of(layer: IntegerLayer, network: IntegerNetwork) -> Plan | None:
    """Return how float arithmetic computes a layer exactly, or None where that is not proven."""
    if isinstance(layer, IntegerMatmul):
        fmt = network.scheme.tensors[layer.layer.inputs[0]]
        return _matmul_plan(layer, Range(fmt.low, fmt.high))
    if isinstance(layer, IntegerAvgPool):
        return _average_plan(layer, map_size(network, layer.layer.inputs[0]))
    if isinstance(layer, IntegerEltwise):
        aligned = zip(layer.input_limits, layer.align, strict=True)
        bound = sum(limit << shift for limit, shift in aligned)
        finish = _finish(np.array([bound]), layer.requantiser)
        return None if finish is None else Plan(finish)
    if isinstance(layer, IntegerLrn):
        # Sums are exact in float32, products of words and factors in float64.
        return Plan(Finish.WIDE) if layer.table.largest < MOST_SUMS else None
    return Plan() if isinstance(layer.layer, MaxPool | Flatten | Concat) else None


def map_size(network: IntegerNetwork, tensor: str) -> tuple[int, int]:
    """Return the height and width of a feature map."""
    _, height, width = network.network.shapes[tensor]
    return height, width


def digits_of(words: IntArray, exponents: tuple[int, ...]) -> list[IntArray]:
    """Cut integers in digits: their sum, each times two to its exponent, are the integers.

    The highest digit carries the sign; the others are unsigned.
    """
    ends = (*exponents[1:], None)
    return [
        words >> start if end is None else (words >> start) & ((1 << (end - start)) - 1)
        for start, end in zip(exponents, ends, strict=True)
    ]


def digit_ranges(whole: Range, exponents: tuple[int, ...]) -> list[Range]:
    """The values that each digit of an integer in ``whole`` can take."""
    top = exponents[-1]
    lower = [Range(0, (1 << (end - start)) - 1) for start, end in pairwise(exponents)]
    return [*lower, Range(whole.low >> top, whole.high >> top)]


def partial_sum_limit(weight: IntArray, inputs: Range) -> IntArray:
    """Bound the magnitude of any partial sum of each output channel's products."""
    rows = weight.reshape(len(weight), -1)
    positive = np.maximum(rows, 0).sum(axis=1)
    negative = np.maximum(-rows, 0).sum(axis=1)
    above = positive * inputs.high - negative * inputs.low
    below = negative * inputs.high - positive * inputs.low
    return np.asarray(np.maximum(above, below), np.int64)


def _matmul_plan(layer: IntegerMatmul, inputs: Range) -> Plan | None:
    limit = partial_sum_limit(layer.weight, inputs) + np.abs(layer.bias)
    finish = _finish(limit, layer.requantiser)
    if finish is None:
        return None
    if (limit + _half(layer.requantiser.shift)).max() <= EXACT_FLOAT32:
        return Plan(finish)
    for weight_digits, input_digits in _cuts(layer, inputs):
        if all(
            partial_sum_limit(weight, part).max() <= EXACT_FLOAT32
            for weight in digits_of(layer.weight, weight_digits)
            for part in digit_ranges(inputs, input_digits)
        ):
            return Plan(Finish.WIDE, weight_digits, input_digits)
    return None


def _cuts(layer: IntegerMatmul, inputs: Range) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Ways to cut weights and inputs in digits of equal width, fewer products and weights first."""
    weight_bits = int(np.abs(layer.weight).max()).bit_length() + 1
    input_bits = max(-inputs.low, inputs.high).bit_length()
    counts = range(1, MOST_PRODUCTS + 1)
    pairs = sorted((w * i, i, w) for w, i in product(counts, counts) if 1 < w * i <= MOST_PRODUCTS)
    for _, activations, weights in pairs:
        yield _exponents(weight_bits, weights), _exponents(input_bits, activations)


def _exponents(bits: int, digits: int) -> tuple[int, ...]:
    width = -(-bits // digits)
    return tuple(range(0, width * digits, width))


def _average_plan(layer: IntegerAvgPool, size: tuple[int, int]) -> Plan | None:
    spec = layer.layer
    assert isinstance(spec, Pool)
    largest_sum = spec.kernel[0] * spec.kernel[1] * layer.input_limit
    mantissa, shift = reciprocal_map(layer, size)
    if shift.min() < 0 or shift.max() > EXACT_FLOAT64.bit_length():
        return None
    product_limit = largest_sum * int(mantissa.max()) + (1 << int(shift.max()))
    if largest_sum > EXACT_FLOAT32 or product_limit > EXACT_FLOAT64:
        return None
    return Plan(Finish.WIDE)


def _finish(limit: IntArray, requantiser: Requantiser) -> Finish | None:
    """How sums whose magnitude is within ``limit`` (one value an output channel) are rounded."""
    shift = requantiser.shift
    nearest = (2 * limit + 1).max() <= EXACT_FLOAT32 and (limit >> shift).max() < NEAREST_FLOAT32
    if nearest and (requantiser.slope is None or leaky_in_float32(requantiser) is not None):
        return Finish.NEAREST
    largest = (limit + _half(shift)).max()
    if largest <= EXACT_FLOAT32 and _leaky_fits(requantiser):
        return Finish.FLOOR
    return Finish.WIDE if largest <= EXACT_FLOAT64 else None


def leaky_in_float32(requantiser: Requantiser) -> tuple[int, float] | None:
    """Return how float32 computes a LeakyReLU by rounding to nearest, or None where it does not.

    The result is the smallest argument below which the output is the clamp's, and a slope a little
    flatter than the exact one: ties then round up as they must. Holds by trying every argument.
    """
    slope = requantiser.slope
    assert slope is not None
    if requantiser.act_bits > MOST_LEAKY_BITS or slope.mantissa > 1 << slope.shift:
        return None
    guard = Format(requantiser.act_bits + LEAKY_GUARD_BITS, 0)
    y = np.arange(guard.low, 1)
    exact = leaky(y, slope, requantiser.act_bits)
    start = int((exact >= requantiser.low).argmax())
    if start and exact[start] != requantiser.low:
        return None
    alpha = np.float32(slope.mantissa * 2.0**-slope.shift * (1 - 2.0**-20))
    rounded = np.rint(y[start:].astype(np.float32) * alpha)
    return (int(y[start]), float(alpha)) if np.array_equal(rounded, exact[start:]) else None


def _half(shift: IntArray) -> IntArray:
    return np.where(shift > 0, np.left_shift(1, np.maximum(shift - 1, 0)), 0)


def _leaky_fits(requantiser: Requantiser) -> bool:
    if requantiser.slope is None:
        return True
    slope = requantiser.slope
    bits = max(requantiser.act_bits + LEAKY_GUARD_BITS + LEAKY_SLOPE_BITS, slope.shift + 1)
    return 1 << bits <= EXACT_FLOAT32
