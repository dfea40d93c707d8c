"""The plan that the system benches simulate, made once."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from toolflow.cli import main
from verif.common.rtl_sources import ROOT

PLAN = ROOT / "build" / "verif" / "lenet_digits"
COMMAND = (
    "plan", str(ROOT / "examples" / "lenet_digits.onnx"), "--eval", "digits:calib",
    "--device", "pynq-z2", "--tolerance", "0.01", "--hpu-bits", "8", "--lpu-bits", "3/4",
)  # fmt: skip


@pytest.fixture(scope="session")
def plan_folder() -> Path:
    """A plan of the example network, made by the command a user would type."""
    PLAN.parent.mkdir(parents=True, exist_ok=True)
    marker = PLAN.parent / "made_in_run"
    run = json.dumps({"command": COMMAND, "session": _session()})
    with (PLAN.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists() or marker.read_text() != run:
            assert main([*COMMAND, "-o", str(PLAN)]) == 0
            marker.write_text(run)
    return PLAN


def _session() -> str:
    """Name the pytest run, so that all its workers share one plan and the next makes its own."""
    return os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
