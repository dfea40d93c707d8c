from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.random_networks import blocked_channels, every_layer_kind, plain_scheme
from toolflow.emulator import exact_float
from toolflow.emulator.exact_float import Emulator
from toolflow.emulator.exactness import (
    Finish,
    Plan,
    Range,
    digit_ranges,
    digits_of,
    leaky_in_float32,
    partial_sum_limit,
    plan_of,
)
from toolflow.emulator.integer_network import (
    IntegerAvgPool,
    IntegerMatmul,
    IntegerNetwork,
    Requantiser,
    compile_network,
    quantise_images,
    store,
)
from toolflow.emulator.reference import run_layer, run_reference
from toolflow.fixedpoint import leaky, slope_of
from toolflow.network.graph import AvgPool, Network
from toolflow.quantisation.scheme import Precision


def build(network: Network, bits: tuple[int, int]) -> IntegerNetwork:
    scheme = plain_scheme(network, Precision(*bits))
    return compile_network(network, store(network, scheme))


def plans(network: IntegerNetwork) -> dict[str, Plan | None]:
    return {layer.layer.name: plan_of(layer, network) for layer in network.layers}


def test_every_way_to_compute_is_used() -> None:
    eight = plans(build(every_layer_kind(), (8, 8)))
    assert {plan.finish for plan in eight.values() if plan} == {Finish.NEAREST, Finish.WIDE}
    assert eight["i"] == Plan(Finish.WIDE), "an average's reciprocal needs float64"
    wide = plans(build(every_layer_kind(), (16, 8)))
    cuts = {len(plan.weight_digits) for plan in wide.values() if plan}
    assert {1, 2} <= cuts
    widest = plans(build(every_layer_kind(), (16, 16)))
    assert any(plan and len(plan.input_digits) > 1 for plan in widest.values())


def test_beyond_the_digits_the_reference_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolflow.emulator.exactness.MOST_PRODUCTS", 1)
    network = build(every_layer_kind(), (16, 16))
    kinds = {plan is None for plan in plans(network).values()}
    assert kinds == {True, False}
    rng = np.random.default_rng(0)
    words = quantise_images(rng.normal(0, 1, (3, *network.network.input_shape)), network.input)
    expected = run_reference(network, words)["logits"]
    np.testing.assert_array_equal(Emulator(network).logits(words), expected)


def test_a_bound_just_below_and_just_above() -> None:
    """A dense layer whose largest sum is moved over each limit by its bias."""
    network = build(every_layer_kind(), (8, 8))
    layer = next(m for m in network.matmuls if m.layer.name == "l")
    fmt = network.scheme.tensors[layer.layer.inputs[0]]
    limit = partial_sum_limit(layer.weight, Range(fmt.low, fmt.high)).max()
    shift = np.full_like(layer.requantiser.shift, 4)
    finishes = {}
    for total in (2**23 - 1, 2**23, 2**24 - 8, 2**24 - 7):
        bias = np.full_like(layer.bias, total - limit)
        changed = replace(layer, bias=bias, requantiser=replace(layer.requantiser, shift=shift))
        plan = plan_of(changed, network)
        assert plan is not None
        finishes[total] = plan.finish
    assert list(finishes.values()) == [Finish.NEAREST, Finish.FLOOR, Finish.FLOOR, Finish.WIDE]


@pytest.mark.parametrize("inputs", [Range(0, 255), Range(-128, 127), Range(-5, 9)])
def test_partial_sums_are_bounded_in_every_order(inputs: Range) -> None:
    rng = np.random.default_rng(1)
    weight = rng.integers(-9, 10, (4, 3, 2, 1))
    limit = partial_sum_limit(weight, inputs)
    reached = np.zeros(4, np.int64)
    for row in range(4):
        flat = weight[row].ravel()
        worst = np.where(flat > 0, inputs.high, inputs.low) * flat
        best = np.where(flat > 0, inputs.low, inputs.high) * flat
        reached[row] = max(worst.sum(), -best.sum())
        for _ in range(50):
            chosen = rng.integers(inputs.low, inputs.high + 1, flat.size) * flat
            partial = np.abs(np.cumsum(rng.permutation(chosen)))
            assert partial.max() <= limit[row]
    np.testing.assert_array_equal(limit, reached)


