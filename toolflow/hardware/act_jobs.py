"""Jobs of the activation reader (``rtl/engine/act_job_pkg.sv``): all that takes a division.

A job is one image of a convolution or of vector work, several images of a convolution that are
joined (one behind the other in memory, without a gap), or a batch of a dense layer. Words are in
memory as ``docs/engine.md`` says; on chip a word of a product is one slot, a word of vector work
``2**store_container`` bits, which may be several slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from math import lcm

from toolflow.fixedpoint import storage_bits

LOGIT_SLOT_LOG = 4


@dataclass(frozen=True)
class ReaderSizes:
    """The parameters of an activation reader.

    Attributes:
        t_r: rows of a row tile.
        t_p: words of a beat for the MM unit.
        act_bits: wordlength of products' inputs.
        vector_lanes: words of a beat for the vector unit.
        buffer_slots: words of the buffer.
        data_bits: width of the memory port.
    """

    t_r: int
    t_p: int
    act_bits: int
    vector_lanes: int
    buffer_slots: int
    data_bits: int

    @property
    def slot_log(self) -> int:
        """Log2 of a slot's bits."""
        return storage_bits(self.act_bits).bit_length() - 1

    @property
    def beat_slots(self) -> int:
        """Slots of a beat."""
        return self.data_bits >> self.slot_log

    @property
    def stream_slots(self) -> int:
        """Slots that a job may need at once if it is not resident."""
        return self.buffer_slots - 2 * self.beat_slots


