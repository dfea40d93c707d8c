"""Runs the benches of ``engine_sequencer``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "engine" / "engine_sequencer.sv"
BENCH = "verif.unit.engine_sequencer.bench_engine_sequencer"

CONFIGURATIONS = {
    "port_64": {"TP": 4, "TC": 4, "StoredBits": 8, "DataBits": 64, "MaxImages": 20},
    "port_128_one_image": {"TP": 9, "TC": 12, "StoredBits": 3, "DataBits": 128, "MaxImages": 1},
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("seed", [1, 4711])
def test_engine_sequencer(name: str, seed: int) -> None:
    assert simulate(TOP, CONFIGURATIONS[name], BENCH, seed=seed) == 4


def test_bench_sees_a_missing_job() -> None:
    with pytest.raises(SimulationError, match="assert"):
        simulate(
            TOP, CONFIGURATIONS["port_64"], BENCH, seed=1, testcase="runs",
            extra_env={"PLANTED_ERROR": "1"},
        )  # fmt: skip


@pytest.mark.parametrize("change", [{"TP": 0}, {"TC": 256}, {"StoredBits": 17}, {"DataBits": 32}])
def test_illegal_parameters_do_not_build(change: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, CONFIGURATIONS["port_64"] | change)
