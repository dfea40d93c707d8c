"""Runs the bench of ``channel_settings``."""

from __future__ import annotations

import json

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "quant" / "channel_settings.sv"


@pytest.mark.parametrize(("lanes", "corrected"), [(1, 1), (2, 0), (3, 1)])
@pytest.mark.parametrize("seed", [1, 2])
def test_channel_settings(lanes: int, corrected: int, seed: int) -> None:
    passed = simulate(
        TOP,
        {"Lanes": lanes, "Corrected": corrected},
        "verif.unit.channel_settings.bench_channel_settings",
        seed=seed,
    )
    assert passed == 5


def test_illegal_parameters_are_refused() -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, {"Lanes": 0})


@pytest.mark.parametrize(
    ("fields", "assertion"),
    [
        ({"shift": 1, "step": 31}, "ShiftFits"),
        ({"step": 255}, "ShiftFits"),
        ({"bias": (1 << 31) - 1, "correction": 1}, "BiasFits"),
        ({"bias": -(1 << 31), "correction": -1}, "BiasFits"),
    ],
)
def test_illegal_records_are_noticed(fields: dict[str, int], assertion: str) -> None:
    record = {"bias": 0, "correction": 0, "step": 0, "window": 0, "shift": 0} | fields
    with pytest.raises(SimulationError, match=assertion):
        simulate(
            TOP,
            {"Lanes": 1, "Corrected": 1},
            "verif.unit.channel_settings.bench_misuse",
            seed=1,
            extra_env={"RECORD": json.dumps(record)},
        )
