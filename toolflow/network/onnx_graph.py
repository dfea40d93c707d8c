"""The ONNX graph in plain Python: nodes, attributes, constants, live nodes, inferred shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from toolflow.network.model_file import DEFAULT_DOMAINS, ModelFile

Array = NDArray[Any]
PartialShape = tuple[int | None, ...]

# Larger tensors are refused: no network for such a device has them, and corrupt files do.
MAX_ELEMENTS = 1 << 28

_SMALL_ELEMENTS = 1024
_FLOAT_INPUTS = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.UINT8,
)


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """One node; ``name`` is unique in the graph. ``problem`` is what ONNX's own checker says."""

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    proto: onnx.NodeProto
    live: bool
    problem: str | None


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """A graph and what is wrong with it as a whole (``problems``: text with what to do).

    ``input_shape`` is per image and ``None`` where it is not usable; ``batch`` is the batch size
    that constants of the graph may refer to (1 where it is symbolic). ``inferred`` holds ONNX's
    own shapes, with the batch. ``broken`` names constants that cannot be decoded, with the reason.
    """

    opset: int
    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, Array]
    broken: Mapping[str, str]
    input: str
    input_shape: tuple[int, ...] | None
    batch: int
    output: str
    inferred: Mapping[str, PartialShape]
    problems: tuple[str, ...]


def read_graph(model: ModelFile) -> OnnxGraph:
    """Decode the graph of ``model``. Never raises on contents: see ``problems`` and ``broken``."""
    graph = model.proto.graph
    constants, broken = _initialisers(graph)
    outputs = [value.name for value in graph.output]
    live = _live_nodes(graph, outputs)
    used = {name for index in live for name in graph.node[index].input} | set(outputs)
    inputs = [
        value
        for value in graph.input
        if value.name not in constants and value.name not in broken and value.name in used
    ]
    problems = [*_graph_problems(graph, [value.name for value in inputs], outputs)]
    batch, shape = 1, None
    if len(inputs) == 1:
        batch, shape, input_problems = _image_shape(inputs[0])
        problems += input_problems
    return OnnxGraph(
        opset=model.opset,
        nodes=_nodes(model, live),
        constants=MappingProxyType(constants),
        broken=MappingProxyType(broken),
        input=inputs[0].name if inputs else "",
        input_shape=shape,
        batch=batch,
        output=outputs[0] if outputs else "",
        inferred=MappingProxyType(_infer_shapes(model, inputs, batch) if shape else {}),
        problems=tuple(problems),
    )


def decode_tensor(tensor: onnx.TensorProto) -> Array:
    """The tensor's values; `ValueError` where it is malformed."""
    elements = 1
    for size in tensor.dims:
        elements *= size
    if elements > MAX_ELEMENTS or min(tensor.dims, default=0) < 0:
        raise ValueError(f"its shape {list(tensor.dims)} is not usable")
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"its values do not decode ({error})") from error


def _initialisers(graph: onnx.GraphProto) -> tuple[dict[str, Array], dict[str, str]]:
    constants: dict[str, Array] = {}
    broken: dict[str, str] = {}
    for tensor in graph.initializer:
        try:
            constants[tensor.name] = decode_tensor(tensor)
        except ValueError as error:
            broken[tensor.name] = str(error)
    broken.update({s.values.name: "it is stored sparse" for s in graph.sparse_initializer})
    return constants, broken


def _live_nodes(graph: onnx.GraphProto, outputs: list[str]) -> frozenset[int]:
    wanted = set(outputs)
    live = set()
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if wanted.intersection(node.output):
            live.add(index)
            wanted.update(node.input)
            wanted.update(name for sub in _subgraphs(node) for name in _outer_names(sub))
    return frozenset(live)


def _subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [graph for a in node.attribute for graph in (a.g, *a.graphs) if graph.node]


def _outer_names(graph: onnx.GraphProto) -> list[str]:
    return [name for node in graph.node for name in node.input]


def _graph_problems(graph: onnx.GraphProto, inputs: list[str], outputs: list[str]) -> list[str]:
    problems = []
    if not inputs:
        problems.append("the graph has no input that its output depends on: export it again.")
    elif len(inputs) > 1:
        problems.append(
            f"the graph has {len(inputs)} inputs ({', '.join(inputs)}), one image input is read: "
            "make the others constants, or cut the graph with onnx.utils.extract_model."
        )
    if not outputs:
        problems.append("the graph has no output: export it again.")
    elif len(outputs) > 1:
        problems.append(
            f"the graph has {len(outputs)} outputs ({', '.join(outputs)}), one (the class scores) "
            "is read: keep that one with onnx.utils.extract_model."
        )
    produced = Counter(name for node in graph.node for name in node.output if name)
    twice = sorted(name for name, count in produced.items() if count > 1)
    if twice:
        problems.append(f"tensors {', '.join(twice)} are produced twice: the file is invalid.")
    return problems


