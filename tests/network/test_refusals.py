"""What cannot be imported: each case is refused with what, where and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.network.graphs import head, model, node, random, save
from toolflow.errors import UserError
from toolflow.network.importer import load_network
from toolflow.network.inspection import inspect_model
from toolflow.network.metadata import PreprocessingOverride
from toolflow.network.model_file import NEWEST_OPSET
from toolflow.network.verdict import Status


def refusal(proto: onnx.ModelProto, folder: Path) -> str:
    path = save(proto, folder)
    with pytest.raises(UserError) as caught:
        load_network(path)
    assert str(path) in str(caught.value)
    inspection = inspect_model(path)
    assert not inspection.supported
    assert all(node.reason and node.advice for node in inspection.refused)
    return str(caught.value)


def on_maps(
    nodes: list[onnx.NodeProto], constants: dict[str, Any], channels: int = 3, **options: Any
) -> onnx.ModelProto:
    after, more = head("m", channels)
    return model([*nodes, *after], {**constants, **more}, **options)


W = random(1, 5, 3, 3, 3)
K = {"w": W}


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def bn(**statistics: Any) -> dict[str, np.ndarray]:
    given = {"s": np.ones(3), "b": np.ones(3), "e": np.zeros(3), "v": np.ones(3), **statistics}
    return {name: np.asarray(values, np.float32) for name, values in given.items()}


BN = node("BatchNormalization", ["x", "s", "b", "e", "v"], ["m"])
# nodes, constants, channels of "m", opset, what the message must say
NODES: dict[str, tuple[list[onnx.NodeProto], dict[str, Any], int, int, str]] = {
    "unknown activation": ([node("Sigmoid", ["x"], ["m"])], {}, 3, 17, "Sigmoid is not supported"),
    "window of many channels": (
        [node("LRN", ["x"], ["m"], size=17)],
        {},
        3,
        17,
        "window of 17 channels is no odd",
    ),
    "no window": ([node("LRN", ["x"], ["m"], size=0)], {}, 3, 17, "0 channels is no odd number"),
    "even window": ([node("LRN", ["x"], ["m"], size=4)], {}, 3, 17, "window of 4 channels"),
    "alpha": ([node("LRN", ["x"], ["m"], size=3, alpha=-1.0)], {}, 3, 17, "its alpha -1, beta"),
    "beta": ([node("LRN", ["x"], ["m"], size=3, beta=0.0)], {}, 3, 17, "beta 0 and bias 1 are"),
    "bias": ([node("LRN", ["x"], ["m"], size=3, bias=0.0)], {}, 3, 17, "and bias 0 are not all"),
    "normalised vector": (
        [
            node("GlobalAveragePool", ["x"], ["g"]),
            node("Flatten", ["g"], ["f"]),
            node("LRN", ["f"], ["l"], size=3),
            node("Reshape", ["l", "s"], ["m"]),
        ],
        {"s": np.array([-1, 3, 1, 1])},
        3,
        17,
        "its input is a vector of 3",
    ),
    "other domain": ([node("Relu", ["x"], ["m"], domain="my.ops")], {}, 3, 17, "my.ops"),
    "no such operator": ([node("Frobnicate", ["x"], ["m"])], {}, 3, 17, "Frobnicate is not"),
    "quantised": (
        [node("QuantizeLinear", ["x", "s", "z"], ["m"])],
        {"s": np.float32(1), "z": np.uint8(0)},
        3,
        17,
        "Give the float model",
    ),
    "invalid attribute": ([node("Relu", ["x"], ["m"], foo=3)], {}, 3, 17, "not valid ONNX"),
    "int8 weight": ([node("Conv", ["x", "w"], ["m"])], {"w": W.astype(np.int8)}, 5, 17, "int8"),
    "NaN weight": (
        [node("Conv", ["x", "w"], ["m"])],
        {"w": np.where(np.arange(135).reshape(W.shape) == 7, np.nan, W).astype(np.float32)},
        5,
        17,
        "its weight has 1 values that are not finite (first at (0, 0, 2, 1))",
    ),
    "computed weight": (
        [node("Relu", ["x"], ["r"]), node("Conv", ["x", "r"], ["m"])],
        {},
        5,
        17,
        "weight 'r' is not constant",
    ),
    "unknown weight": ([node("Conv", ["x", "nowhere"], ["m"])], {}, 5, 17, "is not constant"),
    "wrong channels": (
        [node("Conv", ["x", "w"], ["m"])],
        {"w": random(1, 5, 4, 3, 3)},
        5,
        17,
        "takes 4 channels, its input has 3",
    ),
    "groups": ([node("Conv", ["x", "w"], ["m"], group=2)], K, 5, 17, "do not split in 2"),
    "kernel_shape": ([node("Conv", ["x", "w"], ["m"], kernel_shape=[2, 2])], K, 5, 17, "differs"),
    "kernel too large": (
        [node("Conv", ["x", "w"], ["m"], dilations=[9, 9])],
        K,
        5,
        17,
        "larger than its padded input",
    ),
    "negative pads": ([node("Conv", ["x", "w"], ["m"], pads=[-1, 0, 0, 0])], K, 5, 17, "negative"),
    "short pads": ([node("Conv", ["x", "w"], ["m"], pads=[1, 1])], K, 5, 17, "pads is [1, 1]"),
    "zero stride": ([node("Conv", ["x", "w"], ["m"], strides=[0, 1])], K, 5, 17, "below one"),
    "auto_pad": ([node("Conv", ["x", "w"], ["m"], auto_pad="BEST")], K, 5, 17, "'BEST'"),
    "bias size": (
        [node("Conv", ["x", "w", "b"], ["m"])],
        {**K, "b": random(1, 4)},
        5,
        17,
        "bias has shape (4,)",
    ),
    "dilated pooling": (
        [node("MaxPool", ["x"], ["m"], kernel_shape=[2, 2], dilations=[2, 2])],
        {},
        3,
        17,
        "dilated pooling",
    ),
    "pooling indices": (
        [
            node("MaxPool", ["x"], ["p", "i"], kernel_shape=[2, 2]),
            node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
            node("Add", ["p", "f"], ["m"]),
        ],
        {},
        3,
        17,
        "Indices",
    ),
    "partial averages": (
        [node("AveragePool", ["x"], ["m"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)],
        {},
        3,
        17,
        "ceil_mode=1 averages partial windows",
    ),
    "pool pads": (
        [node("MaxPool", ["x"], ["m"], kernel_shape=[2, 2], pads=[2, 0, 0, 0])],
        {},
        3,
        17,
        "not smaller than its kernel",
    ),
    "clip bounds": (
        [node("Clip", ["x", "l", "h"], ["m"])],
        {"l": np.float32(2), "h": np.float32(1)},
        3,
        17,
        "no values between",
    ),
    "negative slope": ([node("LeakyRelu", ["x"], ["m"], alpha=-0.5)], {}, 3, 17, "slope -0.5"),
    "slopes per channel": (
        [node("PRelu", ["x", "s"], ["m"])],
        {"s": random(1, 3, 1, 1)},
        3,
        17,
        "differs between channels",
    ),
    "product of activations": ([node("Mul", ["x", "x"], ["m"])], {}, 3, 17, "two activations"),
    "division by an activation": ([node("Div", ["k", "x"], ["m"])], {"k": 1.0}, 3, 17, "divides"),
    "a constant per pixel": (
        [node("Add", ["x", "k"], ["m"])],
        {"k": random(1, 3, 8, 8)},
        3,
        17,
        "not one value per channel",
    ),
    "broadcast sum": (
        [node("GlobalAveragePool", ["x"], ["g"]), node("Add", ["x", "g"], ["m"])],
        {},
        3,
        17,
        "different shapes",
    ),
    "concat of rows": ([node("Concat", ["x", "x"], ["m"], axis=2)], {}, 3, 17, "along axis 2"),
    "channel shuffle": (
        [node("Reshape", ["x", "k"], ["m"])],
        {"k": ints(0, 12, 4, 4)},
        12,
        17,
        "only flattening",
    ),
    "transpose": (
        [node("Transpose", ["x"], ["m"], perm=[0, 2, 3, 1])],
        {},
        8,
        17,
        "channels first",
    ),
    "mean of channels": ([node("ReduceMean", ["x"], ["m"], axes=[1])], {}, 1, 17, "other axes"),
    "reflecting pad": (
        [node("Pad", ["x", "k"], ["m"], mode="reflect")],
        {"k": ints(0, 0, 1, 1, 0, 0, 1, 1)},
        3,
        17,
        "'reflect'",
    ),
    "cropping pad": (
        [node("Pad", ["x", "k"], ["m"])],
        {"k": ints(0, 0, -1, 0, 0, 0, 0, 0)},
        3,
        17,
        "crop",
    ),
    "channel pad": (
        [node("Pad", ["x", "k"], ["m"])],
        {"k": ints(0, 1, 0, 0, 0, 0, 0, 0)},
        4,
        17,
        "other axes than H and W",
    ),
    "pad with ones": (
        [node("Pad", ["x", "k", "v"], ["m"])],
        {"k": ints(0, 0, 1, 0, 0, 0, 0, 0), "v": np.float32(1)},
        3,
        17,
        "pads with 1.0",
    ),
    "inner softmax": (
        [node("GlobalAveragePool", ["x"], ["g"]), node("Softmax", ["g"], ["m"], axis=1)],
        {},
        3,
        17,
        "softmax inside the network",
    ),
    "negative variance": ([BN], bn(v=-np.ones(3)), 3, 17, "variance"),
    "batch-norm size": ([BN], bn(s=np.ones(4)), 3, 17, "scale has shape (4,)"),
    "training batch-norm": (
        [node("BatchNormalization", ["x", "s", "b", "e", "v"], ["m", "p", "q"], training_mode=1)],
        bn(),
        3,
        17,
        "training mode",
    ),
    "training dropout": (
        [node("Dropout", ["x", "", "t"], ["m"])],
        {"t": np.bool_(True)},
        3,
        17,
        "training mode",
    ),
    "cast to integers": (
        [node("Cast", ["x"], ["i"], to=TensorProto.INT32), node("Cast", ["i"], ["m"], to=1)],
        {},
        3,
        17,
        "type that is not float",
    ),
    "unusable fold": (
        [
            node("ConstantOfShape", ["k"], ["w"]),
            node("Conv", ["x", "w"], ["m"]),
        ],
        {"k": ints(1 << 20, 1 << 20, 3, 3)},
        5,
        17,
        "would have the shape",
    ),
}


@pytest.mark.parametrize("case", NODES)
def test_node_is_refused(case: str, tmp_path: Path) -> None:
    nodes, constants, channels, opset, expected = NODES[case]
    proto = on_maps(nodes, constants, channels, opset=opset)
    if case == "other domain":
        proto.opset_import.append(helper.make_opsetid("my.ops", 1))
    assert expected in refusal(proto, tmp_path)


VECTORS: dict[str, tuple[list[onnx.NodeProto], dict[str, Any], str]] = {
    "transA": ([node("Gemm", ["x", "w"], ["y"], transA=1)], {"w": random(1, 3, 4)}, "transA=1"),
    "gemm on maps": (
        [node("Gemm", ["x", "w"], ["y"])],
        {"w": random(1, 8, 4)},
        "map, a vector is expected",
    ),
    "matmul of activations": (
        [node("Flatten", ["x"], ["f"]), node("MatMul", ["f", "f"], ["y"])],
        {},
        "two activations",
    ),
    "constant on the left": (
        [node("Flatten", ["x"], ["f"]), node("MatMul", ["w", "f"], ["y"])],
        {"w": random(1, 4, 192)},
        "constant is on the left",
    ),
    "gemm size": (
        [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "w"], ["y"])],
        {"w": random(1, 7, 4)},
        "takes 7 inputs, its input has 192",
    ),
    "gemm bias per image": (
        [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "w", "b"], ["y"])],
        {"w": random(1, 192, 4), "b": random(2, 2, 4)},
        "bias does not fit",
    ),
    "flatten from 2": ([node("Flatten", ["x"], ["y"], axis=2)], {}, "from axis 2"),
    "batch norm on a vector": (
        [
            node("Flatten", ["x"], ["f"]),
            node("Mul", ["f", "k"], ["g"]),
            node("Relu", ["g"], ["h"]),
            node("Gemm", ["h", "w"], ["y"]),
        ],
        {"k": 2.0, "w": random(1, 192, 4)},
        "scales a vector",
    ),
    "output is a map": ([node("Conv", ["x", "w"], ["y"])], K, "5 x 6 x 6 map"),
    "one class": (
        [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "w"], ["y"])],
        {"w": random(1, 192, 1)},
        "two classes",
    ),
    "no weights": ([node("Flatten", ["x"], ["y"])], {}, "nothing to accelerate"),
    "constant output": ([node("Identity", ["w"], ["y"])], K, "no input that its output depends on"),
}


@pytest.mark.parametrize("case", VECTORS)
def test_graph_is_refused(case: str, tmp_path: Path) -> None:
    nodes, constants, expected = VECTORS[case]
    assert expected in refusal(model(nodes, constants), tmp_path)


def test_convolutions_of_other_dimensions_are_refused(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w"], ["y"], "conv1d")]
    proto = model(nodes, {"w": random(1, 4, 3, 3)}, shape=("N", 3, 16))
    assert "N x C x H x W images" in refusal(proto, tmp_path)
    proto = model([node("Conv", ["x", "w"], ["y"], "conv1d")], {"w": random(1, 4, 3, 3)})
    assert "1-D convolution" in refusal(proto, tmp_path)


INPUTS = {
    "symbolic size": (("N", 3, "height", "width"), "make_dynamic_shape_fixed"),
    "symbolic channels": (("N", "C", 8, 8), "not fixed"),
    "volume": (("N", 3, 8, 8, 8), "N x C x H x W images"),
    "no batch": ((8,), "N x C x H x W images"),
    "empty": (("N", 3, 0, 8), "unusable shape"),
    "huge": (("N", 3, 1 << 40, 8), "unusable shape"),
}


@pytest.mark.parametrize("case", INPUTS)
def test_input_shape_is_refused(case: str, tmp_path: Path) -> None:
    shape, expected = INPUTS[case]
    proto = on_maps([node("Conv", ["x", "w"], ["m"])], K, 5, shape=shape)
    assert expected in refusal(proto, tmp_path)


def test_integer_input_is_refused(tmp_path: Path) -> None:
    proto = on_maps([node("Cast", ["x"], ["m"], to=1)], {}, dtype=TensorProto.INT64)
    assert "no float tensor" in refusal(proto, tmp_path)


def test_several_inputs_and_outputs_are_refused_together(tmp_path: Path) -> None:
    proto = on_maps([node("Add", ["x", "z"], ["m"])], {})
    proto.graph.input.append(helper.make_tensor_value_info("z", 1, ["N", 3, 8, 8]))
    proto.graph.output.append(helper.make_empty_tensor_value_info("m"))
    message = refusal(proto, tmp_path)
    assert "2 inputs (x, z)" in message
    assert "2 outputs (y, m)" in message


def test_everything_is_reported_at_once(tmp_path: Path) -> None:
    """Nodes after a refused one are still checked, by ONNX's inferred shapes."""
    nodes = [
        node("InstanceNormalization", ["x", "k", "k"], ["l"], "norm"),
        node("Conv", ["l", "w"], ["c"], "good"),
        node("Sigmoid", ["c"], ["s"], "sigmoid"),
        node("MaxPool", ["s"], ["p"], "pool", kernel_shape=[2, 2], dilations=[2, 2]),
        node("Softplus", ["p"], ["m"], "plus"),
    ]
    path = save(on_maps(nodes, {**K, "k": random(1, 3)}, 5), tmp_path)
    with pytest.raises(UserError) as caught:
        load_network(path)
    lines = str(caught.value).splitlines()
    assert "4 problems" in lines[0]
    for line, name in zip(lines[1:], ("norm", "sigmoid", "pool", "plus"), strict=True):
        assert f"node '{name}'" in line
    inspection = inspect_model(path)
    assert [one.name for one in inspection.refused] == ["norm", "sigmoid", "pool", "plus"]
    assert [layer.op for layer in inspection.layers] == ["conv", "avgpool", "flatten", "dense"]


