"""The factors of local response normalisation: their definition, and their distance from float64.

A whole operator is held against float64 and onnxruntime in ``test_emulator`` and here.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from tests.random_networks import normalised_maps, plain_scheme
from toolflow.emulator.exactness import MOST_SUMS, plan_of
from toolflow.emulator.factor_table import (
    EXPONENT_BITS,
    FACTOR_BITS,
    FRACTION_BITS,
    OCTAVES,
    SEGMENT_BITS,
    SUM_BITS,
    TABLE_ENTRIES,
    FactorTable,
    factor_frac,
    factor_table,
    factors,
    segment_starts,
    segments,
    window_sums,
)
from toolflow.emulator.integer_network import (
    MAX_SHIFT,
    IntegerLrn,
    compile_layer,
    compile_network,
    store,
)
from toolflow.emulator.reference import run_layer
from toolflow.fixedpoint import Format, IntArray, dequantise
from toolflow.network.graph import Lrn
from toolflow.quantisation.scheme import Precision, Scheme

ALEXNET = (5, 1e-4, 0.75, 1.0)
LAYERS = [
    ALEXNET,
    (5, 1e-4, 0.75, 2.0),
    (3, 1.0, 0.5, 1.0),
    (7, 1e-3, 1.0, 1e-3),
    (1, 1e-3, 1.5, 1.0),
    (9, 2e-5, 0.25, 1.0),
]
NARROW = [
    Format(8, -2, signed=False), Format(8, 3), Format(4, 0), Format(2, 1, signed=False),
    Format(7, -1, signed=False, zero=9), Format(7, -1, signed=False, zero=100),
]  # fmt: skip
WIDE = [Format(12, 2), Format(16, 4, signed=False), Format(16, 8)]


def lrn(size: int, alpha: float, beta: float, bias: float) -> Lrn:
    return Lrn(
        name="n", inputs=("x",), output="y", out_shape=(9, 2, 3),
        size=size, alpha=alpha, beta=beta, bias=bias,
    )  # fmt: skip


def relative_errors(layer: Lrn, fmt: Format, table: FactorTable, sums: IntArray) -> np.ndarray:
    squares = sums * 2.0 ** (-2 * fmt.frac)
    exact = (layer.bias + layer.alpha / layer.size * squares) ** -layer.beta
    mantissa, exponent = factors(table, sums)
    assert 0 <= mantissa.min() <= mantissa.max() < 1 << FACTOR_BITS
    return np.asarray(np.abs(mantissa * 2.0 ** -(table.frac + exponent) / exact - 1))


@pytest.mark.parametrize("parameters", LAYERS, ids=str)
@pytest.mark.parametrize("fmt", NARROW, ids=str)
def test_the_bound_holds_for_every_sum_and_is_near(
    parameters: tuple[int, float, float, float], fmt: Format
) -> None:
    layer = lrn(*parameters)
    table = factor_table(layer, fmt, MAX_SHIFT)
    assert table.largest == layer.size * max(-fmt.low, fmt.high) ** 2
    worst = relative_errors(layer, fmt, table, np.arange(table.largest + 1)).max()
    assert 0.5 * table.error <= worst <= table.error < 1e-3


def test_factors_beyond_the_exponents_lose_bits_as_stated() -> None:
    """From 11 at no sum to 4e-14 at the largest: the last factors are rounded to nothing."""
    layer, fmt = lrn(1, 5.0, 2.0, 0.3), Format(8, -2, signed=False)
    table = factor_table(layer, fmt, MAX_SHIFT)
    worst = relative_errors(layer, fmt, table, np.arange(table.largest + 1)).max()
    assert 1 <= worst <= table.error


@pytest.mark.parametrize("parameters", LAYERS, ids=str)
@pytest.mark.parametrize("fmt", WIDE, ids=str)
def test_the_bound_holds_for_wide_words(
    parameters: tuple[int, float, float, float], fmt: Format
) -> None:
    layer = lrn(*parameters)
    table = factor_table(layer, fmt, MAX_SHIFT)
    rng = np.random.default_rng(0)
    ends = segment_starts(table.floor)
    near = np.concatenate([ends, ends - 1, (ends[:-1] + ends[1:]) // 2])
    small = np.exp2(rng.uniform(0, np.log2(table.largest), 100_000)).astype(np.int64)
    drawn = rng.integers(0, table.largest, 100_000)
    sums = np.concatenate([near, small, drawn, [0, table.largest]])
    sums = sums[(sums >= 0) & (sums <= table.largest)]
    worst = relative_errors(layer, fmt, table, sums).max()
    assert 0.5 * table.error <= worst <= table.error


def test_octaves_do_better_than_equal_segments() -> None:
    """The figure that the definition's choice rests on: AlexNet's layer, sums to 100 biases."""
    layer, fmt = lrn(*ALEXNET), Format(8, -2, signed=False)
    table = factor_table(layer, fmt, MAX_SHIFT)
    assert table.error < 1.8e-4
    sums = np.arange(table.largest + 1)
    exact = (1 + 2e-5 * 16 * sums) ** -0.75
    equal = np.linspace(0, table.largest, TABLE_ENTRIES + 1)
    chords = np.interp(sums, equal, (1 + 2e-5 * 16 * equal) ** -0.75)
    assert np.abs(chords / exact - 1).max() > 5.5e-3


@pytest.mark.parametrize("floor", [0, 1, 7, 16])
def test_segments_tile_the_sums(floor: int) -> None:
    starts = segment_starts(floor)
    width = np.diff(starts)
    assert starts[0] == 0
    assert starts[-1] == 1 << (floor + SEGMENT_BITS + OCTAVES - 1)
    assert width.min() == 1 << floor
    assert (np.diff(width) >= 0).all()
    index = np.arange(TABLE_ENTRIES)
    for sums, place in ((starts[:-1], 0.0), (starts[1:] - 1, 1.0), (starts[:-1] + width // 2, 0.5)):
        segment, fraction = segments(sums, floor)
        np.testing.assert_array_equal(segment, index)
        assert 0 <= fraction.min() <= fraction.max() < 1 << FRACTION_BITS
        if place != 0.5 or floor:
            want = np.minimum(place, (width - 1) / width) * (1 << FRACTION_BITS)
            np.testing.assert_array_equal(fraction, np.floor(want))


def test_by_hand() -> None:
    """Sum 77 is in the second octave from 32 on: segment 2 * 32 + 6, half way from 76 to 78."""
    segment, fraction = segments(np.array([77]), 0)
    assert (segment[0], fraction[0]) == (2 * 32 + 6, 1 << (FRACTION_BITS - 1))
    layer = lrn(1, 1.0, 1.0, 64.0)
    table = factor_table(layer, Format(8, 0), MAX_SHIFT)
    assert table.frac == FACTOR_BITS - 1 + 6
    # 2**21 / (64 + 76) is 14980 in 14 bits: normalised with exponent 2.
    first, second = round(2**23 / (64 + 76)), round(2**23 / (64 + 78))
    assert (table.base[70], table.drop[70], table.exponent[70]) == (first, first - second, 2)
    mantissa, exponent = factors(table, np.array([77]))
    assert (mantissa[0], exponent[0]) == (first - (first - second + 1) // 2, 2)


@pytest.mark.parametrize("longest", [0, 3, 40])
def test_exponents_normalise_as_far_as_they_may(longest: int) -> None:
    layer, fmt = lrn(3, 1.0, 2.0, 1.0), Format(8, 0)
    table = factor_table(layer, fmt, longest)
    most = min(longest, (1 << EXPONENT_BITS) - 1)
    assert table.exponent.max() == most
    assert (table.base[table.exponent < most] >= 1 << (FACTOR_BITS - 1)).all()
    assert (np.diff(table.exponent) >= 0).all()
    assert table.base.max() < 1 << FACTOR_BITS
    assert 0 <= table.drop.min() <= table.drop.max() < 1 << FACTOR_BITS


def test_a_factor_that_rounds_to_a_bit_more() -> None:
    layer = lrn(3, 1.0, 1.0, 1 / (2 - 2**-18))
    assert factor_frac(layer) == FACTOR_BITS - 2
    table = factor_table(layer, Format(4, 0), MAX_SHIFT)
    assert table.base[0] == 1 << (FACTOR_BITS - 1)


def test_the_widest_sums_and_wider_ones() -> None:
    table = factor_table(lrn(15, 1e-4, 0.75, 1.0), Format(16, 0, signed=False), MAX_SHIFT)
    assert table.largest.bit_length() == SUM_BITS
    assert factors(table, [table.largest])[0][0] > 0
    with pytest.raises(ValueError, match="beyond 36 bits"):
        factor_table(lrn(17, 1e-4, 0.75, 1.0), Format(16, 0, signed=False), MAX_SHIFT)


@pytest.mark.parametrize("size", [1, 3, 5, 7, 15])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_window_sums(size: int, channels: int) -> None:
    values = np.random.default_rng(size).integers(0, 99, (2, channels, 3, 4))
    got = window_sums(values, size)
    for c in range(channels):
        first, last = c - size // 2, c + size // 2
        want = values[:, max(0, first) : last + 1].sum(axis=1)
        np.testing.assert_array_equal(got[:, c], want)


def layer_of(layer: Lrn, source: Format, out: Format) -> IntegerLrn:
    scheme = Scheme(
        Precision(8, 8), MappingProxyType({}), MappingProxyType({"x": source, "y": out})
    )
    made = compile_layer(layer, scheme)
    assert isinstance(made, IntegerLrn)
    return made


@pytest.mark.parametrize("parameters", LAYERS, ids=str)
@pytest.mark.parametrize("source", [*NARROW, *WIDE], ids=str)
def test_outputs_are_within_the_stated_error(
    parameters: tuple[int, float, float, float], source: Format
) -> None:
    """Half a step of the output, and the factor's error of the value."""
    layer = lrn(*parameters)
    rng = np.random.default_rng(1)
    spread = np.exp2(rng.uniform(-8, 0, (400, 1, 1, 1)))
    words = rng.uniform(source.low, source.high, (400, 9, 2, 3)) * spread
    q = np.rint(words).astype(np.int64)
    x = dequantise(q, source.frac)
    sums = window_sums(q * q, layer.size) * 2.0 ** (-2 * source.frac)
    exact = x * (layer.bias + layer.alpha / layer.size * sums) ** -layer.beta
    frac = source.bits - 2 - int(np.ceil(np.log2(np.abs(exact).max())))
    frac = min(frac, source.frac + factor_frac(layer))
    out = Format(source.bits, frac)
    made = layer_of(layer, source, out)
    got = dequantise(run_layer(made, [q]), out.frac)
    assert np.ptp(got) > 0
    lost = np.abs(got - np.clip(exact, out.low * out.step, out.high * out.step))
    assert (lost <= made.table.error * np.abs(exact) + 0.5001 * out.step).all()


def test_shifts_are_the_requantisers() -> None:
    """Exponents go as far as the longest shift, and a legal shift may be zero."""
    layer, source = lrn(*ALEXNET), Format(8, -2, signed=False)
    for shift in (0, 20, MAX_SHIFT):
        made = layer_of(layer, source, Format(8, source.frac + factor_frac(layer) - shift))
        assert made.requantiser.shift == shift
        assert made.table.exponent.max() == min(7, MAX_SHIFT - shift)
    for shift in (-1, MAX_SHIFT + 1):
        with pytest.raises(ValueError, match=f"n: shift {shift}"):
            layer_of(layer, source, Format(8, source.frac + factor_frac(layer) - shift))


def test_the_fast_emulator_takes_narrow_words_only() -> None:
    network = normalised_maps()
    for bits, fast in ((8, True), (12, False)):
        scheme = plain_scheme(network, Precision(8, bits))
        integer = compile_network(network, store(network, scheme))
        layers = [layer for layer in integer.layers if isinstance(layer, IntegerLrn)]
        assert len(layers) == 3
        for layer in layers:
            assert (layer.table.largest < MOST_SUMS) is fast
            assert (plan_of(layer, integer) is not None) is fast
