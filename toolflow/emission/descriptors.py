"""Layer descriptors: what an engine's sequencer reads of each step, 256 bytes each.

A descriptor is 64 little-endian 32-bit words. ``FIELDS`` is the format's one definition;
``rtl/engine/descriptor_pkg.sv`` is generated from it (``descriptor_package``). Whatever takes a
division or a product is made here, for one engine's tile sizes: they stand in the descriptor, so
that an engine of other sizes refuses it.

Addresses are offsets: of activations in the workspace, or among the images with ``in_images``
(``address_map``); of weights in ``weights.bin``, of records in ``channels.bin``. The host tells an
engine where each of these begins.

A layer's weights are two planes of ``weights.bin`` (``memory_images``): ``weight_offset`` is the
first byte of the high one, whose digits have ``weight_high_bits``; ``weight_low_offset`` that of
the low one. Both units' descriptors have both, though the LPU reads the high plane only: its
weights are the high digits, saturated.

``low`` and ``high`` bound ``q``; a tensor's word is ``q + zero`` (``memory_images``). ``zero_in``,
``zero_second`` and ``zero_out`` are the zero points of the first and the second input and of the
output:

* convolution and dense layer: words are multiplied as they are, padding is the word ``zero_in``;
  the bias makes up for the zero point. After the clamp, ``zero_out`` is added.
* average pooling: sums ``q = word - zero_in`` over the window, padding is ``q = 0``. The vector
  unit counts the window's pixels, without ``count_pad`` only those that are no padding, and makes
  the reciprocal itself (``fixedpoint.reciprocal_of``); ``shift`` is for a single pixel, and longer
  by as much as another count's reciprocal is. After the clamp, ``zero_out`` is added.
* addition: ``(word - zero_in) << align_first`` plus ``(word - zero_second) << align_second``,
  shifted and clamped; then ``zero_out`` is added. Activation, and the steps that cut or move words
  (``steps``): the same with one input.
* normalisation: ``q = word - zero_in``, of a window of ``window`` channels (channels that do not
  exist: ``q = 0``); ``records_offset`` is its table's (``memory_images``), whose narrowest segments
  are ``2**table_floor`` sums wide; shifted and clamped; then ``zero_out`` is added.
* max pooling moves words: input and output share one format, whose bounds ``low`` and ``high``
  are.

Fields ``read_*`` are the activation reader's job (``hardware.act_jobs``): those of ``act_job_t``
that no other field says. A dense layer's are for as many images as the workspace holds; a run of
fewer has fewer rows, and what follows from their number the engine works out by itself.

A convolution may join ``2**images_log`` images of a batch whose maps lie one behind the other: they
are one job then, whose rows share row tiles. Strides from an image to the next and counts of pixels
(``rows``, ``padded_rows``, ``pool_rows``) are the joined ones'; heights are an image's.

A ``wide`` tensor's words are ``LOGIT_BITS`` wide and signed at any precision: the logits and what
becomes them by pooling alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from toolflow.emission.address_map import AddressMap, Placement
from toolflow.emission.memory_images import BLOCK_WORDS, ParameterImage, WeightImage
from toolflow.emission.steps import Schedule, Step, map_shape
from toolflow.emulator.integer_network import (
    IntegerAvgPool,
    IntegerEltwise,
    IntegerLayer,
    IntegerLrn,
    IntegerMatmul,
    Requantiser,
)
from toolflow.errors import UserError
from toolflow.fixedpoint import Format, reciprocal_of
from toolflow.hardware.act_jobs import (
    ActJob,
    MapPlace,
    ReaderSizes,
    Window,
    add_job,
    conv_job,
    dense_job,
    joined,
    pool_job,
)
from toolflow.hardware.engine import (
    WORDS,
    EngineSizes,
    Op,
    Segments,
    segmentations,
)
from toolflow.hardware.engine_cycles import Port, UnitSizes, step_cycles
from toolflow.network.graph import (
    Activate,
    Add,
    AvgPool,
    Conv,
    Dense,
    Layer,
    Lrn,
    MaxPool,
    Pool,
    Shape,
)


@dataclass(frozen=True)
class Field:
    """A field's place in the descriptor, and what it says."""

    name: str
    word: int
    low: int
    width: int
    text: str
    signed: bool = False


