"""Runs the bench of ``cascade_csr``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, simulate

TOP = RTL / "registers" / "cascade_csr.sv"
BENCH = "verif.unit.cascade_csr.bench_cascade_csr"


@pytest.mark.parametrize("seed", [1, 2])
def test_cascade_csr(seed: int) -> None:
    assert simulate(TOP, {}, BENCH, seed=seed) == 5


def test_planted_error_is_found() -> None:
    with pytest.raises(SimulationError):
        simulate(
            TOP, {}, BENCH, seed=1, testcase="every_register", extra_env={"PLANTED_ERROR": "1"}
        )
