"""Walks an ONNX graph once: every node's verdict, and the network if nothing is in its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from toolflow.errors import UserError
from toolflow.network.constants import evaluate, foldable
from toolflow.network.drafts import Draft
from toolflow.network.graph import Flatten, Layer, Network, Preprocessing, Shape
from toolflow.network.metadata import (
    PreprocessingOverride,
    read_class_names,
    read_preprocessing,
)
from toolflow.network.model_file import ModelFile
from toolflow.network.node_view import Alias, NodeView, RefusalError
from toolflow.network.onnx_graph import Array, OnnxGraph, OnnxNode, PartialShape, read_graph
from toolflow.network.operators.table import convert
from toolflow.network.passes import check_finished, fold_and_fuse
from toolflow.network.verdict import Status, Verdict


@dataclass(frozen=True, eq=False)
class Analysis:
    """Everything found about a model. ``network`` is None where anything is in its way.

    ``problems`` concern the file as a whole; ``verdicts`` stand in node order. ``layers`` are
    those that could be imported, also where others could not.
    """

    graph: OnnxGraph
    problems: tuple[str, ...]
    nodes: tuple[OnnxNode, ...]
    verdicts: tuple[Verdict, ...]
    layers: tuple[Layer, ...]
    shapes: Mapping[str, Shape]
    preprocessing: Preprocessing
    network: Network | None

    @property
    def refused(self) -> tuple[tuple[OnnxNode, Verdict], ...]:
        """The nodes in the way."""
        pairs = zip(self.nodes, self.verdicts, strict=True)
        return tuple(pair for pair in pairs if pair[1].status is Status.REFUSED)


class _Walk:
    """The state of one walk over the nodes."""

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph
        self.constants: dict[str, Array] = dict(graph.constants)
        self.broken: dict[str, str] = dict(graph.broken)
        self.aliases: dict[str, str] = {}
        self.shapes: dict[str, Shape] = {}
        self.layers: list[Layer] = []
        self.origins: dict[str, str] = {}
        self.kept: set[str] = set()
        if graph.input_shape is not None:
            self.aliases[graph.input] = graph.input
            self.shapes[graph.input] = graph.input_shape

    def visit(self, node: OnnxNode) -> Verdict:
        """Convert one node; its outputs are known afterwards, if at all possible."""
        if not node.live:
            return Verdict(node.name, Status.REMOVED, "the network's output does not depend on it")
        try:
            return self._convert(node)
        except RefusalError as refusal:
            self._survive(node, refusal)
            return Verdict(node.name, Status.REFUSED, refusal.reason, refusal.advice)

    def _convert(self, node: OnnxNode) -> Verdict:
        graph = self.graph
        if foldable(node, self.constants):
            self.constants[node.outputs[0]] = evaluate(node, self.constants, graph.opset)
            return Verdict(node.name, Status.FOLDED, "into a constant")
        view = NodeView(
            node, graph.opset, graph.batch, self.aliases, self.shapes, self.constants, self.broken
        )
        if node.op == "Shape" and not node.domain and not node.problem:
            full = (graph.batch, *view.shape())
            part = slice(view.integer("start", 0), node.attributes.get("end"))
            self.constants[view.output] = np.array(full[part], np.int64)
            return Verdict(node.name, Status.FOLDED, "into a constant")
        conversion = convert(view)
        if isinstance(conversion, Alias):
            self.aliases[view.output] = conversion.source
            return Verdict(node.name, Status.REMOVED, conversion.reason)
        shape = conversion.layers[-1].out_shape
        self._compare(shape, graph.inferred.get(view.output))
        for layer in conversion.layers:
            self.layers.append(layer)
            self.origins[layer.name] = node.name
            self.shapes[layer.output] = layer.out_shape
        self.aliases[view.output] = view.output
        return Verdict(node.name, Status.MAPPED, conversion.note)

    def _compare(self, shape: Shape, inferred: PartialShape | None) -> None:
        """Hold our shape against ONNX's own inference."""
        if inferred is None or None in inferred:
            return
        if inferred != (self.graph.batch, *shape):
            raise RefusalError(
                f"its output is {list(shape)} per image, but ONNX infers {list(inferred)}",
                "export with the newest opset you can (some operators' size rules were corrected)",
            )

    def _survive(self, node: OnnxNode, refusal: RefusalError) -> None:
        """Take a refused node's outputs from ONNX's inference, so that later nodes are checked."""
        self.kept.update(self.aliases[name] for name in node.inputs if name in self.aliases)
        for name in node.outputs:
            inferred = self.graph.inferred.get(name)
            known = [size for size in inferred or () if size is not None]
            if inferred and len(known) == len(inferred) in (2, 4) and min(known) > 0:
                self.aliases[name] = name
                self.shapes[name] = tuple(known[1:])
            elif all(i in self.constants or i in self.broken for i in node.inputs):
                self.broken[name] = f"{node.name!r} does not yield it: {refusal.reason}"


