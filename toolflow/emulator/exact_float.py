"""The integer network at the speed of a float inference library, still exact.

float32 holds every integer up to 2**24. Where a layer's proven accumulator limit is below that,
its product runs in onnxruntime on integers kept in float32: weights and bias are pre-multiplied by
``2**-shift`` and half a step is added to the bias, both exact, so that requantisation is a clamp
and a floor. Whatever cannot be proven runs in ``reference``. Equal to it word by word (tested).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from toolflow.emulator.integer_network import (
    IntegerEltwise,
    IntegerLayer,
    IntegerMatmul,
    IntegerNetwork,
    Requantiser,
)
from toolflow.emulator.reference import cut_images, run_layer
from toolflow.fixedpoint import LEAKY_GUARD_BITS, LEAKY_SLOPE_BITS, Format, IntArray
from toolflow.network.graph import Concat, Conv, Flatten, MaxPool

EXACT_FLOAT32 = 1 << 24
OPSET = 17
CHUNK_IMAGES = 16
SMALL_MAP = 64 * 64
"""Feature maps up to this many pixels go through in chunks, larger ones image by image."""


@dataclass(frozen=True, eq=False)
class _Segment:
    """A run of layers: one onnxruntime session, or (None) one layer in the reference."""

    layers: tuple[IntegerLayer, ...]
    session: ort.InferenceSession | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Emulator:
    """Runs an integer network on many images; bit-exact, parallel over images.

    Args:
        network: what to run.
        threads: images run side by side in this many threads.
        keep: tensors to return besides the logits.
    """

    def __init__(
        self,
        network: IntegerNetwork,
        threads: int = 2,
        keep: Iterable[str] = (),
    ) -> None:
        self._network = network
        self._threads = threads
        self._keep = (*dict.fromkeys((*keep, network.network.output)),)
        self._segments = _segments(network.layers, self._keep)
        pixels = max(int(np.prod(s[1:])) for s in network.network.shapes.values())
        self._chunk = CHUNK_IMAGES if pixels <= SMALL_MAP else 1

    def logits(self, stored_images: IntArray) -> IntArray:
        """Return (N, classes) integer logits of images in the stored input format."""
        return self.run(stored_images)[self._network.network.output]

    def run(self, stored_images: IntArray) -> dict[str, IntArray]:
        """Return the kept tensors of images in the stored input format."""
        cut = cut_images(self._network, stored_images)
        chunks = [cut[k : k + self._chunk] for k in range(0, len(cut), self._chunk)]
        with ThreadPoolExecutor(self._threads) as pool:
            parts = list(pool.map(self._run_chunk, chunks))
        return {name: np.concatenate([part[name] for part in parts]) for name in self._keep}

    def _run_chunk(self, images: IntArray) -> dict[str, IntArray]:
        live: dict[str, NDArray[np.float32] | IntArray] = {self._network.network.input: images}
        for segment in self._segments:
            if segment.session is None:
                layer = segment.layers[0]
                exact = [live[name].astype(np.int64) for name in segment.inputs]
                live[layer.layer.output] = run_layer(layer, exact)
            else:
                feeds = {name: live[name].astype(np.float32) for name in segment.inputs}
                results = segment.session.run(list(segment.outputs), feeds)
                live.update(zip(segment.outputs, results, strict=True))
        return {name: live[name].astype(np.int64) for name in self._keep}


def run_integer_layer(
    layer: IntegerLayer, inputs: Sequence[IntArray], threads: int = 2
) -> NDArray[np.int32]:
    """Run one layer on whole input tensors (images first), exact, in chunks of images."""
    segment = _segments((layer,), (layer.layer.output,))[0]
    chunks = range(0, len(inputs[0]), CHUNK_IMAGES)

    def run(first: int) -> NDArray[np.int32]:
        part = [values[first : first + CHUNK_IMAGES] for values in inputs]
        if segment.session is None:
            result = run_layer(layer, [values.astype(np.int64) for values in part])
            return result.astype(np.int32)
        named = dict(zip(layer.layer.inputs, part, strict=True))
        feeds = {name: named[name].astype(np.float32) for name in segment.inputs}
        outputs = segment.session.run([layer.layer.output], feeds)
        return np.asarray(outputs[0], np.float32).astype(np.int32)

    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(run, chunks)))


def provable(layer: IntegerLayer) -> bool:
    """Whether float32 is exact for every intermediate value of a layer."""
    if isinstance(layer, IntegerMatmul):
        return layer.accumulator_limit <= EXACT_FLOAT32 and _leaky_fits(layer.requantiser)
    if isinstance(layer, IntegerEltwise):
        bound = sum(
            limit << shift for limit, shift in zip(layer.input_limits, layer.align, strict=True)
        )
        half = 1 << max(int(layer.requantiser.shift[0]) - 1, 0)
        return bound + half <= EXACT_FLOAT32 and _leaky_fits(layer.requantiser)
    return isinstance(layer.layer, MaxPool | Flatten | Concat)


def _leaky_fits(requantiser: Requantiser) -> bool:
    if requantiser.slope is None:
        return True
    slope = requantiser.slope
    bits = max(requantiser.act_bits + LEAKY_GUARD_BITS + LEAKY_SLOPE_BITS, slope.shift + 1)
    return 1 << bits <= EXACT_FLOAT32


def _segments(layers: Sequence[IntegerLayer], keep: Sequence[str]) -> tuple[_Segment, ...]:
    runs: list[tuple[IntegerLayer, ...]] = []
    for exact, group in groupby(layers, provable):
        members = tuple(group)
        runs.extend([members] if exact else [(layer,) for layer in members])
    return tuple(_segment(run, runs[i + 1 :], keep) for i, run in enumerate(runs))


def _segment(
    run: tuple[IntegerLayer, ...],
    later: Sequence[tuple[IntegerLayer, ...]],
    keep: Sequence[str],
) -> _Segment:
    made = [layer.layer.output for layer in run]
    needed = [name for layer in run for name in layer.layer.inputs]
    inputs = tuple(dict.fromkeys(name for name in needed if name not in made))
    wanted = {name for other in later for layer in other for name in layer.layer.inputs}
    outputs = tuple(name for name in made if name in wanted or name in keep)
    if not provable(run[0]):
        return _Segment(run, None, run[0].layer.inputs, outputs)
    return _Segment(run, _session(_model(run, inputs, outputs)), inputs, outputs)


def _session(model: ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


class _GraphBuilder:
    """Collects the nodes and constants of one session's graph."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._count = 0

    def constant(self, value: NDArray[np.float32] | float) -> str:
        name = self._fresh("constant")
        self.constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def node(self, op: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        output = output or self._fresh(op)
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def _fresh(self, kind: str) -> str:
        self._count += 1
        return f"emulator:{kind}:{self._count}"


def _model(
    run: Sequence[IntegerLayer], inputs: Sequence[str], outputs: Sequence[str]
) -> ModelProto:
    graph = _GraphBuilder()
    for layer in run:
        _emit(graph, layer)
    value = helper.make_tensor_value_info
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "emulator",
            [value(name, TensorProto.FLOAT, None) for name in inputs],
            [value(name, TensorProto.FLOAT, None) for name in outputs],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
    )


