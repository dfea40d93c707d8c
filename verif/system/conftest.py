"""The plans that the system benches simulate, each made once."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from toolflow.cli import main
from toolflow.simulation.rtl_sources import ROOT
from verif.system.leaky_network import write_images, write_model

PLANS = ROOT / "build" / "verif"
LENET = (
    "plan", str(ROOT / "examples" / "lenet_digits.onnx"), "--eval", "digits:calib",
    "--device", "pynq-z2", "--tolerance", "0.01", "--hpu-bits", "8", "--lpu-bits", "3/4",
)  # fmt: skip
LEAKY_MODEL, LEAKY_IMAGES = PLANS / "leaky.onnx", PLANS / "leaky.npz"
LEAKY = (
    "plan", str(LEAKY_MODEL), "--eval", str(LEAKY_IMAGES),
    "--device", "pynq-z2", "--tolerance", "0.2", "--hpu-bits", "8", "--lpu-bits", "3/4",
)  # fmt: skip


@pytest.fixture(scope="session")
def plan_folder() -> Path:
    """A plan of the example network, made by the command a user would type."""
    return _planned("lenet_digits", LENET, lambda: None)


@pytest.fixture(scope="session")
def leaky_plan_folder() -> Path:
    """A plan of a network whose tensors have zero points."""

    def prepare() -> None:
        write_model(LEAKY_MODEL)
        write_images(LEAKY_IMAGES, LEAKY_MODEL)

    return _planned("leaky", LEAKY, prepare)


def _planned(name: str, command: Sequence[str], prepare: Callable[[], None]) -> Path:
    """Run a command once in a pytest run; return the plan's folder."""
    PLANS.mkdir(parents=True, exist_ok=True)
    folder, marker = PLANS / name, PLANS / f"{name}.made_in_run"
    run = json.dumps({"command": command, "session": _session()})
    with (PLANS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists() or marker.read_text() != run:
            prepare()
            assert main([*command, "-o", str(folder)]) == 0
            marker.write_text(run)
    return folder


def _session() -> str:
    """Name the pytest run, so that all its workers share one plan and the next makes its own."""
    return os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
