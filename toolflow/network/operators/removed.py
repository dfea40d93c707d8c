"""Converters of operators that do nothing in an accelerator, the final softmax among them."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import onnx

from toolflow.network.drafts import Softmax
from toolflow.network.node_view import Alias, Layers, NodeView, RefusalError
from toolflow.network.operators.common import Conversion, Converter, make_layer

_FLOAT_TYPES = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
    onnx.TensorProto.DOUBLE,
)


def _identity(view: NodeView) -> Conversion:
    return Alias(view.tensor(), "passes its input through")


def _dropout(view: NodeView) -> Conversion:
    if view.has(2) and bool(view.constant(2, "training_mode").ravel().any()):
        raise RefusalError("it is in training mode", "export in evaluation mode (model.eval())")
    return Alias(view.tensor(), "does nothing after training")


def _cast(view: NodeView) -> Conversion:
    if view.integer("to", 0) not in _FLOAT_TYPES:
        raise RefusalError(
            "it casts activations to a type that is not float", "export a float model"
        )
    return Alias(view.tensor(), "casts to float; the toolflow chooses the wordlengths")


def _softmax(view: NodeView) -> Conversion:
    shape = view.shape()
    rank = len(shape) + 1
    axis = view.integer("axis", 1 if view.opset < 13 else -1)
    if prod(shape) != shape[0] or axis % rank != 1:
        raise RefusalError(
            f"it normalises axis {axis} of {shape}; only a final one over the classes"
        )
    return Layers((make_layer(view, Softmax, shape),))


CONVERTERS: Mapping[str, Converter] = {
    "Cast": _cast,
    "Dropout": _dropout,
    "Identity": _identity,
    "LogSoftmax": _softmax,
    "Softmax": _softmax,
}
