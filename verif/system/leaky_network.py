"""A small network whose tensors have zero points: an ONNX file and images, as a user has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

IMAGES = 160
CLASSES = 6
SHAPE = (3, 8, 8)
SLOPE = 0.25

LAYERS = ("first", "grouped", "linear", "hidden", "answer")
"""Padded with LeakyReLU; the same, grouped; no activation; dense with LeakyReLU; dense."""


def write_model(path: Path, seed: int = 0) -> None:
    """Write the network."""
    rng = np.random.default_rng(seed)
    weights = {
        "first": (8, 3, 3, 3),
        "grouped": (12, 4, 3, 3),
        "linear": (8, 12, 1, 1),
        "hidden": (16, 8 * 4 * 4),
        "answer": (CLASSES, 16),
    }
    tensors = []
    for name, shape in weights.items():
        # Channels of several scales, so that their fraction lengths differ.
        scale = 2.0 ** rng.integers(-2, 2, (shape[0], *[1] * (len(shape) - 1)))
        weight = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape) * scale
        # Without an activation, only biases make a map that is rarely negative.
        bias = rng.normal(1.5 if name == "linear" else 0, 0.1, shape[0])
        tensors.append(numpy_helper.from_array(weight.astype(np.float32), f"{name}_w"))
        tensors.append(numpy_helper.from_array(bias.astype(np.float32), f"{name}_b"))

    def conv(name: str, source: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(
            "Conv", [source, f"{name}_w", f"{name}_b"], [name], name=name, **attributes
        )

    def gemm(name: str, source: str) -> onnx.NodeProto:
        return helper.make_node(
            "Gemm", [source, f"{name}_w", f"{name}_b"], [name], name=name, transB=1
        )

    def leaky(source: str) -> onnx.NodeProto:
        return helper.make_node(
            "LeakyRelu", [source], [f"{source}_leaky"], name=f"{source}_leaky", alpha=SLOPE
        )

    nodes = [
        conv("first", "image", pads=[1, 1, 1, 1]),
        leaky("first"),
        conv("grouped", "first_leaky", pads=[1, 1, 1, 1], strides=[2, 2], group=2),
        leaky("grouped"),
        conv("linear", "grouped_leaky", pads=[0, 0, 0, 0]),
        helper.make_node("Flatten", ["linear"], ["flat"], name="flat"),
        gemm("hidden", "flat"),
        leaky("hidden"),
        gemm("answer", "hidden_leaky"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", *SHAPE])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["N", CLASSES])
    graph = helper.make_graph(nodes, "leaky", [image], [answer], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, str(path))


def write_images(path: Path, model: Path, seed: int = 1) -> None:
    """Write random images, labelled by the model itself."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 0.5, (IMAGES, *SHAPE)).astype(np.float32)
    (logits,) = ReferenceEvaluator(str(model)).run(None, {"image": images})
    np.savez(path, images=images, labels=np.argmax(logits, axis=1))
