"""The converter of every supported ONNX operator, and advice about the others."""

from __future__ import annotations

from collections.abc import Mapping

from toolflow.network.node_view import NodeView, RefusalError
from toolflow.network.operators import (
    activations,
    arithmetic,
    normalisation,
    pooling,
    products,
    removed,
    shapes,
)
from toolflow.network.operators.common import Conversion, Converter

CONVERTERS: Mapping[str, Converter] = {
    name: converter
    for family in (activations, arithmetic, normalisation, pooling, products, removed, shapes)
    for name, converter in family.CONVERTERS.items()
}

_GENERAL_ADVICE = (
    "express it with the supported operators (convolution, dense layers, ReLU-like activations, "
    "pooling, LRN, Add, Concat, Flatten), then export and train again"
)
_QUANTISED = "give the float model it was made from: the toolflow quantises by itself"
_RELU_INSTEAD = "train with Relu, Clip(0, 6) or LeakyRelu in its place"

_ADVICE = {
    "ConvInteger": _QUANTISED,
    "ConvTranspose": "only classifiers are supported; use a strided Conv, or cut the network",
    "DequantizeLinear": _QUANTISED,
    "DynamicQuantizeLinear": _QUANTISED,
    "Elu": _RELU_INSTEAD,
    "Gelu": _RELU_INSTEAD,
    "HardSigmoid": _RELU_INSTEAD,
    "HardSwish": _RELU_INSTEAD,
    "If": "export with the condition fixed, so that one branch remains",
    "LayerNormalization": "train with BatchNormalization in its place",
    "GroupNormalization": "train with BatchNormalization in its place",
    "InstanceNormalization": "train with BatchNormalization in its place",
    "Loop": "export with the loop unrolled",
    "MatMulInteger": _QUANTISED,
    "QLinearConv": _QUANTISED,
    "QLinearMatMul": _QUANTISED,
    "QuantizeLinear": _QUANTISED,
    "Selu": _RELU_INSTEAD,
    "Sigmoid": _RELU_INSTEAD,
    "Softplus": _RELU_INSTEAD,
    "Swish": _RELU_INSTEAD,
    "Tanh": _RELU_INSTEAD,
}


def convert(view: NodeView) -> Conversion:
    """The node's conversion; raises `RefusalError`."""
    node = view.node
    if node.domain:
        raise RefusalError(
            f"operator {node.op} is from the domain {node.domain!r}, not standard ONNX",
            "export with standard operators (model-local functions: "
            "onnx.inliner.inline_local_functions)",
        )
    converter = CONVERTERS.get(node.op)
    if converter is None:
        raise RefusalError(
            f"operator {node.op} is not supported", _ADVICE.get(node.op, _GENERAL_ADVICE)
        )
    if node.problem:
        raise RefusalError(f"it is not valid ONNX: {node.problem}", "export the model again")
    return converter(view)
