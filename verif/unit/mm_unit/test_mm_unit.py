"""Runs the benches of ``mm_unit``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "mm" / "mm_unit.sv"
BENCH = "verif.unit.mm_unit.bench_mm_unit"

CONFIGURATIONS = {
    "4x4_w8a8": {"TR": 8, "TP": 4, "TC": 4, "WeightBits": 8, "ActBits": 8},
    "3x7_w2a4_mixed": {
        "TR": 5, "TP": 3, "TC": 7, "WeightBits": 2, "ActBits": 4, "DspPes": 3,
    },
    "8x2_w4a4_one_row": {"TR": 1, "TP": 8, "TC": 2, "WeightBits": 4, "ActBits": 4},
    "16x16_w3a8": {"TR": 24, "TP": 16, "TC": 16, "WeightBits": 3, "ActBits": 8, "DspPes": 0},
    "5x3_w16a16": {
        "TR": 4, "TP": 5, "TC": 3, "WeightBits": 16, "ActBits": 16, "AccBits": 48,
    },
    "1x1_w8a8_wraps": {
        "TR": 7, "TP": 1, "TC": 1, "WeightBits": 8, "ActBits": 8, "AccBits": 18,
    },
    "2x5_w16a16_wraps": {
        "TR": 2, "TP": 2, "TC": 5, "WeightBits": 16, "ActBits": 16, "AccBits": 24,
    },
    "7x9_w2a3_four_share": {
        "TR": 6, "TP": 7, "TC": 9, "WeightBits": 2, "ActBits": 3, "PackColumns": 4,
    },
    "9x8_w4a4_three_share_mixed": {
        "TR": 9, "TP": 9, "TC": 8, "WeightBits": 4, "ActBits": 4, "DspPes": 5, "PackColumns": 3,
    },
    "5x6_w8a8_two_share": {
        "TR": 8, "TP": 5, "TC": 6, "WeightBits": 8, "ActBits": 8, "PackColumns": 2,
    },
    "11x5_w8a8_two_share_27": {
        "TR": 4, "TP": 11, "TC": 5, "WeightBits": 8, "ActBits": 8, "DspPes": 4,
        "PackColumns": 2, "DspBits": 27,
    },
    "6x7_w2a2_six_share": {
        "TR": 3, "TP": 6, "TC": 7, "WeightBits": 2, "ActBits": 2, "PackColumns": 6,
    },
    "1x5_w5a6_two_share_wraps": {
        "TR": 5, "TP": 1, "TC": 5, "WeightBits": 5, "ActBits": 6, "AccBits": 9,
        "DspPes": 3, "PackColumns": 2,
    },
}  # fmt: skip

SMALL = CONFIGURATIONS["4x4_w8a8"]


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("seed", [1, 20240])
def test_mm_unit(name: str, seed: int) -> None:
    passed = simulate(TOP, CONFIGURATIONS[name], BENCH, seed=seed)
    assert passed == 6


EXHAUSTIVE = {
    "w4a4_two_share": {
        "TR": 16, "TP": 1, "TC": 32, "WeightBits": 4, "ActBits": 4, "PackColumns": 2,
    },
    "w4a4_three_share": {
        "TR": 16, "TP": 2, "TC": 48, "WeightBits": 4, "ActBits": 4, "PackColumns": 3,
    },
    "w3a4_four_share": {
        "TR": 16, "TP": 1, "TC": 48, "WeightBits": 3, "ActBits": 4, "PackColumns": 4,
    },
    "w2a3_four_share_a_whole_chain": {
        "TR": 8, "TP": 4, "TC": 16, "WeightBits": 2, "ActBits": 3, "PackColumns": 4,
    },
    "w2a2_six_share": {
        "TR": 4, "TP": 1, "TC": 48, "WeightBits": 2, "ActBits": 2, "PackColumns": 6,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", EXHAUSTIVE)
def test_every_product_of_packed_weights(name: str) -> None:
    assert simulate(TOP, EXHAUSTIVE[name], f"{BENCH}_products", seed=1) == 1


def test_exhaustive_bench_sees_a_wrong_word() -> None:
    with pytest.raises(SimulationError, match="accumulators: item"):
        simulate(
            TOP, EXHAUSTIVE["w2a2_six_share"], f"{BENCH}_products", seed=2,
            extra_env={"PLANTED_ERROR": "1"},
        )  # fmt: skip


def test_bench_sees_a_wrong_word() -> None:
    with pytest.raises(SimulationError, match="accumulators: item"):
        simulate(TOP, SMALL, BENCH, seed=3, testcase="products", extra_env={"PLANTED_ERROR": "7"})


@pytest.mark.parametrize(
    ("testcase", "assertion"),
    [
        ("too_many_rows", "RowsFitTile"),
        ("chunk_without_first", "ChunkHasFirst"),
        ("withdrawn_beat", "ActStream_holds_valid"),
    ],
)
def test_assertions_catch_broken_protocol(testcase: str, assertion: str) -> None:
    with pytest.raises(SimulationError, match=f"assertion {assertion} failed"):
        simulate(TOP, SMALL, f"{BENCH}_protocol", seed=4, testcase=testcase)


@pytest.mark.parametrize(
    "change",
    [
        {"ActBits": 1},
        {"WeightBits": 17},
        {"AccBits": 49},
        {"DspPes": 5},
        {"TP": 0},
        {"PackColumns": 0},
        {"PackColumns": 3},
        {"DspBits": 28},
    ],
)
def test_illegal_parameters_do_not_build(change: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, SMALL | change)
