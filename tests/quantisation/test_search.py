from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.quantisation.cases import Case, case_of, logits
from tests.random_networks import every_layer_kind, small_network
from toolflow.emulator.integer_network import MAX_SHIFT, store
from toolflow.fixedpoint import LOGIT_BITS, Format, fraction_for
from toolflow.network.float_reference import float_logits
from toolflow.quantisation.inputs import sample_inputs
from toolflow.quantisation.scheme import Precision, WeightFormat, format_groups
from toolflow.quantisation.search import (
    LOGIT_HEADROOM,
    PAPER,
    Rules,
    SchemeSearch,
    _neighbouring_formats,
)
from toolflow.quantisation.sharing import WeightSharing


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of(every_layer_kind(3), 3, 48)


@pytest.fixture(scope="module")
def search(case: Case) -> SchemeSearch:
    return case.search()


@pytest.mark.parametrize("rules", [Rules(), PAPER], ids=["ours", "paper"])
@pytest.mark.parametrize("bits", [(8, 8), (4, 4), (2, 4), (4, 2), (2, 2), (16, 16), (8, 3)])
def test_every_precision_compiles(case: Case, rules: Rules, bits: tuple[int, int]) -> None:
    search, precision = case.search(rules), Precision(*bits)
    scheme = search.initial(precision)
    network = search.compile(scheme)
    for layer in network.matmuls:
        assert layer.requantiser.shift.min() >= 0
        assert layer.requantiser.shift.max() <= MAX_SHIFT
    for group in search.groups:
        (fmt,) = {scheme.tensors[name] for name in group.tensors}
        assert fmt.bits == (LOGIT_BITS if group.is_head else precision.act_bits)
        assert fmt.signed or not group.is_head


