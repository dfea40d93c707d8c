"""Converters of operators that move values without changing them."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from toolflow.network.graph import Concat, Flatten
from toolflow.network.node_view import Alias, Layers, NodeView, RefusalError
from toolflow.network.operators.common import Conversion, Converter, make_layer


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
    return Layers((make_layer(view, Concat, out_shape, inputs=tensors),))


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
    return Layers((make_layer(view, Flatten, (prod(shape),)),))


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


CONVERTERS: Mapping[str, Converter] = {
    "Concat": _concat,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
}
