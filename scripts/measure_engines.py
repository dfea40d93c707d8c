"""Measure whole engines with their AXI4 master (``rtl/engine/engine_unit.sv``).

Writes ``toolflow/hardware/data/engine_FAMILY.csv``. The constants of
``toolflow.hardware.resources`` are fitted to the engines that are marked so; the others say how far
predictions are off (``toolflow.hardware.bands``). An engine takes minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields

from synthesis import DATA, synthesise, write_table

from toolflow.hardware.devices import load_device
from toolflow.hardware.packing import wide_operand

DEVICES = {"xc7": "zc706", "xcup": "zcu102"}
NOTE = "StoredBits 8, VectorLanes 8, VectorBits 46, no leaky, no LRN"


@dataclass(frozen=True)
class Engine:
    """Parameters of an engine that is synthesised."""

    name: str
    fitted: int
    t_r: int
    t_p: int
    t_c: int
    dsp_pes: int
    pack_columns: int
    weight_bits: int
    act_bits: int
    acc_bits: int
    weight_words: int
    act_words: int
    pool_width: int
    data_bits: int
    lpu: int


ENGINES = (
    Engine("a", 1, 16, 48, 16, 0, 1, 2, 2, 10, 8192, 8192, 4, 64, 1),
    Engine("b", 1, 16, 12, 16, 16, 1, 8, 8, 21, 8192, 8192, 4, 64, 0),
    Engine("c", 1, 64, 32, 32, 32, 1, 4, 4, 20, 32768, 32768, 16, 128, 1),
    Engine("d", 1, 32, 16, 16, 16, 1, 8, 8, 24, 16384, 32768, 16, 128, 0),
    Engine("e", 1, 64, 96, 16, 8, 4, 2, 3, 14, 65536, 131072, 16, 128, 1),
    Engine("f", 0, 64, 18, 32, 32, 2, 8, 8, 28, 32768, 131072, 16, 128, 0),
    Engine("g", 0, 16, 8, 8, 8, 1, 6, 5, 20, 8192, 16384, 8, 64, 1),
)
OF_FAMILY = {"xc7": "abcdefg", "xcup": "bdfg"}


def rows(family: str) -> Iterator[tuple[int | str, ...]]:
    """Yield the rows of a family's table."""
    device = load_device(DEVICES[family])
    for engine in ENGINES:
        if engine.name not in OF_FAMILY[family]:
            continue
        parameters = {
            "TR": engine.t_r,
            "TP": engine.t_p,
            "TC": engine.t_c,
            "DspPes": engine.dsp_pes,
            "PackColumns": engine.pack_columns,
            "DspBits": wide_operand(device),
            "WeightBits": engine.weight_bits,
            "ActBits": engine.act_bits,
            "AccBits": engine.acc_bits,
            "StoredBits": 8,
            "WeightWords": engine.weight_words,
            "ActWords": engine.act_words,
            "PoolWidth": engine.pool_width,
            "DataBits": engine.data_bits,
            "Lpu": engine.lpu,
            "VectorBits": 46,
            "VectorLanes": 8,
            "LeakySupport": 0,
            "LrnSize": 0,
        }
        area = synthesise("engine_unit", parameters, family)
        yield (*astuple(engine), *astuple(area))


def main() -> None:
    """Measure the family that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("family", choices=DEVICES)
    family = parser.parse_args().family
    write_table(
        DATA / f"engine_{family}.csv",
        f"Engines with their AXI4 master (rtl/engine/engine_unit.sv), flattened, {family}; {NOTE}",
        (*(field.name for field in fields(Engine)), "lut", "ff", "dsp", "bram18"),
        rows(family),
    )


if __name__ == "__main__":
    main()
