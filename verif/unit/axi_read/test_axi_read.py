"""Runs the benches of ``axi_read``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "axi" / "axi_read.sv"
BENCH = "verif.unit.axi_read.bench_axi_read"

DEFAULT = {"Clients": 3, "DataBits": 64, "MaxBurst": 16, "BufferBeats": 64, "Outstanding": 8}
CONFIGURATIONS = {
    "default": DEFAULT,
    "port_128_long_bursts": {"Clients": 2, "DataBits": 128, "AddrBits": 40, "MaxBurst": 256,
                             "BufferBeats": 512, "Outstanding": 4},
    "single_beats": {"Clients": 4, "DataBits": 64, "MaxBurst": 1, "BufferBeats": 1,
                     "Outstanding": 2},
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_axi_read(name: str) -> None:
    for seed in (1, 2):
        assert simulate(TOP, CONFIGURATIONS[name], BENCH, seed=seed) == 5


def test_bench_sees_a_wrong_beat() -> None:
    with pytest.raises(SimulationError, match="expected"):
        simulate(
            TOP, DEFAULT, BENCH, seed=1, testcase="random_commands",
            extra_env={"PLANTED_ERROR": "1"},
        )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [{"Clients": 0}, {"DataBits": 32}, {"MaxBurst": 257}, {"BufferBeats": 8}, {"AddrBits": 31}],
)
def test_illegal_parameters_do_not_build(change: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, DEFAULT | change)
