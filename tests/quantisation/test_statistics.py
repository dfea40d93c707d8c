from __future__ import annotations

import numpy as np
import pytest

from tests.random_networks import every_layer_kind
from toolflow.fixedpoint import Format
from toolflow.network.float_reference import float_tensors
from toolflow.quantisation import statistics
from toolflow.quantisation.scheme import format_groups
from toolflow.quantisation.statistics import (
    CLIPPING_STEPS,
    TensorStatistics,
    candidate_formats,
    divergence,
    least_error,
    measure_tensors,
    softmax,
    squared_error,
    with_zero_points,
)


def of(values: np.ndarray, weights: np.ndarray | None = None) -> TensorStatistics:
    values = values.astype(np.float32)
    weights = np.ones(len(values)) if weights is None else weights
    return TensorStatistics(values, weights, float(values.min()), float(values.max()))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep so little that most values are left out, of several batches."""
    monkeypatch.setattr(statistics, "STATISTICS_BATCH", 3)
    monkeypatch.setattr(statistics, "EXTREME_VALUES", 64)
    monkeypatch.setattr(statistics, "SAMPLED_VALUES", 2048)


@pytest.mark.usefixtures("few")
def test_extremes_are_all_kept_and_the_rest_is_represented() -> None:
    network = every_layer_kind()
    images = np.random.default_rng(0).normal(0, 1, (8, *network.input_shape)).astype(np.float32)
    groups = format_groups(network)
    measured = measure_tensors(network, groups, images)
    (values,) = float_tensors(network, images, list(network.shapes), batch=8)
    for group in groups:
        flat = np.concatenate([values[name].reshape(-1) for name in group.tensors])
        kept = measured[group.name]
        assert (kept.low, kept.high) == (flat.min(), flat.max())
        assert kept.limit == np.abs(flat).max()
        assert kept.weights.sum() == pytest.approx(len(flat))
        ordered = np.sort(np.abs(flat))
        largest = ordered[ordered > ordered[-64:][0]]
        assert len(largest) > 7
        found = np.sort(np.abs(kept.values))[-len(largest) :]
        np.testing.assert_allclose(found, largest, rtol=1e-5)
        if len(flat) > 500:
            mean_square = float(np.mean(flat.astype(np.float64) ** 2))
            kept_square = float(np.average(kept.values**2, weights=kept.weights))
            assert kept_square == pytest.approx(mean_square, rel=0.15)


def collected(*batches: np.ndarray, share: int = 500) -> TensorStatistics:
    part = statistics._Collected(share)
    for batch in batches:
        part.add(batch.astype(np.float32), np.random.default_rng(0))
    return part.statistics()


@pytest.mark.usefixtures("few")
def test_a_clipped_tensors_limit_keeps_its_share() -> None:
    """Half of the values are 6: more than the extremes that are kept."""
    rng = np.random.default_rng(0)
    half = [np.concatenate([rng.uniform(0, 5, 4000), np.full(4000, 6.0)]) for _ in range(2)]
    kept = collected(*half)
    assert kept.weights.sum() == pytest.approx(16000)
    assert kept.weights[kept.values == 6].sum() == pytest.approx(8000, rel=0.1)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("count", [1, 64, 65, 1000])
def test_constant_and_small_tensors(count: int) -> None:
    kept = collected(np.zeros(count))
    assert kept.weights.sum() == pytest.approx(count)
    assert not kept.values.any()
    assert kept.limit == 0
    distinct = collected(np.arange(1, count + 1))
    assert distinct.weights.sum() == pytest.approx(count)
    assert distinct.high == count


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("signed", [True, False])
def test_candidates_start_where_nothing_is_clipped(bits: int, signed: bool) -> None:
    for limit in (0.3, 1.0, 5.9):
        formats = candidate_formats(limit, bits, signed)
        assert len(formats) == CLIPPING_STEPS
        assert [f.frac - formats[0].frac for f in formats] == list(range(CLIPPING_STEPS))
        steps = limit / formats[0].step
        assert np.floor(steps + 0.5) <= formats[0].high
        assert np.floor(2 * steps + 0.5) > formats[0].high


@pytest.mark.parametrize("bits", [2, 4, 5, 6, 8, 16])
def test_zero_points_of_the_same_scales(bits: int) -> None:
    formats = candidate_formats(1.0, bits, True)
    found = with_zero_points(formats)
    assert len(set(found)) == len(found)
    assert not any(fmt.signed for fmt in found)
    assert {fmt.bits for fmt in found} == {bits}
    fracs = {fmt.frac for fmt in formats}
    assert {fmt.frac for fmt in found} == fracs | {max(fracs) + 1}
    zeros = {fmt.zero for fmt in found}
    assert max(zeros) == 1 << (bits - 1), "the range of a signed format"
    assert min(zeros) >= 1
    assert len(zeros) == min(1 << (bits - 1), 32)
    assert len(found) == len(zeros) * (CLIPPING_STEPS + 1)


def test_least_error_clips_outliers() -> None:
    values = of(np.concatenate([np.random.default_rng(0).normal(0, 1, 10000), [60.0]]))
    candidates = candidate_formats(60.0, 4, True)
    assert candidates[0] == Format(4, -4)
    chosen = least_error(values, candidates)
    assert chosen.frac > candidates[0].frac
    assert squared_error(values, chosen) < squared_error(values, candidates[0])


def test_least_error_finds_the_format_that_made_the_values() -> None:
    true = Format(4, 3, signed=False, zero=5)
    values = of(np.arange(true.low, true.high + 1) * true.step)
    signed = candidate_formats(values.limit, 4, True)
    candidates = (*signed, *with_zero_points(signed))
    assert least_error(values, candidates) == true
    assert squared_error(values, true) == 0
    assert squared_error(values, least_error(values, signed)) > 0


def test_errors_are_weighted() -> None:
    """An outlier of weight one is clipped, one that stands for many is held."""
    values = np.array([0.25, 0.5, 0.75, 6.0])
    candidates = candidate_formats(6.0, 4, False)
    rare = least_error(of(values, np.array([1e6, 1e6, 1e6, 1.0])), candidates)
    common = least_error(of(values, np.array([1.0, 1.0, 1.0, 1e6])), candidates)
    assert rare.high * rare.step < 4
    assert common.high * common.step >= 6
    error = squared_error(of(values, np.array([0.0, 0.0, 0.0, 2.0])), Format(2, 0, signed=False))
    assert error == 9


def test_the_first_of_equals() -> None:
    candidates = (Format(4, 1), Format(4, 2), Format(4, 3))
    assert least_error(of(np.zeros(3)), candidates) is candidates[0]


def test_divergence_is_zero_only_for_equal_logits() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (20, 7))
    assert divergence(softmax(logits), logits) == pytest.approx(0, abs=1e-12)
    assert divergence(softmax(logits), logits + 5) == pytest.approx(0, abs=1e-12)
    assert divergence(softmax(logits), logits[:, ::-1]) > 0.1
