"""In which order hardware finds values: maps are channel-last, and so are vectors made of them.

A convolution's depth runs over kernel row, kernel column, input channel. A vector that was
flattened from a map has the map's order in memory, (height, width, channel), not the network's
(channel, height, width); what is made of it element by element keeps that. Dense layers make up for
it by the order of their weights.
"""

from __future__ import annotations

from math import prod

import numpy as np

from toolflow.errors import UserError
from toolflow.fixedpoint import IntArray
from toolflow.network.graph import Activate, Add, Concat, Conv, Flatten, Network, WeightLayer


def memory_order(network: Network, tensor: str) -> IntArray:
    """Return a vector's elements, numbered as the network does, in the order of memory.

    Raises:
        UserError: two vectors of different orders are added.
    """
    maker = next((layer for layer in network.layers if layer.output == tensor), None)
    if isinstance(maker, Flatten):
        shape = network.shapes[maker.inputs[0]]
        order = np.arange(prod(shape)).reshape(shape)
        return (order.transpose(1, 2, 0) if len(shape) == 3 else order).reshape(-1)
    if isinstance(maker, Concat | Add | Activate):
        orders = [memory_order(network, name) for name in maker.inputs]
        if isinstance(maker, Concat):
            sizes = [len(order) for order in orders]
            starts = np.cumsum([0, *sizes[:-1]])
            return np.concatenate([a + b for a, b in zip(orders, starts, strict=True)])
        if any(not np.array_equal(order, orders[0]) for order in orders):
            raise UserError(
                f"layer {maker.name} adds a flattened map to a vector of another layer: in memory "
                "maps are channel-last, so their elements are in different orders; add before "
                "flattening, or flatten 1x1 maps only"
            )
        return orders[0]
    return np.arange(network.shapes[tensor][0])


def check_output_order(network: Network) -> None:
    """Check that the classes come in their own order.

    Raises:
        UserError: the output is a flattened map of more than one pixel.
    """
    order = memory_order(network, network.output)
    if not np.array_equal(order, np.arange(len(order))):
        raise UserError(
            f"{network.name}: its output is a flattened map of more than one pixel, whose values "
            "are in another order in memory; end the network with a dense layer or a global pooling"
        )


def channel_last_weights(network: Network, layer: WeightLayer, weight: IntArray) -> IntArray:
    """Return a layer's weights as (output channel, depth), depth in the hardware's order."""
    if isinstance(layer, Conv):
        return weight.transpose(0, 2, 3, 1).reshape(weight.shape[0], -1)
    return weight[:, memory_order(network, layer.inputs[0])]


def emulator_weights(network: Network, layer: WeightLayer, words: IntArray) -> IntArray:
    """Return weights in the emulator's order; undoes ``channel_last_weights``."""
    if isinstance(layer, Conv):
        outputs, channels, height, width = layer.weight.shape
        return words.reshape(outputs, height, width, channels).transpose(0, 3, 1, 2)
    order = memory_order(network, layer.inputs[0])
    weight = np.empty_like(words.reshape(layer.weight.shape))
    weight[:, order] = words.reshape(layer.weight.shape)
    return weight
