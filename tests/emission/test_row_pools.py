from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.random_networks import alex_like, vgg_like
from toolflow.emission.steps import pool_width, row_pools
from toolflow.network.graph import Layer, MaxPool, Network


def changed(network: Network, name: str, **changes: Any) -> Network:
    """Return the network with a layer's fields changed."""
    layers = tuple(
        replace(layer, **changes) if layer.name == name else layer for layer in network.layers
    )
    return replace(network, layers=layers)


def test_windows_side_by_side_are_part_of_the_convolution() -> None:
    network = vgg_like()
    assert {name: pool.name for name, pool in row_pools(network).items()} == {"b": "c"}
    assert pool_width(network) == 12


@pytest.mark.parametrize(
    "changes",
    [
        {"kernel": (3, 3)},
        {"stride": (1, 1)},
        {"kernel": (2, 3), "stride": (2, 3)},
        {"pads": (1, 0, 0, 0)},
        {"kernel": (16, 16), "stride": (16, 16)},
    ],
)
def test_others_are_steps_of_their_own(changes: dict[str, Any]) -> None:
    assert row_pools(changed(vgg_like(), "c", **changes)) == {}


def test_a_map_that_others_want_is_written() -> None:
    network = vgg_like()
    reader = MaxPool(
        name="x", inputs=("b",), output="x", out_shape=(32, 8, 8),
        kernel=(3, 3), stride=(3, 3), pads=(0, 0, 0, 0),
    )  # fmt: skip
    layers: tuple[Layer, ...] = (*network.layers[:3], reader, *network.layers[3:])
    assert row_pools(replace(network, layers=layers)) == {}
    assert row_pools(replace(network, output="b")) == {}


def test_a_pooling_of_what_no_convolution_makes_is_a_step() -> None:
    found = row_pools(alex_like())
    assert all(pool.kernel == pool.stride for pool in found.values())
    assert pool_width(changed(vgg_like(), "c", inputs=("image",))) == 0
