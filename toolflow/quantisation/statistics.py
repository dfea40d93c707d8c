"""What quantisation needs to know of a network's tensors and of each layer's effect.

Statistics are taken on the user's evaluation images (paper section 2.2): the distribution of every
tensor's float values, and for each layer the accuracy that is left when it alone is quantised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from toolflow.fixedpoint import Format, dequantise, fraction_for, quantise
from toolflow.network.float_reference import to_onnx
from toolflow.network.graph import Network
from toolflow.quantisation.scheme import TensorGroup

STATISTICS_BATCH = 8
SAMPLED_VALUES = 1 << 15
EXTREME_VALUES = 1 << 12
CLIPPING_STEPS = 7
"""Scales are tried from the one that clips nothing, halved this many times less one."""

ZERO_POINT_CHOICES = 32
"""Zero points tried for a format, evenly over the words (all of them up to 5 bits)."""


@dataclass(frozen=True, eq=False)
class TensorStatistics:
    """Float values of a tensor group, weighted so that they stand for all of them.

    The largest magnitudes are all there, each once; of the rest a random sample stands for the
    others. A plain sample would miss the extremes that decide how much to clip.
    """

    values: NDArray[np.float32]
    weights: NDArray[np.float64]
    low: float
    high: float

    @property
    def limit(self) -> float:
        """The largest magnitude seen."""
        return max(abs(self.low), abs(self.high))


@dataclass(frozen=True)
class LayerStatistic:
    """The effect of quantising one thing alone, all else at the reference precision.

    ``accuracy`` is top-1 on the statistics' images, ``divergence`` the mean Kullback-Leibler
    divergence of the softmax from the float network's, in nats.
    """

    name: str
    kind: str
    bits: int
    frac: int
    accuracy: float
    divergence: float


def measure_tensors(
    network: Network, groups: Sequence[TensorGroup], images: NDArray[np.float32], seed: int = 0
) -> dict[str, TensorStatistics]:
    """Run the float network on pre-processed images and return each group's statistics.

    Images go through in small batches, so that only a sample of each tensor is ever kept.
    """
    names = [name for name in network.shapes if name != network.input]
    session = ort.InferenceSession(
        to_onnx(network, names).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(seed)
    batches = [images[k : k + STATISTICS_BATCH] for k in range(0, len(images), STATISTICS_BATCH)]
    collected = {group.name: _Collected(SAMPLED_VALUES // len(batches)) for group in groups}
    for batch in batches:
        values = dict(zip(names, session.run(names, {network.input: batch}), strict=True))
        values[network.input] = batch
        for group in groups:
            flat = np.concatenate([values[name].reshape(-1) for name in group.tensors])
            collected[group.name].add(flat, rng)
    return {name: part.statistics() for name, part in collected.items()}


class _Collected:
    """A tensor group's values so far."""

    def __init__(self, share: int) -> None:
        self._share = share
        self._count = 0
        self._sample: list[NDArray[np.float32]] = []
        self._extremes = np.zeros(0, np.float32)
        self._low, self._high = np.inf, -np.inf

    def add(self, flat: NDArray[np.float32], rng: np.random.Generator) -> None:
        self._count += len(flat)
        self._low = min(self._low, float(flat.min()))
        self._high = max(self._high, float(flat.max()))
        self._sample.append(flat[rng.integers(0, len(flat), self._share)])
        self._extremes = _largest(np.concatenate([self._extremes, _largest(flat)]))

    def statistics(self) -> TensorStatistics:
        if len(self._extremes) == self._count:
            values, weights = self._extremes, np.ones(self._count)
        else:
            # Values as large as the smallest extreme may be many: a clipped tensor's limit.
            sample, least = np.concatenate(self._sample), np.abs(self._extremes).min()
            body = sample[np.abs(sample) <= least]
            tail = self._extremes[np.abs(self._extremes) > least]
            share = (self._count - len(tail)) / max(len(body), 1)
            values = np.concatenate([body, tail])
            weights = np.concatenate([np.full(len(body), share), np.ones(len(tail))])
        return TensorStatistics(values, weights, self._low, self._high)


def _largest(values: NDArray[np.float32]) -> NDArray[np.float32]:
    if len(values) <= EXTREME_VALUES:
        return values
    first = len(values) - EXTREME_VALUES
    return values[np.argpartition(np.abs(values), first)[first:]]


def candidate_formats(limit: float, bits: int, signed: bool) -> tuple[Format, ...]:
    """Return the formats worth trying for values up to ``limit``, coarsest first."""
    coarsest = fraction_for(limit, bits, signed)
    return tuple(Format(bits, coarsest + step, signed) for step in range(CLIPPING_STEPS))


def with_zero_points(formats: Sequence[Format]) -> tuple[Format, ...]:
    """Return the unsigned formats with zero points that have the scales of signed ``formats``."""
    result = []
    for fmt in formats:
        middle = 1 << (fmt.bits - 1)
        step = max(1, middle // ZERO_POINT_CHOICES)
        zeros = range(step, middle + 1, step)
        result += [
            Format(fmt.bits, frac, signed=False, zero=zero)
            for frac in (fmt.frac, fmt.frac + 1)
            for zero in zeros
        ]
    return tuple(dict.fromkeys(result))


def squared_error(statistics: TensorStatistics, fmt: Format) -> float:
    """Return the mean squared error of quantising a tensor group's values."""
    error = dequantise(quantise(statistics.values, fmt), fmt.frac) - statistics.values
    return float(np.average(error * error, weights=statistics.weights))


def least_error(statistics: TensorStatistics, candidates: Sequence[Format]) -> Format:
    """Return the candidate with the least mean squared error (the first of equals)."""
    return min(candidates, key=lambda fmt: squared_error(statistics, fmt))


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax over the last axis."""
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def divergence(reference: NDArray[np.float64], logits: NDArray[np.float64]) -> float:
    """Return the mean divergence of softmax(logits) from the probabilities ``reference``."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_q = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    log_p = np.log(np.maximum(reference, 1e-12))
    return float(np.mean((reference * (log_p - log_q)).sum(axis=-1)))
