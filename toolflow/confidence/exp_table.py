"""The CEU's integer exponential: the table, its scale factors, and its distance from ``exp``.

The softmax of the paper's gBvSB (section 2.3) is never normalised in hardware; the CEU needs
``e_i = exp(-(l_max - l_i) / temperature)`` of integer logits, as integers with
``EXP_FRACTION_BITS`` fraction bits:

* ``u = round_shift(d * exp_mult, exp_shift)`` with ``d = l_max - l_i``: the exponent to base 2,
  with ``EXP_INDEX_BITS`` fraction bits;
* ``e = round_shift(TABLE[u mod 256], u div 256)``, and 0 where ``u div 256 > EXP_MAX_OCTAVE``.

``rtl/ceu/exp_table_pkg.sv`` holds the same table; ``python -m toolflow.confidence.exp_table``
prints that file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import floor, inf, isfinite, log2

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolflow.fixedpoint import LOGIT_BITS, IntArray, round_half_up, round_shift

EXP_INDEX_BITS = 8
"""Fraction bits of the base-2 exponent, hence the address width of the table."""

EXP_ENTRIES = 1 << EXP_INDEX_BITS

EXP_FRACTION_BITS = 16
"""Fraction bits of the exponentials: 1.0 is ``1 << EXP_FRACTION_BITS``."""

EXP_BITS = EXP_FRACTION_BITS + 1
"""Wordlength of the (unsigned) exponentials."""

EXP_MULT_BITS = 16
"""Wordlength of the unsigned ``exp_mult``."""

EXP_SHIFT_MAX = 31
"""The largest ``exp_shift``."""

EXP_MAX_OCTAVE = 31
"""The largest whole part of the base-2 exponent that is not flushed to zero."""

MAX_DISTANCE = (1 << LOGIT_BITS) - 1
"""The largest difference between two logits."""

ENTRIES_PER_LINE = 8


@dataclass(frozen=True)
class ExpScale:
    """The factor ``exp_mult * 2**-exp_shift`` between logit distances and table exponents."""

    mult: int
    shift: int

    def __post_init__(self) -> None:
        if not 0 <= self.mult < 1 << EXP_MULT_BITS:
            raise ValueError(f"exp_mult {self.mult} does not fit {EXP_MULT_BITS} unsigned bits")
        if not 0 <= self.shift <= EXP_SHIFT_MAX:
            raise ValueError(f"exp_shift {self.shift} is outside 0..{EXP_SHIFT_MAX}")

    @property
    def value(self) -> float:
        """The factor as a real number."""
        return self.mult * 2.0**-self.shift


@dataclass(frozen=True)
class ExpError:
    """Bounds such that ``|e * 2**-16 - exp| <= relative * exp + absolute`` for every distance."""

    relative: float
    absolute: float


@lru_cache(maxsize=1)
def exp_table() -> IntArray:
    """Return ``round_half_up(2**16 * 2**(-j/256))`` for ``j`` in 0..255 (read-only)."""
    fraction = np.arange(EXP_ENTRIES) / EXP_ENTRIES
    table = round_half_up(2.0**EXP_FRACTION_BITS * np.exp2(-fraction))
    table.setflags(write=False)
    return table


def true_scale(frac: int, temperature: float = 1.0) -> float:
    """Return the real factor that ``exp_scale`` approximates.

    Raises:
        ValueError: the temperature is not a positive finite number.
    """
    if not (isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature {temperature} is not a positive finite number")
    return log2(np.e) * 2.0 ** (EXP_INDEX_BITS - frac) / temperature


def exp_scale(frac: int, temperature: float = 1.0) -> ExpScale:
    """Return the scale for logits of fraction length ``frac`` at a softmax ``temperature``.

    ``exp_mult`` is normalised (its top bit is set) wherever ``exp_shift`` allows. Factors beyond
    the registers' range saturate, which costs no accuracy: a step of such logits is more than
    ``EXP_MAX_OCTAVE`` octaves, or their whole range less than a thousandth of one.
    """
    scale = true_scale(frac, temperature)
    top = (1 << EXP_MULT_BITS) - 1
    if scale >= top:
        return ExpScale(top, 0)
    shift = min(EXP_MULT_BITS - 1 - floor(log2(scale)), EXP_SHIFT_MAX)
    mult = int(round_half_up(scale * 2.0**shift))
    if mult > top:
        mult, shift = mult >> 1, shift - 1
    return ExpScale(mult, shift)


def exponential(distance: ArrayLike, scale: ExpScale) -> IntArray:
    """Return the integer exponentials of logit distances ``0..MAX_DISTANCE``, any shape."""
    u = round_shift(np.asarray(distance, np.int64) * scale.mult, scale.shift)
    octave = u >> EXP_INDEX_BITS
    mantissa = exp_table()[u & (EXP_ENTRIES - 1)]
    e = round_shift(mantissa, np.minimum(octave, EXP_MAX_OCTAVE))
    return np.where(octave > EXP_MAX_OCTAVE, 0, e)


@lru_cache(maxsize=16)
def exponentials(scale: ExpScale) -> NDArray[np.int32]:
    """Return ``exponential`` of every distance ``0..MAX_DISTANCE`` (read-only, for look-up)."""
    values = exponential(np.arange(MAX_DISTANCE + 1), scale).astype(np.int32)
    values.setflags(write=False)
    return values


def exp_error(frac: int, temperature: float = 1.0) -> ExpError:
    """Bound the distance of the integer exponentials from ``exp(-d * 2**-frac / temperature)``.

    Three roundings make it up: of ``exp_mult`` (scaled by the largest distance that is not flushed
    to zero), of the exponent ``u`` (half of its last place), and of the table's entries (relative
    ``2**-16``, as they are at least one half); then half of a last place of the result.
    """
    scale = exp_scale(frac, temperature)
    alive = (EXP_MAX_OCTAVE + 1) * EXP_ENTRIES
    reach = min(MAX_DISTANCE, floor(alive / scale.value)) if scale.mult else MAX_DISTANCE
    drift = reach * abs(scale.value - true_scale(frac, temperature))
    octaves = (0.5 + drift) / EXP_ENTRIES
    return ExpError(
        relative=2.0**octaves * (1 + 2.0**-EXP_FRACTION_BITS) - 1,
        absolute=2.0 ** -(EXP_FRACTION_BITS + 1),
    )


def margin_error(classes: int, frac: int, temperature: float = 1.0) -> float:
    """Bound ``|margin / total - gBvSB|``, the CEU against the softmax of the same integer logits.

    With true exponentials of sum ``S >= 1`` and errors as in ``exp_error``, the quotient is off by
    at most ``2 (relative S + classes absolute) / total``; the total is at least 1, as the largest
    logit's exponential is exact, and at least ``S (1 - relative) - classes absolute``. The quotient
    is largest where those two meet. ``inf`` where the bound says nothing (``relative >= 1``).
    """
    error = exp_error(frac, temperature)
    if error.relative >= 1:
        return inf
    residue = classes * error.absolute
    return 2 * (error.relative * (1 + residue) / (1 - error.relative) + residue)


def render_package() -> str:
    """Return the text of ``rtl/ceu/exp_table_pkg.sv``."""
    digits = (EXP_BITS + 3) // 4
    words = [f"{EXP_BITS}'h{entry:0{digits}x}" for entry in exp_table()]
    lines = [
        "    " + ", ".join(words[start : start + ENTRIES_PER_LINE])
        for start in range(0, EXP_ENTRIES, ENTRIES_PER_LINE)
    ]
    body = ",\n".join(lines)
    return f"""\
// SPDX-License-Identifier: Apache-2.0
//
// Generated by `python -m toolflow.confidence.exp_table`; do not edit.
//
// Constants and table of the CEU's integer exponential: entry j is
// floor(2^{EXP_FRACTION_BITS} * 2^(-j/{EXP_ENTRIES}) + 0.5).

package exp_table_pkg;

  localparam int unsigned EXP_INDEX_BITS = {EXP_INDEX_BITS};
  localparam int unsigned EXP_ENTRIES = {EXP_ENTRIES};
  localparam int unsigned EXP_FRACTION_BITS = {EXP_FRACTION_BITS};
  localparam int unsigned EXP_BITS = {EXP_BITS};
  localparam int unsigned EXP_MULT_BITS = {EXP_MULT_BITS};
  localparam int unsigned EXP_SHIFT_MAX = {EXP_SHIFT_MAX};
  localparam int unsigned EXP_MAX_OCTAVE = {EXP_MAX_OCTAVE};

  localparam logic [EXP_BITS-1:0] EXP_TABLE[EXP_ENTRIES] = '{{
{body}
  }};

endpackage
"""


if __name__ == "__main__":
    print(render_package(), end="")
