"""Labelled images for planning and evaluation, checked against the network that reads them."""

from __future__ import annotations

import csv
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from toolflow.errors import UserError
from toolflow.network.graph import FloatArray, Network, Preprocessing
from toolflow.network.metadata import PreprocessingOverride, apply_override

# An image up to this much larger than the input is cropped only: 256 for 224, as is the custom.
_CROP_ONLY = 256 / 224
_CSV_COLUMNS = ("file", "class_index")
_DIGITS_SEED = 2018
_MODES = {"RGB": "RGB", "BGR": "RGB", "grey": "L"}


@dataclass(frozen=True, eq=False)
class Samples:
    """``images`` N x C x H x W, uint8 or float32 as read (not pre-processed); ``labels`` N."""

    images: NDArray[np.uint8] | FloatArray
    labels: NDArray[np.int64]
    name: str

    def __len__(self) -> int:
        return len(self.labels)


def load_samples(
    spec: str, network: Network, overrides: PreprocessingOverride | None = None
) -> Samples:
    """Labelled images that fit ``network``.

    ``spec`` is one of

    * ``PATH.npz``: ``images`` and ``labels``, or else every pair ``X`` and ``X_labels`` in the
      file, joined in name order; ``PATH.npz:X`` picks one pair. The channels must stand in the
      network's order;
    * a folder with ``labels.csv``, or such a CSV file: columns ``file`` (relative to the CSV's
      folder) and ``class_index``. Images are fitted to the input (see `_fitted`), channels in the
      network's order;
    * ``digits:calib``, ``digits:test`` or ``digits`` (both): those of scikit-learn's digits that
      the example network was not trained on. ``calib`` is for planning, ``test`` for evaluation.

    ``overrides`` are the user's pre-processing, where the network was loaded without them. Raises
    `UserError` on anything that does not fit.
    """
    preprocessing = apply_override(network.preprocessing, overrides, network.input_shape[0])
    if spec == "digits" or spec.startswith("digits:"):
        images, labels = _digits(spec)
    elif spec.lower().endswith(".npz"):
        images, labels = _npz(spec, "")
    elif spec.rpartition(":")[0].lower().endswith(".npz"):
        path, _, part = spec.rpartition(":")
        images, labels = _npz(path, part)
    else:
        images, labels = _images_by_csv(spec, network, preprocessing)
    images = _checked_images(spec, images, network)
    labels = _checked_labels(spec, labels, len(images), network.classes)
    if images.dtype == np.float32 and preprocessing.scale > 2 and images.max() <= 1:
        raise UserError(
            f"{spec}: no image value is above 1, but the pre-processing divides by "
            f"{preprocessing.scale:g}: the images seem to be scaled already; store them unscaled, "
            "or state --scale 1."
        )
    return Samples(images, labels, spec)


