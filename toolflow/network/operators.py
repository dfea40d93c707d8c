"""One converter per ONNX operator: a node becomes layers or nothing, or is refused with advice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isfinite, prod

import numpy as np
import onnx
from numpy.typing import NDArray

from toolflow.network.drafts import Pad, Scale, Softmax
from toolflow.network.geometry import Pads, Pair, Window, same_pads
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
    MaxPool,
    Shape,
)
from toolflow.network.node_view import (
    Alias,
    Layers,
    NodeView,
    RefusalError,
    as_float32,
    check_finite,
    per_channel,
)
from toolflow.network.onnx_graph import MAX_ELEMENTS

Conversion = Layers | Alias
Converter = Callable[[NodeView], Conversion]

_FLOAT_TYPES = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
    onnx.TensorProto.DOUBLE,
)
_RE_EXPORT = "export the model again with the attribute left at its default"


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


def _layer(view: NodeView, make: Callable[..., Layer], out_shape: Shape, **fields: object) -> Layer:
    """A layer named as the node, from its first input to its output."""
    if prod(out_shape) > MAX_ELEMENTS or min(out_shape) < 1:
        raise RefusalError(f"its output would be {' x '.join(map(str, out_shape))}")
    inputs = fields.pop("inputs", None) or (view.tensor(),)
    return make(
        name=view.node.name, inputs=inputs, output=view.output, out_shape=out_shape, **fields
    )


# Convolution and matrix products


def _conv(view: NodeView) -> Conversion:
    weight = view.weights(1, "weight")
    if weight.ndim != 4:
        raise RefusalError(
            f"it is a {weight.ndim - 2}-D convolution; 2-D ones are supported",
            "express a 1-D convolution as a 2-D one with height 1",
        )
    channels, *size = view.map_shape()
    groups = view.integer("group", 1)
    outputs = weight.shape[0]
    if groups < 1 or channels % groups or outputs % groups or not outputs:
        raise RefusalError(
            f"{channels} input and {outputs} output channels do not split in {groups}"
        )
    if weight.shape[1] != channels // groups:
        raise RefusalError(
            f"its weight takes {weight.shape[1] * groups} channels, its input has {channels}"
        )
    if view.ints("kernel_shape", weight.shape[2:]) != weight.shape[2:]:
        raise RefusalError("its kernel_shape differs from its weight's shape")
    bias = view.weights(2, "bias") if view.has(2) else np.zeros(outputs, np.float32)
    if bias.shape != (outputs,):
        raise RefusalError(f"its bias has shape {bias.shape}, its weight {outputs} outputs")
    dilation = _positive_pair(view, "dilations")
    window = _window(view, _dilated_size(_pair(weight.shape[2:]), dilation), _pair(size))
    out_size = window.output(_pair(size))
    if min(out_size) < 1:
        raise RefusalError("its kernel is larger than its padded input")
    layer = _layer(
        view,
        Conv,
        (outputs, *out_size),
        weight=_dilate(weight, dilation),
        bias=bias,
        stride=window.stride,
        pads=window.pads,
        groups=groups,
    )
    note = "" if dilation == (1, 1) else f"dilation {dilation}: kernel expanded with zeros"
    return Layers((layer,), note)


def _dilated_size(kernel: Pair, dilation: Pair) -> Pair:
    return (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1


def _dilate(weight: FloatArray, dilation: Pair) -> FloatArray:
    """The dense kernel that does what a dilated one does: zeros between its taps."""
    if dilation == (1, 1):
        return weight
    shape = (*weight.shape[:2], *_dilated_size(_pair(weight.shape[2:]), dilation))
    if prod(shape) > MAX_ELEMENTS:
        raise RefusalError(f"its dilation {dilation} makes the kernel too large")
    expanded = np.zeros(shape, np.float32)
    expanded[:, :, :: dilation[0], :: dilation[1]] = weight
    return expanded


def _gemm(view: NodeView) -> Conversion:
    if view.integer("transA", 0):
        raise RefusalError("transA=1 multiplies across the images of a batch", _RE_EXPORT)
    weight = view.weights(1, "weight")
    if weight.ndim != 2:
        raise RefusalError(f"its weight has {weight.ndim} axes, 2 are expected")
    if not view.integer("transB", 0):
        weight = weight.T
    outputs = weight.shape[0]
    bias = np.zeros(outputs, np.float32)
    if view.has(2):
        stated = per_channel(view.weights(2, "bias"), (outputs,))
        if stated is None:
            raise RefusalError("its bias does not fit its outputs (or differs between images)")
        bias = (stated * view.number("beta", 1.0)).astype(np.float32)
    alpha = view.number("alpha", 1.0)
    if alpha != 1.0:
        weight = as_float32(weight * np.float64(alpha), "weight times alpha")
    check_finite(bias, "bias times beta")
    return Layers((_dense(view, weight, bias),))


def _matmul(view: NodeView) -> Conversion:
    if not view.is_constant(1):
        if view.is_constant(0):
            raise RefusalError("its constant is on the left", "transpose the product in the model")
        raise RefusalError("it multiplies two activations (attention?), weights must be constant")
    weight = view.weights(1, "weight")
    if weight.ndim != 2:
        raise RefusalError(f"its weight has {weight.ndim} axes, 2 are expected")
    return Layers((_dense(view, weight.T, np.zeros(weight.shape[1], np.float32)),))


def _dense(view: NodeView, weight: FloatArray, bias: FloatArray) -> Layer:
    shape = view.shape()
    if len(shape) != 1:
        raise RefusalError(
            f"its input is a {' x '.join(map(str, shape))} map, a vector is expected",
            "flatten the map first (Flatten with axis=1)",
        )
    if weight.shape[1] != shape[0]:
        raise RefusalError(f"its weight takes {weight.shape[1]} inputs, its input has {shape[0]}")
    return _layer(view, Dense, (weight.shape[0],), weight=weight, bias=bias)


# Windows


def _pair(values: Sequence[int]) -> Pair:
    first, second = values
    return int(first), int(second)


def _positive_pair(view: NodeView, name: str) -> Pair:
    pair = _pair(view.ints(name, (1, 1)))
    if min(pair) < 1:
        raise RefusalError(f"its {name} are {pair}, below one")
    return pair


def _window(view: NodeView, kernel: Pair, size: Pair) -> Window:
    """Kernel, strides and pads of a node; ``kernel`` is as wide as dilation makes it."""
    stride = _positive_pair(view, "strides")
    auto_pad = view.text("auto_pad", "NOTSET")
    if min(kernel) < 1:
        raise RefusalError(f"its kernel is {kernel}, below one")
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        return Window(kernel, stride, same_pads(size, kernel, stride, auto_pad == "SAME_UPPER"))
    if auto_pad not in ("NOTSET", "VALID"):
        raise RefusalError(f"its auto_pad is {auto_pad!r}, which ONNX does not know")
    top, left, bottom, right = view.ints("pads", (0, 0, 0, 0))
    pads = (0, 0, 0, 0) if auto_pad == "VALID" else (top, left, bottom, right)
    if min(pads) < 0:
        raise RefusalError(f"its pads {pads} are negative (they crop)", "crop the image beforehand")
    return Window(kernel, stride, pads)


def _pool_window(view: NodeView) -> tuple[Window, Window, Pair]:
    """The window, the same with ceil_mode applied, and the input's size."""
    size = _pair(view.map_shape()[1:])
    kernel = view.node.attributes.get("kernel_shape", ())
    if len(kernel) != 2:
        raise RefusalError(f"it pools over {len(kernel)} axes; 2-D pooling is supported")
    if _positive_pair(view, "dilations") != (1, 1):
        raise RefusalError("dilated pooling is not supported", _RE_EXPORT)
    window = _window(view, _pair(kernel), size)
    if any(window.pads[k] >= window.kernel[k % 2] for k in range(4)):
        raise RefusalError(
            f"its pads {window.pads} are not smaller than its kernel {window.kernel}"
        )
    if any(size[k] + window.pads[k] + window.pads[k + 2] < window.kernel[k] for k in (0, 1)):
        raise RefusalError("its kernel is larger than its padded input")
    # auto_pad fixes the output size by itself; ceil_mode then changes nothing
    ceil = view.integer("ceil_mode", 0) and view.text("auto_pad", "NOTSET") in ("NOTSET", "VALID")
    return window, window.ceiled(size) if ceil else window, size


