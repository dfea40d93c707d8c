from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.network.graphs import model, node, random, save
from toolflow.datasets import Samples, load_samples, preprocess
from toolflow.errors import UserError
from toolflow.network.float_reference import float_logits
from toolflow.network.graph import Network, Preprocessing
from toolflow.network.importer import load_network
from toolflow.network.metadata import PreprocessingOverride


def small_network(folder: Path, shape: tuple[int, ...] = (3, 4, 6), classes: int = 5) -> Network:
    features = int(np.prod(shape))
    nodes = [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "w"], ["y"])]
    proto = model(nodes, {"w": random(1, features, classes)}, shape=("N", *shape))
    return load_network(save(proto, folder))


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return small_network(tmp_path)


def pixels(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 4, 6)).astype(np.uint8)


def npz(folder: Path, **arrays: Any) -> str:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return str(path)


def test_images_and_labels(network: Network, tmp_path: Path) -> None:
    images, labels = pixels(3), np.array([0, 4, 2], np.uint8)
    samples = load_samples(npz(tmp_path, images=images, labels=labels, index=[1]), network)
    np.testing.assert_array_equal(samples.images, images)
    assert samples.images.dtype == np.uint8
    assert samples.labels.dtype == np.int64
    assert samples.labels.tolist() == [0, 4, 2]
    assert len(samples) == 3


def test_float_images_and_whole_float_labels(network: Network, tmp_path: Path) -> None:
    images = random(1, 2, 3, 4, 6).astype(np.float64)
    samples = load_samples(npz(tmp_path, images=images, labels=[1.0, 3.0]), network)
    assert samples.images.dtype == np.float32
    np.testing.assert_array_equal(samples.images, images.astype(np.float32))
    assert samples.labels.tolist() == [1, 3]


def test_pairs_are_joined_or_picked(network: Network, tmp_path: Path) -> None:
    spec = npz(
        tmp_path, b=pixels(2, 2), b_labels=[1, 2], a=pixels(3), a_labels=[0, 0, 4], c=pixels(1)
    )
    both = load_samples(spec, network)
    assert both.labels.tolist() == [0, 0, 4, 1, 2]
    np.testing.assert_array_equal(both.images[3:], pixels(2, 2))
    assert load_samples(f"{spec}:b", network).labels.tolist() == [1, 2]
    with pytest.raises(UserError, match="choose from a, b"):
        load_samples(f"{spec}:c", network)


