from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from tests.random_networks import (
    blocked_channels,
    drawn_scheme,
    every_layer_kind,
    group_format,
    normalised_maps,
    plain_scheme,
    small_network,
)
from toolflow.emulator.exact_float import Emulator
from toolflow.emulator.exactness import plan_of
from toolflow.emulator.integer_network import (
    IntegerLayer,
    IntegerMatmul,
    IntegerNetwork,
    compile_network,
    cut_network,
    cut_weights,
    quantise_images,
    store,
)
from toolflow.emulator.reference import accumulate, run_reference
from toolflow.errors import UserError
from toolflow.fixedpoint import LOGIT_BITS, Format, fraction_for, reciprocal_of, round_shift
from toolflow.network.float_reference import float_tensors
from toolflow.network.graph import AvgPool, Conv, Dense, Flatten, Network
from toolflow.network.importer import load_network
from toolflow.quantisation.scheme import (
    Precision,
    Scheme,
    WeightFormat,
    format_groups,
)

PRECISIONS = [(8, 8), (4, 4), (3, 5), (2, 2), (16, 8), (8, 16), (16, 16)]
REAL_NETWORKS = (
    *("lenet_digits", "alex_cifar10", "vgg_cifar10"),
    *("tiny_darknet", "squeezenet_v1.0_dc", "mobilenet_v2_1.0_224_tf2ptq"),
)


def build(precision: tuple[int, int], seed: int = 0) -> IntegerNetwork:
    return compiled(every_layer_kind(seed), precision)


def compiled(network: Network, precision: tuple[int, int]) -> IntegerNetwork:
    scheme = plain_scheme(network, Precision(*precision))
    return compile_network(network, store(network, scheme))


