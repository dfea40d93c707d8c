"""The whole accelerator in the UVM environment: campaign, recoveries, the environment itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from toolflow.simulation.rtl_sources import ROOT
from verif.common.simulation import SimulationError, simulate
from verif.system.uvm.campaign import NETWORKS, PRECISIONS, build_parameters
from verif.system.uvm.coverage import merged, missing, table

HERE = Path(__file__).parent
TOP = HERE / "uvm_top.sv"
MEMORY = HERE / "axi_memory.sv"
BENCH = "verif.system.uvm.bench_uvm"
COVERAGE = ROOT / "build" / "verif" / "uvm"


def coverage_file(*words: str) -> Path:
    """Return where a run's coverage is written."""
    return COVERAGE / f"{'-'.join(words)}.json"


def run_tests(tests: Sequence[str], network: str, precisions: str, traffic: str, seed: int) -> int:
    """Run UVM tests in one simulation; return the number of tests passed."""
    return simulate(
        TOP,
        build_parameters(),
        BENCH,
        seed=seed,
        testcase=",".join(tests),
        extra_env={
            "UVM_NETWORK": network,
            "UVM_PRECISIONS": precisions,
            "UVM_TRAFFIC": traffic,
            "UVM_COVERAGE": str(coverage_file(tests[0], network, precisions, traffic)),
        },
        extra_sources=[MEMORY],
    )


def test_campaign() -> None:
    """All networks at all precisions and stalls; together they cover every goal."""
    files = []
    for seed, (network, precisions) in enumerate(product(NETWORKS, PRECISIONS)):
        coverage = coverage_file("NominalTest", network, precisions, "none")
        coverage.unlink(missing_ok=True)
        assert run_tests(["NominalTest"], network, precisions, "none", seed) == 1
        files.append(coverage)
    counts = merged(files)
    text = table(counts)
    print(text)
    (COVERAGE / "coverage.txt").write_text(text + "\n")
    assert not missing(counts), text


def test_soft_reset_and_recovery_from_errors() -> None:
    tests = ("ResetTest", "RecoveryTest")
    assert run_tests(tests, "normalised_maps", "built", "medium", 2) == len(tests)


def test_planted_errors_are_found() -> None:
    """Each in a run of its own; the scoreboards themselves judge what was said."""
    planted = ("WrongWord", "LostRecord", "ExtraRecord", "LostStep", "ChangedGuard")
    tests = [f"{name}Test" for name in planted]
    assert run_tests(tests, "normalised_maps", "built", "none", 3) == len(tests)


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
        run_tests([test], "normalised_maps", "built", "none", 3)
