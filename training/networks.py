"""The example networks, as descriptions that training and export both read.

Every convolution and every hidden fully connected layer is followed by batch normalisation and a
ReLU (in a residual unit, the second convolution's ReLU comes after the sum); the last layer gives
logits. A description says nothing of batch normalisation: it belongs to training, and `folded`
removes it. `build` makes one module of each layer, in the same order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Conv:
    """A square convolution (odd ``kernel``) that only its stride makes smaller."""

    channels: int
    kernel: int = 3
    groups: int = 1
    stride: int = 1


@dataclass(frozen=True)
class Pool:
    """A square maximum with stride 2, without padding."""

    kernel: int = 2


@dataclass(frozen=True)
class Residual:
    """Two 3 x 3 convolutions, the first with ``stride``, added to their input.

    Where the shapes differ, the input goes through a 1 x 1 convolution.
    """

    channels: int
    stride: int = 1


@dataclass(frozen=True)
class GlobalPool:
    """The mean of each channel."""


@dataclass(frozen=True)
class Dense:
    """A fully connected layer on the flattened map."""

    features: int


Layer = Conv | Pool | Residual | GlobalPool | Dense


@dataclass(frozen=True)
class Network:
    """A network: its name, its input's channels and side, its layers in order."""

    name: str
    channels: int
    side: int
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        kinds = [isinstance(layer, Dense) for layer in self.layers]
        if not kinds or not kinds[-1] or kinds != sorted(kinds):
            raise ValueError(f"{self.name}: dense layers must be there, and come last")

    @property
    def classes(self) -> int:
        """The number of logits."""
        last = self.layers[-1]
        assert isinstance(last, Dense)
        return last.features


LENET_DIGITS = Network(
    "lenet_digits", 1, 8, (Conv(8), Conv(16), Pool(), Conv(32), Pool(), Dense(10))
)
VGG_CIFAR10 = Network(
    "vgg_cifar10",
    3,
    32,
    (
        *(Conv(32), Conv(32), Pool()),
        *(Conv(64), Conv(64), Pool()),
        *(Conv(128), Conv(128), Pool()),
        *(Conv(256), Pool()),
        *(Dense(256), Dense(10)),
    ),
)
ALEX_CIFAR10 = Network(
    "alex_cifar10",
    3,
    32,
    (
        *(Conv(48, 5), Pool(3)),
        *(Conv(96, 5, groups=2), Pool(3)),
        *(Conv(128), Conv(128, groups=2), Conv(96, groups=2), Pool(3)),
        *(Dense(256), Dense(128), Dense(10)),
    ),
)
RESNET_CIFAR10 = Network(
    "resnet_cifar10",
    3,
    32,
    (
        *(Conv(24), Residual(24)),
        *(Residual(48, 2), Residual(48)),
        *(Residual(96, 2), Residual(96)),
        *(GlobalPool(), Dense(10)),
    ),
)
NETWORKS = {
    network.name: network for network in (LENET_DIGITS, VGG_CIFAR10, ALEX_CIFAR10, RESNET_CIFAR10)
}


@dataclass(frozen=True)
class Preprocessing:
    """What turns stored pixels into the network's input: ``(pixel / scale - mean) / std``."""

    input_scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise ``images``, N x C x H x W of any number type, to float32."""
        mean = torch.tensor(self.mean, device=images.device).reshape(1, -1, 1, 1)
        std = torch.tensor(self.std, device=images.device).reshape(1, -1, 1, 1)
        return (images.float() / self.input_scale - mean) / std

    def metadata(self) -> dict[str, Any]:
        """Return the values of the ONNX metadata keys, except the channels' order."""
        return {
            "input_scale": self.input_scale,
            "mean": list(self.mean),
            "std": list(self.std),
            "layout": "NCHW",
            "channel_order": "RGB" if len(self.mean) == 3 else "grey",
            "classes": list(self.classes),
        }


