"""Runs the bench of ``vector_unit``."""

from __future__ import annotations

import json

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "engine" / "vector_unit.sv"


@pytest.mark.parametrize(
    ("lanes", "in_bits", "act_bits", "acc_bits", "leaky"),
    [(4, 16, 8, 46, 1), (2, 16, 16, 46, 1), (3, 8, 5, 32, 0), (1, 16, 2, 40, 1)],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_vector_unit(
    lanes: int, in_bits: int, act_bits: int, acc_bits: int, leaky: int, seed: int
) -> None:
    parameters = {
        "Lanes": lanes,
        "InBits": in_bits,
        "ActBits": act_bits,
        "OutBits": 16,
        "AccBits": acc_bits,
        "LeakySupport": leaky,
    }
    passed = simulate(TOP, parameters, "verif.unit.vector_unit.bench_vector_unit", seed=seed)
    assert passed == 7


@pytest.mark.parametrize(
    "parameters",
    [{"Lanes": 0}, {"InBits": 1}, {"InBits": 17}, {"AccBits": 31}, {"AccBits": 47}],
)
def test_illegal_parameters_are_refused(parameters: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, parameters)


@pytest.mark.parametrize(
    ("misuse", "assertion"),
    [
        ({"flags": [{}, {"last": 1}]}, "FirstComesFirst"),
        ({"flags": [{"first": 1}, {"first": 1, "last": 1}]}, "FirstComesFirst"),
        ({"flags": [{"first": 1}, {"last": 1, "second": 1}]}, "OnlyAdditionHasSecond"),
        (
            {"settings": {"op": 6}, "flags": [{"first": 1, "pad": 1}, {"last": 1}]},
            "OnlyPoolingPads",
        ),
        ({"settings": {"in_signed": 1, "zero_in": 3}}, "ZeroOfUnsignedOnly"),
        ({"settings": {"shift": 30}}, "ShiftFits"),
        (
            {
                "settings": {"count_pad": 0},
                "flags": [{"first": 1, "pad": 1}, {"last": 1, "pad": 1}],
            },
            "DivisorNotZero",
        ),
        ({"word": 0xFFFF, "repeats": 400, "settings": {"zero_in": 0}}, "ProductFits"),
    ],
)
def test_misuse_is_noticed(misuse: dict[str, object], assertion: str) -> None:
    with pytest.raises(SimulationError, match=assertion):
        simulate(
            TOP,
            {"Lanes": 1, "InBits": 16, "ActBits": 8, "OutBits": 16, "AccBits": 40},
            "verif.unit.vector_unit.bench_misuse",
            seed=1,
            extra_env={"MISUSE": json.dumps(misuse)},
        )
