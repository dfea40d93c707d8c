"""Each operator and attribute, against onnxruntime on the original graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.network.graphs import Array, check_same, head, model, node, random, save
from toolflow.errors import UserError
from toolflow.network.float_reference import float_logits, float_tensors
from toolflow.network.graph import (
    Activate,
    ActivationKind,
    Add,
    AvgPool,
    Conv,
    Dense,
    Flatten,
    Lrn,
    MaxPool,
    Network,
    WeightLayer,
)
from toolflow.network.importer import load_network
from toolflow.network.model_file import NEWEST_OPSET, OLDEST_OPSET

Ints = np.int64


def on_maps(
    nodes: list[onnx.NodeProto], constants: dict[str, Any], channels: int, **options: Any
) -> onnx.ModelProto:
    """The nodes, which make the map ``m`` of so many channels, and a head after them."""
    after, more = head("m", channels)
    return model([*nodes, *after], {**constants, **more}, **options)


def convolution(
    seed: int = 1,
    out: int = 5,
    group: int = 1,
    size: tuple[int, int] = (3, 3),
    **attributes: Any,
) -> tuple[list[onnx.NodeProto], dict[str, Any], int]:
    constants = {"w": random(seed, out, 3 // group, *size), "b": random(seed + 1, out)}
    return [node("Conv", ["x", "w", "b"], ["m"], "conv", group=group, **attributes)], constants, out


CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "strides": {"strides": [2, 3]},
    "asymmetric pads": {"pads": [0, 1, 2, 3]},
    "pads wider than the kernel": {"pads": [4, 4, 4, 4]},
    "groups": {"group": 3, "out": 6},
    "depthwise 5x1": {"group": 3, "out": 3, "size": (5, 1), "pads": [2, 0, 2, 0]},
    "dilation": {"dilations": [2, 3]},
    "dilation, pads, strides": {"dilations": [2, 2], "pads": [2, 2, 2, 2], "strides": [2, 1]},
    "SAME_UPPER": {"auto_pad": "SAME_UPPER", "strides": [3, 2], "size": (4, 2)},
    "SAME_LOWER": {"auto_pad": "SAME_LOWER", "strides": [3, 2], "size": (4, 2)},
    "VALID": {"auto_pad": "VALID", "strides": [2, 2]},
    "kernel_shape": {"kernel_shape": [3, 3]},
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution(case: str, tmp_path: Path) -> None:
    nodes, constants, out = convolution(**CONVOLUTIONS[case])
    network = check_same(on_maps(nodes, constants, out), tmp_path)
    assert isinstance(network.layers[0], Conv)


def test_convolution_without_bias(tmp_path: Path) -> None:
    proto = on_maps([node("Conv", ["x", "w"], ["m"])], {"w": random(1, 5, 3, 3, 3)}, 5)
    network = check_same(proto, tmp_path)
    assert not network.weight_layers[0].bias.any()


def test_same_padding_of_a_dilated_convolution(tmp_path: Path) -> None:
    """onnxruntime refuses this pair, so it is held against the same with explicit pads."""
    logits = []
    for padding in ({"auto_pad": "SAME_UPPER"}, {"pads": [2, 2, 2, 2]}):
        nodes, constants, out = convolution(dilations=[2, 2], **padding)
        network = load_network(save(on_maps(nodes, constants, out), tmp_path))
        logits.append(float_logits(network, random(1, 2, 3, 8, 8)))
    np.testing.assert_array_equal(logits[0], logits[1])


def vector_model(
    nodes: list[onnx.NodeProto], constants: dict[str, Any], **options: Any
) -> onnx.ModelProto:
    return model(nodes, constants, shape=("N", 6), **options)


W = random(3, 6, 4)
DENSE: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
    "gemm": ([node("Gemm", ["x", "w", "b"], ["y"])], {"w": W, "b": random(4, 4)}),
    "transB": ([node("Gemm", ["x", "w", "b"], ["y"], transB=1)], {"w": W.T, "b": random(4, 4)}),
    "alpha, beta": (
        [node("Gemm", ["x", "w", "b"], ["y"], alpha=0.5, beta=3.0)],
        {"w": W, "b": random(4, 1, 4)},
    ),
    "scalar bias": ([node("Gemm", ["x", "w", "b"], ["y"])], {"w": W, "b": 0.5}),
    "no bias": ([node("Gemm", ["x", "w"], ["y"])], {"w": W}),
    "matmul": ([node("MatMul", ["x", "w"], ["y"])], {"w": W}),
    "matmul + add": (
        [node("MatMul", ["x", "w"], ["p"]), node("Add", ["b", "p"], ["y"])],
        {"w": W, "b": random(4, 4)},
    ),
    "float64 weights through Cast": (
        [node("Cast", ["d"], ["w"], to=TensorProto.FLOAT), node("MatMul", ["x", "w"], ["y"])],
        {"d": W.astype(np.float64)},
    ),
    "transposed weights": (
        [node("Transpose", ["t"], ["w"], perm=[1, 0]), node("MatMul", ["x", "w"], ["y"])],
        {"t": W.T.copy()},
    ),
}


@pytest.mark.parametrize("case", DENSE)
def test_dense_becomes_one_layer(case: str, tmp_path: Path) -> None:
    network = check_same(vector_model(*DENSE[case]), tmp_path)
    assert [type(layer) for layer in network.layers] == [Dense]


POOLS: dict[str, dict[str, Any]] = {
    "2x2": {"kernel_shape": [2, 2], "strides": [2, 2]},
    "default strides": {"kernel_shape": [3, 2]},
    "overlapping": {"kernel_shape": [3, 3], "strides": [2, 2]},
    "pads": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 2, 1]},
    "SAME_UPPER": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "SAME_LOWER": {"kernel_shape": [3, 3], "strides": [3, 3], "auto_pad": "SAME_LOWER"},
    "VALID": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "VALID"},
    "ceil without effect": {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
}
CEILED: dict[str, dict[str, Any]] = {
    "ceil": {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    "ceil, pads": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    "ceil, stride 3": {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1},
}


@pytest.mark.parametrize("case", [*POOLS, *CEILED])
def test_max_pool(case: str, tmp_path: Path) -> None:
    proto = on_maps([node("MaxPool", ["x"], ["m"], **(POOLS | CEILED)[case])], {}, 3)
    network = check_same(proto, tmp_path)
    assert isinstance(network.layers[0], MaxPool)


def test_max_pool_leaves_out_a_last_window_that_is_all_padding(tmp_path: Path) -> None:
    """The rule of opset 22; older ones' shape inference keeps that window, onnxruntime does not."""
    window: dict[str, Any] = {
        "kernel_shape": [2, 2],
        "strides": [3, 3],
        "pads": [0, 0, 1, 1],
        "ceil_mode": 1,
    }
    nodes = [node("MaxPool", ["x"], ["m"], **window)]
    network = check_same(on_maps(nodes, {}, 3, opset=22), tmp_path)
    assert network.shapes["m"] == (3, 3, 3)
    with pytest.raises(UserError, match=r"ONNX infers \[1, 3, 4, 4\].*newest opset"):
        load_network(save(on_maps(nodes, {}, 3, opset=17), tmp_path))


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("case", POOLS)
def test_average_pool(case: str, include: int, tmp_path: Path) -> None:
    pool = node("AveragePool", ["x"], ["m"], **POOLS[case], count_include_pad=include)
    network = check_same(on_maps([pool], {}, 3), tmp_path)
    first = network.layers[0]
    assert isinstance(first, AvgPool)
    assert first.count_include_pad is (bool(include) or not any(first.pads))