def _max_pool(view: NodeView) -> Conversion:
    if len(view.node.outputs) > 1 and view.node.outputs[1]:
        raise RefusalError("its second output (Indices) is asked for", "remove that output")
    _, window, size = _pool_window(view)
    layer = _layer(
        view,
        MaxPool,
        (view.map_shape()[0], *window.output(size)),
        kernel=window.kernel,
        stride=window.stride,
        pads=window.pads,
    )
    note = "ceil_mode as padding at the bottom and right" if view.integer("ceil_mode", 0) else ""
    return Layers((layer,), note)


def _average_pool(view: NodeView) -> Conversion:
    window, ceiled, size = _pool_window(view)
    if ceiled.output(size) != window.output(size):
        raise RefusalError(
            "ceil_mode=1 averages partial windows, which is not supported",
            "export with ceil_mode=0 and pad explicitly, or choose an input size that divides",
        )
    layer = _layer(
        view,
        AvgPool,
        (view.map_shape()[0], *window.output(size)),
        kernel=window.kernel,
        stride=window.stride,
        pads=window.pads,
        count_include_pad=bool(view.integer("count_include_pad", 0)) or not any(window.pads),
    )
    return Layers((layer,))


def _global_pool(kind: type[MaxPool] | type[AvgPool]) -> Converter:
    def convert_pool(view: NodeView) -> Conversion:
        channels, *size = view.map_shape()
        return Layers((_whole_map(view, kind, channels, _pair(size)),))

    return convert_pool


