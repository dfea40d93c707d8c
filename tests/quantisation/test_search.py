from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from tests.random_networks import every_layer_kind
from toolflow.emulator.exact_float import Emulator
from toolflow.emulator.integer_network import MAX_SHIFT, quantise_images, store
from toolflow.fixedpoint import Format, dequantise
from toolflow.network.float_reference import float_logits
from toolflow.quantisation.scheme import Precision, format_groups
from toolflow.quantisation.search import Calibration, SchemeSearch
from toolflow.quantisation.statistics import (
    candidate_formats,
    divergence,
    least_error,
    measure_tensors,
    softmax,
    squared_error,
)


@pytest.fixture(scope="module")
def search() -> SchemeSearch:
    network = every_layer_kind(3)
    rng = np.random.default_rng(3)
    images = rng.normal(0, 1, (48, *network.input_shape)).astype(np.float32)
    groups = format_groups(network)
    logits = float_logits(network, images, 1)
    calibration = Calibration(
        images=images,
        labels=logits.argmax(axis=1),
        logits=logits,
        tensors=MappingProxyType(measure_tensors(network, groups, images)),
    )
    return SchemeSearch(network, calibration, groups)


@pytest.mark.parametrize("bits", [(8, 8), (4, 4), (2, 4), (4, 2), (2, 2), (16, 16), (8, 3)])
def test_every_precision_compiles(search: SchemeSearch, bits: tuple[int, int]) -> None:
    precision = Precision(*bits)
    scheme = search.initial(precision)
    network = search.compile(scheme)
    for layer in network.matmuls:
        assert layer.requantiser.shift.min() >= 0
        assert layer.requantiser.shift.max() <= MAX_SHIFT
    for group in search.groups:
        formats = {scheme.tensors[name] for name in group.tensors}
        assert len(formats) == 1
        assert formats.pop().bits == (16 if group.is_logits else precision.act_bits)


def test_more_bits_are_closer_to_float(search: SchemeSearch) -> None:
    losses = [search.loss(search.initial(Precision(b, b))) for b in (2, 4, 8, 12)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-3 < losses[0]


def test_integer_logits_are_the_float_ones(search: SchemeSearch) -> None:
    network = search.compile(search.initial(Precision(12, 12)))
    rng = np.random.default_rng(9)
    images = rng.normal(0, 1, (16, *network.network.input_shape)).astype(np.float32)
    q = Emulator(network).logits(quantise_images(images, network.stored_input))
    logits = dequantise(q, network.logit_format.frac)
    expected = float_logits(network.network, images, 1)
    assert np.abs(logits - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("bits", [(4, 4), (3, 5), (2, 2), (8, 8)])
def test_lpu_schemes_can_be_cut_from_the_hpu(search: SchemeSearch, bits: tuple[int, int]) -> None:
    high = search.initial(Precision(8, 8))
    stored = store(every_layer_kind(3), high)
    scheme = search.initial(Precision(*bits), stored)
    network = search.compile(scheme, stored)
    assert all(0 <= layer.weight_window <= MAX_SHIFT for layer in network.matmuls)
    assert all(0 <= layer.bias_window <= MAX_SHIFT for layer in network.matmuls)


def test_refinement_never_makes_it_worse_and_sometimes_better(search: SchemeSearch) -> None:
    high = search.initial(Precision(8, 8))
    stored = store(every_layer_kind(3), high)
    gains = []
    for bits in ((4, 4), (3, 3), (3, 4)):
        scheme = search.initial(Precision(*bits), stored)
        statistics = search.statistics(scheme, high, stored)
        refined = search.refine(scheme, statistics, stored)
        gains.append(search.loss(scheme, stored) - search.loss(refined, stored))
    assert min(gains) >= 0
    assert max(gains) > 0


def test_statistics_name_every_layer_and_tensor_group(search: SchemeSearch) -> None:
    high = search.initial(Precision(8, 8))
    stored = store(every_layer_kind(3), high)
    scheme = search.initial(Precision(3, 3), stored)
    statistics = search.statistics(scheme, high, stored)
    weights = {s.name for s in statistics if s.kind == "weight"}
    assert weights == {"a", "b", "c", "f", "l", "m"}
    assert {s.name for s in statistics if s.kind == "activation"} == {
        g.name for g in search.groups if not g.is_logits
    }
    assert all(s.bits == 3 for s in statistics)
    assert max(s.divergence for s in statistics) > search.loss(high, stored)


def test_least_error_clips_outliers() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(0, 1, 10000), [60.0]])
    values = values.astype(np.float32)
    candidates = candidate_formats(60.0, 4, True)
    assert candidates[0] == Format(4, -4)
    chosen = least_error(values, candidates)
    assert chosen.frac > candidates[0].frac
    assert squared_error(values, chosen) < squared_error(values, candidates[0])


def test_divergence_is_zero_only_for_equal_logits() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (20, 7))
    assert divergence(softmax(logits), logits) == pytest.approx(0, abs=1e-12)
    assert divergence(softmax(logits), logits[:, ::-1]) > 0.1
