from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolflow.confidence.decision import FORWARD_ALL, CeuParameters, decide
from toolflow.confidence.exp_table import exp_scale
from toolflow.confidence.tuning import (
    Outcomes,
    confidence_keys,
    outcomes_of,
    required_correct,
    top_correct,
    tune,
)

FRAC = 4


def units(seed: int, images: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of a bad LPU and a good HPU, with labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    truth = np.eye(classes)[labels] * 3
    hpu = truth + rng.normal(0, 0.9, truth.shape)
    lpu = hpu + rng.normal(0, 1.2, truth.shape)
    quantised = [np.round(x * 2**FRAC).astype(np.int64) for x in (lpu, hpu)]
    return quantised[0], quantised[1], labels


def cascade_correct(
    lpu: np.ndarray, hpu: np.ndarray, labels: np.ndarray, ceu: CeuParameters, top: int
) -> tuple[int, int]:
    """Run the CEU itself; return (forwarded, correct)."""
    confident = decide(lpu, ceu).confident
    right = np.where(confident, top_correct(lpu, labels, top), top_correct(hpu, labels, top))
    return int((~confident).sum()), int(right.sum())


@pytest.mark.parametrize("classes", [2, 3, 10, 40])
@pytest.mark.parametrize("tolerance", [0.0, 0.01, 0.05, 0.5])
@pytest.mark.parametrize("top", [1, 5])
def test_the_ceu_does_what_tuning_promised(classes: int, tolerance: float, top: int) -> None:
    lpu, hpu, labels = units(classes, 300, classes)
    scale = exp_scale(FRAC)
    outcomes = outcomes_of(lpu, hpu, labels, scale, top)
    setting = tune(outcomes, tolerance)
    ceu = CeuParameters(setting.m, setting.n, setting.threshold, scale.mult, scale.shift)
    assert cascade_correct(lpu, hpu, labels, ceu, top) == (setting.forwarded, setting.correct)
    assert setting.correct >= required_correct(outcomes.hpu_correct, tolerance)


def test_no_setting_of_a_brute_force_search_is_better() -> None:
    lpu, hpu, labels = units(7, 60, 6)
    scale = exp_scale(FRAC)
    outcomes = outcomes_of(lpu, hpu, labels, scale, 1)
    setting = tune(outcomes, 0.02)
    required = required_correct(outcomes.hpu_correct, 0.02)
    best = len(labels)
    for n in range(1, 9):
        for m in range(1, n + 1):
            keys = confidence_keys(outcomes.exponentials, outcomes.totals, m, n)
            for threshold in {int(k) + d for k in keys for d in (0, 1)}:
                ceu = CeuParameters(m, n, threshold, scale.mult, scale.shift)
                forwarded, correct = cascade_correct(lpu, hpu, labels, ceu, 1)
                if correct >= required:
                    best = min(best, forwarded)
    assert 0 < best < len(labels)
    assert setting.forwarded == best


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(-(2**17), 2**17 - 1))
def test_key_and_comparison_agree(seed: int, classes: int, threshold: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.integers(-200, 200, (40, classes))
    scale = exp_scale(FRAC)
    labels = np.zeros(40, np.int64)
    outcomes = outcomes_of(logits, logits, labels, scale, 1)
    n = int(rng.integers(1, 9))
    m = int(rng.integers(1, n + 1))
    keys = confidence_keys(outcomes.exponentials, outcomes.totals, m, n)
    confident = decide(logits, CeuParameters(m, n, threshold, scale.mult, scale.shift)).confident
    np.testing.assert_array_equal(confident, keys >= threshold)


def test_equal_confidences_are_forwarded_together() -> None:
    outcomes = Outcomes(
        exponentials=np.full((4, 8), 1 << 16),
        totals=np.full(4, 8 << 16),
        lpu_correct=np.array([True, False, True, True]),
        hpu_correct=np.ones(4, bool),
    )
    setting = tune(outcomes, 0.0)
    assert setting.forwarded == 4
    assert setting.threshold == FORWARD_ALL
    assert tune(outcomes, 0.25).forwarded == 0


def test_a_perfect_lpu_forwards_nothing() -> None:
    lpu, _, labels = units(1, 50, 10)
    setting = tune(outcomes_of(lpu, lpu, labels, exp_scale(FRAC), 1), 0.0)
    assert setting.forwarded == 0


@pytest.mark.parametrize(("tolerance", "needed"), [(0.0, 8), (0.09, 8), (0.1, 7), (0.3, 5), (1, 0)])
def test_required_correct(tolerance: float, needed: int) -> None:
    assert required_correct(np.arange(10) < 8, tolerance) == needed
