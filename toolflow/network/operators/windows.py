"""Kernel windows of convolution and pooling, as a node states them."""

from __future__ import annotations

from toolflow.network.geometry import Pair, Window, same_pads
from toolflow.network.node_view import NodeView, RefusalError
from toolflow.network.operators.common import pair_of


def positive_pair(view: NodeView, name: str) -> Pair:
    """A pair attribute, (1, 1) by default; refused below one."""
    pair = pair_of(view.ints(name, (1, 1)))
    if min(pair) < 1:
        raise RefusalError(f"its {name} are {pair}, below one")
    return pair


def window_of(view: NodeView, kernel: Pair, size: Pair) -> Window:
    """Kernel, strides and pads of a node; ``kernel`` is as wide as dilation makes it."""
    stride = positive_pair(view, "strides")
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
