"""Converter of local response normalisation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolflow.network.graph import Lrn
from toolflow.network.node_view import Layers, NodeView, RefusalError
from toolflow.network.operators.common import Conversion, Converter, make_layer

MAX_SIZE = 15
"""The widest window: sums of squares of 16-bit words then have 36 bits."""

_RETRAIN = "train without it (batch normalisation in its place folds into the convolution)"


def _lrn(view: NodeView) -> Conversion:
    shape = view.map_shape()
    size = view.integer("size", 0)
    alpha, beta = view.number("alpha", 1e-4), view.number("beta", 0.75)
    bias = view.number("bias", 1.0)
    if not 1 <= size <= MAX_SIZE or size % 2 == 0:
        raise RefusalError(
            f"its window of {size} channels is no odd number from 1 to {MAX_SIZE}", _RETRAIN
        )
    if not all(0 < value < np.inf for value in (alpha, beta, bias)):
        raise RefusalError(
            f"its alpha {alpha:g}, beta {beta:g} and bias {bias:g} are not all above zero", _RETRAIN
        )
    return Layers((make_layer(view, Lrn, shape, size=size, alpha=alpha, beta=beta, bias=bias),))


CONVERTERS: Mapping[str, Converter] = {"LRN": _lrn}
