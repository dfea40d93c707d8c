"""Fetch CIFAR-10 from its official source, or take a local copy, and write .npz files.

    python scripts/fetch_cifar10.py [--output build/data] [--from PATH]

PATH is the downloaded cifar-10-python.tar.gz, the folder cifar-10-batches-py extracted from it, or
a folder with ready cifar10_*.npz files (checked and copied). Otherwise three files are written:

    cifar10_train.npz   images, labels: the 50 000 training images
    cifar10_eval.npz    calib, calib_labels: 200 images, tune, tune_labels: 800, to plan with
    cifar10_test.npz    images, labels: the other 9 000 test images, to evaluate on

The images to plan with are from the test split, in equal numbers of each class, because the example
networks may have been trained on any image of the other split; what evaluates a plan is disjoint.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import pickle
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from toolflow.errors import UserError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
SEED = 2018
CALIB_PER_CLASS, TUNE_PER_CLASS = 20, 80
FOLDER = "cifar-10-batches-py"
READY = ("cifar10_train.npz", "cifar10_eval.npz", "cifar10_test.npz")

_TRAIN = tuple(f"data_batch_{k}" for k in range(1, 6))
_TEST = ("test_batch",)
_BLOCK = 1 << 20
_TIMEOUT_S = 60
_MAX_MEMBER = 1 << 26

# All that pickled numpy arrays need; nothing here can run code.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}

Arrays = Mapping[str, NDArray[Any]]
Reader = Callable[[str], bytes]


class _ArraysOnly(pickle.Unpickler):
    """Refuses every global but numpy's array constructors."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_batch(name: str, content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N x 3 x 32 x 32, RGB) and labels of one pickled batch; `UserError` if it is none."""
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
        images = np.asarray(batch[b"data"])
        labels = np.asarray(batch[b"labels"])
        if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != 3 * 32 * 32:
            raise ValueError(f"images are {images.dtype} {images.shape}")
        if labels.dtype.kind != "i" or labels.shape != images.shape[:1]:
            raise ValueError(f"labels are {labels.dtype} {labels.shape}")
        if labels.size and not 0 <= labels.min() <= labels.max() < 10:
            raise ValueError("labels are outside 0..9")
    except Exception as error:  # unpickling damaged bytes raises nearly anything
        raise UserError(
            f"{name} is no CIFAR-10 batch ({error}): fetch the archive again."
        ) from error
    return images.reshape(-1, 3, 32, 32), labels.astype(np.int64)


