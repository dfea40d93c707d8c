"""The CIFAR-10 script on a small archive of the official form; nothing is fetched."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolflow.errors import UserError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import fetch_cifar10
from fetch_cifar10 import FOLDER, main, read_batch

TEST_PER_CLASS = 103


def batch(count: int, seed: int) -> dict[bytes, Any]:
    rng = np.random.default_rng(seed)
    return {
        b"batch_label": b"a batch",
        b"labels": [k % 10 for k in range(count)],
        b"data": rng.integers(0, 256, (count, 3072)).astype(np.uint8),
        b"filenames": [b"x.png"] * count,
    }


def pickled(content: object) -> bytes:
    return pickle.dumps(content, protocol=2)


def batches() -> dict[str, bytes]:
    files = {f"data_batch_{k}": pickled(batch(20, k)) for k in range(1, 6)}
    return {**files, "test_batch": pickled(batch(10 * TEST_PER_CLASS, 9))}


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def check_output(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(fetch_cifar10.READY)
    train = np.load(folder / "cifar10_train.npz")
    np.testing.assert_array_equal(
        train["images"][20:40].reshape(20, -1), batch(20, 2)[b"data"], strict=True
    )
    assert train["labels"].tolist() == [k % 10 for k in range(20)] * 5
    plan, test = np.load(folder / "cifar10_eval.npz"), np.load(folder / "cifar10_test.npz")
    assert np.bincount(plan["calib_labels"]).tolist() == [20] * 10
    assert np.bincount(plan["tune_labels"]).tolist() == [80] * 10
    assert np.bincount(test["labels"]).tolist() == [TEST_PER_CLASS - 100] * 10
    parts = [plan["calib"], plan["tune"], test["images"]]
    everything = {image.tobytes() for part in parts for image in part}
    original = batch(10 * TEST_PER_CLASS, 9)[b"data"]
    assert everything == {image.tobytes() for image in original}
    label_of = {image.tobytes(): k % 10 for k, image in enumerate(original)}
    for images, labels in (("calib", "calib_labels"), ("tune", "tune_labels")):
        assert [label_of[one.tobytes()] for one in plan[images]] == plan[labels].tolist()


def test_archive(tmp_path: Path) -> None:
    source = archive(tmp_path / "cifar-10-python.tar.gz", batches())
    assert main(["--from", str(source), "--output", str(tmp_path / "out")]) == 0
    check_output(tmp_path / "out")


@pytest.mark.parametrize("given", ["", FOLDER])
def test_extracted_folder(given: str, tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    for name, content in batches().items():
        (folder / name).write_bytes(content)
    assert main(["--from", str(tmp_path / given), "--output", str(tmp_path / "out")]) == 0
    check_output(tmp_path / "out")


def test_ready_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = archive(tmp_path / "a.tar.gz", batches())
    assert main(["--from", str(source), "--output", str(tmp_path / "one")]) == 0
    assert main(["--from", str(tmp_path / "one"), "--output", str(tmp_path / "two")]) == 0
    check_output(tmp_path / "two")
    np.savez(tmp_path / "one" / "cifar10_test.npz", images=np.zeros((2, 3, 8, 8), np.uint8))
    assert main(["--from", str(tmp_path / "one"), "--output", str(tmp_path / "three")]) == 2
    assert "cifar10_test.npz does not hold CIFAR-10" in capsys.readouterr().err
    assert not (tmp_path / "three").exists()


def test_download_checks_the_md5(tmp_path: Path) -> None:
    source = archive(tmp_path / "a.tar.gz", batches())
    md5 = hashlib.md5(source.read_bytes()).hexdigest()
    fetch_cifar10.download(source.as_uri(), tmp_path / "copy", md5)
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    with pytest.raises(UserError, match="MD5"):
        fetch_cifar10.download(source.as_uri(), tmp_path / "copy", fetch_cifar10.MD5)
    with pytest.raises(UserError, match="--from"):
        fetch_cifar10.download((tmp_path / "none").as_uri(), tmp_path / "copy", md5)


class _Trap:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.target),))


def test_pickles_run_no_code(tmp_path: Path) -> None:
    trap = pickled({**batch(2, 1), b"filenames": _Trap(tmp_path / "sprung")})
    with pytest.raises(UserError, match=r"refers to (posix|nt|os)\.mkdir"):
        read_batch("trap", trap)
    assert not (tmp_path / "sprung").exists()


BAD_BATCHES: dict[str, bytes] = {
    "nothing": b"",
    "text": b"hello",
    "truncated": pickled(batch(3, 1))[:-20],
    "a list": pickled([1, 2]),
    "no labels": pickled({b"data": batch(2, 1)[b"data"]}),
    "other size": pickled({**batch(2, 1), b"data": np.zeros((2, 100), np.uint8)}),
    "labels too large": pickled({**batch(2, 1), b"labels": [1, 10]}),
    "too few labels": pickled({**batch(2, 1), b"labels": [1]}),
}


@pytest.mark.parametrize("case", BAD_BATCHES)
def test_bad_batch(case: str) -> None:
    with pytest.raises(UserError, match="batch 1 is no CIFAR-10 batch"):
        read_batch("batch 1", BAD_BATCHES[case])


def test_bad_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = batches()
    del files["data_batch_3"]
    (tmp_path / "text.tar.gz").write_text("no archive")
    whole = archive(tmp_path / "whole.tar.gz", batches()).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    cases = {
        archive(tmp_path / "a.tar.gz", files): "data_batch_3",
        tmp_path / "text.tar.gz": "cannot be read as a tar archive",
        tmp_path / "cut.tar.gz": "cut.tar.gz",
        tmp_path / "none": "does not exist",
        tmp_path: "data_batch_1 cannot be read",
    }
    for source, expected in cases.items():
        assert main(["--from", str(source), "--output", str(tmp_path / "out")]) == 2
        assert expected in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_output_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = archive(tmp_path / "a.tar.gz", batches())
    (tmp_path / "file").write_text("in the way")
    assert main(["--from", str(source), "--output", str(tmp_path / "file")]) == 2
    assert "choose another --output" in capsys.readouterr().err
