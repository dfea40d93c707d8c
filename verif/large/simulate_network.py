"""Any network through LPU and HPU in Verilator, without a plan: every step equal to the emulator's.

    .venv/bin/python -m verif.large.simulate_network MODEL --lpu-tiles R,P,C --hpu-tiles R,P,C

Formats are the first ones of the quantiser's search, from the float network's tensors on a few
images, drawn ones if none are given; nothing is tuned: what is shown is that the hardware computes
what the emulator does, and its cycles.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import numpy as np
import onnxruntime as ort
import typer
from numpy.typing import NDArray

from toolflow.cli import print_simulation
from toolflow.datasets import load_samples, preprocess
from toolflow.emulator.integer_network import quantise_images
from toolflow.hardware.engine import EngineSizes, act_buffer_words
from toolflow.network.float_reference import to_onnx
from toolflow.network.graph import Network
from toolflow.network.importer import load_network
from toolflow.quantisation.scheme import Precision, format_groups
from toolflow.quantisation.search import Calibration, SchemeSearch
from toolflow.quantisation.statistics import measure_tensors
from toolflow.simulation.rtl_sources import ROOT
from toolflow.simulation.run import Settings, SimulationResult, simulate_cascade
from verif.common.cascades import drawn_cascade
from verif.common.engine_folder import Units, units_of

FloatArray = NDArray[np.float32]

FOLDERS = ROOT / "build" / "verif" / "large"


def drawn_weights(network: Network, seed: int) -> Network:
    """Return the network with weights that keep values' spread from layer to layer."""
    rng = np.random.default_rng(seed)
    layers = []
    for layer in network.layers:
        if layer in network.weight_layers:
            depth = layer.weight[0].size
            weight = rng.normal(0, np.sqrt(2 / depth), layer.weight.shape).astype(np.float32)
            bias = rng.normal(0, 0.05, len(weight)).astype(np.float32)
            layer = dataclasses.replace(layer, weight=weight, bias=bias)
        layers.append(layer)
    return dataclasses.replace(network, layers=tuple(layers))


def float_units(network: Network, images: FloatArray, hpu: Precision, lpu: Precision) -> Units:
    """Return units whose formats follow from the float network's tensors."""
    groups = format_groups(network, bool(images.min() >= 0))
    session = ort.InferenceSession(to_onnx(network, [network.output]).SerializeToString())
    logits = session.run(None, {network.input: images})[0]
    tensors = MappingProxyType(measure_tensors(network, groups, images))
    calibration = Calibration(images, logits.argmax(1), logits, tensors)
    search = SchemeSearch(network, calibration, groups)
    high = search.initial(hpu)
    return units_of(network, high, search.initial(lpu, high))


def precision_of(text: str) -> Precision:
    """Return W/A as a precision."""
    weights, acts = text.split("/")
    return Precision(int(weights), int(acts))


def sizes_of(tiles: str, act_bits: int, weights: int, acts: int, data_bits: int) -> EngineSizes:
    """Return the sizes of R,P,C tiles and log2 of the buffers' words."""
    t_r, t_p, t_c = (int(part) for part in tiles.split(","))
    return EngineSizes(
        t_r, t_p, t_c, weight_words=1 << weights, data_bits=data_bits,
        act_words=act_buffer_words(t_p, act_bits, data_bits, 1 << acts),
    )  # fmt: skip


@dataclass(frozen=True)
class Engines:
    """Both units: wordlengths W/A, tiles R,P,C, log2 of their buffers' words."""

    lpu: str = "4/4"
    hpu: str = "8/8"
    lpu_tiles: str = "64,32,32"
    hpu_tiles: str = "64,16,16"
    weight_words: int = 16
    act_words: int = 17
    data_bits: int = 128

    def precisions(self) -> tuple[Precision, Precision]:
        """Return the LPU's and the HPU's."""
        return precision_of(self.lpu), precision_of(self.hpu)

    def sizes(self) -> tuple[EngineSizes, EngineSizes]:
        """Return the LPU's and the HPU's."""
        low, high = self.precisions()
        words = self.weight_words, self.act_words, self.data_bits
        return (
            sizes_of(self.lpu_tiles, low.act_bits, *words),
            sizes_of(self.hpu_tiles, high.act_bits, *words),
        )


def simulate_network(
    network: Network,
    pixels: FloatArray,
    engines: Engines,
    settings: Settings,
    progress: Callable[[str], None],
    *,
    batch: int = 1,
    beats: float = 4.0,
    acc_bits: int = 32,
) -> SimulationResult:
    """Quantise a network for both units and simulate images on them.

    Args:
        network: the network.
        pixels: images, as the network takes them.
        engines: both units.
        settings: of the simulation.
        progress: told what goes on.
        batch: images at a time.
        beats: of memory, a cycle, of all ports together.
        acc_bits: of the accumulators.
    """
    low, high = engines.precisions()
    units = float_units(network, pixels, high, low)
    folder = FOLDERS / network.name
    cascade = drawn_cascade(folder, units, engines.sizes(), batch, beats, acc_bits)
    progress("quantised and written")
    return simulate_cascade(
        cascade, quantise_images(pixels, units.hpu.stored_input), settings, progress
    )


def main(
    model: Path,
    data: Annotated[str, typer.Option(help="Images; none: drawn.")] = "",
    draw_weights: Annotated[bool, typer.Option(help="Replace the weights, seeded.")] = False,
    images: int = 1,
    forward: int = 1,
    hpu: str = "8/8",
    lpu: str = "4/4",
    lpu_tiles: str = "64,32,32",
    hpu_tiles: str = "64,16,16",
    weight_words: Annotated[int, typer.Option(help="Log2 of each weight buffer's words.")] = 16,
    act_words: Annotated[int, typer.Option(help="Log2 of each activation buffer's.")] = 17,
    batch: int = 1,
    acc_bits: int = 32,
    data_bits: int = 128,
    beats: Annotated[float, typer.Option(help="Beats a cycle, all ports together.")] = 4.0,
    latency: int = 40,
    assertions: bool = True,
    threads: int = 1,
) -> None:
    """Simulate and print every step's cycles."""
    network = load_network(model)
    if draw_weights:
        network = drawn_weights(network, 1)
    if data:
        pixels = preprocess(load_samples(data, network), network.preprocessing)[:images]
    else:
        rng = np.random.default_rng(2)
        pixels = rng.normal(0, 1, (images, *network.input_shape)).astype(np.float32)
    engines = Engines(lpu, hpu, lpu_tiles, hpu_tiles, weight_words, act_words, data_bits)
    settings = Settings(
        images, latency=latency, forward=forward, assertions=assertions, threads=threads
    )
    begin = time.monotonic()

    def progress(line: str) -> None:
        print(f"[{time.monotonic() - begin:4.0f} s] {line}", flush=True)

    result = simulate_network(
        network, pixels, engines, settings, progress, batch=batch, beats=beats, acc_bits=acc_bits
    )
    print_simulation(result)
    print(f"peak memory {_peak_gb():.1f} GB, {os.cpu_count()} cores")


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


if __name__ == "__main__":
    typer.run(main)
