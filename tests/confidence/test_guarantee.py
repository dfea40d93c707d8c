from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest

from toolflow.confidence import guarantee
from toolflow.confidence.guarantee import (
    NUISANCE_SHARE,
    PairedOutcomes,
    error_bound,
    least_samples,
    meets,
    p_value,
    paired_outcomes,
    samples_needed,
)

CONFIDENCE = 0.9


def counts(images: int) -> list[tuple[int, int]]:
    both = product(range(images + 1), repeat=2)
    return [(losses, gains) for losses, gains in both if losses + gains <= images]


def probability(losses: int, gains: int, images: int, loss: float, gain: float) -> float:
    """Trinomial, from its definition in integers."""
    ways = comb(images, losses) * comb(images - losses, gains)
    rest = max(1 - loss - gain, 0.0)
    return ways * loss**losses * gain**gains * rest ** (images - losses - gains)


class TestPValue:
    @pytest.mark.parametrize("observed", [(0, 0), (1, 0), (0, 2), (2, 1), (3, 3), (7, 0), (0, 12)])
    @pytest.mark.parametrize("tolerance", [0.0, 0.05, 0.3])
    def test_is_the_worst_of_a_brute_force_enumeration(
        self, observed: tuple[int, int], tolerance: float
    ) -> None:
        images = 12
        order = guarantee._order
        place = order(*observed, CONFIDENCE)
        tail = [c for c in counts(images) if order(*c, CONFIDENCE) <= place + 1e-9]
        cost = NUISANCE_SHARE * (1 - CONFIDENCE)
        low, high = guarantee._interval(observed[1], images, cost)
        high = min(high, (1 - tolerance) / 2)
        gains = np.linspace(low, high, 1500 if low <= high else 0)
        worst = max(
            (sum(probability(*c, images, gain + tolerance, gain) for c in tail) for gain in gains),
            default=0.0,
        )
        found = p_value(PairedOutcomes(*observed, images), tolerance, CONFIDENCE)
        assert found == pytest.approx(min(worst + cost, 1), abs=2e-5)
        assert found >= min(worst + cost, 1) - 1e-6

    @pytest.mark.parametrize("observed", [(0, 0, 300), (6, 2, 750), (5, 5, 200), (90, 40, 5000)])
    def test_no_other_nuisance_is_worse(
        self, observed: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outcomes = PairedOutcomes(*observed)
        tolerance = max(outcomes.added_error, 0) + 0.007
        found = p_value(outcomes, tolerance, 0.95)
        monkeypatch.setattr(guarantee, "GRID", 500)
        assert found == pytest.approx(p_value(outcomes, tolerance, 0.95), abs=1e-6)

    def test_order_rises_with_losses_and_falls_with_gains(self) -> None:
        for confidence in (0.5, 0.9, 0.95, 0.999, 1 - 1e-9):
            place = np.array(
                [
                    [guarantee._order(losses, gains, confidence) for gains in range(80)]
                    for losses in range(80)
                ]
            )
            assert (np.diff(place, axis=0) > 0).all()
            assert (np.diff(place, axis=1) < 0).all()

    def test_falls_as_the_tolerance_rises(self) -> None:
        for observed in ((0, 0, 40), (3, 1, 40), (10, 10, 40), (200, 150, 1000)):
            values = [
                p_value(PairedOutcomes(*observed), t, 0.95) for t in np.linspace(0, 0.999, 60)
            ]
            assert (np.diff(values) <= 1e-7).all()

    @pytest.mark.parametrize("confidence", [0.0, 0.49, 1.0, 1.5, float("nan")])
    def test_refuses_confidences(self, confidence: float) -> None:
        with pytest.raises(ValueError, match="confidence"):
            p_value(PairedOutcomes(0, 0, 10), 0.1, confidence)

    def test_refuses_tolerances(self) -> None:
        with pytest.raises(ValueError, match="tolerance"):
            p_value(PairedOutcomes(0, 0, 10), 1.0, 0.95)


class TestBound:
    @pytest.mark.parametrize(("images", "step"), [(6, 8), (15, 12)])
    def test_covers_in_every_enumerated_case(self, images: int, step: int) -> None:
        """The exact chance of a bound below the truth, over a grid of all truths."""
        bounds = {c: error_bound(PairedOutcomes(*c, images), CONFIDENCE) for c in counts(images)}
        misses = {}
        for i, j in counts(step):
            loss, gain = i / step, j / step
            misses[loss, gain] = sum(
                probability(*c, images, loss, gain)
                for c, bound in bounds.items()
                if bound < loss - gain
            )
        assert max(misses.values()) <= 1 - CONFIDENCE
        assert max(misses.values()) > 0.3 * (1 - CONFIDENCE), "too conservative to be of use"

    @pytest.mark.parametrize("images", [200, 800])
    @pytest.mark.parametrize(
        ("loss", "gain"), [(0.01, 0.0), (0.02, 0.01), (0.05, 0.04), (0.004, 0)]
    )
    def test_covers_in_simulation(self, images: int, loss: float, gain: float) -> None:
        rng = np.random.default_rng(images)
        trials = rng.multinomial(images, [loss, gain, 1 - loss - gain], 2000)
        distinct, number = np.unique(trials[:, :2], axis=0, return_counts=True)
        # A bound falls short of the truth exactly where the truth, as a tolerance, is met.
        short = [
            meets(PairedOutcomes(int(pair[0]), int(pair[1]), images), loss - gain, 0.95)
            for pair in distinct
        ]
        missed = number[short].sum() / len(trials)
        assert missed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(trials))
        if images * loss > -np.log(0.05):
            assert missed > 0.01, "too conservative to be of use"

    def test_is_the_least_tolerance_met(self) -> None:
        for observed in ((0, 0, 200), (6, 2, 750), (5, 5, 60), (0, 1, 300), (90, 40, 5000)):
            outcomes = PairedOutcomes(*observed)
            bound = error_bound(outcomes, 0.95)
            assert meets(outcomes, bound, 0.95)
            assert not meets(outcomes, bound - 3e-6, 0.95)

    def test_without_change_is_nearly_the_rule_of_three(self) -> None:
        assert error_bound(PairedOutcomes(0, 0, 200)) == pytest.approx(
            1 - 0.05 ** (1 / 200), rel=2e-3
        )

    def test_extremes(self) -> None:
        assert error_bound(PairedOutcomes(5, 0, 5)) == 1
        assert error_bound(PairedOutcomes(0, 50, 100)) == 0
        assert 0.9 < error_bound(PairedOutcomes(0, 0, 1)) < 1

    def test_of_few_changes_follows_the_normal_approximation_from_above(self) -> None:
        outcomes = PairedOutcomes(400, 300, 20_000)
        normal = outcomes.added_error + 1.645 * np.sqrt(700 / 20_000**2)
        assert error_bound(outcomes) == pytest.approx(normal, rel=0.02)


