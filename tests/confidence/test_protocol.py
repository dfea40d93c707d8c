from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from toolflow.confidence.decision import FORWARD_ALL
from toolflow.confidence.exp_table import exp_scale
from toolflow.confidence.guarantee import PairedOutcomes, error_bound, meets
from toolflow.confidence.protocol import (
    Estimated,
    Guaranteed,
    choosing_images,
    with_choosing,
)
from toolflow.confidence.tuning import Outcomes, outcomes_of, tune

FRAC = 4


def outcomes(images: int, noise: float = 0.6, top: int = 1) -> Outcomes:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, images)
    hpu = np.eye(10)[labels] * 4 + rng.normal(0, 0.9, (images, 10))
    lpu = hpu + rng.normal(0, noise, hpu.shape)
    words = [np.round(x * 2**FRAC).astype(np.int64) for x in (lpu, hpu)]
    return outcomes_of(words[0], words[1], labels, exp_scale(FRAC), top)


class TestEstimated:
    def test_settles_what_tuning_finds(self) -> None:
        seen = outcomes(500)
        setting = Estimated(0.01).settle(seen)
        assert setting == tune(seen, 0.01)
        assert Estimated(0.01).expected_forwarded(seen) == setting.forwarded / 500

    def test_its_bound_is_said_not_to_hold(self) -> None:
        seen = outcomes(500)
        protocol = Estimated(0.02)
        setting = protocol.settle(seen)
        error = protocol.judge(seen, setting)
        assert error.estimate == (seen.hpu_correct.sum() - setting.correct) / 500
        assert 0 < error.estimate <= 0.02 < error.bound
        assert error.bound == error_bound(error.counts, 0.95)
        assert not error.holds
        assert error.samples_least == 149

    def test_samples_make_the_bound_meet_the_tolerance(self) -> None:
        seen = outcomes(300, noise=0.3)
        protocol = Estimated(0.01)
        error = protocol.judge(seen, protocol.settle(seen))
        assert error.samples_needed is not None
        assert 300 < error.samples_needed < 5000

    def test_forwarding_all_adds_nothing(self) -> None:
        seen = outcomes(100)
        protocol = Estimated(0.01)
        setting = replace(protocol.settle(seen), threshold=FORWARD_ALL)
        error = protocol.judge(seen, setting)
        assert (error.estimate, error.bound, error.holds) == (0, 0, True)

    def test_excess_counts_images(self) -> None:
        reference = np.arange(200) < 180
        assert Estimated(0.01).excess(np.arange(200) < 178, reference) == 0
        assert Estimated(0.01).excess(np.arange(200) < 177, reference) == 1 / 200


class TestGuaranteed:
    def test_meets_the_tolerance_with_confidence(self) -> None:
        seen = outcomes(1200)
        protocol = Guaranteed(0.02, 0.95, 1200)
        setting = protocol.settle(seen)
        error = protocol.judge(seen, setting)
        assert 0 < setting.forwarded < 1200
        assert error.counts.images == 900
        assert meets(error.counts, 0.02, 0.95)
        assert (error.bound, error.confidence, error.holds) == (0.02, 0.95, True)
        assert setting.forwarded > tune(seen, 0.02).forwarded

    def test_choosing_sees_no_judge_and_judges_choose_only_the_threshold(self) -> None:
        seen = outcomes(1200)
        protocol = Guaranteed(0.02, 0.95, 1200)
        first = choosing_images(1200)
        rest = np.arange(1200) >= first
        spoilt = replace(seen, lpu_correct=seen.lpu_correct & ~rest)
        assert protocol.expected_forwarded(spoilt) == protocol.expected_forwarded(seen)
        assert protocol.settle(spoilt).forwarded > 1150
        reordered = seen.part(np.concatenate([np.arange(first)[::-1], np.arange(first, 1200)]))
        assert protocol.settle(reordered) == protocol.settle(seen)
        lucky = replace(seen, lpu_correct=seen.lpu_correct | ~rest)
        assert protocol.settle(lucky).threshold == protocol.settle(seen).threshold

    def test_top5_is_certified_by_top5_answers(self) -> None:
        protocol = Guaranteed(0.01, 0.95, 1200)
        forwarded = {top: protocol.settle(outcomes(1200, 2.0, top)).forwarded for top in (1, 5)}
        assert 0 < forwarded[5] < forwarded[1]

    def test_expects_about_what_it_settles(self) -> None:
        seen = outcomes(4000)
        protocol = Guaranteed(0.02, 0.95, 4000)
        expected = protocol.expected_forwarded(seen)
        assert expected == pytest.approx(protocol.settle(seen).forwarded / 4000, abs=0.06)

    def test_screening_sees_only_the_choosing_images(self) -> None:
        seen = outcomes(1200)
        protocol = Guaranteed(0.02, 0.95, 1200)
        assert protocol.choosing(256) == 256
        assert protocol.choosing(1200) == 300
        assert protocol.expected_forwarded(seen) == protocol.expected_forwarded(
            seen.part(slice(300))
        )

    @pytest.mark.parametrize("images", [1, 2, 60, 200])
    def test_too_few_images_forward_all_and_say_how_many_are_needed(self, images: int) -> None:
        seen = outcomes(images)
        protocol = Guaranteed(0.01, 0.95, images)
        setting = protocol.settle(seen)
        error = protocol.judge(seen, setting)
        assert setting.forwarded == images
        assert error.bound == error.estimate == 0
        assert error.samples_least == 399
        if error.samples_needed is not None:
            assert error.samples_needed >= 399

    def test_least_samples_are_just_enough(self) -> None:
        perfect = outcomes(1000, noise=0)
        for images, forwarded in ((399, 0), (398, 398)):
            few = perfect.part(slice(images))
            assert Guaranteed(0.01, 0.95, images).settle(few).forwarded == forwarded

    def test_excess_is_of_the_bound_on_the_images_that_judge(self) -> None:
        protocol = Guaranteed(0.02, 0.9, 800)
        reference = np.ones(800, bool)
        correct = reference.copy()
        correct[:100] = False
        assert protocol.excess(correct, reference) == pytest.approx(
            error_bound(PairedOutcomes(0, 0, 600), 0.9) - 0.02
        )
        correct[300:312] = False
        assert protocol.excess(correct, reference) > 0

    @pytest.mark.parametrize("judging", [1, 30, 99, 100, 101, 299, 300, 301, 2193])
    def test_with_choosing_is_the_least_that_leaves_enough(self, judging: int) -> None:
        images = with_choosing(judging)
        assert images - choosing_images(images) >= judging
        assert images - 1 - choosing_images(images - 1) < judging
