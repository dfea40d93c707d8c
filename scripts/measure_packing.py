"""Measure ``rtl/mm/mm_unit.sv`` with columns that share DSP blocks, over the wordlengths.

Writes ``toolflow/hardware/data/packing_FAMILY.csv``: for every way to share that the search tries
(``toolflow.hardware.packing``), how many MACCs a DSP block does, and what LUTs and flip-flops each
of them takes besides, the unit's skew, accumulators and output included.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from synthesis import DATA, synthesise, write_table

from toolflow.hardware.devices import load_device
from toolflow.hardware.packing import packings, wide_operand

T_R, T_P, T_C = 64, 16, 12
DEVICES = {"xc7": "zc706", "xcup": "zcu102"}
NOTES = {
    "xc7": "",
    "xcup": " (Yosys packs neither registers nor sums into DSP48E2: LUT and FF are too many)",
}
PRECISIONS = ((2, 2), (2, 3), (3, 3), (3, 4), *((bits, bits) for bits in range(4, 9)))


def rows(family: str) -> Iterator[tuple[int | str, ...]]:
    """Yield the rows of a family's table."""
    device = load_device(DEVICES[family])
    for weight_bits, act_bits in PRECISIONS:
        for way in packings(weight_bits, act_bits, T_P, device):
            if T_C % way.columns:
                continue
            parameters = {
                "TR": T_R,
                "TP": T_P,
                "TC": T_C,
                "WeightBits": weight_bits,
                "ActBits": act_bits,
                "AccBits": weight_bits + act_bits + 12,
                "PackColumns": way.columns,
                "DspBits": wide_operand(device),
            }
            area = synthesise("mm_unit", parameters, family)
            maccs = T_P * T_C
            yield (
                weight_bits,
                act_bits,
                way.columns,
                way.segments,
                area.dsp,
                f"{maccs / area.dsp:.2f}" if area.dsp else "",
                f"{area.lut / maccs:.1f}",
                f"{area.ff / maccs:.1f}",
            )


def main() -> None:
    """Measure the family that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("family", choices=DEVICES)
    family = parser.parse_args().family
    write_table(
        DATA / f"packing_{family}.csv",
        f"MM unit of {T_P} x {T_C} MACCs, all columns in DSP blocks (rtl/mm/mm_unit.sv), {family}"
        + NOTES[family],
        (
            "weight_bits",
            "act_bits",
            "columns",
            "segments",
            "dsp",
            "maccs_a_dsp",
            "lut_a_macc",
            "ff_a_macc",
        ),
        rows(family),
    )


if __name__ == "__main__":
    main()
