from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from tests.emission.shared_words import mixed_network, planned
from tests.random_networks import drawn_scheme, every_layer_kind, small_network
from toolflow.emission.address_map import (
    AddressMap,
    Placement,
    address_map,
    image_placement,
    load_words,
    store_words,
)
from toolflow.emission.memory_images import ALIGNMENT
from toolflow.emission.memory_order import channel_last_weights, emulator_weights, memory_order
from toolflow.emission.steps import STORED_IMAGES, Schedule, Step, schedule_of
from toolflow.emulator.integer_network import IntegerEltwise, IntegerNetwork, compile_network, store
from toolflow.emulator.reference import run_layer
from toolflow.errors import UserError
from toolflow.fixedpoint import Format, IntArray, storage_bits
from toolflow.network.graph import (
    Activate,
    Activation,
    ActivationKind,
    Add,
    Concat,
    Conv,
    Dense,
    Flatten,
    Layer,
    MaxPool,
    Network,
    Preprocessing,
    WeightLayer,
)
from toolflow.quantisation.legality import legalised
from toolflow.quantisation.scheme import Precision, format_groups
from toolflow.simulation.expected import memory_words

GUARD = 256
RELU = Activation(ActivationKind.RELU)


def compiled(network: Network, precision: Precision, seed: int = 0) -> IntegerNetwork:
    """A network in drawn formats that hardware can run."""
    scheme = legalised(drawn_scheme(network, precision, seed), network, format_groups(network))
    return compile_network(network, store(network, scheme))


def run_in_memory(
    network: IntegerNetwork, schedule: Schedule, found: AddressMap, tile_columns: int, lanes: int
) -> int:
    """Run every step on tensors in memory, as an engine does; return the words compared.

    Memory begins as random bytes; what a step writes must leave everything else alone that is
    still to be read, and the guards around the workspace.
    """
    rng = np.random.default_rng(7)
    formats, places = schedule.formats, found.placements
    images = rng.integers(
        network.stored_input.low, network.stored_input.high + 1,
        (found.batch, *network.network.input_shape),
    )  # fmt: skip
    stored = bytearray(found.batch * places[STORED_IMAGES].image_stride)
    workspace = bytearray(rng.bytes(GUARD + found.workspace_bytes + GUARD))
    guards = bytes(workspace[:GUARD]), bytes(workspace[-GUARD:])

    def memory(name: str) -> tuple[bytearray, int]:
        return (stored, 0) if places[name].in_images else (workspace, GUARD)

    def read(name: str) -> IntArray:
        words = load_words(*memory(name), places[name], found.batch, formats[name].signed)
        return words.reshape(found.batch, *schedule.shapes[name])

    def write(name: str, words: IntArray, pieces: list[slice]) -> None:
        place = places[name]
        for piece in pieces:
            assert piece.start * place.container % 8 == 0
            part = replace(
                place,
                base=place.base + piece.start * place.container // 8,
                channels=len(range(*piece.indices(place.channels))),
            )
            store_words(*memory(name), part, words[:, piece])

    expected = memory_words(network, images)
    write(STORED_IMAGES, expected[STORED_IMAGES], [slice(0, None)])
    compared = 0
    for step in schedule.steps:
        # An engine may write results before it has read all inputs.
        pieces = written(step, tile_columns, lanes)
        write(step.output, rng.integers(0, 2, (found.batch, *schedule.shapes[step.output])), pieces)
        for name in step.inputs:
            np.testing.assert_array_equal(read(name), expected[name], name)
            compared += expected[name].size
        if isinstance(step.layer, IntegerEltwise):  # order matters to all others
            result = run_layer(
                step.layer, [read(name) - formats[name].zero for name in step.inputs]
            )
            np.testing.assert_array_equal(result + formats[step.output].zero, expected[step.output])
        write(step.output, expected[step.output], pieces)
    np.testing.assert_array_equal(read(schedule.output), expected[schedule.output])
    assert (bytes(workspace[:GUARD]), bytes(workspace[-GUARD:])) == guards
    return compared


