"""The training scripts on small made-up images; skipped where PyTorch is not installed."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolflow.network.float_reference import float_logits
from toolflow.network.graph import Add, AvgPool, Conv, MaxPool
from toolflow.network.importer import load_network

torch = pytest.importorskip("torch")

TRAINING = Path(__file__).resolve().parents[2] / "training"
NETWORKS = {
    "vgg_cifar10": (847_146, 43_616_768),
    "alex_cifar10": (556_938, 28_642_816),
    "resnet_cifar10": (381_418, 49_030_080),
}
"""Parameters without batch normalisation, multiply-accumulates."""


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The training scripts' modules, as they import each other."""
    monkeypatch.syspath_prepend(str(TRAINING))
    torch.manual_seed(0)
    yield importlib.import_module
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """12 images of each class: noise around a colour of its own."""
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(10), 12)
    colours = rng.integers(40, 216, (10, 3, 1, 1))
    images = np.clip(colours[labels] + rng.normal(0, 20, (120, 3, 32, 32)), 0, 255)
    path = tmp_path / "train.npz"
    np.savez(path, images=images.astype(np.uint8), labels=labels.astype(np.uint8))
    return path


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TRAINING / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("name", NETWORKS)
def test_train_export_and_import(name: str, data: Path, tmp_path: Path) -> None:
    checkpoint, exported = tmp_path / "out.pt", tmp_path / f"{name}.onnx"
    trained = run(
        "train_cifar10.py", name, "--data", str(data), "--out", str(checkpoint), "--device", "cpu",
        "--epochs", "2", "--batch", "40", "--held-out", "4",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert "held out: 40 images, accuracy" in trained.stdout
    assert not checkpoint.with_name("out.pt.partial").exists()
    result = run("export_onnx.py", str(checkpoint), str(exported))
    assert result.returncode == 0, result.stderr
    network = load_network(exported)
    assert (network.parameters, network.macs) == NETWORKS[name]
    assert network.preprocessing.scale == 255.0
    images = np.random.default_rng(1).normal(0, 1, (3, 3, 32, 32)).astype(np.float32)
    got, want = float_logits(network, images, 1), float_logits(exported, images, 1)
    np.testing.assert_allclose(got, want, atol=1e-5)
    kinds = {type(layer) for layer in network.layers}
    groups = {layer.groups for layer in network.layers if isinstance(layer, Conv)}
    assert (Add in kinds, AvgPool in kinds) == (name == "resnet_cifar10",) * 2
    assert (2 in groups) == (name == "alex_cifar10")
    pools = {layer.kernel for layer in network.layers if isinstance(layer, MaxPool)}
    expected = {"vgg_cifar10": {(2, 2)}, "alex_cifar10": {(3, 3)}, "resnet_cifar10": set()}
    assert pools == expected[name]


def test_an_interrupted_run_ends_with_the_same_weights(
    scripts: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks, script = scripts("networks"), scripts("train_cifar10")
    recipe = script.Recipe(epochs=2, batch=40, held_out=4)
    part, _ = script.load(data, recipe.held_out, torch.device("cpu"))

    def weights(partial: Path) -> dict[str, Any]:
        networks.seed_everything(recipe.seed)
        model = script.train(networks.RESNET_CIFAR10, part, recipe, partial)
        return dict(model.state_dict())

    whole = weights(tmp_path / "whole.partial")
    broken = tmp_path / "broken.partial"
    save = script.save

    def stop_after_first(path: Path, state: dict[str, Any]) -> None:
        save(path, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(script, "save", stop_after_first)
        with pytest.raises(KeyboardInterrupt):
            weights(broken)
    networks.seed_everything(99)
    model = script.train(networks.RESNET_CIFAR10, part, recipe, broken)
    assert list(whole) == list(model.state_dict())
    for key, value in model.state_dict().items():
        assert torch.equal(value, whole[key]), key

    other = script.Recipe(epochs=4, batch=40, held_out=4)
    with pytest.raises(ValueError, match="another recipe"):
        script.train(networks.RESNET_CIFAR10, part, other, broken)
    with pytest.raises(ValueError, match="another network"):
        script.train(networks.VGG_CIFAR10, part, recipe, broken)


def test_it_learns(scripts: Any, data: Path, tmp_path: Path) -> None:
    networks, script = scripts("networks"), scripts("train_cifar10")
    recipe = script.Recipe(epochs=8, batch=16, peak_rate=0.1, averaging=0.5, held_out=4)
    networks.seed_everything(recipe.seed)
    part, held = script.load(data, recipe.held_out, torch.device("cpu"))
    model = script.train(networks.ALEX_CIFAR10, part, recipe, tmp_path / "partial")
    assert networks.accuracy(model, held.inputs, held.labels) > 0.5


def test_the_average_follows_weights_and_statistics(scripts: Any) -> None:
    networks, script = scripts("networks"), scripts("train_cifar10")
    average, model = (networks.build(networks.LENET_DIGITS) for _ in range(2))
    before = {key: value.clone() for key, value in average.state_dict().items()}
    model(torch.randn(4, 1, 8, 8))
    script.average_into(average, model, 0.75)
    for key, value in model.state_dict().items():
        wanted = before[key] * 0.75 + value * 0.25 if value.is_floating_point() else value
        torch.testing.assert_close(average.state_dict()[key], wanted)


def test_only_weights_decay(scripts: Any) -> None:
    networks, script = scripts("networks"), scripts("train_cifar10")
    model = networks.build(networks.VGG_CIFAR10)
    decayed, rest = script.optimiser_of(model, script.Recipe()).param_groups
    assert {p.dim() for p in decayed["params"]} == {2, 4}
    assert {p.dim() for p in rest["params"]} == {1}
    assert (decayed["weight_decay"], rest["weight_decay"]) == (5e-4, 0.0)


def test_digits_script(tmp_path: Path) -> None:
    checkpoint, exported = tmp_path / "lenet.pt", tmp_path / "lenet.onnx"
    trained = run("train_digits.py", "--out", str(checkpoint))
    assert trained.returncode == 0, trained.stderr
    assert run("export_onnx.py", str(checkpoint), str(exported)).returncode == 0
    assert load_network(exported).macs == 153_344


def test_held_out_images_are_the_last_of_each_class(scripts: Any, data: Path) -> None:
    script = scripts("train_cifar10")
    part, held = script.load(data, 4, torch.device("cpu"))
    with np.load(data) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    wanted = script.PREPROCESSING(torch.from_numpy(images[80:]))
    torch.testing.assert_close(held.inputs.contiguous(), wanted)
    assert held.labels.tolist() == labels[80:].tolist()
    assert len(part.labels) == 80
    with pytest.raises(ValueError, match="more than 12"):
        script.load(data, 12, torch.device("cpu"))
