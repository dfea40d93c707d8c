"""How columns share DSP blocks: the algebra of ``rtl/mm/pe.sv``, as ``cascade_pkg`` computes it.

A multiplier's wide operand holds a weight of each of several columns, ``lane_bits`` apart; a chain
of MACCs then sums all the columns' products at once, as long as no column's sum leaves its bits.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolflow.hardware.devices import Device, Family

CHAIN_BITS = 48
"""Width of a DSP block's sum."""

MOST_COLUMNS = 6
LEAST_OPERAND, MOST_OPERAND = 18, 27
"""What ``mm_unit`` may be told of a DSP block's wide operand."""


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
    def run_bits(self) -> int:
        """Width of a column's sum over the segments."""
        return self.lane_bits + (self.segments - 1).bit_length()

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


def wide_operand(device: Device) -> int:
    """Return what ``mm_unit`` is told of the DSP block's wide operand."""
    return min(MOST_OPERAND, max(LEAST_OPERAND, device.dsp_operand_bits[0]))


def packings(weight_bits: int, act_bits: int, t_p: int, device: Device) -> tuple[Packing, ...]:
    """Return the ways to share DSP blocks that are worth trying, the fewest columns first.

    Two that cut no chain cost alike in LUTs: only the denser is among them. On ECP5, whose chains'
    sums are in LUTs, columns share nothing.
    """
    found = [packing(1, weight_bits, act_bits, t_p, wide_operand(device))]
    wide, narrow = device.dsp_operand_bits
    if device.family is not Family.ECP5 and act_bits < narrow and wide >= LEAST_OPERAND:
        found += [
            packing(columns, weight_bits, act_bits, t_p, wide_operand(device))
            for columns in range(2, MOST_COLUMNS + 1)
        ]
    ways = [way for way in found if way]
    whole = [way for way in ways if way.segments == 1]
    return tuple(way for way in ways if way.segments > 1 or way is whole[-1])
