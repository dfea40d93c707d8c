"""Runs the bench of ``row_pool``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "engine" / "row_pool.sv"


@pytest.mark.parametrize(("lanes", "bits", "width"), [(4, 8, 4), (1, 2, 1), (3, 16, 7), (5, 5, 30)])
@pytest.mark.parametrize("seed", [1, 2])
def test_row_pool(lanes: int, bits: int, width: int, seed: int) -> None:
    parameters = {"Lanes": lanes, "Bits": bits, "Width": width}
    passed = simulate(TOP, parameters, "verif.unit.row_pool.bench_row_pool", seed=seed)
    assert passed == 4


@pytest.mark.parametrize("parameters", [{"Bits": 1}, {"Bits": 17}, {"Width": 0}])
def test_illegal_parameters_are_refused(parameters: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, parameters)
