from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.random_networks import every_layer_kind, normalised_maps, plain_scheme, small_network
from toolflow.emulator.integer_network import (
    MAX_SHIFT,
    IntegerLrn,
    IntegerMatmul,
    compile_network,
    store,
)
from toolflow.network.graph import Network
from toolflow.quantisation.legality import legalised
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
