"""How a tolerance is held: by an estimate on the evaluation images, or by a guarantee.

``Estimated`` is the paper's way (sections 2.2, 2.3): everything is chosen on all evaluation images,
and the added error counted on the same ones meets the tolerance.

``Guaranteed`` parts the images. The first part chooses: the HPU's precision, the LPU's, its scheme,
and (M, N). The others have a say in one thing only, the threshold, which ``tuning.certified`` picks
among all values of its register without spending confidence on the choice. So there is no number of
alternatives to correct for (Bonferroni), however many precisions and pairs were compared. The
quantiser looks at images of the first part alone, and not at their labels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np

from toolflow.confidence.decision import FORWARD_ALL
from toolflow.confidence.guarantee import (
    DEFAULT_CONFIDENCE,
    PairedOutcomes,
    error_bound,
    least_samples,
    meets,
    paired_outcomes,
    samples_needed,
)
from toolflow.confidence.tuning import (
    BoolArray,
    Cuts,
    Outcomes,
    Setting,
    best_pair,
    certified,
    confidence_keys,
    required_correct,
    setting_at,
    threshold_for,
    tune,
)

CHOOSING_SHARE = 4
"""One image in this many is for choosing, where a guarantee is asked for."""

CHOOSING_LEAST = 100
"""As many are for choosing at least (but no more than half): the quantiser looks at these."""


@dataclass(frozen=True)
class AddedError:
    """What is known of the error that a classifier adds to the HPU's.

    Attributes:
        counts: losses and gains on the images that judge it.
        estimate: the added error counted there, -1..1.
        bound: the upper bound of the added error at ``confidence``, 0..1.
        confidence: of the bound.
        holds: the bound holds although the threshold was chosen on labelled images. Where it does
            not, it is that of a threshold that was chosen elsewhere: too low, if anything.
        samples_needed: labelled images with which the bound would meet the tolerance, at the loss
            and gain rates seen; None where no number would, or it already does.
        samples_least: labelled images without which nothing but forwarding all can meet it, None
            where no number suffices.
    """

    counts: PairedOutcomes
    estimate: float
    bound: float
    confidence: float
    holds: bool
    samples_needed: int | None
    samples_least: int | None


class ToleranceProtocol(Protocol):
    """What the planner asks while it chooses."""

    @property
    def tolerance(self) -> float:
        """Allowed rise of the error over the HPU's, 0..1."""

    @property
    def confidence(self) -> float:
        """Of the bounds of added errors."""

    def at(self, tolerance: float) -> Self:
        """Return the same protocol at another tolerance."""

    def choosing(self, images: int) -> int:
        """Return how many of the first images choices may look at."""

    def expected_forwarded(self, outcomes: Outcomes) -> float:
        """Return the share of images to forward, as far as choices between cascades may know."""

    def settle(self, outcomes: Outcomes) -> Setting:
        """Return the setting of the CEU, with its counts over all images."""

    def judge(self, outcomes: Outcomes, setting: Setting) -> AddedError:
        """Return what is known of the error that the settled cascade adds."""

    def compare(self, correct: BoolArray, reference: BoolArray) -> PairedOutcomes:
        """Return what a single stage loses and gains on the images that judge."""

    def excess(self, correct: BoolArray, reference: BoolArray) -> float:
        """Return by how much a single stage misses the tolerance, 0 or less where it meets it."""


@dataclass(frozen=True)
class Estimated:
    """The added error on the evaluation images meets the tolerance."""

    tolerance: float
    confidence: float = DEFAULT_CONFIDENCE

    def at(self, tolerance: float) -> Estimated:
        """See ``ToleranceProtocol``."""
        return replace(self, tolerance=tolerance)

    def choosing(self, images: int) -> int:
        """See ``ToleranceProtocol``."""
        return images

    def expected_forwarded(self, outcomes: Outcomes) -> float:
        """See ``ToleranceProtocol``."""
        return self.settle(outcomes).forwarded / outcomes.images

    def settle(self, outcomes: Outcomes) -> Setting:
        """See ``ToleranceProtocol``."""
        return tune(outcomes, self.tolerance)

    def judge(self, outcomes: Outcomes, setting: Setting) -> AddedError:
        """See ``ToleranceProtocol``; the bound does not hold, unless all images are forwarded."""
        counts = _counts(outcomes, setting)
        alone = setting.threshold == FORWARD_ALL
        bound = 0.0 if alone else error_bound(counts, self.confidence)
        return AddedError(
            counts=counts,
            estimate=counts.added_error,
            bound=bound,
            confidence=self.confidence,
            holds=alone,
            samples_needed=None
            if bound <= self.tolerance
            else samples_needed(counts, self.tolerance, self.confidence),
            samples_least=least_samples(self.tolerance, self.confidence),
        )

    def compare(self, correct: BoolArray, reference: BoolArray) -> PairedOutcomes:
        """See ``ToleranceProtocol``."""
        return paired_outcomes(correct, reference)

    def excess(self, correct: BoolArray, reference: BoolArray) -> float:
        """See ``ToleranceProtocol``."""
        missing = required_correct(reference, self.tolerance) - int(correct.sum())
        return missing / len(correct)


