"""Whole cascades in Verilator: every step's output, every decision and record as the emulator's."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.random_networks import (
    alex_like,
    blocked_channels,
    every_layer_kind,
    normalised_maps,
    small_network,
)
from toolflow.emission.stored_parameters import CHANNELS_FILE, WEIGHTS_FILE
from toolflow.hardware.engine import EngineSizes
from toolflow.network.graph import Network
from toolflow.quantisation.scheme import Precision
from toolflow.simulation.rtl_sources import ROOT
from toolflow.simulation.run import (
    Cascade,
    MismatchError,
    Settings,
    simulate_cascade,
    simulate_plan,
)
from verif.common.cascades import drawn_cascade, drawn_images, drawn_units
from verif.common.cycle_errors import cycle_errors
from verif.common.engine_folder import Units

FOLDERS = ROOT / "build" / "verif" / "cascade"
IMAGES = 11
BATCH = 3

NETWORKS: dict[str, Callable[[], Network]] = {
    "alex_like": alex_like,
    "every_layer_kind": every_layer_kind,
    "blocked_channels": blocked_channels,
    "normalised_maps": normalised_maps,
    "small": lambda: small_network(1),
}
LPU_SIZES = EngineSizes(7, 6, 4, weight_words=2048, act_words=4096, vector_lanes=4, data_bits=64)
HPU_SIZES = EngineSizes(4, 4, 4, weight_words=2048, act_words=2048, vector_lanes=4, data_bits=64)
"""One build for all networks."""


def quiet(_: str) -> None:
    """Report nothing."""


def cascade_of(name: str) -> tuple[Cascade, Units]:
    """Return a network's cascade on the common build."""
    units = drawn_units(NETWORKS[name](), Precision(8, 8), Precision(3, 4))
    # So much bandwidth that the units do not wait for each other.
    cascade = drawn_cascade(FOLDERS / name, units, (LPU_SIZES, HPU_SIZES), BATCH, 4.0)
    parameters = {**cascade.parameters, "MaxClasses": 16}
    return replace(cascade, parameters=parameters), units


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("stalls", [0, 1, 2])
def test_networks(name: str, stalls: int) -> None:
    cascade, units = cascade_of(name)
    settings = Settings(IMAGES, stalls=stalls, forward=5, latency=30, optimise=False)
    result = simulate_cascade(cascade, drawn_images(units, IMAGES), settings, quiet)
    assert result.forwarded >= 5
    if not stalls:
        assert cycle_errors(result.steps) == []
    steps = len(cascade.memory_map.lpu.steps) + len(cascade.memory_map.hpu.steps)
    assert len(result.steps) == steps
    assert all(step.words > 0 for step in result.steps)
    assert sum(step.words for step in result.steps) == result.words
    assert result.registers["lpu_images"] == IMAGES - result.forwarded
    assert result.registers["hpu_images"] == result.registers["forwarded"] == result.forwarded
    # Every beat that the memory moved is counted.
    beats = cascade.parameters["DataBits"] // 8
    for port, unit in enumerate(("lpu", "hpu")):
        assert result.registers[f"{unit}_engine_read_beats"] * beats == result.read_bytes[port]
        written = result.registers[f"{unit}_engine_written_beats"] * beats
        assert written == result.written_bytes[port]
    assert result.registers["cycles_low"] <= result.cycles


@pytest.mark.parametrize("forward", [0, IMAGES])
def test_nothing_and_everything_forwarded(forward: int) -> None:
    cascade, units = cascade_of("every_layer_kind")
    ceu = replace(cascade.ceu, threshold=-(1 << 16))
    settings = Settings(IMAGES, forward=forward, optimise=False)
    result = simulate_cascade(
        replace(cascade, ceu=ceu), drawn_images(units, IMAGES), settings, quiet
    )
    assert result.forwarded == forward


@pytest.mark.parametrize("name", [WEIGHTS_FILE, CHANNELS_FILE])
def test_a_changed_parameter_is_found(name: str, tmp_path: Path) -> None:
    cascade, units = cascade_of("blocked_channels")
    folder = tmp_path / "changed"
    shutil.copytree(cascade.folder, folder)
    data = bytearray((folder / name).read_bytes())
    data[0] ^= 0x40
    (folder / name).write_bytes(data)
    with pytest.raises(MismatchError, match="words differ"):
        simulate_cascade(
            replace(cascade, folder=folder),
            drawn_images(units, IMAGES),
            Settings(IMAGES, optimise=False),
            quiet,
        )


@pytest.mark.parametrize("stalls", [0, 7])
def test_digits(plan_folder: Path, stalls: int) -> None:
    """200 images through the planned cascade of the example network."""
    settings = Settings(200, data="digits:calib", stalls=stalls, forward=40, optimise=False)
    result = simulate_plan(plan_folder, settings, quiet)
    assert result.images == 200
    if not stalls:
        assert cycle_errors(result.steps) == []
    assert result.forwarded >= 40
    assert result.registers["hpu_images"] == result.forwarded


def test_planned_zero_points(leaky_plan_folder: Path) -> None:
    result = simulate_plan(
        leaky_plan_folder, Settings(32, stalls=3, forward=9, optimise=False), quiet
    )
    assert result.forwarded >= 9