def test_more_bits_are_closer_to_float(search: SchemeSearch) -> None:
    losses = [search.loss(search.initial(Precision(b, b))) for b in (2, 4, 8, 12)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-3 < losses[0]


def test_integer_logits_are_the_float_ones(case: Case, search: SchemeSearch) -> None:
    network = search.compile(search.initial(Precision(12, 12)))
    expected = float_logits(case.network, case.others, 1)
    error = np.abs(logits(network, case.others) - expected).max()
    assert error < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("bits", [(4, 4), (3, 5), (2, 2), (8, 8)])
def test_lpu_schemes_can_be_cut_from_the_hpu(search: SchemeSearch, bits: tuple[int, int]) -> None:
    high = search.initial(Precision(8, 8))
    stored = store(every_layer_kind(3), high)
    scheme = search.initial(Precision(*bits), high)
    network = search.compile(scheme, stored)
    assert all(0 <= layer.weight_window <= MAX_SHIFT for layer in network.matmuls)
    assert all(0 <= layer.bias_window <= MAX_SHIFT for layer in network.matmuls)
    for name, fmt in scheme.tensors.items():
        assert fmt.frac <= high.tensors[name].frac


class TestZeroPoints:
    def test_only_what_may_be_negative_inside_has_them(self, search: SchemeSearch) -> None:
        for bits in (3, 4, 8):
            scheme = search.initial(Precision(bits, bits))
            leaky = scheme.tensors["b"]
            assert leaky.zero
            assert leaky.zero < 1 << (bits - 1), "LeakyReLU's negative values are the smaller ones"
            for group in search.groups:
                fmt = scheme.tensors[group.name]
                if group.is_input or group.is_head:
                    assert (fmt.signed, fmt.zero) == (True, 0)
                elif group.non_negative:
                    assert (fmt.signed, fmt.zero) == (False, 0)
                else:
                    assert fmt.signed == (fmt.zero == 0)

    def test_heads_of_pooling_alone_are_signed_and_wide(self) -> None:
        network = next(
            net
            for net in map(small_network, range(20))
            if [layer.op for layer in net.layers[-2:]] == ["avgpool", "flatten"]
        )
        head = next(group for group in format_groups(network) if network.output in group.tensors)
        before = network.layers[-2].inputs[0]
        groups = [g for g in format_groups(network) if g.is_head]
        assert head in groups
        assert any(before in group.tensors for group in groups)
        case = case_of(network)
        scheme = case.search().initial(Precision(3, 3))
        for group in groups:
            fmt = scheme.tensors[group.name]
            assert (fmt.bits, fmt.signed, fmt.zero) == (LOGIT_BITS, True, 0)

    def test_rules_can_do_without(self, case: Case) -> None:
        scheme = case.search(Rules(zero_points=False)).initial(Precision(4, 4))
        assert not any(fmt.zero for fmt in scheme.tensors.values())
        assert not scheme.tensors["a"].signed
        signed = case.search(Rules(zero_points=False, unsigned=False)).initial(Precision(4, 4))
        assert all(fmt.signed for fmt in signed.tensors.values())

    def test_they_help(self, case: Case) -> None:
        precision = Precision(8, 4)
        losses = [
            search.loss(search.initial(precision))
            for search in (case.search(), case.search(Rules(zero_points=False)))
        ]
        assert losses[0] < losses[1]


class TestPaperRules:
    @pytest.mark.parametrize("bits", [(4, 4), (8, 8), (3, 6)])
    def test_activations_are_signed_and_scaled_by_the_largest(
        self, case: Case, bits: tuple[int, int]
    ) -> None:
        scheme = case.search(PAPER).initial(Precision(*bits))
        wanted = {}
        for group in case.groups:
            limit = case.calibration.tensors[group.name].limit
            width = LOGIT_BITS if group.is_head else bits[1]
            if group.is_head:
                limit *= LOGIT_HEADROOM
            wanted[group.name] = Format(width, fraction_for(limit, width, True))
        for group in case.groups:
            fmt = scheme.tensors[group.name]
            assert fmt == wanted[group.name].at(fmt.frac)
            assert fmt.frac <= wanted[group.name].frac
        coarsened = [name for name, fmt in wanted.items() if scheme.tensors[name] != fmt]
        assert len(coarsened) <= 2, "only what has coarser products is coarser"

    def test_weights_have_a_scale_a_layer_from_the_largest(self, case: Case) -> None:
        scheme = case.search(PAPER).initial(Precision(4, 4))
        for layer in case.network.weight_layers:
            frac = fraction_for(float(np.abs(layer.weight).max()), 4, True)
            expected = WeightFormat.uniform(4, frac, len(layer.weight))
            assert scheme.weights[layer.name] == expected

    def test_refinement_moves_weights_only_by_these_rules(self, case: Case) -> None:
        for rules, moves in ((Rules(), False), (PAPER, True)):
            search = case.search(rules)
            scheme = search.initial(Precision(3, 4))
            statistics = search.statistics(scheme, scheme)
            statistics = tuple(s for s in statistics if s.kind == "weight")
            refined = search.refine(scheme, statistics)
            assert (dict(refined.weights) != dict(scheme.weights)) == moves
            assert refined.tensors == scheme.tensors


@pytest.mark.parametrize("rules", [Rules(), PAPER], ids=["ours", "paper"])
def test_refinement_never_makes_it_worse_and_sometimes_better(case: Case, rules: Rules) -> None:
    search = case.search(rules)
    high = search.initial(Precision(8, 8))
    stored = store(every_layer_kind(3), high)
    gains = []
    for bits in ((4, 4), (3, 3), (3, 4)):
        scheme = search.initial(Precision(*bits), high)
        statistics = search.statistics(scheme, high, stored)
        refined = search.refine(scheme, statistics, stored)
        gains.append(search.loss(scheme, stored) - search.loss(refined, stored))
    assert min(gains) >= 0
    assert max(gains) > 0


def test_refinement_of_shared_words_is_not_worse(case: Case) -> None:
    images = case.calibration.images
    sharing = WeightSharing(
        case.network, case.groups, images, sample_inputs(case.network, images), 1
    )
    shared = sharing.share(*case.pair((3, 3), (8, 8)))
    search = case.search()
    statistics = search.statistics(shared.lpu, shared.lpu, shared.stored)
    assert len(statistics) > len(case.network.weight_layers)
    refined = search.refine(shared.lpu, statistics, shared.stored)
    assert search.loss(refined, shared.stored) <= search.loss(shared.lpu, shared.stored)
    assert refined.weights == shared.lpu.weights


@pytest.mark.parametrize("rules", [Rules(), PAPER], ids=["ours", "paper"])
def test_statistics_name_what_the_search_moves(case: Case, rules: Rules) -> None:
    search = case.search(rules)
    high = search.initial(Precision(8, 8))
    stored = store(every_layer_kind(3), high)
    scheme = search.initial(Precision(3, 3), high)
    statistics = search.statistics(scheme, high, stored)
    weights = {s.name for s in statistics if s.kind == "weight"}
    assert weights == ({"a", "b", "c", "f", "l", "m"} if rules.refine_weights else set())
    assert {s.name for s in statistics if s.kind == "activation"} == {
        g.name for g in search.groups if not g.is_head
    }
    assert all(s.bits == 3 for s in statistics)
    assert max(s.divergence for s in statistics) > search.loss(high, stored)


def test_neighbours_are_a_step_away() -> None:
    signed = Format(4, 3)
    assert list(_neighbouring_formats(signed)) == [signed.at(4), signed.at(2)]
    fmt = Format(8, 3, signed=False, zero=40)
    zeros = [replace(fmt, zero=zero) for zero in (45, 35)]
    assert list(_neighbouring_formats(fmt)) == [fmt.at(4), fmt.at(2), *zeros]
    least = Format(4, 3, signed=False, zero=1)
    assert list(_neighbouring_formats(least))[2:] == [replace(least, zero=2)]
    most = Format(2, 3, signed=False, zero=3)
    assert list(_neighbouring_formats(most))[2:] == [replace(most, zero=2)]
