"""Precisions tried on the evaluation images: their schemes, logits and accuracy."""

from __future__ import annotations

from dataclasses import dataclass
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
    quantise_images,
)
from toolflow.fixedpoint import IntArray
from toolflow.network.graph import Network
from toolflow.quantisation.scheme import Precision, Scheme, format_groups
from toolflow.quantisation.search import Calibration, SchemeSearch
from toolflow.quantisation.statistics import LayerStatistic, measure_tensors

STATISTICS_IMAGES = 64
SEARCH_IMAGES = 100
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
    refined: bool

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


class CandidateRunner:
    """Makes and runs candidates of one network on one evaluation set."""

    def __init__(self, network: Network, evaluation: EvaluationSet, threads: int) -> None:
        self._network = network
        self._evaluation = evaluation
        self._threads = threads
        search = slice(0, SEARCH_IMAGES)
        statistics_images = evaluation.images[:STATISTICS_IMAGES]
        groups = format_groups(network, bool(evaluation.images.min() >= 0))
        calibration = Calibration(
            images=evaluation.images[search],
            labels=evaluation.labels[search],
            logits=evaluation.float_logits[search],
            tensors=MappingProxyType(measure_tensors(network, groups, statistics_images)),
        )
        self._search = SchemeSearch(network, calibration, groups, threads)

    def screen(self, precision: Precision, stored: StoredParameters | None) -> Candidate:
        """Run the unrefined scheme on the screening images."""
        scheme = self._search.initial(precision, stored)
        return self._run(scheme, stored, min(SCREENING_IMAGES, self._evaluation.size), False)

    def full(self, precision: Precision, stored: StoredParameters | None = None) -> Candidate:
        """Run the unrefined scheme on all images."""
        return self.complete(self._search.initial(precision, stored), stored, False)

    def refined(
        self, candidate: Candidate, reference: Scheme | None, stored: StoredParameters | None
    ) -> tuple[Candidate, tuple[LayerStatistic, ...]]:
        """Take per-layer statistics, refine the scheme by them and run it on all images.

        ``reference`` is the scheme that the statistics cut one thing of; by default the
        candidate's own, so that refinement walks the layers in their order of execution.
        """
        statistics = self._search.statistics(
            candidate.scheme, reference or candidate.scheme, stored
        )
        scheme = self._search.refine(candidate.scheme, statistics, stored)
        return self.complete(scheme, stored, True), statistics

    def complete(self, scheme: Scheme, stored: StoredParameters | None, refined: bool) -> Candidate:
        """Run a scheme on all images."""
        return self._run(scheme, stored, self._evaluation.size, refined)

    def _run(
        self, scheme: Scheme, stored: StoredParameters | None, images: int, refined: bool
    ) -> Candidate:
        return self._measured(scheme, self._search.compile(scheme, stored), images, refined)

    def _measured(
        self, scheme: Scheme, network: IntegerNetwork, images: int, refined: bool
    ) -> Candidate:
        words = quantise_images(self._evaluation.images[:images], network.stored_input)
        logits = Emulator(network, self._threads).logits(words)
        correct = top_correct(logits, self._evaluation.labels[:images], self._evaluation.top)
        return Candidate(scheme.precision, scheme, network, logits, correct, refined)

    def with_stored(self, hpu: Candidate, stored: StoredParameters) -> Candidate:
        """Run the HPU on all images with the words that an LPU is cut from."""
        return self._measured(
            hpu.scheme,
            compile_network(self._network, hpu.scheme, stored),
            self._evaluation.size,
            hpu.refined,
        )

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
