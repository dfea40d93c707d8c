"""Cascades of networks with drawn parameters, for simulation without a plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.random_networks import drawn_scheme
from toolflow.confidence.decision import CeuParameters
from toolflow.emission.steps import pool_width
from toolflow.hardware.engine import EngineSizes
from toolflow.hardware.engine_cycles import MEMORY_LATENCY, Port
from toolflow.hardware.packing import MOST_COLUMNS, packing
from toolflow.network.graph import Network
from toolflow.quantisation.legality import legalised
from toolflow.quantisation.scheme import Precision, format_groups
from toolflow.simulation.run import Cascade
from verif.common.engine_folder import Units, units_of, write_units

IntArray = NDArray[np.int64]

CEU = CeuParameters(m=1, n=2, threshold=20_000, exp_mult=40_000, exp_shift=9)


def drawn_units(network: Network, hpu: Precision, lpu: Precision) -> Units:
    """Return units of schemes drawn at random."""
    high, low = (
        legalised(drawn_scheme(network, precision, 3), network, format_groups(network))
        for precision in (hpu, lpu)
    )
    return units_of(network, high, low)


def drawn_images(units: Units, count: int, seed: int = 5) -> IntArray:
    """Return random images in the stored images' format."""
    stored = units.hpu.stored_input
    shape = units.hpu.network.input_shape
    return np.random.default_rng(seed).integers(stored.low, stored.high + 1, (count, *shape))


def most_columns(precision: Precision, t_p: int, operand_bits: int = 25) -> int:
    """Return how many columns can share a DSP block at most."""
    return max(
        columns
        for columns in range(1, MOST_COLUMNS + 1)
        if packing(columns, precision.weight_bits, precision.act_bits, t_p, operand_bits)
    )


def unit_parameters(sizes: EngineSizes, precision: Precision, acc_bits: int) -> dict[str, int]:
    """Return one unit's parameters of ``cascade_top``, without its prefix."""
    return {
        "TR": sizes.t_r,
        "TP": sizes.t_p,
        "TC": sizes.t_c,
        "DspPes": sizes.t_c // 2,
        "PackColumns": most_columns(precision, sizes.t_p),
        "WeightBits": precision.weight_bits,
        "ActBits": precision.act_bits,
        "AccBits": acc_bits,
        "WeightWords": sizes.weight_words,
        "ActWords": sizes.act_words,
    }


def drawn_cascade(
    folder: Path,
    units: Units,
    sizes: tuple[EngineSizes, EngineSizes],
    batch: int,
    beats_per_cycle: float = 1.0,
    acc_bits: int = 32,
) -> Cascade:
    """Write a folder of units; return its cascade. ``sizes``: the LPU's first."""
    network = units.hpu.network
    parameters = {
        f"{name}{key}": value
        for name, size, unit in zip(("Lpu", "Hpu"), sizes, (units.lpu, units.hpu), strict=True)
        for key, value in unit_parameters(size, unit.scheme.precision, acc_bits).items()
    }
    return Cascade(
        folder=folder,
        memory_map=write_units(folder, units, sizes, batch, Port(MEMORY_LATENCY, beats_per_cycle)),
        lpu=units.lpu,
        hpu=units.hpu,
        parameters=parameters
        | {
            "VectorLanes": sizes[0].vector_lanes,
            "LrnSize": 7,
            "PoolWidth": max(1, pool_width(network)),
            "DataBits": sizes[0].data_bits,
            "MaxBatch": batch,
            "QueueDepth": batch,
            "MaxClasses": max(2, network.classes),
            "MaxN": 8,
        },
        ceu=CEU,
        classes=network.classes,
        batch=batch,
        beats_per_cycle=beats_per_cycle,
        sizes=sizes,
    )
