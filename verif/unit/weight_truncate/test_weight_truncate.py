"""Runs the bench of ``weight_truncate``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "quant" / "weight_truncate.sv"


@pytest.mark.parametrize(
    ("in_bits", "out_bits", "lanes"), [(8, 4, 8), (8, 2, 5), (16, 5, 3), (8, 8, 1), (32, 32, 2)]
)
@pytest.mark.parametrize("seed", [1, 2])
def test_weight_truncate(in_bits: int, out_bits: int, lanes: int, seed: int) -> None:
    passed = simulate(
        TOP,
        {"InBits": in_bits, "OutBits": out_bits, "Lanes": lanes},
        "verif.unit.weight_truncate.bench_weight_truncate",
        seed=seed,
    )
    assert passed == 5


@pytest.mark.parametrize(
    "parameters",
    [
        {"Lanes": 0},
        {"InBits": 1, "OutBits": 1},
        {"InBits": 33},
        {"InBits": 8, "OutBits": 9},
        {"OutBits": 1},
    ],
)
def test_illegal_parameters_are_refused(parameters: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, parameters)
