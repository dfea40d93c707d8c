"""Cycles of an engine's steps, from their descriptors: the schedule of ``docs/engine.md`` counted.

A step runs image after image (a dense layer once, with the images as rows). An image takes the
longest of

* the work: for every row tile and chunk of depth the longer of its rows' pieces (reads of the line
  buffer, ``act_reader.sv``) and T_C columns, and what of the weights' loading the buffer has no
  room to hide behind it; before it the way of the first lines from memory;
* the arrival of its activations, and the work that the last line is needed for;
* the port: beats of activations, weights and records at memory's rate; beats read and written at
  the rate that both share;
* the writer: its segments, and bursts that memory has not answered.

The first image besides waits for its weights, which at the beginning of a step share the port with
records, activations and the next descriptor, burst by burst.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any, NamedTuple

import numpy as np

from toolflow.emission.memory_images import BLOCK_WORDS, RECORD_BYTES
from toolflow.fixedpoint import storage_bits
from toolflow.hardware.engine import WORDS, EngineSizes, Op

FIRST_PIECE = 16
"""From an image's jobs to its first piece, besides memory's latency: fetch, AXI, store, pieces."""

STEP = 20
"""Of a step besides its images, T_P and memory's answer to the last write."""

COMMAND = 2
"""Cycles of a read command, however short (``axi_read.sv``)."""

OUTSTANDING = 32
"""Read bursts, and written ones, under way at a port (``engine_unit.sv``)."""

BURST_ROUND = 4
"""Of a burst, from its request until another one takes its place, besides memory's latency."""

BURST_BEATS = 16
BUFFER_BEATS = 128
"""Of a burst, and of a read client's buffer (``engine_unit.sv``)."""

DESCRIPTOR_BITS = 32 * WORDS

TABLE_ENTRIES = 512
"""Of a normalisation: one is written a cycle (``lrn_table_reader.sv``)."""

TABLE_BITS = 64
"""Of an entry in memory."""

TO_WRITER = 25
"""From an image's last piece to its last word in the writer, besides T_P."""

READ_AHEAD = 2
"""Rows between the line buffer and the MM unit."""

OUTPUT_ROWS = 256
"""Rows of products that wait for the writer: a tile's, at most so many (``cnn_engine.sv``)."""

MEMORY_LATENCY = 40
"""Cycles from a read's address to its first beat, where nothing else is said."""

LRN_LANES = 4
"""Words that the normalisation takes a cycle (``lrn_unit.sv``)."""

Descriptor = Mapping[str, int]
Number = Any


@dataclass(frozen=True)
class Port:
    """An engine's memory: cycles to the first beat; beats a cycle, read and written together."""

    latency: int
    rate: float = 2.0

    @property
    def read_rate(self) -> float:
        """Beats that can be read in a cycle."""
        return min(1.0, self.rate)

    @property
    def burst(self) -> float:
        """Cycles of a burst, if all are as short as can be."""
        return (self.latency + BURST_ROUND) / OUTSTANDING


@dataclass(frozen=True)
class UnitSizes:
    """An engine as the model sees it.

    Attributes:
        sizes: its tiles and buffers.
        act_bits: wordlength of products' inputs.
        joins: it reads both weight planes (the high-precision unit).
    """

    sizes: EngineSizes
    act_bits: int
    joins: bool


@dataclass(frozen=True)
class StepCycles:
    """Cycles of a step: of all images, and of one image's parts.

    Attributes:
        total: of the step.
        work: of the MM unit, or of the vector unit.
        arrival: of the activations.
        port: of the beats that are moved.
        writer: of the output.
        beats: that are moved for all images.
    """

    total: int
    work: float
    arrival: float
    port: float
    writer: float
    beats: float

    @property
    def bound(self) -> str:
        """What the step waits for most."""
        names = ("work", "arrival", "port", "writer")
        return max(names, key=lambda name: float(getattr(self, name)))


def step_cycles(
    descriptor: Descriptor, unit: UnitSizes, port: Port, images: int, *, last: bool = False
) -> StepCycles:
    """Return the cycles of a step for a batch of images; ``last``: no descriptor is behind it."""
    if descriptor["op"] in (Op.CONV, Op.DENSE):
        parts = product_cycles(product_of(descriptor, unit, images), port, last=last)
    else:
        parts = vector_cycles(vector_of(descriptor, unit, images), port)
    total, *others = (float(part) for part in parts)
    return StepCycles(round(total), *others)