def axes_input(axes: list[int]) -> dict[str, Array]:
    return {"axes": np.array(axes, Ints)}


GLOBAL: dict[str, tuple[list[onnx.NodeProto], dict[str, Any], int]] = {
    "GlobalMaxPool": ([node("GlobalMaxPool", ["x"], ["p"])], {}, 17),
    "ReduceMean, opset 13": ([node("ReduceMean", ["x"], ["p"], axes=[2, 3])], {}, 13),
    "ReduceMean, opset 18": ([node("ReduceMean", ["x", "axes"], ["p"])], axes_input([-1, -2]), 18),
}


@pytest.mark.parametrize("case", GLOBAL)
def test_global_pool(case: str, tmp_path: Path) -> None:
    nodes, constants, opset = GLOBAL[case]
    nodes = [*nodes, node("Flatten", ["p"], ["f"]), node("Gemm", ["f", "w"], ["y"])]
    check_same(model(nodes, {**constants, "w": random(1, 3, 4)}, opset=opset), tmp_path)


NORMALISATIONS: dict[str, dict[str, Any]] = {
    "AlexNet": {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 2.0},
    "defaults": {"size": 3},
    "strong": {"size": 3, "alpha": 6.0, "beta": 0.5, "bias": 0.25},
    "one channel": {"size": 1, "alpha": 2.0, "beta": 1.5},
    "wide window": {"size": 7, "alpha": 3.0},
    "more than all channels": {"size": 15, "alpha": 3.0},
}


@pytest.mark.parametrize("case", NORMALISATIONS)
def test_local_response_normalisation(case: str, tmp_path: Path) -> None:
    attributes = NORMALISATIONS[case]
    network = check_same(on_maps([node("LRN", ["x"], ["m"], **attributes)], {}, 3), tmp_path)
    layer = network.layers[0]
    assert isinstance(layer, Lrn)
    given = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0} | attributes
    found = {key: getattr(layer, key) for key in ("size", "alpha", "beta", "bias")}
    assert found == pytest.approx(given)


