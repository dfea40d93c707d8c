"""`inspect_model`: what the import makes of every node, as data for the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolflow.network.analysis import analyse
from toolflow.network.graph import (
    Activate,
    Activation,
    ActivationKind,
    Add,
    AvgPool,
    Conv,
    Layer,
    Lrn,
    Network,
    Pool,
    Preprocessing,
    Shape,
    WeightLayer,
)
from toolflow.network.metadata import PreprocessingOverride
from toolflow.network.model_file import read_model
from toolflow.network.verdict import Status


@dataclass(frozen=True)
class NodeReport:
    """What becomes of one ONNX node. ``advice`` says what to do about a refused one."""

    name: str
    op: str
    status: Status
    reason: str
    advice: str


@dataclass(frozen=True)
class LayerReport:
    """One layer as it will run. ``detail`` is its window and activation, for people."""

    name: str
    op: str
    in_shapes: tuple[Shape, ...]
    out_shape: Shape
    detail: str
    macs: int
    parameters: int


@dataclass(frozen=True, eq=False)
class Inspection:
    """Everything `inspect` tells. ``network`` is None where anything is in its way.

    ``problems`` concern the file as a whole and say what to do. ``nodes`` stand in the file's
    order. ``layers`` are those that could be imported, even where others could not.
    """

    name: str
    sha256: str
    opset: int
    producer: str
    input: str
    input_shape: Shape | None
    preprocessing: Preprocessing
    problems: tuple[str, ...]
    nodes: tuple[NodeReport, ...]
    layers: tuple[LayerReport, ...]
    network: Network | None

    @property
    def supported(self) -> bool:
        """Whether the whole model can be imported."""
        return self.network is not None

    @property
    def refused(self) -> tuple[NodeReport, ...]:
        """The nodes in the way."""
        return tuple(node for node in self.nodes if node.status is Status.REFUSED)

    @property
    def macs(self) -> int:
        """Multiply-accumulates per image of the layers that could be imported."""
        return sum(layer.macs for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Weights and biases of the layers that could be imported."""
        return sum(layer.parameters for layer in self.layers)


def inspect_model(
    path: str | Path, preprocessing_override: PreprocessingOverride | None = None
) -> Inspection:
    """Inspect an ONNX file. Raises `UserError` only where the file cannot be read at all, or the
    override does not fit the network's input."""
    model = read_model(path)
    analysis = analyse(model, preprocessing_override)
    return Inspection(
        name=model.name,
        sha256=model.sha256,
        opset=model.opset,
        producer=f"{model.proto.producer_name} {model.proto.producer_version}".strip(),
        input=analysis.graph.input,
        input_shape=analysis.graph.input_shape,
        preprocessing=analysis.preprocessing,
        problems=analysis.problems,
        nodes=tuple(
            NodeReport(node.name, node.op, verdict.status, verdict.reason, verdict.advice)
            for node, verdict in zip(analysis.nodes, analysis.verdicts, strict=True)
        ),
        layers=tuple(
            _layer_report(layer, tuple(analysis.shapes[name] for name in layer.inputs))
            for layer in analysis.layers
        ),
        network=analysis.network,
    )


def _layer_report(layer: Layer, in_shapes: tuple[Shape, ...]) -> LayerReport:
    macs = parameters = 0
    if isinstance(layer, WeightLayer):
        macs, parameters = layer.matmul.macs, layer.weight.size + layer.bias.size
    return LayerReport(
        name=layer.name,
        op=layer.op,
        in_shapes=in_shapes,
        out_shape=layer.out_shape,
        detail=", ".join(part for part in (_window(layer), _activation(layer)) if part),
        macs=macs,
        parameters=parameters,
    )


def _window(layer: Layer) -> str:
    if isinstance(layer, Conv):
        kernel = layer.weight.shape[2:]
    elif isinstance(layer, Pool):
        kernel = layer.kernel
    elif isinstance(layer, Lrn):
        return f"{layer.size} channels"
    else:
        return ""
    parts = [f"{kernel[0]}x{kernel[1]}"]
    if layer.stride != (1, 1):
        parts.append(f"stride {layer.stride[0]}x{layer.stride[1]}")
    if any(layer.pads):
        parts.append("pads " + "/".join(map(str, layer.pads)))
    if isinstance(layer, Conv) and layer.groups > 1:
        parts.append(f"{layer.groups} groups")
    return " ".join(parts)


def _activation(layer: Layer) -> str:
    if not isinstance(layer, WeightLayer | Add | AvgPool | Activate):
        return ""
    return _describe(layer.activation)


def _describe(activation: Activation) -> str:
    match activation.kind:
        case ActivationKind.NONE:
            return ""
        case ActivationKind.RELU:
            return "relu"
        case ActivationKind.CLIP:
            return f"clip {activation.low:g}..{activation.high:g}"
        case ActivationKind.LEAKY_RELU:
            return f"leaky relu {activation.slope:g}"
