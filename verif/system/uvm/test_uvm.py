"""The whole accelerator in the UVM environment: campaign, recoveries, the environment itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from toolflow.simulation.rtl_sources import ROOT
from verif.common.simulation import SimulationError, simulate
from verif.system.uvm.campaign import CAMPAIGN, build_parameters
from verif.system.uvm.coverage import merged, missing, table

HERE = Path(__file__).parent
TOP = HERE / "uvm_top.sv"
MEMORY = HERE / "axi_memory.sv"
BENCH = "verif.system.uvm.bench_uvm"
COVERAGE = ROOT / "build" / "verif" / "uvm"


def run(tests: Iterable[str], seed: int) -> int:
    """Run UVM tests in one simulation; return the number of tests passed."""
    return simulate(
        TOP,
        build_parameters(),
        BENCH,
        seed=seed,
        testcase=",".join(tests),
        extra_env={"UVM_COVERAGE": str(COVERAGE)},
        extra_sources=[MEMORY],
    )


def test_campaign() -> None:
    """All networks at all precisions and stalls; together they cover every goal."""
    files = [COVERAGE / f"{name}.json" for name in CAMPAIGN]
    for path in files:
        path.unlink(missing_ok=True)
    assert run(CAMPAIGN, 1) == len(CAMPAIGN)
    counts = merged(files)
    text = table(counts)
    print(text)
    (COVERAGE / "coverage.txt").write_text(text + "\n")
    assert not missing(counts), text


def test_soft_reset_and_recovery_from_errors() -> None:
    tests = ("ResetTest", "RecoveryTest")
    assert run(tests, 2) == len(tests)


def test_planted_errors_are_found() -> None:
    """Each in a run of its own; the scoreboards themselves judge what was said."""
    planted = ("WrongWord", "LostRecord", "ExtraRecord", "LostStep", "ChangedGuard")
    tests = [f"{name}Test" for name in planted]
    assert run(tests, 3) == len(tests)


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("BlindTest", "records: nothing was compared"),
        ("ChangedWeightTest", "words differ, the first at"),
        ("ProtocolTest", "assertion ArLegal failed"),
    ],
)
def test_failures_end_the_test(test: str, said: str) -> None:
    with pytest.raises(SimulationError, match=said):
        run([test], 3)
