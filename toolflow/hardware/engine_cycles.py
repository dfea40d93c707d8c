"""Cycles of an engine's steps, from their descriptors: the schedule of ``docs/engine.md`` counted.

An image of a step (a dense layer's whole batch) takes the longest of three:

* the work: for every row tile and chunk of depth the longer of its rows' pieces (reads of the line
  buffer, ``act_reader.sv``) and T_C columns; what cannot be overlapped with it: the first line's
  way from memory, and weights that the buffer has no room for while the tile before is used;
* the port: beats of activations, weights and records, at the rate of memory;
* the writer's segments. Rows wait for it in a buffer (``OutputRows`` of ``cnn_engine.sv``), taken
  to be as long as a tile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toolflow.emission.descriptors import EngineSizes, Op
from toolflow.emission.memory_images import BLOCK_WORDS, RECORD_BYTES
from toolflow.fixedpoint import storage_bits

FIRST_BEAT = 16
"""From an image's jobs to its first piece, besides memory's latency: fetch, AXI, store, pieces."""

STEP = 20
"""Of a step besides its images, T_P and memory's answer to the last write."""

COMMAND = 2
"""Cycles of a read command, however short (``axi_read.sv``)."""

OUTSTANDING = 32
"""Read bursts under way at a port (``engine_unit.sv``)."""

TABLE_BITS = 512 * 64
"""A normalisation's table."""

LRN_LANES = 4
"""Words that the normalisation takes a cycle (``lrn_unit.sv``)."""

Descriptor = Mapping[str, int]


@dataclass(frozen=True)
class Port:
    """An engine's memory: cycles to the first beat, and beats a cycle, at most one."""

    latency: int
    rate: float = 1.0


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
    """Cycles of a step: of the whole batch, and of one image's work, port and writer."""

    total: int
    work: float
    port: float
    writer: float

    @property
    def bound(self) -> str:
        """What the step waits for most."""
        return max(("work", "port", "writer"), key=lambda name: float(getattr(self, name)))


def step_cycles(descriptor: Descriptor, unit: UnitSizes, port: Port, images: int) -> StepCycles:
    """Return the cycles of a step for a batch of images."""
    d = descriptor
    dense, product = d["op"] == Op.DENSE, d["op"] in (Op.DENSE, Op.CONV)
    rows = images if dense else d["rows"]
    runs = 1 if dense else images
    fetched, commands = _fetched(d, unit, rows)
    arrival = max(fetched / port.rate, commands * max(COMMAND, (port.latency + 12) / OUTSTANDING))
    first = FIRST_BEAT + port.latency
    once = tile = 0.0
    block = arrival / max(1, d["read_blocks"])
    if product:
        load = _weight_beats(d, unit, rows) / port.rate
        records = d["groups"] * d["columns"] * RECORD_BYTES * 8 / unit.sizes.data_bits
        tile = load / _weight_loads(d, rows)
        # The first tile's weights are loaded while nothing is done.
        once = tile + min(tile, arrival)
        work = _product_work(d, unit, rows) + _product_waits(d, unit, load, first, port)
        work += min(load, _first_lines(d) * arrival)
        if dense:
            # Every row is there before the first chunk is through.
            once, work, tile = 0.0, work + tile + arrival, 0.0
    else:
        load = records = 0.0
        work = first + _vector_work(d, unit) + _vector_waits(d, block)
        if d["op"] == Op.LRN:
            once = TABLE_BITS / unit.sizes.data_bits / port.rate + port.latency
    beats = (fetched + records) / port.rate + load + (first if dense else 0)
    late = block + first + _last_lines(d, unit, rows, arrival)
    writer = _writer(d, unit, rows)
    image = max(work, beats, late, writer + first)
    # The first image finds no weights.
    begun = max(work + once, beats, late + tile, writer + first)
    end = STEP + port.latency + (unit.sizes.t_p if product else 0)
    total = round((runs - 1) * image + begun + end)
    return StepCycles(total, work, max(beats, late), writer)


