"""A bound on the cascade's added error over the HPU, from paired outcomes on labelled images.

The paper (sections 2.2, 2.3) tunes the cascade on an evaluation set and takes the error seen there
for the truth. Here the added error is bounded: on each image the cascade either loses an answer
that the HPU has (a loss), gains one that it has not (a gain), or is as right as the HPU. The added
error is ``P(loss) - P(gain)``; losses and gains of ``n`` independent images are trinomial.

The bound is exact (Buehler's): pairs of counts are ordered by ``_order``, which rises with losses
and falls with gains and follows an approximate bound; the p-value of an added error of
``tolerance`` or more is the largest probability of a pair that is no higher in the order. Because
of that monotonicity the largest is on the edge ``P(loss) = P(gain) + tolerance``, for one value of
the nuisance parameter ``P(gain)``, and falls as the tolerance rises. The nuisance is sought only
within its exact (Clopper-Pearson) interval of confidence ``1 - error``, and ``error`` is added to
the p-value (Berger and Boos 1994), which keeps it valid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import bdtr, bdtrc, betaincinv, gammaln, ndtri, xlog1py, xlogy

FloatArray = NDArray[np.float64]

LEAST_CONFIDENCE = 0.5
DEFAULT_CONFIDENCE = 0.95

NUISANCE_SHARE = 1 / 500
"""The share of ``1 - confidence`` that the restriction of the nuisance parameter costs."""

GRID = 41
"""Nuisance values tried, then as many again around the worst: about a fifth, then a hundredth of a
standard deviation apart."""

TOLERANCE_STEP = 1e-6
"""Bounds are rounded up by at most this."""

MOST_SAMPLES = 10**5


@dataclass(frozen=True)
class PairedOutcomes:
    """Counts over ``images``: ``losses`` the HPU alone has right, ``gains`` the cascade alone.

    Raises:
        ValueError: the counts are negative, more than the images, or there are no images.
    """

    losses: int
    gains: int
    images: int

    def __post_init__(self) -> None:
        if min(self.losses, self.gains) < 0 or not 0 < self.images >= self.losses + self.gains:
            raise ValueError(
                f"{self.losses} losses and {self.gains} gains of {self.images} images cannot be"
            )

    @property
    def added_error(self) -> float:
        """The point estimate of the added error, -1..1."""
        return (self.losses - self.gains) / self.images


def paired_outcomes(correct: ArrayLike, reference: ArrayLike) -> PairedOutcomes:
    """Count what answers lose and gain against a reference, given what each has right."""
    ours, theirs = np.asarray(correct, bool), np.asarray(reference, bool)
    return PairedOutcomes(int((theirs & ~ours).sum()), int((ours & ~theirs).sum()), len(ours))


def meets(outcomes: PairedOutcomes, tolerance: float, confidence: float) -> bool:
    """Whether the added error is at most ``tolerance``, with ``confidence``."""
    return p_value(outcomes, tolerance, confidence) <= 1 - confidence


@lru_cache(maxsize=4096)
def error_bound(outcomes: PairedOutcomes, confidence: float = DEFAULT_CONFIDENCE) -> float:
    """Return the upper bound of the added error, 0..1: the least tolerance that is met.

    In at least the share ``confidence`` of samples it is no less than the true added error.

    Raises:
        ValueError: see ``p_value``.
    """

    def excess(tolerance: float) -> float:
        return p_value(outcomes, tolerance, confidence) - (1 - confidence)

    most = 1 - TOLERANCE_STEP
    low = min(max(outcomes.added_error, 0.0), most)
    if excess(low) <= 0:
        return low
    high = min(low + (outcomes.losses + outcomes.gains + 1) / outcomes.images, most)
    while excess(high) > 0:
        if high == most:
            return 1.0
        high = min(2 * high, most)
    root = float(brentq(excess, low, high, xtol=TOLERANCE_STEP / 2))
    return min(root + TOLERANCE_STEP / 2, 1.0)


def p_value(outcomes: PairedOutcomes, tolerance: float, confidence: float) -> float:
    """Return the p-value of an added error of ``tolerance`` (0..1) or more.

    ``confidence`` shapes the order and sets what the restriction of the nuisance may cost; the
    p-value is valid whatever it is.

    Raises:
        ValueError: the confidence is not in ``LEAST_CONFIDENCE``..1, or the tolerance not in 0..1.
    """
    if not LEAST_CONFIDENCE <= confidence < 1:
        raise ValueError(f"confidence {confidence} is not in {LEAST_CONFIDENCE}..1")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance {tolerance} is not in 0..1")
    cost = NUISANCE_SHARE * (1 - confidence)
    low, high = _interval(outcomes.gains, outcomes.images, cost)
    high = min(high, (1 - tolerance) / 2)
    if low > high:
        return cost
    # Roots of probabilities are spaced evenly: the standard deviation of a count's root is a half.
    roots = np.linspace(sqrt(low), sqrt(high), GRID)
    probabilities = _tail(outcomes, roots**2, tolerance, confidence)
    worst = int(probabilities.argmax())
    around = np.linspace(roots[max(worst - 1, 0)], roots[min(worst + 1, GRID - 1)], GRID)
    finer = _tail(outcomes, around**2, tolerance, confidence)
    return min(float(max(probabilities.max(), finer.max())) + cost, 1.0)


def least_samples(tolerance: float, confidence: float) -> int | None:
    """Return how many images could meet a tolerance at all: with neither loss nor gain."""
    return _samples(0.0, 0.0, tolerance, confidence)


def samples_needed(outcomes: PairedOutcomes, tolerance: float, confidence: float) -> int | None:
    """Return how many images would meet the tolerance at these rates of losses and gains.

    None where none would: the added error is not below the tolerance, or so close to it that more
    than ``MOST_SAMPLES`` are needed.
    """
    return _samples(
        outcomes.losses / outcomes.images,
        outcomes.gains / outcomes.images,
        tolerance,
        confidence,
    )


def _samples(losses: float, gains: float, tolerance: float, confidence: float) -> int | None:
    def enough(images: int) -> bool:
        # Losses are rounded up and gains down, hence the steps; a few images more, then, may fail.
        count = PairedOutcomes(ceil(losses * images - 1e-9), floor(gains * images + 1e-9), images)
        return meets(count, tolerance, confidence)

    if losses - gains >= tolerance:
        return None
    high = 1
    while not enough(high):
        high *= 2
        if high > MOST_SAMPLES:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _order(losses: float, gains: float, confidence: float) -> float:
    """Return the place of a pair of counts: an approximate upper bound of losses less gains.

    Strictly rising with losses and falling with gains, as ``p_value`` needs: the root's steps are
    smaller than 1 because of the constant under it.
    """
    z = float(ndtri(confidence))
    return losses - gains + z * sqrt(losses + gains + z * z / 4)


def _interval(count: int, images: int, error: float) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) interval of a probability, of confidence 1 - error."""
    low = float(betaincinv(count, images - count + 1, error / 2)) if count else 0.0
    high = float(betaincinv(count + 1, images - count, 1 - error / 2)) if count < images else 1.0
    return low, high