def read_batches(
    read: Reader, names: tuple[str, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The named batches joined; ``read`` gives a batch's bytes."""
    parts = [read_batch(name, read(name)) for name in names]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def split_test(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> dict[str, Arrays]:
    """The planning images and, disjoint from them, the evaluation images, seeded."""
    rng = np.random.default_rng(SEED)
    calib, tune, rest = [], [], []
    for label in range(10):
        pool = rng.permutation(np.flatnonzero(labels == label))
        if len(pool) <= CALIB_PER_CLASS + TUNE_PER_CLASS:
            raise UserError(f"the test split has only {len(pool)} images of class {label}.")
        calib.append(pool[:CALIB_PER_CLASS])
        tune.append(pool[CALIB_PER_CLASS : CALIB_PER_CLASS + TUNE_PER_CLASS])
        rest.append(pool[CALIB_PER_CLASS + TUNE_PER_CLASS :])
    first, second = (rng.permutation(np.concatenate(part)) for part in (calib, tune))
    others = np.sort(np.concatenate(rest))
    return {
        "cifar10_eval.npz": {
            "calib": images[first],
            "calib_labels": labels[first],
            "tune": images[second],
            "tune_labels": labels[second],
        },
        "cifar10_test.npz": {"images": images[others], "labels": labels[others]},
    }


def convert(read: Reader) -> dict[str, Arrays]:
    """All files to write, by name."""
    images, labels = read_batches(read, _TRAIN)
    train: Arrays = {"images": images, "labels": labels}
    return {"cifar10_train.npz": train, **split_test(*read_batches(read, _TEST))}


def archive_reader(archive: tarfile.TarFile) -> Reader:
    """Reads batches inside the archive; nothing is extracted to disk."""

    def read(name: str) -> bytes:
        try:
            member = archive.getmember(f"{FOLDER}/{name}")
            file = archive.extractfile(member)
        except KeyError:
            file = None
        if file is None or member.size > _MAX_MEMBER:
            raise UserError(f"the archive holds no {FOLDER}/{name}: is it cifar-10-python.tar.gz?")
        return file.read()

    return read


def folder_reader(folder: Path) -> Reader:
    """Reads batches in an extracted folder."""

    def read(name: str) -> bytes:
        try:
            return (folder / name).read_bytes()
        except OSError as error:
            raise UserError(f"{folder / name} cannot be read ({error}).") from error

    return read


def ready_files(folder: Path) -> dict[str, Arrays]:
    """The cifar10_*.npz files of a folder, checked."""
    files: dict[str, Arrays] = {}
    for name in READY:
        path = folder / name
        if not path.is_file():
            continue
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
        except Exception as error:  # damaged archives raise nearly anything
            raise UserError(f"{path} cannot be read ({error}).") from error
        pairs = [("images", "labels")]
        if name == "cifar10_eval.npz":
            pairs = [("calib", "calib_labels"), ("tune", "tune_labels")]
        for images, labels in pairs:
            if (
                images not in arrays
                or labels not in arrays
                or arrays[images].dtype != np.uint8
                or arrays[images].shape != (len(arrays[labels]), 3, 32, 32)
            ):
                raise UserError(f"{path} does not hold CIFAR-10 as {images} and {labels}.")
        files[name] = arrays
    return files


def from_local(path: Path) -> dict[str, Arrays]:
    """What to write, from a local copy in any of the forms that the module's text lists."""
    if path.is_file():
        try:
            with tarfile.open(path, "r:*") as archive:
                return convert(archive_reader(archive))
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UserError(f"{path} cannot be read as a tar archive ({error}).") from error
    if not path.is_dir():
        raise UserError(f"{path} does not exist: give the archive, its folder or .npz files.")
    ready = ready_files(path)
    if ready:
        return ready
    inner = path / FOLDER
    return convert(folder_reader(inner if inner.is_dir() else path))


def download(url: str, target: Path, md5: str) -> None:
    """Download to ``target`` and check its MD5; `UserError` where either fails."""
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as source, target.open("wb") as out:
            while block := source.read(_BLOCK):
                digest.update(block)
                out.write(block)
    except (urllib.error.URLError, OSError) as error:
        raise UserError(
            f"{url} cannot be fetched ({error}): fetch it elsewhere and give it with --from."
        ) from error
    if digest.hexdigest() != md5:
        raise UserError(f"{url}: the MD5 is {digest.hexdigest()}, not {md5}: fetch it again.")


def write(files: Mapping[str, Arrays], output: Path) -> list[Path]:
    """Write the files, each complete or not at all; returns their paths."""
    written = []
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, arrays in files.items():
            with tempfile.NamedTemporaryFile(dir=output, suffix=".part", delete=False) as part:
                try:
                    np.savez_compressed(part, allow_pickle=False, **arrays)
                    os.replace(part.name, output / name)
                except BaseException:
                    Path(part.name).unlink(missing_ok=True)
                    raise
            written.append(output / name)
    except OSError as error:
        raise UserError(
            f"{output} cannot be written ({error}): choose another --output."
        ) from error
    return written


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("build/data"))
    parser.add_argument("--from", dest="source", type=Path, metavar="PATH")
    options = parser.parse_args(arguments)
    try:
        if options.source is not None:
            files = from_local(options.source)
        else:
            with tempfile.TemporaryDirectory() as folder:
                archive = Path(folder) / "cifar-10-python.tar.gz"
                print(f"fetching {URL} (170 MB)", file=sys.stderr)
                download(URL, archive, MD5)
                files = from_local(archive)
        for path in write(files, options.output):
            print(path)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
