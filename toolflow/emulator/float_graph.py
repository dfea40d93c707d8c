"""ONNX graphs that compute integer layers exactly, as `exactness` planned it.

onnxruntime keeps feature maps in a blocked layout between convolutions, pooling and concatenation,
and reorders them for anything element-wise. So element-wise steps are written as 1x1 depthwise
convolutions, which have one product and one sum and so round once, in whatever order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from toolflow.emulator.exactness import Finish, Plan, digits_of, leaky_in_float32, map_size
from toolflow.emulator.factor_table import factors, window_sums
from toolflow.emulator.integer_network import (
    IntegerAvgPool,
    IntegerEltwise,
    IntegerLayer,
    IntegerLrn,
    IntegerMatmul,
    IntegerNetwork,
    Requantiser,
)
from toolflow.emulator.reference import reciprocal_map
from toolflow.fixedpoint import LEAKY_GUARD_BITS, Format, IntArray
from toolflow.network.graph import AvgPool, Concat, Conv, Layer, MaxPool, Shape

OPSET = 17
_IR_VERSION = 8
_BLOCK = 16
"""Depthwise convolutions are fast where the channels are a multiple of this."""

_MAGIC = 1.5 * 2**23
"""float32 numbers near this are the integers: adding it rounds to the nearest."""

_UNCUT = ((0,), (0,))


def session_model(
    network: IntegerNetwork,
    run: Sequence[tuple[IntegerLayer, Plan]],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> ModelProto:
    """Return the model of a run of layers; all its inputs and outputs are float32."""
    graph = _GraphBuilder()
    for layer, plan in run:
        _emit(graph, network, layer, plan)
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
        ir_version=_IR_VERSION,
    )


class _GraphBuilder:
    """Collects the nodes and constants of one session's graph; ``wide`` constants are float64."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._count = 0

    def constant(self, value: NDArray[Any] | float, wide: bool = False) -> str:
        name = self._fresh("constant")
        array = np.asarray(value, np.float64 if wide else np.float32)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def sizes(self, *values: int) -> str:
        name = self._fresh("sizes")
        self.constants.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def node(self, op: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        output = output or self._fresh(op)
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def cast(self, value: str, wide: bool, output: str = "") -> str:
        return self.node(
            "Cast", [value], output, to=TensorProto.DOUBLE if wide else TensorProto.FLOAT
        )

    def affine(self, value: str, factor: float, offset: float, shape: Shape) -> str:
        """Emit ``value * factor + offset`` on float32 of ``shape``, rounded once."""
        if len(shape) == 3 and shape[0] % _BLOCK == 0:
            weight = self.constant(np.full((shape[0], 1, 1, 1), factor))
            bias = self.constant(np.full(shape[0], offset))
            return self.node("Conv", [value, weight, bias], kernel_shape=[1, 1], group=shape[0])
        scaled = value if factor == 1 else self.node("Mul", [value, self.constant(factor)])
        return self.node("Add", [scaled, self.constant(offset)]) if offset else scaled

    def clip(
        self, value: str, low: float, high: float, wide: bool = False, output: str = ""
    ) -> str:
        ends = [self.constant(end, wide) for end in (low, high)]
        return self.node("Clip", [value, *ends], output)

    def rename(self, made: str, name: str) -> None:
        """Give the tensor that the last node made another name."""
        node = self.nodes[-1]
        assert node.output[0] == made
        node.output[0] = name

    def _fresh(self, kind: str) -> str:
        self._count += 1
        return f"emulator:{kind}:{self._count}"


def _emit(graph: _GraphBuilder, network: IntegerNetwork, layer: IntegerLayer, plan: Plan) -> None:
    spec = layer.layer
    inputs, output = list(spec.inputs), spec.output
    if isinstance(layer, IntegerMatmul | IntegerAvgPool | IntegerEltwise | IntegerLrn):
        if isinstance(layer, IntegerMatmul):
            total = _matmul(graph, layer, plan)
        elif isinstance(layer, IntegerAvgPool):
            total = _average(graph, layer, map_size(network, inputs[0]))
        elif isinstance(layer, IntegerLrn):
            total = _normalised(graph, layer)
        else:
            total = _eltwise(graph, layer, plan)
        _requantise(graph, total, layer.requantiser, plan, spec)
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


def _matmul(graph: _GraphBuilder, layer: IntegerMatmul, plan: Plan) -> str:
    """Emit ``(product + bias + offset) * 2**-shift``, float64 if the finish is wide."""
    shift = layer.requantiser.shift
    scale: NDArray[np.float64] = np.ldexp(1.0, -shift)
    bias: NDArray[np.float64] = (layer.bias + _offset(shift, plan)) * scale
    words, source = layer.weight, layer.layer.inputs[0]
    if (plan.weight_digits, plan.input_digits) == _UNCUT:
        value = _product(graph, layer, words, source, scale, bias)
        return graph.cast(value, True) if plan.finish is Finish.WIDE else value
    rank = (-1, *[1] * (len(layer.layer.out_shape) - 1))
    total = graph.constant(bias.reshape(rank), True)
    parts = digits_of(words, plan.weight_digits)
    for input_exponent, part in _input_digits(graph, source, plan.input_digits):
        for exponent, digit in zip(plan.weight_digits, parts, strict=True):
            term = graph.cast(_product(graph, layer, digit, part, np.ones(len(words))), True)
            factor = (scale * 2.0 ** (exponent + input_exponent)).reshape(rank)
            scaled = graph.node("Mul", [term, graph.constant(factor, True)])
            total = graph.node("Add", [scaled, total])
    return total


def _input_digits(
    graph: _GraphBuilder, value: str, exponents: tuple[int, ...]
) -> list[tuple[int, str]]:
    """Emit the digits of integers in float32 (see ``digits_of``), the highest first."""
    parts = []
    for exponent in reversed(exponents[1:]):
        below = graph.node("Mul", [value, graph.constant(2.0**-exponent)])
        digit = graph.node("Floor", [below])
        parts.append((exponent, digit))
        whole = graph.node("Mul", [digit, graph.constant(2.0**exponent)])
        value = graph.node("Sub", [value, whole])
    return [*parts, (0, value)]


def _product(
    graph: _GraphBuilder,
    layer: IntegerMatmul,
    words: IntArray,
    source: str,
    scale: NDArray[np.float64],
    bias: NDArray[np.float64] | None = None,
) -> str:
    spec = layer.layer
    weight = words * scale.reshape(-1, *[1] * (words.ndim - 1))
    operands = [source, graph.constant(weight)]
    if bias is not None:
        operands.append(graph.constant(bias))
    if not isinstance(spec, Conv):
        return graph.node("Gemm", operands, transB=1)
    return graph.node(
        "Conv",
        operands,
        kernel_shape=list(spec.weight.shape[2:]),
        strides=list(spec.stride),
        pads=list(spec.pads),
        group=spec.groups,
    )


def _average(graph: _GraphBuilder, layer: IntegerAvgPool, size: tuple[int, int]) -> str:
    """Emit the exact window sums in float32, then the reciprocal in float64."""
    spec = layer.layer
    assert isinstance(spec, AvgPool)
    if spec.kernel == size and not any(spec.pads):
        total = graph.node("ReduceSum", [spec.inputs[0], graph.sizes(2, 3)], keepdims=1)
    else:
        channels = spec.out_shape[0]
        total = graph.node(
            "Conv",
            [spec.inputs[0], graph.constant(np.ones((channels, 1, *spec.kernel)))],
            kernel_shape=list(spec.kernel),
            strides=list(spec.stride),
            pads=list(spec.pads),
            group=channels,
        )
    mantissa, shift = reciprocal_map(layer, size)
    factor = graph.constant(np.ldexp(mantissa.astype(np.float64), -shift), True)
    half = graph.constant(np.where(shift > 0, 0.5, 0.0), True)
    return graph.node("Add", [graph.node("Mul", [graph.cast(total, True), factor]), half])


def _normalised(graph: _GraphBuilder, layer: IntegerLrn) -> str:
    """Emit the window sums in float32, their factors, and the products in float64."""
    source, channels = layer.layer.inputs[0], layer.layer.out_shape[0]
    square = graph.node("Mul", [source, source])
    window = window_sums(np.eye(channels, dtype=np.int64)[:, :, None, None], layer.size)
    sums = graph.node("Conv", [square, graph.constant(window.swapaxes(0, 1))], kernel_shape=[1, 1])
    index = graph.node("Cast", [sums], to=TensorProto.INT32)
    mantissas, exponents = factors(layer.table, np.arange(layer.table.largest + 1))
    table = graph.constant(np.ldexp(mantissas, -exponents))  # exact: 16 bits
    factor = graph.cast(graph.node("Gather", [table, index]), True)
    scale = graph.constant(2.0 ** -int(layer.requantiser.shift[0]), True)
    word = graph.node("Mul", [graph.cast(source, True), scale])
    # Half up is the floor of half a step more, also where nothing is shifted out.
    return graph.node("Add", [graph.node("Mul", [word, factor]), graph.constant(0.5, True)])


def _eltwise(graph: _GraphBuilder, layer: IntegerEltwise, plan: Plan) -> str:
    """Emit ``(sum + offset) * 2**-shift``, float64 if the finish is wide."""
    shift, shape = layer.requantiser.shift, layer.layer.out_shape
    scale = 2.0 ** -int(shift[0])
    offset = float(_offset(shift, plan)[0]) * scale
    terms = []
    for name, align in zip(layer.layer.inputs, layer.align, strict=True):
        factor = 2.0**align * scale
        if plan.finish is Finish.WIDE:
            terms.append(graph.node("Mul", [graph.cast(name, True), graph.constant(factor, True)]))
        else:
            # Also where it changes nothing: onnxruntime may add one term into the convolution
            # that makes the other, which is exact in this one.
            terms.append(graph.affine(name, factor, 0.0 if terms else offset, shape))
    if plan.finish is Finish.WIDE:
        terms.append(graph.constant(offset, True))
    total = terms[0]
    for term in terms[1:]:
        total = graph.node("Add", [total, term])
    return total


def _offset(shift: IntArray, plan: Plan) -> NDArray[np.float64]:
    """What is added to the accumulator before rounding, in its units.

    Half up is the floor of what is half a step higher. It is also the nearest to what is half a
    unit higher: that is never in the middle between two steps, so that ties do not matter.
    """
    step = np.ldexp(1.0, shift)
    half = np.full(shift.shape, 0.5) if plan.finish is Finish.NEAREST else step / 2
    return np.where(shift > 0, half, 0.0)


def _requantise(
    graph: _GraphBuilder, value: str, requantiser: Requantiser, plan: Plan, spec: Layer
) -> None:
    """Emit rounding, activation function and clamp."""
    if plan.finish is Finish.NEAREST:
        _round_to_nearest(graph, value, requantiser, spec)
    elif plan.finish is Finish.FLOOR:
        _round_down(graph, value, requantiser, False, spec.output)
    else:
        graph.cast(_round_down(graph, value, requantiser, True), False, spec.output)


def _round_to_nearest(
    graph: _GraphBuilder, value: str, requantiser: Requantiser, spec: Layer
) -> None:
    """Add a large number, clamp, take it away; with a LeakyReLU, multiply and do so again."""
    shape, low, high = spec.out_shape, requantiser.low, requantiser.high
    if requantiser.slope is None:
        above = graph.clip(graph.affine(value, 1.0, _MAGIC, shape), _MAGIC + low, _MAGIC + high)
    else:
        leaky = leaky_in_float32(requantiser)
        assert leaky is not None
        first, alpha = leaky
        above = graph.clip(graph.affine(value, 1.0, _MAGIC, shape), _MAGIC + first, _MAGIC + high)
        linear = graph.affine(above, 1.0, -_MAGIC, shape)
        bent = graph.node("LeakyRelu", [linear], alpha=alpha)
        above = graph.affine(bent, 1.0, _MAGIC, shape)
    graph.rename(graph.affine(above, 1.0, -_MAGIC, shape), spec.output)


def _round_down(
    graph: _GraphBuilder, value: str, requantiser: Requantiser, wide: bool, output: str = ""
) -> str:
    """Clamp to ``high + 0.5``, then floor: equal to floor and clamp, and fuses into Conv."""
    low, high = requantiser.low, requantiser.high
    if requantiser.slope is None:
        return graph.node("Floor", [graph.clip(value, low, high + 0.5, wide)], output)
    guard = Format(requantiser.act_bits + LEAKY_GUARD_BITS, 0)
    y = graph.node("Floor", [graph.clip(value, guard.low, guard.high + 0.5, wide)])
    slope = requantiser.slope.mantissa * 2.0**-requantiser.slope.shift
    scaled = graph.node("Mul", [y, graph.constant(slope, wide)])
    rounded = graph.node("Floor", [graph.node("Add", [scaled, graph.constant(0.5, wide)])])
    # With a slope up to one, y is the larger of the two exactly where it is not negative.
    leaky = graph.node("Max" if slope <= 1 else "Min", [rounded, y])
    return graph.clip(leaky, low, high, wide, output)
