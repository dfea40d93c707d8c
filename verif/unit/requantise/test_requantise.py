"""Runs the bench of ``requantise``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "quant" / "requantise.sv"


@pytest.mark.parametrize(
    ("lanes", "acc_bits", "act_bits", "out_bits", "leaky"),
    [(4, 32, 8, 16, 1), (3, 24, 2, 2, 1), (2, 46, 16, 16, 1), (1, 20, 3, 8, 1), (5, 32, 4, 4, 0)],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_requantise(
    lanes: int, acc_bits: int, act_bits: int, out_bits: int, leaky: int, seed: int
) -> None:
    parameters = {
        "Lanes": lanes,
        "AccBits": acc_bits,
        "ActBits": act_bits,
        "OutBits": out_bits,
        "LeakySupport": leaky,
    }
    passed = simulate(
        TOP,
        parameters,
        "verif.unit.requantise.bench_requantise",
        seed=seed,
    )
    assert passed == 5


@pytest.mark.parametrize(
    "parameters",
    [{"Lanes": 0}, {"AccBits": 47}, {"ActBits": 1}, {"OutBits": 17}, {"ActBits": 8, "OutBits": 7}],
)
def test_illegal_parameters_are_refused(parameters: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, parameters)


@pytest.mark.parametrize(
    ("low", "high", "zero", "assertion"),
    [
        (1, 0, 0, "BoundsOrdered"),
        (-9, 3, 0, "BoundsFitWords"),
        (-1, 9, 0, "BoundsFitWords"),
        (-6, 3, 5, "BoundsFitWords"),
        (-5, 11, 5, "BoundsFitWords"),
    ],
)
def test_illegal_bounds_are_noticed(low: int, high: int, zero: int, assertion: str) -> None:
    with pytest.raises(SimulationError, match=assertion):
        simulate(
            TOP,
            {"Lanes": 5, "AccBits": 32, "ActBits": 4, "OutBits": 4, "LeakySupport": 0},
            "verif.unit.requantise.bench_misuse",
            seed=1,
            extra_env={"BOUNDS": f"[{low}, {high}, {zero}]"},
        )
