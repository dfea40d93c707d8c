from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.emission.shared_words import Planned, planned
from toolflow.emission.descriptor_package import render_package
from toolflow.emission.descriptors import FIELDS, decode, decode_all, encode
from toolflow.emission.directory import whole_directory, whole_files
from toolflow.emission.memory_images import (
    ALIGNMENT,
    BLOCK_WORDS,
    RECORD_BYTES,
    ChannelRecords,
    channel_image,
    pack_plane,
    pack_records,
    unpack_plane,
    unpack_records,
    weight_image,
)
from toolflow.emission.memory_map import (
    MEMORY_MAP_FILE,
    MemoryMap,
    read_memory_map,
    unit_image,
)
from toolflow.emission.steps import schedule_of
from toolflow.emission.stored_parameters import CHANNELS_FILE, WEIGHTS_FILE, read_parameters
from toolflow.emulator.integer_network import (
    IntegerAvgPool,
    IntegerMatmul,
    IntegerNetwork,
    StoredParameters,
    cut_network,
    quantise_images,
)
from toolflow.emulator.reference import accumulate, run_reference
from toolflow.errors import UserError
from toolflow.fixedpoint import (
    BIAS_BITS,
    Format,
    IntArray,
    Slope,
    join_planes,
    reciprocal_of,
    requantise,
    saturate,
    split_planes,
    window,
)
from toolflow.hardware.engine import WORDS, EngineSizes, Op
from toolflow.hardware.engine_cycles import Port, UnitSizes
from toolflow.network.graph import Conv, WeightLayer
from toolflow.plan import PLAN_FILE


def test_fields_do_not_overlap() -> None:
    used: set[tuple[int, int]] = set()
    for field in FIELDS:
        places = {(field.word, bit) for bit in range(field.low, field.low + field.width)}
        assert field.low + field.width <= 32
        assert field.word < WORDS
        assert not places & used, field.name
        used |= places


@given(st.data())
def test_descriptors_survive_encoding(data: st.DataObject) -> None:
    values = {}
    for field in FIELDS:
        low = -(1 << (field.width - 1)) if field.signed else 0
        values[field.name] = data.draw(st.integers(low, low + (1 << field.width) - 1))
    assert decode(encode(values)) == values


def test_a_value_too_large_for_its_field_is_refused() -> None:
    with pytest.raises(UserError, match="kernel_height = 256"):
        encode({"kernel_height": 256})


def test_rtl_package_is_generated() -> None:
    package = Path(__file__).parents[2] / "rtl" / "engine" / "descriptor_pkg.sv"
    assert package.read_text() == render_package()