GOOD = {"images": pixels(3), "labels": np.array([0, 1, 2])}
BAD_NPZ: dict[str, tuple[dict[str, Any], str]] = {
    "no labels": ({"images": pixels(3)}, "'images' and 'labels' are expected"),
    "nothing": ({}, "holds nothing"),
    "empty": ({"images": pixels(0), "labels": np.zeros(0, int)}, "holds no images"),
    "other size": ({**GOOD, "images": pixels(3)[:, :, :3]}, "takes N x 3 x 4 x 6: save them"),
    "channels last": ({**GOOD, "images": pixels(3).transpose(0, 2, 3, 1)}, "transpose"),
    "int64 images": ({**GOOD, "images": pixels(3).astype(np.int64)}, "images are int64"),
    "NaN": (
        {**GOOD, "images": np.where(np.arange(3)[:, None, None, None] == 1, np.nan, pixels(3))},
        "1 images hold NaN or infinity, the first is image 1",
    ),
    "too few labels": ({**GOOD, "labels": [0, 1]}, "3 images but 2 labels"),
    "label too large": ({**GOOD, "labels": [0, 5, 1]}, r"label 1 is 5, .* 0..4 \(1 such"),
    "negative label": ({**GOOD, "labels": [0, 1, -1]}, "label 2 is -1"),
    "fractional label": ({**GOOD, "labels": [0, 1.5, 1]}, "label 1 is 1.5, no integer"),
    "text labels": ({**GOOD, "labels": ["a", "b", "c"]}, "give class indices as integers"),
    "one-hot labels": ({**GOOD, "labels": np.eye(3)}, "argmax"),
    "objects": ({**GOOD, "labels": np.array([0, 1, None], object)}, "never loaded"),
    "scalar": ({**GOOD, "labels": np.array(3)}, "single number"),
    "mixed pairs": (
        {"a": pixels(1), "a_labels": [0], "b": random(1, 1, 3, 4, 6), "b_labels": [0]},
        "pick one",
    ),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_bad_npz(case: str, network: Network, tmp_path: Path) -> None:
    arrays, expected = BAD_NPZ[case]
    spec = npz(tmp_path, **arrays)
    with pytest.raises(UserError, match=expected) as caught:
        load_samples(spec, network)
    assert spec in str(caught.value)


def test_object_arrays_are_never_unpickled(network: Network, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    spec = npz(tmp_path, images=np.array([Trap()], object), labels=[0])
    with pytest.raises(UserError):
        load_samples(spec, network)
    assert not (tmp_path / "sprung").exists()


def test_grey_images_without_a_channel_axis(tmp_path: Path) -> None:
    network = small_network(tmp_path, (1, 4, 6))
    with pytest.raises(UserError, match=r"images\[:, None\]"):
        load_samples(npz(tmp_path, images=pixels(2)[:, 0], labels=[0, 1]), network)


def test_damaged_files(network: Network, tmp_path: Path) -> None:
    content = Path(npz(tmp_path, **GOOD)).read_bytes()
    broken = tmp_path / "broken.npz"
    np.save(tmp_path / "single.npy", pixels(2))
    for damaged in (
        b"",
        b"nothing",
        content[:-30],
        content[:200],
        content[:300] + b"xxxx" + content[304:],
        (tmp_path / "single.npy").read_bytes(),
    ):
        broken.write_bytes(damaged)
        with pytest.raises(UserError, match=r"broken\.npz"):
            load_samples(str(broken), network)
    with pytest.raises(UserError, match="does not exist"):
        load_samples(str(tmp_path / "none.npz"), network)
    with pytest.raises(UserError, match="does not exist"):
        load_samples(str(tmp_path / "none"), network)


def test_images_that_are_scaled_already(network: Network, tmp_path: Path) -> None:
    spec = npz(tmp_path, images=pixels(3) / np.float32(255), labels=[0, 1, 2])
    stated = replace(network, preprocessing=Preprocessing(scale=255.0, stated=True))
    with pytest.raises(UserError, match="scaled already"):
        load_samples(spec, stated)
    assert len(load_samples(spec, stated, PreprocessingOverride(scale=1.0))) == 3


def test_preprocess_is_per_channel() -> None:
    samples = Samples(pixels(2), np.zeros(2, np.int64), "x")
    preprocessing = Preprocessing(255.0, (0.1, 0.2, 0.3), (0.5, 1.0, 2.0))
    got = preprocess(samples, preprocessing)
    assert got.dtype == np.float32
    for channel, (mean, std) in enumerate(((0.1, 0.5), (0.2, 1.0), (0.3, 2.0))):
        want = (samples.images[:, channel] / 255.0 - mean) / std
        np.testing.assert_allclose(got[:, channel], want, rtol=1e-5, atol=1e-6)


# Folders of images


def write_images(folder: Path, sizes: list[tuple[int, int]]) -> list[list[Any]]:
    """PNG files of (width, height) whose red, green, blue are 10, 20, 30 in the file's number."""
    rows = []
    for k, size in enumerate(sizes):
        Image.new("RGB", size, (10 + k, 20 + k, 30 + k)).save(folder / f"{k}.png")
        rows.append([f"{k}.png", k])
    return rows


def write_csv(path: Path, rows: list[list[Any]], header: tuple[str, ...] = ()) -> None:
    with path.open("w", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(header or ("file", "class_index"))
        writer.writerows(rows)


def test_folder_of_images(network: Network, tmp_path: Path) -> None:
    write_csv(tmp_path / "labels.csv", write_images(tmp_path, [(6, 4), (60, 40), (3, 9), (90, 5)]))
    for spec in (str(tmp_path), str(tmp_path / "labels.csv")):
        samples = load_samples(spec, network)
        assert samples.images.shape == (4, 3, 4, 6)
        assert samples.labels.tolist() == [0, 1, 2, 3]
        for k in range(4):
            assert samples.images[k].reshape(3, -1).T.tolist() == [[10 + k, 20 + k, 30 + k]] * 24


def test_channel_order(network: Network, tmp_path: Path) -> None:
    write_csv(tmp_path / "labels.csv", write_images(tmp_path, [(6, 4)]))
    bgr = load_samples(str(tmp_path), network, PreprocessingOverride(channel_order="BGR"))
    assert bgr.images[0, :, 0, 0].tolist() == [30, 20, 10]
    grey = small_network(tmp_path, (1, 4, 6))
    assert grey.preprocessing.channel_order == "grey"
    assert 10 < load_samples(str(tmp_path), grey).images[0, 0, 0, 0] < 30


def test_a_little_larger_is_cropped_and_much_larger_resized(tmp_path: Path) -> None:
    network = small_network(tmp_path, (3, 224, 224))
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (240, 256, 3))
    Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / "ramp.png")
    doubled = ramp.repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(np.ascontiguousarray(doubled)).save(tmp_path / "double.png")
    write_csv(tmp_path / "labels.csv", [["ramp.png", 0], ["double.png", 1]])
    images = load_samples(str(tmp_path), network).images
    assert images[0, 0, 5].tolist() == list(range(16, 240))
    # 512 x 480 to 239 x 224, then 7 columns off the left
    assert images[1, 0, 5, 0] == pytest.approx(7.5 * 256 / 239, abs=1)
    assert images[1, 0, 5, -1] == pytest.approx((7.5 + 223) * 256 / 239, abs=1)


def test_a_stated_short_side_is_kept_for_large_images(tmp_path: Path) -> None:
    network = small_network(tmp_path, (3, 224, 224))
    network = replace(network, preprocessing=Preprocessing(short_side=256))
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (256, 256, 3))
    for name, factor in (("same", 1), ("double", 2)):
        pixels = ramp.repeat(factor, axis=0).repeat(factor, axis=1)
        Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / f"{name}.png")
    Image.new("RGB", (100, 90), (7, 7, 7)).save(tmp_path / "small.png")
    rows = [["same.png", 0], ["double.png", 1], ["small.png", 2]]
    write_csv(tmp_path / "labels.csv", rows)
    images = load_samples(str(tmp_path), network).images
    assert images[0, 0, 5].tolist() == list(range(16, 240))
    np.testing.assert_allclose(images[1, 0, 5], range(16, 240), atol=1)
    assert (images[2] == 7).all()