CHANNEL_BITS = 16
"""Of a pixel's channels."""

FIELDS = (
    Field("op", 0, 0, 8, "kind of layer"),
    Field("tile_depth", 0, 8, 8, "T_P of the engine that this is made for"),
    Field("tile_columns", 0, 16, 8, "its T_C"),
    Field("in_signed", 0, 24, 1, "first input's words are two's complement"),
    Field("second_signed", 0, 25, 1, "second input's words are"),
    Field("leaky", 0, 26, 1, "activation function has a slope below zero"),
    Field("count_pad", 0, 27, 1, "average pooling divides by padded pixels too"),
    Field("out_wide", 0, 28, 1, "output's words are LOGIT_BITS wide"),
    Field("in_images", 0, 29, 1, "first input is the stored images"),
    Field("in_container", 1, 0, 3, "log2 of the bits that the first input's words take"),
    Field("second_container", 1, 3, 3, "second input's"),
    Field("out_container", 1, 6, 3, "output's"),
    Field("weight_high_bits", 1, 9, 5, "width of the high plane's digits"),
    Field("weight_low_bits", 1, 14, 5, "width of the low plane's digits"),
    Field("bias_window", 1, 19, 5, "bits that the stored bias is cut by"),
    Field("shift", 1, 24, 8, "right shift; a channel's is longer by its record's step"),
    Field("in_channels", 2, 0, CHANNEL_BITS, "words of a pixel of the first input"),
    Field("out_channels", 2, 16, CHANNEL_BITS, "words of a pixel of the output"),
    Field("in_height", 3, 0, 16, "lines of the first input"),
    Field("in_width", 3, 16, 16, "pixels of its lines"),
    Field("out_height", 4, 0, 16, "lines of the output"),
    Field("out_width", 4, 16, 16, "pixels of its lines"),
    Field("kernel_height", 5, 0, 8, "lines of the window"),
    Field("kernel_width", 5, 8, 8, "pixels of its lines"),
    Field("stride_height", 5, 16, 8, "lines from a window to the next below"),
    Field("stride_width", 5, 24, 8, "pixels from a window to the next"),
    Field("pad_top", 6, 0, 8, "lines of padding above the first input"),
    Field("pad_left", 6, 8, 8, "pixels of padding before each line"),
    Field("slope_mantissa", 6, 16, 8, "slope below zero"),
    Field("slope_shift", 6, 24, 8, "right shift of what is multiplied by it"),
    Field("groups", 7, 0, 16, "products of a convolution, each of its own channels"),
    Field("group_channels", 7, 16, 16, "input channels of each"),
    Field("columns", 8, 0, 16, "output channels of each"),
    Field("column_tiles", 8, 16, 16, "columns over T_C, rounded up"),
    Field("chunks", 9, 0, 24, "depth over T_P, rounded up"),
    Field("last_columns", 9, 24, 8, "columns of the last column tile"),
    Field("depth", 10, 0, 24, "weights of an output channel"),
    Field("last_chunk", 10, 24, 8, "depth of the last chunk"),
    Field("rows", 11, 0, 32, "output pixels of an image, or of joined ones"),
    Field("low", 12, 0, 17, "least q of the output", signed=True),
    Field("align_first", 12, 17, 5, "left shift of the first input"),
    Field("align_second", 12, 22, 5, "left shift of the second input"),
    Field("high", 13, 0, 17, "largest q of the output", signed=True),
    Field("zero_in", 14, 0, 16, "first input's zero point"),
    Field("zero_second", 14, 16, 16, "second input's zero point"),
    Field("zero_out", 15, 0, 16, "output's zero point"),
    Field("in_base", 16, 0, 32, "first input"),
    Field("in_stride", 17, 0, 32, "bytes from an image to the next"),
    Field("second_base", 18, 0, 32, "second input"),
    Field("second_stride", 19, 0, 32, "bytes from an image to the next"),
    Field("out_base", 20, 0, 32, "output"),
    Field("out_stride", 21, 0, 32, "bytes from an image to the next"),
    Field("out_pixel_bytes", 22, 0, 16, "bytes from a pixel to the next, output"),
    Field("window", 22, 16, 8, "normalisation: channels of its window"),
    Field("table_floor", 22, 24, 5, "log2 of the width of its table's narrowest segments"),
    Field("weight_offset", 25, 0, 32, "high plane"),
    Field("weight_low_offset", 26, 0, 32, "low plane"),
    Field("records_offset", 27, 0, 32, "output channels' records; normalisation: its table"),
    Field("tile_weights", 28, 0, 32, "weights of a whole column tile: T_C times depth"),
    Field("weight_blocks", 29, 0, 32, "blocks of the layer's weights in a plane"),
    Field("segments", 30, 0, 16, "parts of depth that a column tile's weights are read in"),
    Field("segment_chunks", 30, 16, 16, "chunks of a segment, but for the last one"),
    Field("segment_depth", 31, 0, 16, "depth of a segment, but for the last one"),
    Field("last_segment_depth", 31, 16, 16, "depth of the last segment, if there are several"),
    Field("read_store_container", 32, 0, 3, "log2 of a word's bits on chip"),
    Field("read_resident", 32, 3, 1, "a block is loaded once"),
    Field("tile_major", 32, 4, 1, "a column tile is done for all images before the next"),
    Field("read_kernel_rows", 32, 8, 8, "lines of the window"),
    Field("read_kernel_runs", 32, 16, 8, "runs of a line of it"),
    Field("read_stride_lines", 32, 24, 8, "lines from a window to the next below"),
    Field("read_blocks", 33, 0, 16, "groups of channels on chip together"),
    Field("read_tile_rows", 33, 16, 16, "rows of a row tile"),
    Field("read_lines", 34, 0, 16, "fetched"),
    Field("read_runs", 34, 16, 16, "of a line"),
    Field("read_groups", 35, 0, 16, "of a block"),
    Field("read_column_tiles", 35, 16, 16, "of a group"),
    Field("read_out_width", 36, 0, 16, "output pixels of a line"),
    Field("read_height", 36, 16, 16, "lines of the map"),
    Field("read_segments", 37, 0, 16, "of a dense layer's depth"),
    Field("read_pad_top", 37, 16, 8, "lines of padding"),
    Field("images_log", 37, 24, 3, "log2 of the images of a job, joined to one map"),
    Field("read_loads", 38, 0, 32, "how often a block is fetched"),
    Field("read_run_words", 39, 0, 32, "words of a run"),
    Field("read_last_run_words", 40, 0, 32, "in the last line"),
    Field("read_block_words", 41, 0, 32, "from a block to the next"),
    Field("read_tile_step", 42, 0, 32, "bytes from a tile to the next"),
    Field("read_line_step", 43, 0, 32, "from a line to the next"),
    Field("read_second_line_step", 44, 0, 32, "in the second tensor"),
    Field("read_run_step", 45, 0, 32, "from a run to the next"),
    Field("read_second_run_step", 46, 0, 32, "in the second tensor"),
    Field("read_line_slots", 47, 0, 32, "slots of a line"),
    Field("read_top_slots", 48, 0, 32, "of the padding above"),
    Field("read_row_slots", 49, 0, 32, "of the lines that a window moves down"),
    Field("read_left_slots", 50, 0, 32, "of the padding before a line"),
    Field("read_pixel_slots", 51, 0, 32, "from a window to the next"),
    Field("read_kernel_step", 52, 0, 32, "from a run of the window to the next"),
    Field("read_run_slots", 53, 0, 32, "of a run"),
    Field("read_last_run_slots", 54, 0, 32, "of the last segment"),
    Field("read_group_slots", 55, 0, 32, "from a group to the next"),
    Field("read_load_slots", 56, 0, 32, "of all that is loaded"),
    Field("read_window_slots", 57, 0, 32, "that must be on chip at once"),
    Field("padded_rows", 58, 0, 32, "a convolution's rows, rounded up to whole row tiles"),
    Field("pool_size", 59, 0, 4, "its output is max-pooled: lines and pixels of a window; 0: not"),
    Field("pool_signed", 59, 4, 1, "words that are pooled are two's complement"),
    Field("pool_overlaps", 59, 5, 1, "each shares a line of pixels with the next one"),
    Field("pool_pad", 59, 6, 1, "lines and pixels of padding above and left of the map"),
    Field("pool_width", 59, 16, 16, "pixels of a pooled line"),
    Field("pool_line", 60, 0, 16, "pixels of a line before"),
    Field("read_out_height", 60, 16, 16, "output lines of an image"),
    Field("pool_rows", 61, 0, 32, "pixels of a pooled map"),
    Field("pool_height", 63, 0, 16, "lines of a pooled map"),
    Field("read_image_slots", 62, 0, 32, "from an image's last window to the next one's first"),
)