def test_padding_passes_a_normalisation_of_values_from_zero_up(tmp_path: Path) -> None:
    """A MaxPool may take zero padding where no value is negative: a normalised one is not."""
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Relu", ["c"], ["r"]),
        node("LRN", ["r"], ["l"], size=3, alpha=2.0),
        node("Pad", ["l", "p"], ["q"]),
        node("MaxPool", ["q"], ["m"], kernel_shape=[2, 2]),
    ]
    constants = {"w": random(1, 5, 3, 1, 1), "p": ints(0, 0, 1, 1, 0, 0, 1, 1)}
    network = check_same(on_maps(nodes, constants, 5), tmp_path)
    assert [layer.op for layer in network.layers[:3]] == ["conv", "lrn", "maxpool"]


def test_reduce_mean_without_kept_axes_is_a_pool_and_a_flatten(tmp_path: Path) -> None:
    nodes = [
        node("ReduceMean", ["x"], ["p"], "mean", axes=[2, 3], keepdims=0),
        node("Gemm", ["p", "w"], ["y"]),
    ]
    network = check_same(model(nodes, {"w": random(1, 3, 4)}), tmp_path)
    assert [type(layer) for layer in network.layers] == [AvgPool, Flatten, Dense]


CLIPS: dict[str, tuple[list[onnx.NodeProto], dict[str, Any], int, str]] = {
    "Relu": ([node("Relu", ["c"], ["m"])], {}, 17, ActivationKind.RELU),
    "Clip attributes": ([node("Clip", ["c"], ["m"], min=0.0, max=6.0)], {}, 10, "clip"),
    "Clip low only, attribute": ([node("Clip", ["c"], ["m"], min=0.0)], {}, 9, "relu"),
    "Clip high only, attribute": ([node("Clip", ["c"], ["m"], max=1.0)], {}, 9, "clip"),
    "Clip inputs": (
        [node("Clip", ["c", "l", "h"], ["m"])],
        {"l": np.float32(0), "h": np.float32(6)},
        17,
        "clip",
    ),
    "Clip low only": ([node("Clip", ["c", "l"], ["m"])], {"l": np.float32(0)}, 17, "relu"),
    "Clip high only": ([node("Clip", ["c", "", "h"], ["m"])], {"h": np.float32(1)}, 17, "clip"),
    "Clip to -1..1": (
        [node("Clip", ["c", "l", "h"], ["m"])],
        {"l": np.float32(-1), "h": np.float32(1)},
        17,
        "clip",
    ),
    "Clip without bounds": ([node("Clip", ["c"], ["m"])], {}, 17, "none"),
    "LeakyRelu": ([node("LeakyRelu", ["c"], ["m"], alpha=0.1)], {}, 17, "leaky_relu"),
    "LeakyRelu, default alpha": ([node("LeakyRelu", ["c"], ["m"])], {}, 17, "leaky_relu"),
    "PRelu with one slope": (
        [node("PRelu", ["c", "s"], ["m"])],
        {"s": np.full((5, 1, 1), 0.2, np.float32)},
        17,
        "leaky_relu",
    ),
    "Relu, Clip": (
        [node("Relu", ["c"], ["r"]), node("Clip", ["r", "", "h"], ["m"])],
        {"h": np.float32(2)},
        17,
        "clip",
    ),
    "Clip -1..1, Relu": (
        [node("Clip", ["c", "l", "h"], ["r"]), node("Relu", ["r"], ["m"])],
        {"l": np.float32(-1), "h": np.float32(1)},
        17,
        "clip",
    ),
    "Relu, Relu": ([node("Relu", ["c"], ["r"]), node("Relu", ["r"], ["m"])], {}, 17, "relu"),
    "Relu, LeakyRelu": (
        [node("Relu", ["c"], ["r"]), node("LeakyRelu", ["r"], ["m"])],
        {},
        17,
        "relu",
    ),
    "LeakyRelu, Relu": (
        [node("LeakyRelu", ["c"], ["r"]), node("Relu", ["r"], ["m"])],
        {},
        17,
        "relu",
    ),
}


@pytest.mark.parametrize("case", CLIPS)
def test_activation_fuses_into_the_convolution(case: str, tmp_path: Path) -> None:
    nodes, constants, opset, kind = CLIPS[case]
    convolve = node("Conv", ["x", "w"], ["c"], "conv")
    constants = {**constants, "w": random(1, 5, 3, 3, 3)}
    network = check_same(on_maps([convolve, *nodes], constants, 5, opset=opset), tmp_path)
    assert len(network.layers) == 4
    first = network.layers[0]
    assert isinstance(first, Conv)
    assert first.activation.kind == kind


def test_two_leaky_relus_stay_two(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv"),
        node("LeakyRelu", ["c"], ["r"], alpha=0.5),
        node("LeakyRelu", ["r"], ["m"], alpha=0.5),
    ]
    network = check_same(on_maps(nodes, {"w": random(1, 5, 3, 3, 3)}, 5), tmp_path)
    assert [layer.op for layer in network.layers[:2]] == ["conv", "activate"]