def _whole_map(
    view: NodeView, kind: type[MaxPool] | type[AvgPool], channels: int, size: Pair
) -> Layer:
    return _layer(view, kind, (channels, 1, 1), kernel=size, stride=(1, 1), pads=(0, 0, 0, 0))


def _reduce_mean(view: NodeView) -> Conversion:
    channels, *size = view.map_shape()
    if view.axes(since=18) != (2, 3):
        raise RefusalError("a mean over other axes than H and W is not supported")
    pool = _whole_map(view, AvgPool, channels, _pair(size))
    if view.integer("keepdims", 1):
        return Layers((pool,), "global average pooling")
    inner = f"{view.output}/map"
    flatten = Flatten(
        name=f"{view.node.name}/flatten",
        inputs=(inner,),
        output=view.output,
        out_shape=(channels,),
    )
    layers = (replace(pool, output=inner), flatten)
    return Layers(layers, "global average pooling, flattened")


def _pad(view: NodeView) -> Conversion:
    mode = view.text("mode", "constant")
    if mode != "constant":
        raise RefusalError(f"padding mode {mode!r} is not supported", "pad with zeros in the model")
    shape = view.shape()
    rank = len(shape) + 1
    if view.opset < 11:
        amounts = [int(v) for v in view.node.attributes.get("pads", ())]
        value = view.number("value", 0.0)
    else:
        amounts = [int(v) for v in view.constant(1, "pads").ravel()]
        value = float(view.constant(2, "value").ravel()[0]) if view.has(2) else 0.0
    axes = view.constant(3, "axes").ravel().tolist() if view.has(3) else list(range(rank))
    axes = [int(axis) % rank for axis in axes]
    if len(amounts) != 2 * len(axes):
        raise RefusalError(f"it has {len(amounts)} pads for {len(axes)} axes")
    begin, end = [0] * rank, [0] * rank
    for k, axis in enumerate(axes):
        begin[axis], end[axis] = amounts[k], amounts[k + len(axes)]
    if not any(begin + end):
        return Alias(view.tensor(), "pads nothing")
    if rank != 4 or any(begin[:2] + end[:2]):
        raise RefusalError("it pads other axes than H and W")
    if min(begin + end) < 0:
        raise RefusalError("its pads are negative (they crop)", "crop the image beforehand")
    out_shape = (
        shape[0],
        shape[1] + begin[2] + end[2],
        shape[2] + begin[3] + end[3],
    )
    pads: Pads = (begin[2], begin[3], end[2], end[3])
    return Layers((_layer(view, Pad, out_shape, pads=pads, value=value),))


