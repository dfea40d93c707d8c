"""Converters of pooling and padding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from toolflow.network.drafts import Pad
from toolflow.network.geometry import Pads, Pair, Window
from toolflow.network.graph import AvgPool, Flatten, Layer, MaxPool
from toolflow.network.node_view import Alias, Layers, NodeView, RefusalError
from toolflow.network.operators.common import RE_EXPORT, Conversion, Converter, make_layer, pair_of
from toolflow.network.operators.windows import positive_pair, window_of


def _pool_window(view: NodeView) -> tuple[Window, Window, Pair]:
    """The window, the same with ceil_mode applied, and the input's size."""
    size = pair_of(view.map_shape()[1:])
    kernel = view.node.attributes.get("kernel_shape", ())
    if len(kernel) != 2:
        raise RefusalError(f"it pools over {len(kernel)} axes; 2-D pooling is supported")
    if positive_pair(view, "dilations") != (1, 1):
        raise RefusalError("dilated pooling is not supported", RE_EXPORT)
    window = window_of(view, pair_of(kernel), size)
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
    layer = make_layer(
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
    layer = make_layer(
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
        return Layers((_whole_map(view, kind, channels, pair_of(size)),))

    return convert_pool


def _whole_map(
    view: NodeView, kind: type[MaxPool] | type[AvgPool], channels: int, size: Pair
) -> Layer:
    return make_layer(view, kind, (channels, 1, 1), kernel=size, stride=(1, 1), pads=(0, 0, 0, 0))


def _reduce_mean(view: NodeView) -> Conversion:
    channels, *size = view.map_shape()
    if view.axes(since=18) != (2, 3):
        raise RefusalError("a mean over other axes than H and W is not supported")
    pool = _whole_map(view, AvgPool, channels, pair_of(size))
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
    return Layers((make_layer(view, Pad, out_shape, pads=pads, value=value),))


CONVERTERS: Mapping[str, Converter] = {
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_pool(AvgPool),
    "GlobalMaxPool": _global_pool(MaxPool),
    "MaxPool": _max_pool,
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
}
