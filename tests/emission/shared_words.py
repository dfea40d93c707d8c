"""A small network of every layer kind with words shared by two precisions, for emission's tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from toolflow.emulator.integer_network import (
    IntegerNetwork,
    StoredParameters,
    compile_network,
    cut_network,
)
from toolflow.fixedpoint import LOGIT_BITS, Format, fraction_for
from toolflow.network.float_reference import float_tensors
from toolflow.network.graph import (
    Activate,
    Activation,
    ActivationKind,
    Add,
    AvgPool,
    Concat,
    Conv,
    Dense,
    Flatten,
    Layer,
    MaxPool,
    Network,
    Preprocessing,
    WeightLayer,
)
from toolflow.quantisation.inputs import sample_inputs
from toolflow.quantisation.legality import legalised
from toolflow.quantisation.scheme import Precision, Scheme, format_groups
from toolflow.quantisation.sharing import WeightSharing

RELU = Activation(ActivationKind.RELU)
LEAKY = Activation(ActivationKind.LEAKY_RELU, slope=0.1)
LINEAR = Activation()
IMAGES = 6


@dataclass(frozen=True, eq=False)
class Planned:
    """Two units and the words they share."""

    stored: StoredParameters
    hpu: IntegerNetwork
    lpu: IntegerNetwork
    images: NDArray[np.float32]

    @property
    def network(self) -> Network:
        """The float network."""
        return self.hpu.network


@cache
def planned(weight_bits: int, lpu_weight_bits: int, seed: int = 0, zeros: bool = True) -> Planned:
    """Return a network with 8-bit and 4-bit activations, some of them with random zero points."""
    network = mixed_network(seed)
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 0.5, (IMAGES, *network.input_shape)).astype(np.float32)
    limits = _limits(network, images)
    shares = {name: float(rng.uniform(0.1, 0.6)) for name in network.shapes}
    groups = format_groups(network)
    hpu, lpu = (
        legalised_tensors(network, precision, limits, shares if zeros else {})
        for precision in (Precision(weight_bits, 8), Precision(lpu_weight_bits, 4))
    )
    inputs = sample_inputs(network, images)
    shared = WeightSharing(network, groups, images, inputs, threads=1).share(lpu, hpu)
    return Planned(
        shared.stored,
        compile_network(network, shared.stored),
        cut_network(network, shared.lpu, shared.stored),
        images,
    )


def legalised_tensors(
    network: Network, precision: Precision, limits: dict[str, float], shares: dict[str, float]
) -> Scheme:
    """Return tensors' formats; signed groups get a share of their range as negative words."""
    tensors: dict[str, Format] = {}
    for group in format_groups(network):
        bits = LOGIT_BITS if group.is_head else precision.act_bits
        signed = not group.non_negative
        fmt = Format(
            bits, fraction_for(max(limits[n] for n in group.tensors), bits, signed), signed
        )
        if signed and shares and not group.is_head and not group.is_input:
            zero = max(1, int(shares[group.name] * (1 << bits)))
            fmt = Format(bits, fmt.frac, signed=False, zero=zero)
        tensors |= dict.fromkeys(group.tensors, fmt)
    empty = Scheme(precision, MappingProxyType({}), MappingProxyType(tensors))
    without_weights = (layer for layer in network.layers if not isinstance(layer, WeightLayer))
    partial = replace(network, layers=tuple(without_weights))
    return legalised(empty, partial, format_groups(network))


def _limits(network: Network, images: NDArray[np.float32]) -> dict[str, float]:
    names = [name for name in network.shapes if name != network.input]
    values = next(iter(float_tensors(network, images, names, batch=IMAGES)))
    limits = {name: float(np.abs(values[name]).max()) for name in names}
    return {network.input: float(np.abs(images).max()), **limits}


def mixed_network(seed: int = 0) -> Network:
    """A network with every layer kind; its dense layer follows a flattened map."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> NDArray[np.float32]:
        scale = 2.0 ** rng.integers(-3, 2, (shape[0], *[1] * (len(shape) - 1)))
        spread = 1.0 / np.sqrt(np.prod(shape[1:]))
        return np.asarray(rng.normal(0, spread, shape) * scale, np.float32)

    def bias(count: int) -> NDArray[np.float32]:
        return rng.normal(0, 0.2, count).astype(np.float32)

    def conv(
        name: str, source: str, weight: NDArray[np.float32], groups: int, activation: Activation
    ) -> Conv:
        rows = weight.shape[2] // 2
        return Conv(
            name=name, inputs=(source,), output=name, out_shape=(len(weight), 8, 6),
            weight=weight, bias=bias(len(weight)), activation=activation,
            stride=(1, 1), pads=(rows, 1, rows, 1), groups=groups,
        )  # fmt: skip

    map_shape = (8, 8, 6)
    layers: tuple[Layer, ...] = (
        conv("w_first", "image", weights(8, 3, 3, 3), 1, LEAKY),
        conv("w_depthwise", "w_first", weights(8, 1, 5, 3), 8, LINEAR),
        conv("w_grouped", "w_first", weights(8, 2, 3, 3), 4, LEAKY),
        Add(name="add", inputs=("w_depthwise", "w_grouped"), output="add", out_shape=map_shape,
            activation=LEAKY),
        Activate(name="relu", inputs=("w_depthwise",), output="relu", out_shape=map_shape,
                 activation=RELU),
        Concat(name="concat", inputs=("add", "w_first"), output="concat", out_shape=(16, 8, 6)),
        Conv(name="w_strided", inputs=("concat",), output="w_strided", out_shape=(12, 4, 6),
             weight=weights(12, 16, 5, 3), bias=bias(12), activation=RELU, stride=(2, 1),
             pads=(2, 0, 1, 2), groups=1),
        MaxPool(name="max", inputs=("relu",), output="max", out_shape=(8, 4, 6), kernel=(3, 2),
                stride=(2, 1), pads=(1, 0, 0, 1)),
        AvgPool(name="average", inputs=("w_grouped",), output="average", out_shape=(8, 4, 6),
                kernel=(3, 2), stride=(2, 1), pads=(1, 0, 0, 1), count_include_pad=False),
        Concat(name="join", inputs=("w_strided", "max", "average"), output="join",
               out_shape=(28, 4, 6)),
        MaxPool(name="small", inputs=("join",), output="small", out_shape=(28, 2, 3),
                kernel=(2, 2), stride=(2, 2), pads=(0, 0, 0, 0)),
        Flatten(name="flat", inputs=("small",), output="flat", out_shape=(168,)),
        Dense(name="w_hidden", inputs=("flat",), output="w_hidden", out_shape=(16,),
              weight=weights(16, 168), bias=bias(16), activation=LEAKY),
        Dense(name="w_logits", inputs=("w_hidden",), output="logits", out_shape=(10,),
              weight=weights(10, 16), bias=bias(10)),
    )  # fmt: skip
    return Network(
        name="mixed", sha256="0" * 64, input="image", input_shape=(3, 8, 6), output="logits",
        layers=layers, preprocessing=Preprocessing(), softmax_removed=False, classes=10,
    )  # fmt: skip
