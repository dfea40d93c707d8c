"""Where an engine's tensors lie in memory: ``docs/engine.md``, section Memory.

A buffer holds a tensor, or the tensors of a concatenation, of all images of a batch: channel-last
maps, an image every ``image_stride`` bytes. Buffers stand in the unit's workspace; one that nobody
will read any more gives its bytes to later ones. Only the stored images and the network's output
keep their place throughout, so that the host may read and write them while the engine runs.

A word takes the container of its wordlength (``fixedpoint.storage_bits``), sign- or zero-extended.
Engines write whole bytes: where a group of channels, a column tile or a concatenation's input does
not fill them, the buffer's words take a byte each instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import lcm
from types import MappingProxyType

import numpy as np

from toolflow.emission.memory_images import ALIGNMENT
from toolflow.emission.steps import STORED_IMAGES, Schedule, Step, map_shape
from toolflow.errors import UserError
from toolflow.fixedpoint import Format, IntArray, storage_bits
from toolflow.network.graph import Activate, Shape, WeightLayer

ADDRESS_BITS = 32


@dataclass(frozen=True)
class Placement:
    """Where a tensor lies: image ``n``'s pixel ``p`` at ``base + n * image_stride + p * pitch``.

    Attributes:
        base: byte of the first word, in the workspace or, with ``in_images``, among the images.
        image_stride: bytes from an image to the next.
        channels, height, width: a vector is one pixel.
        pitch: words from a pixel to the next.
        container: bits of a word.
    """

    in_images: bool
    base: int
    image_stride: int
    channels: int
    height: int
    width: int
    pitch: int
    container: int

    @property
    def pixel_bytes(self) -> int:
        """Bytes from a pixel to the next."""
        return self.pitch * self.container // 8

    @property
    def image_bytes(self) -> int:
        """Bytes from an image's first word to behind its last, whole pixels counted."""
        return self.height * self.width * self.pixel_bytes


@dataclass(frozen=True, eq=False)
class AddressMap:
    """Every tensor's placement, the batch it is made for, and the workspace's size in bytes."""

    placements: Mapping[str, Placement]
    batch: int
    workspace_bytes: int


@dataclass(frozen=True)
class _Buffer:
    name: str
    first_step: int
    last_step: int
    size: int


def image_placement(shape: Shape, fmt: Format) -> Placement:
    """Return how the host stores images of a shape in a format: the same for both units."""
    return _placed(map_shape(shape), storage_bits(fmt.bits), in_images=True)


def address_map(schedule: Schedule, batch: int, tile_columns: int) -> AddressMap:
    """Return the placements of a schedule's tensors.

    Args:
        schedule: the unit's steps.
        batch: images that each step runs on.
        tile_columns: channels that the MM unit's results are written by (T_C).

    Raises:
        UserError: the workspace exceeds the engine's addresses.
    """
    containers = _containers(schedule, tile_columns)
    shapes = {name: map_shape(schedule.shapes[name]) for name in schedule.buffers}
    layouts = {name: _placed(shape, containers[name]) for name, shape in shapes.items()}
    layouts[STORED_IMAGES] = image_placement(
        schedule.shapes[STORED_IMAGES], schedule.formats[STORED_IMAGES]
    )
    lives = _lives(schedule)
    buffers = [
        _Buffer(name, *lives[name], batch * layout.image_stride)
        for name, layout in layouts.items()
        if name != STORED_IMAGES
    ]
    starts = _packed(buffers) | {STORED_IMAGES: 0}
    size = max((starts[buffer.name] + buffer.size for buffer in buffers), default=0)
    if size >= 1 << ADDRESS_BITS:
        raise UserError(
            f"a batch of {batch} images needs {size:,} bytes for its activations, more than an "
            f"engine's {ADDRESS_BITS}-bit addresses reach; the network's maps are too large"
        )
    placements = {}
    for name, part in schedule.parts.items():
        layout = layouts[part.buffer]
        channels, height, width = map_shape(schedule.shapes[name])
        placements[name] = Placement(
            in_images=layout.in_images,
            base=starts[part.buffer] + part.first * layout.container // 8,
            image_stride=layout.image_stride,
            channels=channels,
            height=height,
            width=width,
            pitch=channels if part.flat else layout.pitch,
            container=layout.container,
        )
    return AddressMap(MappingProxyType(placements), batch, size)