# ---------------------------------------------------------------- products


@dataclass(frozen=True, eq=False)
class Region:
    """Weights that are loaded at once: chunks of depth, and blocks of a column that hold them."""

    chunks: Number
    blocks: Number


@dataclass(frozen=True, eq=False)
class Product:
    """What a product's cycles depend on; numbers, or arrays of them for a grid of engines.

    Attributes:
        runs: images, or joined ones, one after the other; a dense layer: 1; a tile-major step: of
            each column tile.
        shared: runs that use a column tile's weights one after the other.
        rows: output pixels of a run; a dense layer: images.
        tile_rows, t_c, t_p: rows of a row tile; T_C, T_P.
        pieces: how many chunks of a row have 1, 2, .. pieces.
        passes: groups times column tiles.
        blocks: of passes that use the same words on chip.
        resident: a block is fetched once; else once a pass.
        chunks, row_chunks: of the depth, and of a kernel row; the latter is no whole number.
        kernel_rows, stride, pad, height, out_width: the window, lines of the map, pixels of a line
            of the output. A dense layer's segments are its lines.
        beats, commands: of a block's fetch.
        load_slots, window_slots, room: of a block, of what must be on chip at once, of the buffer.
        weight_blocks: blocks of weights a run, all that are read again counted again.
        job_blocks: of a job, which may be for many runs.
        columns, column_tiles: of a group.
        segments: of the depth that are loaded at once, each ``whole`` but for the last one.
        weight_words: the weight buffer's.
        high_bits, low_bits: of a weight that are read; ``row_words`` are stored a cycle.
        data_bits: of a beat.
        records: output channels whose records are read, a run.
        last_pieces: of a row in the last chunk.
        writes: of a row of a column tile, on average: pooled rows are fewer.
    """

    runs: Number
    shared: Number
    rows: Number
    tile_rows: Number
    t_c: Number
    t_p: Number
    pieces: tuple[Number, ...]
    passes: Number
    blocks: Number
    resident: Number
    chunks: Number
    row_chunks: Number
    kernel_rows: int
    stride: int
    pad: int
    height: Number
    out_width: int
    beats: Number
    commands: Number
    load_slots: Number
    window_slots: Number
    room: Number
    weight_blocks: Number
    job_blocks: Number
    columns: int
    column_tiles: Number
    segments: Number
    whole: Region
    last: Region
    weight_words: Number
    high_bits: int
    low_bits: int
    row_words: Number
    data_bits: int
    records: Number
    last_pieces: Number
    writes: Writes


class Parts(NamedTuple):
    """A step's parts, as ``StepCycles``, numbers or arrays; ``beats`` are moved for all images."""

    total: Number
    work: Number
    arrival: Number
    port: Number
    writer: Number
    beats: Number


