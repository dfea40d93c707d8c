"""Runs the benches of ``record_reader``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "engine" / "record_reader.sv"
BENCH = "verif.unit.record_reader.bench_record_reader"

LPU = {"TC": 6, "DataBits": 64, "Corrected": 1}
CONFIGURATIONS = {
    "lpu": LPU,
    "hpu_port_128": {"TC": 5, "DataBits": 128, "Corrected": 0},
    "one_column": {"TC": 1, "DataBits": 128, "Corrected": 1},
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_record_reader(name: str) -> None:
    for seed in (1, 2):
        assert simulate(TOP, CONFIGURATIONS[name], BENCH, seed=seed) == 2


def test_bench_sees_a_wrong_shift() -> None:
    with pytest.raises(SimulationError, match="expected"):
        simulate(
            TOP, LPU, BENCH, seed=1, testcase="random_layers", extra_env={"PLANTED_ERROR": "1"}
        )


@pytest.mark.parametrize("change", [{"TC": 0}, {"TC": 256}, {"DataBits": 32}])
def test_illegal_parameters_do_not_build(change: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, LPU | change)
