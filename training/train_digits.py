"""Train ``lenet_digits`` on scikit-learn's 8 x 8 digits (pixels 0 to 16).

    python training/train_digits.py [--out build/training/lenet_digits.pt]

The 1797 images are split once, stratified: 599 for test, 200 for calibration, the rest to train.
The number of epochs is fixed and the last weights are kept: the test images choose nothing, they
are scored once at the end. It takes seconds, so there is nothing to resume.
"""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from networks import LENET_DIGITS, Preprocessing, accuracy, build, seed_everything
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

SEED = 2018
PIXEL_MAX = 16.0
TEST_IMAGES, CALIBRATION_IMAGES = 599, 200
EPOCHS, BATCH, PEAK_RATE, WEIGHT_DECAY, SMOOTHING = 60, 64, 0.05, 5e-4, 0.05


@dataclass(frozen=True)
class Split:
    """Images (N x 1 x 8 x 8, float 0 to 16) and labels of one part."""

    images: Tensor
    labels: Tensor


def splits() -> dict[str, Split]:
    """Return the parts ``train``, ``calib`` and ``test``."""
    digits = load_digits()
    labels = digits.target
    rest, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_IMAGES, stratify=labels, random_state=SEED
    )
    train, calib = train_test_split(
        rest, test_size=CALIBRATION_IMAGES, stratify=labels[rest], random_state=SEED
    )
    images = torch.from_numpy(digits.images.astype(np.float32))[:, None]
    targets = torch.from_numpy(labels.astype(np.int64))
    parts = {"train": train, "calib": calib, "test": test}
    return {name: Split(images[pick], targets[pick]) for name, pick in parts.items()}


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Move each image by at most one pixel each way, over an empty background."""
    count, _, rows, columns = images.shape
    padded = functional.pad(images, (1, 1, 1, 1))
    down, right = torch.randint(0, 3, (2, count, 1), generator=generator)
    row = (down + torch.arange(rows))[:, :, None]
    column = (right + torch.arange(columns))[:, None, :]
    return padded[torch.arange(count)[:, None, None], 0, row, column][:, None]


def train(part: Split, preprocessing: Preprocessing) -> nn.Sequential:
    """Return the trained network, ready to evaluate."""
    generator = torch.Generator().manual_seed(SEED)
    model = build(LENET_DIGITS)
    optimiser = torch.optim.SGD(
        model.parameters(), lr=PEAK_RATE, momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY
    )
    steps = len(part.labels) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, PEAK_RATE, total_steps=EPOCHS * steps, pct_start=0.2, cycle_momentum=False
    )
    for _ in range(EPOCHS):
        order = torch.randperm(len(part.labels), generator=generator)
        for pick in order[: steps * BATCH].split(BATCH):
            inputs = preprocessing(shifted(part.images[pick], generator))
            loss = functional.cross_entropy(
                model(inputs), part.labels[pick], label_smoothing=SMOOTHING
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return model.eval()


def main() -> None:
    """Train, score, and write the checkpoint."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build/training/lenet_digits.pt"))
    out: Path = parser.parse_args().out
    seed_everything(SEED)
    # One thread: sums are then added in one order, and small layers gain nothing from more.
    torch.set_num_threads(1)
    parts = splits()
    pixels = parts["train"].images / PIXEL_MAX
    preprocessing = Preprocessing(
        PIXEL_MAX,
        (round(float(pixels.mean()), 4),),
        (round(float(pixels.std()), 4),),
        tuple(str(digit) for digit in range(10)),
    )
    model = train(parts["train"], preprocessing)
    for name, part in parts.items():
        score = accuracy(model, preprocessing(part.images), part.labels)
        print(f"{name:5} {len(part.labels):4} images, accuracy {score:.4f}")
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "network": LENET_DIGITS.name,
            "model": model.state_dict(),
            "preprocessing": dataclasses.asdict(preprocessing),
        },
        out,
    )
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
