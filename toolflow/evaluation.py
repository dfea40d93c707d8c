"""Accuracy of the units and of the cascade, bit-exact in software."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolflow.confidence.decision import FORWARD_ALL, CeuParameters, decide
from toolflow.confidence.guarantee import error_bound, paired_outcomes
from toolflow.confidence.tuning import top_correct
from toolflow.fixedpoint import IntArray

TOP5_CLASSES = 10
"""Top-5 accuracy is given for networks with at least this many classes."""


@dataclass(frozen=True)
class Accuracy:
    """Top-1 and top-5 accuracy (``top5`` None for few classes) of one way to classify."""

    top1: float
    top5: float | None


@dataclass(frozen=True)
class Evaluation:
    """Accuracies over labelled images.

    ``error_increase`` is the cascade's error less the HPU's, ``error_increase_bound`` its upper
    bound at ``confidence``: valid for images that planning has not seen.
    """

    images: int
    float_network: Accuracy
    hpu: Accuracy
    lpu: Accuracy
    cascade: Accuracy
    forwarded: int
    forwarded_fraction: float
    metric: str
    error_increase: float
    error_increase_bound: float
    confidence: float

    def to_json(self) -> dict[str, Any]:
        """Return the flat record that ``evaluate --json`` prints."""
        record: dict[str, Any] = {"images": self.images}
        for name, accuracy in (
            ("float", self.float_network),
            ("hpu", self.hpu),
            ("lpu", self.lpu),
            ("cascade", self.cascade),
        ):
            record |= {f"{k}_{name}": v for k, v in asdict(accuracy).items() if v is not None}
        return record | {
            "forwarded": self.forwarded,
            "forwarded_fraction": self.forwarded_fraction,
            "metric": self.metric,
            "error_increase": self.error_increase,
            "error_increase_bound": self.error_increase_bound,
            "confidence": self.confidence,
        }


def evaluate_cascade(
    labels: IntArray,
    float_logits: NDArray[np.float32],
    hpu_logits: IntArray,
    lpu_logits: IntArray,
    ceu: CeuParameters,
    metric: str,
    confidence: float,
) -> Evaluation:
    """Evaluate the cascade: the LPU's answer where the CEU is confident, else the HPU's.

    Logits are (images, classes), integers but for the float network's; ``confidence`` is that of
    the bound.
    """
    confident = decide(lpu_logits, ceu).confident
    forwarded = int((~confident).sum())
    # Integer ranks keep one rule for ties; only the order of the float logits matters here.
    float_ranks = np.argsort(np.argsort(float_logits, axis=1), axis=1)
    correct = {
        "float": lambda top: top_correct(float_ranks, labels, top),
        "hpu": lambda top: top_correct(hpu_logits, labels, top),
        "lpu": lambda top: top_correct(lpu_logits, labels, top),
    }

    def cascade(top: int) -> NDArray[np.bool_]:
        return np.where(confident, correct["lpu"](top), correct["hpu"](top))

    correct["cascade"] = cascade
    wide = lpu_logits.shape[1] >= TOP5_CLASSES

    def accuracy(name: str) -> Accuracy:
        top5 = float(correct[name](5).mean()) if wide else None
        return Accuracy(float(correct[name](1).mean()), top5)

    top = top_of(metric)
    counts = paired_outcomes(cascade(top), correct["hpu"](top))
    return Evaluation(
        images=len(labels),
        float_network=accuracy("float"),
        hpu=accuracy("hpu"),
        lpu=accuracy("lpu"),
        cascade=accuracy("cascade"),
        forwarded=forwarded,
        forwarded_fraction=forwarded / len(labels),
        metric=metric,
        error_increase=counts.added_error,
        error_increase_bound=0.0
        if ceu.threshold >= FORWARD_ALL
        else error_bound(counts, confidence),
        confidence=confidence,
    )


def top_of(metric: str) -> int:
    """Return 1 for ``top1``, 5 for ``top5``."""
    return {"top1": 1, "top5": 5}[metric]
