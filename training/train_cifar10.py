"""Train ``vgg_cifar10`` on CIFAR-10.

    python scripts/fetch_cifar10.py
    python training/train_cifar10.py [--data build/data/cifar10_train.npz] [--device auto]

The last 500 training images of each class are held out: they are scored at the end, and are where
calibration images may come from. The test images are not read by this script, and nothing is
selected: the last step's weights are kept. After every epoch the whole state goes to
``OUT.partial``; a run that was interrupted goes on from there and ends with the same weights.

bfloat16 autocast, channels-last; SGD with Nesterov momentum, one-cycle rate, label smoothing;
augmentation by mirroring, shifting (reflected border) and one erased square.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks import VGG_CIFAR10, Preprocessing, accuracy, build, seed_everything
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

    epochs: int = 40
    batch: int = 256
    peak_rate: float = 0.3
    weight_decay: float = 5e-4
    smoothing: float = 0.1
    shift: int = 3
    erase: int = 8
    seed: int = 2018
    held_out: int = HELD_OUT_PER_CLASS


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


def train(part: Images, recipe: Recipe, partial: Path) -> nn.Sequential:
    """Train from the start, or on from ``partial``; return the network.

    Raises:
        ValueError: ``partial`` was made by another recipe.
    """
    device = part.inputs.device
    generator = torch.Generator().manual_seed(recipe.seed)
    model = build(VGG_CIFAR10).to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=recipe.peak_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )
    steps = len(part.labels) // recipe.batch
    if not steps:
        raise ValueError(f"{len(part.labels)} images are fewer than one batch of {recipe.batch}")
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        recipe.peak_rate,
        total_steps=recipe.epochs * steps,
        pct_start=0.2,
        cycle_momentum=False,
    )
    stateful = {"model": model, "optimiser": optimiser, "schedule": schedule}
    first = 0
    if partial.is_file():
        state = torch.load(partial, map_location=device, weights_only=True)
        if state["recipe"] != dataclasses.asdict(recipe):
            raise ValueError(f"{partial} was made by another recipe; remove it to start afresh")
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
            total += loss.item()
            hits += int((logits.argmax(1) == labels).sum())
        print(
            f"epoch {epoch + 1}/{recipe.epochs}: loss {total / steps:.4f}, "
            f"accuracy {hits / len(order):.4f}, {time.monotonic() - start:.0f} s",
            flush=True,
        )
        state = {name: thing.state_dict() for name, thing in stateful.items()}
        state |= {"generator": generator.get_state(), "epochs_done": epoch + 1}
        save(partial, state | {"recipe": dataclasses.asdict(recipe)})
    return model.eval()


def main() -> None:
    """Train, score the held-out images, and write the checkpoint."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("build/data/cifar10_train.npz"))
    parser.add_argument("--out", type=Path, default=Path("build/training/vgg_cifar10.pt"))
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto (default)")
    for field in dataclasses.fields(Recipe):
        parser.add_argument(
            "--" + field.name.replace("_", "-"), type=type(field.default), default=field.default
        )
    chosen = parser.parse_args()
    recipe = Recipe(**{f.name: getattr(chosen, f.name) for f in dataclasses.fields(Recipe)})
    if not chosen.data.is_file():
        sys.exit(f"train_cifar10.py: no {chosen.data}; python scripts/fetch_cifar10.py gets it")
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(automatic if chosen.device == "auto" else chosen.device)
    # cuBLAS is deterministic only with a fixed workspace; read when the first product is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    seed_everything(recipe.seed)
    partial = chosen.out.with_name(chosen.out.name + ".partial")
    try:
        part, held = load(chosen.data, recipe.held_out, device)
        model = train(part, recipe, partial)
    except ValueError as error:
        sys.exit(f"train_cifar10.py: {error}")
    score = accuracy(model, held.inputs, held.labels)
    print(f"held out: {len(held.labels)} images, accuracy {score:.4f}")
    save(
        chosen.out,
        {
            "network": VGG_CIFAR10.name,
            "model": {key: value.cpu() for key, value in model.state_dict().items()},
            "preprocessing": dataclasses.asdict(PREPROCESSING),
        },
    )
    partial.unlink(missing_ok=True)
    print(f"wrote {chosen.out}")


if __name__ == "__main__":
    main()
