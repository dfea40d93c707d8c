"""What all engines have in common, and the buffers of the RTL's sizes."""

from __future__ import annotations

DATA_BITS = 128
"""Width of an engine's memory port."""

VECTOR_LANES = 8
"""Words that the vector unit takes a cycle."""

VECTOR_BITS = 46
"""Wordlength of the vector unit's sums and products: any network's."""

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
    slot = 1 << (act_bits - 1).bit_length()
    read = max(t_p, VECTOR_LANES * 16 // slot)
    return 1 << (max(words, 4 * read, 4 * data_bits // slot) - 1).bit_length()
