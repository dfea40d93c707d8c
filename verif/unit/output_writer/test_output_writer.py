"""Runs the bench of ``output_writer``."""

from __future__ import annotations

import json

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "engine" / "output_writer.sv"


@pytest.mark.parametrize(
    ("columns", "vector_lanes", "data_bits"),
    [(4, 4, 64), (7, 8, 128), (16, 8, 64), (1, 12, 64), (20, 16, 128)],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_output_writer(columns: int, vector_lanes: int, data_bits: int, seed: int) -> None:
    passed = simulate(
        TOP,
        {"TC": columns, "VectorLanes": vector_lanes, "DataBits": data_bits},
        "verif.unit.output_writer.bench_output_writer",
        seed=seed,
    )
    assert passed == 7


@pytest.mark.parametrize(
    "parameters", [{"TC": 0}, {"TC": 256}, {"VectorLanes": 6}, {"DataBits": 32}]
)
def test_illegal_parameters_are_refused(parameters: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, parameters)


@pytest.mark.parametrize(
    ("misuse", "assertion"),
    [
        ({"settings": {"container": 0}}, "ContainerLegal"),
        ({"settings": {"container": 5}}, "ContainerLegal"),
        ({"settings": {"rows": 0}}, "RowsLegal"),
        ({"settings": {"groups": 0}}, "ColumnsLegal"),
        ({"job": {"last": 6}}, "ColumnsLegal"),
        ({"vector": True, "settings": {"channels": 0}}, "ChannelsLegal"),
        ({"settings": {"container": 2, "groups": 2}}, "WholeBytes"),
        ({"later": {"pitch": 5}}, "SettingsStable"),
    ],
)
def test_misuse_is_noticed(misuse: dict[str, object], assertion: str) -> None:
    with pytest.raises(SimulationError, match=assertion):
        simulate(
            TOP,
            {"TC": 5, "VectorLanes": 4, "DataBits": 64},
            "verif.unit.output_writer.bench_misuse",
            seed=1,
            extra_env={"MISUSE": json.dumps(misuse)},
        )
