"""Runs the bench of ``lrn_factor``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "engine" / "lrn_factor.sv"


@pytest.mark.parametrize("sum_bits", [8, 19, 36])
@pytest.mark.parametrize("seed", [1, 2])
def test_lrn_factor(sum_bits: int, seed: int) -> None:
    module = "verif.unit.lrn_factor.bench_lrn_factor"
    assert simulate(TOP, {"SumBits": sum_bits}, module, seed=seed) == 1


@pytest.mark.parametrize("sum_bits", [5, 37])
def test_illegal_parameters_are_refused(sum_bits: int) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, {"SumBits": sum_bits})
