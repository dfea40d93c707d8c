"""Runs the benches of ``act_reader``."""

from __future__ import annotations

import pytest

from toolflow.simulation.rtl_sources import RTL
from verif.common.simulation import simulate

TOP = RTL / "engine" / "act_reader.sv"
BENCH = "verif.unit.act_reader.bench_act_reader"


def parameters(tp: int, bits: int, lanes: int, slots: int, data_bits: int) -> dict[str, int]:
    return {
        "TP": tp, "ActBits": bits, "VectorLanes": lanes, "BufferSlots": slots,
        "DataBits": data_bits,
    }  # fmt: skip


CONFIGURATIONS = {
    "8x8bit_64": parameters(8, 8, 4, 2048, 64),
    "12x6bit_128": parameters(12, 6, 8, 2048, 128),
    "27x4bit_128": parameters(27, 4, 4, 2048, 128),
    "16x4bit_64": parameters(16, 4, 2, 2048, 64),
    "5x2bit_64": parameters(5, 2, 1, 4096, 64),
    "1x3bit_128": parameters(1, 3, 3, 2048, 128),
    "9x16bit_64": parameters(9, 16, 5, 2048, 64),
    "64x8bit_128": parameters(64, 8, 16, 2048, 128),
    "96x3bit_128": parameters(96, 3, 4, 4096, 128),
    "128x8bit_64": parameters(128, 8, 8, 4096, 64),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("seed", [1])
def test_act_reader(name: str, seed: int) -> None:
    assert simulate(TOP, CONFIGURATIONS[name], BENCH, seed=seed) == 4