def _image_shape(value: onnx.ValueInfoProto) -> tuple[int, tuple[int, ...] | None, list[str]]:
    """Batch size, shape per image (or None), problems."""
    kind = value.type.tensor_type
    if kind.elem_type not in _FLOAT_INPUTS:
        return 1, None, [f"input {value.name!r} is no float tensor: export a float model."]
    dims = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
    text = [str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?" for d in
            kind.shape.dim]  # fmt: skip
    if len(dims) not in (2, 4):
        return (
            1,
            None,
            [
                f"input {value.name!r} has shape [{', '.join(text)}]; N x C x H x W images (or "
                "N x F vectors) are read: export the model with such an input."
            ],
        )
    symbolic = [text[k] for k, size in enumerate(dims) if k and size is None]
    if symbolic:
        return (
            1,
            None,
            [
                f"input {value.name!r} has shape [{', '.join(text)}]: only the batch may be "
                f"symbolic, but {', '.join(symbolic)} are not fixed: export without dynamic axes "
                "for them, or fix them with `python -m onnxruntime.tools.make_dynamic_shape_fixed "
                f"--input_name {value.name} --input_shape 1,<C>,<H>,<W> MODEL.onnx FIXED.onnx`."
            ],
        )
    shape = tuple(int(size or 0) for size in dims[1:])
    batch = dims[0] if dims[0] is not None else 1
    elements = batch
    for size in shape:
        elements *= size
    if batch < 1 or min(shape) < 1 or elements > MAX_ELEMENTS:
        return 1, None, [f"input {value.name!r} has the unusable shape [{', '.join(text)}]."]
    return batch, shape, []


def _nodes(model: ModelFile, live: frozenset[int]) -> tuple[OnnxNode, ...]:
    context = onnx.checker.C.CheckerContext()
    context.ir_version = min(model.proto.ir_version, onnx.IR_VERSION)
    context.opset_imports = {entry.domain: entry.version for entry in model.proto.opset_import}
    taken: set[str] = set()
    nodes = []
    for index, proto in enumerate(model.proto.graph.node):
        name = proto.name or f"{proto.op_type}_{index}"
        while name in taken:
            name = f"{name}_{index}"
        taken.add(name)
        attributes, problem = _attributes(proto)
        nodes.append(
            OnnxNode(
                name=name,
                op=proto.op_type,
                domain="" if proto.domain in DEFAULT_DOMAINS else proto.domain,
                inputs=tuple(proto.input),
                outputs=tuple(proto.output),
                attributes=attributes,
                proto=proto,
                live=index in live,
                problem=problem or _checker_problem(proto, context),
            )
        )
    return tuple(nodes)


def _attributes(proto: onnx.NodeProto) -> tuple[Mapping[str, Any], str | None]:
    values = {}
    for attribute in proto.attribute:
        try:
            value = onnx.helper.get_attribute_value(attribute)
            values[attribute.name] = value.decode() if isinstance(value, bytes) else value
        except (ValueError, TypeError, UnicodeDecodeError) as error:
            return MappingProxyType({}), f"attribute {attribute.name!r} is malformed ({error})"
    return MappingProxyType(values), None


def _checker_problem(proto: onnx.NodeProto, context: onnx.checker.C.CheckerContext) -> str | None:
    if proto.domain not in DEFAULT_DOMAINS or not onnx.defs.has(proto.op_type, proto.domain):
        return None  # reported as an unsupported operator, with better words than the checker's
    try:
        onnx.checker.check_node(proto, context)
    except (onnx.checker.ValidationError, RuntimeError, ValueError, TypeError) as error:
        return str(error).split("\n", maxsplit=1)[0]
    return None


def _infer_shapes(
    model: ModelFile, inputs: list[onnx.ValueInfoProto], batch: int
) -> dict[str, PartialShape]:
    """ONNX's inferred shapes; empty where inference gives up.

    Works on a skeleton: large initialisers become inputs (inference needs only their shapes, and
    their bytes would be copied twice), stated shapes are dropped so that they cannot mislead, and
    the batch is fixed.
    """
    skeleton = onnx.ModelProto()
    skeleton.ir_version = model.proto.ir_version
    skeleton.opset_import.extend(model.proto.opset_import)
    skeleton.functions.extend(model.proto.functions)
    graph = skeleton.graph
    graph.name = "skeleton"
    graph.node.extend(model.proto.graph.node)
    graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(value.name) for value in model.proto.graph.output
    )
    for tensor in model.proto.graph.initializer:
        elements = 1
        for size in tensor.dims:
            elements *= size
        if elements <= _SMALL_ELEMENTS:
            graph.initializer.append(tensor)
        else:
            graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    for value in inputs:
        fixed = graph.input.add()
        fixed.CopyFrom(value)
        fixed.type.tensor_type.shape.dim[0].dim_value = batch
    try:
        result = onnx.shape_inference.infer_shapes(skeleton, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, TypeError):
        return {}
    return {
        value.name: tuple(
            dim.dim_value if dim.HasField("dim_value") else None
            for dim in value.type.tensor_type.shape.dim
        )
        for value in (*result.graph.value_info, *result.graph.output)
        if value.type.tensor_type.HasField("shape")
    }