_EMPTY = dict.fromkeys((field.name for field in FIELDS), 0)
_READ_FIELDS = tuple(field.name for field in FIELDS if field.name.startswith("read_"))


_OPS: Mapping[type, Op] = {
    Conv: Op.CONV,
    Dense: Op.DENSE,
    MaxPool: Op.MAX_POOL,
    AvgPool: Op.AVG_POOL,
    Add: Op.ADD,
    Activate: Op.ACTIVATE,
    Lrn: Op.LRN,
}


def encode(values: Mapping[str, int], where: str = "descriptor") -> bytes:
    """Return a descriptor's bytes; fields left out are 0.

    Raises:
        UserError: a value does not fit its field.
    """
    words = [0] * WORDS
    fields = {field.name: field for field in FIELDS}
    for name, value in values.items():
        field = fields[name]
        low = -(1 << (field.width - 1)) if field.signed else 0
        if not low <= value < low + (1 << field.width):
            raise UserError(
                f"{where}: {name} = {value} does not fit the descriptor's {field.width} bits; "
                "the layer is too large for this accelerator"
            )
        words[field.word] |= (value & ((1 << field.width) - 1)) << field.low
    return np.array(words, "<u4").tobytes()


def decode(data: bytes) -> dict[str, int]:
    """Return a descriptor's fields."""
    words = np.frombuffer(data, "<u4", WORDS)
    values = {}
    for field in FIELDS:
        value = (int(words[field.word]) >> field.low) & ((1 << field.width) - 1)
        if field.signed and value >> (field.width - 1):
            value -= 1 << field.width
        values[field.name] = value
    return values