@pytest.mark.parametrize("bits", range(17))
@pytest.mark.parametrize("count", [1, 128, 300])
def test_planes_survive_packing(bits: int, count: int) -> None:
    half = 1 << bits >> 1
    digits = np.random.default_rng(bits).integers(-half, max(half, 1), count)
    digits[-1], digits[0] = max(half - 1, 0), -half
    packed = pack_plane(digits, bits)
    assert len(packed) == -(-count // BLOCK_WORDS) * bits * 16
    np.testing.assert_array_equal(unpack_plane(packed, bits, count), digits)
    for wrong in (-half - 1, max(half, 1)):
        with pytest.raises(ValueError, match="does not fit"):
            pack_plane(np.append(digits, wrong), bits)


def test_planes_are_bit_positions_of_blocks() -> None:
    """Word 1 of the first block and word 0 of the second, three bits: by hand."""
    digits = np.zeros(BLOCK_WORDS + 1, np.int64)
    digits[[1, 9, BLOCK_WORDS]] = 1, -1, -4
    rest = bytes(14)
    first = bytes([0b10, 0b10]) + rest + bytes([0, 0b10]) + rest + bytes([0, 0b10]) + rest
    assert pack_plane(digits, 3) == first + bytes(32) + bytes([1]) + bytes(15)


PORT = Port(40)
FLATTENED = {"w_hidden": (28, 2, 3)}
"""The map behind a dense layer's inputs."""


@pytest.mark.parametrize(
    ("bits", "lpu_bits"), [(8, 8), (8, 4), (8, 2), (5, 3), (3, 2), (2, 2), (16, 7)]
)
def test_weight_image_holds_both_units_weights(bits: int, lpu_bits: int) -> None:
    made = planned(bits, lpu_bits)
    hpu, lpu = made.hpu, made.lpu
    image = weight_image(lpu, made.stored)
    sizes = [0, 0]
    for high_layer, low_layer in zip(hpu.matmuls, lpu.matmuls, strict=True):
        name = low_layer.layer.name
        low_bits, count = image.low_bits[name], high_layer.weight.size
        assert low_bits == low_layer.weight_window <= bits - lpu_bits
        starts = image.high_offsets[name], image.low_offsets[name]
        assert [start % ALIGNMENT for start in starts] == [0, 0]
        high = unpack_plane(image.data[starts[0] :], bits - low_bits, count)
        low = unpack_plane(image.data[starts[1] :], low_bits, count)
        fmt = lpu.scheme.weights[name].words
        for words, layer in (
            (join_planes(high, low, low_bits), high_layer),
            (saturate(high, fmt.low, fmt.high), low_layer),
        ):
            expected = layer.weight
            shape = FLATTENED.get(name) or expected.shape[1:]
            if len(shape) == 3:
                i, h, w = shape
                words = words.reshape(-1, h, w, i).transpose(0, 3, 1, 2)
            np.testing.assert_array_equal(words.reshape(expected.shape), expected)
        blocks = -(-count // BLOCK_WORDS)
        for plane, width in enumerate((bits - low_bits, low_bits)):
            sizes[plane] += -(-blocks * BLOCK_WORDS * width // (8 * ALIGNMENT)) * ALIGNMENT
    # Every weight takes its bits once, the LPU's only the high ones; the rest is padding.
    assert [min(image.low_offsets.values()), len(image.data)] == [sizes[0], sum(sizes)]


def test_a_large_layer_takes_its_bits_and_no_more() -> None:
    words = np.arange(-64, 64).repeat(100)
    high, low = split_planes(words, 3)
    assert 8 * len(pack_plane(high, 5)) == 5 * len(words)
    assert 8 * len(pack_plane(low, 3)) == 3 * len(words)


def test_words_that_do_not_split_are_refused() -> None:
    made = planned(8, 4)
    spoilt = with_layer(made.stored, "w_first", weight=120)
    with pytest.raises(ValueError, match="does not fit"):
        weight_image(made.lpu, spoilt)


def with_layer(stored: StoredParameters, name: str, **values: int) -> StoredParameters:
    """Return parameters of which some of a layer's arrays hold one value throughout."""
    layer = stored.layers[name]
    arrays = {key: np.full_like(getattr(layer, key), value) for key, value in values.items()}
    return replace(stored, layers={**stored.layers, name: replace(layer, **arrays)})


def test_records_are_eight_bytes_in_this_order() -> None:
    records = ChannelRecords(np.array([1, -2]), np.array([-3, 4]), np.array([5, 255]))
    first = bytes([1, 0, 0, 0, 0xFD, 0xFF, 0xFF, 5])
    assert pack_records(records) == first + bytes([0xFE, 0xFF, 0xFF, 0xFF, 4, 0, 0, 255])


def test_records_survive_packing() -> None:
    bias = np.array([0, 1, -1, (1 << 31) - 1, -(1 << 31)])
    correction = np.array([-1, 0, 1, -(1 << 23), (1 << 23) - 1])
    step = np.array([0, 255, 1, 31, 7])
    packed = pack_records(ChannelRecords(bias, correction, step))
    assert len(packed) == 5 * RECORD_BYTES
    found = unpack_records(packed + b"behind", 5)
    np.testing.assert_array_equal(found.bias, bias)
    np.testing.assert_array_equal(found.correction, correction)
    np.testing.assert_array_equal(found.step, step)


def test_channel_image_takes_eight_bytes_a_channel() -> None:
    made = planned(8, 4)
    image = channel_image(made.lpu, made.stored)
    size = 0
    for layer in made.network.weight_layers:
        assert image.offsets[layer.name] == size
        size += -(-8 * len(layer.bias) // ALIGNMENT) * ALIGNMENT
    assert len(image.data) == size


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bias": -(1 << 31)}, "layer w_grouped: the HPU's bias is -.* than the 32 bits"),
        ({"correction": (1 << 23) - 1}, "layer w_grouped: the correction of the LPU's bias is 8"),
    ],
)
def test_a_value_too_large_for_its_record_is_refused(values: dict[str, int], message: str) -> None:
    made = planned(8, 4)
    stored = with_layer(made.stored, "w_grouped", weight=3, **values)
    lpu = cut_network(made.network, made.lpu.scheme, stored)
    with pytest.raises(UserError, match=message):
        channel_image(lpu, stored)


def unit_sizes(network: IntegerNetwork) -> UnitSizes:
    """Return a small unit for a network."""
    return UnitSizes(EngineSizes(5, 3, 4), network.scheme.precision.act_bits, joins=False)


def decoded(
    made: Planned, network: IntegerNetwork
) -> tuple[list[dict[str, int]], dict[str, ChannelRecords]]:
    """Return a unit's descriptors and its layers' records, found by the descriptors' offsets."""
    weights, channels = weight_image(made.lpu, made.stored), channel_image(made.lpu, made.stored)
    image = unit_image(network, unit_sizes(network), PORT, 2, weights, channels)
    found = decode_all(image.descriptors)
    assert len(image.descriptors) == 4 * WORDS * len(image.map.steps)
    matmuls = [d for d in found if d["op"] in (Op.CONV, Op.DENSE)]
    return found, {
        layer.layer.name: unpack_records(channels.data[d["records_offset"] :], d["out_channels"])
        for d, layer in zip(matmuls, network.matmuls, strict=True)
    }


@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize("unit", ["hpu", "lpu"])
def test_hardware_on_words_equals_the_emulator(unit: str, zeros: bool) -> None:
    """Products of words, padding with ``zero_in``, records and descriptors: the same tensors."""
    made = planned(8, 3, zeros=zeros)
    network: IntegerNetwork = getattr(made, unit)
    stored_images = quantise_images(made.images, network.stored_input)
    tensors = run_reference(network, stored_images)
    descriptors, records = decoded(made, network)
    matmuls = [d for d in descriptors if d["op"] in (Op.CONV, Op.DENSE)]
    for d, layer in zip(matmuls, network.matmuls, strict=True):
        name, source = layer.layer.name, layer.layer.inputs[0]
        zero = network.scheme.tensors[source].zero
        assert d["zero_in"] == zero
        words = tensors[source] + zero
        assert d["in_signed"] or words.min() >= 0
        found = requantise(
            accumulate_words(layer, words, zero),
            shaped(hardware_bias(records[name], unit, d), words),
            shaped(d["shift"] + records[name].step, words),
            d["low"],
            d["high"],
            Slope(d["slope_mantissa"], d["slope_shift"]) if d["leaky"] else None,
            16 if d["out_wide"] else network.scheme.precision.act_bits,
        )
        np.testing.assert_array_equal(found, tensors[layer.layer.output])


def hardware_bias(records: ChannelRecords, unit: str, d: dict[str, int]) -> IntArray:
    """Return the biases of a unit."""
    full = Format(BIAS_BITS, 0)
    cut = window(records.bias, d["bias_window"], full.low, full.high)
    return cut + records.correction if unit == "lpu" else cut


def accumulate_words(layer: IntegerMatmul, words: IntArray, zero: int) -> IntArray:
    """Return products of words; a convolution's map is padded with the zero point first."""
    spec = layer.layer
    if not isinstance(spec, Conv):
        return accumulate(layer, words)
    top, left, bottom, right = spec.pads
    padded = np.pad(words, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=zero)
    return accumulate(replace(layer, layer=replace(spec, pads=(0, 0, 0, 0))), padded)


def shaped(values: IntArray, like: IntArray) -> IntArray:
    """Return a value a channel, to go with a batch of maps or vectors."""
    return values.reshape(-1, *[1] * (like.ndim - 2))


def test_descriptors_say_what_the_emulator_does() -> None:
    made = planned(8, 4)
    integer = made.lpu
    weights = weight_image(integer, made.stored)
    found, records = decoded(made, integer)
    assert [Op(d["op"]) for d in found] == [
        Op.ACTIVATE, Op.CONV, Op.CONV, Op.CONV, Op.ADD, Op.ACTIVATE, Op.CONV, Op.MAX_POOL,
        Op.AVG_POOL, Op.MAX_POOL, Op.DENSE, Op.DENSE,
    ]  # fmt: skip
    cut = found[0]
    assert (cut["shift"], cut["in_images"]) == (integer.input_window, 1)
    # Three channels of 8 bits leave no filling behind a pixel: lines are taken whole.
    assert (1 << cut["in_container"], 1 << cut["out_container"]) == (8, 8)
    channels, height, width = integer.network.input_shape
    assert (cut["in_channels"], cut["in_height"], cut["in_width"]) == (channels * width, height, 1)
    assert (cut["out_channels"], cut["rows"]) == (channels * width, height)
    assert (cut["low"], cut["high"]) == (integer.input.low, integer.input.high)
    assert not any(d["in_images"] for d in found[1:])
    matmuls = [d for d in found if d["op"] in (Op.CONV, Op.DENSE)]
    for d, layer in zip(matmuls, integer.matmuls, strict=True):
        spec = layer.layer
        assert isinstance(spec, WeightLayer)
        name, product = spec.name, spec.matmul
        assert d["weight_low_bits"] == layer.weight_window == 8 - d["weight_high_bits"]
        np.testing.assert_array_equal(d["shift"] + records[name].step, layer.requantiser.shift)
        assert records[name].step.min() == 0 < records[name].step.max()
        assert (d["low"], d["high"]) == (layer.requantiser.low, layer.requantiser.high)
        assert d["weight_offset"] == weights.high_offsets[name]
        assert d["weight_low_offset"] == weights.low_offsets[name]
        assert d["leaky"] == (layer.requantiser.slope is not None)
        assert (d["groups"], d["rows"], d["depth"], d["columns"]) == (
            product.groups, product.rows, product.depth, product.columns,
        )  # fmt: skip
        assert 3 * (d["chunks"] - 1) + d["last_chunk"] == product.depth
        assert 4 * (d["column_tiles"] - 1) + d["last_columns"] == product.columns
        assert 0 < d["last_chunk"] <= d["tile_depth"] == 3
        assert 0 < d["last_columns"] <= d["tile_columns"] == 4
        assert d["tile_weights"] == 4 * product.depth
    steps = schedule_of(integer)
    for d, step in zip(found, steps.steps, strict=True):
        source, out = (steps.formats[name] for name in (step.inputs[0], step.output))
        assert (d["zero_in"], d["zero_out"]) == (source.zero, out.zero)
        assert d["out_wide"] == (out.bits == 16)
        assert d["in_signed"] == source.signed
        second = steps.formats[step.inputs[-1]]
        assert d["zero_second"] == (second.zero if d["op"] == Op.ADD else 0)
        assert d["second_signed"] == (second.signed if d["op"] == Op.ADD else 0)
    assert [d["out_wide"] for d in found] == [0] * (len(found) - 1) + [1]
    assert all(found[4][key] for key in ("zero_in", "zero_second", "zero_out"))
    average = found[8]
    averaging = next(layer for layer in integer.layers if isinstance(layer, IntegerAvgPool))
    assert average["count_pad"] == 0
    assert len(averaging.reciprocals) > 1
    for pixels, reciprocal in averaging.reciprocals.items():
        longer = reciprocal.shift - reciprocal_of(1).shift
        assert longer == (pixels - 1).bit_length()
        assert average["shift"] + longer == reciprocal.shift + averaging.frac_change
    for d, step in zip(found, steps.steps, strict=True):
        if d["op"] == Op.MAX_POOL:
            fmt = steps.formats[step.output]
            assert (d["low"], d["high"], d["shift"]) == (fmt.low, fmt.high, 0)
    strided = found[6]
    assert (strided["stride_height"], strided["stride_width"]) == (2, 1)
    assert (strided["pad_top"], strided["pad_left"]) == (2, 0)
    assert [d["groups"] for d in matmuls] == [1, 8, 4, 1, 1, 1]
    others, _ = decoded(made, made.hpu)
    for field in ("weight_offset", "weight_low_offset", "weight_low_bits", "records_offset"):
        theirs = [d[field] for d in others if d["op"] in (Op.CONV, Op.DENSE)]
        assert theirs == [d[field] for d in matmuls], "both units read one image"


def test_memory_map_survives_its_file(tmp_path: Path) -> None:
    made = planned(8, 4)
    weights, channels = weight_image(made.lpu, made.stored), channel_image(made.lpu, made.stored)
    found = MemoryMap(
        *(unit_image(unit, unit_sizes(unit), PORT, 2, weights, channels).map
          for unit in (made.lpu, made.hpu))
    )  # fmt: skip
    (tmp_path / MEMORY_MAP_FILE).write_text(found.to_json())
    again = read_memory_map(tmp_path)
    assert again == found
    assert again.lpu.steps[0].name == again.lpu.steps[0].output == "image"
    (tmp_path / MEMORY_MAP_FILE).write_text(found.to_json()[:-3])
    with pytest.raises(UserError, match="is not a memory map"):
        read_memory_map(tmp_path)
    (tmp_path / MEMORY_MAP_FILE).unlink()
    with pytest.raises(UserError, match=r"memory_map\.json: cannot be read"):
        read_memory_map(tmp_path)


class TestReadParameters:
    """Parameters read back from the images."""

    @pytest.mark.parametrize("bits", [(8, 8), (8, 4), (8, 2), (5, 3), (16, 7)])
    @pytest.mark.parametrize("seed", [0, 1])
    @pytest.mark.parametrize("zeros", [True, False])
    def test_are_what_was_emitted(
        self, tmp_path: Path, bits: tuple[int, int], seed: int, zeros: bool
    ) -> None:
        made = planned(*bits, seed=seed, zeros=zeros)
        emit(made, tmp_path)
        found = read_parameters(tmp_path, made.network, made.stored.scheme, made.lpu.scheme)
        assert found.input_format == made.stored.input_format
        assert found.scheme is made.stored.scheme
        assert list(found.layers) == list(made.stored.layers)
        for name, layer in made.stored.layers.items():
            other = found.layers[name]
            assert other.weight_format == layer.weight_format
            for key in ("weight", "bias", "bias_fracs", "correction"):
                np.testing.assert_array_equal(getattr(other, key), getattr(layer, key), name)

    @pytest.mark.parametrize("file", [WEIGHTS_FILE, CHANNELS_FILE])
    @pytest.mark.parametrize("change", [-1, -64, 64])
    def test_a_file_of_another_length_is_refused(
        self, tmp_path: Path, file: str, change: int
    ) -> None:
        made = planned(8, 4)
        emit(made, tmp_path)
        data = (tmp_path / file).read_bytes()
        (tmp_path / file).write_bytes(data[:change] if change < 0 else data + bytes(change))
        self.refused(made, tmp_path, f"{file}: is {len(data) + change} bytes .* {len(data)}")

    @pytest.mark.parametrize("file", [WEIGHTS_FILE, CHANNELS_FILE])
    def test_a_missing_file_is_refused(self, tmp_path: Path, file: str) -> None:
        made = planned(8, 4)
        emit(made, tmp_path)
        (tmp_path / file).unlink()
        self.refused(made, tmp_path, f"{file}: cannot be read")

    @pytest.mark.parametrize(
        ("word", "message"),
        [
            (0x7FFFFFFF, "w_depthwise: a bias is outside 32 bits"),
            (0x007FFFFF << 32, "w_depthwise: a correction is outside 24 bits"),
            (0x40 << 56, "w_depthwise: the channels' steps are not the plan's"),
        ],
    )
    def test_damaged_records_are_refused(self, tmp_path: Path, word: int, message: str) -> None:
        made = planned(8, 4)
        positive = with_layer(made.stored, "w_depthwise", weight=60, bias=0, correction=0)
        lpu = cut_network(made.network, made.lpu.scheme, positive)
        made = replace(made, stored=positive, lpu=lpu)
        emit(made, tmp_path)
        data = bytearray((tmp_path / CHANNELS_FILE).read_bytes())
        start = channel_image(lpu, positive).offsets["w_depthwise"]
        old = int.from_bytes(data[start : start + 8], "little")
        mask = next(m for m in (0xFFFFFFFF, 0xFFFFFF << 32, 0xFF << 56) if word & m)
        data[start : start + 8] = (old & ~mask | word).to_bytes(8, "little")
        (tmp_path / CHANNELS_FILE).write_bytes(data)
        self.refused(made, tmp_path, message)

    def test_damaged_weights_are_refused(self, tmp_path: Path) -> None:
        """The smallest high digit with a negative low one is no 8-bit word."""
        made = planned(8, 4)
        emit(made, tmp_path)
        image = weight_image(made.lpu, made.stored)
        data = bytearray(image.data)
        for start, digit in (
            (image.high_offsets["w_first"], -8),
            (image.low_offsets["w_first"], -1),
        ):
            block = pack_plane(np.full(BLOCK_WORDS, digit), 4)
            data[start : start + len(block)] = block
        (tmp_path / WEIGHTS_FILE).write_bytes(data)
        self.refused(made, tmp_path, "w_first: a weight is outside 8 bits")

    def refused(self, made: Planned, folder: Path, message: str) -> None:
        """Check that reading ends with a message."""
        with pytest.raises(UserError, match=message):
            read_parameters(folder, made.network, made.stored.scheme, made.lpu.scheme)


def emit(made: Planned, folder: Path) -> None:
    """Write the two images."""
    (folder / WEIGHTS_FILE).write_bytes(weight_image(made.lpu, made.stored).data)
    (folder / CHANNELS_FILE).write_bytes(channel_image(made.lpu, made.stored).data)


class TestWholeDirectory:
    def test_appears_only_when_complete(self, tmp_path: Path) -> None:
        target = tmp_path / "plan"
        with whole_directory(target) as folder:
            (folder / PLAN_FILE).write_text("new")
            assert not target.exists()
        assert [p.name for p in tmp_path.iterdir()] == ["plan"]

    def test_an_error_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(KeyError):
            break_off(tmp_path / "deep" / "plan")
        assert list((tmp_path / "deep").iterdir()) == []

    def test_an_error_keeps_the_older_plan(self, tmp_path: Path) -> None:
        with whole_directory(tmp_path / "plan") as folder:
            (folder / PLAN_FILE).write_text("old")
        with pytest.raises(KeyError):
            break_off(tmp_path / "plan")
        assert (tmp_path / "plan" / PLAN_FILE).read_text() == "old"
        with whole_directory(tmp_path / "plan") as folder:
            (folder / PLAN_FILE).write_text("new")
        assert (tmp_path / "plan" / PLAN_FILE).read_text() == "new"
        assert len(list(tmp_path.iterdir())) == 1

    def test_somebody_elses_folder_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("precious")
        with pytest.raises(UserError, match="other files"), whole_directory(tmp_path):
            pass
        assert (tmp_path / "thesis.txt").read_text() == "precious"

    def test_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match="is a file"), whole_directory(tmp_path / "file"):
            pass
        with (
            pytest.raises(UserError, match="not a folder"),
            whole_directory(tmp_path / "file" / "under"),
        ):
            pass

    def test_unwritable_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def deny(*args: object, **kwargs: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("tempfile.mkdtemp", deny)
        with pytest.raises(UserError, match="cannot be written"), whole_directory(tmp_path / "x"):
            pass
        monkeypatch.undo()
        assert os.listdir(tmp_path) == []


def break_off(target: Path) -> None:
    """Begin to write ``target`` and fail half-way."""
    with whole_directory(target) as folder:
        (folder / PLAN_FILE).write_text("half")
        raise KeyError


def test_whole_files_replace_together(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("old")

    def fail() -> None:
        with whole_files(tmp_path) as scratch:
            (scratch / "report.md").write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (tmp_path / "report.md").read_text() == "old"
    with whole_files(tmp_path) as scratch:
        (scratch / "report.md").write_text("new")
    assert (tmp_path / "report.md").read_text() == "new"
    assert os.listdir(tmp_path) == ["report.md"]
