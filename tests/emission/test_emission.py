from __future__ import annotations

import os
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
    bias_image,
    pack_words,
    unpack_words,
    weight_image,
)
from toolflow.emulator.integer_network import IntegerMatmul, compile_network, store
from toolflow.errors import UserError
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


@pytest.mark.parametrize("bits", [8, 5, 3, 2, 16])
def test_memory_images_hold_every_parameter(bits: int) -> None:
    network = every_layer_kind()
    scheme = plain_scheme(network, Precision(bits, 8))
    stored = store(network, scheme)
    weights, biases = weight_image(network, stored), bias_image(stored)
    integer = compile_network(network, scheme, stored)
    container = {8: 8, 5: 8, 3: 4, 2: 2, 16: 16}[bits]
    for layer in integer.matmuls:
        name, spec = layer.layer.name, layer.layer
        start = weights.offsets[name]
        assert start % ALIGNMENT == 0
        words = unpack_words(weights.data[start:], container, layer.weight.size)
        if isinstance(spec, Conv):
            o, i, h, w = layer.weight.shape
            np.testing.assert_array_equal(
                words.reshape(o, h, w, i).transpose(0, 3, 1, 2), layer.weight
            )
        else:
            np.testing.assert_array_equal(words.reshape(layer.weight.shape), layer.weight)
        raw = biases.data[biases.offsets[name] :]
        np.testing.assert_array_equal(
            np.frombuffer(raw, "<i4", len(layer.bias)), stored.layers[name].bias
        )


def test_descriptors_say_what_the_emulator_does() -> None:
    network = every_layer_kind()
    stored = store(network, plain_scheme(network, Precision(8, 8)))
    integer = compile_network(network, plain_scheme(network, Precision(4, 4)), stored)
    weights, biases = weight_image(network, stored), bias_image(stored)
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
        assert d["weight_window"] == layer.weight_window == 4
        assert d["shift"] == layer.requantiser.shift[0]
        assert (d["low"], d["high"]) == (layer.requantiser.low, layer.requantiser.high)
        assert d["weight_offset"] == weights.offsets[layer.layer.name]
        assert d["leaky"] == (layer.requantiser.slope is not None)
    strided = found[1]
    assert (strided["stride_height"], strided["stride_width"]) == (2, 1)
    assert (strided["pad_top"], strided["pad_bottom"], strided["pad_left"]) == (2, 1, 0)
    assert strided["groups"] == 4


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
