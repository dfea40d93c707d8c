"""Small ONNX models for tests, and the check that the import computes what they compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from toolflow.network.float_reference import float_logits
from toolflow.network.graph import Network
from toolflow.network.importer import load_network

Array = np.ndarray[Any, Any]
Nodes = Sequence[onnx.NodeProto]
node = helper.make_node


def model(
    nodes: Nodes,
    constants: Mapping[str, Any],
    shape: Sequence[int | str] = ("N", 3, 8, 8),
    output: str = "y",
    opset: int = 17,
    **options: Any,
) -> onnx.ModelProto:
    """A model from ``x`` to ``output``; numbers in lists become float32 unless they are arrays."""
    initialisers = [
        numpy_helper.from_array(
            np.asarray(value, None if isinstance(value, np.ndarray | np.generic) else np.float32),
            name,
        )
        for name, value in constants.items()
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", options.get("dtype", TensorProto.FLOAT), shape)],
        [helper.make_empty_tensor_value_info(output)],
        initialisers,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=options.get("ir", 8)
    )


def random(seed: int, *shape: int) -> Array:
    """Normal float32 values."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def head(
    source: str, channels: int, classes: int = 4
) -> tuple[list[onnx.NodeProto], dict[str, Any]]:
    """Layers from the map ``source`` to the scores ``y``: what a test is about stands before."""
    nodes = [
        node("GlobalAveragePool", [source], ["gap"], "gap"),
        node("Flatten", ["gap"], ["flat"], "flat"),
        node("Gemm", ["flat", "fcw", "fcb"], ["y"], "fc", transB=1),
    ]
    return nodes, {"fcw": random(90, classes, channels), "fcb": random(91, classes)}


def save(proto: onnx.ModelProto, folder: Path, name: str = "m.onnx") -> Path:
    """Write the model; returns its path."""
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path


def check_same(
    proto: onnx.ModelProto,
    folder: Path,
    softmax_removed: bool = False,
    positive_input: bool = False,
) -> Network:
    """Import, and hold the imported network's outputs against onnxruntime on the original."""
    path = save(proto, folder)
    network = load_network(path)
    assert network.softmax_removed is softmax_removed
    images = np.random.default_rng(5).normal(0, 2, (3, *network.input_shape)).astype(np.float32)
    if positive_input:
        images = np.abs(images)
    got = float_logits(network, images)
    if softmax_removed:
        want = float_logits(path, images)
    else:
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        source = session.get_inputs()[0]
        fixed = isinstance(source.shape[0], int)
        parts = [images[k : k + 1] for k in range(3)] if fixed else [images]
        want = np.concatenate([session.run(None, {source.name: part})[0] for part in parts])
        want = want.reshape(3, -1)
    assert got.shape == want.shape == (3, network.classes)
    assert want.std() > 0
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())
    return network
