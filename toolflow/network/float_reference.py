"""Float truth by onnxruntime: the original file's logits, and any tensor of an imported network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from toolflow.errors import UserError
from toolflow.network.graph import (
    Activate,
    Activation,
    ActivationKind,
    Add,
    AvgPool,
    Concat,
    Conv,
    Dense,
    Flatten,
    FloatArray,
    Layer,
    Lrn,
    MaxPool,
    Network,
    WeightLayer,
)
from toolflow.network.model_file import read_model

OPSET = 17
_IR_VERSION = 8
_BATCH = 64
_BATCH_BYTES = 64 << 20
"""A batch is as many images as keep the largest tensor below this."""

_PASS_THROUGH = ("Flatten", "Reshape", "Squeeze", "Identity", "Dropout", "Cast")
_SOFTMAX = ("Softmax", "LogSoftmax")


def float_logits(
    source: str | Path | Network, images: FloatArray, threads: int = 0, batch: int = 0
) -> FloatArray:
    """Logits, N x classes, of pre-processed ``images`` (N x C x H x W).

    A path runs the file as it is, only without its final softmax, so that this stays independent
    of the import; a `Network` runs what was imported. ``threads`` 0 lets onnxruntime choose,
    ``batch`` 0 takes as many images at a time as suit the network's size.
    """
    if isinstance(source, Network):
        batch = batch or _suitable_batch(source)
        session = _session(to_onnx(source), source.name, threads)
    else:
        model = read_model(source)
        session = _session(without_final_softmax(model.proto), str(source), threads)
    fixed = session.get_inputs()[0].shape[0]
    step = fixed if isinstance(fixed, int) else batch or _BATCH
    parts = [outputs[0].reshape(len(part), -1) for part, outputs in _run(session, images, step)]
    return np.concatenate(parts).astype(np.float32, copy=False)


def float_tensors(
    network: Network,
    images: FloatArray,
    names: Sequence[str],
    threads: int = 0,
    batch: int = 0,
) -> Iterator[dict[str, FloatArray]]:
    """Batch by batch, the values of the tensors ``names`` (N x shape), the input's among them.

    ``threads`` and ``batch`` are as for `float_logits`.
    """
    batch = batch or _suitable_batch(network)
    computed = [name for name in names if name != network.input]
    unknown = sorted(set(computed) - set(network.shapes))
    if unknown:
        raise ValueError(f"{network.name} has no tensors {unknown}")
    session = _session(to_onnx(network, computed), network.name, threads) if computed else None
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        values = {network.input: part} if network.input in names else {}
        if session is not None:
            results = session.run(computed, {network.input: part})
            values.update(zip(computed, results, strict=True))
        yield values


def _suitable_batch(network: Network) -> int:
    largest = 4 * max(prod(shape) for shape in network.shapes.values())
    return min(_BATCH, max(1, _BATCH_BYTES // largest))


def to_onnx(network: Network, outputs: Sequence[str] | None = None) -> onnx.ModelProto:
    """The imported network as an ONNX model (opset 17) with a symbolic batch.

    ``outputs`` names the tensors to put out, the logits by default. A tensor is what its layer
    puts out, so after the fused activation function.
    """
    builder = _Builder()
    for layer in network.layers:
        builder.add(layer)
    graph = helper.make_graph(
        builder.nodes,
        network.name,
        [_value(network.input, network.input_shape)],
        [_value(name, network.shapes[name]) for name in outputs or (network.output,)],
        builder.initialisers,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION
    )


def without_final_softmax(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model whose final softmax, if it has one, passes its input through."""
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    producers = {name: node for node in model.graph.node for name in node.output}
    node = producers.get(model.graph.output[0].name)
    while node is not None and node.op_type in _PASS_THROUGH and node.input:
        node = producers.get(node.input[0])
    if node is not None and node.op_type in _SOFTMAX:
        node.op_type = "Identity"
        del node.attribute[:]
    return model


