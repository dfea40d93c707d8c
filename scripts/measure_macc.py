"""Measure ``rtl/mm/macc.sv`` with its multiplier in LUTs, over the wordlengths.

Writes ``toolflow/hardware/data/macc_FAMILY.csv``, which the resource model reads: all wordlengths
2..8 of weights and activations, and some wider ones that the formula above 8 bits is fitted to and
checked with. The chain's sum is that of a PE of ``T_P`` lanes: WeightBits + ActBits + 1 + log2 T_P.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from synthesis import DATA, FAMILIES, synthesise, write_table

T_P = 16
GRID = range(2, 9)
WIDER = ((10, 10), (12, 12), (14, 14), (16, 16), (8, 16), (16, 8), (4, 16), (16, 4), (12, 8))


def rows(family: str) -> Iterator[tuple[int, ...]]:
    """Yield weight bits, activation bits, LUTs and flip-flops of one MACC."""
    for weight_bits, act_bits in (*((w, a) for w in GRID for a in GRID), *WIDER):
        parameters = {
            "WeightBits": weight_bits,
            "ActBits": act_bits + 1,
            "SumBits": weight_bits + act_bits + 1 + (T_P - 1).bit_length(),
            "UseDsp": 0,
        }
        area = synthesise("macc", parameters, family, multipliers_in_luts=True)
        yield weight_bits, act_bits, area.lut, area.ff


def main() -> None:
    """Measure the family that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("family", choices=FAMILIES)
    family = parser.parse_args().family
    write_table(
        DATA / f"macc_{family}.csv",
        f"One MACC (rtl/mm/macc.sv, UseDsp = 0) in a chain of T_P = {T_P}, {family}",
        ("weight_bits", "act_bits", "lut", "ff"),
        rows(family),
    )


if __name__ == "__main__":
    main()
