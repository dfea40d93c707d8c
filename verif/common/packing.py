"""Words to and from the packed arrays of the RTL's ports (lane 0 in the lowest bits)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

IntArray = NDArray[np.int64]


def pack(words: ArrayLike, bits: int) -> list[int]:
    """Pack each row of ``words`` (beats x lanes) into one integer, ``bits`` a lane.

    Raises:
        ValueError: a word fits ``bits`` bits neither as signed nor as unsigned.
    """
    array = np.atleast_2d(np.asarray(words, np.int64))
    if array.size and (array.min() < -(1 << (bits - 1)) or array.max() >= 1 << bits):
        raise ValueError(f"a word outside {bits} bits: {array.min()}..{array.max()}")
    places = (array[:, :, None] >> np.arange(bits)) & 1
    flat = places.astype(np.uint8).reshape(array.shape[0], -1)
    return [int.from_bytes(row.tobytes(), "little") for row in np.packbits(flat, 1, "little")]


def unpack(beats: Sequence[int], bits: int, lanes: int, *, signed: bool) -> IntArray:
    """Unpack integers into words (beats x lanes) of ``bits`` bits."""
    size = (bits * lanes + 7) // 8
    raw = b"".join(beat.to_bytes(size, "little") for beat in beats)
    octets = np.frombuffer(raw, np.uint8).reshape(len(beats), size)
    places = np.unpackbits(octets, axis=1, count=bits * lanes, bitorder="little")
    weights = np.left_shift(np.int64(1), np.arange(bits, dtype=np.int64))
    if signed:
        weights[-1] = -weights[-1]
    return places.reshape(len(beats), lanes, bits).astype(np.int64) @ weights


def wrap(words: ArrayLike, bits: int) -> IntArray:
    """Wrap integers to ``bits``-bit two's complement, as a register of that width does."""
    span = np.int64(1) << bits
    return (np.asarray(words, np.int64) + (span >> 1)) % span - (span >> 1)
