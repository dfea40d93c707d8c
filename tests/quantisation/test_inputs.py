from __future__ import annotations

import numpy as np
import pytest

from tests.random_networks import blocked_channels, every_layer_kind
from toolflow.emulator.reference import im2col
from toolflow.network.float_reference import float_tensors
from toolflow.network.graph import Conv, Network, WeightLayer
from toolflow.quantisation import inputs
from toolflow.quantisation.inputs import patches_at, sample_inputs


def layer_of(network: Network, name: str) -> WeightLayer:
    return next(layer for layer in network.weight_layers if layer.name == name)


# Padded, strided with groups and ragged pads, strided dense, depthwise.
@pytest.mark.parametrize("name", ["a", "b", "c", "f"])
def test_patches_are_the_columns_of_the_product(name: str) -> None:
    network = every_layer_kind()
    layer = layer_of(network, name)
    assert isinstance(layer, Conv)
    rng = np.random.default_rng(0)
    values = rng.integers(-99, 100, (3, *network.shapes[layer.inputs[0]]))
    height, width = layer.out_shape[1:]
    count = 40
    positions = tuple(rng.integers(0, end, count) for end in (3, height, width))
    patches = patches_at(layer, values, positions)
    columns = im2col(layer, values)
    image, row, column = positions
    expected = columns[:, :, (image * height + row) * width + column].transpose(0, 2, 1)
    np.testing.assert_array_equal(patches, expected)
    assert patches.dtype == np.float32
    groups, depth = layer.groups, int(np.prod(layer.weight.shape[1:]))
    assert patches.shape == (groups, count, depth)
    product = patches @ layer.weight.reshape(groups, -1, depth).transpose(0, 2, 1)
    assert product.shape[2] * groups == layer.out_shape[0]


def test_patches_of_a_dense_layer_are_its_vectors() -> None:
    layer = layer_of(every_layer_kind(), "l")
    values = np.arange(5 * 24).reshape(5, 24)
    np.testing.assert_array_equal(
        patches_at(layer, values, (np.array([0, 3]),)), values[None, [0, 3]]
    )


@pytest.mark.parametrize("limit", [4096, 50])
def test_samples_give_the_layers_float_outputs(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampled inputs times weights are the outputs at the sampled positions, in any batch."""
    monkeypatch.setattr(inputs, "POSITIONS", limit)
    monkeypatch.setattr(inputs, "BATCH", 3)
    network = blocked_channels()
    rng = np.random.default_rng(1)
    images = rng.normal(0, 1, (7, *network.input_shape)).astype(np.float32)
    sampled = sample_inputs(network, images, seed=1)
    (tensors,) = float_tensors(network, images, ["c", "logits"], batch=7)
    for name, output in (("c", "c"), ("k", "logits")):
        layer = layer_of(network, name)
        patches = sampled.patches[name]
        made = patches[0] @ layer.weight.reshape(len(layer.weight), -1).T + layer.bias
        positions = sampled.positions[name]
        expected = np.moveaxis(tensors[output], 1, -1)[positions]
        np.testing.assert_allclose(made, expected, atol=1e-4)
    for layer in network.weight_layers:
        positions = sampled.positions[layer.name]
        assert len({*zip(*(axis.tolist() for axis in positions), strict=True)}) == len(positions[0])
        pixels = 7 * int(np.prod(layer.out_shape[1:]))
        assert sampled.patches[layer.name].shape[1] == len(positions[0])
        if isinstance(layer, Conv):
            assert len(positions[0]) == min(limit, pixels)
            assert set(positions[0]) == set(range(7)), "an image without a sample"
        else:
            np.testing.assert_array_equal(positions[0], np.arange(7))


def test_samples_are_repeatable() -> None:
    network = every_layer_kind()
    images = np.random.default_rng(2).normal(0, 1, (3, *network.input_shape)).astype(np.float32)
    first, again = sample_inputs(network, images), sample_inputs(network, images)
    for name, patches in first.patches.items():
        np.testing.assert_array_equal(patches, again.patches[name])
