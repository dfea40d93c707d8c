"""A planned real network through the RTL blocks at the planned sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from toolflow.plan import read_plan
from verif.common.simulation import SimulationError, simulate
from verif.system import leaky_network

HERE = Path(__file__).parent
BENCH = "verif.system.planned_unit.bench_planned_unit"
LAYERS = ("conv2", "logits")


def run(
    plan_folder: Path, lpu: int, seed: int, layers: Sequence[str] = LAYERS, **extra: str
) -> int:
    return simulate(
        HERE / "planned_unit.sv",
        {"Lpu": lpu},
        BENCH,
        seed=seed,
        extra_env={"PLAN_FOLDER": str(plan_folder), "PLAN_LAYERS": ",".join(layers), **extra},
        extra_sources=(plan_folder / "cascade_config_pkg.sv",),
    )


@pytest.mark.parametrize("lpu", [1, 0], ids=["lpu", "hpu"])
@pytest.mark.parametrize("seed", [1, 77])
def test_whole_layers_equal_the_emulator(plan_folder: Path, lpu: int, seed: int) -> None:
    assert run(plan_folder, lpu, seed) == 1


def test_bench_sees_a_wrong_word(plan_folder: Path) -> None:
    with pytest.raises(SimulationError, match="activations: item"):
        run(plan_folder, 1, 5, PLANTED_ERROR="1")


@pytest.mark.parametrize("lpu", [1, 0], ids=["lpu", "hpu"])
@pytest.mark.parametrize("seed", [1, 77])
def test_zero_points_and_leaky_relu_equal_the_emulator(
    leaky_plan_folder: Path, lpu: int, seed: int
) -> None:
    """LeakyReLU, a grouped convolution and padding on words with zero points, channel shifts."""
    plan, unit = read_plan(leaky_plan_folder), "lpu" if lpu else "hpu"
    zeros = {tensor.name for tensor in plan.tensors if getattr(tensor, unit).zero}
    assert zeros >= {"first_leaky", "grouped_leaky", "flat"}
    steps = {layer.name: layer.channel_steps for layer in plan.layers}
    assert all(any(steps[name] or ()) for name in leaky_network.LAYERS)
    assert run(leaky_plan_folder, lpu, seed, leaky_network.LAYERS) == 1


def test_bench_sees_a_wrong_word_with_a_zero_point(leaky_plan_folder: Path) -> None:
    with pytest.raises(SimulationError, match="activations: item"):
        run(leaky_plan_folder, 1, 5, ("grouped", "hidden"), PLANTED_ERROR="1")
