"""What every tensor of a unit's steps must be in memory, from the emulator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolflow.emission.memory_order import memory_order
from toolflow.emission.steps import STORED_IMAGES, schedule_of
from toolflow.emulator.integer_network import IntegerNetwork
from toolflow.emulator.reference import run_layer, run_reference

IntArray = NDArray[np.int64]


def memory_words(network: IntegerNetwork, images: IntArray) -> dict[str, IntArray]:
    """Return the words of every tensor of a unit's steps, copies included, by its name.

    Args:
        network: the unit's network.
        images: (N, C, H, W) integers in the stored images' format.

    Returns:
        ``q + zero``, (N, C, H, W) or (N, F), a vector's elements in the order of memory.
    """
    schedule = schedule_of(network)
    tensors = run_reference(network, images)
    values = {STORED_IMAGES: images}
    for step in schedule.steps:
        for name in (*step.inputs, step.output):
            if name in tensors:
                values[name] = _in_memory(network, tensors[name], name)
        if step.output not in values:
            values[step.output] = run_layer(step.layer, [values[name] for name in step.inputs])
    values[schedule.output] = _in_memory(network, tensors[schedule.output], schedule.output)
    return {name: words + schedule.formats[name].zero for name, words in values.items()}


def _in_memory(network: IntegerNetwork, values: IntArray, name: str) -> IntArray:
    return values if values.ndim == 4 else values[:, memory_order(network.network, name)]
