"""Runs the bench of ``ceu``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "ceu" / "ceu.sv"


@pytest.mark.parametrize(
    ("max_classes", "max_n", "logit_bits"),
    [(1000, 8, 16), (10, 5, 16), (2, 5, 16), (3, 16, 12), (64, 7, 16)],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_ceu(max_classes: int, max_n: int, logit_bits: int, seed: int) -> None:
    passed = simulate(
        TOP,
        {"MaxClasses": max_classes, "MaxN": max_n, "LogitBits": logit_bits},
        "verif.unit.ceu.bench_ceu",
        seed=seed,
    )
    assert passed == 8


@pytest.mark.parametrize(
    "parameters",
    [{"MaxClasses": 1}, {"MaxClasses": 65537}, {"MaxN": 4}, {"MaxN": 65}, {"LogitBits": 31}],
)
def test_illegal_parameters_are_refused(parameters: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, parameters)


@pytest.mark.parametrize(("m", "n"), [(0, 1), (3, 2), (5, 6)])
def test_illegal_ranks_are_noticed(m: int, n: int) -> None:
    with pytest.raises(SimulationError, match="RanksLegal"):
        simulate(
            TOP,
            {"MaxClasses": 10, "MaxN": 5, "LogitBits": 16},
            "verif.unit.ceu.bench_misuse",
            seed=1,
            extra_env={"M": str(m), "N": str(n)},
        )
