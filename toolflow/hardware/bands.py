"""How far areas may be off: the resource model beside engines that were synthesised.

``data/engine_FAMILY.csv`` (``scripts/measure_engines.py``, open synthesis) has the engines; a band
is the largest error over all of them, those that the model is not fitted to included.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from toolflow.hardware.devices import Device, Family, load_device
from toolflow.hardware.engine import SPARE_WEIGHT_WORDS
from toolflow.hardware.resources import EngineConfig, Resources, engine_resources

BOARDS: Mapping[Family, str] = {Family.XC7: "zc706", Family.XCUP: "zcu102"}
"""Any board of the family."""


@dataclass(frozen=True)
class SynthesisedEngine:
    """An engine's area by synthesis (block RAM in halves of 36 kbit) and by the model.

    ``fitted``: the model's constants are fitted to it, among others.
    """

    name: str
    fitted: bool
    is_lpu: bool
    lut: int
    ff: int
    dsp: int
    bram18: int
    model: Resources


@dataclass(frozen=True)
class AreaBand:
    """The largest errors of the model, as shares of what was synthesised."""

    lut: float
    ff: float
    engines: int


@cache
def synthesised_engines(family: Family) -> tuple[SynthesisedEngine, ...]:
    """Return the engines of a family; none where none were synthesised."""
    table = files("toolflow.hardware") / "data" / f"engine_{family}.csv"
    if family not in BOARDS or not table.is_file():
        return ()
    lines = table.read_text(encoding="utf-8").splitlines()
    board = load_device(BOARDS[family])
    return tuple(
        _engine(row, board) for row in csv.DictReader(line for line in lines if line[0] != "#")
    )


def _engine(row: Mapping[str, str], board: Device) -> SynthesisedEngine:
    value: dict[str, Any] = {name: int(text) for name, text in row.items() if name != "name"}
    names = (
        "t_r", "t_p", "t_c", "dsp_pes", "weight_bits", "act_bits", "acc_bits", "pack_columns",
    )  # fmt: skip
    config = EngineConfig(
        **{name: value[name] for name in names},
        stored_weight_bits=8 if value["lpu"] else value["weight_bits"],
        weight_depth=(value["weight_words"] - SPARE_WEIGHT_WORDS) // (2 * value["t_c"]),
        act_buffer_words=value["act_words"],
    )
    return SynthesisedEngine(
        name=row["name"],
        fitted=bool(value["fitted"]),
        is_lpu=bool(value["lpu"]),
        lut=value["lut"],
        ff=value["ff"],
        dsp=value["dsp"],
        bram18=value["bram18"],
        model=engine_resources(config, replace(board, axi_bits=value["data_bits"])),
    )


def area_band(device: Device) -> AreaBand | None:
    """Return how far areas on a device may be off; None where nothing was synthesised for it."""
    engines = synthesised_engines(device.family)
    if not engines:
        return None
    return AreaBand(
        lut=max(abs(engine.model.lut / engine.lut - 1) for engine in engines),
        ff=max(abs(engine.model.ff / engine.ff - 1) for engine in engines),
        engines=len(engines),
    )
