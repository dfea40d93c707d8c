"""Runs the benches of ``cascade_control``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import SimulationError, build, simulate

TOP = RTL / "cascade" / "cascade_control.sv"
PACKAGE = "verif.unit.cascade_control"


def parameters(
    data_bits: int, max_batch: int, queue_depth: int, max_classes: int, max_n: int
) -> dict[str, int]:
    return {
        "DataBits": data_bits,
        "MaxBatch": max_batch,
        "QueueDepth": queue_depth,
        "MaxClasses": max_classes,
        "MaxN": max_n,
    }


SIZES = [
    (64, 8, 12, 24, 8),
    (128, 5, 5, 10, 5),
    (64, 1, 1, 2, 5),
    (128, 4, 3, 33, 7),
]
CASES = [*zip(SIZES, range(1, 5), strict=True), (SIZES[0], 5)]


@pytest.mark.parametrize(("sizes", "seed"), CASES)
def test_runs(sizes: tuple[int, int, int, int, int], seed: int) -> None:
    assert simulate(TOP, parameters(*sizes), f"{PACKAGE}.bench_runs", seed=seed) == 6


@pytest.mark.parametrize("sizes", SIZES)
def test_cycles(sizes: tuple[int, int, int, int, int]) -> None:
    assert simulate(TOP, parameters(*sizes), f"{PACKAGE}.bench_cycles", seed=1) == 5


@pytest.mark.parametrize(("sizes", "seed"), CASES)
def test_errors(sizes: tuple[int, int, int, int, int], seed: int) -> None:
    assert simulate(TOP, parameters(*sizes), f"{PACKAGE}.bench_errors", seed=seed) == 8


@pytest.mark.parametrize(
    "wrong",
    [{"DataBits": 32}, {"MaxBatch": 0}, {"MaxBatch": 129}, {"QueueDepth": 0}, {"MaxN": 4}],
)
def test_illegal_parameters_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(SimulationError, match="illegal parameter"):
        build(TOP, wrong)


@pytest.mark.parametrize(
    ("testcase", "assertion"),
    [("end_of_no_run", "DoneOnlyOfARun"), ("data_of_no_command", "DataWasAskedFor")],
)
def test_misuse_is_noticed(testcase: str, assertion: str) -> None:
    with pytest.raises(SimulationError, match=assertion):
        simulate(
            TOP,
            parameters(*SIZES[0]),
            f"{PACKAGE}.bench_misuse",
            seed=1,
            testcase=testcase,
        )
