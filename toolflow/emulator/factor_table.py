"""Local response normalisation in integers: the table of its factor, and how far that is off.

The operator is ``y = x * g``, ``g = (bias + alpha / size * sum(x**2)) ** -beta``, the sum over a
window of ``size`` channels. Of an input in steps of ``2**-f`` the sum is ``S = sum(q**2)``, exact,
and ``g(S)`` comes from a table by linear interpolation:

* segment: as a floating-point number of ``SEGMENT_BITS`` fraction bits has it. Below
  ``2**(floor + SEGMENT_BITS)`` segments are ``2**floor`` wide; above, each octave has
  ``2**SEGMENT_BITS`` of them. ``floor`` is the least with which the octaves reach the largest sum.
* fraction: the next ``FRACTION_BITS`` bits of ``S`` below the segment's, zeros where there are
  fewer; what is lower is cut off.
* ``factor = base - round_shift(drop * fraction, FRACTION_BITS)`` with the segment's ``base``, the
  factor at its start, and ``drop``, how much less it is at the next one's. Its value is
  ``factor * 2**-(frac + exponent)`` with the segment's ``exponent``, chosen so that ``base`` is
  normalised if ``EXPONENT_BITS`` and the requantiser's longest shift allow.
* ``out = saturate(round_shift(q * factor, shift + exponent), low, high)``.

Why not segments of one width and one exponent: the error of a chord grows with the square of the
segment's width over ``S + bias * size / alpha``, that of a rounded factor with its reciprocal.
Where a network's sums exceed ``bias * size / alpha`` a hundred times, as AlexNet's first may, 512
equal segments are off by 0.56 %. These are off by ``beta * (beta + 1) / 8 * 2**(-2*SEGMENT_BITS)``
at most wherever octaves are split: by 0.016 % for a beta of 0.75, at any alpha and bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolflow.fixedpoint import Format, IntArray, normalised, round_half_up, round_shift
from toolflow.network.graph import Lrn

SEGMENT_BITS = 5
"""An octave of sums has two to this many segments."""

OCTAVES = 16

TABLE_ENTRIES = OCTAVES << SEGMENT_BITS

FRACTION_BITS = 12
"""Bits of the place within a segment."""

FACTOR_BITS = 16
"""Wordlength of the unsigned factors, and of the drops from one to the next."""

EXPONENT_BITS = 4

SUM_BITS = 36
"""Sums have at most this many bits: windows of up to 15 channels of 16-bit words."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FactorTable:
    """The factors of one layer for one input format.

    Attributes:
        base, drop, exponent: (TABLE_ENTRIES,) integers, see above.
        floor: log2 of the width of the narrowest segments.
        frac: fraction length of factors of exponent 0.
        largest: the largest sum that the input format allows.
        error: bound of ``|factor * 2**-(frac + exponent) / g(S) - 1|`` for sums up to ``largest``.
    """

    base: IntArray
    drop: IntArray
    exponent: IntArray
    floor: int
    frac: int
    largest: int
    error: float


@dataclass(frozen=True)
class _Curve:
    """``g(S) = (bias + step * S) ** -beta``."""

    bias: float
    step: float
    beta: float

    def __call__(self, sums: FloatArray) -> FloatArray:
        return np.asarray((self.bias + self.step * sums) ** -self.beta, np.float64)


def factor_frac(layer: Lrn) -> int:
    """Return the fraction length of a layer's factors of exponent 0: the same for all formats."""
    return normalised(layer.bias**-layer.beta, FACTOR_BITS)[1]


def factor_table(layer: Lrn, fmt: Format, longest: int) -> FactorTable:
    """Return a layer's factors for inputs of a format, with exponents up to ``longest``.

    Raises:
        ValueError: sums can have more than ``SUM_BITS`` bits.
    """
    largest = layer.size * max(-fmt.low, fmt.high) ** 2
    curve = _Curve(layer.bias, layer.alpha / layer.size * 2.0 ** (-2 * fmt.frac), layer.beta)
    return _table(curve, largest, factor_frac(layer), min(longest, (1 << EXPONENT_BITS) - 1))


