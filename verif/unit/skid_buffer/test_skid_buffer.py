"""Runs the benches of ``skid_buffer``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import simulate


@pytest.mark.parametrize("width", [1, 13, 100])
@pytest.mark.parametrize("seed", [1, 2])
def test_skid_buffer(width: int, seed: int) -> None:
    passed = simulate(
        RTL / "common" / "skid_buffer.sv",
        {"Width": width},
        "verif.unit.skid_buffer.bench_skid_buffer",
        seed=seed,
    )
    assert passed == 5