@pytest.mark.parametrize("exponents", [(0,), (0, 4), (0, 8), (0, 6, 12)])
def test_digits_make_up_the_integers(exponents: tuple[int, ...]) -> None:
    words = np.arange(-(1 << 15), 1 << 15)
    digits = digits_of(words, exponents)
    total = sum(digit << exponent for digit, exponent in zip(digits, exponents, strict=True))
    np.testing.assert_array_equal(np.asarray(total), words)
    ranges = digit_ranges(Range(-(1 << 15), (1 << 15) - 1), exponents)
    for digit, bounds in zip(digits, ranges, strict=True):
        assert (digit.min(), digit.max()) == (bounds.low, bounds.high)


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.125, 0.2, 0.25, 0.3, 0.5, 0.999])
@pytest.mark.parametrize("bits", [2, 4, 6, 8])
def test_float32_leaky_relu_is_exact(alpha: float, bits: int) -> None:
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    requantiser = Requantiser(np.zeros(1, np.int64), low, high, slope_of(alpha), bits)
    found = leaky_in_float32(requantiser)
    assert found is not None
    first, slope = found
    y = np.arange(-(1 << (bits + 7)), 1 << (bits + 7))
    exact = np.clip(leaky(y, slope_of(alpha), bits), low, high)
    clamped = np.clip(y, first, high).astype(np.float32)
    fast = np.rint(np.where(clamped < 0, clamped * np.float32(slope), clamped))
    np.testing.assert_array_equal(fast, exact)


def test_a_slope_above_one_is_left_to_float64_or_floor() -> None:
    requantiser = Requantiser(np.zeros(1, np.int64), -128, 127, slope_of(1.5), 8)
    assert leaky_in_float32(requantiser) is None


def test_average_divides_by_what_each_window_covers() -> None:
    """Padding below and to the right that no window reaches must not count."""
    integers = build(blocked_channels(), (8, 12))
    layer = next(one for one in integers.layers if one.layer.name == "h")
    assert isinstance(layer, IntegerAvgPool)
    assert isinstance(layer.layer, AvgPool)
    source, out = (integers.scheme.tensors[name] for name in ("g", "h"))
    words = np.full((1, 32, 6, 5), source.high // 2)
    got = run_layer(layer, [words]) * out.step
    np.testing.assert_allclose(got, source.high // 2 * source.step, atol=out.step)


def test_chunks_are_small_where_maps_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(every_layer_kind(), (4, 4))
    rng = np.random.default_rng(0)
    words = quantise_images(rng.normal(0, 1, (5, *network.network.input_shape)), network.input)
    whole = Emulator(network).logits(words)
    sizes: list[int] = []
    cut = exact_float._cut

    def counted(of: IntegerNetwork, part: np.ndarray) -> np.ndarray:
        sizes.append(len(part))
        return cut(of, part)

    monkeypatch.setattr(exact_float, "_cut", counted)
    largest = max(int(np.prod(shape)) for shape in network.network.shapes.values())
    monkeypatch.setattr(exact_float, "CHUNK_BYTES", 2 * 4 * largest)
    np.testing.assert_array_equal(Emulator(network, 1).logits(words), whole)
    assert sizes == [2, 2, 1]


def test_matmuls_know_their_limit() -> None:
    network = build(every_layer_kind(), (8, 8))
    for layer in network.matmuls:
        fmt = network.scheme.tensors[layer.layer.inputs[0]]
        limit = partial_sum_limit(layer.weight, Range(fmt.low, fmt.high))
        assert isinstance(layer, IntegerMatmul)
        assert (limit + np.abs(layer.bias)).max() <= layer.accumulator_limit
