"""The cycle model (``toolflow.hardware.engine_cycles``) against the RTL, step by step.

``verif.common.cycle_errors`` says how far predictions may be off. Memory answers after a given
latency and moves a beat a cycle each way at every port: what two units take from each other is not
the model's to say.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.random_networks import (
    alex_like,
    blocked_channels,
    every_layer_kind,
    normalised_maps,
    small_maps,
    vgg_like,
)
from toolflow.hardware.engine import EngineSizes, weight_buffer_words
from toolflow.quantisation.scheme import Precision
from toolflow.simulation.rtl_sources import ROOT
from toolflow.simulation.run import Settings, StepResult, simulate_cascade, simulate_plan
from verif.common.cascades import drawn_cascade, drawn_images, drawn_units
from verif.common.cycle_errors import cycle_errors

FOLDERS = ROOT / "build" / "verif" / "cycles"
IMAGES = 3
BATCH = 4
UNSHARED = 4.0
"""Beats a cycle that two units never ask for together."""

NETWORKS = {
    "alex_like": alex_like,
    "every_layer_kind": every_layer_kind,
    "blocked_channels": blocked_channels,
    "normalised_maps": normalised_maps,
    "small_maps": small_maps,
    "vgg_like": vgg_like,
}
LONG = ("vgg_like", "small_maps")
"""Not for narrow engines: too long; rows of which one is left over in a row tile (7 % off)."""

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

DEEP = (WIDE[0], EngineSizes(32, 96, 8, weight_buffer_words(96, 8, 0), 8192, 8, 128))
"""Deeper than most layers' kernels; for a network whose layers are."""


def simulated(name: str, sizes: tuple[EngineSizes, EngineSizes], latency: int) -> list[str]:
    """Run a network on both units; return what is predicted badly."""
    units = drawn_units(NETWORKS[name](), Precision(8, 8), Precision(3, 4))
    folder = FOLDERS / f"{name}-{sizes[0].t_r}"
    cascade = drawn_cascade(folder, units, sizes, BATCH, UNSHARED)
    cascade = replace(cascade, parameters={**cascade.parameters, "MaxClasses": 16})
    settings = Settings(IMAGES, latency=latency, forward=IMAGES, optimise=False)
    result = simulate_cascade(cascade, drawn_images(units, IMAGES), settings, lambda _: None)
    assert result.forwarded == IMAGES
    return cycle_errors(result.steps)


@pytest.mark.parametrize("latency", [5, 30, 100])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in LONG])
def test_narrow_engines(name: str, latency: int) -> None:
    assert simulated(name, NARROW, latency) == []


@pytest.mark.parametrize("latency", [30, 100])
@pytest.mark.parametrize("name", NETWORKS)
def test_wide_engines(name: str, latency: int) -> None:
    assert simulated(name, DEEP if name == "vgg_like" else WIDE, latency) == []


def test_planned_engines(plan_folder: Path) -> None:
    settings = Settings(48, data="digits:calib", forward=24, optimise=False)
    assert cycle_errors(simulate_plan(plan_folder, settings, lambda _: None).steps) == []


def test_a_wrong_prediction_is_found() -> None:
    step = StepResult("lpu", "a", "conv", 1, 3, 10, 10_000, 10_000, "work")
    other = replace(step, unit="hpu")
    assert cycle_errors([step, other]) == []
    assert cycle_errors([replace(step, predicted=10_600), other]) == [
        "lpu a: 10600, measured 10000", "lpu: 10600, measured 10000",
    ]  # fmt: skip
    of_port = replace(step, bound="port")
    assert cycle_errors([replace(of_port, predicted=10_600), other, step, step]) == []
    assert len(cycle_errors([replace(of_port, predicted=11_100), other, step, step])) == 2