def _emit(graph: _GraphBuilder, layer: IntegerLayer) -> None:
    spec = layer.layer
    inputs, output = list(spec.inputs), spec.output
    if isinstance(layer, IntegerMatmul):
        _floor_and_clamp(graph, _emit_matmul(graph, layer), layer.requantiser, output)
    elif isinstance(layer, IntegerEltwise):
        scaled = _emit_eltwise(graph, layer)
        _floor_and_clamp(graph, scaled, layer.requantiser, output)
    elif isinstance(spec, MaxPool):
        graph.node(
            "MaxPool",
            inputs,
            output,
            kernel_shape=list(spec.kernel),
            strides=list(spec.stride),
            pads=list(spec.pads),
        )
    elif isinstance(spec, Concat):
        graph.node("Concat", inputs, output, axis=1)
    else:
        graph.node("Flatten", inputs, output, axis=1)


def _emit_matmul(graph: _GraphBuilder, layer: IntegerMatmul) -> str:
    spec, shift = layer.layer, layer.requantiser.shift
    scale = np.ldexp(np.float32(1), -shift).astype(np.float32)
    per_row = scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
    weight = graph.constant(layer.weight.astype(np.float32) * per_row)
    bias = graph.constant((layer.bias + _half(shift)).astype(np.float32) * scale)
    if isinstance(spec, Conv):
        return graph.node(
            "Conv",
            [spec.inputs[0], weight, bias],
            kernel_shape=list(spec.weight.shape[2:]),
            strides=list(spec.stride),
            pads=list(spec.pads),
            group=spec.groups,
        )
    return graph.node("Gemm", [spec.inputs[0], weight, bias], transB=1)


def _emit_eltwise(graph: _GraphBuilder, layer: IntegerEltwise) -> str:
    shift = int(layer.requantiser.shift[0])
    terms = [
        graph.node("Mul", [name, graph.constant(2.0 ** (align - shift))])
        for name, align in zip(layer.layer.inputs, layer.align, strict=True)
    ]
    half = float(_half(layer.requantiser.shift)[0]) * 2.0**-shift
    total = terms[0]
    for term in (*terms[1:], graph.constant(half)):
        total = graph.node("Add", [total, term])
    return total


def _half(shift: IntArray) -> IntArray:
    return np.where(shift > 0, np.left_shift(1, np.maximum(shift - 1, 0)), 0)


def _floor_and_clamp(
    graph: _GraphBuilder, value: str, requantiser: Requantiser, output: str
) -> None:
    """Emit floor then clamp; clamping first, to ``high + 0.5``, is equal and fuses into Conv."""
    low, high = graph.constant(requantiser.low), graph.constant(requantiser.high + 0.5)
    if requantiser.slope is None:
        graph.node("Floor", [graph.node("Clip", [value, low, high])], output)
        return
    guard = Format(requantiser.act_bits + LEAKY_GUARD_BITS, 0)
    ends = [graph.constant(guard.low), graph.constant(guard.high + 0.5)]
    y = graph.node("Floor", [graph.node("Clip", [value, *ends])])
    zero, slope = graph.constant(0.0), requantiser.slope
    negative = graph.node("Min", [y, zero])
    scaled = graph.node("Mul", [negative, graph.constant(slope.mantissa * 2.0**-slope.shift)])
    rounded = graph.node("Floor", [graph.node("Add", [scaled, graph.constant(0.5)])])
    leaky = graph.node("Add", [rounded, graph.node("Max", [y, zero])])
    graph.node("Clip", [leaky, low, graph.constant(requantiser.high)], output)
