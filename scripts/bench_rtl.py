"""Whole networks in RTL: how fast they simulate, and their cycles beside the model's.

Part of ``bench.py``. ``examples/vgg_cifar10.onnx`` always; SqueezeNet and Tiny Darknet, whose
models are in the data folder, where it is there. Formats are the first of the quantiser's search
and images are drawn: cycles depend on neither.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measurement import Measurement

from toolflow.network.graph import Network
from toolflow.network.importer import load_network
from toolflow.simulation.run import Settings, SimulationResult, StepResult
from verif.large.simulate_network import Engines, simulate_network

LATENCY = 40
SHORT = 2000
"""Cycles a batch below which a few cycles more or less are a per cent of a step."""


@dataclass(frozen=True)
class Run:
    """A network on two engines."""

    model: str
    engines: Engines
    images: int = 1
    forwarded: int = 1
    batch: int = 1


RUNS = (
    Run("examples/vgg_cifar10.onnx", Engines("3/3", "8/8", "128,64,32", "64,32,16"), 16, 8, 8),
    Run("models/squeezenet_v1.0_dc.onnx", Engines("6/6", "8/8", "64,32,64", "64,32,32")),
    Run("models/tiny_darknet.onnx", Engines("6/6", "8/8", "64,32,64", "64,32,32")),
)


def simulate(run: Run, model: Path) -> tuple[Network, SimulationResult]:
    """Simulate drawn images; every step's words are compared with the emulator's."""
    network = load_network(model)
    shape = run.images, *network.input_shape
    pixels = np.random.default_rng(2).normal(0, 1, shape).astype(np.float32)
    settings = Settings(run.images, latency=LATENCY, forward=run.forwarded)
    return network, simulate_network(
        network, pixels, run.engines, settings, lambda _: None, batch=run.batch
    )


def rtl_speed(root: Path, data: Path, table: Path) -> Iterator[Measurement]:
    """Measure all networks whose model is there; write the table of their steps."""
    rows: list[tuple[str, StepResult]] = []
    for run in RUNS:
        model = (root if run.model.startswith("examples/") else data) / run.model
        if not model.exists():
            print(f"{model.name} is left out: it is not there", flush=True)
            continue
        network, result = simulate(run, model)
        rows += [(network.name, step) for step in result.steps]
        yield from _speed_of(run, network, result)
        yield from _model_of(network.name, result.steps)
    _write(table, rows)
    yield from _shapes([step for _, step in rows])


def _speed_of(run: Run, network: Network, result: SimulationResult) -> Iterator[Measurement]:
    name, seconds = network.name, result.seconds
    images = run.images + result.forwarded
    note = f"{run.images} images, {result.forwarded} forwarded, one thread, assertions on"
    yield Measurement(f"rtl_{name}_cycles", result.cycles / seconds, "cycles/s", note)
    yield Measurement(f"rtl_{name}_macs", images * network.macs / seconds, "MAC/s", note)
    yield Measurement(f"rtl_{name}_image", seconds / run.images, "s/image", note)
    yield Measurement(f"rtl_{name}_build", result.build_seconds, "s", "0: it was there")


def _model_of(name: str, steps: Sequence[StepResult]) -> Iterator[Measurement]:
    for unit in ("lpu", "hpu"):
        mine = [step for step in steps if step.unit == unit]
        error = sum(s.predicted for s in mine) / sum(s.cycles for s in mine) - 1
        yield Measurement(
            f"model_{name}_{unit}", 100 * error, "%", f"predicted cycles of {len(mine)} steps"
        )


def _shapes(steps: Sequence[StepResult]) -> Iterator[Measurement]:
    """Yield how far products are off: layers on an engine, but for very short ones."""
    products = [s for s in steps if s.op in ("conv", "dense")]
    shapes = [s for s in products if s.cycles >= SHORT * s.batches]
    errors = np.array([100 * abs(s.predicted / s.cycles - 1) for s in shapes])
    note = f"{len(shapes)} of {len(products)} products, those of {SHORT} cycles and more"
    yield Measurement("model_median", float(np.median(errors)), "%", note)
    for most in (1, 2, 5):
        within = float((errors <= most).mean())
        yield Measurement(f"model_within_{most}", 100 * within, "%", "share of these")
    yield Measurement("model_worst", float(errors.max()), "%", note)


def _write(path: Path, rows: Sequence[tuple[str, StepResult]]) -> None:
    columns = "network", "unit", "step", "op", "images", "cycles", "predicted", "error", "bound"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for network, s in rows:
            error = f"{s.predicted / s.cycles - 1:.4f}"
            writer.writerow(
                (network, s.unit, s.name, s.op, s.images, s.cycles, s.predicted, error, s.bound)
            )
