"""Train a network on CIFAR-10: vgg_cifar10, alex_cifar10 or resnet_cifar10.

    python scripts/fetch_cifar10.py
    python training/train_cifar10.py NETWORK [--data build/data/cifar10_train.npz] [--device auto]

The last 500 training images of each class are held out: they are scored at the end, are what a
change of the recipe is judged by, and are where calibration images may come from. The test images
are not read by this script. Nothing is selected in a run: the average of the weights over the last
steps is kept. After every epoch the whole state goes to ``OUT.partial``; a run that was
interrupted goes on from there and ends with the same weights.

bfloat16 autocast, channels-last; SGD with Nesterov momentum, one-cycle rate, label smoothing, an
exponential average of the weights; decay of the weights only, not of biases and normalisation;
augmentation by mirroring, shifting (reflected border) and one erased square.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks import (
    ALEX_CIFAR10,
    NETWORKS,
    RESNET_CIFAR10,
    VGG_CIFAR10,
    Network,
    Preprocessing,
    accuracy,
    build,
    seed_everything,
)
from torch import Tensor, nn
from torch.nn import functional

HELD_OUT_PER_CLASS = 500
PREPROCESSING = Preprocessing(
    255.0,
    (0.4914, 0.4822, 0.4465),
    (0.2470, 0.2435, 0.2616),
    (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the trained weights, besides the data and the machine."""

    epochs: int = 32
    batch: int = 256
    peak_rate: float = 0.3
    warm_up: float = 0.2
    weight_decay: float = 5e-4
    smoothing: float = 0.1
    averaging: float = 0.99
    shift: int = 4
    erase: int = 8
    seed: int = 2018
    held_out: int = HELD_OUT_PER_CLASS


RECIPES = {
    VGG_CIFAR10.name: Recipe(),
    ALEX_CIFAR10.name: Recipe(epochs=48, shift=3),
    RESNET_CIFAR10.name: Recipe(epochs=28, erase=6),
}
"""Epochs are meant for about an hour on two processor cores each."""


@dataclass(frozen=True)
class Images:
    """Normalised float32 images, N x 3 x 32 x 32, and their labels."""

    inputs: Tensor
    labels: Tensor


def load(path: Path, held_out: int, device: torch.device) -> tuple[Images, Images]:
    """Read the training file; return what to train on and what is held out.

    Raises:
        ValueError: a class has too few images to hold some out and train on others.
    """
    with np.load(path) as data:
        images, labels = data["images"], data["labels"].astype(np.int64)
    held = np.zeros(len(labels), dtype=bool)
    for label, name in enumerate(PREPROCESSING.classes):
        places = np.flatnonzero(labels == label)
        if len(places) <= held_out:
            raise ValueError(
                f"{path}: {len(places)} images of class {name!r}, more than {held_out} are needed"
            )
        held[places[len(places) - held_out :]] = True

    def part(mask: np.ndarray) -> Images:
        inputs = PREPROCESSING(torch.from_numpy(images[mask]).to(device))
        return Images(
            inputs.contiguous(memory_format=torch.channels_last),
            torch.from_numpy(labels[mask]).to(device),
        )

    return part(~held), part(held)


def augment(inputs: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Mirror half of the images, shift each, and set a square of each to the mean colour."""
    count, _, rows, columns = inputs.shape
    device = inputs.device

    def draw(limit: int) -> Tensor:
        # Drawn on the CPU, so that the same images are seen on every device.
        return torch.randint(0, limit, (count, 1), generator=generator).to(device)

    down, right = draw(2 * recipe.shift + 1), draw(2 * recipe.shift + 1)
    mirrored = draw(2) == 1
    top, left = draw(rows + 1 - recipe.erase), draw(columns + 1 - recipe.erase)

    row, column = torch.arange(rows, device=device), torch.arange(columns, device=device)
    source_column = right + torch.where(mirrored, columns - 1 - column, column)
    padded = functional.pad(inputs, (recipe.shift,) * 4, mode="reflect").permute(0, 2, 3, 1)
    image = torch.arange(count, device=device)[:, None, None]
    moved = padded[image, (down + row)[:, :, None], source_column[:, None, :]]
    in_rows = (row >= top) & (row < top + recipe.erase)
    in_columns = (column >= left) & (column < left + recipe.erase)
    erased = in_rows[:, :, None] & in_columns[:, None, :]
    # N x H x W x C seen as N x C x H x W: channels-last without a copy.
    return moved.masked_fill(erased[..., None], 0.0).permute(0, 3, 1, 2)


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    torch.save(state, beside)
    os.replace(beside, path)


def optimiser_of(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """Return the optimiser; only weights of several axes decay."""
    weights = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    return torch.optim.SGD(
        [
            {"params": weights, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=recipe.peak_rate,
        momentum=0.9,
        nesterov=True,
    )


def average_into(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights and statistics towards the model's."""
    with torch.no_grad():
        pairs = zip(average.state_dict().values(), model.state_dict().values(), strict=True)
        for kept, new in pairs:
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)


