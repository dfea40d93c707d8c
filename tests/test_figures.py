"""The accuracy figures: what is written, and what is said of bad input."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from toolflow.study.networks import chosen, read_entries
from toolflow.study.records import ROWS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import figures
import speed_figures

Rows = list[dict[str, str]]

DIGITS = """
[defaults]
wordlengths = ["8", "4", "2/4"]
cumulative = ["4"]
ablation = ["2/4"]
forwarded = ["4", "2/4"]
tolerances = [0.01, 0.05]
statistics_images = 16

[[network]]
name = "digits"
model = "examples/lenet_digits.onnx"
tune = "digits:calib"
check = "digits:test"
"""
IMAGES = 150


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one run on few images."""
    folder = tmp_path_factory.mktemp("figures")
    (folder / "list.toml").write_text(DIGITS)
    assert run(folder, "-o", str(folder / "out"), "--images", str(IMAGES)) == 0
    return folder


def run(folder: Path, *arguments: str) -> int:
    return figures.main(["--list", str(folder / "list.toml"), "--threads", "2", *arguments])


def rows(output: Path, name: str) -> Rows:
    with (output / "out" / "digits" / name).open(newline="") as text:
        return list(csv.DictReader(text))


def test_all_files_are_written(output: Path) -> None:
    names = {path.name for path in (output / "out" / "digits").iterdir()}
    assert names == {*ROWS, "wordlength.png", "ablation.png", "forwarded.png", "accuracy.md"}
    assert [path.name for path in (output / "out").iterdir()] == ["digits"]


@pytest.mark.parametrize("name", ROWS)
def test_columns(output: Path, name: str) -> None:
    table = rows(output, name)
    assert table
    assert list(table[0]) == [field.name for field in fields(ROWS[name])]


def test_accuracies(output: Path) -> None:
    table = {
        (row["method"], row["weight_bits"], row["act_bits"]): row
        for row in rows(output, "wordlength.csv")
    }
    whole = table["float", "32", "32"]
    ours = table["ours", "8", "8"]
    assert float(ours["top1"]) == pytest.approx(float(whole["top1"]), abs=0.01)
    assert float(ours["divergence"]) < 0.01
    assert {row["images"] for row in table.values()} == {str(IMAGES)}
    assert float(table["ours", "2", "4"]["top1"]) > float(table["paper", "2", "4"]["top1"])
    assert ("ours_hpu", "2", "4") in table
    assert ("+output_error", "4", "4") in table


def test_each_ingredient_changes_something(output: Path) -> None:
    table = {row.pop("change"): row for row in rows(output, "ablation.csv")}
    ours = table.pop("ours")
    # No tensor of this network is negative now and then, and refinement may find nothing better.
    del table["-zero_points"], table["+refinement"]
    for change, row in table.items():
        assert row["lpu_divergence"] != ours["lpu_divergence"], change


def test_forwarded_images(output: Path) -> None:
    for row in rows(output, "forwarded.csv"):
        assert float(row["added_error_tune"]) <= float(row["tolerance"])
        assert 0 <= float(row["forwarded_check"]) <= 1
        assert float(row["added_error_check"]) <= float(row["bound_check"])


