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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from networks import NETWORKS, Conv, Network, Pool, Preprocessing, build, folded
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import nn

OPSET = 17
IR_VERSION = 8
"""The first IR version with opset 17, so that readers of that age can open the file."""

TOLERANCE = 1e-4
"""Largest difference of a logit from PyTorch's, relative to the largest logit: float32 rounding."""


def to_onnx(
    network: Network, trained: nn.Sequential, preprocessing: Preprocessing
) -> onnx.ModelProto:
    """Return the checked ONNX model of a trained network."""
    weights = folded(trained)
    nodes: list[NodeProto] = []
    tensors: list[TensorProto] = []
    counts = {"conv": 0, "pool": 0, "fc": 0}
    flat = False
    tensor = "input"

    def append(operator: str, name: str, *operands: str, **attributes: Any) -> None:
        nonlocal tensor
        nodes.append(
            helper.make_node(operator, [tensor, *operands], [name], name=name, **attributes)
        )
        tensor = name

    def parameters(name: str) -> list[str]:
        names = [f"{name}.weight", f"{name}.bias"]
        for label, values in zip(names, next(weights), strict=True):
            tensors.append(numpy_helper.from_array(values, label))
        return names

    for index, layer in enumerate(network.layers):
        kind = "conv" if isinstance(layer, Conv) else "pool" if isinstance(layer, Pool) else "fc"
        counts[kind] += 1
        name = f"{kind}{counts[kind]}"
        if isinstance(layer, Conv):
            size, pad = layer.kernel, layer.kernel // 2
            append(
                "Conv", name, *parameters(name), kernel_shape=[size, size], strides=[1, 1],
                pads=[pad] * 4, dilations=[1, 1], group=1,
            )  # fmt: skip
            append("Relu", f"relu_{name}")
        elif isinstance(layer, Pool):
            append("MaxPool", name, kernel_shape=[2, 2], strides=[2, 2])
        else:
            if not flat:
                append("Flatten", "flatten", axis=1)
                flat = True
            last = index == len(network.layers) - 1
            append("Gemm", "logits" if last else name, *parameters(name), transB=1)
            if not last:
                append("Relu", f"relu_{name}")

    shape: list[str | int] = ["N", network.channels, network.side, network.side]
    graph = helper.make_graph(
        nodes,
        network.name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", network.classes])],
        tensors,
    )
    model = helper.make_model(
        graph,
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
