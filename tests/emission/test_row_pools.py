from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.random_networks import alex_like, vgg_like
from toolflow.emission.steps import ended_windows, pool_width, row_pools
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
        {"kernel": (4, 4)},
        {"stride": (1, 1)},
        {"kernel": (2, 3), "stride": (2, 3)},
        {"pads": (1, 0, 0, 0)},
        {"pads": (2, 2, 0, 0), "kernel": (3, 3), "stride": (3, 3)},
        {"kernel": (16, 16), "stride": (16, 16)},
        {"kernel": (3, 3), "pads": (1, 1, 2, 2), "out_shape": (32, 13, 13)},
    ],
)
def test_others_are_steps_of_their_own(changes: dict[str, Any]) -> None:
    assert row_pools(changed(vgg_like(), "c", **changes)) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"kernel": (3, 3), "out_shape": (32, 11, 11)},
        {"kernel": (3, 3), "pads": (0, 0, 1, 1)},
        {"kernel": (3, 3), "pads": (1, 1, 0, 0)},
        {"kernel": (3, 3), "stride": (3, 3), "pads": (1, 1, 1, 1), "out_shape": (32, 8, 8)},
    ],
)
def test_so_are_windows_that_share_a_line_or_reach_over_the_end(changes: dict[str, Any]) -> None:
    assert set(row_pools(changed(vgg_like(), "c", **changes))) == {"b"}


@pytest.mark.parametrize("pixels", range(2, 20))
@pytest.mark.parametrize(("stride", "overlap"), [(2, 0), (2, 1), (3, 0), (3, 1)])
def test_windows_that_end_one_by_one(pixels: int, stride: int, overlap: int) -> None:
    """Counted: pixels that end a window, the last one whatever has begun but is not shared."""
    ends = [min(first + stride + overlap, pixels) - 1 for first in range(0, pixels, stride)]
    alone = [end for place, end in enumerate(ends) if end not in ends[:place]]
    assert ended_windows(pixels, stride, overlap) == len(alone)


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
    assert set(row_pools(alex_like())) == {"a", "f"}
    assert pool_width(changed(vgg_like(), "c", inputs=("image",))) == 0
