"""The shipped networks are what examples/README.md says they are."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NETWORKS = ("alex_cifar10", "lenet_digits", "vgg_cifar10")
CIFAR_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
METADATA = {
    "lenet_digits": {
        "input_scale": 16.0,
        "mean": [0.3041],
        "std": [0.3754],
        "layout": "NCHW",
        "channel_order": "grey",
        "classes": [str(digit) for digit in range(10)],
    },
    "vgg_cifar10": {
        "input_scale": 255.0,
        "mean": [0.4914, 0.4822, 0.4465],
        "std": [0.247, 0.2435, 0.2616],
        "layout": "NCHW",
        "channel_order": "RGB",
        "classes": list(CIFAR_CLASSES),
    },
}
METADATA["alex_cifar10"] = METADATA["vgg_cifar10"]
INPUT_SHAPES = {
    "alex_cifar10": (3, 32, 32),
    "lenet_digits": (1, 8, 8),
    "vgg_cifar10": (3, 32, 32),
}


@dataclass(frozen=True)
class Stated:
    """A row of the table in examples/README.md."""

    parameters: int
    correct: int
    images: int
    sha256: str


def stated() -> dict[str, Stated]:
    """Read the table of networks."""
    rows = {}
    for line in (EXAMPLES / "README.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not (match := re.fullmatch(r"`(\w+)\.onnx`", cells[0])):
            continue
        percent, correct, images = re.fullmatch(  # type: ignore[union-attr]
            r"([\d.]+) % \(([\d ]+) of (?:the )?([\d ]+) test images\)", cells[5]
        ).groups()
        row = Stated(
            parameters=int(cells[3].replace(" ", "")),
            correct=int(correct.replace(" ", "")),
            images=int(images.replace(" ", "")),
            sha256=cells[6].strip("`"),
        )
        assert percent == f"{100 * row.correct / row.images:.2f}"
        rows[match[1]] = row
    return rows


def metadata(model: onnx.ModelProto) -> dict[str, object]:
    text = {entry.key: entry.value for entry in model.metadata_props}
    plain = ("layout", "channel_order")
    return {key: value if key in plain else json.loads(value) for key, value in text.items()}


def test_the_table_names_exactly_the_shipped_networks() -> None:
    assert sorted(stated()) == sorted(path.stem for path in EXAMPLES.glob("*.onnx"))
    assert sorted(stated()) == sorted(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_file_is_the_stated_one(name: str) -> None:
    content = (EXAMPLES / f"{name}.onnx").read_bytes()
    assert hashlib.sha256(content).hexdigest() == stated()[name].sha256


@pytest.mark.parametrize("name", NETWORKS)
def test_model_is_valid_and_has_the_stated_form(name: str) -> None:
    model = onnx.load(EXAMPLES / f"{name}.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    (source,), (sink,) = model.graph.input, model.graph.output
    dimensions = source.type.tensor_type.shape.dim
    assert dimensions[0].dim_param, "the batch is symbolic"
    assert tuple(d.dim_value for d in dimensions[1:]) == INPUT_SHAPES[name]
    assert (source.name, sink.name) == ("input", "logits")
    assert model.graph.node[-1].op_type == "Gemm", "logits, not probabilities"
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    tensors = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    assert {tensor.dtype for tensor in tensors} == {np.dtype(np.float32)}
    assert sum(tensor.size for tensor in tensors) == stated()[name].parameters


@pytest.mark.parametrize("name", NETWORKS)
def test_metadata(name: str) -> None:
    assert metadata(onnx.load(EXAMPLES / f"{name}.onnx")) == METADATA[name]


def correct(name: str, images: np.ndarray, labels: np.ndarray) -> int:
    """Count the images (N x C x H x W, stored pixels) that the float network classifies right."""
    path = EXAMPLES / f"{name}.onnx"
    values = METADATA[name]
    scale = np.float32(values["input_scale"])  # type: ignore[arg-type]
    mean = np.array(values["mean"], np.float32).reshape(1, -1, 1, 1)
    std = np.array(values["std"], np.float32).reshape(1, -1, 1, 1)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    hits = 0
    for start in range(0, len(labels), 250):
        part = slice(start, start + 250)
        inputs = (images[part].astype(np.float32) / scale - mean) / std
        (logits,) = session.run(["logits"], {"input": inputs})
        hits += int((logits.argmax(axis=1) == labels[part]).sum())
    return hits


def test_lenet_has_the_stated_accuracy_on_the_test_images() -> None:
    digits = load_digits()
    _, test = train_test_split(
        np.arange(len(digits.target)), test_size=599, stratify=digits.target, random_state=2018
    )
    row = stated()["lenet_digits"]
    assert row.images == len(test)
    assert correct("lenet_digits", digits.images[test][:, None], digits.target[test]) == row.correct


@pytest.mark.parametrize("name", ["alex_cifar10", "vgg_cifar10"])
def test_as_accurate_as_stated_on_images_of_the_test_set(name: str, shared: Path) -> None:
    with np.load(shared / "cifar10" / "cifar10_test.npz") as data:
        images, labels = data["images"], data["labels"]
    share = correct(name, images, labels) / len(labels)
    row = stated()[name]
    # A sample of n images: three standard deviations of a share p are 3 sqrt(p (1 - p) / n).
    expected = row.correct / row.images
    assert abs(share - expected) < 3 * (expected * (1 - expected) / len(labels)) ** 0.5
