"""The study of one network: quantise, run on images that tuning never saw, and count."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from toolflow.confidence.decision import FORWARD_ALL
from toolflow.confidence.exp_table import exp_scale
from toolflow.confidence.guarantee import DEFAULT_CONFIDENCE, error_bound
from toolflow.confidence.protocol import Estimated, Guaranteed, ToleranceProtocol
from toolflow.confidence.tuning import (
    Outcomes,
    Setting,
    confidence_keys,
    outcomes_of,
    setting_at,
    top_correct,
)
from toolflow.emulator.exact_float import Emulator
from toolflow.emulator.integer_network import IntegerNetwork, quantise_images
from toolflow.evaluation import TOP5_CLASSES
from toolflow.fixedpoint import IntArray, dequantise
from toolflow.network.float_reference import to_onnx
from toolflow.planning.candidates import EvaluationSet
from toolflow.quantisation.scheme import Precision
from toolflow.quantisation.statistics import divergence, softmax
from toolflow.study.networks import HPU_PRECISION, StudyNetwork
from toolflow.study.recipes import ABLATION, CUMULATIVE, OURS, PAPERS, Quantiser, Recipe
from toolflow.study.records import (
    FLOAT_BITS,
    AblationRow,
    AccuracyRow,
    ForwardedRow,
    SpeedRow,
    StudyResults,
)

BATCH = 64
"""Images that are in integers at a time."""

SPEED_IMAGES = 256
SPEED_VALUES = 1 << 23
SPEED_ROUNDS = 3
SPEED_BATCH = 32

HPU_SUFFIX = "_hpu"
"""Ends the method's name in the rows of HPUs that share their words with an LPU."""