def train(network: Network, part: Images, recipe: Recipe, partial: Path) -> nn.Sequential:
    """Train from the start, or on from ``partial``; return the network of averaged weights.

    Raises:
        ValueError: ``partial`` was made by another recipe or of another network.
    """
    device = part.inputs.device
    generator = torch.Generator().manual_seed(recipe.seed)
    model = build(network).to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    optimiser = optimiser_of(model, recipe)
    steps = len(part.labels) // recipe.batch
    if not steps:
        raise ValueError(f"{len(part.labels)} images are fewer than one batch of {recipe.batch}")
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        recipe.peak_rate,
        total_steps=recipe.epochs * steps,
        pct_start=recipe.warm_up,
        cycle_momentum=False,
    )
    stateful = {"model": model, "average": average, "optimiser": optimiser, "schedule": schedule}
    first = 0
    if partial.is_file():
        state = torch.load(partial, map_location=device, weights_only=True)
        if (state["network"], state["recipe"]) != (network.name, dataclasses.asdict(recipe)):
            raise ValueError(
                f"{partial} was made by another recipe or of another network; remove it to start "
                "afresh"
            )
        for name, thing in stateful.items():
            thing.load_state_dict(state[name])
        generator.set_state(state["generator"].cpu())
        first = state["epochs_done"]
        print(f"going on from {partial}, after epoch {first}")
    for epoch in range(first, recipe.epochs):
        start, total, hits = time.monotonic(), 0.0, 0
        order = torch.randperm(len(part.labels), generator=generator)[: steps * recipe.batch]
        for pick in order.to(device).split(recipe.batch):
            inputs, labels = augment(part.inputs[pick], recipe, generator), part.labels[pick]
            with torch.autocast(device.type, torch.bfloat16):
                logits = model(inputs)
            loss = functional.cross_entropy(
                logits.float(), labels, label_smoothing=recipe.smoothing
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            average_into(average, model, recipe.averaging)
            total += loss.item()
            hits += int((logits.argmax(1) == labels).sum())
        print(
            f"epoch {epoch + 1}/{recipe.epochs}: loss {total / steps:.4f}, "
            f"accuracy {hits / len(order):.4f}, {time.monotonic() - start:.0f} s",
            flush=True,
        )
        state = {name: thing.state_dict() for name, thing in stateful.items()}
        state |= {"generator": generator.get_state(), "epochs_done": epoch + 1}
        state |= {"network": network.name}
        save(partial, state | {"recipe": dataclasses.asdict(recipe)})
    return average.eval()


def main() -> None:
    """Train, score the held-out images, and write the checkpoint."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, default=Path("build/data/cifar10_train.npz"))
    parser.add_argument("--out", type=Path, help="default: build/training/NETWORK.pt")
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto (default)")
    for field in dataclasses.fields(Recipe):
        parser.add_argument(
            "--" + field.name.replace("_", "-"), type=type(field.default), help="of the recipe"
        )
    chosen = parser.parse_args()
    network = NETWORKS[chosen.network]
    stated = {field.name: getattr(chosen, field.name) for field in dataclasses.fields(Recipe)}
    recipe = dataclasses.replace(
        RECIPES[network.name], **{name: v for name, v in stated.items() if v is not None}
    )
    out: Path = chosen.out or Path("build/training") / f"{network.name}.pt"
    if not chosen.data.is_file():
        sys.exit(f"train_cifar10.py: no {chosen.data}; python scripts/fetch_cifar10.py gets it")
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(automatic if chosen.device == "auto" else chosen.device)
    # cuBLAS is deterministic only with a fixed workspace; read when the first product is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    seed_everything(recipe.seed)
    partial = out.with_name(out.name + ".partial")
    try:
        part, held = load(chosen.data, recipe.held_out, device)
        model = train(network, part, recipe, partial)
    except ValueError as error:
        sys.exit(f"train_cifar10.py: {error}")
    score = accuracy(model, held.inputs, held.labels)
    print(f"held out: {len(held.labels)} images, accuracy {score:.4f}")
    save(
        out,
        {
            "network": network.name,
            "model": {key: value.cpu() for key, value in model.state_dict().items()},
            "preprocessing": dataclasses.asdict(PREPROCESSING),
        },
    )
    partial.unlink(missing_ok=True)
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
