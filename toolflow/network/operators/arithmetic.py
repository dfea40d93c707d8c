"""Converters of element-wise arithmetic and batch normalisation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from toolflow.network.drafts import Scale
from toolflow.network.graph import Add
from toolflow.network.node_view import Alias, Layers, NodeView, RefusalError, per_channel
from toolflow.network.operators.common import Conversion, Converter, make_layer


def _binary(op: str) -> Converter:
    """Add, Sub, Mul or Div: with a constant a `Scale`, else only the sum of two activations."""

    def convert_binary(view: NodeView) -> Conversion:
        constant = next((k for k in (0, 1) if view.is_constant(k)), None)
        if constant is not None:
            return _with_constant(view, op, constant)
        if op != "Add":
            raise RefusalError(f"{op} of two activations is not supported")
        return _sum(view)

    return convert_binary


def _with_constant(view: NodeView, op: str, index: int) -> Conversion:
    shape = view.shape(1 - index)
    values = per_channel(view.weights(index, "constant"), shape)
    if values is None:
        raise RefusalError(
            "its constant operand is not one value per channel (it does not broadcast to the "
            "activation, or differs inside a channel)"
        )
    ones, zeros = np.ones(shape[0]), np.zeros(shape[0])
    if op == "Add":
        scale, shift = ones, values
    elif op == "Sub":
        scale, shift = (ones, -values) if index == 1 else (-ones, values)
    elif op == "Mul":
        scale, shift = values, zeros
    elif index == 0 or not values.all():
        raise RefusalError("it divides by an activation or by zero")
    else:
        scale, shift = 1.0 / values, zeros
    return _scale(view, 1 - index, scale, shift)


def _scale(
    view: NodeView, index: int, scale: NDArray[np.float64], shift: NDArray[np.float64]
) -> Conversion:
    if (scale == 1).all() and not shift.any():
        return Alias(view.tensor(index), "changes no value")
    layer = make_layer(
        view, Scale, view.shape(index), inputs=(view.tensor(index),), scale=scale, shift=shift
    )
    return Layers((layer,))


def _sum(view: NodeView) -> Conversion:
    tensors = [view.tensor(k) for k in range(len(view.node.inputs))]
    shapes = [view.shape(k) for k in range(len(view.node.inputs))]
    if len(set(shapes)) > 1:
        raise RefusalError(
            f"it adds tensors of different shapes {shapes} (broadcasting)",
            "make both operands the same shape in the model",
        )
    if len(tensors) == 1:
        return Alias(tensors[0], "a sum of one tensor")
    layers = []
    total = tensors[0]
    for k, term in enumerate(tensors[1:], 1):
        last = k == len(tensors) - 1
        output = view.output if last else f"{view.output}/{k}"
        layers.append(
            Add(
                name=view.node.name if last else f"{view.node.name}/{k}",
                inputs=(total, term),
                output=output,
                out_shape=shapes[0],
            )
        )
        total = output
    return Layers(tuple(layers))


def _batch_normalization(view: NodeView) -> Conversion:
    if view.integer("training_mode", 0):
        raise RefusalError("it is in training mode", "export in evaluation mode (model.eval())")
    shape = view.shape()
    names = ("scale", "bias", "mean", "variance")
    gamma, beta, mean, variance = (
        view.weights(k, name).astype(np.float64) for k, name in enumerate(names, 1)
    )
    for name, values in zip(names, (gamma, beta, mean, variance), strict=True):
        if values.shape != (shape[0],):
            raise RefusalError(
                f"its {name} has shape {values.shape}, its input {shape[0]} channels"
            )
    deviation_squared = variance + view.number("epsilon", 1e-5)
    if (deviation_squared <= 0).any():
        raise RefusalError("its variance plus epsilon is not above zero", "repair the statistics")
    scale = gamma / np.sqrt(deviation_squared)
    return _scale(view, 0, scale, beta - mean * scale)


CONVERTERS: Mapping[str, Converter] = {
    "Add": _binary("Add"),
    "BatchNormalization": _batch_normalization,
    "Div": _binary("Div"),
    "Mul": _binary("Mul"),
    "Sub": _binary("Sub"),
    "Sum": _sum,
}