# Activation functions


def _relu(view: NodeView) -> Conversion:
    return _activate(view, bounded(0.0, np.inf))


def _clip(view: NodeView) -> Conversion:
    if view.opset < 11:
        low, high = view.number("min", -np.inf), view.number("max", np.inf)
    else:
        low, high = (
            float(view.constant(k, name).ravel()[0]) if view.has(k) else infinite
            for k, name, infinite in ((1, "minimum", -np.inf), (2, "maximum", np.inf))
        )
    # exporters write "no bound" as the largest float
    limit = float(np.finfo(np.float32).max)
    return _activate(view, bounded(-np.inf if low <= -limit else low,
                                   np.inf if high >= limit else high))  # fmt: skip


def bounded(low: float, high: float) -> Activation:
    """The activation function that clamps to ``low``..``high``; `RefusalError` where none does."""
    if not low <= high or low == np.inf or high == -np.inf:
        raise RefusalError(f"its bounds {low} and {high} leave no values between them")
    if (low, high) == (-np.inf, np.inf):
        return Activation()
    if (low, high) == (0, np.inf):
        return Activation(ActivationKind.RELU)
    return Activation(ActivationKind.CLIP, low=low, high=high)


def _leaky_relu(view: NodeView) -> Conversion:
    return _activate(view, _leaky(view.number("alpha", 0.01)))


def _prelu(view: NodeView) -> Conversion:
    slopes = view.weights(1, "slope").ravel()
    if not slopes.size or (slopes != slopes[0]).any():
        raise RefusalError(
            "its slope differs between channels", "use LeakyRelu, or one shared slope"
        )
    return _activate(view, _leaky(float(slopes[0])))


def _leaky(slope: float) -> Activation:
    if not isfinite(slope) or slope < 0:
        raise RefusalError(f"its slope {slope} is not a finite number from zero up")
    if slope == 0:
        return Activation(ActivationKind.RELU)
    if slope == 1:
        return Activation()
    return Activation(ActivationKind.LEAKY_RELU, slope=slope)


def _activate(view: NodeView, activation: Activation) -> Conversion:
    if activation.kind is ActivationKind.NONE:
        return Alias(view.tensor(), "changes no value")
    return Layers((_layer(view, Activate, view.shape(), activation=activation),))


