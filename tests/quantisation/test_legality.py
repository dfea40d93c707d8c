from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.random_networks import every_layer_kind, normalised_maps, plain_scheme, small_network
from toolflow.emulator.integer_network import (
    MAX_ACCUMULATOR_BITS,
    MAX_SHIFT,
    IntegerLrn,
    IntegerMatmul,
    compile_network,
    store,
)
from toolflow.fixedpoint import reciprocal_of
from toolflow.network.graph import Add, Conv, Network
from toolflow.quantisation.legality import MAX_ALIGN, legalised
from toolflow.quantisation.scheme import Precision, Scheme, format_groups


def shaken(network: Network, seed: int, by: int) -> Scheme:
    """Fraction lengths moved at random: most such schemes are not legal."""
    rng = np.random.default_rng(seed)
    scheme = plain_scheme(network, Precision(4, 6))
    for group in format_groups(network):
        fmt = scheme.tensors[group.name]
        scheme = scheme.with_group(group, fmt.at(fmt.frac + int(rng.integers(-by, by + 1))))
    for layer in network.weight_layers:
        weights = scheme.weights[layer.name].shifted(int(rng.integers(-by, by + 1)))
        fracs = tuple(frac + int(rng.integers(3)) for frac in weights.fracs)
        scheme = scheme.with_weight(layer.name, replace(weights, fracs=fracs))
    return scheme


@pytest.mark.parametrize("by", [3, 12, 30])
@pytest.mark.parametrize("seed", range(15))
def test_any_scheme_becomes_one_that_compiles(seed: int, by: int) -> None:
    network = (every_layer_kind(), normalised_maps(), small_network(seed))[min(seed, 2)]
    groups = format_groups(network)
    before = shaken(network, seed, by)
    after = legalised(before, network, groups)
    for layer in compile_network(network, store(network, after)).layers:
        if isinstance(layer, IntegerMatmul | IntegerLrn):
            assert 0 <= layer.requantiser.shift.min() <= layer.requantiser.shift.max() <= MAX_SHIFT
    for group in groups:
        assert len({after.tensors[name] for name in group.tensors}) == 1
    for name, fmt in after.tensors.items():
        assert fmt == before.tensors[name].at(fmt.frac)
        assert fmt.frac <= before.tensors[name].frac
    for name, weights in after.weights.items():
        moved = weights.frac - before.weights[name].frac
        assert moved <= 0
        assert weights == before.weights[name].shifted(moved)
    assert legalised(after, network, groups) is after


def test_a_legal_scheme_is_left_alone() -> None:
    network = every_layer_kind()
    scheme = plain_scheme(network, Precision(8, 8))
    assert legalised(scheme, network, format_groups(network)) is scheme


def test_an_output_is_no_finer_than_its_coarsest_channel() -> None:
    network = every_layer_kind()
    scheme = plain_scheme(network, Precision(8, 8))
    groups = format_groups(network)
    fmt = scheme.weights["a"]
    coarse = replace(fmt, fracs=(-1, *fmt.fracs[1:]))
    after = legalised(scheme.with_weight("a", coarse), network, groups)
    assert after.tensors["a"].frac == scheme.tensors["image"].frac - 1
    assert after.weights["a"] == coarse


def test_shifts_too_long_coarsen_the_weights() -> None:
    network = every_layer_kind()
    scheme = plain_scheme(network, Precision(8, 8))
    fmt = scheme.weights["a"]
    fine = replace(fmt, fracs=(fmt.frac, fmt.frac + MAX_SHIFT, *fmt.fracs[2:]))
    after = legalised(scheme.with_weight("a", fine), network, format_groups(network))
    surplus = fmt.frac + MAX_SHIFT + scheme.tensors["image"].frac - scheme.tensors["a"].frac
    assert after.weights["a"] == fine.shifted(MAX_SHIFT - surplus)


def test_channels_too_far_apart_are_refused() -> None:
    network = every_layer_kind()
    scheme = plain_scheme(network, Precision(8, 8))
    fmt = scheme.weights["a"]
    fine = replace(fmt, fracs=(fmt.frac, fmt.frac + MAX_SHIFT + 1, *fmt.fracs[2:]))
    with pytest.raises(ValueError, match="a: fraction lengths"):
        legalised(scheme.with_weight("a", fine), network, format_groups(network))


def moved(network: Network, name: str, by: int) -> Scheme:
    """A legal scheme but for one group of tensors, finer by some bits or coarser."""
    scheme = plain_scheme(network, Precision(8, 8))
    group = next(group for group in format_groups(network) if name in group.tensors)
    return scheme.with_group(group, scheme.tensors[name].at(scheme.tensors[name].frac + by))


def test_an_average_of_words_too_fine_for_its_shift_gets_coarser_ones() -> None:
    network = every_layer_kind()
    scheme = moved(network, "i", -40)
    after = legalised(scheme, network, format_groups(network))
    longest = reciprocal_of(9).shift
    assert after.tensors["h"].frac - after.tensors["i"].frac + longest == MAX_SHIFT
    compile_network(network, store(network, after))


def test_an_addition_of_scales_too_far_apart_gets_closer_ones() -> None:
    network = every_layer_kind()
    scheme = moved(network, "d", -60)
    after = legalised(scheme, network, format_groups(network))
    fracs = [after.tensors[name].frac for name in ("b", "c")]
    assert max(fracs) - min(fracs) == MAX_ALIGN
    assert compile_network(network, store(network, after)).vector_bits <= MAX_ACCUMULATOR_BITS


def test_a_sum_with_what_is_made_of_it_by_vanishing_weights_is_refused() -> None:
    """The one term has to be coarser the coarser the other is, without end."""
    first = every_layer_kind().layers[0]
    assert isinstance(first, Conv)
    conv = replace(first, weight=first.weight[:3], bias=first.bias[:3], out_shape=(3, 13, 11))
    total = Add(name="sum", inputs=("image", "a"), output="sum", out_shape=(3, 13, 11))
    network = replace(every_layer_kind(), layers=(conv, total), output="sum")
    scheme = plain_scheme(network, Precision(8, 8))
    scheme = scheme.with_weight("a", scheme.weights["a"].shifted(-60))
    with pytest.raises(ValueError, match="no fraction lengths are legal"):
        legalised(scheme, network, format_groups(network))
