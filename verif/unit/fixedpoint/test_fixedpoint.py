"""Runs the bench of the arithmetic in ``cascade_pkg``."""

from __future__ import annotations

from pathlib import Path

from verif.common.simulation import simulate


def test_fixedpoint() -> None:
    passed = simulate(
        Path(__file__).parent / "fixedpoint_wrapper.sv",
        {},
        "verif.unit.fixedpoint.bench_fixedpoint",
        seed=1,
    )
    assert passed == 4
