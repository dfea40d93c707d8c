"""Folders that an engine's bench runs from: parameters, descriptors, map, expected words.

They have the files of a plan's folder that the hardware needs, and ``expected_<unit>.npz``: the
words of every tensor of a few images, by the tensors' names (``toolflow.simulation.expected``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from toolflow.emission.files import GOLDEN_FILE
from toolflow.emission.memory_images import parameter_images, weight_image
from toolflow.emission.memory_map import MEMORY_MAP_FILE, MemoryMap, unit_image
from toolflow.emission.steps import schedule_of
from toolflow.emission.stored_parameters import CHANNELS_FILE, WEIGHTS_FILE
from toolflow.emulator.integer_network import (
    IntegerNetwork,
    StoredParameters,
    compile_network,
    cut_network,
    store,
    window_shift,
)
from toolflow.fixedpoint import planar_high
from toolflow.hardware.engine import EngineSizes
from toolflow.hardware.engine_cycles import MEMORY_LATENCY, Port, UnitSizes
from toolflow.network.graph import Network
from toolflow.planned import load_units
from toolflow.quantisation.scheme import Scheme
from toolflow.simulation.expected import memory_words

IntArray = NDArray[np.int64]

PORT = Port(MEMORY_LATENCY)
"""Memory that descriptors are ordered for, if nothing else is said."""


@dataclass(frozen=True, eq=False)
class Units:
    """Both units of a network and the words they share."""

    stored: StoredParameters
    hpu: IntegerNetwork
    lpu: IntegerNetwork


def units_of(network: Network, hpu: Scheme, lpu: Scheme) -> Units:
    """Return units of nearest words, made to split where they would not."""
    stored = store(network, hpu)
    layers = {}
    for name, layer in stored.layers.items():
        bits = window_shift(hpu.weights[name], lpu.weights[name])
        high = planar_high(layer.weight_format.bits, bits)
        layers[name] = replace(layer, weight=np.minimum(layer.weight, high))
    stored = replace(stored, layers=MappingProxyType(layers))
    return Units(stored, compile_network(network, stored), cut_network(network, lpu, stored))


def write_folder(
    folder: Path, units: Units, sizes: EngineSizes, batch: int, images: IntArray
) -> None:
    """Write a folder of units of one size; ``images`` are in the stored images' format."""
    write_units(folder, units, (sizes, sizes), batch)
    write_expected(folder, units, images)


def write_units(
    folder: Path,
    units: Units,
    sizes: tuple[EngineSizes, EngineSizes],
    batch: int,
    port: Port = PORT,
) -> MemoryMap:
    """Write parameters and descriptors of units of given sizes, the LPU's first."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = weight_image(units.lpu, units.stored)
    channels = parameter_images(units.lpu, units.hpu, units.stored)
    (folder / WEIGHTS_FILE).write_bytes(weights.data)
    (folder / CHANNELS_FILE).write_bytes(channels[0].data)
    lpu, hpu = (
        unit_image(
            network,
            UnitSizes(size, network.scheme.precision.act_bits, joins=network is units.hpu),
            port,
            batch,
            weights,
            parameters,
        )
        for network, size, parameters in zip((units.lpu, units.hpu), sizes, channels, strict=True)
    )
    (folder / "descriptors_lpu.bin").write_bytes(lpu.descriptors)
    (folder / "descriptors_hpu.bin").write_bytes(hpu.descriptors)
    memory_map = MemoryMap(lpu.map, hpu.map)
    (folder / MEMORY_MAP_FILE).write_text(memory_map.to_json())
    return memory_map


def write_expected(folder: Path, units: Units, images: IntArray) -> None:
    """Write what all tensors must be, and which have signed words."""
    for unit, network in (("lpu", units.lpu), ("hpu", units.hpu)):
        words = memory_words(network, images)
        formats = schedule_of(network).formats
        signed = {f"signed/{name}": np.array(formats[name].signed) for name in words}
        np.savez_compressed(folder / f"expected_{unit}.npz", **(words | signed))


def expect_of_plan(folder: Path, images: int) -> None:
    """Add a plan's expected words for its first golden images."""
    planned = load_units(folder)
    units = Units(planned.stored, planned.hpu, planned.lpu)
    golden = np.load(folder / GOLDEN_FILE)
    write_expected(folder, units, golden["images"][:images].astype(np.int64))
