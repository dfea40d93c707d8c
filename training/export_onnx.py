"""Write a trained network as float32 ONNX: batch normalisation folded, logits out.

    python training/export_onnx.py CHECKPOINT.pt OUT.onnx

The checkpoint is what the training scripts leave. The graph has opset 17, a symbolic batch, the
input ``input`` (N x C x H x W) and the output ``logits`` (N x classes); the metadata say how pixels
become inputs. Before anything is kept, onnxruntime's logits are compared with PyTorch's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from networks import (
    NETWORKS,
    Conv,
    Dense,
    GlobalPool,
    Network,
    Pool,
    Preprocessing,
    Residual,
    ResidualUnit,
    build,
    folded,
)
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import nn

OPSET = 17
IR_VERSION = 8
"""The first IR version with opset 17, so that readers of that age can open the file."""

TOLERANCE = 1e-4
"""Largest difference of a logit from PyTorch's, relative to the largest logit: float32 rounding."""


class _Graph:
    """Collects the nodes and tensors of the network's graph; names count up by kind."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []
        self._counts: Counter[str] = Counter()

    def name(self, kind: str) -> str:
        self._counts[kind] += 1
        return f"{kind}{self._counts[kind]}"

    def append(self, operator: str, name: str, inputs: list[str], **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def convolution(self, source: str, unit: nn.Sequential, relu: bool = True) -> str:
        name, product = self.name("conv"), unit[0]
        linear = self.append(
            "Conv", name, [source, *self._parameters(name, unit)],
            kernel_shape=list(product.kernel_size), strides=list(product.stride),
            pads=[*product.padding, *product.padding], dilations=[1, 1], group=product.groups,
        )  # fmt: skip
        return self.append("Relu", f"relu_{name}", [linear]) if relu else linear

    def dense(self, source: str, unit: nn.Sequential, last: bool) -> str:
        name = self.name("fc")
        operands = [source, *self._parameters(name, unit)]
        linear = self.append("Gemm", "logits" if last else name, operands, transB=1)
        return linear if last else self.append("Relu", f"relu_{name}", [linear])

    def residual(self, source: str, unit: ResidualUnit) -> str:
        inner = self.convolution(self.convolution(source, unit.first), unit.second, relu=False)
        around = source
        if unit.shortcut is not None:
            around = self.convolution(source, unit.shortcut, relu=False)
        name = self.name("add")
        return self.append("Relu", f"relu_{name}", [self.append("Add", name, [inner, around])])

    def _parameters(self, name: str, unit: nn.Sequential) -> list[str]:
        names = [f"{name}.weight", f"{name}.bias"]
        for label, values in zip(names, folded(unit), strict=True):
            self.tensors.append(numpy_helper.from_array(values, label))
        return names


def to_onnx(
    network: Network, trained: nn.Sequential, preprocessing: Preprocessing
) -> onnx.ModelProto:
    """Return the checked ONNX model of a trained network."""
    graph = _Graph()
    tensor, flat = "input", False
    for index, (layer, unit) in enumerate(zip(network.layers, trained, strict=True)):
        match layer:
            case Conv():
                tensor = graph.convolution(tensor, unit)
            case Residual():
                tensor = graph.residual(tensor, unit)
            case Pool():
                size = [layer.kernel, layer.kernel]
                name = graph.name("pool")
                tensor = graph.append("MaxPool", name, [tensor], kernel_shape=size, strides=[2, 2])
            case GlobalPool():
                tensor = graph.append("GlobalAveragePool", graph.name("mean"), [tensor])
            case Dense():
                if not flat:
                    tensor, flat = graph.append("Flatten", "flatten", [tensor], axis=1), True
                tensor = graph.dense(tensor, unit, index == len(network.layers) - 1)

    shape: list[str | int] = ["N", network.channels, network.side, network.side]
    made = helper.make_graph(
        graph.nodes,
        network.name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", network.classes])],
        graph.tensors,
    )
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="cascadecnn training",
    )
    metadata = preprocessing.metadata()
    helper.set_model_props(
        model,
        {key: v if isinstance(v, str) else json.dumps(v) for key, v in metadata.items()},
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def disagreement(
    model: onnx.ModelProto, network: Network, trained: nn.Module, images: int = 64
) -> float:
    """Return onnxruntime's largest logit error, relative to the largest logit, on random inputs."""
    size = (images, network.channels, network.side, network.side)
    inputs = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (got,) = session.run(["logits"], {"input": inputs})
    trained.eval()
    with torch.inference_mode():
        wanted = trained(torch.from_numpy(inputs)).numpy()
    return float(np.abs(got - wanted).max() / np.abs(wanted).max())


def export(checkpoint: Mapping[str, Any], path: Path) -> float:
    """Write the network of a checkpoint to ``path``; return its disagreement with PyTorch.

    Raises:
        ValueError: onnxruntime and PyTorch disagree by more than rounding; nothing is written.
    """
    network = NETWORKS[checkpoint["network"]]
    trained = build(network)
    trained.load_state_dict(checkpoint["model"])
    model = to_onnx(network, trained, Preprocessing(**checkpoint["preprocessing"]))
    error = disagreement(model, network, trained)
    if not error <= TOLERANCE:
        raise ValueError(f"onnxruntime's logits are off by {error:.2e} of the largest; not written")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return error


def main() -> None:
    """Export the checkpoint that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    if not chosen.checkpoint.is_file():
        sys.exit(f"export_onnx.py: no checkpoint at {chosen.checkpoint}")
    checkpoint = torch.load(chosen.checkpoint, map_location="cpu", weights_only=True)
    error = export(checkpoint, chosen.out)
    digest = hashlib.sha256(chosen.out.read_bytes()).hexdigest()
    print(f"{chosen.out}: largest logit error {error:.1e} against PyTorch, sha256 {digest}")


if __name__ == "__main__":
    main()
