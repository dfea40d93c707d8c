"""Runs the benches of ``weight_planes``."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "quant" / "weight_planes.sv"
HERE = Path(__file__).parent
PACKAGE = "verif.unit.weight_planes"


def parameters(lanes: int, beat_bits: int, max_bits: int) -> dict[str, int]:
    return {"Lanes": lanes, "BeatBits": beat_bits, "MaxBits": max_bits}


@pytest.mark.parametrize(
    ("lanes", "beat_bits", "max_bits", "join"),
    [(128, 64, 8, 1), (128, 64, 8, 0), (128, 128, 5, 1), (6, 3, 16, 1), (1, 1, 2, 1), (8, 2, 7, 0)],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_weight_planes(lanes: int, beat_bits: int, max_bits: int, join: int, seed: int) -> None:
    chosen = {**parameters(lanes, beat_bits, max_bits), "Join": join}
    assert simulate(TOP, chosen, f"{PACKAGE}.bench_weight_planes", seed=seed) == 6


@pytest.mark.parametrize("beat_bits", [64, 128])
def test_image(beat_bits: int) -> None:
    chosen = {**parameters(128, beat_bits, 8), "Join": 1}
    assert simulate(TOP, chosen, f"{PACKAGE}.bench_image", seed=1) == 1


@pytest.mark.parametrize(("lanes", "beat_bits", "max_bits"), [(8, 8, 8), (6, 2, 12)])
@pytest.mark.parametrize("seed", [1, 2])
def test_cut_weights(lanes: int, beat_bits: int, max_bits: int, seed: int) -> None:
    chosen = parameters(lanes, beat_bits, max_bits)
    passed = simulate(HERE / "cut_weights.sv", chosen, f"{PACKAGE}.bench_cut_weights", seed=seed)
    assert passed == 2


@pytest.mark.parametrize(
    "wrong",
    [{"Lanes": 0}, {"BeatBits": 48}, {"BeatBits": 0}, {"MaxBits": 1}, {"MaxBits": 17}],
)
def test_illegal_parameters_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, wrong)


@pytest.mark.parametrize(
    ("high_bits", "low_bits", "join", "assertion"),
    [(0, 2, 1, "WidthsFit"), (5, 4, 1, "WidthsFit"), (5, 1, 0, "WidthsFit")],
)
def test_illegal_widths_are_noticed(
    high_bits: int, low_bits: int, join: int, assertion: str
) -> None:
    with pytest.raises(SimulationError, match=assertion):
        simulate(
            TOP,
            {**parameters(8, 2, 8), "Join": join},
            f"{PACKAGE}.bench_misuse",
            seed=1,
            extra_env={"WIDTHS": f"[{high_bits}, {low_bits}]"},
            testcase="illegal_widths",
        )


def test_widths_that_change_within_a_block_are_noticed() -> None:
    with pytest.raises(SimulationError, match="WidthsStable"):
        simulate(
            TOP, {**parameters(8, 2, 8), "Join": 1}, f"{PACKAGE}.bench_misuse",
            seed=1, testcase="widths_change_within_a_block",
        )  # fmt: skip
