"""The whole accelerator in the UVM environment: campaign, recoveries, the environment itself."""

from __future__ import annotations

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


def run(test: str, network: str, precisions: str, traffic: str, seed: int) -> Path:
    """Run a UVM test; return its coverage file."""
    coverage = COVERAGE / f"{test}-{network}-{precisions}-{traffic}.json"
    coverage.unlink(missing_ok=True)
    passed = simulate(
        TOP,
        build_parameters(),
        BENCH,
        seed=seed,
        testcase=test,
        extra_env={
            "UVM_NETWORK": network,
            "UVM_PRECISIONS": precisions,
            "UVM_TRAFFIC": traffic,
            "UVM_COVERAGE": str(coverage),
        },
        extra_sources=[MEMORY],
    )
    assert passed == 1
    return coverage


def test_campaign() -> None:
    """All networks at all precisions and stalls; together they cover every goal."""
    cases = product(NETWORKS, PRECISIONS)
    files = [run("NominalTest", *case, "none", seed) for seed, case in enumerate(cases)]
    counts = merged(files)
    text = table(counts)
    print(text)
    (COVERAGE / "coverage.txt").write_text(text + "\n")
    assert not missing(counts), text


def test_soft_reset() -> None:
    run("ResetTest", "normalised_maps", "built", "heavy", 1)


def test_error_and_recovery() -> None:
    run("RecoveryTest", "normalised_maps", "built", "medium", 2)


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("WrongWordTest", "words differ, the first at 0"),
        ("LostRecordTest", "records: 1 items missing|records: item 1 is"),
        ("ExtraRecordTest", "records: item 5 unexpected"),
        ("ChangedGuardTest", "guards: 1 bytes have changed, the first at 0x0"),
        ("BlindTest", "records: nothing was compared"),
        ("ProtocolTest", "assertion"),
    ],
)
def test_the_environment_fails_when_it_should(test: str, said: str) -> None:
    with pytest.raises(SimulationError, match=said):
        run(test, "normalised_maps", "built", "none", 3)
