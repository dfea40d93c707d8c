"""The commands' work, without a terminal: plan, evaluate, report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolflow.confidence.guarantee import DEFAULT_CONFIDENCE, LEAST_CONFIDENCE
from toolflow.confidence.measures import LabelledLogits
from toolflow.confidence.protocol import Estimated, Guaranteed, ToleranceProtocol
from toolflow.datasets import Samples, load_samples, preprocess
from toolflow.emission.directory import check_target, whole_files
from toolflow.emission.files import GOLDEN_IMAGES, Accelerator, write_plan
from toolflow.emulator.exact_float import Emulator
from toolflow.emulator.integer_network import quantise_images
from toolflow.errors import UserError
from toolflow.evaluation import TOP5_CLASSES, Evaluation, evaluate_cascade, top_of
from toolflow.exploration.search import Explorer
from toolflow.hardware.devices import load_device
from toolflow.network.float_reference import float_logits
from toolflow.network.graph import Network
from toolflow.network.importer import load_network
from toolflow.network.metadata import PreprocessingOverride
from toolflow.plan import Plan
from toolflow.planned import load_units
from toolflow.planning.candidates import EvaluationSet, shuffled
from toolflow.planning.planner import Planner
from toolflow.planning.records import plan_of
from toolflow.quantisation.scheme import Precision
from toolflow.report.report import write_report

Progress = Callable[[str], None]
METRICS = ("top1", "top5")


@dataclass(frozen=True)
class PlanRequest:
    """What the user asks of ``plan``.

    None for a precision searches it; ``guarantee`` is a confidence, None for an estimate.
    """

    model: Path
    data: str
    device: str
    tolerance: float
    guarantee: float | None
    metric: str
    lpu_bits: Precision | None
    hpu_bits: Precision | None
    preprocessing: PreprocessingOverride | None
    threads: int
    target: Path


def make_plan(request: PlanRequest, progress: Progress) -> Plan:
    """Plan and write the folder.

    Raises:
        UserError: bad input.
        GoalError: the tolerance cannot be met.
    """
    if not 0 <= request.tolerance < 1:
        raise UserError(
            f"--tolerance {request.tolerance:g} is outside 0..1; it is the allowed rise of the "
            "error rate, 0.01 for one point"
        )
    if request.guarantee is not None and not LEAST_CONFIDENCE <= request.guarantee < 1:
        raise UserError(
            f"--guarantee {request.guarantee:g} is not from {LEAST_CONFIDENCE} to below 1; it is "
            "the confidence with which the tolerance is to hold, 0.95 for 95 %"
        )
    if request.metric not in METRICS:
        raise UserError(f"--metric {request.metric}: give one of {', '.join(METRICS)}")
    check_target(request.target)
    device = load_device(request.device)
    progress("reading the model and the images")
    network = load_network(request.model, request.preprocessing)
    if request.metric == "top5" and network.classes < TOP5_CLASSES:
        raise UserError(
            f"--metric top5 says nothing of {network.classes} classes "
            f"(at least {TOP5_CLASSES} are needed); use top1"
        )
    explorer = Explorer(device, network)
    evaluation = _evaluation_set(network, request, progress)
    protocol: ToleranceProtocol = (
        Estimated(request.tolerance)
        if request.guarantee is None
        else Guaranteed(request.tolerance, request.guarantee, evaluation.size)
    )
    planner = Planner(network, evaluation, explorer, protocol, progress, request.threads)
    decisions = planner.decide(request.lpu_bits, request.hpu_bits)
    plan = plan_of(
        network,
        evaluation,
        request.metric,
        request.tolerance,
        request.guarantee,
        device,
        decisions,
    )
    progress("writing the folder")
    hpu = decisions.hpu.network
    accelerator = Accelerator(
        model_path=request.model,
        stored=decisions.stored,
        hpu=hpu,
        lpu=decisions.cascade.finalist.candidate.network,
        stored_images=quantise_images(evaluation.images[:GOLDEN_IMAGES], hpu.stored_input),
    )
    write_plan(plan, accelerator, request.target)
    return plan


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """A plan's units run on labelled images, pre-processed float32 (N, C, H, W)."""

    plan: Plan
    network: Network
    images: NDArray[np.float32]
    logits: LabelledLogits


def run_plan(folder: Path, data: str, threads: int, progress: Progress) -> PlannedRun:
    """Run both units of a plan, each alone, on labelled images.

    Raises:
        UserError: the folder or the images are unusable.
    """
    planned = load_units(folder)
    plan, network = planned.plan, planned.network
    progress("reading the images")
    samples = load_samples(data, network)
    images = preprocess(samples, network.preprocessing)
    words = quantise_images(images, planned.stored.input_format)
    logits = {}
    for unit, compiled in (("hpu", planned.hpu), ("lpu", planned.lpu)):
        progress(f"running the {unit.upper()} on {len(images)} images")
        logits[unit] = Emulator(compiled, threads).logits(words)
    frac = planned.lpu.logit_format.frac
    return PlannedRun(
        plan, network, images, LabelledLogits(logits["lpu"], logits["hpu"], samples.labels, frac)
    )


def evaluate_plan(folder: Path, data: str, threads: int, progress: Progress) -> Evaluation:
    """Run the planned cascade on labelled images.

    Raises:
        UserError: the folder or the images are unusable.
    """
    run = run_plan(folder, data, threads, progress)
    progress("running the float network")
    plan, logits = run.plan, run.logits
    return evaluate_cascade(
        labels=logits.labels,
        float_logits=float_logits(run.network, run.images, threads),
        hpu_logits=logits.hpu,
        lpu_logits=logits.lpu,
        ceu=plan.ceu.parameters,
        metric=plan.metric,
        confidence=DEFAULT_CONFIDENCE if plan.guarantee is None else plan.guarantee,
    )


def rewrite_report(plan: Plan, folder: Path) -> None:
    """Write a plan's report and plots again.

    Raises:
        UserError: the folder cannot be written.
    """
    with whole_files(folder) as scratch:
        write_report(plan, scratch)


def _evaluation_set(network: Network, request: PlanRequest, progress: Progress) -> EvaluationSet:
    samples: Samples = load_samples(request.data, network)
    images = preprocess(samples, network.preprocessing)
    progress(f"running the float network on {len(images)} images")
    logits = float_logits(network, images, request.threads)
    if not np.isfinite(logits).all():
        raise UserError(
            f"{request.model}: the float network gives logits that are not finite on "
            f"{request.data}; check the pre-processing (--mean, --std, --scale)"
        )
    return shuffled(samples.name, images, samples.labels, logits, top_of(request.metric))
