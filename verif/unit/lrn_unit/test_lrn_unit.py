"""Runs the bench of ``lrn_unit``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "engine" / "lrn_unit.sv"
BENCH = "verif.unit.lrn_unit.bench_lrn_unit"
WIDE = {"VectorLanes": 4, "Lanes": 2, "WordBits": 16, "OutBits": 16, "MaxSize": 11}


@pytest.mark.parametrize(
    ("vector_lanes", "lanes", "word_bits", "out_bits", "max_size"),
    [(4, 4, 8, 16, 5), (16, 4, 8, 8, 5), (2, 2, 16, 16, 15), (8, 8, 8, 8, 7), (4, 1, 3, 4, 3),
     (6, 3, 12, 9, 9)],
)  # fmt: skip
@pytest.mark.parametrize("seed", [1, 2])
def test_lrn_unit(
    vector_lanes: int, lanes: int, word_bits: int, out_bits: int, max_size: int, seed: int
) -> None:
    parameters = {
        "VectorLanes": vector_lanes,
        "Lanes": lanes,
        "WordBits": word_bits,
        "OutBits": out_bits,
        "MaxSize": max_size,
    }
    assert simulate(TOP, parameters, BENCH, seed=seed) == 6


@pytest.mark.parametrize(
    "parameters",
    [{"Lanes": 0}, {"VectorLanes": 6}, {"VectorLanes": 2}, {"WordBits": 1}, {"WordBits": 17},
     {"OutBits": 17}, {"MaxSize": 1}, {"MaxSize": 4}, {"MaxSize": 17}],
)  # fmt: skip
def test_illegal_parameters_are_refused(parameters: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, parameters)


@pytest.mark.parametrize(
    "rule",
    ["CountLegal", "HalfLegal", "SignedWithoutZero", "BoundsOrdered", "ShiftLegal", "SettingsHold",
     "TableWrittenIdle", "SumInTable"],
)  # fmt: skip
def test_broken_rules_are_noticed(rule: str) -> None:
    with pytest.raises(SimulationError, match=rule):
        simulate(TOP, WIDE, "verif.unit.lrn_unit.bench_misuse", seed=1, extra_env={"RULE": rule})