@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_clip_after_leaky_relu(low: float, tmp_path: Path) -> None:
    """One activation function where the clip cuts all that the slope made, else two."""
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv"),
        node("LeakyRelu", ["c"], ["r"], alpha=0.3),
        node("Clip", ["r", "l", "h"], ["m"]),
    ]
    constants = {"w": random(1, 5, 3, 3, 3), "l": np.float32(low), "h": np.float32(1)}
    network = check_same(on_maps(nodes, constants, 5), tmp_path)
    assert [layer.op for layer in network.layers].count("activate") == (1 if low < 0 else 0)


def test_activation_stays_alone_where_the_producer_is_read_twice(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv"),
        node("Relu", ["c"], ["r"], "relu"),
        node("Add", ["c", "r"], ["m"], "add"),
    ]
    network = check_same(on_maps(nodes, {"w": random(1, 5, 3, 3, 3)}, 5), tmp_path)
    assert [layer.op for layer in network.layers[:3]] == ["conv", "activate", "add"]
    assert isinstance(network.layers[1], Activate)


@pytest.mark.parametrize("producer", ["Add", "AveragePool", "Gemm"])
def test_activation_fuses_into_other_producers(producer: str, tmp_path: Path) -> None:
    kinds = {"Add": Add, "AveragePool": AvgPool, "Gemm": Dense}
    nodes = {
        "Add": [node("Add", ["x", "x"], ["a"]), node("Relu", ["a"], ["m"])],
        "AveragePool": [
            node("AveragePool", ["x"], ["a"], kernel_shape=[2, 2]),
            node("Relu", ["a"], ["m"]),
        ],
        "Gemm": [
            node("Flatten", ["x"], ["f"]),
            node("Gemm", ["f", "w"], ["a"]),
            node("Relu", ["a"], ["v"]),
            node("Gemm", ["v", "w2"], ["y"]),
        ],
    }[producer]
    if producer == "Gemm":
        proto = model(nodes, {"w": random(1, 192, 7), "w2": random(2, 7, 4)})
    else:
        proto = on_maps(nodes, {}, 3)
    network = check_same(proto, tmp_path)
    layer = next(one for one in network.layers if isinstance(one, kinds[producer]))
    assert isinstance(layer, Add | AvgPool | WeightLayer)
    assert layer.activation.kind is ActivationKind.RELU


@pytest.mark.parametrize("op", ["Relu", "LeakyRelu", "Clip"])
def test_activation_moves_before_max_pool_and_flatten(op: str, tmp_path: Path) -> None:
    bounds: dict[str, Any] = {"min": -0.5, "max": 0.5} if op == "Clip" else {}
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv"),
        node("MaxPool", ["c"], ["p"], "pool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Flatten", ["p"], ["f"], "flat"),
        node(op, ["f"], ["r"], "act", **bounds),
        node("Gemm", ["r", "v", "u"], ["y"], "fc"),
    ]
    constants = {"w": random(1, 5, 3, 3, 3), "v": random(2, 180, 4), "u": random(3, 4)}
    network = check_same(model(nodes, constants, opset=10), tmp_path)
    assert [layer.op for layer in network.layers] == ["conv", "maxpool", "flatten", "dense"]
    assert network.weight_layers[0].activation.kind is not ActivationKind.NONE
    # a tensor that keeps its name keeps its values: the others got new names
    assert not {"c", "p", "f"} & set(network.shapes)
    assert network.layers[2].output == "r"


@pytest.mark.parametrize("opset", [9, 17])
def test_add_and_concat(opset: int, tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Conv", ["x", "v"], ["b"]),
        node("Add", ["a", "b"], ["s"]),
        node("Concat", ["s", "a", "b"], ["m"], axis=-3 if opset == 17 else 1),
    ]
    constants = {"w": random(1, 5, 3, 3, 3), "v": random(2, 5, 3, 3, 3)}
    network = check_same(on_maps(nodes, constants, 15, opset=opset), tmp_path)
    assert network.shapes["m"] == (15, 6, 6)


def test_concat_of_vectors(tmp_path: Path) -> None:
    nodes = [
        node("Gemm", ["x", "w"], ["a"]),
        node("Gemm", ["x", "v"], ["b"]),
        node("Concat", ["a", "b"], ["y"], axis=1),
    ]
    check_same(vector_model(nodes, {"w": random(1, 6, 4), "v": random(2, 6, 3)}), tmp_path)


def test_sum_of_three(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Conv", ["x", "v"], ["b"]),
        node("Sum", ["a", "b", "a"], ["m"]),
    ]
    constants = {"w": random(1, 5, 3, 3, 3), "v": random(2, 5, 3, 3, 3)}
    network = check_same(on_maps(nodes, constants, 5), tmp_path)
    assert [layer.op for layer in network.layers[2:4]] == ["add", "add"]