@lru_cache(maxsize=256)
def _table(curve: _Curve, largest: int, frac: int, longest: int) -> FactorTable:
    if largest >> SUM_BITS:
        raise ValueError(f"a window's sum of up to {largest} is beyond {SUM_BITS} bits")
    floor = max(0, largest.bit_length() - SEGMENT_BITS - OCTAVES + 1)
    starts = segment_starts(floor)
    used = int(segments(largest, floor)[0]) + 1
    exact = curve(starts.astype(np.float64))
    top = 1 << FACTOR_BITS
    # As much as rounds to FACTOR_BITS bits; the largest, g(0), does so by the choice of frac.
    spare = np.floor(np.log2((top - 0.5) / (exact[:-1] * 2.0**frac)))
    exponent = np.minimum(spare, longest).astype(np.int64)
    scale: FloatArray = np.ldexp(1.0, frac + exponent)
    base = round_half_up(exact[:-1] * scale)
    drop = base - round_half_up(exact[1:] * scale)
    ends = np.minimum(starts[1 : used + 1] - 1, largest)
    for array in (base, drop, exponent):
        array.flags.writeable = False
    return FactorTable(
        base=base,
        drop=drop,
        exponent=exponent,
        floor=floor,
        frac=frac,
        largest=largest,
        error=_error(curve, starts[: used + 1], ends, base[:used], drop[:used], scale[:used]),
    )


def segment_starts(floor: int) -> IntArray:
    """Return the smallest sum of every segment, and the one behind the last."""
    octave, place = np.divmod(np.arange(TABLE_ENTRIES + 1), 1 << SEGMENT_BITS)
    lead = np.where(octave > 0, 1 << SEGMENT_BITS, 0)
    shift = floor + np.maximum(octave - 1, 0)
    return np.asarray(np.left_shift(lead + place, shift), np.int64)


def segments(sums: ArrayLike, floor: int) -> tuple[IntArray, IntArray]:
    """Return the segments of sums and their fractions."""
    s = np.asarray(sums, np.int64)
    _, length = np.frexp(s.astype(np.float64))  # exact: sums have fewer than 53 bits
    octave = np.maximum(length.astype(np.int64) - floor - SEGMENT_BITS, 0)
    width = floor + np.maximum(octave - 1, 0)
    place = (s >> width) & ((1 << SEGMENT_BITS) - 1)
    rest = s & (np.left_shift(1, width) - 1)
    below = FRACTION_BITS - width
    fraction = np.where(below >= 0, rest << np.maximum(below, 0), rest >> np.maximum(-below, 0))
    return (octave << SEGMENT_BITS) + place, fraction


def factors(table: FactorTable, sums: ArrayLike) -> tuple[IntArray, IntArray]:
    """Return the factors of sums ``0..largest``, any shape, and their exponents."""
    segment, fraction = segments(sums, table.floor)
    drop = round_shift(table.drop[segment] * fraction, FRACTION_BITS)
    return np.asarray(table.base[segment] - drop, np.int64), table.exponent[segment]


def window_sums(values: IntArray, size: int) -> IntArray:
    """Return the sums over windows of ``size`` channels, an odd number, (N, C, ...).

    Each channel is in the middle of its window; channels that do not exist add nothing.
    """
    half, channels = size // 2, values.shape[1]
    total = np.zeros_like(values)
    for offset in range(-half, half + 1):
        first, last = max(0, -offset), min(channels, channels - offset)
        if first < last:
            total[:, first:last] += values[:, first + offset : last + offset]
    return total


def _error(
    curve: _Curve,
    starts: IntArray,
    ends: IntArray,
    base: IntArray,
    drop: IntArray,
    scale: FloatArray,
) -> float:
    """Bound the relative error of interpolation over segments of sums ``starts..ends``.

    A segment's ``chord / g`` has its extremes at the ends or where its derivative is zero, which is
    one place. The fraction's lost bits raise a factor by less than a unit of the fraction; the
    product's rounding moves it by half a unit of the factor at most. Of a segment that is one sum
    wide only the start counts, which is the base itself.
    """
    x: FloatArray = starts.astype(np.float64)
    first, last, width = x[:-1], ends.astype(np.float64), np.diff(x)
    slope = drop / width
    with np.errstate(divide="ignore", invalid="ignore"):
        # slope * (bias + step * x) = beta * step * (base - slope * (x - first))
        still = curve.beta * curve.step * (base + slope * first) - slope * curve.bias
        still /= slope * curve.step * (1 + curve.beta)
    inner = np.clip(np.where(np.isfinite(still), still, first), first, last)
    points: FloatArray = np.stack([first, last, inner]).astype(np.float64)
    exact = curve(points) * scale
    chord = np.abs((base - slope * (points - first)) / exact - 1).max(axis=0)
    lost = np.where(width > 1 << FRACTION_BITS, drop * 2.0**-FRACTION_BITS, 0.0)
    rounded = np.where(width > 1, 0.5, 0.0)
    return float((chord + (lost + rounded) / exact[1]).max())
