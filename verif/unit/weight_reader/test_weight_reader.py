"""Runs the benches of ``weight_reader``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "engine" / "weight_reader.sv"
BENCH = "verif.unit.weight_reader.bench_weight_reader"

HPU = {"TR": 8, "TP": 16, "TC": 6, "StoredBits": 8, "WeightBits": 8, "BufferWords": 8192,
       "DataBits": 64, "Join": 1}  # fmt: skip

CONFIGURATIONS = {
    "hpu": HPU,
    "lpu": {"TR": 4, "TP": 12, "TC": 9, "StoredBits": 8, "WeightBits": 4, "BufferWords": 8192,
            "DataBits": 128, "Join": 0},
    "odd_hpu": {"TR": 1, "TP": 27, "TC": 4, "StoredBits": 9, "WeightBits": 9, "BufferWords": 4096,
                "DataBits": 128, "Join": 1},
    "narrow_lpu": {"TR": 3, "TP": 1, "TC": 2, "StoredBits": 5, "WeightBits": 2,
                   "BufferWords": 1024, "DataBits": 64, "Join": 0},
    "deep_lpu": {"TR": 4, "TP": 96, "TC": 5, "StoredBits": 8, "WeightBits": 3, "BufferWords": 8192,
                 "DataBits": 128, "Join": 0},
    "deepest_hpu": {"TR": 5, "TP": 128, "TC": 6, "StoredBits": 6, "WeightBits": 6,
                    "BufferWords": 8192, "DataBits": 64, "Join": 1},
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_weight_reader(name: str) -> None:
    for seed in (1, 2):
        assert simulate(TOP, CONFIGURATIONS[name], BENCH, seed=seed) == 4


def test_bench_sees_a_wrong_word() -> None:
    with pytest.raises(SimulationError, match="expected"):
        simulate(
            TOP, HPU, BENCH, seed=1, testcase="random_layers", extra_env={"PLANTED_ERROR": "1"}
        )


@pytest.mark.parametrize(
    "change",
    [{"TP": 0}, {"TP": 129}, {"TC": 0}, {"StoredBits": 17}, {"WeightBits": 7},
     {"BufferWords": 5000}, {"DataBits": 32}],
)  # fmt: skip
def test_illegal_parameters_do_not_build(change: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, HPU | change)
