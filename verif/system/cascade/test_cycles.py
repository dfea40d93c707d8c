"""The cycle model (``toolflow.hardware.engine_cycles``) against the RTL, step by step.

A step's prediction may be off by 5 % or, which matters for short ones, by ``SLACK`` an image;
a unit's whole network by 3 %. Memory answers after a given latency and moves a beat a cycle each
way at every port: what two units take from each other is not the model's to say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.random_networks import (
    alex_like,
    blocked_channels,
    every_layer_kind,
    normalised_maps,
    vgg_like,
)
from toolflow.hardware.engine import EngineSizes, weight_buffer_words
from toolflow.quantisation.scheme import Precision
from toolflow.simulation.rtl_sources import ROOT
from toolflow.simulation.run import Settings, StepResult, simulate_cascade, simulate_plan
from verif.common.cascades import drawn_cascade, drawn_images, drawn_units

FOLDERS = ROOT / "build" / "verif" / "cycles"
STEP, NETWORK = 0.05, 0.03
SLACK = 30
IMAGES = BATCH = 3
UNSHARED = 4.0
"""Beats a cycle that two units never ask for together."""

NETWORKS = {
    "alex_like": alex_like,
    "every_layer_kind": every_layer_kind,
    "blocked_channels": blocked_channels,
    "normalised_maps": normalised_maps,
    "vgg_like": vgg_like,
}
NARROW = (
    EngineSizes(7, 6, 4, weight_words=2048, act_words=4096, vector_lanes=4, data_bits=64),
    EngineSizes(4, 4, 4, weight_words=2048, act_words=2048, vector_lanes=4, data_bits=64),
)
"""As in ``test_cascade``: one build for both."""

WIDE = (
    EngineSizes(64, 18, 32, weight_buffer_words(18, 32, 1728), 16384, 8, 128),
    EngineSizes(32, 9, 16, weight_buffer_words(9, 16, 0), 8192, 8, 128),
)
"""As the planner makes them: column tiles of weights on chip, or of any layer a segment."""


def errors(steps: Iterable[StepResult]) -> list[str]:
    """Say which steps, and which units' networks, are predicted worse than they may be."""
    found = []
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for step in steps:
        assert step.cycles > 0
        totals[step.unit][0] += step.cycles
        totals[step.unit][1] += step.predicted
        off = abs(step.predicted - step.cycles)
        if off > max(STEP * step.cycles, SLACK * step.images):
            found.append(f"{step.unit} {step.name}: {step.predicted}, measured {step.cycles}")
    found += [
        f"{unit}: {predicted}, measured {cycles}"
        for unit, (cycles, predicted) in totals.items()
        if abs(predicted - cycles) > NETWORK * cycles
    ]
    assert len(totals) == 2
    return found


def simulated(name: str, sizes: tuple[EngineSizes, EngineSizes], latency: int) -> list[str]:
    """Run a network on both units; return what is predicted badly."""
    units = drawn_units(NETWORKS[name](), Precision(8, 8), Precision(3, 4))
    folder = FOLDERS / f"{name}-{sizes[0].t_r}"
    cascade = drawn_cascade(folder, units, sizes, BATCH, UNSHARED)
    cascade = replace(cascade, parameters={**cascade.parameters, "MaxClasses": 16})
    settings = Settings(IMAGES, latency=latency, forward=IMAGES, optimise=False)
    result = simulate_cascade(cascade, drawn_images(units, IMAGES), settings, lambda _: None)
    assert result.forwarded == IMAGES
    return errors(result.steps)


@pytest.mark.parametrize("latency", [5, 30, 100])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "vgg_like"])
def test_narrow_engines(name: str, latency: int) -> None:
    assert simulated(name, NARROW, latency) == []


@pytest.mark.parametrize("latency", [30, 100])
@pytest.mark.parametrize("name", NETWORKS)
def test_wide_engines(name: str, latency: int) -> None:
    assert simulated(name, WIDE, latency) == []


def test_planned_engines(plan_folder: Path) -> None:
    settings = Settings(48, data="digits:calib", forward=24, optimise=False)
    assert errors(simulate_plan(plan_folder, settings, lambda _: None).steps) == []


def test_a_wrong_prediction_is_found() -> None:
    step = StepResult("lpu", "a", "conv", 1, 3, 10, 10_000, 10_000)
    other = replace(step, unit="hpu")
    assert errors([step, other]) == []
    assert errors([replace(step, predicted=10_600), other]) == [
        "lpu a: 10600, measured 10000", "lpu: 10600, measured 10000",
    ]  # fmt: skip
