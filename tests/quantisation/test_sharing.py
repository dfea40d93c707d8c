from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pytest

from tests.quantisation.cases import Case, case_of, logits
from tests.random_networks import every_layer_kind, small_network
from toolflow.emulator.exact_float import Emulator
from toolflow.emulator.integer_network import (
    MAX_SHIFT,
    IntegerNetwork,
    compile_network,
    cut_network,
    quantise_images,
    store,
    window_shift,
)
from toolflow.emulator.reference import run_reference
from toolflow.fixedpoint import BIAS_BITS, CORRECTION_BITS, LOGIT_BITS, Format, planar_high
from toolflow.network.float_reference import float_logits
from toolflow.network.graph import Dense, Flatten, Network, Preprocessing, WeightLayer
from toolflow.quantisation.inputs import sample_inputs
from toolflow.quantisation.rounding import FloatArray
from toolflow.quantisation.scheme import Precision, Scheme
from toolflow.quantisation.search import PAPER, Rules
from toolflow.quantisation.sharing import Method, SharedWords, WeightSharing

# LPU and HPU: W/A each.
PAIRS = [
    *[((4, 4), (8, 8)), ((2, 2), (8, 8)), ((3, 5), (8, 8)), ((8, 8), (8, 8)), ((2, 8), (16, 16))],
    *[((5, 2), (9, 16)), ((8, 4), (16, 8)), ((6, 6), (12, 10)), ((4, 3), (10, 12))],
    *[((8, 2), (8, 16)), ((3, 3), (16, 8)), ((7, 7), (8, 12))],
]
SEEDS = range(24)


class Recording(WeightSharing):
    """Keeps the LPU's integers as they are chosen."""

    chosen: dict[str, FloatArray]

    def _words_around(
        self,
        layer: WeightLayer,
        target: FloatArray,
        integers: FloatArray,
        shift: int,
        precision: tuple[int, int],
    ) -> FloatArray:
        self.chosen[layer.name] = integers.copy()
        return super()._words_around(layer, target, integers, shift, precision)


def sharing_of(case: Case) -> Recording:
    images = case.calibration.images
    sharing = Recording(case.network, case.groups, images, sample_inputs(case.network, images), 1)
    sharing.chosen = {}
    return sharing


@dataclass(frozen=True, eq=False)
class Shared:
    """A case with shared words, and what the two units run."""

    case: Case
    schemes: tuple[Scheme, Scheme]
    words: SharedWords
    chosen: dict[str, FloatArray]
    lpu: IntegerNetwork = field(init=False)
    hpu: IntegerNetwork = field(init=False)

    def __post_init__(self) -> None:
        network, stored = self.case.network, self.words.stored
        object.__setattr__(self, "lpu", cut_network(network, self.words.lpu, stored))
        object.__setattr__(self, "hpu", compile_network(network, stored))


def shared_of(
    network: Network, lpu: tuple[int, int], hpu: tuple[int, int], seed: int = 0
) -> Shared:
    case = case_of(network, seed)
    schemes = case.pair(lpu, hpu)
    sharing = sharing_of(case)
    return Shared(case, schemes, sharing.share(*schemes), sharing.chosen)


@cache
def drawn(seed: int) -> Shared:
    network = small_network(seed) if seed else every_layer_kind(3)
    return shared_of(network, *PAIRS[seed % len(PAIRS)], seed)


def exact_words(shared: Shared, layer: WeightLayer) -> FloatArray:
    """Return the real weights in steps of the stored words."""
    fracs = np.array(shared.words.stored.layers[layer.name].weight_format.fracs)
    rank = (-1, *[1] * (layer.weight.ndim - 1))
    return np.asarray(np.ldexp(layer.weight.astype(np.float64), fracs.reshape(rank)))