C = random(7, 5, 1, 1)
ARITHMETIC: dict[str, tuple[list[onnx.NodeProto], Any]] = {
    "Add": ([node("Add", ["c", "k"], ["m"])], C),
    "Add, constant first": ([node("Add", ["k", "c"], ["m"])], C),
    "Add a scalar": ([node("Add", ["c", "k"], ["m"])], 0.5),
    "Add a full map": ([node("Add", ["c", "k"], ["m"])], np.broadcast_to(C, (1, 5, 6, 6)).copy()),
    "Sub": ([node("Sub", ["c", "k"], ["m"])], C),
    "Sub, constant first": ([node("Sub", ["k", "c"], ["m"])], C),
    "Mul": ([node("Mul", ["c", "k"], ["m"])], C),
    "Div": ([node("Div", ["c", "k"], ["m"])], C),
    "Mul, Add": ([node("Mul", ["c", "k"], ["t"]), node("Add", ["t", "k"], ["m"])], C),
}


@pytest.mark.parametrize("case", ARITHMETIC)
def test_arithmetic_with_constants_folds_into_the_convolution(case: str, tmp_path: Path) -> None:
    nodes, constant = ARITHMETIC[case]
    nodes = [node("Conv", ["x", "w"], ["c"], "conv"), *nodes]
    network = check_same(on_maps(nodes, {"w": random(1, 5, 3, 3, 3), "k": constant}, 5), tmp_path)
    assert [layer.op for layer in network.layers] == ["conv", "avgpool", "flatten", "dense"]


def batch_norm(channels: int, name: str = "bn") -> dict[str, Array]:
    return {
        f"{name}_s": random(11, channels),
        f"{name}_b": random(12, channels),
        f"{name}_m": random(13, channels),
        f"{name}_v": np.abs(random(14, channels)) + 0.1,
    }


def bn(source: str, output: str, name: str = "bn") -> onnx.NodeProto:
    inputs = [source, *(f"{name}_{key}" for key in "sbmv")]
    return node("BatchNormalization", inputs, [output], name, epsilon=1e-3)


