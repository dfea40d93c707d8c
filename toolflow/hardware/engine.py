"""What all engines have in common, and the buffers of the RTL's sizes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from toolflow.errors import UserError

WORDS = 64
"""Of a descriptor, 32 bits each."""

DATA_BITS = 128
"""Width of an engine's memory port."""

VECTOR_LANES = 8
"""Words that the vector unit takes a cycle."""

VECTOR_BITS = 46
"""Wordlength of the vector unit's sums and products: any network's."""


class Op(IntEnum):
    """Layer kinds as the sequencer numbers them."""

    CONV = 1
    DENSE = 2
    MAX_POOL = 3
    AVG_POOL = 4
    ADD = 5
    ACTIVATE = 6
    LRN = 7


LEAST_WEIGHT_WORDS = 512
SPARE_WEIGHT_WORDS = 256
"""A column of a segment, or a column tile, begins and ends within blocks (``weight_reader.sv``)."""


def weight_buffer_words(t_p: int, t_c: int, weight_depth: int) -> int:
    """Return the words of a weight reader's buffer: a power of two.

    It holds two column tiles of up to ``weight_depth`` weights a column, the next one loaded while
    one is used, and of any layer a segment of one chunk.
    """
    tiles = 2 * t_c * weight_depth + SPARE_WEIGHT_WORDS
    chunk = t_c * (t_p + SPARE_WEIGHT_WORDS)
    return 1 << (max(tiles, chunk, LEAST_WEIGHT_WORDS) - 1).bit_length()


def act_buffer_words(t_p: int, act_bits: int, data_bits: int, words: int) -> int:
    """Return the words of an activation reader's buffer of at least ``words``: a power of two.

    It is at least what ``act_reader.sv`` asks for: four reads, and four beats of memory.
    """
    read = read_slots(t_p, act_bits)
    return 1 << (max(words, 4 * read, 4 * data_bits // slot_bits(act_bits)) - 1).bit_length()


def slot_bits(act_bits: int) -> int:
    """Return the bits of a slot of the activation reader's buffer: 2, 4, 8 or 16."""
    return 1 << (act_bits - 1).bit_length()


def read_slots(t_p: int, act_bits: int) -> int:
    """Return the slots that the activation reader reads at once: lanes, or the widest vector."""
    return max(t_p, VECTOR_LANES * 16 // slot_bits(act_bits))


@dataclass(frozen=True)
class EngineSizes:
    """The parameters of an engine that its descriptors depend on.

    Attributes:
        t_r, t_p, t_c: tile sizes, T_R, T_P and T_C.
        weight_words: words of the weight reader's buffer.
        act_words: words of the activation reader's buffer.
        vector_lanes: words of a beat for the vector unit.
        data_bits: width of the memory port.
    """

    t_r: int
    t_p: int
    t_c: int
    weight_words: int = 1 << 24
    act_words: int = 1 << 20
    vector_lanes: int = VECTOR_LANES
    data_bits: int = DATA_BITS


@dataclass(frozen=True)
class Segments:
    """The parts of depth that a column tile's weights are read in.

    Attributes:
        count: of them; 1: a column tile is on chip as a whole, and read once for all row tiles.
        depth: of each but the last.
    """

    count: int
    depth: int


LEAST_SEGMENT = 512
"""A segment is not made shorter than that if there is room: its columns' runs get too short."""


def segmentations(sizes: EngineSizes, depth: int) -> tuple[Segments, ...]:
    """Return the ways to read a layer's weights: whole column tiles, segments; what fits.

    Segments are short, so that the first is there early and many are loaded ahead, and alike.

    Raises:
        UserError: the buffer holds no chunk of a column tile.
    """
    ways = []
    if sizes.t_c * depth <= sizes.weight_words - SPARE_WEIGHT_WORDS:
        ways.append(Segments(1, depth))
    longest = [
        (sizes.weight_words // (held * sizes.t_c) - SPARE_WEIGHT_WORDS) // sizes.t_p * sizes.t_p
        for held in (8, 4, 2, 1)
    ]
    fitting = [length for length in longest if length >= LEAST_SEGMENT] or longest[2:]
    most = next((length for length in fitting if length > 0), 0)
    if most:
        count = -(-depth // most)
        each = -(-depth // (count * sizes.t_p)) * sizes.t_p
        if -(-depth // each) > 1:
            ways.append(Segments(-(-depth // each), each))
    if not ways:
        raise UserError(
            f"a weight buffer of {sizes.weight_words} words does not hold a tile of {sizes.t_p} x "
            f"{sizes.t_c} weights; make it larger or T_C smaller"
        )
    return tuple(ways)
