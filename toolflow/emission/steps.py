"""What an engine does of a network, step by step, and which tensors share a buffer.

A step is one descriptor: a convolution, a dense layer, a pooling, an addition, an activation. What
moves no words has none: a flattened map is the map's own buffer, and a concatenation's inputs are
written as channels of its buffer by the layers that make them. A max pooling of windows side by
side, or that share a line with the next one, is part of the convolution before it
(``row_pool.sv``), if nothing else wants the map between them. Steps are added where words must
move after all:

* the first step of a unit whose input format is not the stored images', as the LPU's: it cuts the
  images (``IntegerNetwork.input_window``); and of a network that begins with a dense layer;
* a copy of a concatenation's input that lies elsewhere already: in another concatenation, or twice
  in one, or as a flattened map.

Both are activations of kind NONE.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType

import numpy as np

from toolflow.emission.memory_order import check_output_order
from toolflow.emulator.integer_network import (
    IntegerEltwise,
    IntegerLayer,
    IntegerNetwork,
    Requantiser,
)
from toolflow.fixedpoint import Format
from toolflow.network.graph import (
    Activate,
    Activation,
    Concat,
    Conv,
    Flatten,
    MaxPool,
    Network,
    Pool,
    Shape,
)

MOST_POOLED = 15
"""Lines of a window that ``row_pool.sv`` counts."""

STORED_IMAGES = "(images)"
"""The tensor of the images as the host stores them."""


@dataclass(frozen=True)
class Part:
    """Where a tensor is: channels ``first ..`` of every pixel of the tensor ``buffer``.

    ``flat``: it is a flattened map, one pixel as deep as all of the buffer.
    """

    buffer: str
    first: int = 0
    flat: bool = False


@dataclass(frozen=True, eq=False)
class Step:
    """One job of an engine: ``layer`` run on ``inputs`` gives ``output``, all tensors' names.

    With ``pool`` its result is pooled, and ``output`` is the pooling's.
    """

    name: str
    layer: IntegerLayer
    inputs: tuple[str, ...]
    output: str
    pool: MaxPool | None = None


@dataclass(frozen=True, eq=False)
class Schedule:
    """The steps in order; every tensor's format, (C, H, W) or (F,) shape and part of a buffer."""

    steps: tuple[Step, ...]
    formats: Mapping[str, Format]
    shapes: Mapping[str, Shape]
    parts: Mapping[str, Part]
    output: str

    @property
    def buffers(self) -> tuple[str, ...]:
        """The tensors that other tensors are parts of, and those that lie alone."""
        return tuple(dict.fromkeys(part.buffer for part in self.parts.values()))


def map_shape(shape: Shape) -> tuple[int, int, int]:
    """Return (C, H, W), of a vector one pixel's."""
    return (shape[0], 1, 1) if len(shape) == 1 else (shape[0], shape[1], shape[2])


def row_pools(network: Network) -> dict[str, MaxPool]:
    """Return the poolings that convolutions do by the way, by the convolutions' names."""
    readers = Counter(name for layer in network.layers for name in layer.inputs)
    makers = {layer.output: layer for layer in network.layers}
    found = {}
    for pool in network.layers:
        if not isinstance(pool, MaxPool):
            continue
        maker = makers.get(pool.inputs[0])
        alone = readers[pool.inputs[0]] == 1 and pool.inputs[0] != network.output
        if isinstance(maker, Conv) and alone and _by_the_way(pool, maker.out_shape):
            found[maker.name] = pool
    return found


def _by_the_way(pool: MaxPool, shape: Shape) -> bool:
    """Return whether ``row_pool.sv`` can do a pooling of a map.

    Square windows, side by side or sharing a line of pixels with the next one; up to a line of
    padding above and left, the same. Of the windows that reach over the end of a line one at most
    is wanted, and if the line's last pixel is shared, none.
    """
    size, stride, pad = pool.kernel[0], pool.stride[0], pool.pads[0]
    overlap = size - stride
    if (
        pool.kernel != (size, size)
        or pool.stride != (stride, stride)
        or not ((overlap == 0 and size > 1) or (overlap == 1 and size > 2))
        or size > MOST_POOLED
        or pool.pads[1] != pad
        or not 0 <= pad <= min(1, stride - 1)
    ):
        return False
    return all(
        pixels >= stride and wanted <= ended_windows(pixels + pad, stride, overlap)
        for pixels, wanted in zip(shape[-2:], pool.out_shape[-2:], strict=True)
    )


def ended_windows(pixels: int, stride: int, overlap: int) -> int:
    """Return how many windows of a line, its padding counted, end one by one by its last pixel."""
    parts, rest = divmod(pixels - 1, stride)
    return parts + (0 if overlap and rest == 0 else 1)


def pool_width(network: Network) -> int:
    """Return the pixels of the widest line that a convolution pools by the way; 0: none does."""
    return max((pool.out_shape[-1] for pool in row_pools(network).values()), default=0)