@dataclass(frozen=True)
class Guaranteed:
    """The added error on any images meets the tolerance, with ``confidence``.

    ``images`` is the number of evaluation images; outcomes may be of the first of them only where
    a choice is made.
    """

    tolerance: float
    confidence: float
    images: int

    def at(self, tolerance: float) -> Guaranteed:
        """See ``ToleranceProtocol``."""
        return replace(self, tolerance=tolerance)

    def choosing(self, images: int) -> int:
        """See ``ToleranceProtocol``."""
        return min(images, choosing_images(self.images))

    def expected_forwarded(self, outcomes: Outcomes) -> float:
        """See ``ToleranceProtocol``.

        The least share whose losses and gains would be certified if they were as frequent among
        the images that judge as among those that choose.
        """
        chosen = outcomes.part(slice(self.choosing(outcomes.images)))
        if chosen.images == 0:
            return 1.0
        cuts = Cuts.of_pair(chosen, *best_pair(chosen))
        judging = self.images - choosing_images(self.images)
        known: dict[PairedOutcomes, bool] = {}
        for cut, forwarded in enumerate(cuts.forwarded):
            counts = _scaled(cuts.paired(cut), judging)
            if counts not in known:
                known[counts] = meets(counts, self.tolerance, self.confidence)
            if known[counts]:
                return float(forwarded) / chosen.images
        return 1.0

    def settle(self, outcomes: Outcomes) -> Setting:
        """See ``ToleranceProtocol``; the threshold is certified on the images that judge."""
        m, n = best_pair(outcomes.part(slice(self.choosing(outcomes.images))))
        judged = certified(self._judging(outcomes), m, n, self.tolerance, self.confidence)
        return setting_at(outcomes, m, n, judged.threshold)

    def judge(self, outcomes: Outcomes, setting: Setting) -> AddedError:
        """See ``ToleranceProtocol``; the bound is the tolerance, as that is what was tested.

        ``samples_needed`` is for a cascade that gives up half of the tolerance: one that gives it
        up whole can never be certified.
        """
        counts = _counts(self._judging(outcomes), setting)
        m, n = setting.m, setting.n
        required = required_correct(outcomes.hpu_correct, self.tolerance / 2)
        half = _counts(outcomes, threshold_for(outcomes, m, n, required))
        if meets(_scaled(half, counts.images), self.tolerance, self.confidence):
            needed = None
        else:
            needed = samples_needed(half, self.tolerance, self.confidence)
        least = least_samples(self.tolerance, self.confidence)
        return AddedError(
            counts=counts,
            estimate=counts.added_error,
            bound=0.0 if setting.threshold == FORWARD_ALL else self.tolerance,
            confidence=self.confidence,
            holds=True,
            samples_needed=None if needed is None else with_choosing(needed),
            samples_least=None if least is None else with_choosing(least),
        )

    def compare(self, correct: BoolArray, reference: BoolArray) -> PairedOutcomes:
        """See ``ToleranceProtocol``."""
        judging = slice(choosing_images(self.images), None)
        return paired_outcomes(correct[judging], reference[judging])

    def excess(self, correct: BoolArray, reference: BoolArray) -> float:
        """See ``ToleranceProtocol``.

        Single stages are tested one after another without a correction for their number, which
        favours them.
        """
        return error_bound(self.compare(correct, reference), self.confidence) - self.tolerance

    def _judging(self, outcomes: Outcomes) -> Outcomes:
        return outcomes.part(slice(choosing_images(self.images), None))


def choosing_images(images: int) -> int:
    """Return how many of the evaluation images a guarantee sets aside for choosing."""
    return min(max(images // CHOOSING_SHARE, CHOOSING_LEAST), images // 2)


def with_choosing(judging: int) -> int:
    """Return how many images there must be for ``judging`` of them to be left to judge."""
    images = judging
    while images - choosing_images(images) < judging:
        images += judging - (images - choosing_images(images))
    return images


def _counts(outcomes: Outcomes, setting: Setting) -> PairedOutcomes:
    keys = confidence_keys(outcomes.exponentials, outcomes.totals, setting.m, setting.n)
    return outcomes.paired(np.asarray(keys >= setting.threshold))


def _scaled(counts: PairedOutcomes, images: int) -> PairedOutcomes:
    """Return the counts that the same rates give on another number of images."""
    losses = min(round(counts.losses * images / counts.images), images)
    gains = min(round(counts.gains * images / counts.images), images - losses)
    return PairedOutcomes(losses, gains, images)
