"""The commands as a user types them, on the example network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from toolflow.cli import main
from toolflow.confidence.guarantee import PairedOutcomes, error_bound
from toolflow.plan import MODEL_FILE, read_plan

ROOT = Path(__file__).parents[1]
LENET = ROOT / "examples" / "lenet_digits.onnx"
QUICK = ("--eval", "digits:calib", "--device", "pynq-z2", "--hpu-bits", "8", "--lpu-bits", "3/4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan made by the command line."""
    target = tmp_path_factory.mktemp("cli") / "plan"
    assert main(["plan", str(LENET), *QUICK, "-o", str(target)]) == 0
    return target


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, object]:
    capsys.readouterr()
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must end with exit code 2 and one message; return the message."""
    capsys.readouterr()
    assert main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1:] or captured.out
    assert "Traceback" not in captured.err
    return captured.err


class TestPlan:
    def test_has_every_stable_name(self, folder: Path) -> None:
        record = json.loads((folder / "plan.json").read_text())
        assert record["schema_version"] == 5
        assert record["network"].keys() >= {"name", "sha256", "macs"}
        assert record["network"]["macs"] == 153344
        assert (record["metric"], record["tolerance"]) == ("top1", 0.01)
        for unit in ("hpu", "lpu"):
            assert record[unit].keys() >= {"weight_bits", "act_bits", "accuracy"}
        names = {
            "name", "op", "f_weight_hpu", "f_act_hpu", "f_weight_lpu", "f_act_lpu",
            "window_shift", "act_signed",
        }  # fmt: skip
        assert all(layer.keys() >= names for layer in record["layers"])
        assert record["ceu"].keys() >= {"m", "n", "threshold"}
        assert 0 <= record["forwarded_fraction"] <= 1
        assert record["design"].keys() >= {"clock_mhz", "batch", "mapping", "lpu", "hpu"}
        sizes = {"t_r", "t_p", "t_c", "dsp", "lut", "ff", "bram", "cycles_per_image"}
        assert all(record["design"][unit].keys() >= sizes for unit in ("lpu", "hpu"))
        assert record["baseline"].keys() >= {"weight_bits", "act_bits", "images_per_s"}
        assert record["speedup"] == pytest.approx(
            record["images_per_s"] / record["baseline"]["images_per_s"]
        )

    def test_holds_what_was_asked(self, folder: Path) -> None:
        plan = read_plan(folder)
        assert (plan.lpu.weight_bits, plan.lpu.act_bits) == (3, 4)
        assert (plan.hpu.weight_bits, plan.hpu.act_bits) == (8, 8)
        assert plan.cascade_accuracy >= plan.hpu.accuracy - plan.tolerance - 1e-9
        assert plan.baseline.accuracy >= plan.hpu.accuracy - plan.tolerance - 1e-9
        for layer in plan.layers:
            if layer.window_shift is not None:
                assert layer.f_weight_hpu is not None
                assert layer.f_weight_lpu is not None
                assert layer.window_shift == layer.f_weight_hpu - layer.f_weight_lpu >= 0

    def test_design_fits_the_device(self, folder: Path) -> None:
        plan = read_plan(folder)
        for kind in ("dsp", "lut", "ff", "bram"):
            used = getattr(plan.design.lpu, kind) + getattr(plan.design.hpu, kind)
            assert 0 < used <= getattr(plan.device, kind)

    def test_writes_every_file(self, folder: Path) -> None:
        assert {path.name for path in folder.iterdir()} == {
            "plan.json", "model.onnx", "cascade_config_pkg.sv", "weights.bin", "channels.bin",
            "descriptors_lpu.bin", "descriptors_hpu.bin", "memory_map.json", "golden.npz",
            "exp_table.mem", "report.md", "accuracy.png", "throughput.png", "roofline.png",
        }  # fmt: skip
        assert os.listdir(folder.parent) == ["plan"]

    def test_there_is_one_copy_of_the_weights(self, folder: Path) -> None:
        plan = read_plan(folder)
        size = len((folder / "weights.bin").read_bytes())
        weights = plan.network.parameters * plan.hpu.weight_bits / 8
        assert 0.9 * weights < size < 1.1 * weights

    def test_package_says_the_sizes(self, folder: Path) -> None:
        text = (folder / "cascade_config_pkg.sv").read_text()
        plan = read_plan(folder)
        assert f"int unsigned LPU_T_P = {plan.design.lpu.t_p};" in text
        assert f"int unsigned HPU_WEIGHT_BITS = {plan.hpu.weight_bits};" in text
        assert f"int CEU_THRESHOLD = {plan.ceu.threshold_word};" in text

    def test_is_repeatable(self, folder: Path, tmp_path: Path) -> None:
        assert main(["plan", str(LENET), *QUICK, "-o", str(tmp_path / "again")]) == 0
        for name in (
            "plan.json",
            "weights.bin",
            "descriptors_lpu.bin",
            "memory_map.json",
            "report.md",
        ):
            assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()

    def test_json_is_the_plan(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        target = str(tmp_path / "plan")
        code, record = run_json(capsys, "plan", str(LENET), *QUICK, "-o", target)
        assert code == 0
        assert record == json.loads((folder / "plan.json").read_text())

    def test_a_top5_plan(self, tmp_path: Path) -> None:
        target = tmp_path / "plan"
        assert main(["plan", str(LENET), *QUICK, "--metric", "top5", "-o", str(target)]) == 0
        plan = read_plan(target)
        assert plan.metric == "top5"
        assert plan.hpu.accuracy > 0.99
        assert plan.added_error.error_increase == pytest.approx(
            plan.hpu.accuracy - plan.cascade_accuracy
        )
        assert plan.forwarded_fraction < 0.05, "few images lose a top-5 answer"


class TestGuarantee:
    @pytest.fixture(scope="class")
    @staticmethod
    def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
        target = tmp_path_factory.mktemp("certified") / "plan"
        options = ("--guarantee", "0.9", "--tolerance", "0.05", "-o", str(target))
        assert main(["plan", str(LENET), *QUICK, *options]) == 0
        return target

    def test_the_bound_meets_the_tolerance(self, certified: Path, folder: Path) -> None:
        plan = read_plan(certified)
        error = plan.added_error
        assert plan.guarantee == error.confidence == 0.9
        assert error.holds
        assert error.images == 100
        counts = PairedOutcomes(error.losses, error.gains, error.images)
        assert error_bound(counts, 0.9) <= error.error_increase_bound == plan.tolerance
        assert error.error_increase == counts.added_error
        assert plan.baseline.error_increase_bound <= plan.tolerance
        rows = {point.tolerance: point for point in plan.tolerances}
        assert rows[0.0].forwarded_fraction == 1
        assert rows[0.05].forwarded_fraction == plan.forwarded_fraction < 1
        report = (certified / "report.md").read_text()
        assert "with 90 % confidence" in report
        assert "not corrected" not in report
        assert read_plan(folder).guarantee is None

    def test_unseen_images_are_bounded_at_the_same_confidence(
        self, certified: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _, record = run_json(capsys, "evaluate", str(certified), "--data", "digits:test")
        assert isinstance(record, dict)
        assert record["confidence"] == 0.9
        assert record["error_increase"] <= 0.05
        assert record["error_increase_bound"] > record["error_increase"]

    def test_too_few_images_are_said_plainly(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        target = tmp_path / "plan"
        command = ["plan", str(LENET), *QUICK, "--guarantee", "0.95", "-o", str(target)]
        assert main(command) == 0
        message = " ".join(capsys.readouterr().err.split())
        assert "200 labelled images are too few" in message
        assert "at least 399 are needed" in message
        plan = read_plan(target)
        assert plan.forwarded_fraction == 1
        assert plan.added_error.error_increase_bound == 0
        assert plan.added_error.samples_least == 399
        assert plan.cascade_accuracy == plan.hpu.accuracy
        assert "at least 399" in (target / "report.md").read_text()

    def test_without_it_the_bound_is_said_to_be_uncorrected(self, folder: Path) -> None:
        error = read_plan(folder).added_error
        assert not error.holds
        assert error.images == 200
        assert error.error_increase <= 0.01 < error.error_increase_bound
        assert error.error_increase_bound == error_bound(
            PairedOutcomes(error.losses, error.gains, 200), 0.95
        )
        report = (folder / "report.md").read_text()
        assert "not corrected for tuning" in report
        assert "at least 299" in report


class TestEvaluate:
    def test_on_images_that_tuning_did_not_see(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, record = run_json(capsys, "evaluate", str(folder), "--data", "digits:test")
        assert code == 0
        assert isinstance(record, dict)
        assert record["images"] == 599
        assert record["top1_float"] == pytest.approx(0.988313856427379)
        assert record["top1_hpu"] > 0.97
        assert record["top1_cascade"] >= record["top1_lpu"]
        assert record["error_increase"] == pytest.approx(
            record["top1_hpu"] - record["top1_cascade"]
        )
        assert record.keys() >= {"top5_float", "top5_hpu", "top5_lpu", "top5_cascade"}
        assert record["confidence"] == 0.95
        assert record["error_increase"] < record["error_increase_bound"] < 0.1

    def test_repeats_the_plans_own_figures(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _, record = run_json(capsys, "evaluate", str(folder), "--data", "digits:calib")
        plan = read_plan(folder)
        assert isinstance(record, dict)
        assert record["forwarded_fraction"] == plan.forwarded_fraction
        assert record["top1_cascade"] == plan.cascade_accuracy
        assert record["top1_lpu"] == plan.lpu.accuracy
        assert record["top1_float"] == plan.evaluation.float_accuracy

    def test_another_model_in_the_folder_is_noticed(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        copy = shutil.copytree(folder, tmp_path / "plan")
        model = onnx.load(str(copy / MODEL_FILE))
        model.doc_string = "changed"
        onnx.save(model, str(copy / MODEL_FILE))
        assert "not the model" in refused(capsys, "evaluate", str(copy), "--data", "digits:test")

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 99}'])
    def test_a_broken_plan_is_refused(
        self, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "plan.json").write_text(text)
        assert "plan.json" in refused(capsys, "evaluate", str(tmp_path), "--data", "digits:test")

    def test_a_plan_with_a_wrong_field_is_refused(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record = json.loads((folder / "plan.json").read_text())
        record["ceu"]["m"] = "one"
        (tmp_path / "plan.json").write_text(json.dumps(record))
        assert "ceu.m" in refused(capsys, "evaluate", str(tmp_path), "--data", "digits:test")


def test_report_is_made_again(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "plan")
    original = (copy / "report.md").read_text()
    (copy / "report.md").write_text("lost")
    (copy / "roofline.png").unlink()
    assert main(["report", str(copy)]) == 0
    assert (copy / "report.md").read_text() == original
    assert (copy / "roofline.png").read_bytes().startswith(b"\x89PNG")


def test_inspect_lists_every_node(capsys: pytest.CaptureFixture[str]) -> None:
    code, record = run_json(capsys, "inspect", str(LENET))
    assert code == 0
    assert isinstance(record, dict)
    assert record["mappable"]
    assert record["macs"] == 153344
    assert len(record["nodes"]) == len(onnx.load(str(LENET)).graph.node)
    assert main(["inspect", str(LENET)]) == 0
    assert "153,344" in capsys.readouterr().out


def test_devices_lists_at_least_seven(capsys: pytest.CaptureFixture[str]) -> None:
    code, record = run_json(capsys, "devices")
    assert code == 0
    assert isinstance(record, list)
    names = {device["name"] for device in record}
    assert len(names) >= 7
    assert names >= {"zc706", "zcu102", "pynq-z2"}
    assert main(["devices"]) == 0


def test_doctor_knows_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    code, record = run_json(capsys, "doctor")
    assert isinstance(record, list)
    assert code == (0 if all(check["ok"] for check in record) else 1)
    assert {check["what"] for check in record} >= {"Python", "numpy", "g++", "perl"}


class TestBadInput:
    """One clear message, exit code 2, nothing written."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--tolerance", "1.5"), "--tolerance"),
            (("--tolerance", "-0.1"), "--tolerance"),
            (("--tolerance", "much"), "tolerance"),
            (("--guarantee", "0"), "--guarantee"),
            (("--guarantee", "1"), "--guarantee"),
            (("--guarantee", "1.5"), "--guarantee"),
            (("--guarantee", "nan"), "--guarantee"),
            (("--guarantee", "-0.95"), "--guarantee"),
            (("--guarantee", "sure"), "guarantee"),
            (("--metric", "top3"), "--metric"),
            (("--device", "zc7006"), "zc706"),
            (("--device", "missing.toml"), "missing.toml"),
            (("--lpu-bits", "1"), "--lpu-bits"),
            (("--lpu-bits", "4/17"), "--lpu-bits"),
            (("--lpu-bits", "four"), "--lpu-bits"),
            (("--lpu-bits", "8/8", "--hpu-bits", "4"), "--lpu-bits"),
            (("--eval", "absent.npz"), "absent.npz"),
            (("--eval", "digits:nothing"), "digits"),
            (("--mean", "a,b"), "--mean"),
            (("--std", "0"), "std"),
            (("--nonsense",), "nonsense"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_options(
        self,
        arguments: tuple[str, ...],
        message: str,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        target = tmp_path / "plan"
        command = ("plan", str(LENET), *QUICK, "-o", str(target), *arguments)
        assert message in refused(capsys, *command)
        assert list(tmp_path.iterdir()) == []

    def test_truncated_model(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        broken = tmp_path / "broken.onnx"
        broken.write_bytes(LENET.read_bytes()[:-200])
        message = refused(capsys, "plan", str(broken), *QUICK, "-o", str(tmp_path / "plan"))
        assert "broken.onnx" in message
        assert os.listdir(tmp_path) == ["broken.onnx"]

    def test_all_unsupported_operators_at_once(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            [
                helper.make_node("Sigmoid", ["x"], ["a"], name="first"),
                helper.make_node("Erf", ["a"], ["b"], name="second"),
                helper.make_node("GlobalAveragePool", ["b"], ["c"]),
                helper.make_node("Flatten", ["c"], ["y"]),
            ],
            "g",
            [value("x", TensorProto.FLOAT, ["N", 10, 4, 4])],
            [value("y", TensorProto.FLOAT, ["N", 10])],
        )
        path = tmp_path / "odd.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(path))
        message = refused(capsys, "plan", str(path), *QUICK, "-o", str(tmp_path / "plan"))
        assert "first" in message
        assert "Sigmoid" in message
        assert "second" in message
        assert "Erf" in message
        assert main(["inspect", str(path)]) == 2

    @pytest.mark.parametrize(
        ("images", "labels", "message"),
        [
            (np.zeros((4, 1, 9, 9), np.uint8), np.zeros(4, np.int64), "9"),
            (np.zeros((4, 1, 8, 8), np.uint8), np.array([0, 1, 2, 10]), "10"),
            (np.zeros((4, 1, 8, 8), np.uint8), np.array([0, 1, 2, -1]), "-1"),
            (np.zeros((0, 1, 8, 8), np.uint8), np.zeros(0, np.int64), "no "),
            (np.zeros((4, 1, 8, 8), np.uint8), np.zeros(3, np.int64), "3"),
            (np.full((4, 1, 8, 8), np.nan, np.float32), np.zeros(4, np.int64), "nan"),
        ],
        ids=["shape", "label too large", "label negative", "empty", "lengths", "nan"],
    )
    def test_data(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        message: str,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        data = tmp_path / "data.npz"
        np.savez(data, images=images, labels=labels)
        target = tmp_path / "plan"
        command = ("plan", str(LENET), *QUICK, "--eval", str(data), "-o", str(target))
        assert message in refused(capsys, *command).lower()
        assert os.listdir(tmp_path) == ["data.npz"]

    def test_a_device_too_small(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source = ROOT / "toolflow" / "hardware" / "devices" / "pynq-z2.toml"
        lines = [
            "lut = 900" if line.split("=")[0].strip() == "lut" else line
            for line in source.read_text().splitlines()
        ]
        device = tmp_path / "tiny.toml"
        device.write_text("\n".join(lines))
        command = ("plan", str(LENET), *QUICK, "--device", str(device), "-o", str(tmp_path / "p"))
        assert "lut" in refused(capsys, *command).lower()
        assert os.listdir(tmp_path) == ["tiny.toml"]

    def test_output_is_somebody_elses(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "thesis.txt").write_text("precious")
        command = ("plan", str(LENET), *QUICK, "-o", str(tmp_path))
        assert "other files" in refused(capsys, *command)
        assert os.listdir(tmp_path) == ["thesis.txt"]

    def test_no_traceback_from_the_shell(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "toolflow", "plan", str(tmp_path), "--eval", "digits"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("error:")
        assert "Traceback" not in done.stderr


class TestScripts:
    """The studies of the confidence measures and of the guarantee, on the plan made here."""

    def test_compare_confidence(self, folder: Path) -> None:
        """Every measure, with and without a temperature."""
        done = script(
            "compare_confidence.py", folder, "--eval", "digits:calib", "--data", "digits:test"
        )
        assert done.returncode == 0, done.stderr
        header, rows = markdown(done.stdout)
        assert header[:3] == ["measure", "temperature", "separation"]
        assert [row[0] for row in rows[:3]] == ["max-softmax", "entropy", "BvSB"]
        assert [row[1] for row in rows] == 4 * ["1.00"] + 4 * [rows[-1][1]]
        assert all(0.5 < float(row[2]) < 1 for row in rows)
        assert all(len(row) == len(header) for row in rows)

    def test_check_guarantee(self, folder: Path) -> None:
        """What is guaranteed forwards more and is exceeded less often."""
        done = script(
            "check_guarantee.py", folder, "--data", "digits:test", "--data", "digits:calib",
            "--images", "600", "--samples", "12",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        _, rows = markdown(done.stdout)
        assert [row[1] for row in rows] == 2 * ["estimate", "guarantee 0.95"]
        for estimate, guarantee in (rows[:2], rows[2:]):
            above, above_guaranteed = (float(row[4].split()[0]) for row in (estimate, guarantee))
            assert above_guaranteed <= min(above, 25)
            assert float(estimate[2].split()[0]) < float(guarantee[2].split()[0])

    @pytest.mark.parametrize(
        "command",
        [("compare_confidence.py", "--eval", "digits:calib"), ("check_guarantee.py",)],
        ids=lambda command: command[0],
    )
    def test_bad_input(self, command: tuple[str, ...], folder: Path) -> None:
        done = script(command[0], folder, *command[1:], "--data", "absent.npz")
        assert done.returncode == 2
        assert "absent.npz" in done.stderr
        assert "Traceback" not in done.stderr


def script(name: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / name), str(folder), *options],
        capture_output=True,
        text=True,
        check=False,
    )


def markdown(text: str) -> tuple[list[str], list[list[str]]]:
    lines = [line.strip("| ").split(" | ") for line in text.splitlines()]
    return lines[0], lines[2:]
