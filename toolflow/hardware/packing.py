"""How columns share DSP blocks: the algebra of ``rtl/mm/pe.sv``, as ``cascade_pkg`` computes it.

A multiplier's wide operand holds a weight of each of several columns, ``lane_bits`` apart; a chain
of MACCs then sums all the columns' products at once, as long as no column's sum leaves its bits.
"""

from __future__ import annotations

from dataclasses import dataclass

CHAIN_BITS = 48
"""Width of a DSP block's sum."""


@dataclass(frozen=True)
class Packing:
    """The chains of an MM unit.

    Attributes:
        columns: that share a DSP block.
        lane_bits: from one column's sum to the next one's.
        segment_depth: lanes of a chain.
        segments: chains of a dot product.
    """

    columns: int
    lane_bits: int
    segment_depth: int
    segments: int

    @property
    def latency(self) -> int:
        """Cycles from a row's acceptance by ``mm_unit`` to its output."""
        return self.segment_depth + self.segments + 4


def packing(
    columns: int, weight_bits: int, act_bits: int, t_p: int, operand_bits: int
) -> Packing | None:
    """Return how so many columns share a DSP block, None if they do not fit.

    Args:
        columns: at least 1.
        weight_bits, act_bits: wordlengths; activations may be signed or unsigned.
        t_p: lanes.
        operand_bits: of the multiplier's wide operand.
    """
    largest = (1 << act_bits) - 1
    lane_bits = weight_bits + (t_p * largest - 1).bit_length()
    if columns == 1:
        return Packing(1, lane_bits, t_p, 1)
    lane_bits = min(lane_bits, (operand_bits - weight_bits - 1) // (columns - 1))
    if lane_bits < weight_bits:
        return None
    depth = min(t_p, (1 << lane_bits - weight_bits) // largest)
    if not depth or columns * lane_bits > CHAIN_BITS:
        return None
    return Packing(columns, lane_bits, depth, -(-t_p // depth))