def test_batch_norm_folds_into_the_convolution_before(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w", "b"], ["c"]), bn("c", "n"), node("Relu", ["n"], ["m"])]
    constants = {"w": random(1, 6, 1, 3, 3), "b": random(2, 6), **batch_norm(6)}
    nodes[0].attribute.append(helper.make_attribute("group", 3))
    network = check_same(on_maps(nodes, constants, 6), tmp_path)
    assert [layer.op for layer in network.layers] == ["conv", "avgpool", "flatten", "dense"]


@pytest.mark.parametrize("order", ["after", "before"])
def test_batch_norm_folds_into_dense(order: str, tmp_path: Path) -> None:
    dense = [node("Gemm", ["x", "w"], ["d"]), bn("d", "y")]
    if order == "before":
        dense = [bn("x", "n"), node("Gemm", ["n", "w"], ["y"])]
    constants = {"w": random(1, 6, 4), **batch_norm(4 if order == "after" else 6)}
    network = check_same(vector_model(dense, constants), tmp_path)
    assert [layer.op for layer in network.layers] == ["dense"]


@pytest.mark.parametrize("group", [1, 3])
def test_batch_norm_folds_into_an_unpadded_convolution_after(group: int, tmp_path: Path) -> None:
    nodes = [bn("x", "n"), node("Conv", ["n", "w", "b"], ["m"], group=group)]
    constants = {"w": random(1, 6, 3 // group, 3, 3), "b": random(2, 6), **batch_norm(3)}
    network = check_same(on_maps(nodes, constants, 6), tmp_path)
    assert [layer.op for layer in network.layers] == ["conv", "avgpool", "flatten", "dense"]


def test_batch_norm_before_a_padded_convolution_is_depthwise(tmp_path: Path) -> None:
    nodes = [
        bn("x", "n"),
        node("Relu", ["n"], ["r"]),
        node("Conv", ["r", "w"], ["m"], pads=[1, 1, 1, 1]),
    ]
    network = check_same(on_maps(nodes, {"w": random(1, 6, 3, 3, 3), **batch_norm(3)}, 6), tmp_path)
    first = network.layers[0]
    assert isinstance(first, Conv)
    assert (first.groups, first.weight.shape) == (3, (3, 1, 1, 1))
    assert first.activation.kind is ActivationKind.RELU


def test_batch_norm_shift_is_not_folded_over_padding(tmp_path: Path) -> None:
    nodes = [bn("x", "n"), node("Conv", ["n", "w"], ["m"], pads=[1, 1, 1, 1])]
    network = check_same(on_maps(nodes, {"w": random(1, 6, 3, 3, 3), **batch_norm(3)}, 6), tmp_path)
    assert [layer.op for layer in network.layers[:2]] == ["conv", "conv"]


def test_input_normalisation_is_one_scale(tmp_path: Path) -> None:
    nodes = [
        node("Sub", ["x", "mean"], ["a"]),
        node("Mul", ["a", "factor"], ["b"]),
        node("Add", ["b", "mean"], ["n"]),
        node("Conv", ["n", "w"], ["m"], pads=[1, 1, 1, 1]),
    ]
    constants = {
        "mean": random(1, 3, 1, 1),
        "factor": random(2, 3, 1, 1),
        "w": random(3, 5, 3, 3, 3),
    }
    network = check_same(on_maps(nodes, constants, 5), tmp_path)
    assert [layer.op for layer in network.layers[:3]] == ["conv", "conv", "avgpool"]


def test_batch_norm_after_a_shared_convolution_is_depthwise(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w"], ["c"]), bn("c", "n"), node("Add", ["c", "n"], ["m"])]
    network = check_same(on_maps(nodes, {"w": random(1, 5, 3, 3, 3), **batch_norm(5)}, 5), tmp_path)
    assert [layer.op for layer in network.layers[:3]] == ["conv", "conv", "add"]


def shape_chain() -> list[onnx.NodeProto]:
    """What PyTorch writes for ``x.view(x.size(0), -1)``."""
    return [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"], axis=0),
        node("Unsqueeze", ["n", "axes"], ["u"]),
        node("Concat", ["u", "minus"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["f"]),
    ]


def ints(*values: int) -> Array:
    return np.array(values, Ints)


FLATTENS: dict[str, tuple[list[onnx.NodeProto], dict[str, Any], Any]] = {
    "Flatten": ([node("Flatten", ["x"], ["f"])], {}, "N"),
    "Flatten, negative axis": ([node("Flatten", ["x"], ["f"], axis=-3)], {}, "N"),
    "Reshape -1": ([node("Reshape", ["x", "k"], ["f"])], {"k": ints(-1, 192)}, "N"),
    "Reshape 0, -1": ([node("Reshape", ["x", "k"], ["f"])], {"k": ints(0, -1)}, "N"),
    "Reshape constant batch": ([node("Reshape", ["x", "k"], ["f"])], {"k": ints(1, -1)}, 1),
    "Reshape by Constant node": (
        [
            node("Constant", [], ["k"], value=numpy_helper.from_array(ints(-1, 192))),
            node("Reshape", ["x", "k"], ["f"]),
        ],
        {},
        "N",
    ),
    "Reshape by shape arithmetic": (
        shape_chain(),
        {"zero": np.int64(0), "axes": ints(0), "minus": ints(-1)},
        "N",
    ),
    "Flatten twice": ([node("Flatten", ["x"], ["e"]), node("Flatten", ["e"], ["f"])], {}, "N"),
}


@pytest.mark.parametrize("case", FLATTENS)
def test_flatten(case: str, tmp_path: Path) -> None:
    nodes, constants, batch = FLATTENS[case]
    nodes = [*nodes, node("Gemm", ["f", "w"], ["y"])]
    constants = {**constants, "w": random(1, 192, 4)}
    network = check_same(model(nodes, constants, shape=(batch, 3, 8, 8)), tmp_path)
    assert [layer.op for layer in network.layers] == ["flatten", "dense"]
    assert network.layers[0].out_shape == (192,)


@pytest.mark.parametrize("opset", [11, 13])
def test_squeeze_of_1x1_maps(opset: int, tmp_path: Path) -> None:
    squeeze, constants = node("Squeeze", ["m"], ["y"], axes=[2, 3]), {}
    if opset == 13:
        squeeze, constants = node("Squeeze", ["m", "axes"], ["y"]), axes_input([2, -1])
    nodes = [node("Conv", ["x", "w"], ["m"]), squeeze]
    proto = model(nodes, {**constants, "w": random(1, 4, 3, 8, 8)}, opset=opset)
    network = check_same(proto, tmp_path)
    assert [layer.op for layer in network.layers] == ["conv", "flatten"]


PASS_THROUGH: dict[str, tuple[list[onnx.NodeProto], dict[str, Any], int]] = {
    "Identity": ([node("Identity", ["c"], ["m"])], {}, 17),
    "Dropout, opset 9": ([node("Dropout", ["c"], ["m"], ratio=0.5)], {}, 9),
    "Dropout, opset 13": ([node("Dropout", ["c", "r"], ["m", "mask"])], {"r": np.float32(0.5)}, 13),
    "Dropout, training_mode false": (
        [node("Dropout", ["c", "r", "t"], ["m"])],
        {"r": np.float32(0.5), "t": np.bool_(False)},
        13,
    ),
    "Cast": ([node("Cast", ["c"], ["m"], to=TensorProto.FLOAT)], {}, 17),
    "Reshape to the same": ([node("Reshape", ["c", "k"], ["m"])], {"k": ints(0, 0, 6, -1)}, 17),
    "Pad nothing": ([node("Pad", ["c", "k"], ["m"])], {"k": ints(*[0] * 8)}, 17),
    "Concat of one": ([node("Concat", ["c"], ["m"], axis=1)], {}, 17),
    "Add zero": ([node("Add", ["c", "k"], ["m"])], {"k": 0.0}, 17),
    "dead branch": ([node("Sin", ["c"], ["unused"]), node("Identity", ["c"], ["m"])], {}, 17),
}


@pytest.mark.parametrize("case", PASS_THROUGH)
def test_nodes_that_do_nothing_are_removed(case: str, tmp_path: Path) -> None:
    nodes, constants, opset = PASS_THROUGH[case]
    nodes = [node("Conv", ["x", "w"], ["c"]), *nodes]
    constants = {**constants, "w": random(1, 5, 3, 3, 3)}
    network = check_same(on_maps(nodes, constants, 5, opset=opset), tmp_path)
    assert [layer.op for layer in network.layers] == ["conv", "avgpool", "flatten", "dense"]


def pad_node(opset: int, value: float = 0.0) -> tuple[onnx.NodeProto, dict[str, Any]]:
    pads = [0, 0, 1, 2, 0, 0, 0, 1]
    if opset < 11:
        return node("Pad", ["p"], ["q"], "pad", pads=pads, value=value), {}
    return node("Pad", ["p", "k", "v"], ["q"], "pad"), {"k": ints(*pads), "v": np.float32(value)}


@pytest.mark.parametrize("opset", [9, 13])
@pytest.mark.parametrize("consumer", ["Conv", "AveragePool", "MaxPool after Relu", "MaxPool -inf"])
def test_pad_folds(consumer: str, opset: int, tmp_path: Path) -> None:
    pad, constants = pad_node(opset, -np.inf if "inf" in consumer else 0.0)
    first = node("Relu" if "Relu" in consumer else "Identity", ["x"], ["p"])
    op = consumer.split()[0]
    after = node(op, ["q", "w"] if op == "Conv" else ["q"], ["m"], "after", kernel_shape=[3, 3])
    if op == "Conv":
        constants["w"] = random(1, 3, 3, 3, 3)
    network = check_same(on_maps([first, pad, after], constants, 3, opset=opset), tmp_path)
    layer = next(one for one in network.layers if one.name == "after")
    assert isinstance(layer, Conv | AvgPool | MaxPool)
    assert layer.pads == (1, 2, 0, 1)
    assert all(one.name != "pad" for one in network.layers)


def test_pad_that_no_layer_takes_is_a_convolution(tmp_path: Path) -> None:
    pad, constants = pad_node(13)
    pool = node("MaxPool", ["q"], ["m"], kernel_shape=[3, 3])
    network = check_same(
        on_maps([node("Identity", ["x"], ["p"]), pad, pool], constants, 3), tmp_path
    )
    first = network.layers[0]
    assert isinstance(first, Conv)
    assert (first.groups, first.pads, network.layers[1].op) == (3, (1, 2, 0, 1), "maxpool")


def test_pad_stays_out_of_an_average_that_leaves_out_padding(tmp_path: Path) -> None:
    pad, constants = pad_node(13)
    window: dict[str, Any] = {"kernel_shape": [4, 4], "pads": [1, 1, 1, 1]}
    nodes = [node("Relu", ["x"], ["p"]), pad, node("AveragePool", ["q"], ["m"], **window)]
    network = check_same(on_maps(nodes, constants, 3), tmp_path)
    assert [layer.op for layer in network.layers[:3]] == ["activate", "conv", "avgpool"]


def test_pad_with_axes(tmp_path: Path) -> None:
    nodes = [
        node("Pad", ["x", "k", "", "axes"], ["q"]),
        node("Conv", ["q", "w"], ["m"], "conv", pads=[1, 1, 1, 1]),
    ]
    constants = {"k": ints(2, 1), "w": random(1, 5, 3, 3, 3), **axes_input([3])}
    network = check_same(on_maps(nodes, constants, 5, opset=18), tmp_path)
    conv = network.layers[0]
    assert isinstance(conv, Conv)
    assert conv.pads == (1, 3, 1, 2)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [9, 13])
def test_final_softmax_is_removed(op: str, opset: int, tmp_path: Path) -> None:
    nodes = [node("Gemm", ["x", "w", "b"], ["l"]), node(op, ["l"], ["y"], "soft")]
    constants = {"w": W, "b": random(4, 4)}
    network = check_same(vector_model(nodes, constants, opset=opset), tmp_path, True)
    assert network.output == "l"
    assert [layer.op for layer in network.layers] == ["dense"]


@pytest.mark.parametrize("after", [True, False])
def test_final_softmax_on_1x1_maps(after: bool, tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Softmax", ["c"], ["s" if after else "y"], axis=1),
        *([node("Flatten", ["s"], ["y"])] if after else []),
    ]
    network = check_same(model(nodes, {"w": random(1, 4, 3, 8, 8)}), tmp_path, True)
    assert [layer.op for layer in network.layers] == ["conv", "flatten"]
    assert network.classes == 4


def test_softmax_without_axis_on_1x1_maps(tmp_path: Path) -> None:
    """The default is all classes up to opset 12, and the last axis, of size one, from 13 on."""
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Softmax", ["c"], ["y"])]
    constants = {"w": random(1, 4, 3, 8, 8)}
    check_same(model(nodes, constants, opset=12), tmp_path, True)
    with pytest.raises(UserError, match="normalises axis -1"):
        load_network(save(model(nodes, constants, opset=13), tmp_path))


def test_float16_model(tmp_path: Path) -> None:
    w = random(1, 192, 4).astype(np.float16)
    nodes = [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "w"], ["y"])]
    path = tmp_path / "half.onnx"
    path.write_bytes(model(nodes, {"w": w}, dtype=TensorProto.FLOAT16).SerializeToString())
    network = load_network(path)
    assert network.weight_layers[0].weight.dtype == np.float32
    images = random(3, 2, 3, 8, 8)
    np.testing.assert_allclose(
        float_logits(network, images), float_logits(path, images), rtol=0.02, atol=0.05
    )


def test_initialisers_listed_as_inputs(tmp_path: Path) -> None:
    proto = vector_model(*DENSE["gemm"])
    proto.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [6, 4]))
    check_same(proto, tmp_path)