@dataclass(frozen=True)
class MapPlace:
    """A map in memory: words ``(y * width + x) * pitch + channel`` from byte ``base`` on.

    Attributes:
        height, width, channels: of an image.
        pixel_bytes: from a pixel to the next; 0 where there is none.
        container: log2 of a word's bits.
        images: joined ones.
    """

    base: int
    height: int
    width: int
    channels: int
    pixel_bytes: int
    container: int
    signed: bool
    images: int = 1

    @property
    def gapless(self) -> bool:
        """Whether the channels of all pixels follow each other."""
        bits = self.channels << self.container
        pixels = self.images * self.height * self.width
        return pixels == 1 or bits == 8 * self.pixel_bytes

    def folded(self, width: int) -> MapPlace:
        """Return the same pixels as lines of another width."""
        return replace(self, height=self.height * self.width // width, width=width)


@dataclass(frozen=True)
class Window:
    """Kernel, strides and padding of a layer; sizes of its output of an image."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int]
    out: tuple[int, int]

    @property
    def pointwise(self) -> bool:
        """Whether an output pixel is made of the input pixel at the same place."""
        return (self.kernel, self.stride, self.pads) == ((1, 1), (1, 1), (0, 0))

    @property
    def rows(self) -> int:
        """Output pixels of an image."""
        return self.out[0] * self.out[1]

    def lines(self, height: int) -> int:
        """Return the lines of a map that are read at all."""
        return max(
            1, min(height, (self.out[0] - 1) * self.stride[0] - self.pads[0] + self.kernel[0])
        )


@dataclass(frozen=True)
class ActJob:
    """The fields of ``act_job_t``, which says what they mean."""

    base: int
    second_base: int
    two: int
    container: int
    second_container: int
    store_container: int
    is_signed: int
    second_signed: int
    blocks: int
    loads: int
    tiles: int
    lines: int
    runs: int
    last_runs: int
    run_words: int
    last_run_words: int
    block_words: int
    tile_step: int
    line_step: int
    second_line_step: int
    run_step: int
    second_run_step: int
    vector: int
    dense: int
    zero_in: int
    groups: int
    column_tiles: int
    resident: int
    rows: int
    tile_rows: int
    out_width: int
    out_height: int
    pad_top: int
    stride_lines: int
    height: int
    line_slots: int
    top_slots: int
    row_slots: int
    image_slots: int
    left_slots: int
    pixel_slots: int
    kernel_rows: int
    kernel_runs: int
    kernel_step: int
    run_slots: int
    last_run_slots: int
    segments: int
    group_slots: int
    load_slots: int
    window_slots: int

    def fits(self, sizes: ReaderSizes) -> bool:
        """Return whether the buffer is large enough."""
        limit = sizes.buffer_slots if self.resident else sizes.stream_slots
        return self.window_slots <= limit


def conv_job(
    place: MapPlace,
    groups: int,
    window: Window,
    column_tiles: int,
    zero_in: int,
    sizes: ReaderSizes,
) -> ActJob:
    """Return the job of a convolution's image: the fastest that fits, of those the least traffic.

    Groups are fetched one at a time, which makes a kernel row one run, or several at a time where
    their words lie too thinly among the others'. If nothing fits, the job returned does not.
    """
    jobs = conv_jobs(place, groups, window, column_tiles, zero_in, sizes)

    def cost(job: ActJob) -> tuple[bool, int, int]:
        beats, pieces = fetched_beats(job, sizes), read_pieces(job, sizes)
        return not job.fits(sizes), max(beats, pieces), beats

    return min(jobs, key=cost)


def images_in_tile(rows: int, tile_rows: int, batch: int) -> int:
    """Return how many images' rows fit a row tile: a power of two that divides the batch.

    So no image is joined that the workspace has no room for.

    Args:
        rows: of an image.
        tile_rows: T_R.
        batch: images that the workspace is made for.
    """
    images = 1
    while batch % (2 * images) == 0 and 2 * images * rows <= tile_rows:
        images *= 2
    return images


def joined(
    place: MapPlace, groups: int, window: Window, batch: int, sizes: ReaderSizes
) -> MapPlace:
    """Return a map with its joined images: all that fit a row tile and the buffer, or one."""
    images = images_in_tile(window.rows, sizes.t_r, batch)
    whole = replace(place, images=images)
    jobs = conv_jobs(whole, groups, window, 1, 0, sizes) if images > 1 else []
    return whole if all(job.resident for job in jobs) else place


def conv_jobs(
    place: MapPlace,
    groups: int,
    window: Window,
    column_tiles: int,
    zero_in: int,
    sizes: ReaderSizes,
) -> list[ActJob]:
    """Return the jobs that ``conv_job`` chooses from."""
    return [
        _conv_job(shape, groups, together, cut, column_tiles, zero_in, sizes)
        for together in range(1, groups + 1)
        if groups % together == 0
        for shape, cut in _foldings(place, window, sizes.stream_slots // 2)
    ]


def _foldings(place: MapPlace, window: Window, limit: int) -> Iterator[tuple[MapPlace, Window]]:
    """Yield a map as it is, and if pixels are read one by one, in lines of ``limit`` words."""
    yield place, window
    if window.pointwise and place.width * place.channels > limit:
        width = _line_width(place, place.channels, limit)
        shape = place.folded(width)
        yield shape, replace(window, out=(shape.height, width))


def _line_width(place: MapPlace, pixel_slots: int, limit: int) -> int:
    """Return how many pixels a line may have: a divisor of all, at most ``limit`` slots, or 1."""
    pixels = place.height * place.width
    fitting = (n for n in range(1, pixels + 1) if pixels % n == 0 and n * pixel_slots <= limit)
    return max(fitting, default=1)


def _conv_job(
    place: MapPlace,
    groups: int,
    together: int,
    window: Window,
    column_tiles: int,
    zero_in: int,
    sizes: ReaderSizes,
) -> ActJob:
    channels = place.channels // groups
    pixel = channels * together
    passes = together * column_tiles
    tile_rows = sizes.t_r
    base = _map_job(place, pixel, window, tile_rows, sizes, 0)
    resident = base.load_slots <= sizes.buffer_slots
    merged = together == 1
    run = window.kernel[1] * channels if merged else channels
    return replace(
        base,
        store_container=sizes.slot_log,
        zero_in=zero_in,
        blocks=groups // together,
        loads=1 if resident else passes,
        block_words=pixel,
        groups=together,
        column_tiles=column_tiles,
        resident=int(resident),
        kernel_runs=1 if merged else window.kernel[1],
        kernel_step=pixel,
        run_slots=run,
        last_run_slots=run,
        group_slots=channels,
        window_slots=base.load_slots if resident else base.window_slots,
    )


def dense_job(
    base: int,
    image_stride: int,
    container: int,
    signed: bool,
    depth: int,
    rows: int,
    column_tiles: int,
    sizes: ReaderSizes,
) -> ActJob:
    """Return the job of a dense layer: a row an image, ``image_stride`` bytes apart."""
    tile_rows = min(sizes.t_r, rows)
    tiles = -(-rows // tile_rows)
    resident = rows * depth <= sizes.buffer_slots
    segment = depth if resident else _segment(depth, tile_rows, container, sizes)
    segments = -(-depth // segment)
    last = depth - (segments - 1) * segment
    return ActJob(
        base=base, second_base=0, two=0,
        container=container, second_container=container, store_container=sizes.slot_log,
        is_signed=int(signed), second_signed=0,
        blocks=1, loads=1 if resident else column_tiles,
        tiles=tiles, lines=segments,
        runs=tile_rows, last_runs=rows - (tiles - 1) * tile_rows,
        run_words=segment, last_run_words=last, block_words=0,
        tile_step=tile_rows * image_stride, line_step=(segment << container) // 8,
        second_line_step=0, run_step=image_stride, second_run_step=0,
        vector=0, dense=1, zero_in=0, groups=1, column_tiles=column_tiles, resident=int(resident),
        rows=rows, tile_rows=tile_rows, out_width=1, out_height=1, pad_top=0, stride_lines=0,
        height=1, line_slots=tile_rows * segment, top_slots=0, row_slots=0, image_slots=0,
        left_slots=0, pixel_slots=0,
        kernel_rows=1, kernel_runs=1, kernel_step=0, run_slots=segment, last_run_slots=last,
        segments=segments, group_slots=0, load_slots=rows * depth,
        window_slots=rows * depth if resident else tile_rows * segment,
    )  # fmt: skip


def _segment(depth: int, rows: int, container: int, sizes: ReaderSizes) -> int:
    """Return a segment's depth: whole chunks and bytes; if possible two fit the buffer."""
    unit = lcm(sizes.t_p, max(1, 8 >> container))
    most = max(1, sizes.stream_slots // (2 * rows * unit)) * unit
    count = -(-depth // most)
    return -(-depth // (count * unit)) * unit


def pool_job(place: MapPlace, window: Window, zero_in: int, sizes: ReaderSizes) -> ActJob:
    """Return the job of a pooling's image, or of an activation's: a window of one pixel.

    A map with one window that does not fit is read some channels at a time, whole beats of them.
    """
    words = place.container - sizes.slot_log
    shape, cut = list(_foldings(place, window, (sizes.stream_slots >> words) // 2))[-1]
    job = _pool_job(shape, shape.channels, cut, zero_in, sizes)
    if job.fits(sizes) or cut.out != (1, 1):
        return job
    lanes = sizes.vector_lanes
    blocks = (n for n in range(2, shape.channels // lanes + 1) if shape.channels % (n * lanes) == 0)
    split = (_pool_job(shape, shape.channels // n, cut, zero_in, sizes) for n in blocks)
    return next((part for part in split if part.fits(sizes)), job)


def _pool_job(
    place: MapPlace, channels: int, window: Window, zero_in: int, sizes: ReaderSizes
) -> ActJob:
    """Return the job of a pooling that has so many channels on chip at a time."""
    words = place.container - sizes.slot_log
    base = _map_job(place, channels, window, 1, sizes, words)
    resident = base.load_slots <= sizes.buffer_slots
    return replace(
        base,
        vector=1,
        zero_in=zero_in,
        blocks=place.channels // channels,
        block_words=channels,
        resident=int(resident),
        kernel_runs=window.kernel[1],
        kernel_step=channels << words,
        run_slots=channels << words,
        last_run_slots=channels << words,
        window_slots=base.load_slots if resident else base.window_slots,
    )


def add_job(first: MapPlace, second: MapPlace, sizes: ReaderSizes) -> ActJob:
    """Return the job of an addition's image; a line on chip has the first map's, then the second's.

    Raises:
        ValueError: the maps differ in their sizes.
    """
    sizes_of = {(m.height * m.width, m.channels) for m in (first, second)}
    if len(sizes_of) > 1:
        raise ValueError(f"maps of different sizes: {sorted(sizes_of)}")
    store = max(first.container, second.container)
    words = store - sizes.slot_log
    width = _line_width(first, first.channels << words, sizes.stream_slots // 4)
    shape = first.folded(width)
    pixel = first.channels << words
    line = 2 * width * pixel
    window = Window((1, 1), (1, 1), (0, 0), (shape.height, width))
    gapless = first.gapless and second.gapless
    base = _map_job(shape, shape.channels, window, 1, sizes, words)
    return replace(
        base,
        second_base=second.base, two=1,
        second_container=second.container, store_container=store,
        second_signed=int(second.signed),
        lines=shape.height, runs=1 if gapless else width, last_runs=1 if gapless else width,
        run_words=shape.channels * (width if gapless else 1),
        last_run_words=shape.channels * (width if gapless else 1),
        line_step=width * first.pixel_bytes, second_line_step=width * second.pixel_bytes,
        run_step=first.pixel_bytes, second_run_step=second.pixel_bytes,
        vector=1, line_slots=line, row_slots=line,
        kernel_runs=2, kernel_step=width * pixel, run_slots=pixel, last_run_slots=pixel,
        load_slots=shape.height * line, window_slots=line,
    )  # fmt: skip


def _map_job(
    place: MapPlace, channels: int, window: Window, tile_rows: int, sizes: ReaderSizes, words: int
) -> ActJob:
    """Return what maps' jobs share: ``channels`` of a pixel fetched, ``2**words`` slots each."""
    joined = place.images > 1
    height = place.height if joined else window.lines(place.height)
    lines = place.images * height
    pixel = channels << words
    line = place.width * pixel
    whole = place.gapless and channels == place.channels
    runs = 1 if whole else place.width
    run_words = lines * place.width * channels if whole else channels
    to_next = (height - (window.out[0] - 1) * window.stride[0]) * line if joined else 0
    return ActJob(
        base=place.base, second_base=0, two=0,
        container=place.container, second_container=place.container,
        store_container=place.container,
        is_signed=int(place.signed), second_signed=0,
        blocks=1, loads=1, tiles=1, lines=1 if whole else lines, runs=runs, last_runs=runs,
        run_words=run_words, last_run_words=run_words, block_words=0,
        tile_step=0, line_step=place.width * place.pixel_bytes, second_line_step=0,
        run_step=place.pixel_bytes, second_run_step=0,
        vector=0, dense=0, zero_in=0, groups=1, column_tiles=1, resident=0,
        rows=place.images * window.rows, tile_rows=tile_rows,
        out_width=window.out[1], out_height=window.out[0],
        pad_top=window.pads[0], stride_lines=window.stride[0], height=height,
        line_slots=line, top_slots=window.pads[0] * line, row_slots=window.stride[0] * line,
        image_slots=to_next, left_slots=window.pads[1] * pixel,
        pixel_slots=window.stride[1] * pixel,
        kernel_rows=window.kernel[0], kernel_runs=1, kernel_step=pixel,
        run_slots=pixel, last_run_slots=pixel, segments=1, group_slots=0,
        load_slots=lines * line,
        window_slots=line
        * max(window.stride[0], _tile_lines(window, height, place.images, tile_rows)),
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _tile_lines(window: Window, height: int, images: int, tile_rows: int) -> int:
    """Return the most lines of the maps that a row tile keeps on chip."""
    rows = images * window.rows
    most = 0
    for first in range(0, rows, tile_rows):
        last = min(first + tile_rows, rows) - 1
        image, row = divmod(first, window.rows)
        top = image * height + row // window.out[1] * window.stride[0] - window.pads[0]
        image, row = divmod(last, window.rows)
        bottom = row // window.out[1] * window.stride[0] - window.pads[0] + window.kernel[0]
        most = max(most, image * height + min(bottom, height) - max(top, 0))
    return most


def read_pieces(job: ActJob, sizes: ReaderSizes) -> int:
    """Return the reads of the buffer, one a cycle while their words are there.

    A beat has one for every run of words that it touches.
    """
    if job.vector:
        chunk = sizes.vector_lanes << (job.store_container - sizes.slot_log)
        chunks = job.blocks * -(-job.run_slots // chunk)
        return job.rows * chunks * job.kernel_rows * job.kernel_runs
    lengths = (
        [job.run_slots] * (job.segments - 1) + [job.last_run_slots]
        if job.dense
        else [job.run_slots] * (job.kernel_rows * job.kernel_runs)
    )
    cuts, end = set(), 0
    for length in lengths:
        end += length
        cuts.add(end)
    pieces = len(cuts | set(range(sizes.t_p, end, sizes.t_p)))
    return job.blocks * job.groups * job.column_tiles * job.rows * pieces


def fetched_beats(job: ActJob, sizes: ReaderSizes) -> int:
    """Return a bound of the beats that are read: every run takes its bits and its ragged ends."""
    beats = 0
    for tensor in range(1 + job.two):
        container = job.second_container if tensor else job.container
        for count, words in (
            ((job.lines - 1), job.run_words),
            (1, job.last_run_words),
        ):
            ragged = 1 if count * job.runs > 1 else 0
            beats += count * job.runs * (-(-(words << container) // sizes.data_bits) + ragged)
    return beats * job.tiles * job.loads * job.blocks