def decode_all(data: bytes) -> list[dict[str, int]]:
    """Return the fields of every descriptor of an image."""
    size = 4 * WORDS
    return [decode(data[start : start + size]) for start in range(0, len(data), size)]


def descriptor_image(
    schedule: Schedule,
    addresses: AddressMap,
    unit: UnitSizes,
    port: Port,
    weights: WeightImage,
    channels: ParameterImage,
) -> bytes:
    """Return ``descriptors_<unit>.bin``: a unit's steps in their order.

    Where a step can be done in several ways, the cycle model chooses, for a whole batch.
    """
    writer = _Descriptors(schedule, addresses, unit, port, weights, channels)
    return b"".join(encode(writer.of(step), f"layer {step.name}") for step in schedule.steps)


@dataclass(frozen=True, eq=False)
class _Descriptors:
    """Makes the fields of a unit's steps."""

    schedule: Schedule
    addresses: AddressMap
    unit: UnitSizes
    port: Port
    weights: WeightImage
    channels: ParameterImage

    @property
    def sizes(self) -> EngineSizes:
        """The unit's tiles and buffers."""
        return self.unit.sizes

    def of(self, step: Step) -> dict[str, int]:
        """Return a step's fields."""
        layer, spec = step.layer, step.layer.layer
        inputs = [self.schedule.formats[name] for name in step.inputs]
        places, out = step_places(step, self.addresses.placements)
        values = {
            **arithmetic_fields(
                layer, inputs, self.schedule.formats[step.output], self.unit.act_bits
            ),
            "tile_depth": self.sizes.t_p,
            "tile_columns": self.sizes.t_c,
            "groups": 1,
            "kernel_height": 1,
            "kernel_width": 1,
            "stride_height": 1,
            "stride_width": 1,
            **_tensor("in", places[0]),
            **_tensor("out", out),
        }
        values["rows"] = (
            out.height * out.width
            if isinstance(spec, Activate)
            else prod(map_shape(spec.out_shape)[1:])
        )
        if step.pool:
            values |= self._pool(step.pool, step.output)
        if isinstance(spec, Pool):
            values |= _geometry(spec.kernel, spec.stride, spec.pads)
        if isinstance(layer, IntegerMatmul):
            values |= self._product(layer)
        elif isinstance(layer, IntegerLrn):
            values |= {
                "records_offset": self.channels.offsets[spec.name],
                "window": layer.size,
                "table_floor": layer.table.floor,
            }
        if len(step.inputs) == 2:
            values |= _tensor("second", places[1])
        if isinstance(spec, Conv | Dense):
            return self._fastest(values, step, spec)
        return values | self._read(step)

    def _pool(self, pool: MaxPool, output: str) -> dict[str, int]:
        """Return what says that a convolution's rows are pooled."""
        width = pool.out_shape[-1]
        before = self.schedule.shapes[pool.inputs[0]]
        return {
            "pool_size": pool.kernel[0],
            "pool_overlaps": pool.kernel[0] - pool.stride[0],
            "pool_pad": pool.pads[0],
            "pool_signed": int(self.schedule.formats[output].signed),
            "pool_width": width,
            "pool_line": before[-1],
            "pool_height": pool.out_shape[-2],
            "pool_rows": pool.out_shape[-2] * width,
        }

    def _fastest(self, values: dict[str, int], step: Step, spec: Conv | Dense) -> dict[str, int]:
        """Return a product's fields with the order and the segments that take the least cycles.

        Of those that take the same, the least traffic.
        """
        ways = [
            values | segment_fields(way, spec.matmul.depth, self.sizes.t_p) | order
            for way in segmentations(self.sizes, spec.matmul.depth)
            for order in self._orders(step, spec, values)
        ]

        def cost(way: dict[str, int]) -> tuple[int, float]:
            cycles = step_cycles(_EMPTY | way, self.unit, self.port, self.addresses.batch)
            return cycles.total, cycles.beats

        return min(ways, key=cost)

    def _orders(
        self, step: Step, spec: Conv | Dense, values: Mapping[str, int]
    ) -> Iterator[dict[str, int]]:
        """Yield what says the order of images and column tiles; ``values``: of images alone."""
        tiles = -(-spec.matmul.columns // self.sizes.t_c)
        images = self._first_place(step).images
        joint = _of_joined(values, images, self.sizes.t_r) if images > 1 else {}
        yield joint | {"tile_major": 0} | self._read(step, tiles)
        if isinstance(spec, Conv) and spec.matmul.groups == 1:
            yield joint | {"tile_major": 1} | self._read(step, 1)

    def _first_place(self, step: Step) -> MapPlace:
        """Return a step's first input, with the images that are joined."""
        spec = step.layer.layer
        inputs, out = step_places(step, self.addresses.placements)
        place = self._map_place(inputs[0], step.inputs[0])
        if not isinstance(spec, Conv) or not can_join(step, inputs[0], out, self.schedule.shapes):
            return place
        window, batch = window_of(spec, inputs[0]), self.addresses.batch
        return joined(place, spec.matmul.groups, window, batch, self._reader)

    def _read(self, step: Step, tiles: int = 1) -> dict[str, int]:
        """Return the activation reader's fields; ``tiles``: column tiles of a job.

        Raises:
            UserError: its buffer is too small.
        """
        job = self._job(step, tiles)
        if not job.fits(self._reader):
            raise UserError(
                f"layer {step.name} needs {job.window_slots} words of its input on chip at once, "
                f"more than an engine with a buffer of {self.sizes.act_words} words has room for"
            )
        return {name: getattr(job, name.removeprefix("read_")) for name in _READ_FIELDS}

    @property
    def _reader(self) -> ReaderSizes:
        sizes = self.sizes
        return ReaderSizes(
            sizes.t_r, sizes.t_p, self.unit.act_bits, sizes.vector_lanes, sizes.act_words,
            sizes.data_bits,
        )  # fmt: skip

    def _job(self, step: Step, tiles: int) -> ActJob:
        spec, reader = step.layer.layer, self._reader
        inputs, _ = step_places(step, self.addresses.placements)
        place = self._first_place(step)
        zero = self.schedule.formats[step.inputs[0]].zero
        window = window_of(spec, inputs[0])
        if isinstance(spec, Dense):
            return dense_job(
                0, inputs[0].image_stride, place.container, place.signed, spec.matmul.depth,
                self.addresses.batch, tiles, reader,
            )  # fmt: skip
        if isinstance(spec, Conv):
            return conv_job(place, spec.matmul.groups, window, tiles, zero, reader)
        if isinstance(spec, Add):
            return add_job(place, self._map_place(inputs[1], step.inputs[1]), reader)
        return pool_job(place, window, zero, reader)

    def _map_place(self, place: Placement, name: str) -> MapPlace:
        """Return a tensor as the activation reader's jobs want it, at address 0."""
        return MapPlace(
            base=0,
            height=place.height,
            width=place.width,
            channels=place.channels,
            pixel_bytes=pixel_bytes(place),
            container=place.container.bit_length() - 1,
            signed=self.schedule.formats[name].signed,
        )

    def _product(self, layer: IntegerMatmul) -> dict[str, int]:
        """Return what a convolution or a dense layer has besides."""
        spec, sizes = layer.layer, self.sizes
        assert isinstance(spec, Conv | Dense)
        product = spec.matmul
        tiles, chunks = -(-product.columns // sizes.t_c), -(-product.depth // sizes.t_p)
        values = {
            "weight_offset": self.weights.high_offsets[spec.name],
            "weight_low_offset": self.weights.low_offsets[spec.name],
            "weight_high_bits": self.weights.high_bits[spec.name],
            "weight_low_bits": self.weights.low_bits[spec.name],
            "records_offset": self.channels.offsets[spec.name],
            "groups": product.groups,
            "group_channels": spec.weight.shape[1],
            "columns": product.columns,
            "column_tiles": tiles,
            "last_columns": product.columns - (tiles - 1) * sizes.t_c,
            "depth": product.depth,
            "chunks": chunks,
            "last_chunk": product.depth - (chunks - 1) * sizes.t_p,
            "tile_weights": sizes.t_c * product.depth,
            "weight_blocks": -(-spec.weight.size // BLOCK_WORDS),
            "padded_rows": -(-product.rows // sizes.t_r) * sizes.t_r,
        }
        if isinstance(spec, Conv):
            values |= _geometry(_kernel(spec), spec.stride, spec.pads)
        return values


def arithmetic_fields(
    layer: IntegerLayer, inputs: Sequence[Format], output: Format, act_bits: int
) -> dict[str, int]:
    """Return the fields that say what a layer makes of words, wherever they lie.

    ``inputs`` and ``output`` are its tensors' formats; ``act_bits`` is the unit's wordlength.
    """
    spec = layer.layer
    values = {
        "op": int(op_of(spec)),
        "in_signed": int(inputs[0].signed),
        "zero_in": inputs[0].zero,
        "zero_out": output.zero,
        "out_wide": int(output.bits > act_bits),
    }
    if len(inputs) == 2:
        values |= {"second_signed": int(inputs[1].signed), "zero_second": inputs[1].zero}
    if isinstance(layer, IntegerMatmul):
        values |= _requantiser(layer.requantiser) | {"bias_window": layer.bias_window}
    elif isinstance(layer, IntegerAvgPool):
        assert isinstance(spec, AvgPool)
        values |= _requantiser(layer.requantiser)
        values |= {
            "shift": reciprocal_of(1).shift + layer.frac_change,
            "count_pad": int(spec.count_include_pad),
        }
    elif isinstance(layer, IntegerLrn):
        values |= _requantiser(layer.requantiser)
    elif isinstance(layer, IntegerEltwise):
        aligns = zip(("align_first", "align_second"), layer.align, strict=False)
        values |= _requantiser(layer.requantiser) | dict(aligns)
    elif isinstance(spec, MaxPool):
        values |= {"low": output.low, "high": output.high}
    return values


def can_join(step: Step, place: Placement, out: Placement, shapes: Mapping[str, Shape]) -> bool:
    """Return whether a step's images may share row tiles: see ``images_log``.

    Their maps must lie one behind the other without a gap, where the step reads and where it
    writes, and pooled windows must not reach from one image to the next.
    """
    spec = step.layer.layer
    if not isinstance(spec, Conv) or place.in_images:
        return False
    window = window_of(spec, place)
    last_top = (window.out[0] - 1) * window.stride[0]
    return (
        place.height * place.width > 1
        and out.height * out.width > 1
        and place.image_stride == place.image_bytes
        and out.image_stride == out.image_bytes
        and last_top <= place.height
        and last_top - window.pads[0] < place.height
        and (not step.pool or _in_whole_windows(step.pool, shapes[step.pool.inputs[0]]))
    )


def _in_whole_windows(pool: MaxPool, shape: Shape) -> bool:
    """Return whether a map's lines are those of windows side by side, all of them."""
    return pool.kernel == pool.stride and not any(pool.pads) and shape[-2] % pool.kernel[0] == 0


def _of_joined(values: Mapping[str, int], images: int, t_r: int) -> dict[str, int]:
    """Return what is other than in ``values`` where images are joined."""
    rows = images * values["rows"]
    changed = {
        name: images * values[name]
        for name in ("in_stride", "out_stride", "pool_rows", "pool_height")
        if name in values
    }
    return changed | {
        "images_log": images.bit_length() - 1,
        "rows": rows,
        "padded_rows": -(-rows // t_r) * t_r,
    }


def segment_fields(way: Segments, depth: int, t_p: int) -> dict[str, int]:
    """Return the fields that say how a layer's weights are read."""
    if way.count == 1:
        return {"segments": 1}
    return {
        "segments": way.count,
        "segment_chunks": way.depth // t_p,
        "segment_depth": way.depth,
        "last_segment_depth": depth - (way.count - 1) * way.depth,
    }


def _kernel(spec: Conv) -> tuple[int, int]:
    return spec.weight.shape[2], spec.weight.shape[3]


def _size(shape: Shape) -> tuple[int, int]:
    return map_shape(shape)[1:]


def op_of(layer: Layer) -> Op:
    """Return a layer's kind."""
    return _OPS[type(layer)]


def step_places(
    step: Step, placements: Mapping[str, Placement]
) -> tuple[list[Placement], Placement]:
    """Return a step's inputs and its output as the engine takes them.

    To an activation a line is one pixel, as deep as all its words, if none of them is a filling.
    """
    inputs, out = [placements[name] for name in step.inputs], placements[step.output]
    if isinstance(step.layer.layer, Activate) and all(map(_is_dense, (*inputs, out))):
        return [_as_lines(place) for place in inputs], _as_lines(out)
    return inputs, out


def _is_dense(place: Placement) -> bool:
    return place.pitch == place.channels and place.channels * place.width < 1 << CHANNEL_BITS


def _as_lines(place: Placement) -> Placement:
    words = place.channels * place.width
    return replace(place, channels=words, pitch=words, width=1)


def _tensor(prefix: str, place: Placement) -> dict[str, int]:
    """Return a tensor's address and layout; its sizes too, but for a second input."""
    values = {
        f"{prefix}_container": place.container.bit_length() - 1,
        f"{prefix}_base": place.base,
        f"{prefix}_stride": place.image_stride,
    }
    if prefix != "second":
        values |= {
            f"{prefix}_channels": place.channels,
            f"{prefix}_height": place.height,
            f"{prefix}_width": place.width,
        }
    if prefix == "in":
        values["in_images"] = int(place.in_images)
    elif prefix == "out":
        values["out_pixel_bytes"] = pixel_bytes(place)
    return values


def window_of(layer: Layer, place: Placement) -> Window:
    """Return what a convolution or a vector step reads of its input for each pixel."""
    if isinstance(layer, Conv):
        return Window(_kernel(layer), layer.stride, layer.pads[:2], _size(layer.out_shape))
    if isinstance(layer, Pool):
        return Window(layer.kernel, layer.stride, layer.pads[:2], _size(layer.out_shape))
    return Window((1, 1), (1, 1), (0, 0), (place.height, place.width))


def pixel_bytes(place: Placement) -> int:
    """Return the bytes from a pixel to the next; none where there is no next one."""
    return place.pixel_bytes if place.height * place.width > 1 else 0


def _geometry(
    kernel: tuple[int, int], stride: tuple[int, int], pads: tuple[int, int, int, int]
) -> dict[str, int]:
    return {
        "kernel_height": kernel[0],
        "kernel_width": kernel[1],
        "stride_height": stride[0],
        "stride_width": stride[1],
        "pad_top": pads[0],
        "pad_left": pads[1],
    }


def _requantiser(requantiser: Requantiser) -> dict[str, int]:
    values = {
        "shift": int(requantiser.shift.min()),
        "low": requantiser.low,
        "high": requantiser.high,
    }
    if requantiser.slope is not None:
        values |= {
            "leaky": 1,
            "slope_mantissa": requantiser.slope.mantissa,
            "slope_shift": requantiser.slope.shift,
        }
    return values