def preprocess(samples: Samples, preprocessing: Preprocessing) -> FloatArray:
    """``(image / scale - mean) / std`` per channel, float32 N x C x H x W."""
    mean, std = (
        np.asarray(values, np.float32).reshape(-1, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    result = samples.images.astype(np.float32)
    result /= np.float32(preprocessing.scale)
    result -= mean
    result /= std
    return result


def _checked_images(spec: str, images: NDArray[Any], network: Network) -> NDArray[Any]:
    if not len(images):
        raise UserError(f"{spec} holds no images: give at least one.")
    expected = network.input_shape
    if images.shape[1:] != expected:
        hint = "save them in that shape"
        if images.ndim == 4 and (images.shape[3], *images.shape[1:3]) == expected:
            hint = "move the channels forward with images.transpose(0, 3, 1, 2)"
        elif images.ndim == 3 and (1, *images.shape[1:]) == expected:
            hint = "add the channel axis with images[:, None]"
        raise UserError(
            f"{spec}: images have the shape {_size(images.shape)}, the network {network.name} "
            f"takes N x {_size(expected)}: {hint}."
        )
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise UserError(
            f"{spec}: images are {images.dtype}; uint8 and float32 are read: "
            "save them with images.astype('uint8') or astype('float32')."
        )
    with np.errstate(over="ignore"):
        images = images.astype(np.float32, copy=False)
    finite = np.isfinite(images).reshape(len(images), -1).all(axis=1)
    if not finite.all():
        raise UserError(
            f"{spec}: {int((~finite).sum())} images hold NaN or infinity, "
            f"the first is image {int(finite.argmin())}: leave them out or repair them."
        )
    return images


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _checked_labels(
    spec: str, labels: NDArray[Any], images: int, classes: int
) -> NDArray[np.int64]:
    if labels.ndim != 1:
        hint = " (class indices from one-hot rows: labels.argmax(1))" if labels.ndim == 2 else ""
        raise UserError(
            f"{spec}: labels have the shape {_size(labels.shape)}, one class index an image is "
            f"expected{hint}."
        )
    if len(labels) != images:
        raise UserError(f"{spec}: {images} images but {len(labels)} labels: give one for each.")
    if labels.dtype.kind not in "iuf":
        raise UserError(f"{spec}: labels are {labels.dtype}; give class indices as integers.")
    if labels.dtype.kind == "f" and not (labels == np.floor(labels)).all():
        wrong = int((labels != np.floor(labels)).argmax())
        raise UserError(
            f"{spec}: label {wrong} is {labels[wrong]}, no integer: give class indices."
        )
    bad = (labels < 0) | (labels >= classes)
    if bad.any():
        wrong = int(bad.argmax())
        raise UserError(
            f"{spec}: label {wrong} is {labels[wrong]}, outside the network's classes "
            f"0..{classes - 1} ({int(bad.sum())} such labels): use the network's class indices."
        )
    return labels.astype(np.int64)


# .npz files


def _npz(path: str, part: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Images and labels; ``part`` names the images, or is empty."""
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist or is no file: check the path of the images.")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UserError(f"{path} is a single array, not an .npz file: use numpy.savez.")
        with archive:
            pairs = _pairs(path, archive.files, part)
            parts = [(archive[images], archive[labels]) for images, labels in pairs]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"{path} cannot be read as an .npz file of plain arrays ({error}): save it again with "
            "numpy.savez_compressed (arrays of Python objects are never loaded)."
        ) from error
    shapes = {images.shape[1:] for images, _ in parts}
    kinds = {images.dtype for images, _ in parts}
    if len(shapes) > 1 or len(kinds) > 1:
        names = ", ".join(images for images, _ in pairs)
        raise UserError(f"{path}: {names} differ in shape or type: pick one with {path}:NAME.")
    for (name, _), (images, labels) in zip(pairs, parts, strict=True):
        if images.ndim < 1 or labels.ndim < 1:
            raise UserError(f"{path}: {name} or its labels are a single number, not an array.")
        if len(images) != len(labels):
            raise UserError(
                f"{path}: {name} has {len(images)} images but {len(labels)} labels: "
                "give one label for each image."
            )
    return (
        np.concatenate([images for images, _ in parts]),
        np.concatenate([labels for _, labels in parts]),
    )


def _pairs(path: str, keys: list[str], part: str) -> list[tuple[str, str]]:
    """Names of images and their labels in the archive."""
    found = [(key, f"{key}_labels") for key in sorted(keys) if f"{key}_labels" in keys]
    if "images" in keys and "labels" in keys:
        found.insert(0, ("images", "labels"))
    if not found:
        raise UserError(
            f"{path} holds {', '.join(sorted(keys)) or 'nothing'}: 'images' and 'labels' are "
            "expected, or pairs 'X' and 'X_labels'."
        )
    if part:
        chosen = [pair for pair in found if pair[0] == part]
        if not chosen:
            names = ", ".join(name for name, _ in found)
            raise UserError(f"{path} holds no images {part!r} with labels: choose from {names}.")
        return chosen[:1]
    return found[:1] if found[0] == ("images", "labels") else found


# Images listed in a CSV file


def _images_by_csv(
    spec: str, network: Network, preprocessing: Preprocessing
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    path = Path(spec)
    table = path / "labels.csv" if path.is_dir() else path
    if not table.is_file():
        missing = f"{path} has no labels.csv" if path.is_dir() else f"{path} does not exist"
        raise UserError(
            f"{missing}: give a folder with labels.csv (columns file,class_index), such a CSV "
            "file, an .npz file, or digits:calib."
        )
    if len(network.input_shape) != 3:
        raise UserError(f"{spec}: the network takes vectors, not images: give an .npz file.")
    channels, height, width = network.input_shape
    channel_order = preprocessing.channel_order
    if channels != (1 if channel_order == "grey" else 3):
        raise UserError(
            f"{spec}: image files give 3 channels (or 1, grey), the network takes {channels} "
            f"({channel_order}): give an .npz file, or state the channel order."
        )
    rows = _csv_rows(table)
    images = np.empty((len(rows), channels, height, width), np.uint8)
    for target, (line, file, _) in zip(images, rows, strict=True):
        target[...] = _image(table, line, file, (height, width), preprocessing)
    return images, np.array([label for _, _, label in rows], np.int64)


def _csv_rows(table: Path) -> list[tuple[int, str, int]]:
    """(line, file, class index) of every row."""
    rows = []
    try:
        with table.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.DictReader(text)
            missing = [name for name in _CSV_COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(
                    f"{table}:1: column {' and '.join(missing)} missing: the first line must name "
                    "the columns, at least file,class_index."
                )
            for row in reader:
                rows.append((reader.line_num, *_csv_row(table, reader.line_num, row)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table} cannot be read ({error}): save it as UTF-8 CSV.") from error
    return rows


def _csv_row(table: Path, line: int, row: dict[str | Any, str | Any]) -> tuple[str, int]:
    file, label = row["file"], row["class_index"]
    if not file or label is None or None in row:
        raise UserError(f"{table}:{line}: the line does not have the header's columns.")
    try:
        index = int(label)
    except ValueError:
        index = -1
    if not 0 <= index < 1 << 31:
        raise UserError(f"{table}:{line}: class_index is {label!r}, a class index is expected.")
    return file, index


def _image(
    table: Path, line: int, file: str, size: tuple[int, int], preprocessing: Preprocessing
) -> NDArray[np.uint8]:
    path = table.parent / file
    channel_order = preprocessing.channel_order
    try:
        with Image.open(path) as image:
            converted = image.convert(_MODES[channel_order])
            pixels = np.asarray(_fitted(converted, size, preprocessing.short_side))
    except FileNotFoundError:
        raise UserError(f"{table}:{line}: image {path} does not exist: correct the line.") from None
    except (
        OSError,
        ValueError,
        SyntaxError,
        UnidentifiedImageError,
        Image.DecompressionBombError,
    ) as error:
        raise UserError(f"{table}:{line}: image {path} cannot be read ({error}).") from error
    if channel_order == "grey":
        return pixels[None]
    planes = pixels.transpose(2, 0, 1)
    return planes[::-1] if channel_order == "BGR" else planes


def _fitted(image: Image.Image, size: tuple[int, int], short_side: int | None) -> Image.Image:
    """The centre of the image, height x width ``size``.

    An image that is a little larger than the input (up to 256 for 224) is taken to be resized
    already and is only cropped. Others are resized first: a larger one to the ``short_side`` that
    the model states, a smaller one (and any, where none is stated) until it just covers the input.
    """
    height, width = size
    ratio = min(image.height / height, image.width / width)
    if not 1 <= ratio <= _CROP_ONLY:
        if ratio > 1 and short_side is not None and short_side > max(size):
            ratio = min(ratio, min(image.size) / short_side)
        new_width = max(width, round(image.width / ratio))
        new_height = max(height, round(image.height / ratio))
        image = image.resize((new_width, new_height), Image.Resampling.BILINEAR)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


# scikit-learn's digits


def _digits(spec: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The images that the example network's training left out, in its own seeded split."""
    from sklearn.datasets import load_digits  # slow to import, and needed only here
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = digits.images.astype(np.uint8)[:, None]
    labels = digits.target.astype(np.int64)
    rest, test = train_test_split(
        np.arange(len(labels)), test_size=599, stratify=labels, random_state=_DIGITS_SEED
    )
    _, calib = train_test_split(
        rest, test_size=200, stratify=labels[rest], random_state=_DIGITS_SEED
    )
    parts = {
        "digits": np.concatenate([calib, test]),
        "digits:calib": calib,
        "digits:test": test,
    }
    if spec not in parts:
        raise UserError(f"{spec} is unknown: choose from {', '.join(parts)}.")
    return images[parts[spec]], labels[parts[spec]]
