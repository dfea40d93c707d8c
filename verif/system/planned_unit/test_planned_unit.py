"""A planned real network through the RTL blocks at the planned sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

from verif.common.simulation import SimulationError, simulate

HERE = Path(__file__).parent
BENCH = "verif.system.planned_unit.bench_planned_unit"
LAYERS = "conv2,logits"


def run(plan_folder: Path, lpu: int, seed: int, **extra: str) -> int:
    return simulate(
        HERE / "planned_unit.sv",
        {"Lpu": lpu},
        BENCH,
        seed=seed,
        extra_env={"PLAN_FOLDER": str(plan_folder), "PLAN_LAYERS": LAYERS, **extra},
        extra_sources=(plan_folder / "cascade_config_pkg.sv",),
    )


@pytest.mark.parametrize("lpu", [1, 0], ids=["lpu", "hpu"])
@pytest.mark.parametrize("seed", [1, 77])
def test_whole_layers_equal_the_emulator(plan_folder: Path, lpu: int, seed: int) -> None:
    assert run(plan_folder, lpu, seed) == 1


def test_bench_sees_a_wrong_word(plan_folder: Path) -> None:
    with pytest.raises(SimulationError, match="activations: item"):
        run(plan_folder, 1, 5, PLANTED_ERROR="1")