FULL = MappingProxyType({"paper": PAPERS, "ours": OURS})
"""The methods that are measured at all wordlengths, with their CEUs."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Score:
    """How good logits are."""

    top1: float
    top5: float | None
    divergence: float


@dataclass(frozen=True, eq=False)
class Logits:
    """Integer logits of both units on one set of images, with their fraction lengths."""

    lpu: IntArray
    hpu: IntArray
    lpu_frac: int
    hpu_frac: int


@dataclass(frozen=True)
class Measured:
    """What one recipe makes at one precision, on the images to check with."""

    lpu: Score
    hpu: Score
    seconds: float


class Study:
    """Measures one network.

    Args:
        study: the network with its images.
        threads: emulator threads.
        progress: told what goes on.
    """

    def __init__(self, study: StudyNetwork, threads: int, progress: Progress) -> None:
        self._study = study
        self._threads = threads
        self._progress = progress
        self._check_softmax = softmax(study.check.float_logits.astype(np.float64))
        progress("statistics of the float network")
        self._quantiser = Quantiser(study, threads)
        self._measured: dict[tuple[Recipe, Precision], Measured | None] = {}
        self._hpu_logits: tuple[IntegerNetwork, IntArray] | None = None
        self._outcomes: dict[tuple[str, Precision], tuple[Outcomes, Outcomes]] = {}
        self._speed: list[SpeedRow] = []

    def run(self) -> StudyResults:
        """Return all rows."""
        entry = self._study.entry
        for precision in dict.fromkeys((*entry.wordlengths, *entry.forwarded)):
            self._measure("ours", OURS, precision)
        wordlength = tuple(self._wordlength())
        ablation = tuple(self._ablation())
        self._progress("tuning of the confidence evaluation")
        forwarded = tuple(
            self._forwarded(method, precision, tolerance)
            for method in FULL
            for precision in entry.forwarded
            if (method, precision) in self._outcomes
            for tolerance in entry.tolerances
        )
        return StudyResults(wordlength, ablation, forwarded, tuple(self._speeds()))

    # Accuracy

    def _wordlength(self) -> Iterator[AccuracyRow]:
        entry, check = self._study.entry, self._study.check
        yield self._accuracy_row(
            Precision(FLOAT_BITS, FLOAT_BITS), "float", self._score(_ranks(check.float_logits), 0)
        )
        for name, recipe in CUMULATIVE.items():
            full = recipe in FULL.values()
            for precision in entry.wordlengths if full else entry.cumulative:
                measured = self._measure(name, recipe, precision)
                if measured is None:
                    continue
                yield self._accuracy_row(precision, name, measured.lpu)
                if full and precision != HPU_PRECISION:
                    yield self._accuracy_row(precision, name + HPU_SUFFIX, measured.hpu)

    def _ablation(self) -> Iterator[AblationRow]:
        for name, recipe in ABLATION.items():
            for precision in self._study.entry.ablation:
                measured = self._measure(name, recipe, precision)
                if measured is None:
                    continue
                lpu, hpu = measured.lpu, measured.hpu
                yield AblationRow(
                    network=self._study.name,
                    weight_bits=precision.weight_bits,
                    act_bits=precision.act_bits,
                    change=name,
                    lpu_top1=lpu.top1,
                    lpu_top5=lpu.top5,
                    lpu_divergence=lpu.divergence,
                    hpu_top1=hpu.top1,
                    hpu_top5=hpu.top5,
                    hpu_divergence=hpu.divergence,
                    images=self._study.check.size,
                )

    def _measure(self, name: str, recipe: Recipe, precision: Precision) -> Measured | None:
        """Return the scores, of memory where known; None where hardware cannot run it."""
        key = recipe, precision
        if key not in self._measured:
            self._measured[key] = self._measured_afresh(name, recipe, precision)
        return self._measured[key]

    def _measured_afresh(self, name: str, recipe: Recipe, precision: Precision) -> Measured | None:
        self._progress(f"{name} at {precision}")
        try:
            pair = self._quantiser.pair(recipe, precision)
        except ValueError as error:
            self._progress(f"{name} at {precision} left out: {error}")
            return None
        check = self._logits(pair.lpu, pair.hpu, self._study.check)
        methods = [method for method, full in FULL.items() if recipe == full]
        if methods and precision in self._study.entry.forwarded:
            tune = self._logits(pair.lpu, pair.hpu, self._study.tune)
            self._outcomes[methods[0], precision] = (
                self._outcomes_on(tune, self._study.tune),
                self._outcomes_on(check, self._study.check),
            )
        if recipe == OURS and precision in (HPU_PRECISION, Precision(4, 4)):
            self._speed.append(self._emulator_speed(pair.lpu))
        return Measured(
            self._score(check.lpu, check.lpu_frac),
            self._score(check.hpu, check.hpu_frac),
            pair.seconds,
        )

    def _logits(self, lpu: IntegerNetwork, hpu: IntegerNetwork, images: EvaluationSet) -> Logits:
        low = self._run(lpu, images.images)
        if hpu is lpu:
            high = low
        elif images is not self._study.check:
            high = self._run(hpu, images.images)
        else:
            if self._hpu_logits is None or self._hpu_logits[0] is not hpu:
                self._hpu_logits = hpu, self._run(hpu, images.images)
            high = self._hpu_logits[1]
        return Logits(low, high, lpu.logit_format.frac, hpu.logit_format.frac)

    def _run(self, network: IntegerNetwork, images: NDArray[np.float32]) -> IntArray:
        emulator = Emulator(network, self._threads)
        parts = (images[k : k + BATCH] for k in range(0, len(images), BATCH))
        return np.concatenate(
            [emulator.logits(quantise_images(part, network.stored_input)) for part in parts]
        )

    def _score(self, logits: IntArray, frac: int) -> Score:
        """Score integer logits on the images to check with."""
        labels = self._study.check.labels
        wide = logits.shape[1] >= TOP5_CLASSES
        distance = divergence(self._check_softmax, dequantise(logits, frac))
        return Score(
            top1=float(top_correct(logits, labels, 1).mean()),
            top5=float(top_correct(logits, labels, 5).mean()) if wide else None,
            divergence=max(distance, 0.0),
        )

    def _accuracy_row(self, precision: Precision, method: str, score: Score) -> AccuracyRow:
        return AccuracyRow(
            network=self._study.name,
            weight_bits=precision.weight_bits,
            act_bits=precision.act_bits,
            method=method,
            top1=score.top1,
            top5=score.top5,
            divergence=0.0 if method == "float" else score.divergence,
            images=self._study.check.size,
        )

    # Forwarded images

    def _outcomes_on(self, logits: Logits, images: EvaluationSet) -> Outcomes:
        scale = exp_scale(logits.lpu_frac)
        return outcomes_of(logits.lpu, logits.hpu, images.labels, scale, self._study.top)

    def _forwarded(self, method: str, precision: Precision, tolerance: float) -> ForwardedRow:
        tune, check = self._outcomes[method, precision]
        estimated = _settled(Estimated(tolerance), tune, check)
        certified = _settled(Guaranteed(tolerance, DEFAULT_CONFIDENCE, tune.images), tune, check)
        return ForwardedRow(
            network=self._study.name,
            weight_bits=precision.weight_bits,
            act_bits=precision.act_bits,
            method=method,
            metric=self._study.entry.metric,
            tolerance=tolerance,
            tune_images=tune.images,
            check_images=check.images,
            m=estimated.setting.m,
            n=estimated.setting.n,
            threshold=estimated.setting.threshold,
            forwarded_tune=estimated.setting.forwarded / tune.images,
            added_error_tune=_added_error(tune, estimated.setting)[0],
            forwarded_check=estimated.forwarded_check,
            added_error_check=estimated.added_error_check,
            bound_check=estimated.bound_check,
            certified_m=certified.setting.m,
            certified_n=certified.setting.n,
            certified_threshold=certified.setting.threshold,
            certified_forwarded_tune=certified.setting.forwarded / tune.images,
            certified_forwarded_check=certified.forwarded_check,
            certified_added_error_check=certified.added_error_check,
            certified_bound_check=certified.bound_check,
        )

    # Speed

    def _speeds(self) -> Iterator[SpeedRow]:
        name = self._study.name
        base = self._float_speed()
        yield SpeedRow(name, "float_onnxruntime", base, "images/s", self._speed_note())
        for row in self._speed:
            yield row
            ratio = row.value / base
            yield SpeedRow(name, f"{row.name}_vs_float", ratio, "ratio", row.note)
        for (recipe, precision), measured in self._measured.items():
            if recipe in FULL.values() and measured is not None:
                method = next(name for name, full in FULL.items() if recipe == full)
                title = f"quantiser_{method}_{precision}"
                yield SpeedRow(name, title, measured.seconds, "s", "one precision, LPU and HPU")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        yield SpeedRow(name, "peak_memory", peak, "GB", "the study's process, this network alone")

    def _speed_images(self) -> NDArray[np.float32]:
        images = self._study.check.images
        most = max(SPEED_VALUES // images[0].size, SPEED_BATCH)
        return images[: min(SPEED_IMAGES, most)]

    def _speed_note(self) -> str:
        count = len(self._speed_images())
        return f"{self._threads} threads, {count} images, best of {SPEED_ROUNDS}"

    def _emulator_speed(self, network: IntegerNetwork) -> SpeedRow:
        words = quantise_images(self._speed_images(), network.stored_input)
        emulator = Emulator(network, self._threads)
        value = _rate(len(words), lambda: emulator.logits(words))
        title = f"emulator_{network.scheme.precision}"
        return SpeedRow(self._study.name, title, value, "images/s", self._speed_note())

    def _float_speed(self) -> float:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        network, images = self._study.network, self._speed_images()
        session = ort.InferenceSession(
            to_onnx(network).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        batches = [images[k : k + SPEED_BATCH] for k in range(0, len(images), SPEED_BATCH)]

        def run() -> list[Any]:
            return [session.run(None, {network.input: batch}) for batch in batches]

        return _rate(len(images), run)


@dataclass(frozen=True)
class _Settled:
    """A setting of the CEU, and what it does on images that tuning did not see."""

    setting: Setting
    forwarded_check: float
    added_error_check: float
    bound_check: float


def _settled(protocol: ToleranceProtocol, tune: Outcomes, check: Outcomes) -> _Settled:
    setting = protocol.settle(tune)
    unseen = setting_at(check, setting.m, setting.n, setting.threshold)
    return _Settled(setting, unseen.forwarded / check.images, *_added_error(check, setting))


def _added_error(outcomes: Outcomes, setting: Setting) -> tuple[float, float]:
    """Return the added error of a setting on images, and its upper bound."""
    keys = confidence_keys(outcomes.exponentials, outcomes.totals, setting.m, setting.n)
    counts = outcomes.paired(np.asarray(keys >= setting.threshold))
    alone = setting.threshold >= FORWARD_ALL
    return counts.added_error, 0.0 if alone else error_bound(counts, DEFAULT_CONFIDENCE)


def _ranks(logits: NDArray[np.float32]) -> IntArray:
    """Return integers in the order of float logits, so that one rule for ties serves both."""
    return np.asarray(np.argsort(np.argsort(logits, axis=1), axis=1))


def _rate(images: int, run: Callable[[], object]) -> float:
    """Return the best rate of a few runs, in images/s, after one to warm up."""
    run()
    times = []
    for _ in range(SPEED_ROUNDS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return images / min(times)