def test_inspection_keeps_what_a_refused_node_reads(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv"),
        node("Sigmoid", ["c"], ["s"], "sigmoid"),
        node("Relu", ["c"], ["r"], "relu"),
        node("Add", ["s", "r"], ["m"], "add"),
    ]
    inspection = inspect_model(save(on_maps(nodes, K, 5), tmp_path))
    assert [one.name for one in inspection.refused] == ["sigmoid"]
    assert [layer.op for layer in inspection.layers[:3]] == ["conv", "activate", "add"]


def test_nodes_behind_an_unknown_shape_say_so(tmp_path: Path) -> None:
    nodes = [node("Magic", ["x"], ["l"], "magic"), node("Relu", ["l"], ["m"], "relu")]
    message = refusal(on_maps(nodes, {}), tmp_path)
    assert "Magic is not supported" in message
    assert "not checked: its input 'l' has no known shape" in message


def test_tensor_made_twice(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], ["m"]), node("Identity", ["x"], ["m"])]
    assert "produced twice" in refusal(on_maps(nodes, {}), tmp_path)


def test_broken_initialiser(tmp_path: Path) -> None:
    proto = on_maps([node("Conv", ["x", "w"], ["m"])], K, 5)
    tensor = next(one for one in proto.graph.initializer if one.name == "w")
    tensor.raw_data = tensor.raw_data[:-3]
    assert "'w' is unusable: its values do not decode" in refusal(proto, tmp_path)


