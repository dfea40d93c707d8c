"""Layers that exist only while a network is imported; the passes fold or lower every one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from toolflow.network.geometry import Pads
from toolflow.network.graph import Layer


@dataclass(frozen=True, eq=False, kw_only=True)
class Scale(Layer):
    """``y = scale * x + shift`` per channel: batch normalisation and arithmetic with constants."""

    scale: NDArray[np.float64]
    shift: NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Pad(Layer):
    """Constant padding of a map; ``pads`` is (top, left, bottom, right)."""

    pads: Pads
    value: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Softmax(Layer):
    """Softmax (or its logarithm) over the channels."""


@dataclass(frozen=True, eq=False)
class Draft:
    """The layers so far. ``kept`` names tensors that must survive: the network's output, and
    inputs of nodes that could not be imported."""

    layers: tuple[Layer, ...]
    output: str
    kept: frozenset[str]

    @cached_property
    def producers(self) -> Mapping[str, Layer]:
        """The layer that makes a tensor."""
        return {layer.output: layer for layer in self.layers}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Layer, ...]]:
        """The layers that read a tensor, once for each time they do."""
        readers: dict[str, list[Layer]] = {}
        for layer in self.layers:
            for name in layer.inputs:
                readers.setdefault(name, []).append(layer)
        return {name: tuple(layers) for name, layers in readers.items()}

    def sole_consumer(self, tensor: str) -> Layer | None:
        """The tensor's only reader, if it has one and nothing else needs the tensor."""
        readers = self.consumers.get(tensor, ())
        return readers[0] if len(readers) == 1 and tensor not in self.kept else None
