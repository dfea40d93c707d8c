"""Whole networks through ``cnn_engine``, equal to the emulator at every step's output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.random_networks import alex_like, blocked_channels, drawn_scheme, every_layer_kind
from toolflow.emission.descriptors import EngineSizes
from toolflow.network.graph import Network
from toolflow.quantisation.legality import legalised
from toolflow.quantisation.scheme import Precision, format_groups
from verif.common.engine_folder import units_of, write_folder
from verif.common.rtl_sources import ROOT, RTL
from verif.common.simulation import simulate

TOP = RTL / "engine" / "cnn_engine.sv"
BENCH = "verif.system.engine.bench_engine"
FOLDERS = ROOT / "build" / "verif" / "engine"
BATCH = 3

NETWORKS: dict[str, Callable[[], Network]] = {
    "alex_like": alex_like,
    "every_layer_kind": every_layer_kind,
    "blocked_channels": blocked_channels,
}

SMALL = EngineSizes(6, 5, 4, weight_words=2048, act_words=2048, vector_lanes=4, data_bits=64)
WIDE = EngineSizes(16, 16, 12, weight_words=8192, act_words=4096, vector_lanes=8, data_bits=128)


def folder_of(name: str, sizes: EngineSizes, hpu: Precision, lpu: Precision) -> Path:
    """Write a network's folder; return it."""
    network = NETWORKS[name]()
    high, low = (
        legalised(drawn_scheme(network, precision, 3), network, format_groups(network))
        for precision in (hpu, lpu)
    )
    units = units_of(network, high, low)
    images = np.random.default_rng(5).integers(
        units.hpu.stored_input.low, units.hpu.stored_input.high + 1, (BATCH, *network.input_shape)
    )
    folder = FOLDERS / f"{name}-{hpu}-{lpu}-{sizes.t_p}".replace("/", "_")
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
        **others,
    }


def run(folder: Path, unit: str, parameters: dict[str, int], seed: int, **extra: str) -> int:
    """Run the bench on a folder."""
    environment = {"ENGINE_FOLDER": str(folder), "ENGINE_UNIT": unit, "ENGINE_IMAGES": str(BATCH)}
    return simulate(
        TOP, parameters, BENCH, seed=seed, testcase="whole_network",
        extra_env=environment | extra,
    )  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("unit", ["hpu", "lpu"])
@pytest.mark.parametrize("seed", [1, 2])
def test_small_networks(name: str, unit: str, seed: int) -> None:
    hpu, lpu = Precision(8, 8), Precision(3, 4)
    folder = folder_of(name, SMALL, hpu, lpu)
    assert run(folder, unit, parameters_of(SMALL, unit, hpu, lpu), seed) == 1
