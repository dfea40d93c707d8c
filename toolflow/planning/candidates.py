"""Precisions tried on the evaluation images: their schemes, words, logits and accuracy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from toolflow.confidence.exp_table import ExpScale, exp_scale
from toolflow.confidence.tuning import Outcomes, outcomes_of, top_correct
from toolflow.emulator.exact_float import Emulator
from toolflow.emulator.integer_network import (
    IntegerNetwork,
    StoredParameters,
    compile_network,
    cut_network,
    quantise_images,
)
from toolflow.fixedpoint import IntArray
from toolflow.network.graph import Network
from toolflow.quantisation.inputs import sample_inputs
from toolflow.quantisation.scheme import Precision, Scheme, format_groups
from toolflow.quantisation.search import Calibration, SchemeSearch
from toolflow.quantisation.sharing import Method, SharedWords, WeightSharing
from toolflow.quantisation.statistics import LayerStatistic, measure_tensors

STATISTICS_IMAGES = 64
SEARCH_IMAGES = 64
ROUNDING_VALUES = 1 << 25
"""Weights are rounded on as many images as have this many values in their largest tensors."""

ROUNDING_IMAGES = (64, 200)
"""But on no fewer and no more than these."""

DISPLACEMENTS = (Method().displacement, 4.0, 1.0)
"""Steps that an HPU's words may move for the LPU's sake: tried until the HPU is good enough."""

SEARCH_WEIGHT_BITS = 8
"""Weights of the networks that formats of activations are chosen and judged in."""

SCREENING_IMAGES = 256
SHUFFLE_SEED = 2018


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """The user's labelled images, shuffled once, with the float network's logits.

    ``images`` is pre-processed float32 (N, C, H, W).
    """

    source: str
    images: NDArray[np.float32]
    labels: IntArray
    float_logits: NDArray[np.float32]
    top: int

    @property
    def size(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def float_correct(self) -> int:
        """How many images the float network gets right under the metric."""
        ranks = np.argsort(np.argsort(self.float_logits, axis=1), axis=1)
        return int(top_correct(ranks, self.labels, self.top).sum())


def shuffled(
    source: str,
    images: NDArray[np.float32],
    labels: IntArray,
    float_logits: NDArray[np.float32],
    top: int,
) -> EvaluationSet:
    """Return an evaluation set in a fixed random order, so that any first part is a fair one."""
    order = np.random.default_rng(SHUFFLE_SEED).permutation(len(labels))
    return EvaluationSet(source, images[order], labels[order], float_logits[order], top)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A precision with its scheme and its integer logits on the first ``images`` images."""

    precision: Precision
    scheme: Scheme
    network: IntegerNetwork
    logits: IntArray
    correct: NDArray[np.bool_]

    @property
    def images(self) -> int:
        """Number of evaluation images that were run."""
        return len(self.logits)

    @property
    def accuracy(self) -> float:
        """Accuracy alone, under the metric."""
        return float(self.correct.mean())

    @property
    def exp_scale(self) -> ExpScale:
        """The CEU's scale for this candidate's logits."""
        return exp_scale(self.network.logit_format.frac)


@dataclass(frozen=True, eq=False)
class CandidatePair:
    """An LPU and the HPU of the same stored words."""

    lpu: Candidate
    hpu: Candidate
    stored: StoredParameters


