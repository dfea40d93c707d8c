"""Measures of confidence beside each other under one protocol, to choose what the CEU computes.

The paper (section 2.3) takes gBvSB without a comparison. Here max-softmax (``gBvSB<1,1>``),
entropy, BvSB (``gBvSB<1,2>``) and gBvSB with the (M, N) that separates best are compared, each with
the network's own softmax and with one of a fitted temperature: their thresholds are tuned on one
set of images, and what they forward and lose is counted on another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from toolflow.confidence.decision import THRESHOLD_FRACTION_BITS
from toolflow.confidence.exp_table import exp_scale
from toolflow.confidence.tuning import (
    BVSB,
    Cuts,
    Outcomes,
    area_of,
    cut_for,
    outcomes_of,
    required_correct,
    sharpest_pair,
)
from toolflow.fixedpoint import IntArray

FloatArray = NDArray[np.float64]
Measure = Callable[[FloatArray], FloatArray]

LOG_TEMPERATURES = (-3.0, 3.0)


@dataclass(frozen=True, eq=False)
class LabelledLogits:
    """Both units' integer logits (images, classes) with labels; ``frac`` is the LPU's."""

    lpu: IntArray
    hpu: IntArray
    labels: IntArray
    frac: int

    @property
    def lpu_real(self) -> FloatArray:
        """The LPU's logits as real numbers."""
        return np.asarray(self.lpu * 2.0**-self.frac, np.float64)


@dataclass(frozen=True)
class Held:
    """What a threshold tuned to a tolerance does on the other images, as shares of them."""

    tolerance: float
    forwarded: float
    added_error: float


@dataclass(frozen=True)
class Comparison:
    """One measure at one temperature.

    ``separation`` is the probability, on the other images, that one which forwarding mends is less
    confident than another.
    """

    measure: str
    temperature: float
    separation: float
    held: tuple[Held, ...]


def generalised(m: int, n: int) -> Measure:
    """Return gBvSB<M,N> (paper equation 1) of probabilities (images, classes)."""

    def measure(probabilities: FloatArray) -> FloatArray:
        p = -np.sort(-probabilities, axis=1)
        return np.asarray(p[:, :m].sum(axis=1) - p[:, m:n].sum(axis=1))

    return measure


def certainty(probabilities: FloatArray) -> FloatArray:
    """Return the negative entropy of probabilities (images, classes), in nats."""
    p = np.maximum(probabilities, np.finfo(np.float64).tiny)
    return np.asarray((probabilities * np.log(p)).sum(axis=1))


def fitted_temperature(logits: FloatArray, labels: IntArray) -> float:
    """Return the softmax temperature of the least negative log-likelihood of the labels."""
    images = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float(-log_softmax(scaled, axis=1)[images, labels].mean())

    found = minimize_scalar(loss, bounds=LOG_TEMPERATURES, method="bounded")
    return float(np.exp(found.x))


def compared(
    tuning: LabelledLogits, unseen: LabelledLogits, tolerances: Sequence[float], top: int
) -> Iterator[Comparison]:
    """Compare all measures: tuned on one set of images, judged on the other (see module)."""
    seen, other = (
        outcomes_of(part.lpu, part.hpu, part.labels, exp_scale(part.frac), top)
        for part in (tuning, unseen)
    )
    pair = sharpest_pair(seen)
    measures = {
        "max-softmax": generalised(1, 1),
        "entropy": certainty,
        "BvSB": generalised(*BVSB),
        f"gBvSB<{pair[0]},{pair[1]}>": generalised(*pair),
    }
    for temperature in (1.0, fitted_temperature(tuning.lpu_real, tuning.labels)):
        for name, measure in measures.items():
            keys = [_keys(part, measure, temperature) for part in (tuning, unseen)]
            yield Comparison(
                measure=name,
                temperature=temperature,
                separation=area_of(keys[1], other.mended),
                held=tuple(_held(seen, keys[0], other, keys[1], t) for t in tolerances),
            )


def _keys(part: LabelledLogits, measure: Measure, temperature: float) -> IntArray:
    """Return the confidences as integers, with the fraction bits of the CEU's threshold."""
    probabilities = np.exp(log_softmax(part.lpu_real / temperature, axis=1))
    return np.floor(measure(probabilities) * 2.0**THRESHOLD_FRACTION_BITS).astype(np.int64)


def _held(
    seen: Outcomes, seen_keys: IntArray, other: Outcomes, other_keys: IntArray, tolerance: float
) -> Held:
    cuts = Cuts.of(seen, seen_keys)
    threshold = cuts.threshold(cut_for(seen, cuts, required_correct(seen.hpu_correct, tolerance)))
    kept = other_keys >= threshold
    return Held(tolerance, float((~kept).mean()), other.paired(kept).added_error)
