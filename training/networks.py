"""The two example networks, as descriptions that training and export both read.

Every convolution and every hidden fully connected layer is followed by batch normalisation and a
ReLU; the last layer gives logits. A description says nothing of batch normalisation: it belongs to
training, and `folded` removes it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Conv:
    """A square convolution that keeps the map's size (odd ``kernel``, stride 1)."""

    channels: int
    kernel: int = 3


@dataclass(frozen=True)
class Pool:
    """A 2 x 2 maximum with stride 2."""


@dataclass(frozen=True)
class Dense:
    """A fully connected layer on the flattened map."""

    features: int


@dataclass(frozen=True)
class Network:
    """A network: its name, its input's channels and side, its layers in order."""

    name: str
    channels: int
    side: int
    layers: tuple[Conv | Pool | Dense, ...]

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
NETWORKS = {network.name: network for network in (LENET_DIGITS, VGG_CIFAR10)}


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


def build(network: Network) -> nn.Sequential:
    """Return the trainable network, with batch normalisation and PyTorch's initial weights."""
    modules: list[nn.Module] = []
    channels, side = network.channels, network.side
    for index, layer in enumerate(network.layers):
        if isinstance(layer, Conv):
            modules += [
                nn.Conv2d(
                    channels, layer.channels, layer.kernel, padding=layer.kernel // 2, bias=False
                ),
                nn.BatchNorm2d(layer.channels),
                nn.ReLU(),
            ]
            channels = layer.channels
        elif isinstance(layer, Pool):
            modules.append(nn.MaxPool2d(2))
            side //= 2
        else:
            if side:
                modules.append(nn.Flatten())
                channels, side = channels * side * side, 0
            last = index == len(network.layers) - 1
            modules.append(nn.Linear(channels, layer.features, bias=last))
            if not last:
                modules += [nn.BatchNorm1d(layer.features), nn.ReLU()]
            channels = layer.features
    return nn.Sequential(*modules)


def folded(trained: nn.Sequential) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield float32 (weight, bias) of each layer that has weights, batch normalisation folded in.

    With running mean m, variance v, scale g and offset b, the normalised output of ``W x + c`` is
    ``s W x + s (c - m) + b`` where ``s = g / sqrt(v + eps)``; computed in float64.
    """
    for module, following in pairwise([*trained, nn.Identity()]):
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        weight = module.weight.detach().cpu().double()
        bias = torch.zeros(len(weight), dtype=torch.float64)
        if module.bias is not None:
            bias = module.bias.detach().cpu().double()
        if isinstance(following, nn.BatchNorm1d | nn.BatchNorm2d):
            state = {key: value.cpu().double() for key, value in following.state_dict().items()}
            scale = state["weight"] / torch.sqrt(state["running_var"] + following.eps)
            weight = weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
            bias = (bias - state["running_mean"]) * scale + state["bias"]
        yield weight.numpy().astype(np.float32), bias.numpy().astype(np.float32)


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
