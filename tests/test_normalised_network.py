"""A network that begins as AlexNet does, planned and evaluated by the commands a user types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolflow.cli import main
from toolflow.emission.descriptors import decode_all
from toolflow.emission.files import GOLDEN_FILE
from toolflow.emission.memory_images import TABLE_BYTES, TABLE_ENTRY_BYTES
from toolflow.emission.memory_map import read_memory_map
from toolflow.emission.stored_parameters import CHANNELS_FILE
from toolflow.fixedpoint import IntArray, requantise, round_shift
from toolflow.hardware.engine import Op
from toolflow.plan import read_plan

SHAPE = (3, 16, 16)
CLASSES = 5
IMAGES = 200


def write_model(path: Path) -> None:
    """Write conv, relu, LRN, maxpool twice, then a dense layer."""
    rng = np.random.default_rng(0)
    shapes = {"c1": (16, 3, 5, 5), "c2": (24, 8, 3, 3), "fc": (CLASSES, 24 * 3 * 3)}
    tensors = []
    for name, shape in shapes.items():
        weight = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
        tensors.append(numpy_helper.from_array(weight.astype(np.float32), f"{name}_w"))
        bias = rng.normal(0, 0.1, shape[0]).astype(np.float32)
        tensors.append(numpy_helper.from_array(bias, f"{name}_b"))
    pool: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 2]}
    make = helper.make_node
    nodes = [
        make("Conv", ["image", "c1_w", "c1_b"], ["a"], "c1", pads=[2, 2, 2, 2]),
        make("Relu", ["a"], ["b"], "relu1"),
        make("LRN", ["b"], ["c"], "norm1", size=5, alpha=3.0, beta=0.75, bias=2.0),
        make("MaxPool", ["c"], ["d"], "pool1", **pool),
        make("Conv", ["d", "c2_w", "c2_b"], ["e"], "c2", group=2, pads=[1, 1, 1, 1]),
        make("Relu", ["e"], ["f"], "relu2"),
        make("LRN", ["f"], ["g"], "norm2", size=3, alpha=1.0, beta=0.5, bias=0.5),
        make("MaxPool", ["g"], ["h"], "pool2", **pool),
        make("Flatten", ["h"], ["i"], "flat"),
        make("Gemm", ["i", "fc_w", "fc_b"], ["logits"], "fc", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "normalised",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", *SHAPE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plan's folder; the images are labelled by the model itself."""
    where = tmp_path_factory.mktemp("normalised")
    write_model(where / "net.onnx")
    images = np.random.default_rng(1).normal(0, 0.6, (IMAGES, *SHAPE)).astype(np.float32)
    session = ort.InferenceSession(str(where / "net.onnx"), providers=["CPUExecutionProvider"])
    labels = session.run(None, {"image": images})[0].argmax(axis=1)
    np.savez(where / "images.npz", images=images, labels=labels)
    command = (
        "plan", str(where / "net.onnx"), "--eval", str(where / "images.npz"), "--device",
        "pynq-z2", "--tolerance", "0.2", "--hpu-bits", "8", "--lpu-bits", "4/4",
        "-o", str(where / "plan"),
    )  # fmt: skip
    assert main(list(command)) == 0
    return where / "plan"


def test_it_keeps_its_accuracy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = read_plan(folder)
    assert [layer.op for layer in plan.layers] == [
        "conv", "lrn", "maxpool", "conv", "lrn", "maxpool", "flatten", "dense",
    ]  # fmt: skip
    assert plan.evaluation.float_accuracy == 1
    assert plan.hpu.accuracy > 0.93
    assert plan.lpu.accuracy > 0.5
    for layer in plan.layers:
        for error in (layer.factor_error_hpu, layer.factor_error_lpu):
            assert (error is not None) == (layer.op == "lrn")
            assert error is None or 0 < error < 3e-4
    assert "from the exact ones of the same words" in (folder / "report.md").read_text()
    capsys.readouterr()
    images = str(folder.parent / "images.npz")
    assert main(["evaluate", str(folder), "--data", images, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["top1_hpu"] == plan.hpu.accuracy
    assert record["top1_lpu"] == plan.lpu.accuracy


@pytest.mark.parametrize("unit", ["lpu", "hpu"])
def test_hardware_finds_all_that_it_needs(folder: Path, unit: str) -> None:
    """The golden tensors, from the descriptors and the tables' bytes alone."""
    golden = np.load(folder / GOLDEN_FILE)
    memory = (folder / CHANNELS_FILE).read_bytes()
    unit_map = getattr(read_memory_map(folder), unit)
    descriptors = decode_all((folder / f"descriptors_{unit}.bin").read_bytes())
    assert len(descriptors) == len(unit_map.steps)
    checked = set()
    for step, d in zip(unit_map.steps, descriptors, strict=True):
        if step.op != "lrn":
            assert d["op"] != Op.LRN
            continue
        assert d["op"] == Op.LRN
        x = golden[f"{unit}/tensor/{step.inputs[0]}"].astype(np.int64)
        y = golden[f"{unit}/tensor/{step.output}"].astype(np.int64)
        start = d["records_offset"]
        table = np.frombuffer(memory, "<u8", TABLE_BYTES // TABLE_ENTRY_BYTES, start)
        np.testing.assert_array_equal(normalised(d, table.astype(np.int64), x), y)
        assert y.any()
        checked.add(start)
    assert len(checked) == 2


def normalised(d: dict[str, int], table: IntArray, x: IntArray) -> IntArray:
    """Normalise words ``q`` one by one, as ``descriptors`` and ``memory_images`` say."""
    out = np.empty_like(x)
    channels, half = x.shape[1], d["window"] // 2
    for c in range(channels):
        window = x[:, max(0, c - half) : min(channels, c + half + 1)]
        for place, total in np.ndenumerate((window**2).sum(axis=1)):
            position = (place[0], c, *place[1:])
            octave = max(0, int(total).bit_length() - d["table_floor"] - 5)
            width = d["table_floor"] + max(0, octave - 1)
            word = int(table[32 * octave + (total >> width) % 32])
            base, drop, exponent = word & 0xFFFF, word >> 16 & 0xFFFF, word >> 32
            fraction = ((total % (1 << width)) << 12) >> width
            factor = base - round_shift(drop * fraction, 12)
            product = x[position] * factor
            out[position] = requantise(product, 0, d["shift"] + exponent, d["low"], d["high"])
    return out


def test_a_table_of_another_plan_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / CHANNELS_FILE
    good = path.read_bytes()
    data = bytearray(good)
    data[-TABLE_BYTES] ^= 1
    path.write_bytes(data)
    try:
        images = str(folder.parent / "images.npz")
        assert main(["evaluate", str(folder), "--data", images]) == 2
    finally:
        path.write_bytes(good)
    assert "layer norm2: its table is not the plan's" in capsys.readouterr().err
