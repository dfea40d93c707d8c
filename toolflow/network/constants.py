"""Evaluates nodes whose inputs are all constants (shape arithmetic, prepared weights)."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from toolflow.network.node_view import RefusalError
from toolflow.network.onnx_graph import MAX_ELEMENTS, Array, OnnxNode, decode_tensor

_ARITHMETIC = frozenset({"Add", "Div", "Mul", "Neg", "Pow", "Reciprocal", "Sqrt", "Sub"})
_SHAPING = frozenset({"Concat", "Expand", "Flatten", "Gather", "Reshape", "Slice", "Squeeze"})
_FOLDABLE = (
    _ARITHMETIC
    | _SHAPING
    | {"Cast", "Constant", "ConstantOfShape", "Identity", "Transpose", "Unsqueeze"}
)
_SCALARS = ("value_float", "value_int", "value_floats", "value_ints")


def foldable(node: OnnxNode, constants: Mapping[str, Array]) -> bool:
    """Whether `evaluate` takes the node: a plain operator with one output, on known constants."""
    return (
        not node.domain
        and node.op in _FOLDABLE
        and len(node.outputs) == 1
        and all(name in constants for name in node.inputs if name)
    )


def evaluate(node: OnnxNode, constants: Mapping[str, Array], opset: int) -> Array:
    """The node's output; raises `RefusalError` where it cannot be had."""
    if node.problem:
        raise RefusalError(f"it is not valid ONNX: {node.problem}", "export the model again")
    try:
        if node.op == "Constant":
            return _constant(node)
        if node.op == "ConstantOfShape":
            return _filled(node, constants[node.inputs[0]])
        return _computed(node, constants, opset)
    except RefusalError:
        raise
    except Exception as error:  # the evaluator raises whatever its Python implementation meets
        raise RefusalError(
            f"it cannot be evaluated ({error})", "fold it before the export"
        ) from error


def _constant(node: OnnxNode) -> Array:
    value = node.attributes.get("value")
    if isinstance(value, onnx.TensorProto):
        return decode_tensor(value)
    for name in _SCALARS:
        if name in node.attributes:
            kind = np.float32 if "float" in name else np.int64
            return np.asarray(node.attributes[name], kind)
    raise RefusalError("its value is neither a dense tensor nor a number", "store it as a tensor")


def _filled(node: OnnxNode, shape: Array) -> Array:
    """A read-only view: fillers of any size cost no memory."""
    size = tuple(int(v) for v in shape.ravel())
    _check_size(size)
    fill = node.attributes.get("value")
    value = decode_tensor(fill).ravel()[0] if fill is not None else np.float32(0)
    return np.broadcast_to(value, size)


def _computed(node: OnnxNode, constants: Mapping[str, Array], opset: int) -> Array:
    given = {name: constants[name] for name in node.inputs if name}
    if node.op in ("Add", "Sub", "Mul", "Div", "Pow"):
        _check_size(np.broadcast_shapes(*(values.shape for values in given.values())))
    if node.op == "Expand":
        _check_size(np.broadcast_shapes(
            constants[node.inputs[0]].shape, tuple(constants[node.inputs[1]].tolist())
        ))  # fmt: skip
    if node.op == "Gather":
        data, indices = (constants[name] for name in node.inputs)
        _check_size((data.size, indices.size))
    graph = onnx.helper.make_graph(
        [node.proto],
        "constant",
        [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(values.dtype), values.shape
            )
            for name, values in given.items()
        ],
        [onnx.helper.make_empty_tensor_value_info(node.outputs[0])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    with np.errstate(all="ignore"):
        (result,) = ReferenceEvaluator(model).run(None, given)
    return np.asarray(result)


def _check_size(shape: tuple[int, ...]) -> None:
    if prod(shape) > MAX_ELEMENTS or min(shape, default=0) < 0:
        raise RefusalError(
            f"its output would have the shape {list(shape)}", "export the model again"
        )