def assert_legal(shared: Shared) -> None:
    stored, lpu = shared.words.stored, shared.words.lpu
    bias, correction = Format(BIAS_BITS, 0), Format(CORRECTION_BITS, 0)
    for layer in stored.layers.values():
        assert bias.low < layer.bias.min() <= layer.bias.max() < bias.high, "a saturated bias"
        assert correction.low <= layer.correction.min()
        assert layer.correction.max() <= correction.high
    for unit in (shared.lpu, shared.hpu):
        for matmul in unit.matmuls:
            shift = matmul.requantiser.shift
            assert 0 <= shift.min() <= shift.max() <= MAX_SHIFT
            assert 0 <= matmul.bias_window <= MAX_SHIFT
            assert matmul.weight_window >= 0
    assert not any(matmul.weight_window for matmul in shared.hpu.matmuls)
    for group in shared.case.groups:
        for scheme, precision in zip((lpu, stored.scheme), shared.schemes, strict=True):
            (fmt,) = {scheme.tensors[name] for name in group.tensors}
            act_bits = precision.precision.act_bits
            assert fmt.bits == (LOGIT_BITS if group.is_head else act_bits)
            assert fmt.frac <= precision.tensors[group.name].frac


@pytest.mark.parametrize("seed", SEEDS)
def test_the_window_gives_the_chosen_integers(seed: int) -> None:
    shared = drawn(seed)
    stored, (low, high) = shared.words.stored, shared.schemes
    for layer in shared.lpu.matmuls:
        chosen = shared.chosen[layer.layer.name].reshape(layer.weight.shape)
        np.testing.assert_array_equal(layer.weight, chosen)
        source = stored.layers[layer.layer.name]
        fmt = shared.words.lpu.weights[layer.layer.name]
        assert (fmt.bits, source.weight_format.bits) == (
            low.precision.weight_bits,
            high.precision.weight_bits,
        )
        assert layer.weight_window == window_shift(source.weight_format, fmt)
        assert source.weight.min() >= source.weight_format.words.low
        assert source.weight.max() <= planar_high(source.weight_format.bits, layer.weight_window)
        words = fmt.words
        inside = (words.low < chosen) & (chosen < words.high)
        half = (1 << layer.weight_window) / 2
        offset = (source.weight - chosen * 2 * half)[inside]
        assert (offset >= -half).all()
        assert (offset < max(half, 1)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_words_stay_near_the_real_weights(seed: int) -> None:
    """An integer is at most half of its step beyond the displacement, a word less than a step."""
    shared = drawn(seed)
    for layer in shared.lpu.matmuls:
        spec, source = layer.layer, shared.words.stored.layers[layer.layer.name]
        assert isinstance(spec, WeightLayer)
        step, bits = 1 << layer.weight_window, source.weight_format.bits
        fits = planar_high(bits, layer.weight_window)
        exact = np.clip(exact_words(shared, spec), source.weight_format.words.low, fits)
        words = shared.words.lpu.weights[spec.name].words
        above, below = words.low < layer.weight, layer.weight < words.high
        moved = layer.weight * step - exact
        assert moved[above].max(initial=0) <= Method().displacement + step / 2
        assert moved[below].min(initial=0) >= -Method().displacement - step / 2
        assert (
            np.abs(source.weight - exact)[above & below].max(initial=0)
            <= Method().displacement + step
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_both_units_compile_and_are_legal(seed: int) -> None:
    assert_legal(drawn(seed))


@pytest.mark.parametrize("seed", range(8))
def test_both_units_run_exactly(seed: int) -> None:
    shared = drawn(seed)
    for unit in (shared.lpu, shared.hpu):
        words = quantise_images(shared.case.others[:4], unit.stored_input)
        expected = run_reference(unit, words)
        fast = Emulator(unit, 1, tuple(expected)).run(words)
        for name, value in expected.items():
            np.testing.assert_array_equal(fast[name], value, err_msg=name)


def test_better_than_nearest_words_on_other_images() -> None:
    """The LPU against one whose weights are cut from nearest ones, with a scale a layer."""
    losses = []
    for seed in SEEDS:
        shared = drawn(seed)
        case = shared.case
        low, high = (scheme.precision for scheme in shared.schemes)
        search = case.search(PAPER)
        wide = search.initial(high)
        stored = store(case.network, wide)
        plain = cut_network(case.network, search.initial(low, wide), stored)
        losses.append([case.divergence(unit) for unit in (shared.lpu, plain, shared.hpu)])
    ours, papers, hpus = np.mean(losses, axis=0)
    assert ours < 0.4 * papers
    assert np.mean([mine < other for mine, other, _ in losses]) > 0.85
    assert hpus < 0.1 * ours


def test_corrections_keep_the_mean_of_the_lpus_outputs() -> None:
    drifts = []
    for seed in SEEDS:
        shared = drawn(seed)
        stored, images = shared.words.stored, shared.case.calibration.images
        assert any(layer.correction.any() for layer in stored.layers.values())
        bare = {
            name: replace(layer, correction=np.zeros_like(layer.correction))
            for name, layer in stored.layers.items()
        }
        without = cut_network(shared.case.network, shared.words.lpu, replace(stored, layers=bare))
        mean = shared.case.calibration.logits.mean(axis=0)
        drifts.append(
            [np.abs(logits(x, images).mean(axis=0) - mean).mean() for x in (shared.lpu, without)]
        )
    with_them, without_them = np.mean(drifts, axis=0)
    assert with_them < 0.7 * without_them


def test_sharing_is_repeatable() -> None:
    shared = drawn(1)
    sharing = sharing_of(shared.case)
    sharing.share(*shared.case.pair((3, 3), (8, 8)))
    again = sharing.share(*shared.schemes)
    for name, layer in shared.words.stored.layers.items():
        np.testing.assert_array_equal(layer.weight, again.stored.layers[name].weight)
        np.testing.assert_array_equal(layer.bias, again.stored.layers[name].bias)
        np.testing.assert_array_equal(layer.correction, again.stored.layers[name].correction)


class TestSingleStage:
    def test_it_has_no_correction_and_every_bit(self) -> None:
        case = case_of(every_layer_kind(3))
        scheme = case.search().initial(Precision(4, 4))
        stored = sharing_of(case).single(scheme)
        assert stored.scheme.precision == scheme.precision
        for name, layer in stored.layers.items():
            assert not layer.correction.any()
            assert layer.weight_format == stored.scheme.weights[name]
            assert layer.weight_format.bits == 4
            assert layer.weight.min() >= -8
            assert layer.weight.max() <= 7
        alone = compile_network(case.network, stored)
        cut = cut_network(case.network, stored.scheme, stored)
        for one, other in zip(alone.matmuls, cut.matmuls, strict=True):
            np.testing.assert_array_equal(one.weight, other.weight)
            np.testing.assert_array_equal(one.bias, other.bias)

    @pytest.mark.parametrize("bits", [(2, 4), (4, 4), (8, 8)])
    def test_it_is_better_than_nearest_words(self, bits: tuple[int, int]) -> None:
        losses = []
        for seed in range(1, 7):
            case = case_of(small_network(seed), seed, 96)
            scheme = case.search().initial(Precision(*bits))
            ours = compile_network(case.network, sharing_of(case).single(scheme))
            a_layer = case.search(Rules(scale_a_channel=False)).initial(Precision(*bits))
            units = [
                compile_network(case.network, store(case.network, x)) for x in (scheme, a_layer)
            ]
            losses.append([case.divergence(unit) for unit in (ours, *units)])
        mean = np.exp(np.mean(np.log(losses), axis=0))
        assert mean[0] < mean[1]
        assert mean[0] < 0.6 * mean[2]


def changed(
    network: Network, change: Callable[[np.ndarray, np.ndarray, np.random.Generator], None]
) -> Network:
    rng = np.random.default_rng(5)
    layers = []
    for layer in network.layers:
        if isinstance(layer, WeightLayer):
            weight, bias = layer.weight.copy(), layer.bias.copy()
            change(weight, bias, rng)
            layer = replace(layer, weight=weight, bias=bias)
        layers.append(layer)
    return replace(network, layers=tuple(layers))


def dead(weight: np.ndarray, bias: np.ndarray, rng: np.random.Generator) -> None:
    weight[rng.random(len(weight)) < 0.3] = 0
    weight[0] = 0


def nearly_dead(weight: np.ndarray, bias: np.ndarray, rng: np.random.Generator) -> None:
    weight[rng.random(len(weight)) < 0.4] *= 1e-7


def large_biases(weight: np.ndarray, bias: np.ndarray, rng: np.random.Generator) -> None:
    bias[rng.random(len(bias)) < 0.3] *= 100


def dead_with_large_biases(weight: np.ndarray, bias: np.ndarray, rng: np.random.Generator) -> None:
    dead(weight, bias, rng)
    large_biases(weight, bias, rng)


@pytest.mark.parametrize("pair", [((4, 4), (8, 8)), ((2, 6), (16, 9)), ((8, 8), (8, 8))])
@pytest.mark.parametrize("change", [dead, nearly_dead, large_biases, dead_with_large_biases])
@pytest.mark.parametrize("seed", [3, 4, 24])
def test_odd_channels(
    seed: int,
    change: Callable[[np.ndarray, np.ndarray, np.random.Generator], None],
    pair: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    shared = shared_of(changed(small_network(seed), change), *pair, seed)
    assert_legal(shared)
    case = shared.case
    nearest = compile_network(case.network, store(case.network, shared.schemes[1]))
    assert shared.hpu.accumulator_bits <= nearest.accumulator_bits + 4
    for layer in case.network.weight_layers:
        zero = np.abs(layer.weight).reshape(len(layer.weight), -1).max(axis=1) == 0
        assert not shared.chosen[layer.name].reshape(len(layer.weight), -1)[zero].any()
    expected = float_logits(case.network, case.others, 1)
    units = (shared.lpu, shared.hpu, nearest)
    low, high, plain = (np.std(logits(unit, case.others) - expected) for unit in units)
    # The HPU's words move for the LPU's sake, by up to Method().displacement of their steps.
    assert high <= max(8 * plain, 0.02 * np.std(expected))
    assert low < 0.7 * np.std(expected)


def single_layer(weight: np.ndarray) -> Network:
    outputs, inputs = weight.shape
    flat = Flatten(name="f", inputs=("image",), output="f", out_shape=(inputs,))
    dense = Dense(
        name="d", inputs=("f",), output="d", out_shape=(outputs,),
        weight=weight.astype(np.float32), bias=np.linspace(-1, 1, outputs).astype(np.float32),
    )  # fmt: skip
    return Network(
        name="single",
        sha256="0" * 64,
        input="image",
        input_shape=(inputs, 1, 1),
        output="d",
        layers=(flat, dense),
        preprocessing=Preprocessing(),
        softmax_removed=False,
        classes=outputs,
    )


@pytest.mark.parametrize("pair", PAIRS)
def test_a_single_layer_keeps_its_means(
    pair: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    rng = np.random.default_rng(0)
    shared = shared_of(single_layer(rng.normal(0, 0.4, (6, 12))), *pair)
    assert_legal(shared)
    calibration = shared.case.calibration
    drift = logits(shared.lpu, calibration.images).mean(axis=0) - calibration.logits.mean(axis=0)
    # What the stored input is cut to is not known to the layer: a part of a step remains.
    assert np.abs(drift).max() < 0.5 * shared.words.lpu.tensors["image"].step
    finer = logits(shared.hpu, calibration.images) - calibration.logits
    coarser = logits(shared.lpu, calibration.images) - calibration.logits
    assert np.std(finer) <= 1.1 * np.std(coarser)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_the_largest_weights_fit_the_hpu(bits: int) -> None:
    """Two bits' high plane holds words up to 3/4 of the range: the window must leave room."""
    weight = np.linspace(-0.99, 0.99, 96).reshape(4, 24)
    shared = shared_of(single_layer(weight), (bits, 8), (16, 16))
    (layer,) = shared.case.network.weight_layers
    words = shared.words.stored.layers["d"].weight
    steps = np.abs(words - exact_words(shared, layer)) / (1 << shared.lpu.matmuls[0].weight_window)
    assert steps.max() < 1
    assert np.median(np.abs(words - exact_words(shared, layer))) < 8
    assert shared.case.divergence(shared.hpu) < 1e-4