def written(step: Step, tile_columns: int, lanes: int) -> list[slice]:
    """Return the channels that an engine writes together."""
    spec = step.layer.layer
    channels = spec.out_shape[0]
    groups = spec.groups if isinstance(spec, Conv) else 1
    size = tile_columns if isinstance(spec, WeightLayer) else lanes
    width = channels // groups
    return [
        slice(first, min(first + size, start + width))
        for start in range(0, channels, width)
        for first in range(start, start + width, size)
    ]


def check(network: IntegerNetwork, batch: int, tile_columns: int, lanes: int) -> Schedule:
    """Check everything about the addresses of one network."""
    schedule = schedule_of(network)
    found = address_map(schedule, batch, tile_columns)
    answer = schedule.parts[schedule.output]
    start = found.placements[answer.buffer].base
    kept = range(start, start + batch * found.placements[answer.buffer].image_stride)
    for name, place in found.placements.items():
        fmt, part = schedule.formats[name], schedule.parts[name]
        assert place.container in (storage_bits(fmt.bits), 8)
        assert place.container >= fmt.bits
        assert place.pitch * place.container % 8 == 0
        assert place.image_stride % ALIGNMENT == 0
        assert place.image_stride >= place.image_bytes
        if part.buffer == name:
            assert place.base % ALIGNMENT == 0
            assert place.pitch - place.channels < 8 // min(place.container, 8)
        if not place.in_images:
            last = place.base + (batch - 1) * place.image_stride + place.image_bytes
            assert last <= found.workspace_bytes
    for name, place in found.placements.items():
        if not place.in_images and schedule.parts[name].buffer != answer.buffer:
            end = place.base + (batch - 1) * place.image_stride + place.image_bytes
            assert end <= kept.start or place.base >= kept.stop, f"{name} is where the answer is"
    assert run_in_memory(network, schedule, found, tile_columns, lanes) > 0
    return schedule


@pytest.mark.parametrize("unit", ["hpu", "lpu"])
@pytest.mark.parametrize("batch", [1, 3])
def test_every_layer_kind_in_memory(unit: str, batch: int) -> None:
    made = planned(8, 3)
    schedule = check(getattr(made, unit), batch, 4, 4)
    assert (schedule.steps[0].name == "image") == (unit == "lpu"), "the LPU cuts its images"


@pytest.mark.parametrize("precision", [Precision(4, 2), Precision(3, 3), Precision(8, 5)])
@pytest.mark.parametrize("tile_columns", [3, 4, 8])
def test_containers_make_whole_bytes(precision: Precision, tile_columns: int) -> None:
    check(compiled(every_layer_kind(), precision), 2, tile_columns, 8)


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_in_memory(seed: int) -> None:
    precision = Precision(4, 2 + seed % 7)
    check(compiled(small_network(seed), precision, seed), 1 + seed % 3, 4, 16)


def test_a_concatenation_is_made_by_addresses_and_copied_only_where_it_must() -> None:
    made = planned(8, 4)
    schedule = schedule_of(made.hpu)
    names = [step.name for step in schedule.steps]
    assert not {"concat", "join", "flat"} & set(names)
    assert not [name for name in names if "/" in name]
    assert schedule.parts["w_first"].buffer == schedule.parts["add"].buffer == "concat"
    assert schedule.parts["w_first"].first == 8
    assert schedule.parts["average"].first == 20


