"""Tuning of the confidence evaluation: M, N and the threshold (paper section 2.3).

M and N are those whose metric best separates the images that forwarding mends from all others (the
area under the ROC curve, which looks at every image), if that is better than the original BvSB's by
more than a standard error: a pair picked for the fewest images at one tolerance is picked for its
luck, and fails on other images. The threshold is then exact: all that tell the evaluation images
apart are considered, in the integers that the CEU compares.

``tune`` holds the tolerance on the evaluation images themselves; ``certified`` with a confidence,
on any images, although the threshold is chosen on labelled ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, nan, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from toolflow.confidence.decision import (
    FORWARD_ALL,
    MAX_N,
    THRESHOLD_FRACTION_BITS,
    checked_logits,
    ranked,
)
from toolflow.confidence.exp_table import ExpScale, exponentials
from toolflow.confidence.guarantee import PairedOutcomes, meets, paired_outcomes
from toolflow.fixedpoint import IntArray

BoolArray = NDArray[np.bool_]

BVSB = (1, 2)
"""M and N of the metric that gBvSB generalises: best versus second best."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What both units did on the evaluation images.

    ``exponentials`` is (images, MaxN), the CEU's integers of the LPU's logits, largest first;
    ``totals`` (images,) their sum over all classes; ``lpu_correct`` and ``hpu_correct`` say
    whether each unit alone is right under the metric.
    """

    exponentials: IntArray
    totals: IntArray
    lpu_correct: BoolArray
    hpu_correct: BoolArray

    @property
    def mended(self) -> BoolArray:
        """The images that only the HPU gets right."""
        return self.hpu_correct & ~self.lpu_correct

    @property
    def images(self) -> int:
        """Number of evaluation images."""
        return len(self.totals)

    def part(self, images: slice | IntArray) -> Outcomes:
        """Return the outcomes of some of the images."""
        return Outcomes(
            self.exponentials[images],
            self.totals[images],
            self.lpu_correct[images],
            self.hpu_correct[images],
        )

    def paired(self, kept: BoolArray) -> PairedOutcomes:
        """Return what the cascade loses and gains that keeps some images at the LPU."""
        return paired_outcomes(np.where(kept, self.lpu_correct, self.hpu_correct), self.hpu_correct)


@dataclass(frozen=True)
class Setting:
    """One setting of the CEU and what it does on the evaluation images.

    ``threshold`` has ``THRESHOLD_FRACTION_BITS`` fraction bits; an image whose confidence is below
    it is forwarded. ``correct`` counts the cascade's right answers.
    """

    m: int
    n: int
    threshold: int
    forwarded: int
    correct: int


def outcomes_of(
    lpu_logits: IntArray, hpu_logits: IntArray, labels: IntArray, scale: ExpScale, top: int
) -> Outcomes:
    """Return the outcomes of integer logits (images, classes) under the top-``top`` metric."""
    order = ranked(lpu_logits)
    logits = checked_logits(lpu_logits).astype(np.int64)
    e = exponentials(scale)[logits.max(axis=1, keepdims=True) - logits].astype(np.int64)
    leaders = np.zeros((len(e), MAX_N), np.int64)
    leaders[:, : e.shape[1]] = np.take_along_axis(e, order[:, :MAX_N], axis=1)
    return Outcomes(
        exponentials=leaders,
        totals=e.sum(axis=1),
        lpu_correct=(order[:, :top] == labels[:, None]).any(axis=1),
        hpu_correct=top_correct(hpu_logits, labels, top),
    )


def top_correct(logits: IntArray, labels: IntArray, top: int) -> BoolArray:
    """Whether each label is among the ``top`` best classes of integer logits."""
    return np.asarray((ranked(logits)[:, :top] == labels[:, None]).any(axis=1))


def confidence_keys(exponentials: IntArray, totals: IntArray, m: int, n: int) -> IntArray:
    """Return gBvSB<M,N> (paper equation 1) per image, as an integer rounded down.

    It has ``THRESHOLD_FRACTION_BITS`` fraction bits.

    The CEU's comparison ``margin * 2**16 >= threshold * total`` holds exactly when the integer
    threshold is at most this key.
    """
    margin = exponentials[:, :m].sum(axis=1) - exponentials[:, m:n].sum(axis=1)
    return np.asarray(np.floor_divide(margin << THRESHOLD_FRACTION_BITS, totals))


def required_correct(hpu_correct: BoolArray, tolerance: float) -> int:
    """Return how many images must be right for the error to rise by at most ``tolerance``."""
    allowed = floor(tolerance * len(hpu_correct) + 1e-9)
    return max(int(hpu_correct.sum()) - allowed, 0)


def tune(outcomes: Outcomes, tolerance: float) -> Setting:
    """Return the setting of the CEU for a tolerance, the allowed rise of the error rate, 0..1.

    With the best (M, N), the threshold forwards the fewest images such that this and every larger
    number of them meets the tolerance. Forwarding every image always does.
    """
    m, n = best_pair(outcomes)
    return threshold_for(outcomes, m, n, required_correct(outcomes.hpu_correct, tolerance))


def best_pair(outcomes: Outcomes) -> tuple[int, int]:
    """Return the (M, N) that separates best, or BvSB's (1, 2) where none is clearly better.

    Clearly is by more than the standard error of BvSB's separation over the mended images.
    """
    best = sharpest_pair(outcomes)
    if best == BVSB:
        return BVSB
    usual = separation(outcomes, *BVSB)
    error = sqrt(usual * (1 - usual) / int(outcomes.mended.sum()))
    return best if separation(outcomes, *best) > usual + error else BVSB


def sharpest_pair(outcomes: Outcomes) -> tuple[int, int]:
    """Return the (M, N) that separates best; of equals the smallest N wins, then the smallest M.

    BvSB's where there is nothing to separate.
    """
    if int(outcomes.mended.sum()) in (0, outcomes.images):
        return BVSB
    widest = outcomes.exponentials.shape[1]
    pairs = [(m, n) for n in range(1, widest + 1) for m in range(1, n + 1)]
    return max(pairs, key=lambda pair: separation(outcomes, *pair))


def separation(outcomes: Outcomes, m: int, n: int) -> float:
    """Return the probability that a mended image is less confident than another (ties: half)."""
    return area_of(confidence_keys(outcomes.exponentials, outcomes.totals, m, n), outcomes.mended)


def area_of(keys: IntArray, positive: BoolArray) -> float:
    """Return the probability that a positive's key is below another's (ties: half).

    Not a number where all or none are positive.
    """
    few, others = int(positive.sum()), int((~positive).sum())
    if few == 0 or others == 0:
        return nan
    below = rankdata(keys)[~positive].sum() - others * (others + 1) / 2
    return float(below / (few * others))


def threshold_for(outcomes: Outcomes, m: int, n: int, required: int) -> Setting:
    """Return the threshold for (M, N) that keeps ``required`` images right (see ``tune``)."""
    cuts = Cuts.of_pair(outcomes, m, n)
    return setting_at(outcomes, m, n, cuts.threshold(cut_for(outcomes, cuts, required)))


def cut_for(outcomes: Outcomes, cuts: Cuts, required: int) -> int:
    """Return the first cut such that it and all that forward more keep ``required`` right."""
    correct = int(outcomes.hpu_correct.sum()) - cuts.losses + cuts.gains
    failing = np.flatnonzero(correct < required)
    return int(failing[-1]) + 1 if len(failing) else 0


def certified(outcomes: Outcomes, m: int, n: int, tolerance: float, confidence: float) -> Setting:
    """Return the lowest threshold for (M, N) that is certified to meet a tolerance.

    Fixed-sequence testing (Angelopoulos et al., *Learn then Test*, 2021): the values of the
    threshold register, a sequence that no image has a say in, are tested in turn from
    ``FORWARD_ALL`` downwards, each at level ``1 - confidence``, up to the first that fails; values
    that tell no two images apart share a test. The chance that any value above it is wrongly
    certified is then at most ``1 - confidence``, so the choice among them needs no correction.
    ``FORWARD_ALL`` needs no test: its cascade is the HPU. (M, N), and all else that made
    ``outcomes``, must not have been chosen by these images' labels.
    """
    cuts = Cuts.of_pair(outcomes, m, n)
    cut = len(cuts.forwarded) - 1
    # The values between the largest confidence and FORWARD_ALL, which keep no image.
    tested = cuts.paired(cut)
    if not meets(tested, tolerance, confidence):
        return setting_at(outcomes, m, n, FORWARD_ALL)
    while cut > 0:
        counts = cuts.paired(cut - 1)
        if counts != tested and not meets(counts, tolerance, confidence):
            break
        cut, tested = cut - 1, counts
    return setting_at(outcomes, m, n, cuts.threshold(cut))


def setting_at(outcomes: Outcomes, m: int, n: int, threshold: int) -> Setting:
    """Return what a setting of the CEU does on images."""
    kept = confidence_keys(outcomes.exponentials, outcomes.totals, m, n) >= threshold
    correct = np.where(kept, outcomes.lpu_correct, outcomes.hpu_correct)
    return Setting(m, n, threshold, int((~kept).sum()), int(correct.sum()))


@dataclass(frozen=True, eq=False)
class Cuts:
    """Every way in which a threshold can part the images of ``outcomes``, fewest forwarded first.

    ``keys`` are the images' confidences, ascending; ``forwarded`` how many of them a cut forwards;
    ``losses`` and ``gains`` what the images that it keeps lose and gain against the HPU.
    """

    keys: IntArray
    forwarded: IntArray
    losses: IntArray
    gains: IntArray

    @classmethod
    def of_pair(cls, outcomes: Outcomes, m: int, n: int) -> Cuts:
        """Return the cuts by gBvSB<M,N>."""
        return cls.of(outcomes, confidence_keys(outcomes.exponentials, outcomes.totals, m, n))

    @classmethod
    def of(cls, outcomes: Outcomes, keys: IntArray) -> Cuts:
        """Return the cuts by integer confidences, at most 1 in the threshold's fraction bits.

        Images with equal keys cannot be told apart: a cut is possible only where the key changes.
        """
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        forwarded = np.concatenate([[0], np.flatnonzero(np.diff(keys)) + 1, [len(keys)]])

        def kept(which: BoolArray) -> IntArray:
            before = np.concatenate([[0], np.cumsum(which[order], dtype=np.int64)])
            return np.asarray(before[-1] - before[forwarded])

        gained = outcomes.lpu_correct & ~outcomes.hpu_correct
        return cls(keys, forwarded, kept(outcomes.mended), kept(gained))

    def paired(self, cut: int) -> PairedOutcomes:
        """Return the counts of a cut."""
        return PairedOutcomes(int(self.losses[cut]), int(self.gains[cut]), len(self.keys))

    def threshold(self, cut: int) -> int:
        """Return the threshold of a cut: half-way between the last forwarded and the first kept."""
        return _threshold_between(self.keys, int(self.forwarded[cut]))


def _threshold_between(sorted_keys: IntArray, forwarded: int) -> int:
    if forwarded == len(sorted_keys):
        return FORWARD_ALL
    if forwarded == 0:
        return int(sorted_keys[0])
    below, above = int(sorted_keys[forwarded - 1]), int(sorted_keys[forwarded])
    return (below + above + 1) // 2
