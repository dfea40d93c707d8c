from __future__ import annotations

from fractions import Fraction
from math import exp, log2
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolflow.confidence.exp_table import (
    EXP_MAX_OCTAVE,
    EXP_SHIFT_MAX,
    MAX_DISTANCE,
    ExpScale,
    exp_error,
    exp_scale,
    exp_table,
    exponential,
    exponentials,
    margin_error,
    render_package,
    true_scale,
)

PACKAGE = Path(__file__).parents[2] / "rtl" / "ceu" / "exp_table_pkg.sv"

scales = st.builds(ExpScale, st.integers(0, 0xFFFF), st.integers(0, EXP_SHIFT_MAX))


def rounded_shift(value: int, shift: int) -> int:
    """Half up, from exact fractions: shares nothing with the implementation."""
    return (Fraction(value, 1 << shift) + Fraction(1, 2)).__floor__()


def exponential_by_definition(distance: int, scale: ExpScale) -> int:
    u = rounded_shift(distance * scale.mult, scale.shift)
    octave, index = divmod(u, 256)
    if octave > 31:
        return 0
    return rounded_shift(int(2.0**16 * 2.0 ** (-index / 256) + 0.5), octave)


def test_generated_package_is_up_to_date() -> None:
    assert PACKAGE.read_text() == render_package()


def test_table_is_correctly_rounded() -> None:
    table = exp_table()
    assert table.shape == (256,)
    assert table[0] == 1 << 16
    assert np.all(np.diff(table) < 0)
    # Entry t is right iff (t - 1/2)^256 <= (2^16)^256 / 2^j < (t + 1/2)^256, in exact integers.
    for j, t in enumerate(int(entry) for entry in table):
        target = 1 << (16 * 256 + 256 - j)
        assert (2 * t - 1) ** 256 <= target < (2 * t + 1) ** 256


@given(st.integers(0, MAX_DISTANCE), scales)
def test_exponential_follows_its_definition(distance: int, scale: ExpScale) -> None:
    assert exponential(distance, scale) == exponential_by_definition(distance, scale)
    assert exponentials(scale)[distance] == exponential_by_definition(distance, scale)


@given(scales)
def test_exponentials_fall_with_distance(scale: ExpScale) -> None:
    e = exponentials(scale)
    assert e[0] == 1 << 16
    assert np.all(np.diff(e) <= 0)


@pytest.mark.parametrize(
    ("octave", "expected"), [(0, 65536), (15, 2), (16, 1), (17, 1), (18, 0), (31, 0), (32, 0)]
)
def test_whole_octaves(octave: int, expected: int) -> None:
    assert exponential(octave, ExpScale(256, 0)) == expected


def test_octaves_past_the_last_are_zero_not_wrapped() -> None:
    distance = np.arange(EXP_MAX_OCTAVE + 1, MAX_DISTANCE + 1)
    assert not np.any(exponential(distance, ExpScale(256, 0)))


@given(st.integers(-6, 24), st.floats(0.25, 16))
def test_scale_is_normalised_and_near(frac: int, temperature: float) -> None:
    scale = exp_scale(frac, temperature)
    wanted = true_scale(frac, temperature)
    if wanted >= 0xFFFF:
        assert scale == ExpScale(0xFFFF, 0)
    elif wanted * 2.0**EXP_SHIFT_MAX >= 1 << 15:
        assert scale.mult >= 1 << 15
        assert abs(scale.value / wanted - 1) <= 2.0**-16
    else:
        assert scale.shift == EXP_SHIFT_MAX
        assert abs(scale.value - wanted) <= 2.0 ** -(EXP_SHIFT_MAX + 1)


def test_scale_whose_multiplier_rounds_up_to_the_next_power() -> None:
    wanted = 2.0**10 * (1 - 2.0**-18)
    temperature = log2(np.e) * 2.0**8 / wanted
    assert exp_scale(0, temperature) == ExpScale(1 << 15, 5)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_unusable_temperatures_are_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        exp_scale(8, temperature)


@pytest.mark.parametrize(("mult", "shift"), [(-1, 0), (1 << 16, 0), (1, -1), (1, 32)])
def test_scales_that_do_not_fit_their_registers_are_refused(mult: int, shift: int) -> None:
    with pytest.raises(ValueError, match="exp_"):
        ExpScale(mult, shift)


@pytest.mark.parametrize("frac", [-12, -7, -4, 0, 3, 8, 12, 15, 20, 24, 28, 40])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.7, 8.0])
def test_distance_from_exp_is_within_the_bound(frac: int, temperature: float) -> None:
    distance = np.arange(MAX_DISTANCE + 1)
    exact = np.exp(-distance * 2.0**-frac / temperature)
    off = np.abs(exponentials(exp_scale(frac, temperature)) * 2.0**-16 - exact)
    error = exp_error(frac, temperature)
    assert np.all(off <= error.relative * exact + error.absolute)
    assert error.relative < 0.0018
    assert error.absolute == 2.0**-17


def test_the_bound_is_not_loose() -> None:
    """Somewhere the error reaches four fifths of the bound: a worse table could not hide in it."""
    distance = np.arange(MAX_DISTANCE + 1)
    exact = np.exp(-distance * 2.0**-13)
    off = np.abs(exponentials(exp_scale(13)) * 2.0**-16 - exact)
    error = exp_error(13)
    assert np.max(off / (error.relative * exact + error.absolute)) > 0.8


def test_margin_bound_is_monotone_in_classes() -> None:
    bounds = [margin_error(classes, 8) for classes in (2, 10, 100, 1000)]
    assert bounds == sorted(bounds)
    assert bounds[1] < 0.004
    assert bounds[-1] < 0.02


def test_exponential_agrees_with_the_float_at_unit_distances() -> None:
    for whole in range(12):
        e = int(exponential(whole << 8, exp_scale(8)))
        assert e * 2.0**-16 == pytest.approx(exp(-whole), rel=0.0016, abs=2.0**-17)
