"""The number system: the only place where this project quantises, rounds, saturates or shifts.

A tensor is a set of integers ``q`` with a fraction length ``f``: ``x = q * 2**-f`` (dynamic fixed
point, paper section 2.2). Rounding is half up (``floor(v + 0.5)``; in hardware: add
``1 << (s - 1)``, arithmetic shift right by ``s``), then saturation. ``rtl/cascade_pkg.sv`` mirrors
``round_shift`` and ``saturate``; ``verif/unit/fixedpoint`` drives both over the corner values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_BITS = 2
MAX_BITS = 16

BIAS_BITS = 32
"""Wordlength of the stored (HPU's) biases, at the accumulator's scale."""

CORRECTION_BITS = 24
"""Wordlength of what an LPU's bias differs by from the one cut of the stored bias."""

LOGIT_BITS = 16
"""Wordlength of the network's output: the CEU compares logits finer than the activations."""

LEAKY_SLOPE_BITS = 8
"""Wordlength of the unsigned LeakyReLU slope's mantissa."""

LEAKY_GUARD_BITS = 6
"""Bits kept above the activations' wordlength between a LeakyReLU's two roundings."""

RECIPROCAL_BITS = 16
"""Wordlength of the unsigned reciprocal that an average pooling multiplies by."""

IntArray = NDArray[np.int64]


@dataclass(frozen=True, order=True)
class Format:
    """A fixed-point format: ``bits`` wide, fraction length ``frac``, two's complement or unsigned.

    An unsigned format may have a ``zero`` point: hardware keeps ``q + zero`` in the unsigned word,
    so that ``q`` ranges over ``-zero .. 2**bits - 1 - zero``. All arithmetic is defined on ``q``.

    Raises:
        ValueError: ``bits`` is not a wordlength the hardware can be built for, or the zero point
            is no word of the format.
    """

    bits: int
    frac: int
    signed: bool = True
    zero: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= BIAS_BITS:
            raise ValueError(f"wordlength {self.bits} is outside 1..{BIAS_BITS}")
        if self.zero and (self.signed or not 0 < self.zero < 1 << self.bits):
            raise ValueError(f"zero point {self.zero} is no unsigned word of {self.bits} bits")

    @property
    def low(self) -> int:
        """The smallest integer of the format."""
        return -(1 << (self.bits - 1)) if self.signed else -self.zero

    @property
    def high(self) -> int:
        """The largest integer of the format."""
        return (1 << (self.bits - (1 if self.signed else 0))) - 1 - self.zero

    @property
    def operand_limit(self) -> int:
        """The largest magnitude of the words that hardware multiplies, zero point included."""
        return max(-self.low, self.high) if self.signed else (1 << self.bits) - 1

    def at(self, frac: int) -> Format:
        """Return the format with another fraction length."""
        return replace(self, frac=frac)

    @property
    def step(self) -> float:
        """The value of one unit in the last place, ``2**-frac``."""
        return 2.0**-self.frac


@dataclass(frozen=True)
class Slope:
    """A LeakyReLU slope ``mantissa * 2**-shift``, mantissa unsigned and normalised."""

    mantissa: int
    shift: int


@dataclass(frozen=True)
class Reciprocal:
    """``1 / divisor`` as ``mantissa * 2**-shift``, mantissa unsigned of ``RECIPROCAL_BITS``."""

    mantissa: int
    shift: int


def round_half_up(value: ArrayLike) -> IntArray:
    """Return ``floor(value + 0.5)`` as integers."""
    return np.floor(np.asarray(value, np.float64) + 0.5).astype(np.int64)


def saturate(q: ArrayLike, low: int, high: int) -> IntArray:
    """Clamp integers to ``low..high``."""
    return np.clip(np.asarray(q, np.int64), low, high)


def round_shift(q: ArrayLike, shift: ArrayLike) -> IntArray:
    """Shift integers right by ``shift >= 0`` (scalar or broadcastable), rounding half up.

    Raises:
        ValueError: a shift is negative; formats are chosen so that none is (see ``Scheme``).
    """
    s = np.asarray(shift, np.int64)
    if np.any(s < 0):
        raise ValueError("round_shift needs shifts >= 0")
    half = np.where(s > 0, np.left_shift(1, np.maximum(s - 1, 0)), 0)
    return np.right_shift(np.asarray(q, np.int64) + half, s)


def quantise(x: ArrayLike, fmt: Format) -> IntArray:
    """Quantise real values: round half up at ``2**-frac``, then saturate."""
    # In place: the images of a large network are hundreds of megabytes.
    scaled = np.asarray(np.ldexp(x, fmt.frac, dtype=np.float64))
    scaled += 0.5
    np.floor(scaled, out=scaled)
    np.clip(scaled, fmt.low, fmt.high, out=scaled)
    return scaled.astype(np.int64)


def dequantise(q: ArrayLike, frac: int) -> NDArray[np.float64]:
    """Return the real values ``q * 2**-frac``."""
    return np.ldexp(np.asarray(q, np.float64), -frac)


def window(q: ArrayLike, shift: ArrayLike, low: int, high: int) -> IntArray:
    """Cut a narrower word from a wider one: rounded at the bottom, saturated at the top.

    This is how the LPU gets its weights, biases and input from the HPU's (paper section 2.2):
    ``sat(round_half_up(q >> shift))`` with ``shift = f_HPU - f_LPU >= 0``.
    """
    return saturate(round_shift(q, shift), low, high)


def planar_high(bits: int, low_bits: int) -> int:
    """Return the largest ``bits``-bit word whose high digit fits ``bits - low_bits`` bits.

    See ``split_planes``: larger ones round up to a digit too many. The smallest word always fits.

    Raises:
        ValueError: ``low_bits`` leaves no high digit.
    """
    if not 0 <= low_bits < bits:
        raise ValueError(f"a low digit of {low_bits} bits is outside 0..{bits - 1}")
    return (1 << (bits - 1)) - (1 << low_bits >> 1) - 1


def split_planes(words: ArrayLike, low_bits: int) -> tuple[IntArray, IntArray]:
    """Split words into two signed digits ``high, low``: ``word = high * 2**low_bits + low``.

    The low digit is balanced, ``-2**(low_bits - 1)..2**(low_bits - 1) - 1``. So the high digit is
    the word rounded half up: saturated, it is the ``window`` of the word by ``low_bits``.
    """
    q = np.asarray(words, np.int64)
    high = round_shift(q, low_bits)
    return high, q - np.left_shift(high, low_bits)


def join_planes(high: ArrayLike, low: ArrayLike, low_bits: int) -> IntArray:
    """Return the words that ``split_planes`` split."""
    return np.left_shift(np.asarray(high, np.int64), low_bits) + np.asarray(low, np.int64)


def requantise(
    accumulator: ArrayLike,
    bias: ArrayLike,
    shift: ArrayLike,
    low: int,
    high: int,
    slope: Slope | None = None,
    act_bits: int = MAX_BITS,
) -> IntArray:
    """Turn accumulators into activations, with the activation function fused.

    ``y = round_shift(accumulator + bias, shift)``. With a ``slope`` (LeakyReLU), ``y`` is saturated
    to ``act_bits + LEAKY_GUARD_BITS`` signed bits and its negative values become
    ``round_shift(y * mantissa, slope.shift)``. The result is clamped to ``low..high``: ``low = 0``
    makes a ReLU, a smaller ``high`` a clipped one. It is ``q``; hardware's word is ``q + zero``.
    """
    y = round_shift(np.asarray(accumulator, np.int64) + np.asarray(bias, np.int64), shift)
    if slope is not None:
        y = leaky(y, slope, act_bits)
    return saturate(y, low, high)


def leaky(y: ArrayLike, slope: Slope, act_bits: int) -> IntArray:
    """Apply the integer LeakyReLU of ``requantise`` (without the final clamp)."""
    guard = Format(act_bits + LEAKY_GUARD_BITS, 0)
    y = saturate(y, guard.low, guard.high)
    return np.where(y < 0, round_shift(y * slope.mantissa, slope.shift), y)


def slope_of(alpha: float) -> Slope:
    """Return the nearest ``Slope`` to ``0 < alpha < 1``."""
    return Slope(*normalised(alpha, LEAKY_SLOPE_BITS))


def normalised(value: float, bits: int) -> tuple[int, int]:
    """Return the nearest ``mantissa * 2**-shift`` to ``value > 0``; mantissa of ``bits`` bits."""
    shift = bits - 1 - int(np.floor(np.log2(value)))
    mantissa = int(round_half_up(value * 2.0**shift))
    if mantissa == 1 << bits:
        mantissa, shift = mantissa >> 1, shift - 1
    return mantissa, shift


def reciprocal_of(divisor: int) -> Reciprocal:
    """Return ``1 / divisor`` rounded half up to ``RECIPROCAL_BITS`` significant bits."""
    shift = RECIPROCAL_BITS - 1 + (divisor - 1).bit_length()
    return Reciprocal(int(round_half_up(2.0**shift / divisor)), shift)


def fraction_for(limit: float, bits: int, signed: bool) -> int:
    """Return the largest fraction length whose format holds ``limit`` without saturating.

    ``limit`` is the largest magnitude to hold; 0 gives the finest useful format, ``bits``.
    """
    if limit <= 0:
        return bits
    magnitude_bits = bits - 1 if signed else bits
    frac = magnitude_bits - int(np.ceil(np.log2(limit)))
    top = (1 << magnitude_bits) - 1
    return frac if np.floor(np.ldexp(limit, frac) + 0.5) <= top else frac - 1


def storage_bits(bits: int) -> int:
    """Return the width an activation takes in memory: the next of 2, 4, 8, 16 bits."""
    return max(2, 1 << (bits - 1).bit_length())
