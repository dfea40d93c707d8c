"""What the UVM environment runs: networks at precisions, all on one build, and memory's traffic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from tests.random_networks import alex_like, every_layer_kind, normalised_maps
from toolflow.fixedpoint import IntArray
from toolflow.hardware.engine import EngineSizes
from toolflow.network.graph import Network
from toolflow.quantisation.scheme import Precision
from toolflow.simulation.run import Cascade, forwarding
from verif.common.cascades import drawn_cascade, drawn_images, drawn_units, unit_parameters

IMAGES = 5
FORWARDED = 3
"""At least so many images go on to the HPU."""

BATCH = 2
QUEUE = 8
"""Room for all images: the HPU's batches do not depend on which unit is ahead."""

MEMORY_BYTES = 1 << 18

NETWORKS: Mapping[str, Callable[[], Network]] = {
    "every_layer_kind": every_layer_kind,
    "alex_like": alex_like,
    "normalised_maps": normalised_maps,
}
LPU_SIZES = EngineSizes(7, 6, 4, weight_words=2048, act_words=4096, vector_lanes=4, data_bits=64)
HPU_SIZES = EngineSizes(4, 4, 4, weight_words=2048, act_words=2048, vector_lanes=4, data_bits=64)


@dataclass(frozen=True)
class Precisions:
    """Both units' wordlengths."""

    lpu: Precision
    hpu: Precision


PRECISIONS: Mapping[str, Precisions] = {
    "built": Precisions(Precision(3, 4), Precision(8, 8)),
    "narrower": Precisions(Precision(2, 4), Precision(8, 6)),
}
"""The wordlengths that the hardware is built for, and narrower ones, which it runs as well."""


@dataclass(frozen=True)
class Traffic:
    """How memory behaves.

    Attributes:
        stall: of 256 cycles, how many a channel pauses in.
        latency: cycles from a request to its first beat or answer.
        spread: cycles that the latency varies by.
    """

    stall: int
    latency: int
    spread: int


TRAFFIC: Mapping[str, Traffic] = {
    "none": Traffic(0, 10, 0),
    "medium": Traffic(64, 15, 20),
    "heavy": Traffic(176, 20, 40),
}

CAMPAIGN: Mapping[str, tuple[str, str]] = {
    f"Campaign_{network}_{precisions}": (network, precisions)
    for network, precisions in product(NETWORKS, PRECISIONS)
}
"""Its UVM tests: each a network at some precisions, at every traffic."""


@dataclass(frozen=True, eq=False)
class Case:
    """A cascade with its images and both units' logits, the LPU's first."""

    cascade: Cascade
    images: IntArray
    logits: list[IntArray]


def build_parameters() -> dict[str, int]:
    """Return the parameters of ``uvm_top``: the same for every case."""
    built = PRECISIONS["built"]
    units = {
        f"{name}{key}": value
        for name, sizes, precision in (
            ("Lpu", LPU_SIZES, built.lpu),
            ("Hpu", HPU_SIZES, built.hpu),
        )
        for key, value in unit_parameters(sizes, precision, 32).items()
    }
    return units | {
        "VectorLanes": LPU_SIZES.vector_lanes,
        "LrnSize": 7,
        "PoolWidth": 16,
        "DataBits": LPU_SIZES.data_bits,
        "MaxBatch": BATCH,
        "QueueDepth": QUEUE,
        "MaxClasses": 16,
        "MaxN": 8,
        "MemoryBytes": MEMORY_BYTES,
    }


def case_of(folder: Path, network: str, precisions: str) -> Case:
    """Write a network's files into a folder; return what runs."""
    wordlengths = PRECISIONS[precisions]
    units = drawn_units(NETWORKS[network](), wordlengths.hpu, wordlengths.lpu)
    drawn = drawn_cascade(folder, units, (LPU_SIZES, HPU_SIZES), BATCH)
    images = drawn_images(units, IMAGES)
    cascade, logits = forwarding(replace(drawn, parameters=build_parameters()), images, FORWARDED)
    return Case(cascade, images, logits)
