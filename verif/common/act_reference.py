"""What the activation reader must give, from maps as numpy arrays: im2col and vector work.

Nothing here knows of jobs or buffers: only ``docs/engine.md``, section The order of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from toolflow.hardware.act_jobs import Window
from verif.common.packing import pack
from verif.common.tiling import chunks, padded

IntArray = NDArray[np.int64]
Beat = tuple[int, ...]


def windows(image: IntArray, window: Window, fill: int) -> IntArray:
    """Return (out pixels, kernel rows, kernel columns, channels) of an image (H, W, C)."""
    (kh, kw), (sy, sx), (top, left), (oh, ow) = (
        window.kernel, window.stride, window.pads, window.out,
    )  # fmt: skip
    bottom = max(0, (oh - 1) * sy + kh - top - image.shape[0])
    right = max(0, (ow - 1) * sx + kw - left - image.shape[1])
    whole = np.pad(image, ((top, bottom), (left, right), (0, 0)), constant_values=fill)
    views = sliding_window_view(whole, (kh, kw), axis=(0, 1))[: oh * sy : sy, : ow * sx : sx]
    cut = views[:oh, :ow].transpose(0, 1, 3, 4, 2)
    return cut.reshape(oh * ow, kh, kw, image.shape[2])


def product_beats(
    matrices: Sequence[IntArray], tile: tuple[int, int], column_tiles: int, bits: int, signed: bool
) -> Iterator[Beat]:
    """Yield beats for the MM unit: data, first, last, tile_last, signed.

    Args:
        matrices: (rows, depth) of each group.
        tile: T_R and T_P.
        column_tiles: how often a group's matrix is gone through.
        bits: of a word.
        signed: what every beat says of its words.
    """
    t_r, t_p = tile
    for matrix in matrices:
        once = []
        depth_slices = list(chunks(matrix.shape[1], t_p))
        for rows in chunks(matrix.shape[0], t_r):
            count = rows.stop - rows.start
            for index, depth in enumerate(depth_slices):
                data = pack(padded(matrix[rows, depth], (count, t_p)), bits)
                flags = int(index == 0), int(index == len(depth_slices) - 1)
                once += [
                    (word, *flags, int(row == count - 1), int(signed))
                    for row, word in enumerate(data)
                ]
        for _ in range(column_tiles):
            yield from once


def conv_beats(
    images: IntArray,
    groups: int,
    window: Window,
    tile: tuple[int, int],
    column_tiles: int,
    zero_in: int,
    bits: int,
    signed: bool,
) -> Iterator[Beat]:
    """Yield a convolution's beats of joined images (N, H, W, C) of words."""
    cut = np.concatenate([windows(image, window, zero_in) for image in images])
    channels = images.shape[3] // groups
    matrices = [
        cut[..., g * channels : (g + 1) * channels].reshape(len(cut), -1) for g in range(groups)
    ]
    return product_beats(matrices, tile, column_tiles, bits, signed)


def vector_beats(
    positions: Sequence[tuple[IntArray, NDArray[np.bool_], bool, bool]], lanes: int, bits: int
) -> Iterator[Beat]:
    """Yield beats for the vector unit.

    data, first, last, pad, second, signed, last_chunk, chunk, words.

    Args:
        positions: for each kernel position (pixels, channels) words, whether each pixel's are
            padding, whether they are of the second tensor, whether they are signed.
        lanes: words of a beat.
        bits: of a word in a beat.
    """
    slices = list(chunks(positions[0][0].shape[1], lanes))
    packed = [
        [pack(padded(words[:, cut], (len(words), lanes)), bits) for cut in slices]
        for words, _, _, _ in positions
    ]
    for pixel in range(len(positions[0][0])):
        for index, cut in enumerate(slices):
            for place, (_, pad, second, signed) in enumerate(positions):
                yield (
                    packed[place][index][pixel],
                    int(place == 0),
                    int(place == len(positions) - 1),
                    int(pad[pixel]),
                    int(second),
                    int(signed),
                    int(index == len(slices) - 1),
                    index,
                    cut.stop - cut.start,
                )


def pool_beats(
    image: IntArray, window: Window, zero_in: int, lanes: int, bits: int, signed: bool
) -> Iterator[Beat]:
    """Yield a pooling's beats, or an activation's, of an image (H, W, C) of words."""
    cut = windows(image, window, zero_in)
    pads = windows(np.zeros((*image.shape[:2], 1), np.int64), window, 1)
    positions = [
        (cut[:, row, column], pads[:, row, column, 0] == 1, False, signed)
        for row in range(window.kernel[0])
        for column in range(window.kernel[1])
    ]
    return vector_beats(positions, lanes, bits)


def add_beats(
    first: IntArray, second: IntArray, lanes: int, bits: int, signed: tuple[bool, bool]
) -> Iterator[Beat]:
    """Yield an addition's beats of two images (H, W, C) of words."""
    positions = [
        (
            image.reshape(-1, image.shape[2]),
            np.zeros(image.shape[0] * image.shape[1], bool),
            tensor == 1,
            signed[tensor],
        )
        for tensor, image in enumerate((first, second))
    ]
    return vector_beats(positions, lanes, bits)
