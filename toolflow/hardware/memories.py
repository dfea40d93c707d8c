"""What an engine's memories take, as ``rtl/common/ram_1r1w.sv`` maps them.

Up to ``LUTRAM_ROWS`` words lie in LUT RAM, more in block RAM, so counts of block RAM are exact
(tests hold them to synthesis). Sizes may be arrays of a grid of engines, which broadcast together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolflow.hardware.engine import act_buffer_words, read_slots, slot_bits, weight_buffer_words

Count = int | NDArray[np.int64]

LUTRAM_ROWS = 64

UNIT_WIDTH, UNIT_DEPTH = 36, 512
"""Shape of half a 36 Kbit block, or of one 18 Kbit block, with one read and one write port."""


class Memory(NamedTuple):
    """LUTs of LUT RAM, and block RAM in halves of 36 Kbit."""

    lut: Count
    units: Count


def memory(width: Count, depth: Count) -> Memory:
    """Return what one memory takes: of LUT RAM, four LUTs hold 6 bits of 32 words."""
    in_luts = np.less_equal(depth, LUTRAM_ROWS).astype(np.int64)
    return Memory(
        in_luts * (4 * -(-width // 6) * -(-depth // 32)),
        (1 - in_luts) * (-(-width // UNIT_WIDTH) * -(-depth // UNIT_DEPTH)),
    )


def weight_ring(t_p: Count, t_c: Count, weight_depth: Count, weight_bits: int) -> Memory:
    """Return what the weight reader's buffer takes: two banks of rows (``word_ram.sv``)."""
    words: Count = np.vectorize(weight_buffer_words, otypes=[np.int64])(t_p, t_c, weight_depth)
    row_words: Count = np.vectorize(_row_words, otypes=[np.int64])(t_p)
    bank = memory(row_words * weight_bits, words // row_words // 2)
    return Memory(2 * bank.lut, 2 * bank.units)


def line_buffer(t_p: Count, act_words: Count, act_bits: int, data_bits: int) -> Memory:
    """Return what the activation reader's buffer takes: banks of slots (``line_buffer.sv``)."""
    slot = slot_bits(act_bits)
    beat = data_bits // slot

    def banks_of(depth: int) -> int:
        read = read_slots(depth, act_bits)
        each = min(beat, _power_of_two(read))
        return _power_of_two(max(-(-(read + each - 1) // each), beat // each))

    def slots_of(depth: int, words: int) -> int:
        return act_buffer_words(depth, act_bits, data_bits, words)

    def each_of(depth: int) -> int:
        return min(beat, _power_of_two(read_slots(depth, act_bits)))

    banks: Count = np.vectorize(banks_of, otypes=[np.int64])(t_p)
    each: Count = np.vectorize(each_of, otypes=[np.int64])(t_p)
    slots: Count = np.vectorize(slots_of, otypes=[np.int64])(t_p, act_words)
    bank = memory(each * slot, slots // (banks * each))
    return Memory(banks * bank.lut, banks * bank.units)


def _row_words(t_p: int) -> int:
    return max(2, _power_of_two(t_p))


def _power_of_two(value: int) -> int:
    """Return the least power of two that is not less."""
    return 1 << (value - 1).bit_length()