# Arithmetic


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
    layer = _layer(
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


# Shapes


def _concat(view: NodeView) -> Conversion:
    tensors = tuple(view.tensor(k) for k in range(len(view.node.inputs)))
    shapes = [view.shape(k) for k in range(len(view.node.inputs))]
    rank = len(shapes[0]) + 1
    axis = view.integer("axis", 1)
    if not -rank <= axis < rank or axis % rank != 1:
        raise RefusalError(f"it joins along axis {axis}; channels (axis 1) are supported")
    if len({shape[1:] for shape in shapes}) > 1 or len({len(s) for s in shapes}) > 1:
        raise RefusalError(f"it joins maps of different sizes {shapes}")
    if len(tensors) == 1:
        return Alias(tensors[0], "joins one tensor")
    out_shape = (sum(shape[0] for shape in shapes), *shapes[0][1:])
    return Layers((_layer(view, Concat, out_shape, inputs=tensors),))


def _flatten(view: NodeView) -> Conversion:
    shape = view.shape()
    rank = len(shape) + 1
    axis = view.integer("axis", 1)
    if axis not in (1, 1 - rank):
        raise RefusalError(f"it flattens from axis {axis}; axis 1 is supported")
    return _to_vector(view)


def _to_vector(view: NodeView) -> Conversion:
    shape = view.shape()
    if len(shape) == 1:
        return Alias(view.tensor(), "its input is a vector already")
    return Layers((_layer(view, Flatten, (prod(shape),)),))


def _reshape(view: NodeView) -> Conversion:
    shape = view.shape()
    full = (view.batch, *shape)
    target = [int(v) for v in view.constant(1, "shape").ravel()]
    if not view.integer("allowzero", 0):
        if any(v == 0 and k >= len(full) for k, v in enumerate(target)):
            raise RefusalError(f"its shape {target} copies an axis that its input has not")
        target = [full[k] if v == 0 else v for k, v in enumerate(target)]
    if target.count(-1) > 1 or min(target, default=0) < -1 or 0 in target:
        raise RefusalError(f"its shape {target} is not usable")
    if -1 in target:
        known = -prod(target)
        target[target.index(-1)] = prod(full) // known if prod(full) % known == 0 else 0
    if prod(target) != prod(full):
        raise RefusalError(f"its shape {target} does not hold the {prod(full)} values of its input")
    if target == list(full):
        return Alias(view.tensor(), "the shape stays the same")
    if target == [view.batch, prod(shape)]:
        return _to_vector(view)
    raise RefusalError(
        f"it reshapes {list(full)} to {target}; only flattening to N x F is supported",
        "channel shuffles and splits need another formulation (for example a 1x1 convolution)",
    )


def _squeeze(view: NodeView) -> Conversion:
    shape = view.shape()
    axes = view.axes(since=13)
    if axes == ():
        return Alias(view.tensor(), "removes no axis")
    if axes is None:
        if view.batch == 1:
            raise RefusalError("without axes it removes the batch too", "state the axes 2 and 3")
        axes = tuple(k for k, size in enumerate((view.batch, *shape)) if size == 1)
    if axes != (2, 3) or shape[1:] != (1, 1):
        raise RefusalError(
            f"it removes the axes {list(axes)} of {shape}; only 1x1 maps are squeezed"
        )
    return _to_vector(view)


def _transpose(view: NodeView) -> Conversion:
    shape = view.shape()
    full = (view.batch, *shape)
    order = view.node.attributes.get("perm", tuple(reversed(range(len(full)))))
    if sorted(order) != list(range(len(full))):
        raise RefusalError(f"its perm {list(order)} is no permutation")
    moved = [axis for axis in order if axis == 0 or full[axis] > 1]
    if tuple(full[axis] for axis in order) == full and moved == sorted(moved):
        return Alias(view.tensor(), "moves only axes of size one")
    raise RefusalError(
        f"transposing activations ({list(order)}) is not supported",
        "export with channels first (tf2onnx: --inputs-as-nchw and --outputs-as-nchw)",
    )


# Removed


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
    return Layers((_layer(view, Softmax, shape),))


CONVERTERS: dict[str, Converter] = {
    "Add": _binary("Add"),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": _binary("Div"),
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool(AvgPool),
    "GlobalMaxPool": _global_pool(MaxPool),
    "Identity": _identity,
    "LeakyRelu": _leaky_relu,
    "LogSoftmax": _softmax,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Mul": _binary("Mul"),
    "PRelu": _prelu,
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
    "Relu": _relu,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Squeeze": _squeeze,
    "Sub": _binary("Sub"),
    "Sum": _sum,
    "Transpose": _transpose,
}

_GENERAL_ADVICE = (
    "express it with the supported operators (convolution, dense layers, ReLU-like activations, "
    "pooling, Add, Concat, Flatten), then export and train again"
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
    "LRN": "train without it (batch normalisation in its place folds into the convolution)",
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