BAD_CSV: dict[str, tuple[str, str]] = {
    "no header": ("0.png,0\n", r":1: column file and class_index missing"),
    "empty": ("", ":1: column"),
    "no rows": ("file,class_index\n", "holds no images"),
    "class is text": ("file,class_index\n0.png,0\n0.png,cat\n", r":3: class_index is 'cat'"),
    "negative class": ("file,class_index\n0.png,-1\n", r":2: class_index is '-1'"),
    "class too large": ("file,class_index\n0.png,7\n", "label 0 is 7"),
    "column missing": ("file,class_index\n0.png\n", ":2: the line"),
    "column too many": ("file,class_index\n0.png,0,1\n", ":2: the line"),
    "no such image": ("file,class_index\n0.png,0\nnone.png,0\n", ":3: image .*none.png does not"),
    "no image": ("file,class_index\nlabels.csv,0\n", ":2: image .* cannot be read"),
    "truncated image": ("file,class_index\ncut.png,0\n", ":2: image .*cut.png cannot be read"),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_bad_csv(case: str, network: Network, tmp_path: Path) -> None:
    text, expected = BAD_CSV[case]
    write_images(tmp_path, [(6, 4)])
    (tmp_path / "cut.png").write_bytes((tmp_path / "0.png").read_bytes()[:45])
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UserError, match=expected):
        load_samples(str(tmp_path), network)


def test_csv_that_is_no_text(network: Network, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        load_samples(str(tmp_path), network)


def test_folder_without_labels_and_vectors(network: Network, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no labels\.csv"):
        load_samples(str(tmp_path), network)
    write_csv(tmp_path / "labels.csv", write_images(tmp_path, [(6, 4)]))
    with pytest.raises(UserError, match="takes 4"):
        load_samples(str(tmp_path), small_network(tmp_path, (4, 4, 6)))


# Digits, and the real images


def test_digits_split() -> None:
    from sklearn.datasets import load_digits

    network = Network(
        "digits", "", "x", (1, 8, 8), "y", (), Preprocessing(), False, 10
    )  # fmt: skip
    calib, test = (load_samples(f"digits:{part}", network) for part in ("calib", "test"))
    assert (len(calib), len(test)) == (200, 599)
    both = load_samples("digits", network)
    np.testing.assert_array_equal(both.images, np.concatenate([calib.images, test.images]))
    everything = load_digits().images.astype(np.uint8)
    position = {image.tobytes(): k for k, image in enumerate(everything)}
    assert len(position) == len(everything)
    used = [position[image.tobytes()] for image in both.images[:, 0]]
    assert len(set(used)) == 799
    with pytest.raises(UserError, match="digits:calib"):
        load_samples("digits:train", network)
    with pytest.raises(UserError, match="takes N x 3 x 8 x 8"):
        load_samples("digits", replace(network, input_shape=(3, 8, 8)))


def accuracy(path: Path, spec: str) -> float:
    network = load_network(path)
    samples = load_samples(spec, network)
    logits = float_logits(path, preprocess(samples, network.preprocessing), threads=2)
    return float((logits.argmax(axis=1) == samples.labels).mean())


def test_digits_accuracy(shared: Path) -> None:
    """The accuracy beside the model says that the split and pre-processing are the training's."""
    path = shared / "models" / "lenet_digits.onnx"
    assert accuracy(path, "digits:test") > 0.97
    assert accuracy(path, "digits:calib") > 0.97


def test_cifar10_accuracy(shared: Path) -> None:
    path = shared / "models" / "vgg_cifar10.onnx"
    images = shared / "cifar10"
    assert accuracy(path, str(images / "cifar10_test.npz")) == 0.8705
    network = load_network(path)
    assert len(load_samples(str(images / "cifar10_eval.npz"), network)) == 1000
    assert len(load_samples(f"{images / 'cifar10_eval.npz'}:tune", network)) == 800


@pytest.mark.parametrize(
    ("name", "least"),
    [("tiny_darknet", 0.65), ("mobilenet_v2_1.0_224_tf2ptq", 0.7), ("squeezenet_v1.0_dc", 0.65)],
)
def test_imagenet_accuracy(name: str, least: float, shared: Path, tmp_path: Path) -> None:
    """Wrong crop, scale or channel order would cost far more than 60 images can hide."""
    lines = (shared / "imagenet" / "tune.csv").read_text().splitlines()[:61]
    folder = shared / "imagenet"
    rows = [f"{folder}/{line}" for line in lines[1:]]
    (tmp_path / "tune.csv").write_text("\n".join([lines[0], *rows]))
    got = accuracy(shared / "models" / f"{name}.onnx", str(tmp_path / "tune.csv"))
    assert got > least