def test_shared_inputs_of_concatenations_are_copied() -> None:
    """One tensor in two concatenations, twice in one, nested, and flattened as well."""
    rng = np.random.default_rng(0)

    def conv(name: str, source: str, inputs: int, outputs: int) -> Conv:
        return Conv(
            name=name, inputs=(source,), output=name, out_shape=(outputs, 4, 3),
            weight=rng.normal(0, 0.3, (outputs, inputs, 1, 1)).astype(np.float32),
            bias=np.zeros(outputs, np.float32), activation=RELU, stride=(1, 1), pads=(0, 0, 0, 0),
        )  # fmt: skip

    def concat(name: str, channels: int, *sources: str) -> Concat:
        return Concat(name=name, inputs=sources, output=name, out_shape=(channels, 4, 3))

    def dense(name: str, source: str, inputs: int, outputs: int) -> Dense:
        return Dense(
            name=name, inputs=(source,), output=name, out_shape=(outputs,),
            weight=rng.normal(0, 0.1, (outputs, inputs)).astype(np.float32),
            bias=np.zeros(outputs, np.float32),
        )  # fmt: skip

    layers: tuple[Layer, ...] = (
        conv("a", "image", 2, 3),
        conv("b", "image", 2, 5),
        concat("inner", 8, "a", "b"),
        concat("outer", 16, "inner", "b", "a"),
        concat("twice", 10, "b", "b"),
        conv("c", "outer", 16, 4),
        conv("d", "twice", 10, 3),
        Flatten(name="flat", inputs=("c",), output="flat", out_shape=(48,)),
        Flatten(name="flat_d", inputs=("d",), output="flat_d", out_shape=(36,)),
        Concat(name="vector", inputs=("flat_d", "flat"), output="vector", out_shape=(84,)),
        dense("logits", "vector", 84, 5),
    )
    network = Network(
        name="shared", sha256="0" * 64, input="image", input_shape=(2, 4, 3), output="logits",
        layers=layers, preprocessing=Preprocessing(), softmax_removed=False, classes=5,
    )  # fmt: skip
    for act_bits in (2, 4, 8):
        schedule = check(compiled(network, Precision(4, act_bits)), 2, 4, 4)
        assert [step.name for step in schedule.steps] == [
            "a", "b", "outer/1", "outer/2", "twice/0", "twice/1", "c", "d", "vector/0", "vector/1",
            "logits",
        ]  # fmt: skip
        assert schedule.parts["b"] == replace(schedule.parts["a"], first=3)
        assert schedule.parts["a"].buffer == "outer"


def test_weights_follow_vectors_made_of_flattened_maps() -> None:
    """Behind a flattened map, a vector and an activation: each element meets its weight."""
    rng = np.random.default_rng(3)

    def dense(name: str, source: str, inputs: int, outputs: int) -> Dense:
        return Dense(
            name=name, inputs=(source,), output=name, out_shape=(outputs,),
            weight=np.zeros((outputs, inputs), np.float32), bias=np.zeros(outputs, np.float32),
        )  # fmt: skip

    def network(*layers: Layer) -> Network:
        return Network(
            name="orders", sha256="0" * 64, input="image", input_shape=(2, 3, 4),
            output=layers[-1].output, layers=layers, preprocessing=Preprocessing(),
            softmax_removed=False, classes=4,
        )  # fmt: skip

    flat = Flatten(name="flat", inputs=("image",), output="flat", out_shape=(24,))
    hidden = dense("hidden", "flat", 24, 3)
    joined = Concat(name="joined", inputs=("hidden", "flat"), output="joined", out_shape=(27,))
    active = Activate(name="active", inputs=("joined",), output="active", out_shape=(27,),
                      activation=RELU)  # fmt: skip
    answer = dense("answer", "active", 27, 4)
    made = network(flat, hidden, joined, active, answer)
    image, vector = rng.integers(0, 99, (2, 3, 4)), rng.integers(0, 99, 3)
    weight = rng.integers(-9, 9, (4, 27))
    in_memory = np.concatenate([vector, image.transpose(1, 2, 0).reshape(-1)])
    words = channel_last_weights(made, answer, weight)
    true = weight @ np.concatenate([vector, image.reshape(-1)])
    np.testing.assert_array_equal(words @ in_memory, true)
    np.testing.assert_array_equal(emulator_weights(made, answer, words), weight)
    with pytest.raises(UserError, match="its output is a flattened map of more than one pixel"):
        schedule_of(compiled(network(hidden, flat), Precision(4, 4)))
    wide = dense("wide", "flat", 24, 24)
    added = Add(name="added", inputs=("wide", "flat"), output="added", out_shape=(24,))
    with pytest.raises(UserError, match="layer added adds a flattened map"):
        memory_order(network(flat, wide, added), "added")