def _pieces(d: Descriptor, unit: UnitSizes) -> list[int]:
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
    t_p = unit.sizes.t_p
    cuts = sorted(ends | set(range(t_p, end, t_p)))
    pieces = [0] * -(-end // t_p)
    for cut in cuts:
        pieces[(cut - 1) // t_p] += 1
    return pieces


def _product_work(d: Descriptor, unit: UnitSizes, rows: int) -> int:
    """Return the MM unit's cycles of an image."""
    sizes = unit.sizes
    whole, rest = divmod(rows, d["read_tile_rows"])
    tiles = [(whole, d["read_tile_rows"]), (int(rest > 0), rest)]
    pieces = _pieces(d, unit)
    cycles = sum(
        count * sum(max(size * piece, sizes.t_c) for piece in pieces) for count, size in tiles
    )
    return d["groups"] * d["column_tiles"] * cycles


def _product_waits(d: Descriptor, unit: UnitSizes, load: float, first: int, port: Port) -> float:
    """Return what an image's work waits for its first line, and for weights between tiles."""
    tiles = d["groups"] * d["column_tiles"]
    if d["segments"] > 1:
        return first
    words = d["tile_weights"]
    held = max(0, 2 * words - unit.sizes.weight_words) / max(words, 1)
    wait = held * load / tiles
    late = wait + port.latency if wait else 0.0
    return max(first, late) + (tiles - 1) * late


def _weight_loads(d: Descriptor, rows: int) -> int:
    """Return how many column tiles, or segments of one, an image's weights come in."""
    tiles: int = d["groups"] * d["column_tiles"]
    return tiles if d["segments"] <= 1 else tiles * d["segments"] * -(-rows // d["read_tile_rows"])


def _weight_beats(d: Descriptor, unit: UnitSizes, rows: int) -> float:
    """Return the beats of an image's weights."""
    bits = d["weight_high_bits"] + (d["weight_low_bits"] if unit.joins else 0)
    beats = bits * BLOCK_WORDS / unit.sizes.data_bits
    columns, depth = d["groups"] * d["columns"], d["depth"]
    if d["segments"] <= 1:
        return -(-columns * depth // BLOCK_WORDS) * beats
    blocks = 0
    for column in range(columns):
        for segment in range(d["segments"]):
            begin = column * depth + segment * d["segment_depth"]
            end = min(begin + d["segment_depth"], (column + 1) * depth)
            blocks += -(-end // BLOCK_WORDS) - begin // BLOCK_WORDS
    return -(-rows // d["read_tile_rows"]) * blocks * beats


def _fetched(d: Descriptor, unit: UnitSizes, rows: int) -> tuple[float, int]:
    """Return the beats and the commands of an image's activations."""
    beats, commands = 0.0, 0
    two = d["op"] == Op.ADD
    dense = d["op"] == Op.DENSE
    loads = d["read_blocks"] * d["read_loads"]
    for container in (d["in_container"], d["second_container"])[: 1 + two]:
        for lines, words in (
            (d["read_lines"] - 1, d["read_run_words"]),
            (1, d["read_last_run_words"]),
        ):
            runs = lines * (rows if dense else d["read_runs"])
            beats += loads * runs * -(-(words << container) // unit.sizes.data_bits)
            commands += loads * runs
    return beats, commands


def _vector_work(d: Descriptor, unit: UnitSizes) -> float:
    """Return the cycles of an image's beats for the vector unit."""
    sizes = unit.sizes
    slot = storage_bits(unit.act_bits)
    chunk = sizes.vector_lanes * (1 << d["read_store_container"]) // slot
    beats = d["rows"] * d["read_blocks"] * -(-d["read_run_slots"] // chunk)
    if d["op"] == Op.LRN:
        return beats * max(1.0, sizes.vector_lanes / LRN_LANES)
    return float(beats * d["read_kernel_rows"] * d["read_kernel_runs"])


def _first_lines(d: Descriptor) -> float:
    """Return the share of the map that the first line of outputs needs."""
    if d["op"] == Op.DENSE:
        return 0.0
    lines = max(1, d["read_kernel_rows"] - d["read_pad_top"])
    return min(1.0, lines / max(1, d["read_height"]))


def _vector_waits(d: Descriptor, arrival: float) -> float:
    """Return what the first output waits for its last line, or for the second tensor's."""
    if d["op"] == Op.ADD:
        return arrival / 2 / max(1, d["read_lines"])
    lines = max(0.0, _first_lines(d) - 1 / max(1, d["read_height"]))
    return max(0.0, lines * arrival - (d["read_kernel_rows"] - 1) * d["read_kernel_runs"])


def _last_lines(d: Descriptor, unit: UnitSizes, rows: int, arrival: float) -> float:
    """Return the work that is left when the last line has come.

    Of the last line of outputs what its own line's arrival does not hide, and all later passes.
    """
    if d["op"] == Op.DENSE or not d["read_resident"]:
        return 0.0
    lines = max(1, rows // max(1, d["read_out_width"]))
    own = arrival / max(1, d["read_height"])
    if d["op"] != Op.CONV:
        return max(0.0, _vector_work(d, unit) / lines - own)
    passes = d["groups"] * d["column_tiles"]
    work = _product_work(d, unit, rows) / passes
    return work * (passes - 1) + max(0.0, work / lines - own)


def _writer(d: Descriptor, unit: UnitSizes, rows: int) -> float:
    """Return the cycles of an image's segments."""
    sizes = unit.sizes
    bits = 1 << d["out_container"]
    beat = sizes.data_bits

    def segment(words: int) -> int:
        return -(-words * bits // beat)

    if d["op"] in (Op.CONV, Op.DENSE):
        whole = segment(sizes.t_c) * (d["column_tiles"] - 1) + segment(d["last_columns"])
        return float(rows * d["groups"] * whole)
    lanes, rest = divmod(d["out_channels"], sizes.vector_lanes)
    return float(rows * (lanes * segment(sizes.vector_lanes) + (segment(rest) if rest else 0)))
