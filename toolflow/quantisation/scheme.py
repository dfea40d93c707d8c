"""Quantisation schemes: a fixed-point format for every weight layer and every tensor.

The wordlength is uniform over a network, one for the weights and one for the activations; the
fraction length differs per layer (dynamic fixed point, paper section 2.2). Tensors that hardware
moves without arithmetic (max pooling, flattening, concatenation by address) share one format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

from toolflow.fixedpoint import Format
from toolflow.network.graph import (
    Activate,
    Add,
    AvgPool,
    Concat,
    Flatten,
    Layer,
    MaxPool,
    Network,
    WeightLayer,
)


@dataclass(frozen=True)
class Precision:
    """A pair of wordlengths, written ``W/A``."""

    weight_bits: int
    act_bits: int

    def __str__(self) -> str:
        return f"{self.weight_bits}/{self.act_bits}"


@dataclass(frozen=True)
class WeightFormat:
    """A layer's weight format: one wordlength, a fraction length for each output channel.

    Signed. The accumulators of the channels differ in scale; their requantisers' shifts undo that.
    """

    bits: int
    fracs: tuple[int, ...]

    @classmethod
    def uniform(cls, bits: int, frac: int, channels: int) -> WeightFormat:
        """Return the format with one fraction length for all channels."""
        return cls(bits, (frac,) * channels)

    @property
    def frac(self) -> int:
        """The fraction length of the coarsest channel."""
        return min(self.fracs)

    @property
    def steps(self) -> tuple[int, ...]:
        """How many fraction bits each channel has more than the coarsest."""
        return tuple(frac - self.frac for frac in self.fracs)

    @property
    def words(self) -> Format:
        """The words' range, without a scale."""
        return Format(self.bits, 0)

    def shifted(self, bits: int) -> WeightFormat:
        """Return the format with that many more fraction bits in every channel."""
        return replace(self, fracs=tuple(frac + bits for frac in self.fracs))


@dataclass(frozen=True, eq=False)
class Scheme:
    """Formats of one network at one precision.

    ``weights`` maps weight layers to formats, ``tensors`` maps every tensor to its format; the
    tensors of one group (``format_groups``) have equal formats.
    """

    precision: Precision
    weights: Mapping[str, WeightFormat]
    tensors: Mapping[str, Format]

    def with_weight(self, layer: str, fmt: WeightFormat) -> Scheme:
        """Return a copy in which one layer's weights have another format."""
        return replace(self, weights=MappingProxyType({**self.weights, layer: fmt}))

    def with_group(self, group: TensorGroup, fmt: Format) -> Scheme:
        """Return a copy in which one group of tensors has another format."""
        changed = dict.fromkeys(group.tensors, fmt)
        return replace(self, tensors=MappingProxyType({**self.tensors, **changed}))


@dataclass(frozen=True)
class TensorGroup:
    """Tensors that must share a format. ``name`` is the first one's.

    ``is_head``: the logits, or what becomes them by pooling alone. The network's answer is read
    off such a tensor without another product that could average its rounding out, so these are
    ``LOGIT_BITS`` wide at any precision.
    """

    name: str
    tensors: tuple[str, ...]
    non_negative: bool
    is_head: bool
    is_input: bool


def _ties(layer: Layer) -> bool:
    return isinstance(layer, MaxPool | Flatten | Concat)


def _output_non_negative(layer: Layer, non_negative: Mapping[str, bool]) -> bool:
    if isinstance(layer, WeightLayer | AvgPool | Add | Activate) and layer.activation.non_negative:
        return True
    if isinstance(layer, WeightLayer):
        return False
    return all(non_negative[name] for name in layer.inputs)


@lru_cache(maxsize=16)
def format_groups(network: Network, input_non_negative: bool = False) -> tuple[TensorGroup, ...]:
    """Return the groups of tensors that share a format, in the order of their first tensors."""
    parent = {name: name for name in network.shapes}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    non_negative = {network.input: input_non_negative}
    for layer in network.layers:
        non_negative[layer.output] = _output_non_negative(layer, non_negative)
        if _ties(layer):
            for name in layer.inputs:
                parent[root(layer.output)] = root(name)
    head = _head(network)
    members: dict[str, list[str]] = {}
    for name in network.shapes:
        members.setdefault(root(name), []).append(name)
    return tuple(
        TensorGroup(
            name=names[0],
            tensors=tuple(names),
            non_negative=all(non_negative[n] for n in names) and head.isdisjoint(names),
            is_head=not head.isdisjoint(names),
            is_input=network.input in names,
        )
        for names in members.values()
    )


def _head(network: Network) -> frozenset[str]:
    """Return the tensors that lead to the output by pooling alone, and the output."""
    head = {network.output}
    for layer in reversed(network.layers):
        if layer.output in head and isinstance(layer, MaxPool | AvgPool | Flatten):
            head.update(layer.inputs)
    return frozenset(head)
