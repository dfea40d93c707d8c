"""What the converters of ONNX operators share: their type, and the making of a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from toolflow.network.geometry import Pair
from toolflow.network.graph import Layer, Shape
from toolflow.network.node_view import Alias, Layers, NodeView, RefusalError
from toolflow.network.onnx_graph import MAX_ELEMENTS

Conversion = Layers | Alias
Converter = Callable[[NodeView], Conversion]

RE_EXPORT = "export the model again with the attribute left at its default"


def make_layer(
    view: NodeView, make: Callable[..., Layer], out_shape: Shape, **fields: object
) -> Layer:
    """A layer named as the node, from its first input to its output."""
    if prod(out_shape) > MAX_ELEMENTS or min(out_shape) < 1:
        raise RefusalError(f"its output would be {' x '.join(map(str, out_shape))}")
    inputs = fields.pop("inputs", None) or (view.tensor(),)
    return make(
        name=view.node.name, inputs=inputs, output=view.output, out_shape=out_shape, **fields
    )


def pair_of(values: Sequence[int]) -> Pair:
    """A pair from a sequence of two."""
    first, second = values
    return int(first), int(second)