def test_unreadable_files(tmp_path: Path) -> None:
    proto = on_maps([node("Conv", ["x", "w"], ["m"])], K, 5)
    good = save(proto, tmp_path).read_bytes()
    cases: dict[str, tuple[bytes | None, str]] = {
        "missing": (None, "does not exist"),
        "empty": (b"", "is empty"),
        "text": (b"# not a model\n", "not an ONNX file"),
        "truncated": (good[: len(good) // 2], "truncated"),
        "no text": (good.replace(b"Conv", b"C\x80nv"), "no UTF-8 text"),
        "no graph": (onnx.ModelProto(ir_version=8).SerializeToString(), "no ONNX graph"),
    }
    for name, (content, expected) in cases.items():
        path = tmp_path / f"{name}.onnx"
        if content is not None:
            path.write_bytes(content)
        for read in (load_network, inspect_model):
            with pytest.raises(UserError, match=expected) as caught:
                read(path)
            assert str(path) in str(caught.value)
    with pytest.raises(UserError, match="is a directory"):
        load_network(tmp_path)


@pytest.mark.parametrize(("opset", "expected"), [(8, "newer opset"), (NEWEST_OPSET + 1, "older")])
def test_opset_out_of_range(opset: int, expected: str, tmp_path: Path) -> None:
    proto = on_maps([node("Relu", ["x"], ["m"])], {}, opset=opset)
    with pytest.raises(UserError, match=expected):
        load_network(save(proto, tmp_path))


def test_missing_external_data(tmp_path: Path) -> None:
    proto = on_maps([node("Conv", ["x", "w"], ["m"])], K, 5)
    onnx.save_model(
        proto,
        str(tmp_path / "m.onnx"),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(UserError, match="external data of initialiser"):
        load_network(tmp_path / "m.onnx")


def with_metadata(folder: Path, **metadata: str) -> Path:
    proto = on_maps([node("Conv", ["x", "w"], ["m"])], K, 5)
    helper.set_model_props(proto, metadata)
    return save(proto, folder)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"mean": "grey"}, "'mean' is 'grey'"),
        ({"mean": "[1, 2]"}, "mean has 2 values"),
        ({"std": "[1, 2, 0]"}, "above zero"),
        ({"std": "[true, 1, 1]"}, "a JSON list of numbers"),
        ({"input_scale": "[1, 2]"}, "several numbers"),
        ({"input_scale": "NaN"}, "finite"),
        ({"layout": "NHWC"}, "NCHW"),
        ({"channel_order": "XYZ"}, "'XYZ' is unknown"),
    ],
)
def test_bad_metadata(metadata: dict[str, str], expected: str, tmp_path: Path) -> None:
    path = with_metadata(tmp_path, **metadata)
    with pytest.raises(UserError) as caught:
        load_network(path)
    assert expected in str(caught.value)
    assert expected in inspect_model(path).problems[0]