def test_external_data(tmp_path: Path) -> None:
    proto = vector_model(*DENSE["gemm"])
    onnx.save_model(
        proto,
        str(tmp_path / "m.onnx"),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    network = load_network(tmp_path / "m.onnx")
    np.testing.assert_array_equal(network.weight_layers[0].weight, W.T)
    (tmp_path / "weights.bin").write_bytes(
        bytes(b ^ 1 for b in (tmp_path / "weights.bin").read_bytes())
    )
    assert load_network(tmp_path / "m.onnx").sha256 != network.sha256


def test_nodes_without_names_and_with_equal_names(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["a"], "same"),
        node("Conv", ["a", "v"], ["b"], "same"),
        node("Conv", ["b", "v"], ["m"]),
    ]
    constants = {"w": random(1, 5, 3, 1, 1), "v": random(2, 5, 5, 1, 1)}
    twice = load_network(save(on_maps(nodes, constants, 5), tmp_path))
    assert [layer.name for layer in twice.layers[:3]] == ["same", "same_1", "Conv_2"]
    nodes[1].name = "other"  # onnxruntime refuses equal names
    network = check_same(on_maps(nodes, constants, 5), tmp_path)
    images = random(1, 2, 3, 8, 8)
    np.testing.assert_array_equal(float_logits(network, images), float_logits(twice, images))


