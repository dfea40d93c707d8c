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
SAMPLES_PER_TENSOR = 1 << 16
CLIPPING_STEPS = 6
"""Scales are tried from the one that clips nothing, halved this many times less one."""


@dataclass(frozen=True, eq=False)
class TensorStatistics:
    """Float values of a tensor group: a random sample, and exact extremes."""

    sample: NDArray[np.float32]
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
    samples: dict[str, list[NDArray[np.float32]]] = {group.name: [] for group in groups}
    extremes: dict[str, list[float]] = {group.name: [] for group in groups}
    for batch in batches:
        values = dict(zip(names, session.run(names, {network.input: batch}), strict=True))
        values[network.input] = batch
        for group in groups:
            flat = np.concatenate([values[name].reshape(-1) for name in group.tensors])
            extremes[group.name] += [float(flat.min()), float(flat.max())]
            share = SAMPLES_PER_TENSOR // len(batches)
            picked = flat[rng.integers(0, len(flat), share)] if len(flat) > share else flat
            samples[group.name].append(picked)
    return {
        name: TensorStatistics(np.concatenate(parts), min(extremes[name]), max(extremes[name]))
        for name, parts in samples.items()
    }


def candidate_formats(limit: float, bits: int, signed: bool) -> tuple[Format, ...]:
    """Return the formats worth trying for values up to ``limit``, coarsest first."""
    coarsest = fraction_for(limit, bits, signed)
    return tuple(Format(bits, coarsest + step, signed) for step in range(CLIPPING_STEPS))


def squared_error(values: NDArray[np.float32], fmt: Format) -> float:
    """Return the mean squared error of quantising ``values``."""
    error = dequantise(quantise(values, fmt), fmt.frac) - values
    return float(np.mean(error * error))


def least_error(values: NDArray[np.float32], candidates: Sequence[Format]) -> Format:
    """Return the candidate with the least mean squared error (the coarsest of equals)."""
    return min(candidates, key=lambda fmt: squared_error(values, fmt))


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