def analyse(model: ModelFile, override: PreprocessingOverride | None = None) -> Analysis:
    """Analyse a readable file; whatever is wrong with its contents is in the result."""
    graph = read_graph(model)
    walk = _Walk(graph)
    verdicts = {node.name: walk.visit(node) for node in graph.nodes}
    problems = list(graph.problems)
    output = walk.aliases.get(graph.output, "")
    if not output and not problems and not _any_refused(verdicts):
        problems.append(f"the output {graph.output!r} does not depend on the input.")
    draft = Draft(tuple(walk.layers), output, frozenset({*walk.kept, output}))
    draft, changes = fold_and_fuse(draft)
    for change in changes:
        _settle(verdicts, walk.origins, change)
    for layer in draft.layers:
        try:
            check_finished(layer)
        except RefusalError as refusal:
            change = Verdict(layer.name, Status.REFUSED, refusal.reason, refusal.advice)
            _settle(verdicts, walk.origins, change)
    complete = not problems and not _any_refused(verdicts)
    if complete:
        draft, more = _as_classifier(draft, walk.shapes[draft.output])
        problems += more
    preprocessing, more = _preprocessing(model, graph.input_shape, override)
    problems += more
    layers = draft.layers
    network = None
    if complete and not problems and graph.input_shape is not None:
        classes = layers[-1].out_shape[0]
        network = Network(
            name=model.name,
            sha256=model.sha256,
            input=graph.input,
            input_shape=graph.input_shape,
            output=draft.output,
            layers=layers,
            preprocessing=preprocessing,
            softmax_removed=any(change.status is Status.REMOVED for change in changes),
            classes=classes,
            class_names=read_class_names(_metadata(model), classes),
        )
    return Analysis(
        graph=graph,
        problems=tuple(problems),
        nodes=graph.nodes,
        verdicts=tuple(verdicts.values()),
        layers=layers,
        shapes=MappingProxyType(walk.shapes | {one.output: one.out_shape for one in layers}),
        preprocessing=preprocessing,
        network=network,
    )


def _any_refused(verdicts: Mapping[str, Verdict]) -> bool:
    return any(verdict.status is Status.REFUSED for verdict in verdicts.values())


def _settle(verdicts: dict[str, Verdict], origins: Mapping[str, str], change: Verdict) -> None:
    """Put a layer's fate down to the node that it came from."""
    name = origins[change.name]
    if change.name == name:
        verdicts[name] = replace(change, name=name)


def _as_classifier(draft: Draft, shape: Shape) -> tuple[Draft, list[str]]:
    """The layers up to a vector of class scores: 1x1 maps at the end are flattened."""
    if not any(hasattr(layer, "weight") for layer in draft.layers):
        return draft, ["the network has no convolution or dense layer: nothing to accelerate."]
    if len(shape) == 3 and shape[1:] == (1, 1):
        flatten = Flatten(
            name=f"{draft.output}/flatten",
            inputs=(draft.output,),
            output=f"{draft.output}/flatten",
            out_shape=shape[:1],
        )
        return Draft((*draft.layers, flatten), flatten.output, frozenset({flatten.output})), []
    if len(shape) != 1:
        size = " x ".join(map(str, shape))
        return draft, [f"the output is a {size} map; only classifiers (a vector of scores) work."]
    if shape[0] < 2:
        return draft, ["the output has one value; a classifier with two classes or more is needed."]
    return draft, []


def _metadata(model: ModelFile) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.proto.metadata_props}


def _preprocessing(
    model: ModelFile, shape: Shape | None, override: PreprocessingOverride | None
) -> tuple[Preprocessing, list[str]]:
    if shape is None:
        return Preprocessing(), []
    try:
        return read_preprocessing(_metadata(model), shape, override), []
    except UserError as error:
        return Preprocessing(), [str(error)]
