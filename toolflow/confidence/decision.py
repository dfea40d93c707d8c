"""The CEU's decision, bit for bit as ``rtl/ceu/ceu.sv`` takes it, vectorised over images.

gBvSB (paper section 2.3) without a division: an image is confident, and ends at the low-precision
unit, iff ``margin * 2**16 >= threshold * total``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolflow.confidence.exp_table import ExpScale, exponentials
from toolflow.fixedpoint import LOGIT_BITS, IntArray

TOP_CLASSES = 5
"""Classes that a result record carries."""

MAX_N = 8
"""The default depth of the CEU's sorter, hence the largest N it can be set to."""

THRESHOLD_BITS = 18
"""Wordlength of the signed threshold register."""

THRESHOLD_FRACTION_BITS = 16

FORWARD_ALL = (1 << THRESHOLD_FRACTION_BITS) + 1
"""The lowest threshold that no image reaches."""

FORWARD_NONE = -(1 << THRESHOLD_FRACTION_BITS)
"""The highest threshold that every image reaches."""


@dataclass(frozen=True)
class CeuParameters:
    """The CEU's run-time registers.

    Attributes:
        m: sorted classes whose probabilities are added, at least 1.
        n: sorted classes in all; those after the first ``m`` are subtracted.
        threshold: signed, ``THRESHOLD_FRACTION_BITS`` fraction bits.
        exp_mult: see ``exp_table.ExpScale``.
        exp_shift: see ``exp_table.ExpScale``.

    Raises:
        ValueError: a value does not fit its register, or not ``1 <= m <= n``.
    """

    m: int
    n: int
    threshold: int
    exp_mult: int
    exp_shift: int

    def __post_init__(self) -> None:
        if not 1 <= self.m <= self.n:
            raise ValueError(f"1 <= m <= n does not hold for m = {self.m}, n = {self.n}")
        limit = 1 << (THRESHOLD_BITS - 1)
        if not -limit <= self.threshold < limit:
            raise ValueError(f"threshold {self.threshold} does not fit {THRESHOLD_BITS} bits")
        ExpScale(self.exp_mult, self.exp_shift)

    @property
    def scale(self) -> ExpScale:
        """``exp_mult`` and ``exp_shift`` together."""
        return ExpScale(self.exp_mult, self.exp_shift)


@dataclass(frozen=True)
class Decision:
    """What the CEU says of each image, over the first axis.

    Attributes:
        top: the best ``min(TOP_CLASSES, classes)`` classes, best first; ties go to the lower index.
        margin: the sum of the first M exponentials less that of the next N - M.
        total: the sum of all exponentials, at least ``2**16``.
        confident: the image ends at the low-precision unit.
    """

    top: IntArray
    margin: IntArray
    total: IntArray
    confident: NDArray[np.bool_]

    @property
    def score(self) -> IntArray:
        """The highest threshold at which each image is still confident, ``-2**16..2**16``."""
        return (self.margin << THRESHOLD_FRACTION_BITS) // self.total


def checked_logits(logits_q: ArrayLike) -> NDArray[np.int16]:
    """Return integer logits ``[N, C]`` as 16-bit words.

    Raises:
        ValueError: not a matrix of integers with at least one class, or out of the words' range.
    """
    q = np.asarray(logits_q)
    if q.ndim != 2 or q.shape[1] == 0 or not np.issubdtype(q.dtype, np.integer):
        raise ValueError(f"logits must be integers [images, classes], not {q.dtype} {q.shape}")
    limit = 1 << (LOGIT_BITS - 1)
    if q.size and not (-limit <= int(q.min()) and int(q.max()) < limit):
        raise ValueError(f"logits do not fit {LOGIT_BITS} signed bits")
    return q.astype(np.int16)


def ranked(logits_q: ArrayLike) -> IntArray:
    """Return class indices ``[N, C]``, the largest logit first; ties go to the lower index."""
    # The complement reverses the order without the overflow that negating -2**15 has.
    return np.argsort(~checked_logits(logits_q), axis=1, kind="stable")


def decide(logits_q: ArrayLike, parameters: CeuParameters) -> Decision:
    """Take the CEU's decision for integer logits ``[N, C]``, exactly as the hardware does.

    Where there are fewer classes than N (or M), the missing ones count 0.

    Raises:
        ValueError: see ``checked_logits``.
    """
    logits = checked_logits(logits_q).astype(np.int32)
    order = ranked(logits_q)
    distance = logits.max(axis=1, keepdims=True) - logits
    e = exponentials(parameters.scale)[distance]
    leaders = np.take_along_axis(e, order[:, : parameters.n], axis=1).astype(np.int64)
    total = e.sum(axis=1, dtype=np.int64)
    margin = leaders[:, : parameters.m].sum(axis=1) - leaders[:, parameters.m :].sum(axis=1)
    return Decision(
        top=order[:, :TOP_CLASSES],
        margin=margin,
        total=total,
        confident=(margin << THRESHOLD_FRACTION_BITS) >= parameters.threshold * total,
    )
