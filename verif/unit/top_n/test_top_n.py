"""Runs the bench of ``top_n``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "ceu" / "top_n.sv"


@pytest.mark.parametrize(
    ("max_n", "logit_bits", "class_bits"), [(8, 16, 10), (5, 16, 4), (2, 4, 6), (16, 8, 7)]
)
@pytest.mark.parametrize("seed", [1, 2])
def test_top_n(max_n: int, logit_bits: int, class_bits: int, seed: int) -> None:
    passed = simulate(
        TOP,
        {"MaxN": max_n, "LogitBits": logit_bits, "ClassBits": class_bits},
        "verif.unit.top_n.bench_top_n",
        seed=seed,
    )
    assert passed == 3


@pytest.mark.parametrize("parameters", [{"MaxN": 1}, {"LogitBits": 1}, {"ClassBits": 0}])
def test_illegal_parameters_are_refused(parameters: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, parameters)