def test_images_before_a_dense_layer_are_copied() -> None:
    network = Network(
        name="perceptron", sha256="0" * 64, input="image", input_shape=(3, 3, 3), output="logits",
        layers=(
            Flatten(name="flat", inputs=("image",), output="flat", out_shape=(27,)),
            Dense(name="logits", inputs=("flat",), output="logits", out_shape=(4,),
                  weight=np.full((4, 27), 0.25, np.float32), bias=np.zeros(4, np.float32)),
        ),
        preprocessing=Preprocessing(), softmax_removed=False, classes=4,
    )  # fmt: skip
    schedule = check(compiled(network, Precision(4, 4)), 3, 4, 4)
    assert [step.name for step in schedule.steps] == ["image", "logits"]


def test_dead_buffers_are_used_again() -> None:
    """Twenty convolutions in a row need the space of two maps, whatever the batch."""
    layers: list[Layer] = []
    for index in range(20):
        name = f"c{index}"
        layers.append(Conv(
            name=name, inputs=(layers[-1].output if layers else "image",), output=name,
            out_shape=(8, 16, 16), weight=np.full((8, 8, 1, 1), 0.1, np.float32),
            bias=np.zeros(8, np.float32), activation=RELU, stride=(1, 1), pads=(0, 0, 0, 0),
        ))  # fmt: skip
    pool = MaxPool(name="pool", inputs=("c19",), output="pool", out_shape=(8, 1, 1),
                   kernel=(16, 16), stride=(1, 1), pads=(0, 0, 0, 0))  # fmt: skip
    flat = Flatten(name="flat", inputs=("pool",), output="flat", out_shape=(8,))
    network = Network(
        name="deep", sha256="0" * 64, input="image", input_shape=(8, 16, 16), output="flat",
        layers=(*layers, pool, flat), preprocessing=Preprocessing(), softmax_removed=False,
        classes=8,
    )  # fmt: skip
    integer = compiled(network, Precision(8, 8))
    schedule = schedule_of(integer)
    found = address_map(schedule, 5, 4)
    map_bytes = 5 * 16 * 16 * 8
    # The last map is as wide as the logits are.
    assert found.workspace_bytes <= 3 * map_bytes + 5 * ALIGNMENT


def test_host_and_engine_agree_on_images() -> None:
    assert image_placement((3, 5, 7), Format(4, 0)) == Placement(True, 0, 128, 3, 5, 7, 4, 4)
    assert image_placement((3, 5, 7), Format(8, 0)) == Placement(True, 0, 128, 3, 5, 7, 3, 8)


def test_words_lie_channel_last_with_the_first_lowest() -> None:
    place = Placement(False, 2, 64, 3, 1, 2, 4, 4)
    memory = bytearray(b"\xee" * 80)
    store_words(memory, 1, place, np.array([[[[1, 4]], [[2, 5]], [[3, 6]]]]))
    assert memory[:8] == b"\xee\xee\xee\x21\x03\x54\x06\xee"
    found = load_words(memory, 1, place, 1, signed=False)
    np.testing.assert_array_equal(found, [[[[1, 4]], [[2, 5]], [[3, 6]]]])
    store_words(memory, 1, place, np.full((1, 3, 1, 2), -3))
    assert (load_words(memory, 1, place, 1, signed=True) == -3).all()


def test_a_batch_too_large_for_addresses_is_refused() -> None:
    schedule = schedule_of(compiled(mixed_network(), Precision(8, 8)))
    huge = {name: (shape[0], 1 << 14, 1 << 12) if len(shape) == 3 else shape
            for name, shape in schedule.shapes.items()}  # fmt: skip
    with pytest.raises(UserError, match="more than an engine's 32-bit addresses"):
        address_map(replace(schedule, shapes=MappingProxyType(huge)), 64, 4)
