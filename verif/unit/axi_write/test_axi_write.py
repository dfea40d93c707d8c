"""Runs the benches of ``axi_write``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "axi" / "axi_write.sv"
BENCH = "verif.unit.axi_write.bench_axi_write"

DEFAULT = {"DataBits": 64, "MaxBurst": 16, "BufferBeats": 64, "Outstanding": 8}
CONFIGURATIONS = {
    "default": DEFAULT,
    "port_128_long_bursts": {"DataBits": 128, "AddrBits": 40, "MaxBurst": 256,
                             "BufferBeats": 512, "Outstanding": 16},
    "single_beats": {"DataBits": 64, "MaxBurst": 1, "BufferBeats": 4, "Outstanding": 16},
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_axi_write(name: str) -> None:
    for seed in (1, 2):
        assert simulate(TOP, CONFIGURATIONS[name], BENCH, seed=seed) == 4


def test_bench_sees_a_wrong_byte() -> None:
    with pytest.raises(SimulationError, match="differs"):
        simulate(
            TOP, DEFAULT, BENCH, seed=1, testcase="random_runs", extra_env={"PLANTED_ERROR": "1"}
        )


@pytest.mark.parametrize(
    "change",
    [{"DataBits": 32}, {"MaxBurst": 257}, {"BufferBeats": 8}, {"AddrBits": 31}, {"Outstanding": 1}],
)
def test_illegal_parameters_do_not_build(change: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, DEFAULT | change)