def store_words(memory: bytearray, start: int, placement: Placement, words: IntArray) -> None:
    """Write images' words (N, C, H, W) or (N, F) where a placement says, from ``start`` on.

    Only the words' own bits are written, but for the filling of a last byte.
    """
    p = placement
    images = words.reshape(len(words), p.channels, p.height * p.width).transpose(0, 2, 1)
    places = (images[..., None] >> np.arange(p.container)) & 1
    bits = places.astype(np.uint8).reshape(*images.shape[:2], -1)
    pixels = np.packbits(bits, axis=-1, bitorder="little")
    flat = np.frombuffer(memory, np.uint8)
    for image, rows in enumerate(pixels):
        first = start + p.base + image * p.image_stride
        at = first + np.arange(len(rows))[:, None] * p.pixel_bytes + np.arange(rows.shape[1])
        flat[at] = rows


def load_words(
    memory: bytes | bytearray, start: int, placement: Placement, images: int, signed: bool
) -> IntArray:
    """Return images' words (N, C, H, W) as ``store_words`` wrote them."""
    p = placement
    flat = np.frombuffer(memory, np.uint8)
    size = -(-p.channels * p.container // 8)
    at = (
        start
        + p.base
        + np.arange(images)[:, None, None] * p.image_stride
        + np.arange(p.height * p.width)[:, None] * p.pixel_bytes
        + np.arange(size)
    )
    places = np.unpackbits(flat[at], axis=-1, count=p.channels * p.container, bitorder="little")
    weights = np.left_shift(1, np.arange(p.container))
    if signed:
        weights[-1] *= -1
    words = places.reshape(images, -1, p.channels, p.container).astype(np.int64) @ weights
    return words.transpose(0, 2, 1).reshape(images, p.channels, p.height, p.width)


def _placed(shape: tuple[int, int, int], container: int, in_images: bool = False) -> Placement:
    """Return a placement of a whole buffer at address 0."""
    channels, height, width = shape
    unit = lcm(container, 8) // container
    pitch = -(-channels // unit) * unit
    size = height * width * pitch * container // 8
    stride = -(-size // ALIGNMENT) * ALIGNMENT
    return Placement(in_images, 0, stride, channels, height, width, pitch, container)


def _containers(schedule: Schedule, tile_columns: int) -> Mapping[str, int]:
    """Return the bits of every buffer's words."""
    containers: dict[str, int] = {}
    for name, part in schedule.parts.items():
        bits = storage_bits(schedule.formats[name].bits)
        containers[part.buffer] = max(bits, containers.get(part.buffer, 0))
    pieces: dict[str, list[int]] = {name: [] for name in containers}
    for name, part in schedule.parts.items():
        channels = schedule.shapes[name][0]
        whole = map_shape(schedule.shapes[part.buffer])
        if part.flat:
            pieces[part.buffer].append(whole[0])
        elif part.buffer != name:
            end = part.first + channels
            pieces[part.buffer] += [part.first, end if end < whole[0] else 0]
    for step in schedule.steps:
        buffer = schedule.parts[step.output].buffer
        pieces[buffer] += _written(step, tile_columns)
        if isinstance(step.layer.layer, Activate) and buffer == step.output:
            # Where nothing fills up pixels, the step takes a line at a time.
            pieces[buffer].append(schedule.shapes[buffer][0])
    return {
        name: bits if all(piece * bits % 8 == 0 for piece in pieces[name]) else 8
        for name, bits in containers.items()
    }


def _written(step: Step, tile_columns: int) -> Iterator[int]:
    """Yield the channels at which a step's results begin and end, other than its last.

    The vector unit's lanes, whose number is a multiple of four, are whole bytes of any container.
    """
    spec = step.layer.layer
    if isinstance(spec, WeightLayer):
        columns, groups = spec.matmul.columns, spec.matmul.groups
        if groups > 1:
            yield columns
        if columns > tile_columns:
            yield tile_columns


def _lives(schedule: Schedule) -> Mapping[str, tuple[int, int]]:
    """Return the first and the last step that each buffer is needed for."""
    lives: dict[str, tuple[int, int]] = {}
    for index, step in enumerate(schedule.steps):
        for name in (*step.inputs, step.output):
            buffer = schedule.parts[name].buffer
            lives[buffer] = lives.get(buffer, (index, index))[0], index
    output = schedule.parts[schedule.output].buffer
    lives[output] = 0, len(schedule.steps)
    return lives


def _packed(buffers: list[_Buffer]) -> dict[str, int]:
    """Return each buffer's first byte: the largest first, each as low as those living with it let.

    Largest first is within a few per cent of the best for chains of layers, and simple.
    """
    starts: dict[str, int] = {}
    placed: list[_Buffer] = []
    for buffer in sorted(buffers, key=lambda b: -b.size):
        others = sorted(
            (starts[other.name], starts[other.name] + other.size)
            for other in placed
            if other.first_step <= buffer.last_step and buffer.first_step <= other.last_step
        )
        start = 0
        for low, high in others:
            if start + buffer.size <= low:
                break
            start = max(start, high)
        starts[buffer.name] = start
        placed.append(buffer)
    return starts
