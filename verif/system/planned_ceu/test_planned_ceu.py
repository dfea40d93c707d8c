"""A plan's logits, registers and decisions through the RTL of the CEU."""

from __future__ import annotations

from pathlib import Path

import pytest

from verif.common.simulation import SimulationError, simulate

HERE = Path(__file__).parent


def run(plan_folder: Path, seed: int, **extra: str) -> int:
    return simulate(
        HERE / "planned_ceu.sv",
        {},
        "verif.system.planned_ceu.bench_planned_ceu",
        seed=seed,
        extra_env={"PLAN_FOLDER": str(plan_folder), **extra},
        extra_sources=(plan_folder / "cascade_config_pkg.sv",),
    )


@pytest.mark.parametrize("seed", [1, 9])
def test_golden_decisions(plan_folder: Path, seed: int) -> None:
    assert run(plan_folder, seed) == 1


def test_bench_sees_a_wrong_record(plan_folder: Path) -> None:
    with pytest.raises(SimulationError, match="records: item"):
        run(plan_folder, 3, PLANTED_ERROR="1")
