"""The whole toolflow on a real network and real images: CIFAR-10, tuned and checked apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolflow.cli import main
from toolflow.confidence.guarantee import PairedOutcomes, error_bound
from toolflow.plan import read_plan

MODEL = Path(__file__).parents[1] / "examples" / "vgg_cifar10.onnx"
FLOAT_ON_TEST = 0.8705
"""onnxruntime's accuracy on the same 2000 images, from the model's record."""


def test_a_cascade_for_cifar10(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = shared / "cifar10"
    folder = tmp_path / "plan"
    command = (
        "plan", str(MODEL), "--eval", str(images / "cifar10_eval.npz"), "--lpu-bits", "4/3",
        "--hpu-bits", "8", "--tolerance", "0.01", "-o", str(folder),
    )  # fmt: skip
    assert main(list(command)) == 0
    plan = read_plan(folder)
    assert plan.evaluation.images == 1000
    assert plan.hpu.accuracy >= plan.evaluation.float_accuracy - 0.005
    assert 0 < plan.forwarded_fraction < 0.3
    assert plan.cascade_accuracy >= plan.hpu.accuracy - 0.01 - 1e-9

    capsys.readouterr()
    test = str(images / "cifar10_test.npz")
    assert main(["evaluate", str(folder), "--data", test, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["images"] == 2000
    assert record["top1_float"] == FLOAT_ON_TEST
    assert record["top1_hpu"] >= FLOAT_ON_TEST - 0.01
    assert record["top1_lpu"] < record["top1_cascade"] < record["top1_hpu"] + 0.005
    # Tuned on 1000 images without a guarantee, the error may overshoot by sampling: two standard
    # errors of the difference of two accuracies that disagree on few images.
    assert record["error_increase"] <= 0.01 + 0.02
    assert record["error_increase_bound"] < 0.03
    assert record["forwarded_fraction"] == pytest.approx(plan.forwarded_fraction, abs=0.05)


def test_a_guaranteed_cascade_for_cifar10(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tolerance is held by a bound on 750 images, and by 2000 others."""
    images = shared / "cifar10"
    folder = tmp_path / "plan"
    command = (
        "plan", str(MODEL), "--eval", str(images / "cifar10_eval.npz"), "--lpu-bits", "4/4",
        "--hpu-bits", "8", "--tolerance", "0.02", "--guarantee", "0.95", "-o", str(folder),
    )  # fmt: skip
    assert main(list(command)) == 0
    plan = read_plan(folder)
    error = plan.added_error
    assert error.holds
    assert error.images == 750
    counts = PairedOutcomes(error.losses, error.gains, error.images)
    assert error_bound(counts, 0.95) <= error.error_increase_bound == 0.02
    assert plan.baseline.error_increase_bound <= 0.02
    assert 0 < plan.forwarded_fraction < 0.4

    capsys.readouterr()
    test = str(images / "cifar10_test.npz")
    assert main(["evaluate", str(folder), "--data", test, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    # Not the bound of these images: that is above the truth in 95 of 100 cases by construction.
    assert record["error_increase"] <= 0.02
