from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toolflow.network.float_reference import float_logits
from toolflow.network.graph import Concat, Conv, Dense, Lrn, Preprocessing
from toolflow.network.importer import load_network
from toolflow.network.inspection import inspect_model
from toolflow.network.verdict import Status

# million multiply-accumulates, parameters: as stated where the models come from, or counted there
MODELS = {
    "alex_cifar10": (28.6, 557_000),
    "lenet_digits": (0.2, 7_200),
    "vgg_cifar10": (43.6, 847_000),
    "tiny_darknet": (491.5, 1_040_000),
    "squeezenet_v1.0_dc": (861.3, 1_248_000),
    "mobilenet_v2_1.0_224_tf2ptq": (300.8, 3_488_000),
}


@pytest.mark.parametrize("name", MODELS)
def test_import_computes_what_the_file_computes(name: str, shared: Path) -> None:
    path = shared / "models" / f"{name}.onnx"
    network = load_network(path)
    million_macs, parameters = MODELS[name]
    assert network.macs / 1e6 == pytest.approx(million_macs, abs=0.06)
    assert network.parameters == pytest.approx(parameters, rel=0.01)
    images = np.random.default_rng(1).normal(0, 1, (1, *network.input_shape)).astype(np.float32)
    want = float_logits(path, images, threads=2)
    got = float_logits(network, images, threads=2)
    assert got.shape == (1, network.classes)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


def test_own_models_state_their_preprocessing(shared: Path) -> None:
    network = load_network(shared / "models" / "vgg_cifar10.onnx")
    assert network.preprocessing.stated
    assert network.preprocessing.scale == 255.0
    assert network.preprocessing.mean == (0.4914, 0.4822, 0.4465)
    assert network.preprocessing.std == (0.247, 0.2435, 0.2616)
    assert network.class_names[3] == "cat"


def test_notes_of_other_models_are_read(shared: Path) -> None:
    darknet, mobilenet, squeezenet = (
        load_network(shared / "models" / f"{name}.onnx").preprocessing
        for name in ("tiny_darknet", "mobilenet_v2_1.0_224_tf2ptq", "squeezenet_v1.0_dc")
    )
    assert darknet == Preprocessing(255.0, (0.0,), (1.0,), "RGB", True, 224)
    assert mobilenet == Preprocessing(1.0, (127.5,), (127.5,), "RGB", True)
    assert squeezenet == Preprocessing(1.0, (104.0, 117.0, 123.0), (1.0,), "BGR", True, 256)


def test_every_activation_of_the_real_networks_fuses(shared: Path) -> None:
    for name in MODELS:
        network = load_network(shared / "models" / f"{name}.onnx")
        assert all(layer.op != "activate" for layer in network.layers), name
    squeezenet = load_network(shared / "models" / "squeezenet_v1.0_dc.onnx")
    assert sum(isinstance(layer, Concat) for layer in squeezenet.layers) == 8
    mobilenet = load_network(shared / "models" / "mobilenet_v2_1.0_224_tf2ptq.onnx")
    depthwise = [one for one in mobilenet.layers if isinstance(one, Conv) and one.groups > 1]
    assert len(depthwise) == 17


def test_vgg16_structure(shared: Path) -> None:
    """Opset 9, weights made by ConstantOfShape and listed as inputs, batch 1, final softmax."""
    path = shared / "structure" / "light_vgg16.onnx"
    network = load_network(path)
    assert network.softmax_removed
    assert network.macs == 15_470_264_320
    assert network.parameters == 138_357_544
    assert sum(isinstance(layer, Dense) for layer in network.layers) == 3
    image = np.random.default_rng(1).uniform(0, 1, (1, 3, 224, 224)).astype(np.float32)
    want, got = float_logits(path, image, threads=2), float_logits(network, image, threads=2)
    assert np.isfinite(want).all()
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_alexnet_structure(shared: Path) -> None:
    """Both normalisations stand between an activation and a pooling."""
    path = shared / "structure" / "light_bvlc_alexnet.onnx"
    network = load_network(path)
    layers = [layer for layer in network.layers if isinstance(layer, Lrn)]
    assert [(layer.size, layer.bias) for layer in layers] == [(5, 1.0), (5, 1.0)]
    assert [layer.op for layer in network.layers[:6]] == ["conv", "lrn", "maxpool"] * 2
    image = np.random.default_rng(1).uniform(0, 255, (1, 3, 224, 224)).astype(np.float32)
    want, got = float_logits(path, image, threads=2), float_logits(network, image, threads=2)
    assert np.isfinite(want).all()
    np.testing.assert_allclose(got, want, rtol=1e-4)
    inspection = inspect_model(path)
    assert not inspection.refused
    statuses = {node.name: node.status for node in inspection.nodes}
    assert statuses["n4"] is Status.MAPPED
    assert statuses["n5"] is Status.FOLDED
    assert statuses["n18"] is Status.REMOVED
    # the published count of Caffe's AlexNet, 724 M at 227 x 227, is for a larger input
    assert inspection.parameters == 60_965_224
