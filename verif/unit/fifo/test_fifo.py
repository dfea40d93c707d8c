"""Runs the benches of ``fifo``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import simulate


@pytest.mark.parametrize(("width", "depth"), [(1, 1), (9, 2), (70, 5), (16, 32)])
@pytest.mark.parametrize("seed", [1, 2])
def test_fifo(width: int, depth: int, seed: int) -> None:
    passed = simulate(
        RTL / "common" / "fifo.sv",
        {"Width": width, "Depth": depth},
        "verif.unit.fifo.bench_fifo",
        seed=seed,
    )
    assert passed == 5
