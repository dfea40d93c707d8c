"""Converters of activation functions."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

import numpy as np

from toolflow.network.graph import Activate, Activation, ActivationKind
from toolflow.network.node_view import Alias, Layers, NodeView, RefusalError
from toolflow.network.operators.common import Conversion, Converter, make_layer


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
    return Layers((make_layer(view, Activate, view.shape(), activation=activation),))


CONVERTERS: Mapping[str, Converter] = {
    "Clip": _clip,
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "Relu": _relu,
}