def schedule_of(network: IntegerNetwork) -> Schedule:
    """Return the steps of a network on a unit.

    Raises:
        UserError: the network's output, or a sum of vectors, is in no order that memory has.
    """
    check_output_order(network.network)
    return _Scheduler(network).schedule()


class _Scheduler:
    """Collects steps and parts, layer by layer."""

    def __init__(self, network: IntegerNetwork) -> None:
        self._network = network
        self._formats = {STORED_IMAGES: network.stored_input, **network.scheme.tensors}
        self._shapes = {STORED_IMAGES: network.network.input_shape, **network.network.shapes}
        self._makers = {layer.layer.output: layer.layer for layer in network.layers}
        self._parts = {STORED_IMAGES: Part(STORED_IMAGES)}
        self._steps: list[Step] = []
        self._copied_images = network.input != network.stored_input or not all(
            isinstance(layer.layer, Conv | Pool)
            for layer in network.layers
            if network.network.input in layer.layer.inputs
        )
        self._pools = row_pools(network.network)
        self._owners = dict(self._concatenations())

    def schedule(self) -> Schedule:
        """Return the whole schedule."""
        name = self._network.network.input
        if self._copied_images:
            self._copy(name, STORED_IMAGES, name, self._network.input_window)
        else:
            self._parts[name] = Part(STORED_IMAGES)
        for layer in self._network.layers:
            self._add(layer)
        return Schedule(
            tuple(self._steps),
            MappingProxyType(self._formats),
            MappingProxyType(self._shapes),
            MappingProxyType(self._parts),
            self._network.network.output,
        )

    def _add(self, layer: IntegerLayer) -> None:
        spec = layer.layer
        if isinstance(spec, Flatten):
            part = self._parts[spec.inputs[0]]
            pixels = prod(map_shape(self._shapes[spec.inputs[0]])[1:])
            self._parts[spec.output] = Part(part.buffer, part.first, part.flat or pixels > 1)
        elif isinstance(spec, Concat):
            whole = self._placed(spec.output)
            self._parts[spec.output] = whole
            first = whole.first
            for place, source in enumerate(spec.inputs):
                if self._owners.get(self._origin(source)) != (spec.output, place):
                    name = f"{spec.name}/{place}"
                    self._formats[name], self._shapes[name] = (
                        self._formats[source], self._shapes[source],
                    )  # fmt: skip
                    self._copy(name, source, name, 0, Part(whole.buffer, first))
                first += self._shapes[source][0]
        elif spec not in self._pools.values():
            pool = self._pools.get(spec.name)
            output = pool.output if pool else spec.output
            self._parts[output] = self._placed(output)
            self._steps.append(Step(spec.name, layer, spec.inputs, output, pool))

    def _copy(
        self, name: str, source: str, target: str, shift: int, part: Part | None = None
    ) -> None:
        """Add a step that moves words, cut by ``shift`` bits."""
        shape, fmt = self._shapes[source], self._formats[target]
        self._parts[target] = part or self._placed(target)
        spec = Activate(
            name=name, inputs=(source,), output=target, out_shape=shape, activation=Activation()
        )
        shifts = np.array([shift], np.int64)
        requantiser = Requantiser(shifts, fmt.low, fmt.high, None, fmt.bits)
        layer = IntegerEltwise(spec, (0,), requantiser, (self._formats[source].operand_limit,))
        self._steps.append(Step(name, layer, (source,), target))

    def _placed(self, tensor: str) -> Part:
        """Return the part of a tensor that a step makes: of the concatenation that it goes to."""
        first = 0
        while tensor in self._owners:
            owner, place = self._owners[tensor]
            inputs = self._makers[owner].inputs[:place]
            first += sum(self._shapes[name][0] for name in inputs)
            tensor = owner
        return Part(tensor, first)

    def _concatenations(self) -> Iterator[tuple[str, tuple[str, int]]]:
        """Yield the tensors that are made in a concatenation's buffer: its name, and the place."""
        flattened = {
            self._origin(layer.layer.inputs[0])
            for layer in self._network.layers
            if isinstance(layer.layer, Flatten) and self._is_map(layer.layer.inputs[0])
        }
        taken: set[str] = set()
        for layer in self._network.layers:
            spec = layer.layer
            if not isinstance(spec, Concat):
                continue
            for place, source in enumerate(spec.inputs):
                origin = self._origin(source)
                # A flattened map keeps its own pixels together.
                if origin not in taken | flattened:
                    taken.add(origin)
                    yield origin, (spec.output, place)

    def _origin(self, tensor: str) -> str:
        """Return the tensor that a flattened one is the same words as."""
        maker = self._makers.get(tensor)
        while isinstance(maker, Flatten):
            tensor = maker.inputs[0]
            maker = self._makers.get(tensor)
        return tensor

    def _is_map(self, tensor: str) -> bool:
        return prod(map_shape(self._shapes[tensor])[1:]) > 1