class ResidualUnit(nn.Module):  # type: ignore[misc] # PyTorch is not installed where types are checked
    """The trainable form of `Residual`."""

    def __init__(self, channels: int, layer: Residual) -> None:
        super().__init__()
        self.first = _convolution(channels, Conv(layer.channels, stride=layer.stride))
        self.second = _convolution(layer.channels, Conv(layer.channels), relu=False)
        self.shortcut = None
        if (channels, 1) != (layer.channels, layer.stride):
            entry = Conv(layer.channels, 1, stride=layer.stride)
            self.shortcut = _convolution(channels, entry, relu=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the unit's output."""
        around = inputs if self.shortcut is None else self.shortcut(inputs)
        return torch.relu(self.second(self.first(inputs)) + around)


class GlobalMean(nn.Module):  # type: ignore[misc] # as above
    """The trainable form of `GlobalPool`; deterministic on every device."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return N x C x 1 x 1 means."""
        return inputs.mean((2, 3), keepdim=True)


def build(network: Network) -> nn.Sequential:
    """Return the trainable network, with batch normalisation and PyTorch's initial weights."""
    modules: list[nn.Module] = []
    channels, side = network.channels, network.side
    for index, layer in enumerate(network.layers):
        match layer:
            case Conv():
                modules.append(_convolution(channels, layer))
                channels, side = layer.channels, -(-side // layer.stride)
            case Residual():
                modules.append(ResidualUnit(channels, layer))
                channels, side = layer.channels, -(-side // layer.stride)
            case Pool():
                modules.append(nn.MaxPool2d(layer.kernel, 2))
                side = (side - layer.kernel) // 2 + 1
            case GlobalPool():
                modules.append(GlobalMean())
                side = 1
            case Dense():
                last = index == len(network.layers) - 1
                modules.append(_dense(channels * side * side, layer.features, last))
                channels, side = layer.features, 1
    return nn.Sequential(*modules)


def _convolution(channels: int, layer: Conv, relu: bool = True) -> nn.Sequential:
    convolution = nn.Conv2d(
        channels,
        layer.channels,
        layer.kernel,
        stride=layer.stride,
        padding=layer.kernel // 2,
        groups=layer.groups,
        bias=False,
    )
    normalised = (convolution, nn.BatchNorm2d(layer.channels))
    return nn.Sequential(*normalised, nn.ReLU()) if relu else nn.Sequential(*normalised)


def _dense(inputs: int, features: int, last: bool) -> nn.Sequential:
    product = nn.Linear(inputs, features, bias=last)
    if last:
        return nn.Sequential(nn.Flatten(), product)
    return nn.Sequential(nn.Flatten(), product, nn.BatchNorm1d(features), nn.ReLU())


def folded(unit: nn.Sequential) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 weight and bias of one layer, batch normalisation folded in.

    With running mean m, variance v, scale g and offset b, the normalised output of ``W x + c`` is
    ``s W x + s (c - m) + b`` where ``s = g / sqrt(v + eps)``; computed in float64.
    """
    (product,) = (m for m in unit if isinstance(m, nn.Conv2d | nn.Linear))
    weight = product.weight.detach().cpu().double()
    bias = torch.zeros(len(weight), dtype=torch.float64)
    if product.bias is not None:
        bias = product.bias.detach().cpu().double()
    for module in unit:
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            state = {key: value.cpu().double() for key, value in module.state_dict().items()}
            scale = state["weight"] / torch.sqrt(state["running_var"] + module.eps)
            weight = weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
            bias = (bias - state["running_mean"]) * scale + state["bias"]
    return weight.numpy().astype(np.float32), bias.numpy().astype(np.float32)


def seed_everything(seed: int) -> None:
    """Seed every generator in use, and refuse operations that are not deterministic."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor, batch: int = 500) -> float:
    """Return the fraction of ``inputs`` (normalised) that ``model`` classifies as ``labels``."""
    model.eval()
    with torch.inference_mode():
        hits = sum(
            int((model(part).argmax(1) == wanted).sum())
            for part, wanted in zip(inputs.split(batch), labels.split(batch), strict=True)
        )
    model.train()
    return hits / len(labels)