def test_override_takes_precedence(tmp_path: Path) -> None:
    path = with_metadata(tmp_path, mean="0.5", input_scale="255", channel_order="BGR")
    stated = load_network(path).preprocessing
    assert (stated.scale, stated.mean, stated.std) == (255.0, (0.5,), (1.0,))
    override = PreprocessingOverride(mean=(1.0, 2.0, 3.0), std=(2.0,))
    result = load_network(path, override).preprocessing
    assert (result.scale, result.mean, result.std) == (255.0, (1.0, 2.0, 3.0), (2.0,))
    assert (result.channel_order, result.stated) == ("BGR", True)
    with pytest.raises(UserError, match="--mean"):
        load_network(path, PreprocessingOverride(mean=(1.0, 2.0)))


def test_inspection_tells_every_node(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", ["c"], ["r"], "relu"),
        node("Dropout", ["r"], ["m"], "drop"),
    ]
    inspection = inspect_model(save(on_maps(nodes, K, 5), tmp_path))
    assert inspection.supported
    assert [(one.name, one.status) for one in inspection.nodes] == [
        ("conv", Status.MAPPED),
        ("relu", Status.FOLDED),
        ("drop", Status.REMOVED),
        ("gap", Status.MAPPED),
        ("flat", Status.MAPPED),
        ("fc", Status.MAPPED),
    ]
    assert inspection.nodes[1].reason == "into 'conv'"
    conv = inspection.layers[0]
    assert conv.in_shapes == ((3, 8, 8),)
    assert conv.out_shape == (5, 4, 4)
    assert conv.detail == "3x3 stride 2x2 pads 1/1/1/1, relu"
    assert (conv.macs, conv.parameters) == (5 * 4 * 4 * 27, 5 * 28)
    assert inspection.network is not None
    assert inspection.macs == inspection.network.macs == conv.macs + 20
    assert inspection.parameters == inspection.network.parameters
    assert inspection.opset == 17
