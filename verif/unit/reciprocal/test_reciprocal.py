"""Runs the bench of ``reciprocal``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, simulate

TOP = RTL / "engine" / "reciprocal.sv"


def test_reciprocal() -> None:
    passed = simulate(TOP, {}, "verif.unit.reciprocal.bench_reciprocal", seed=1)
    assert passed == 4


def test_divisor_zero_is_noticed() -> None:
    with pytest.raises(SimulationError, match="DivisorNotZero"):
        simulate(TOP, {}, "verif.unit.reciprocal.bench_misuse", seed=1)