def _tail(
    outcomes: PairedOutcomes, gain: FloatArray, tolerance: float, confidence: float
) -> FloatArray:
    """Return the probability of a pair no higher in the order, for each ``P(gain)``.

    ``P(loss) = P(gain) + tolerance``. A loss or a gain is a change: the number of changes is
    binomial, and so are the losses among them; those low enough in the order are at most
    ``losses``. Numbers of changes that all but never happen count as low (conservative).
    """
    images = outcomes.images
    change = np.minimum(2 * gain + tolerance, 1.0)[:, None]
    reach = 8 * sqrt(images * float(change.max())) + 30
    first = max(floor(images * float(change.min()) - reach), 0)
    last = min(ceil(images * float(change.max()) + reach), images)
    changes = np.arange(first, last + 1)
    z = float(ndtri(confidence))
    place = _order(outcomes.losses, outcomes.gains, confidence)
    losses = np.floor((place + changes - z * np.sqrt(changes + z * z / 4)) / 2 + 1e-9)
    log_weight = (
        gammaln(images + 1)
        - gammaln(changes + 1)
        - gammaln(images - changes + 1)
        + xlogy(changes, change)
        + xlog1py(images - changes, -change)
    )
    share = np.divide(gain[:, None] + tolerance, change, out=np.ones_like(change), where=change > 0)
    among = bdtr(np.clip(losses, 0, changes), changes, np.minimum(share, 1.0))
    weighted = np.where(losses < 0, 0.0, np.exp(log_weight) * among)
    rest = bdtrc(last, images, change) + (bdtr(first - 1, images, change) if first else 0.0)
    return np.asarray(weighted.sum(axis=1) + np.squeeze(np.asarray(rest), axis=1))
