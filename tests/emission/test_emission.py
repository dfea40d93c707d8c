from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.random_networks import every_layer_kind, plain_scheme
from toolflow.emission.descriptors import FIELDS, WORDS, Op, decode, descriptor_image, encode
from toolflow.emission.directory import whole_directory, whole_files
from toolflow.emission.memory_images import (
    ALIGNMENT,
    BLOCK_WORDS,
    bias_image,
    pack_plane,
    pack_words,
    unpack_plane,
    unpack_words,
    weight_image,
)
from toolflow.emulator.integer_network import (
    IntegerMatmul,
    IntegerNetwork,
    StoredParameters,
    balance,
    compile_network,
    store,
)
from toolflow.errors import UserError
from toolflow.fixedpoint import join_planes, saturate, split_planes
from toolflow.network.graph import Conv
from toolflow.plan import PLAN_FILE
from toolflow.quantisation.scheme import Precision


@given(st.data())
def test_words_survive_packing(data: st.DataObject) -> None:
    bits = data.draw(st.sampled_from([2, 4, 8, 16, 32]))
    word = st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    words = np.array(data.draw(st.lists(word, min_size=1, max_size=40)))
    packed = pack_words(words, bits)
    assert len(packed) == -(-len(words) * bits // 8)
    np.testing.assert_array_equal(unpack_words(packed, bits, len(words)), words)
    unsigned = words & ((1 << bits) - 1)
    np.testing.assert_array_equal(unpack_words(packed, bits, len(words), signed=False), unsigned)


def test_first_word_is_lowest() -> None:
    assert pack_words(np.array([1, -1, 2]), 4) == bytes([0xF1, 0x02])


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


def planned(bits: int, lpu_bits: int) -> tuple[IntegerNetwork, IntegerNetwork, StoredParameters]:
    """Return the HPU, the LPU and their stored words."""
    network = every_layer_kind()
    scheme = plain_scheme(network, Precision(bits, 8))
    lpu_scheme = plain_scheme(network, Precision(lpu_bits, 4))
    stored = balance(network, store(network, scheme), lpu_scheme)
    hpu, lpu = (compile_network(network, s, stored) for s in (scheme, lpu_scheme))
    return hpu, lpu, stored


@pytest.mark.parametrize(
    ("bits", "lpu_bits"), [(8, 8), (8, 4), (8, 2), (5, 3), (3, 2), (2, 2), (16, 7)]
)
def test_weight_image_holds_both_units_weights(bits: int, lpu_bits: int) -> None:
    hpu, lpu, stored = planned(bits, lpu_bits)
    image = weight_image(lpu, stored)
    sizes = [0, 0]
    for high_layer, low_layer in zip(hpu.matmuls, lpu.matmuls, strict=True):
        name, spec = low_layer.layer.name, low_layer.layer
        low_bits, count = image.low_bits[name], high_layer.weight.size
        assert low_bits == low_layer.weight_window == bits - lpu_bits
        starts = image.high_offsets[name], image.low_offsets[name]
        assert [start % ALIGNMENT for start in starts] == [0, 0]
        high = unpack_plane(image.data[starts[0] :], bits - low_bits, count)
        low = unpack_plane(image.data[starts[1] :], low_bits, count)
        fmt = lpu.scheme.weights[name]
        for words, layer in (
            (join_planes(high, low, low_bits), high_layer),
            (saturate(high, fmt.low, fmt.high), low_layer),
        ):
            expected = layer.weight
            if isinstance(spec, Conv):
                o, i, h, w = expected.shape
                words = words.reshape(o, h, w, i).transpose(0, 3, 1, 2)
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
    _, lpu, stored = planned(8, 4)
    name = lpu.matmuls[0].layer.name
    layer = stored.layers[name]
    spoilt = {**stored.layers, name: replace(layer, weight=np.full_like(layer.weight, 120))}
    with pytest.raises(ValueError, match="does not fit"):
        weight_image(lpu, replace(stored, layers=spoilt))


def test_bias_image_holds_every_bias() -> None:
    _, lpu, stored = planned(8, 4)
    biases = bias_image(stored)
    for layer in lpu.matmuls:
        name = layer.layer.name
        words = unpack_words(biases.data[biases.offsets[name] :], 32, len(layer.bias))
        np.testing.assert_array_equal(words, stored.layers[name].bias)


def test_descriptors_say_what_the_emulator_does() -> None:
    hpu, integer, stored = planned(8, 4)
    weights, biases = weight_image(integer, stored), bias_image(stored)
    data = descriptor_image(integer, weights, biases)
    size = 4 * WORDS
    found = [decode(data[k : k + size]) for k in range(0, len(data), size)]
    assert [Op(d["op"]) for d in found] == [
        Op.CONV, Op.CONV, Op.CONV, Op.ADD, Op.CONCAT, Op.CONCAT, Op.CONV, Op.ACTIVATE,
        Op.MAX_POOL, Op.AVG_POOL, Op.AVG_POOL, Op.FLATTEN, Op.DENSE, Op.DENSE,
    ]  # fmt: skip
    assert [d["channel_offset"] for d in found if d["op"] == Op.CONCAT] == [0, 12]
    matmuls = [d for d in found if d["op"] in (Op.CONV, Op.DENSE)]
    for d, layer in zip(matmuls, integer.matmuls, strict=True):
        assert isinstance(layer, IntegerMatmul)
        assert d["weight_low_bits"] == layer.weight_window == 4
        assert d["shift"] == layer.requantiser.shift[0]
        assert (d["low"], d["high"]) == (layer.requantiser.low, layer.requantiser.high)
        assert d["weight_offset"] == weights.high_offsets[layer.layer.name]
        assert d["weight_low_offset"] == weights.low_offsets[layer.layer.name]
        assert d["leaky"] == (layer.requantiser.slope is not None)
    strided = found[1]
    assert (strided["stride_height"], strided["stride_width"]) == (2, 1)
    assert (strided["pad_top"], strided["pad_bottom"], strided["pad_left"]) == (2, 1, 0)
    assert strided["groups"] == 4
    data = descriptor_image(hpu, weights, biases)
    others = [decode(data[k : k + size]) for k in range(0, len(data), size)]
    for name in ("weight_offset", "weight_low_offset", "weight_low_bits"):
        assert [d[name] for d in others] == [d[name] for d in found], "both units read one image"


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
