"""Tuning of the confidence evaluation: M, N and the threshold (paper section 2.3).

The search is exact: for every (M, N) all thresholds that tell the evaluation images apart are
considered, in the integers that the CEU compares, so no grid can miss the optimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import NDArray

from toolflow.confidence.decision import (
    FORWARD_ALL,
    MAX_N,
    THRESHOLD_FRACTION_BITS,
    checked_logits,
    ranked,
)
from toolflow.confidence.exp_table import ExpScale, exponentials
from toolflow.fixedpoint import IntArray

BoolArray = NDArray[np.bool_]


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
    def images(self) -> int:
        """Number of evaluation images."""
        return len(self.totals)


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
    """Return the setting that forwards the fewest images within the tolerance.

    ``tolerance`` is the allowed rise of the error rate over the HPU's, 0..1. Forwarding every
    image always meets it. Of equal settings the most accurate wins, then the smallest N and M.
    """
    required = required_correct(outcomes.hpu_correct, tolerance)
    widest = outcomes.exponentials.shape[1]
    settings = (
        _fewest_forwarded(outcomes, m, n, required)
        for n in range(1, widest + 1)
        for m in range(1, n + 1)
    )
    return min(settings, key=lambda s: (s.forwarded, -s.correct, s.n, s.m))


def forwarded_at(outcomes: Outcomes, tolerances: tuple[float, ...]) -> tuple[Setting, ...]:
    """Return the tuned setting at each tolerance."""
    return tuple(tune(outcomes, tolerance) for tolerance in tolerances)


def _fewest_forwarded(outcomes: Outcomes, m: int, n: int, required: int) -> Setting:
    keys = confidence_keys(outcomes.exponentials, outcomes.totals, m, n)
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    gained = outcomes.hpu_correct[order].astype(np.int64) - outcomes.lpu_correct[order]
    correct = int(outcomes.lpu_correct.sum()) + np.concatenate([[0], np.cumsum(gained)])
    # Images with equal keys cannot be told apart: a cut is possible only where the key changes.
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(sorted_keys)) + 1, [len(sorted_keys)]])
    forwarded = int(cuts[np.argmax(correct[cuts] >= required)])
    return Setting(
        m, n, _threshold_between(sorted_keys, forwarded), forwarded, int(correct[forwarded])
    )


def _threshold_between(sorted_keys: IntArray, forwarded: int) -> int:
    """Return the threshold half-way between the last forwarded key and the first kept one."""
    if forwarded == 0:
        return int(sorted_keys[0])
    if forwarded == len(sorted_keys):
        return FORWARD_ALL
    below, above = int(sorted_keys[forwarded - 1]), int(sorted_keys[forwarded])
    return (below + above + 1) // 2
