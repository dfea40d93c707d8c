"""Whole networks through ``cnn_engine``, equal to the emulator at every step's output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.random_networks import (
    alex_like,
    blocked_channels,
    drawn_scheme,
    every_layer_kind,
    normalised_maps,
    small_maps,
)
from toolflow.hardware.engine import EngineSizes
from toolflow.network.graph import Network
from toolflow.quantisation.legality import legalised
from toolflow.quantisation.scheme import Precision, format_groups
from toolflow.simulation.rtl_sources import ROOT, RTL
from verif.common.cascades import most_columns
from verif.common.engine_folder import units_of, write_folder
from verif.common.simulation import SimulationError, simulate

TOP = RTL / "engine" / "cnn_engine.sv"
BENCH = "verif.system.engine.bench_engine"
FOLDERS = ROOT / "build" / "verif" / "engine"
IMAGES = 3
BATCH = 4
"""Room for joined images, of which the last is none."""

NETWORKS: dict[str, Callable[[], Network]] = {
    "alex_like": alex_like,
    "every_layer_kind": every_layer_kind,
    "blocked_channels": blocked_channels,
    "normalised_maps": normalised_maps,
    "small_maps": small_maps,
}

SMALL = EngineSizes(6, 5, 4, weight_words=2048, act_words=2048, vector_lanes=4, data_bits=64)
WIDE = EngineSizes(16, 16, 12, weight_words=8192, act_words=4096, vector_lanes=8, data_bits=128)
FLAT = EngineSizes(1, 3, 16, weight_words=4096, act_words=2048, vector_lanes=12, data_bits=64)


def folder_of(name: str, sizes: EngineSizes, hpu: Precision, lpu: Precision) -> Path:
    """Write a network's folder; return it."""
    network = NETWORKS[name]()
    high, low = (
        legalised(drawn_scheme(network, precision, 3), network, format_groups(network))
        for precision in (hpu, lpu)
    )
    units = units_of(network, high, low)
    images = np.random.default_rng(5).integers(
        units.hpu.stored_input.low, units.hpu.stored_input.high + 1, (IMAGES, *network.input_shape)
    )
    folder = FOLDERS / f"{name}-{hpu}-{lpu}-{sizes.t_r}-{sizes.t_p}".replace("/", "_")
    write_folder(folder, units, sizes, BATCH, images)
    return folder


def parameters_of(
    sizes: EngineSizes, unit: str, hpu: Precision, lpu: Precision, **others: int
) -> dict[str, int]:
    """Return the parameters of an engine."""
    precision = lpu if unit == "lpu" else hpu
    return {
        "TR": sizes.t_r,
        "TP": sizes.t_p,
        "TC": sizes.t_c,
        "DspPes": sizes.t_c // 2,
        "PackColumns": most_columns(precision, sizes.t_p),
        "WeightBits": precision.weight_bits,
        "ActBits": precision.act_bits,
        "AccBits": 32,
        "VectorBits": 46,
        "StoredBits": hpu.weight_bits,
        "WeightWords": sizes.weight_words,
        "ActWords": sizes.act_words,
        "VectorLanes": sizes.vector_lanes,
        "DataBits": sizes.data_bits,
        "MaxImages": 4,
        "Lpu": int(unit == "lpu"),
        "LrnSize": 7,
        "PoolWidth": 16,
        **others,
    }


def run(
    name: str, sizes: EngineSizes, unit: str, hpu: Precision, lpu: Precision, seed: int,
    testcase: str = "whole_network", images: int = IMAGES, **extra: str,
) -> int:  # fmt: skip
    """Run the bench on a network; return the number of tests passed."""
    folder = folder_of(name, sizes, hpu, lpu)
    environment = {
        "ENGINE_FOLDER": str(folder), "ENGINE_UNIT": unit, "ENGINE_IMAGES": str(images), **extra
    }  # fmt: skip
    return simulate(
        TOP, parameters_of(sizes, unit, hpu, lpu), BENCH, seed=seed, testcase=testcase,
        extra_env=environment,
    )  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("unit", ["hpu", "lpu"])
@pytest.mark.parametrize("images", [1, IMAGES])
def test_small_tiles(name: str, unit: str, images: int) -> None:
    assert run(name, SMALL, unit, Precision(8, 8), Precision(3, 4), images, images=images) == 1


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("unit", ["hpu", "lpu"])
def test_wide_tiles(name: str, unit: str) -> None:
    assert run(name, WIDE, unit, Precision(6, 9), Precision(4, 2), 3) == 1


@pytest.mark.parametrize("unit", ["hpu", "lpu"])
def test_tiles_of_one_row(unit: str) -> None:
    assert (
        run(
            "every_layer_kind",
            FLAT,
            unit,
            Precision(8, 8),
            Precision(5, 6),
            4,
            images=1,
            ENGINE_CYCLES="4000000",
        )
        == 1
    )


@pytest.mark.parametrize("step", [0, 2])
def test_planted_error_is_found(step: int) -> None:
    with pytest.raises(SimulationError):
        run(
            "alex_like", SMALL, "hpu", Precision(8, 8), Precision(3, 4), 1,
            PLANTED_ERROR=str(step),
        )  # fmt: skip
