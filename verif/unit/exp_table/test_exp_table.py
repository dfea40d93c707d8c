"""Runs the bench of ``exp_table``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "ceu" / "exp_table.sv"


@pytest.mark.parametrize(("logit_bits", "tag_bits"), [(16, 7), (12, 1)])
@pytest.mark.parametrize("seed", [1, 2])
def test_exp_table(logit_bits: int, tag_bits: int, seed: int) -> None:
    passed = simulate(
        TOP,
        {"LogitBits": logit_bits, "TagBits": tag_bits},
        "verif.unit.exp_table.bench_exp_table",
        seed=seed,
    )
    assert passed == 4


@pytest.mark.parametrize("parameters", [{"LogitBits": 1}, {"LogitBits": 31}])
def test_illegal_parameters_are_refused(parameters: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, parameters)
