"""Runs the bench of ``macc``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import simulate

CONFIGURATIONS = {
    "8x8": {"WeightBits": 8, "ActBits": 9, "SumBits": 21},
    "2x4_lut": {"WeightBits": 2, "ActBits": 5, "SumBits": 9, "UseDsp": 0},
    "16x16": {"WeightBits": 16, "ActBits": 17, "SumBits": 48},
    "16x16_wraps": {"WeightBits": 16, "ActBits": 17, "SumBits": 24, "UseDsp": 0},
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("seed", [1, 2])
def test_macc(name: str, seed: int) -> None:
    source = RTL / "mm" / "macc.sv"
    assert simulate(source, CONFIGURATIONS[name], "verif.unit.macc.bench_macc", seed=seed) == 2