def test_tables_are_printed_again(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = output / "out" / "digits" / "accuracy.md"
    before = path.read_text()
    path.unlink()
    assert run(output, "-o", str(output / "out"), "--markdown") == 0
    assert path.read_text() == before
    assert "| ours |" in before
    assert before in capsys.readouterr().out


def missing(folder: Path) -> list[str]:
    replaced = DIGITS.replace("digits:test", "nowhere.npz")
    (folder / "list.toml").write_text(replaced)
    return ["--data", str(folder)]


def unreadable(folder: Path) -> list[str]:
    (folder / "list.toml").write_text(DIGITS.replace("digits:test", "broken.npz"))
    (folder / "broken.npz").write_text("no archive")
    return ["--data", str(folder)]


def listed(text: str) -> Callable[[Path], list[str]]:
    def write(folder: Path) -> list[str]:
        (folder / "list.toml").write_text(text)
        return []

    return write


@pytest.mark.parametrize(
    ("prepare", "arguments", "message"),
    [
        (listed(DIGITS), ["--network", "lenet"], "unknown network 'lenet': choose from digits"),
        (listed(DIGITS), ["--markdown"], "holds no figures"),
        (listed("network = 1"), [], "expected [defaults] and [[network]]"),
        (listed("[[network"), [], "not a TOML file"),
        (listed(DIGITS.replace('"2/4"', '"2/9"')), [], "'2/9' is outside 2..8 bits"),
        (listed(DIGITS + "more = 1"), [], "more: Extra inputs"),
        (lambda _: ["--list", "nowhere.toml"], [], "nowhere.toml: cannot be read"),
        (missing, ["--network", "digits"], "nowhere.npz is not there: give --data DIR"),
        (missing, [], "no network of the list has its data"),
        (unreadable, [], "broken.npz cannot be read"),
    ],
)
def test_bad_input(
    prepare: Callable[[Path], list[str]],
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = prepare(tmp_path)
    assert run(tmp_path, *arguments, *more, "-o", str(tmp_path / "out")) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "digits").exists()


def test_a_network_without_data_is_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = DIGITS[DIGITS.index("[[network]]") :].replace('"digits"', '"other"')
    text = DIGITS + second.replace("digits:test", "cifar/test.npz:images")
    (tmp_path / "list.toml").write_text(text)
    entries = chosen(read_entries(tmp_path / "list.toml"), [])
    ready = figures._with_data(entries, tmp_path, must=False)
    assert [entry.name for entry in ready] == ["digits"]
    assert "other is skipped: " in capsys.readouterr().out


def test_a_folder_of_others_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.toml").write_text(DIGITS)
    (tmp_path / "out" / "digits").mkdir(parents=True)
    (tmp_path / "out" / "digits" / "thesis.txt").write_text("mine")
    assert run(tmp_path, "-o", str(tmp_path / "out")) == 2
    assert "other files and no wordlength.csv" in capsys.readouterr().err


def test_the_shipped_list_is_sound() -> None:
    entries = read_entries(figures.LIST)
    assert {"lenet_digits", "vgg_cifar10", "tiny_darknet"} <= {entry.name for entry in entries}
    for entry in entries:
        assert {*entry.cumulative, *entry.ablation} <= {*entry.wordlengths, *entry.ablation}


SPEED = """
devices = ["zc706"]
tolerances = [0.01, 0.05]

[[network]]
name = "lenet"
model = "examples/lenet_digits.onnx"
accuracy_of = "digits"
stated = { lpu = "4", loss = 0.03, baselines = ["6", "8"] }

[[network]]
name = "unstudied"
model = "examples/lenet_digits.onnx"
accuracy_of = "nobody"
"""


@pytest.fixture(scope="module")
def speed(output: Path) -> Path:
    """The folder of the speed figures, of the accuracies of ``output``."""
    (output / "speed.toml").write_text(SPEED)
    assert run_speed(output) == 0
    return output / "out" / "speed"


def run_speed(output: Path) -> int:
    return speed_figures.main(
        ["--list", str(output / "speed.toml"), "--figures", str(output / "out")]
    )


def speed_rows(speed: Path, name: str) -> Rows:
    with (speed / name).open(newline="") as text:
        return list(csv.DictReader(text))


def test_speed_files(speed: Path) -> None:
    names = {path.name for path in speed.iterdir()}
    assert names == {"throughput.csv", "speedup.csv", "lenet.png", "speed.md"}
    assert "stated" in (speed / "speed.md").read_text()


def test_throughput_against_wordlength(speed: Path) -> None:
    table = speed_rows(speed, "throughput.csv")
    assert [row["weight_bits"] for row in table] == ["8", "7", "6", "5", "4", "3", "2"]
    for row in table:
        peak = 2 * int(row["t_p"]) * int(row["t_c"]) * 150e6 / 1e9
        assert float(row["peak_gops"]) == pytest.approx(peak, rel=1e-5)
        assert 0 < float(row["gops"]) <= peak


def test_speedups_compare_what_meets_the_tolerance(output: Path, speed: Path) -> None:
    accuracy = {
        (row["method"], f"{row['weight_bits']}/{row['act_bits']}"): float(row["top1"])
        for row in rows(output, "wordlength.csv")
    }
    forwarded = {
        (
            row["method"],
            f"{row['weight_bits']}/{row['act_bits']}",
            row["tolerance"],
        ): row["forwarded_check"]
        for row in rows(output, "forwarded.csv")
    }
    table = speed_rows(speed, "speedup.csv")
    measured = [row for row in table if row["protocol"] != "stated"]
    assert {row["protocol"] for row in measured} == {"paper", "ours"}
    for row in measured:
        method = row["protocol"]
        required = accuracy[method, "8/8"] - float(row["tolerance"])
        assert accuracy[method, row["baseline"]] >= required
        assert row["forwarded"] == forwarded[method, row["lpu"], row["tolerance"]]
        if method == "paper":
            assert {row["lpu"], row["baseline"]} <= {"8/8", "4/4"}
        ratio = float(row["images_per_s"]) / float(row["baseline_images_per_s"])
        assert float(row["speedup"]) == pytest.approx(ratio, rel=1e-4)


def test_what_is_stated(speed: Path) -> None:
    stated = [row for row in speed_rows(speed, "speedup.csv") if row["protocol"] == "stated"]
    assert [(row["tolerance"], row["baseline"]) for row in stated] == [
        ("0.01", "6/6"), ("0.01", "8/8"), ("0.05", "6/6"), ("0.05", "8/8"),
    ]  # fmt: skip
    assert [float(row["forwarded"]) for row in stated] == pytest.approx([0.02, 0.02, 0, 0])
    assert {row["added_error"] for row in stated} == {""}


def changed(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed("zc706", "no_board"), "no_board"),
        (changed("loss = 0.03", "loss = 3"), "loss"),
        (changed('accuracy_of = "digits"', 'accuracy_of = "nobody"'), "make figures"),
        (changed("tolerances", "tolerance"), "tolerance"),
        (changed("[[", "[[["), "TOML"),
    ],
)
def test_bad_speed_lists(
    output: Path, capsys: pytest.CaptureFixture[str], change: Callable[[str], str], said: str
) -> None:
    (output / "speed.toml").write_text(change(SPEED))
    assert run_speed(output) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error


def test_accuracies_of_an_earlier_version(
    output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(output / "out" / "digits", tmp_path / "digits")
    table = tmp_path / "digits" / "forwarded.csv"
    table.write_text(table.read_text().replace(",method,", ",methods,"))
    (tmp_path / "list.toml").write_text(SPEED)
    arguments = ["--list", str(tmp_path / "list.toml"), "--figures", str(tmp_path)]
    assert speed_figures.main(arguments) == 2
    assert "run `make figures`" in capsys.readouterr().err
    assert not (tmp_path / "speed").exists()
