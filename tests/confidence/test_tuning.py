from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from toolflow.confidence.decision import FORWARD_ALL, CeuParameters, decide
from toolflow.confidence.exp_table import exp_scale
from toolflow.confidence.guarantee import meets
from toolflow.confidence.tuning import (
    Cuts,
    Outcomes,
    best_pair,
    certified,
    confidence_keys,
    outcomes_of,
    required_correct,
    separation,
    setting_at,
    sharpest_pair,
    threshold_for,
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


@pytest.mark.parametrize("pair", [(1, 1), (1, 2), (2, 2), (1, 8), (3, 5)])
@pytest.mark.parametrize(("classes", "top"), [(6, 1), (12, 5)])
@pytest.mark.parametrize("coarse", [1, 40])
def test_no_threshold_of_a_brute_force_search_is_better(
    pair: tuple[int, int], classes: int, top: int, coarse: int
) -> None:
    """Every cut point, also where coarse logits make many confidences equal."""
    lpu, hpu, labels = units(7, 120, classes)
    lpu = lpu // coarse * coarse
    scale = exp_scale(FRAC)
    outcomes = outcomes_of(lpu, hpu, labels, scale, top)
    required = required_correct(outcomes.hpu_correct, 0.02)
    setting = threshold_for(outcomes, *pair, required)
    keys = confidence_keys(outcomes.exponentials, outcomes.totals, *pair)
    assert (len(set(keys.tolist())) < 60) == (coarse > 1)
    met = {}
    for threshold in {int(k) + d for k in keys for d in (0, 1)}:
        ceu = CeuParameters(*pair, threshold, scale.mult, scale.shift)
        forwarded, correct = cascade_correct(lpu, hpu, labels, ceu, top)
        met[forwarded] = correct >= required
    fewest = min(f for f in met if all(ok for other, ok in met.items() if other >= f))
    assert not all(met.values())
    assert setting.forwarded == fewest


def test_top5_asks_less_of_the_cascade() -> None:
    """The metric decides what a loss is: few images lose a top-5 answer."""
    lpu, hpu, labels = units(5, 400, 12)
    forwarded = {
        top: tune(outcomes_of(lpu, hpu, labels, exp_scale(FRAC), top), 0.0).forwarded
        for top in (1, 5)
    }
    assert 0 < forwarded[5] < forwarded[1]


@pytest.mark.parametrize("pair", [(1, 2), (2, 2), (1, 5)])
def test_cuts_are_what_the_ceu_does(pair: tuple[int, int]) -> None:
    lpu, hpu, labels = units(9, 150, 8)
    scale = exp_scale(FRAC)
    outcomes = outcomes_of(lpu // 8 * 8, hpu, labels, scale, 1)
    cuts = Cuts.of_pair(outcomes, *pair)
    for cut in range(len(cuts.forwarded)):
        ceu = CeuParameters(*pair, cuts.threshold(cut), scale.mult, scale.shift)
        kept = decide(lpu // 8 * 8, ceu).confident
        assert int((~kept).sum()) == cuts.forwarded[cut]
        assert cuts.paired(cut) == outcomes.paired(kept)


class TestCertified:
    LEVELS = 24

    def drawn(self, rng: np.random.Generator, images: int) -> Outcomes:
        """Images of known risk: the lower the confidence, the more the LPU loses."""
        level = rng.integers(0, self.LEVELS, images)
        first = (1 + level) << 11
        leaders = np.zeros((images, 8), np.int64)
        leaders[:, 0] = first
        change = rng.random(images)
        loss, gain = self.risk(level)
        lost, gained = change < loss, change > 1 - gain
        return Outcomes(leaders, np.full(images, 1 << 16), ~lost, ~gained)

    def risk(self, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        doubt = 1 - level / self.LEVELS
        return 0.1 * doubt**2, 0.04 * doubt**2

    def truth(self, threshold: int) -> float:
        """The added error of a threshold over all images that could be drawn."""
        levels = np.arange(self.LEVELS)
        loss, gain = self.risk(levels)
        kept = (1 + levels) << 11 >= threshold
        return float((loss - gain)[kept].sum() / self.LEVELS)

    @pytest.mark.parametrize("images", [200, 800])
    @pytest.mark.parametrize("tolerance", [0.005, 0.01, 0.015])
    def test_holds_for_new_images(self, images: int, tolerance: float) -> None:
        rng = np.random.default_rng(images)
        confidence, draws = 0.8, 150
        truths = [
            self.truth(certified(self.drawn(rng, images), 1, 1, tolerance, confidence).threshold)
            for _ in range(draws)
        ]
        violated = float(np.mean(np.array(truths) > tolerance))
        assert violated <= 1 - confidence + 3 * np.sqrt(confidence * (1 - confidence) / draws)
        if images == 800:
            assert np.mean(truths) > 0.3 * tolerance, "too conservative to be of use"

    def test_tuning_alone_does_not_hold(self) -> None:
        """The same images, tuned on: about half of the thresholds miss."""
        rng = np.random.default_rng(1)
        truths = []
        for _ in range(150):
            outcomes = self.drawn(rng, 200)
            required = required_correct(outcomes.hpu_correct, 0.01)
            truths.append(self.truth(threshold_for(outcomes, 1, 1, required).threshold))
        assert np.mean(np.array(truths) > 0.01) > 0.4

    def test_is_the_last_before_the_first_failure(self) -> None:
        outcomes = self.drawn(np.random.default_rng(3), 700)
        setting = certified(outcomes, 1, 1, 0.01, 0.9)
        cuts = Cuts.of_pair(outcomes, 1, 1)
        passed = [meets(cuts.paired(cut), 0.01, 0.9) for cut in range(len(cuts.forwarded))]
        first = max(cut for cut, ok in enumerate(passed) if not ok) + 1
        assert 0 < first < len(passed) - 1
        assert setting == setting_at(outcomes, 1, 1, cuts.threshold(first))

    @pytest.mark.parametrize(("images", "tolerance"), [(200, 0.01), (800, 0.0), (800, 0.003)])
    def test_too_few_images_forward_all(self, images: int, tolerance: float) -> None:
        outcomes = self.drawn(np.random.default_rng(5), images)
        setting = certified(outcomes, 1, 1, tolerance, 0.95)
        assert (setting.threshold, setting.forwarded) == (FORWARD_ALL, images)

    def test_a_perfect_lpu_forwards_nothing(self) -> None:
        lpu, _, labels = units(1, 400, 10)
        outcomes = outcomes_of(lpu, lpu, labels, exp_scale(FRAC), 1)
        assert certified(outcomes, 1, 2, 0.01, 0.95).forwarded == 0


def test_a_pair_is_chosen_only_if_clearly_better_than_bvsb() -> None:
    """Positives that only M = 2 sees: the two best classes share little of the total."""
    rng = np.random.default_rng(0)
    mended = np.arange(400) < 60
    sharp = rng.normal(0, 1, 400)
    spread = np.where(mended, 0.5, 0.95) + rng.normal(0, 0.02, 400)
    first = spread * (0.55 + 0.02 * sharp)
    leaders = np.zeros((400, 8))
    leaders[:, 0], leaders[:, 1] = first, spread - first
    leaders[:, 2:] = ((1 - spread) / 6)[:, None]
    clear = Outcomes(
        exponentials=np.round(leaders * 2**16).astype(np.int64),
        totals=np.round(leaders.sum(axis=1) * 2**16).astype(np.int64),
        lpu_correct=~mended,
        hpu_correct=np.ones(400, bool),
    )
    assert separation(clear, 2, 2) > 0.99 > separation(clear, 1, 2) + 0.1
    assert separation(clear, *best_pair(clear)) > 0.99
    assert best_pair(clear) == sharpest_pair(clear) != (1, 2)
    few, hpu, labels = units(3, 60, 10)
    assert best_pair(outcomes_of(few, hpu, labels, exp_scale(FRAC), 1)) == (1, 2)


def test_separation_is_the_area_under_the_curve() -> None:
    lpu, hpu, labels = units(3, 400, 10)
    outcomes = outcomes_of(lpu, hpu, labels, exp_scale(FRAC), 1)
    mended = outcomes.hpu_correct & ~outcomes.lpu_correct
    areas = {
        (m, n): roc_auc_score(
            mended, -confidence_keys(outcomes.exponentials, outcomes.totals, m, n)
        )
        for n in range(1, 9)
        for m in range(1, n + 1)
    }
    for pair, area in areas.items():
        assert separation(outcomes, *pair) == pytest.approx(area)
    assert max(areas.values()) > 0.7 > min(areas.values())
    assert areas[sharpest_pair(outcomes)] == max(areas.values())


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
