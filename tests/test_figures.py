"""The accuracy figures: what is written, and what is said of bad input."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from toolflow.study.networks import chosen, read_entries
from toolflow.study.records import ROWS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import figures

Rows = list[dict[str, str]]

DIGITS = """
[defaults]
wordlengths = ["8", "2/4"]
cumulative = ["4"]
ablation = ["2/4"]
forwarded = ["2/4"]
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