def sweep_model(opset: int) -> onnx.ModelProto:
    """The same network as every opset writes it."""
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1, 1, 1, 1]),
        bn("c", "n"),
        node("Clip", ["n"], ["r"], "clip", min=0.0, max=6.0)
        if opset < 11
        else node("Clip", ["n", "low", "high"], ["r"], "clip"),
        node("MaxPool", ["r"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Dropout", ["p"], ["d"], "drop"),
        node("Add", ["d", "d"], ["e"], "add"),
        node("Concat", ["d", "e"], ["cat"], "cat", axis=1),
        node("GlobalAveragePool", ["cat"], ["g"], "gap"),
        node("Reshape", ["g", "k"], ["f"], "reshape"),
        node("Gemm", ["f", "v", "u"], ["l"], "fc", transB=1),
        node("Softmax", ["l"], ["y"], "soft", axis=1),
    ]
    constants: dict[str, Any] = {
        "w": random(1, 5, 3, 3, 3),
        "b": random(2, 5),
        "v": random(3, 4, 10),
        "u": random(4, 4),
        "k": ints(-1, 10),
        **batch_norm(5),
    }
    if opset >= 11:
        constants |= {"low": np.float32(0), "high": np.float32(6)}
    return model(nodes, constants, opset=opset)


@pytest.mark.parametrize("opset", range(OLDEST_OPSET, NEWEST_OPSET + 1))
def test_every_opset(opset: int, tmp_path: Path) -> None:
    network: Network = check_same(sweep_model(opset), tmp_path, softmax_removed=True)
    ops = ["conv", "maxpool", "add", "concat", "avgpool", "flatten", "dense"]
    assert [layer.op for layer in network.layers] == ops


@pytest.mark.parametrize("build", [lambda: sweep_model(17), lambda: vector_model(*DENSE["gemm"])])
def test_imported_shapes_are_what_onnxruntime_computes(
    build: Callable[[], onnx.ModelProto], tmp_path: Path
) -> None:
    proto = build()
    network = check_same(proto, tmp_path, softmax_removed="Softmax" in str(proto.graph.node))
    images = random(1, 5, *network.input_shape)
    batches = list(float_tensors(network, images, list(network.shapes), batch=2))
    assert [len(batch[network.input]) for batch in batches] == [2, 2, 1]
    for batch in batches:
        for name, shape in network.shapes.items():
            assert batch[name].shape[1:] == shape
    with pytest.raises(ValueError, match="no tensors"):
        next(float_tensors(network, images, ["nothing"]))