class CandidateRunner:
    """Makes and runs candidates of one network on one evaluation set.

    Args:
        network: the float network.
        evaluation: labelled images.
        seen: the first images, the only ones that quantisation may look at.
        threads: emulator threads.
    """

    def __init__(
        self, network: Network, evaluation: EvaluationSet, seen: int, threads: int
    ) -> None:
        self._network = network
        self._evaluation = evaluation
        self._threads = threads
        self._seen = seen
        search = slice(0, min(SEARCH_IMAGES, seen))
        groups = format_groups(network, bool(evaluation.images.min() >= 0))
        statistics = measure_tensors(
            network, groups, evaluation.images[: min(STATISTICS_IMAGES, seen)]
        )
        calibration = Calibration(
            images=evaluation.images[search],
            labels=evaluation.labels[search],
            logits=evaluation.float_logits[search],
            tensors=MappingProxyType(statistics),
        )
        self._search = SchemeSearch(network, calibration, groups, threads)
        images = evaluation.images[: min(rounding_images(network), seen)]
        inputs = sample_inputs(network, images)
        self._sharing = WeightSharing(network, groups, images, inputs, threads)

    def single(self, precision: Precision, images: int | None = None) -> Candidate:
        """Return a single-stage design on the first ``images`` images (all of them: None)."""
        stored = self._sharing.single(self._tensors(precision, None))
        return self._measured(compile_network(self._network, stored), images)

    def screen(self, precision: Precision, hpu: Candidate) -> Candidate:
        """Return an LPU beneath an HPU's precision, on the screening images."""
        words = self._shared(precision, hpu)
        return self._measured(cut_network(self._network, words.lpu, words.stored), SCREENING_IMAGES)

    def pair(self, precision: Precision, hpu: Candidate, required: float) -> CandidatePair:
        """Return an LPU and the HPU of the same words, on all images.

        The words move as far for the LPU as they may while that HPU's accuracy on the images seen
        is the one ``required``, or as near to it as it gets.
        """
        most: tuple[SharedWords, Candidate] | None = None
        for displacement in DISPLACEMENTS:
            words = self._shared(precision, hpu, displacement)
            measured = self._measured(compile_network(self._network, words.stored), None)
            if most is None or self.seen_accuracy(measured) > self.seen_accuracy(most[1]):
                most = words, measured
            if self.seen_accuracy(most[1]) >= required:
                break
        assert most is not None
        words, measured = most
        lpu = self._measured(cut_network(self._network, words.lpu, words.stored), None)
        return CandidatePair(lpu, measured, words.stored)

    def seen_accuracy(self, candidate: Candidate) -> float:
        """Return a candidate's accuracy on the images that quantisation may look at."""
        return float(candidate.correct[: self._seen].mean())

    def statistics(self, precision: Precision, hpu: Candidate) -> tuple[LayerStatistic, ...]:
        """Measure what each tensor's format of an LPU alone does to the network."""
        reference = self._search.initial(Precision(SEARCH_WEIGHT_BITS, SEARCH_WEIGHT_BITS))
        return self._search.statistics(self._tensors(precision, hpu.scheme), reference)

    def _shared(
        self, precision: Precision, hpu: Candidate, displacement: float | None = None
    ) -> SharedWords:
        tensors = self._tensors(precision, hpu.scheme)
        return self._sharing.share(tensors, hpu.scheme, displacement)

    def _tensors(self, precision: Precision, hpu: Scheme | None) -> Scheme:
        """Return a scheme whose tensors are the precision's; its weights are yet to be made."""
        scheme = self._search.initial(replace(precision, weight_bits=SEARCH_WEIGHT_BITS), hpu)
        return replace(scheme, precision=precision)

    def _measured(self, network: IntegerNetwork, images: int | None) -> Candidate:
        words = quantise_images(self._evaluation.images[:images], network.stored_input)
        logits = Emulator(network, self._threads).logits(words)
        correct = top_correct(logits, self._evaluation.labels[:images], self._evaluation.top)
        return Candidate(network.scheme.precision, network.scheme, network, logits, correct)

    def outcomes(self, lpu: Candidate, hpu: Candidate) -> Outcomes:
        """Return what the CEU sees of a pair of candidates, on the images that both ran."""
        n = min(lpu.images, hpu.images)
        return outcomes_of(
            lpu.logits[:n],
            hpu.logits[:n],
            self._evaluation.labels[:n],
            lpu.exp_scale,
            self._evaluation.top,
        )


def rounding_images(network: Network) -> int:
    """Return how many images the weights of a network are rounded on."""
    largest = max(prod(shape) for shape in network.shapes.values())
    least, most = ROUNDING_IMAGES
    return min(max(ROUNDING_VALUES // largest, least), most)
