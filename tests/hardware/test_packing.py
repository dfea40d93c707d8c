"""Columns that share a DSP block: the sums of ``rtl/mm/pe.sv``, worked out in whole numbers."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from toolflow.hardware.devices import load_device
from toolflow.hardware.packing import CHAIN_BITS, Packing, packing, packings, wide_operand


def fields(way: Packing, weights: list[list[int]], acts: list[int]) -> list[int]:
    """Return each column's dot product out of one chain. ``weights``: lanes x columns."""
    half = 1 << way.lane_bits - 1
    chain = sum(half << c * way.lane_bits for c in range(way.columns))
    for lane, act in zip(weights, acts, strict=True):
        chain += act * sum(w << c * way.lane_bits for c, w in enumerate(lane))
    assert 0 <= chain < 1 << way.columns * way.lane_bits
    return [
        (chain >> c * way.lane_bits & (1 << way.lane_bits) - 1) - half for c in range(way.columns)
    ]


def exact(way: Packing, weights: list[list[int]], acts: list[int]) -> list[int]:
    return [
        sum(lane[c] * act for lane, act in zip(weights, acts, strict=True))
        for c in range(way.columns)
    ]


@st.composite
def ways(draw: st.DrawFn) -> tuple[Packing, int, int, int, int]:
    columns, weight_bits, act_bits, t_p, operand = (
        draw(st.integers(low, high)) for low, high in ((2, 6), (2, 8), (2, 8), (1, 64), (18, 27))
    )
    way = packing(columns, weight_bits, act_bits, t_p, operand)
    assume(way is not None)
    assert way is not None
    return way, weight_bits, act_bits, t_p, operand


@given(ways(), st.randoms(use_true_random=False))
def test_a_chain_holds_every_columns_sum(
    case: tuple[Packing, int, int, int, int], rng: random.Random
) -> None:
    way, weight_bits, act_bits, _, _ = case
    lowest, highest = -(1 << weight_bits - 1), (1 << weight_bits - 1) - 1
    least, most = -(1 << act_bits - 1), (1 << act_bits) - 1
    for signed in (False, True):
        acts = [0, least if signed else most, (1 << act_bits - 1) - 1]
        lanes = range(way.segment_depth)
        weights = [[rng.choice((lowest, highest, 0)) for _ in range(way.columns)] for _ in lanes]
        drawn = [rng.choice(acts) for _ in lanes]
        assert fields(way, weights, drawn) == exact(way, weights, drawn)
        extremes = [[lowest] * way.columns for _ in lanes]
        full = [acts[1]] * way.segment_depth
        assert fields(way, extremes, full) == exact(way, extremes, full)


@given(ways())
def test_a_longer_chain_would_not(case: tuple[Packing, int, int, int, int]) -> None:
    way, weight_bits, act_bits, t_p, _ = case
    depth = way.segment_depth + 1
    if depth <= t_p:
        lowest, most = -(1 << weight_bits - 1), (1 << act_bits) - 1
        weights = [[lowest] * way.columns for _ in range(depth)]
        with pytest.raises(AssertionError):
            assert fields(way, weights, [most] * depth) == exact(way, weights, [most] * depth)


@given(ways())
def test_the_packed_weight_fits_the_operand(case: tuple[Packing, int, int, int, int]) -> None:
    way, weight_bits, _, t_p, operand = case
    extreme = sum(-(1 << weight_bits - 1) << c * way.lane_bits for c in range(way.columns))
    assert extreme >= -(1 << operand - 1)
    assert way.columns * way.lane_bits <= CHAIN_BITS
    assert way.segments * way.segment_depth >= t_p > (way.segments - 1) * way.segment_depth


@pytest.mark.parametrize(
    ("precision", "device", "found"),
    [
        ((8, 8), "zc706", {1: 1, 2: 16}),
        ((8, 8), "zcu102", {1: 1, 2: 4}),
        ((4, 4), "zc706", {2: 1, 3: 4}),
        ((2, 2), "zc706", {3: 1, 4: 2, 5: 8, 6: 16}),
        ((16, 16), "zc706", {1: 1}),
    ],
)
def test_the_ways_worth_trying(
    precision: tuple[int, int], device: str, found: dict[int, int]
) -> None:
    """Columns and how many chains make a dot product of 16 lanes."""
    ways_found = packings(*precision, 16, load_device(device))
    assert {way.columns: way.segments for way in ways_found} == found


def test_ecp5_columns_share_nothing() -> None:
    device = load_device("ulx3s-85f")
    assert [way.columns for way in packings(4, 4, 16, device)] == [1]


def test_the_operand_is_what_mm_unit_takes() -> None:
    assert wide_operand(load_device("zc706")) == 25
    assert wide_operand(load_device("zcu102")) == 27