def images(network: IntegerNetwork, count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (count, *network.network.input_shape)
    return quantise_images(rng.normal(0, 1, shape), network.stored_input)


def assert_fast_equals_reference(
    network: IntegerNetwork, words: np.ndarray
) -> dict[str, np.ndarray]:
    expected = run_reference(network, words)
    fast = Emulator(network, threads=2, keep=tuple(expected)).run(words)
    for name, value in expected.items():
        np.testing.assert_array_equal(fast[name], value, err_msg=name)
        assert value.any(), f"{name} is all zero: the comparison says nothing"
    return expected


@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("make", [every_layer_kind, blocked_channels, normalised_maps])
def test_fast_equals_reference_on_every_tensor(
    make: Callable[[int], Network], precision: tuple[int, int], seed: int
) -> None:
    network = compiled(make(seed), precision)
    assert_fast_equals_reference(network, images(network, 19, seed))


@pytest.mark.parametrize("make", [every_layer_kind, blocked_channels, normalised_maps])
def test_a_cut_input_and_cut_weights(make: Callable[[int], Network]) -> None:
    network = make(2)
    stored = store(network, plain_scheme(network, Precision(8, 8)))
    lpu = cut_network(network, plain_scheme(network, Precision(3, 4)), stored)
    assert lpu.input_window
    assert_fast_equals_reference(lpu, images(lpu, 5))


@pytest.mark.parametrize("precision", [*PRECISIONS, (2, 4), (4, 2)], ids=str)
@pytest.mark.parametrize("make", [every_layer_kind, blocked_channels, normalised_maps])
def test_channels_scales_and_zero_points(
    make: Callable[[int], Network], precision: tuple[int, int]
) -> None:
    network = make(3)
    scheme = drawn_scheme(network, Precision(*precision), 3)
    zeros = {fmt.zero for fmt in scheme.tensors.values()}
    assert len(zeros) > 2
    assert any(len(set(fmt.fracs)) > 2 for fmt in scheme.weights.values())
    hpu = compile_network(network, store(network, scheme))
    tensors = assert_fast_equals_reference(hpu, images(hpu, 7))
    for name, value in tensors.items():
        fmt = scheme.tensors[name]
        stored = value + (1 << (fmt.bits - 1) if fmt.signed else fmt.zero)
        assert stored.min() >= 0
        assert stored.max() < 1 << fmt.bits
    with_zero = [name for name, fmt in scheme.tensors.items() if fmt.zero]
    assert min(tensors[name].min() for name in with_zero) < 0


@pytest.mark.parametrize("seed", range(12))
def test_small_networks_and_their_cuts(seed: int) -> None:
    network = small_network(seed)
    hpu_precision = Precision(8, 16) if seed % 3 else Precision(12, 8)
    stored = store(network, drawn_scheme(network, hpu_precision, seed))
    hpu = compile_network(network, stored)
    assert_fast_equals_reference(hpu, images(hpu, 5, seed))
    bits = 2 + seed % 6
    scheme = drawn_scheme(network, Precision(bits, min(bits + 2, 7)), seed)
    lpu = cut_network(network, scheme, stored)
    assert all(layer.weight_window == hpu_precision.weight_bits - bits for layer in lpu.matmuls)
    assert_fast_equals_reference(lpu, images(lpu, 5, seed))


@pytest.mark.parametrize("precision", [(8, 8), (16, 8)], ids=str)
@pytest.mark.parametrize("make", [every_layer_kind, blocked_channels, normalised_maps])
def test_shifts_from_zero_on(make: Callable[[int], Network], precision: tuple[int, int]) -> None:
    network = compiled(make(3), precision)
    rng = np.random.default_rng(3)
    layers: list[IntegerLayer] = []
    for layer in network.layers:
        if isinstance(layer, IntegerMatmul):
            r = layer.requantiser
            shift = r.shift - rng.integers(0, r.shift.min() + 1, len(r.shift))
            shift[0], shift[1] = 0, r.shift[1] + 2
            assert len(np.unique(shift)) > 2
            layers.append(replace(layer, requantiser=replace(r, shift=shift)))
        else:
            layers.append(layer)
    mixed = replace(network, layers=tuple(layers))
    assert_fast_equals_reference(mixed, images(mixed, 7))


@pytest.mark.parametrize("name", REAL_NETWORKS)
def test_fast_equals_reference_on_real_networks(name: str, shared: Path) -> None:
    path = shared / "models" / f"{name}.onnx"
    network = load_network(path)
    rng = np.random.default_rng(4)
    batch = rng.normal(0, 0.5, (1, *network.input_shape)).astype(np.float32)
    integers = compile_by_range(network, batch)
    assert all(plan_of(layer, integers) for layer in integers.layers)
    expected = run_reference(integers, quantise_images(batch, integers.stored_input))
    fast = Emulator(integers, 1, tuple(expected)).run(quantise_images(batch, integers.stored_input))
    for tensor, value in expected.items():
        np.testing.assert_array_equal(fast[tensor], value, err_msg=tensor)
    assert len(np.unique(expected[network.output])) >= min(20, network.classes - 2)


def compile_by_range(network: Network, batch: np.ndarray) -> IntegerNetwork:
    """Compile at 8/8, the formats chosen by the largest value of each weight and tensor."""
    (values,) = float_tensors(network, batch, tuple(network.shapes))
    groups = format_groups(network)
    tensors: dict[str, Format] = {}
    for group in groups:
        limit = max(float(np.abs(values[name]).max()) for name in group.tensors)
        bits = LOGIT_BITS if group.is_head else 8
        frac = fraction_for(limit, bits, group.is_head or not group.non_negative)
        tensors |= dict.fromkeys(group.tensors, group_format(group, 8, frac))
    weights = {
        layer.name: WeightFormat.uniform(
            8, fraction_for(float(np.abs(layer.weight).max()), 8, True), len(layer.weight)
        )
        for layer in network.weight_layers
    }
    for layer in network.weight_layers:
        fmt, data = weights[layer.name], tensors[layer.inputs[0]]
        widest = fmt.frac + data.frac
        if tensors[layer.output].frac > widest:
            for name in next(g.tensors for g in groups if layer.output in g.tensors):
                tensors[name] = replace(tensors[name], frac=widest)
    scheme = Scheme(Precision(8, 8), MappingProxyType(weights), MappingProxyType(tensors))
    return compile_network(network, store(network, scheme))


def test_fast_is_exact_at_the_proven_limit() -> None:
    """All-extreme words: the largest accumulators that 8 bits can reach in this network."""
    network = build((8, 8))
    shape = (4, *network.network.input_shape)
    words = np.full(shape, network.stored_input.low)
    words[1:3] = network.stored_input.high
    words[2, :, ::2] = network.stored_input.low
    expected = run_reference(network, words)["logits"]
    np.testing.assert_array_equal(Emulator(network).logits(words), expected)


@pytest.mark.parametrize("name", ["a", "b", "f"])
def test_accumulators_equal_a_direct_sum(name: str) -> None:
    network = build((8, 8))
    tensors = run_reference(network, images(network, 2))
    layer = next(item for item in network.matmuls if item.layer.name == name)
    spec = layer.layer
    assert isinstance(spec, Conv)
    x = tensors[spec.inputs[0]]
    got = accumulate(layer, x)
    top, left, bottom, right = spec.pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    per_group_in = x.shape[1] // spec.groups
    per_group_out = got.shape[1] // spec.groups
    kernel = spec.weight.shape[2:]
    rng = np.random.default_rng(0)
    for _ in range(200):
        n, o = int(rng.integers(got.shape[0])), int(rng.integers(got.shape[1]))
        y, z = int(rng.integers(got.shape[2])), int(rng.integers(got.shape[3]))
        first = o // per_group_out * per_group_in
        patch = padded[
            n,
            first : first + per_group_in,
            y * spec.stride[0] : y * spec.stride[0] + kernel[0],
            z * spec.stride[1] : z * spec.stride[1] + kernel[1],
        ]
        assert got[n, o, y, z] == int((patch * layer.weight[o]).sum())


def test_accumulator_limit_holds_and_is_reached_by_some_layer() -> None:
    network = build((8, 8))
    tensors = run_reference(network, images(network, 8))
    for layer in network.matmuls:
        biased = accumulate(layer, tensors[layer.layer.inputs[0]])
        assert np.abs(biased).max() <= layer.accumulator_limit
    assert network.accumulator_bits <= 32


def test_sixteen_bits_are_close_to_float() -> None:
    wide, narrow = build((16, 16)), build((4, 4))
    rng = np.random.default_rng(5)
    real = rng.normal(0, 1, (8, *wide.network.input_shape))
    logits = []
    for network in (wide, narrow, build((14, 14))):
        words = quantise_images(real, network.stored_input)
        logits.append(run_reference(network, words)["logits"] * network.logit_format.step)
    assert np.abs(logits[0] - logits[2]).max() < 0.05
    assert np.abs(logits[0] - logits[1]).max() > 0.05


class TestLowPrecisionUnit:
    def test_parameters_are_cut_from_the_stored_words(self) -> None:
        network = every_layer_kind()
        high = plain_scheme(network, Precision(8, 8))
        low = plain_scheme(network, Precision(3, 4))
        stored = store(network, high)
        lpu = cut_network(network, low, stored)
        for layer in lpu.matmuls:
            source = stored.layers[layer.layer.name]
            assert layer.weight_window == 5
            expected = np.clip(round_shift(source.weight, 5), -4, 3)
            np.testing.assert_array_equal(layer.weight, expected)
            np.testing.assert_array_equal(layer.bias, round_shift(source.bias, layer.bias_window))
        assert lpu.input_window == 4
        words = images(lpu, 6)
        assert np.abs(words).max() > 8
        tensors = run_reference(lpu, words)
        np.testing.assert_array_equal(tensors["image"], np.clip(round_shift(words, 4), -8, 7))
        np.testing.assert_array_equal(Emulator(lpu).logits(words), tensors["logits"])

    def test_same_scheme_means_identity(self) -> None:
        network = build((8, 8))
        assert all(m.weight_window == 0 and m.bias_window == 0 for m in network.matmuls)
        assert network.input_window == 0

    def test_finer_than_stored_is_refused(self) -> None:
        network = every_layer_kind()
        stored = store(network, plain_scheme(network, Precision(4, 4)))
        with pytest.raises(ValueError, match="shift"):
            cut_network(network, plain_scheme(network, Precision(8, 8)), stored)

    def test_cut_weights_fit(self) -> None:
        network = every_layer_kind()
        stored = store(network, plain_scheme(network, Precision(8, 8)))
        scheme = plain_scheme(network, Precision(2, 2))
        for name, layer in stored.layers.items():
            cut = cut_weights(layer.weight, layer.weight_format, scheme.weights[name])
            assert cut.min() >= -2
            assert cut.max() <= 1

    def test_corrections_are_the_lpus_alone(self) -> None:
        network = every_layer_kind()
        stored = store(network, plain_scheme(network, Precision(8, 8)))
        scheme = plain_scheme(network, Precision(3, 4))
        plain = cut_network(network, scheme, stored)
        corrections = {
            name: np.arange(len(layer.bias)) - 3 for name, layer in stored.layers.items()
        }
        layers = {
            name: replace(layer, correction=corrections[name])
            for name, layer in stored.layers.items()
        }
        corrected = replace(stored, layers=MappingProxyType(layers))
        lpu, hpu = cut_network(network, scheme, corrected), compile_network(network, corrected)
        for before, after in zip(plain.matmuls, lpu.matmuls, strict=True):
            np.testing.assert_array_equal(after.bias - before.bias, corrections[after.layer.name])
        for layer in hpu.matmuls:
            np.testing.assert_array_equal(layer.bias, stored.layers[layer.layer.name].bias)
        assert_fast_equals_reference(lpu, images(lpu, 4))

    @pytest.mark.parametrize("what", ["weights", "biases"])
    def test_a_window_that_differs_between_channels_is_refused(self, what: str) -> None:
        network = every_layer_kind()
        stored = store(network, plain_scheme(network, Precision(8, 8)))
        scheme = plain_scheme(network, Precision(3, 4))
        name = network.weight_layers[0].name
        if what == "weights":
            fmt = scheme.weights[name]
            scheme = scheme.with_weight(name, replace(fmt, fracs=(fmt.frac + 1, *fmt.fracs[1:])))
        else:
            layer = stored.layers[name]
            fracs = layer.bias_fracs.copy()
            fracs[0] += 1
            layers = {**stored.layers, name: replace(layer, bias_fracs=fracs)}
            stored = replace(stored, layers=MappingProxyType(layers))
        with pytest.raises(ValueError, match="several shifts"):
            cut_network(network, scheme, stored)


def test_an_accumulator_beyond_the_hardware_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolflow.emulator.integer_network.MAX_ACCUMULATOR_BITS", 20)
    with pytest.raises(UserError, match="accumulator"):
        build((16, 16))


def averaged_map(size: int) -> Network:
    """A convolution, the average of its whole map, and logits of that."""
    network = every_layer_kind()
    logits = network.layers[-1]
    assert isinstance(logits, Dense)
    first = replace(network.layers[0], out_shape=(8, size, size))
    whole = AvgPool(
        name="whole", inputs=("a",), output="whole", out_shape=(8, 1, 1), kernel=(size, size),
        stride=(1, 1), pads=(0, 0, 0, 0),
    )  # fmt: skip
    flat = Flatten(name="flat", inputs=("whole",), output="flat", out_shape=(8,))
    logits = replace(logits, inputs=("flat",), weight=logits.weight[:, :8])
    layers = (first, whole, flat, logits)
    return replace(network, layers=layers, input_shape=(3, size, size))


@pytest.mark.parametrize(("size", "act_bits", "needed"), [(14, 8, 32), (112, 16, 46), (255, 8, 40)])
def test_the_vector_unit_has_room_for_the_largest_words(
    size: int, act_bits: int, needed: int
) -> None:
    network = averaged_map(size)
    scheme = plain_scheme(network, Precision(8, act_bits))
    largest = size * size * ((1 << act_bits) - 1) * reciprocal_of(size * size).mantissa
    assert 1 << (needed - 2) <= largest < 1 << (needed - 1)
    assert compile_network(network, store(network, scheme)).vector_bits == needed


def test_an_average_beyond_the_vector_unit_is_refused() -> None:
    network = averaged_map(255)
    stored = store(network, plain_scheme(network, Precision(8, 16)))
    with pytest.raises(UserError, match="an average pooling or an addition needs 48 bits"):
        compile_network(network, stored)


def test_groups_tie_what_moves_without_arithmetic() -> None:
    groups = {group.name: group for group in format_groups(every_layer_kind())}
    assert groups["c"].tensors == ("c", "d", "e")
    assert not groups["c"].non_negative
    assert groups["g"].tensors == ("g", "h")
    assert groups["g"].non_negative
    assert groups["i"].non_negative
    assert groups["logits"].is_head
    assert not groups["logits"].non_negative