def product_cycles(p: Product, port: Port, *, last: bool = False) -> Parts:
    """Return the cycles of a product; ``last``: no descriptor is read besides."""
    block_beats = (p.high_bits + p.low_bits) * BLOCK_WORDS / p.data_bits
    block_cycles = np.maximum(BLOCK_WORDS / p.row_words, block_beats / port.read_rate)
    full, rest = _tiles(p, port)
    sweep = p.rows // p.tile_rows * full + rest

    row_tiles = -(-p.rows // p.tile_rows)
    a_pass = _with_weights(p, sweep, block_cycles)

    # Activations.
    act_burst = np.clip(p.beats / p.commands, 1, BURST_BEATS)
    alone = np.maximum(p.beats / port.read_rate, p.commands * np.maximum(COMMAND, port.burst))
    passes_a_load = np.where(p.resident, p.passes / p.blocks, 1)
    loads = p.passes / passes_a_load
    free = np.maximum(0, p.room - p.window_slots)
    ahead = np.clip(free * row_tiles / p.load_slots, 0, 1)
    tile, part = a_pass / row_tiles, alone / row_tiles
    streamed = row_tiles * (np.maximum(tile, ahead * part) + (1 - ahead) * part)
    streamed = streamed + _first_wait(p, sweep, alone, free)
    a_load = np.where(p.resident, passes_a_load * a_pass, streamed)
    others = a_load + (loads - 1) * np.maximum(a_load, alone)
    tail = _tail(p, full * a_pass / sweep, rest * a_pass / sweep, alone)
    tail = tail + (loads - 1) * alone + (passes_a_load - 1) * a_pass

    # The port, and the writer.
    record_beats = p.records * RECORD_BYTES * 8 / p.data_bits
    act_beats = p.beats * loads
    read = act_beats + p.weight_blocks * block_beats + record_beats
    rows_out = p.rows * p.passes
    moved = np.maximum(read / port.read_rate, (read + rows_out * p.writes.beats) / port.rate)
    writer = rows_out * np.maximum(p.writes.cycles, p.writes.bursts * port.burst)
    first = FIRST_PIECE + port.latency

    # An image's last chunk takes its rows only; so does its first one: the next is loaded before.
    mean_pieces = sum(n * chunks for n, chunks in enumerate(p.pieces, 1)) / p.chunks
    edge = np.maximum(0, p.t_c - np.minimum(p.tile_rows, p.rows) * mean_pieces)

    def image(arrival: Number, weights_there: Number, edges: int = 2) -> Number:
        """Return an image's cycles, given when its first load and its first weights are there."""
        begin = np.maximum(_first_wait(p, sweep, arrival, 0), weights_there)
        works = first + begin - edges * edge + others
        # The first image's rows are the writer's first work.
        writes = first + (begin if edges == 1 else 0) + writer
        return _most(works, first + arrival + tail, moved, writes)

    # An image shares the port with the next one's weights, as far as the buffer has room.
    room = np.maximum(0, p.weight_words / BLOCK_WORDS - p.weight_blocks)
    # Its own requests are ahead by as long as the last image's way to the writer is.
    head = _least(p.beats, BUFFER_BEATS, act_burst * (p.t_p + TO_WRITER) / COMMAND)
    own = p.weight_blocks
    backlog = [*_backlog(p, room, own, record_beats), (act_beats - head, act_burst)]
    behind = _shared(backlog, p.beats - head, act_burst)
    shared = np.maximum(alone, (head + behind) / port.read_rate)
    # The first one with its own, and with the next descriptor.
    backlog = _backlog(p, p.weight_words / BLOCK_WORDS, p.job_blocks, record_beats)
    desc = 0 if last else DESCRIPTOR_BITS / p.data_bits
    backlog += [(desc, BURST_BEATS), (act_beats, act_burst)]
    weights = p.columns / p.column_tiles * p.whole.blocks
    planes = [
        _shared(backlog, weights * bits * BLOCK_WORDS / p.data_bits, BURST_BEATS)
        for bits in (p.high_bits, p.low_bits)
    ]
    there = _most(weights * block_cycles, *(beats / port.read_rate for beats in planes))
    # The last column tile's use hides no load.
    there = there - np.where(p.segments > 1, 0, a_pass - sweep)
    # Column tiles that come too slowly, behind all else: the last whole one's, or the last one's.
    share = block_beats / port.read_rate / block_cycles
    besides = (p.beats + record_beats + desc) / port.read_rate * share
    whole_load = np.minimum(p.t_c, p.columns) * p.whole.blocks * block_cycles
    last_whole = np.where(p.passes > 2, (p.passes - 1) * whole_load + 2 * sweep, 0)
    waited = _most(last_whole, p.weight_blocks * block_cycles + sweep)
    waited = np.where((p.segments > 1) | (p.passes < 2), 0, first + besides + waited)
    begun = np.maximum(alone, _shared(backlog, p.beats, act_burst) / port.read_rate)

    total = (
        np.maximum(image(begun, there, 1), waited)
        + np.maximum(0, p.runs - 2) * image(shared, 0)
        + np.where(np.greater(p.runs, 1), image(alone, 0), 0)
        + STEP + port.latency + p.t_p
    )  # fmt: skip
    work = _first_wait(p, sweep, alone, 0) + others
    beats = p.runs * (read + rows_out * p.writes.beats)
    return Parts(total, work, alone + tail, moved, writer, beats)


def _most(*cycles: Number) -> Number:
    """Return the largest, element by element."""
    return functools.reduce(np.maximum, cycles)


def _least(*cycles: Number) -> Number:
    """Return the smallest, element by element."""
    return functools.reduce(np.minimum, cycles)


def _backlog(
    p: Product, room: Number, wanted: Number, records: Number
) -> list[tuple[Number, Number]]:
    """Return what records and weights want of the port: beats, bursts.

    ``room``: blocks of weights that the buffer has room for; ``wanted``: that are to come at all.
    """
    blocks = np.minimum(room, wanted)
    clients = [(np.minimum(records, BUFFER_BEATS), BURST_BEATS)]
    for bits in (p.high_bits, p.low_bits):
        beats = bits * BLOCK_WORDS / p.data_bits
        most = np.minimum(wanted * beats, blocks * beats + BUFFER_BEATS)
        clients.append((np.where(blocks > 0, most, 0), BURST_BEATS))
    return clients


def _with_weights(p: Product, sweep: Number, block_cycles: Number) -> Number:
    """Return a pass's cycles with what it waits for weights, on average and but for the first.

    A region, a column tile or a segment of one, is loaded while the one before is used, as far as
    there is room; the rest when that one is free: when the MM unit has the weights of its last
    chunk, and one chunk more to go.
    """
    row_tiles = -(-p.rows // p.tile_rows)
    step = sweep / (row_tiles * p.chunks)
    columns = p.columns / p.column_tiles

    def stall(before: Region, region: Region, use: Number) -> Number:
        """Return how long a region is waited for; ``use``: cycles of the one before."""
        words = columns * BLOCK_WORDS * region.blocks
        hidden = np.clip((p.weight_words - columns * before.blocks * BLOCK_WORDS) / words, 0, 1)
        load = columns * region.blocks * block_cycles
        # The first chunk does not need the rest of the last column.
        early = np.maximum(0, region.blocks - 1) * block_cycles
        late = _most((1 - hidden) * load, load - use) - early
        return np.maximum(0, late - 2 * step + p.t_c)

    whole, last, several = p.whole, p.last, p.segments > 1
    tile = sweep / row_tiles
    use, last_use = whole.chunks * step, last.chunks * step
    segmented = row_tiles * (
        tile
        + np.maximum(0, p.segments - 2) * stall(whole, whole, use)
        + stall(whole, last, use)
        + stall(last, whole, last_use)
    )
    load = p.weight_blocks * block_cycles / p.passes
    held = sweep + stall(whole, whole, sweep * p.shared) / p.shared
    return np.maximum(load, np.where(several, segmented, held))


def _tiles(p: Product, port: Port) -> tuple[Number, Number]:
    """Return the MM unit's cycles of a row tile, all depth, and of the last one if it is ragged.

    In the last chunk rows leave as fast as the writer takes those that the buffer has no room for.
    """
    counts = list(enumerate(p.pieces, 1))
    most = _most(*(np.where(np.greater(chunks, 0), n, 0) for n, chunks in counts))
    ahead = READ_AHEAD * (most - 1)

    def cycles(rows: Number) -> Number:
        tile = sum(chunks * np.maximum(rows * n, p.t_c) for n, chunks in counts)
        # While the MM unit waits for weights, the reader goes on with rows of several pieces.
        waits = [np.clip(p.t_c - rows * n, 0, ahead) * chunks for n, chunks in counts]
        spare = [np.clip(rows * n - p.t_c, 0, ahead) * chunks for n, chunks in counts]
        last = np.maximum(rows * p.last_pieces, p.t_c)
        waiting = rows - np.minimum(p.tile_rows, OUTPUT_ROWS)
        late = (waiting - OUTSTANDING / 2) * p.writes.bursts * port.burst
        out = _most(last, waiting * p.writes.cycles, late)
        return tile - np.minimum(sum(waits), sum(spare)) + out - last

    rest = p.rows % p.tile_rows
    return cycles(p.tile_rows), np.where(rest > 0, cycles(rest), 0)


def _first_wait(p: Product, sweep: Number, arrival: Number, there: Number) -> Number:
    """Return how long a pass's first row tile waits for its lines.

    ``there``: slots that were fetched before.
    """
    line = p.load_slots / p.height
    tile = sweep * np.minimum(1, p.tile_rows / p.rows)
    last = np.minimum(p.tile_rows, p.rows) - 1
    waits: Number = 0
    for row in range(p.kernel_rows):
        lines = last // p.out_width * p.stride - p.pad + row
        lines = np.minimum(lines, p.height - 1) + (last % p.out_width + 1) / p.out_width
        due = np.maximum(0, lines * line - there) / p.load_slots * arrival
        waits = np.maximum(waits, due - tile * (row * p.row_chunks // 1 + 1) / p.chunks)
    return waits


def _tail(p: Product, full: Number, rest: Number, arrival: Number) -> Number:
    """Return the work that is left in a pass when the last line has come, less what came late.

    ``full``, ``rest``: cycles of a row tile, and of a ragged last one.

    The first row tile that needs that line and the last tiles are looked at: of a tile, work before
    the chunk that needs its last line is done when it comes.
    """
    whole = p.rows // p.tile_rows
    row_tiles = -(-p.rows // p.tile_rows)
    out_lines = -(-p.rows // p.out_width)
    needing = np.maximum(0, -((p.kernel_rows - p.pad - p.height) // p.stride))
    first_tile = np.minimum(needing, out_lines - 1) * p.out_width // p.tile_rows
    tails: Number = 0
    for place in (first_tile, row_tiles - 3, row_tiles - 2, row_tiles - 1):
        index = np.maximum(0, place)
        tile = np.where(index < whole, full, rest)
        after = np.where(index < whole, (whole - 1 - index) * full + rest, 0)
        last = np.minimum((index + 1) * p.tile_rows, p.rows) - 1
        top = last // p.out_width * p.stride - p.pad
        lines = np.minimum(top + p.kernel_rows, p.height)
        chunk = np.maximum(0, lines - 1 - top) * p.row_chunks // 1
        to_come = p.height - lines + 1 - (last % p.out_width + 1) / p.out_width
        left = tile * (1 - (chunk + 1) / p.chunks) + after
        tails = np.maximum(tails, left - to_come * arrival / p.height)
    return tails


def _shared(backlog: list[tuple[Number, Number]], beats: Number, burst: Number) -> Number:
    """Return the beats that a port moves until one client has its own: all take turns by bursts."""
    rounds = np.ceil(beats / burst)
    return sum(np.minimum(each, rounds * size) for each, size in backlog)


def product_of(d: Descriptor, unit: UnitSizes, images: int) -> Product:
    """Return a convolution or a dense layer."""
    sizes = unit.sizes
    dense = d["op"] == Op.DENSE
    rows = images if dense else d["rows"]
    jobs = -(-images >> d["images_log"])
    tile_rows = min(rows, d["read_tile_rows"])
    tiles = d["groups"] * d["column_tiles"]
    # A tile-major step runs a column tile for image after image.
    runs, passes, shared = (jobs * tiles, 1, jobs) if d["tile_major"] else (jobs, tiles, 1)
    row_tiles = -(-rows // d["read_tile_rows"])
    segmented = d["segments"] > 1
    beats, commands = load_of(d, sizes.data_bits, rows)
    blocks = -(-d["groups"] * d["columns"] * d["depth"] // BLOCK_WORDS)
    whole = last = Region(d["chunks"], d["depth"] / BLOCK_WORDS)
    if segmented:
        columns = d["groups"] * d["columns"]
        in_all, in_whole, in_last = weight_blocks(columns, d["depth"], d["segment_depth"])
        blocks = row_tiles * in_all * shared
        whole = Region(d["segment_chunks"], in_whole)
        last = Region(-(-d["last_segment_depth"] // sizes.t_p), in_last)
    kept = d["pool_rows"] / rows if d["pool_size"] > 1 else 1
    writes = tile_writes(d, sizes.t_c, sizes.data_bits).scaled(kept)
    pieces = pieces_of(d, sizes.t_p)
    load_slots = rows * d["depth"] if dense else d["read_load_slots"]
    return Product(
        runs=1 if dense else runs,
        shared=shared,
        rows=rows,
        tile_rows=tile_rows,
        t_c=sizes.t_c,
        t_p=sizes.t_p,
        pieces=tuple(pieces.count(count) for count in range(1, max(pieces) + 1)),
        passes=passes,
        blocks=d["read_blocks"],
        resident=d["read_resident"],
        chunks=d["chunks"],
        row_chunks=1 if dense else d["chunks"] / d["read_kernel_rows"],
        kernel_rows=1 if dense else d["read_kernel_rows"],
        stride=1 if dense else d["read_stride_lines"],
        pad=0 if dense else d["read_pad_top"],
        height=rows if dense else d["read_load_slots"] // d["read_line_slots"],
        out_width=1 if dense else d["read_out_width"],
        beats=beats,
        commands=commands,
        load_slots=load_slots,
        window_slots=d["read_window_slots"],
        room=sizes.act_words,
        weight_blocks=blocks * passes / (tiles * shared),
        job_blocks=blocks,
        columns=d["columns"],
        column_tiles=d["column_tiles"],
        segments=d["segments"],
        whole=whole,
        last=last,
        weight_words=sizes.weight_words,
        high_bits=d["weight_high_bits"],
        low_bits=d["weight_low_bits"] if unit.joins else 0,
        row_words=1 << (sizes.t_p - 1).bit_length(),
        data_bits=sizes.data_bits,
        records=d["groups"] * d["columns"] * passes / (tiles * shared),
        last_pieces=pieces[-1],
        writes=writes,
    )


def tile_writes(d: Descriptor, t_c: int, data_bits: int) -> Writes:
    """Return what a row of a column tile is to the writer, over all column tiles."""
    beat, bits = data_bits // 8, 1 << d["out_container"]
    pitch = d["out_stride"] if d["op"] == Op.DENSE else d["out_pixel_bytes"]
    places = Counter(
        (
            (d["out_base"] * 8 + (group * d["columns"] + first) * bits) // 8 % beat,
            min(t_c, d["columns"] - first),
        )
        for group in range(d["groups"])
        for first in range(0, d["columns"], t_c)
    )
    each = [
        (count, row_writes(first, -(-words * bits // 8), pitch, beat))
        for (first, words), count in places.items()
    ]
    total = sum(places.values())
    return Writes(
        *(
            sum(count * getattr(write, name) for count, write in each) / total
            for name in ("cycles", "beats", "bursts")
        )
    )


def pieces_of(d: Descriptor, t_p: int) -> list[int]:
    """Return the pieces of a row in each chunk of the depth."""
    lengths = (
        [d["read_run_slots"]] * (d["read_segments"] - 1) + [d["read_last_run_slots"]]
        if d["op"] == Op.DENSE
        else [d["read_run_slots"]] * (d["read_kernel_rows"] * d["read_kernel_runs"])
    )
    ends, end = set(), 0
    for length in lengths:
        end += length
        ends.add(end)
    pieces = [0] * -(-end // t_p)
    for cut in ends | set(range(t_p, end, t_p)):
        pieces[(cut - 1) // t_p] += 1
    return pieces


def load_of(d: Descriptor, data_bits: int, rows: int) -> tuple[float, int]:
    """Return the beats and the commands of a block's fetch."""
    beats, commands = 0.0, 0
    two, dense = d["op"] == Op.ADD, d["op"] == Op.DENSE
    for container in (d["in_container"], d["second_container"])[: 1 + two]:
        for lines, words in (
            (d["read_lines"] - 1, d["read_run_words"]),
            (1, d["read_last_run_words"]),
        ):
            runs = lines * (rows if dense else d["read_runs"])
            bits = words << container
            each = -(-bits // data_bits)
            beats += runs * each
            commands += runs * -(-each // BURST_BEATS)
    return beats, commands


@functools.lru_cache(maxsize=4096)
def weight_blocks(columns: int, depth: int, segment: int) -> tuple[int, float, float]:
    """Return the blocks that hold segments of depth: of all columns, and of a segment on average.

    On average: of one that is whole, and of a column's last one.
    """
    firsts = np.arange(columns, dtype=np.int64)[:, None] * depth
    begins = firsts + np.arange(0, depth, segment, dtype=np.int64)
    ends = np.minimum(begins + segment, firsts + depth)
    blocks = -(-ends // BLOCK_WORDS) - begins // BLOCK_WORDS
    return int(blocks.sum()), float(blocks[:, :-1].mean()), float(blocks[:, -1].mean())


# ---------------------------------------------------------------- vectors


@dataclass(frozen=True)
class Vector:
    """A pooling, an addition, an activation or a normalisation.

    Attributes:
        runs: images.
        blocks: groups of channels that are on chip one after the other.
        ahead: share of a block that there is room for while the one before is used.
        normalises: a table is read first.
        rows, lines: of the output.
        height: lines of the input.
        work: cycles of an image's beats.
        beats, commands: of an image's input.
        first_share, first_work: of the input and of the work, before the first output ends.
        segments: the writer's cycles of a pixel.
        writes: of a pixel.
        data_bits: of a beat.
    """

    runs: int
    blocks: int
    ahead: float
    normalises: bool
    rows: int
    lines: int
    height: int
    work: float
    beats: float
    commands: int
    first_share: float
    first_work: float
    segments: int
    writes: Writes
    data_bits: int


def vector_cycles(v: Vector, port: Port) -> Parts:
    """Return the cycles of a vector step."""
    arrival = max(v.beats / port.read_rate, v.commands * max(COMMAND, port.burst))
    first = FIRST_PIECE + port.latency
    written = v.rows * v.writes.beats
    writer = v.rows * max(v.segments, v.writes.beats, v.writes.bursts * port.burst)
    moved = max(v.beats / port.read_rate, (v.beats + written) / port.rate)
    begin = max(0.0, v.first_share * arrival / v.blocks - v.first_work)
    begin += (v.blocks - 1) * max(0.0, (1 - v.ahead) * arrival / v.blocks - v.first_work)
    late = arrival + max(0.0, v.work / v.lines - arrival / v.height) / v.blocks
    image = max(first + max(begin + v.work, late), moved, first + writer)
    once: float = STEP + port.latency
    if v.normalises:
        table = TABLE_ENTRIES * TABLE_BITS / v.data_bits / port.read_rate
        once += max(TABLE_ENTRIES, table) + port.latency
    beats = v.runs * (v.beats + written)
    return Parts(v.runs * image + once, v.work, late, moved, writer, beats)


def vector_of(d: Descriptor, unit: UnitSizes, images: int) -> Vector:
    """Return a vector step."""
    sizes, op = unit.sizes, d["op"]
    beats, commands = load_of(d, sizes.data_bits, 0)
    blocks = d["read_blocks"]
    chunk = sizes.vector_lanes * (1 << d["read_store_container"]) // storage_bits(unit.act_bits)
    work = float(blocks * d["rows"] * -(-d["read_run_slots"] // chunk))
    if op == Op.LRN:
        work *= max(1.0, sizes.vector_lanes / LRN_LANES)
    else:
        work *= d["read_kernel_rows"] * d["read_kernel_runs"]
    height = max(1, d["read_load_slots"] // max(1, d["read_line_slots"]))
    if op == Op.ADD:
        share, before = 1 / (2 * max(1, d["read_lines"])), 0
    else:
        share = (min(height, d["read_kernel_rows"] - d["read_pad_top"]) - 1) / height
        before = (d["read_kernel_rows"] - 1) * d["read_kernel_runs"]
    bits = 1 << d["out_container"]
    lanes, rest = divmod(d["out_channels"], sizes.vector_lanes)
    whole, part = (-(-words * bits // sizes.data_bits) for words in (sizes.vector_lanes, rest))
    pixel = -(-d["out_channels"] * bits // 8)
    return Vector(
        runs=images,
        blocks=blocks,
        ahead=min(1.0, max(0.0, sizes.act_words / max(1, d["read_load_slots"]) - 1)),
        normalises=op == Op.LRN,
        rows=d["rows"],
        lines=max(1, d["rows"] // max(1, d["read_out_width"])),
        height=max(1, d["read_height"]),
        work=work,
        beats=blocks * beats,
        commands=blocks * commands,
        first_share=share,
        first_work=before,
        segments=lanes * whole + part,
        writes=row_writes(d["out_base"], pixel, d["out_pixel_bytes"], sizes.data_bits // 8),
        data_bits=sizes.data_bits,
    )


# ---------------------------------------------------------------- the output


@dataclass(frozen=True)
class Writes:
    """What a row of a tile, or a pixel, is to the writer, on average.

    Attributes:
        cycles: of the writer.
        beats: new ones.
        bursts: runs of beats that begin; long runs are cut.
    """

    cycles: float
    beats: float
    bursts: float

    def scaled(self, share: float) -> Writes:
        """Return the same for rows of which only a share is written."""
        return Writes(share * self.cycles, share * self.beats, share * self.bursts)


def row_writes(first: int, size: int, pitch: int, beat: int) -> Writes:
    """Return what rows of ``size`` bytes, ``pitch`` bytes apart, are to the writer.

    ``first``: the first row's first byte; ``beat``: bytes of a beat. See ``output_writer.sv``.
    """
    period = beat // gcd(beat, pitch) if pitch else 1
    cycles, beats, runs = 0, 0, 0
    for row in range(1, period + 1):
        begin = first + row * pitch
        end, before = begin + size - 1, begin - pitch + size - 1
        crosses = begin % beat + min(size, beat) > beat and before // beat != begin // beat
        cycles += -(-size // beat) + crosses
        beats += end // beat - begin // beat + (before // beat != begin // beat)
        runs += begin // beat - before // beat > 1
    beats_a_row = beats / period
    return Writes(cycles / period, beats_a_row, max(runs / period, beats_a_row / BURST_BEATS))