def _session(model: onnx.ModelProto, name: str, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's exceptions share no base class below this
        raise UserError(f"onnxruntime cannot run {name}: {error}") from error


def _run(
    session: ort.InferenceSession, images: FloatArray, step: int
) -> Iterator[tuple[FloatArray, list[Any]]]:
    """Parts of ``images`` and the session's outputs; the last part is filled up to ``step`` where
    the model's batch is fixed, and the filling cut off again."""
    source = session.get_inputs()[0]
    dtype = {"tensor(float16)": np.float16, "tensor(double)": np.float64}.get(
        source.type, np.float32
    )
    fixed = isinstance(source.shape[0], int)
    for start in range(0, len(images), step):
        part = images[start : start + step]
        fed = part.astype(dtype, copy=False)
        if fixed and len(part) < step:
            fed = np.concatenate([fed, np.zeros((step - len(part), *part.shape[1:]), dtype)])
        results = session.run(None, {source.name: fed})
        yield part, [values[: len(part)] for values in results]


def _value(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])


class _Builder:
    """Collects the nodes and initialisers of the layers added to it."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

    def add(self, layer: Layer) -> None:
        """Append one layer: its operator, then its activation function."""
        activation = Activation()
        if isinstance(layer, WeightLayer | Add | AvgPool | Activate):
            activation = layer.activation
        fused = activation.kind is not ActivationKind.NONE and not isinstance(layer, Activate)
        inner = f"{layer.output}/linear" if fused else layer.output
        match layer:
            case Conv():
                self._node("Conv", layer, inner, *self._weights(layer), **_window(layer),
                           group=layer.groups, kernel_shape=layer.weight.shape[2:])  # fmt: skip
            case Dense():
                self._node("Gemm", layer, inner, *self._weights(layer), transB=1)
            case MaxPool():
                self._node("MaxPool", layer, inner, **_window(layer), kernel_shape=layer.kernel)
            case AvgPool():
                self._node("AveragePool", layer, inner, **_window(layer),
                           kernel_shape=layer.kernel,
                           count_include_pad=int(layer.count_include_pad))  # fmt: skip
            case Lrn():
                self._node("LRN", layer, inner, size=layer.size, alpha=layer.alpha,
                           beta=layer.beta, bias=layer.bias)  # fmt: skip
            case Add():
                self._node("Add", layer, inner)
            case Concat():
                self._node("Concat", layer, inner, axis=1)
            case Flatten():
                self._node("Flatten", layer, inner, axis=1)
            case Activate():
                self._activation(activation, layer.inputs[0], layer.output)
            case _:
                raise TypeError(f"layer {layer.name!r} of kind {layer.op} has no ONNX form")
        if fused:
            self._activation(activation, inner, layer.output)

    def _node(self, op: str, layer: Layer, output: str, *operands: str, **attributes: Any) -> None:
        inputs = [*layer.inputs, *operands]
        self.nodes.append(helper.make_node(op, inputs, [output], layer.name, **attributes))

    def _activation(self, activation: Activation, source: str, output: str) -> None:
        match activation.kind:
            case ActivationKind.NONE:
                node = helper.make_node("Identity", [source], [output])
            case ActivationKind.RELU:
                node = helper.make_node("Relu", [source], [output])
            case ActivationKind.LEAKY_RELU:
                node = helper.make_node("LeakyRelu", [source], [output], alpha=activation.slope)
            case ActivationKind.CLIP:
                bounds = [
                    self._constant(f"{output}/{name}", np.asarray(bound, np.float32))
                    for name, bound in (("low", activation.low), ("high", activation.high))
                ]
                node = helper.make_node("Clip", [source, *bounds], [output])
        self.nodes.append(node)

    def _weights(self, layer: WeightLayer) -> tuple[str, str]:
        return (
            self._constant(f"{layer.output}/weight", layer.weight),
            self._constant(f"{layer.output}/bias", layer.bias),
        )

    def _constant(self, name: str, values: FloatArray) -> str:
        if values.size > 1 and not any(values.strides):
            # a filler (see `constants`): kept as one value, so that it stays small
            fill = numpy_helper.from_array(values[(slice(1),) * values.ndim].ravel())
            size = self._constant_sizes(f"{name}/shape", values.shape)
            self.nodes.append(helper.make_node("ConstantOfShape", [size], [name], value=fill))
        else:
            self.initialisers.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def _constant_sizes(self, name: str, shape: tuple[int, ...]) -> str:
        self.initialisers.append(numpy_helper.from_array(np.array(shape, np.int64), name))
        return name


def _window(layer: Conv | MaxPool | AvgPool) -> dict[str, object]:
    return {"strides": layer.stride, "pads": layer.pads}