class TestSamples:
    def test_least_is_where_no_loss_suffices(self) -> None:
        least = least_samples(0.01, 0.95)
        assert least is not None
        assert 299 <= least <= 302
        assert meets(PairedOutcomes(0, 0, least), 0.01, 0.95)
        assert not meets(PairedOutcomes(0, 0, least - 1), 0.01, 0.95)

    def test_needed_at_the_observed_rates(self) -> None:
        seen = PairedOutcomes(3, 1, 400)
        needed = samples_needed(seen, 0.01, 0.95)
        assert not meets(seen, 0.01, 0.95)
        assert needed is not None
        scaled = PairedOutcomes(-(-3 * needed // 400), needed // 400, needed)
        assert meets(scaled, 0.01, 0.95)
        assert 800 < needed < 3000

    def test_none_where_the_error_is_not_below_the_tolerance(self) -> None:
        assert samples_needed(PairedOutcomes(4, 0, 400), 0.01, 0.95) is None
        assert least_samples(0.0, 0.95) is None


def test_paired_outcomes_counts() -> None:
    ours = np.array([True, True, False, False, True])
    theirs = np.array([True, False, True, True, False])
    outcomes = paired_outcomes(ours, theirs)
    assert outcomes == PairedOutcomes(losses=2, gains=2, images=5)
    assert outcomes.added_error == 0


@pytest.mark.parametrize("bad", [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
def test_impossible_counts(bad: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        PairedOutcomes(*bad)
