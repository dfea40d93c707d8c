from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from toolflow.confidence.decision import CeuParameters, decide
from toolflow.confidence.exp_table import exp_scale
from toolflow.confidence.measures import (
    LabelledLogits,
    certainty,
    compared,
    fitted_temperature,
    generalised,
)
from toolflow.confidence.tuning import outcomes_of, required_correct, sharpest_pair, threshold_for

FRAC = 5
CLASSES = 10


def labelled(seed: int, images: int) -> LabelledLogits:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, images)
    hpu = np.eye(CLASSES)[labels] * 4 + rng.normal(0, 1, (images, CLASSES))
    lpu = hpu + rng.normal(0, 1, hpu.shape)
    words = [np.round(x * 2**FRAC).astype(np.int64) for x in (lpu, hpu)]
    return LabelledLogits(words[0], words[1], labels, FRAC)


def test_measures_are_what_they_are_called() -> None:
    p = softmax(np.random.default_rng(0).normal(0, 2, (50, 7)), axis=1)
    ordered = np.sort(p, axis=1)[:, ::-1]
    np.testing.assert_allclose(generalised(1, 1)(p), p.max(axis=1))
    np.testing.assert_allclose(generalised(1, 2)(p), ordered[:, 0] - ordered[:, 1])
    np.testing.assert_allclose(
        generalised(2, 4)(p), ordered[:, :2].sum(axis=1) - ordered[:, 2:4].sum(axis=1)
    )
    np.testing.assert_allclose(certainty(p), -entropy(p, axis=1))
    assert certainty(np.eye(3))[0] == 0


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_fitted_temperature_is_the_one_that_made_the_labels(temperature: float) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (20_000, 6))
    chances = softmax(logits / temperature, axis=1).cumsum(axis=1)
    labels = (chances < rng.random((len(logits), 1))).sum(axis=1)
    assert fitted_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_rows_are_what_the_ceu_would_do() -> None:
    tuning, unseen = labelled(2, 400), labelled(3, 600)
    tolerances = (0.01, 0.05)
    rows = list(compared(tuning, unseen, tolerances, 1))
    assert [row.measure for row in rows] == 2 * ["max-softmax", "entropy", "BvSB", rows[3].measure]
    assert rows[0].temperature == 1 != rows[4].temperature
    scale = exp_scale(FRAC)
    seen = outcomes_of(tuning.lpu, tuning.hpu, tuning.labels, scale, 1)
    hpu = unseen.hpu.argmax(axis=1) == unseen.labels
    lpu = unseen.lpu.argmax(axis=1) == unseen.labels
    gbvsb = rows[3]
    for tolerance, held in zip(tolerances, gbvsb.held, strict=True):
        m, n = sharpest_pair(seen)
        assert gbvsb.measure == f"gBvSB<{m},{n}>"
        setting = threshold_for(seen, m, n, required_correct(seen.hpu_correct, tolerance))
        ceu = CeuParameters(setting.m, setting.n, setting.threshold, scale.mult, scale.shift)
        kept = decide(unseen.lpu, ceu).confident
        assert held.forwarded == pytest.approx((~kept).mean(), abs=0.005)
        added = (hpu.astype(int) - np.where(kept, lpu, hpu)).mean()
        assert held.added_error == pytest.approx(added, abs=0.005)


def test_a_perfect_lpu_leaves_nothing_to_separate() -> None:
    same = labelled(6, 100)
    perfect = LabelledLogits(same.hpu, same.hpu, same.labels, FRAC)
    for row in compared(perfect, perfect, (0.01,), 1):
        assert np.isnan(row.separation)
        assert row.held[0].forwarded == 0


def test_separation_knows_good_from_bad() -> None:
    """Entropy of probabilities that only differ among the losers says less than the margin."""
    rows = {
        (row.measure, row.temperature == 1): row.separation
        for row in compared(labelled(4, 2000), labelled(5, 2000), (0.01,), 1)
    }
    assert 0.7 < rows["entropy", True] < rows["BvSB", True] < 1
