"""The integer network at the speed of a float inference library, still exact.

float32 holds every integer up to 2**24. Where no partial sum of a layer can leave that range
(``exactness``), its product runs in onnxruntime on integers kept in float32: weights and bias are
pre-multiplied by ``2**-shift`` and half a step is added to the bias, both exact, so that
requantisation is a clamp and a floor. Wider products are cut in digits of weights and activations,
whose products are exact again and are put together in float64. Whatever cannot be proven either
way runs in ``reference``. Equal to it word by word (tested).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto

from toolflow.emulator.exactness import Plan, plan_of
from toolflow.emulator.float_graph import session_model
from toolflow.emulator.integer_network import IntegerLayer, IntegerNetwork
from toolflow.emulator.reference import run_layer
from toolflow.fixedpoint import IntArray
from toolflow.network.graph import FloatArray

INEXACT_OPTIMISERS = ["ConvAddFusion", "ConvMulFusion", "ConvBNFusion"]
"""They would fold a step into a convolution's parameters and so move a rounding."""

CHUNK_IMAGES = 16
CHUNK_BYTES = 4 << 20
"""A chunk is as many images as keep the largest tensor below this, so in a processor's cache."""


@dataclass(frozen=True, eq=False)
class _Segment:
    """A run of layers: one onnxruntime session, or (None) one layer in the reference."""

    layers: tuple[IntegerLayer, ...]
    session: ort.InferenceSession | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Emulator:
    """Runs an integer network on many images; bit-exact, parallel over images.

    Args:
        network: what to run.
        threads: images run side by side in this many threads.
        keep: tensors to return besides the logits.
    """

    def __init__(
        self,
        network: IntegerNetwork,
        threads: int = 2,
        keep: Iterable[str] = (),
    ) -> None:
        self._network = network
        self._threads = threads
        self._keep = (*dict.fromkeys((*keep, network.network.output)),)
        self._segments = _segments(network, self._keep)
        self._chunk = _chunk_images(network)

    def logits(self, stored_images: IntArray) -> IntArray:
        """Return (N, classes) integer logits of images in the stored input format."""
        return self.run(stored_images)[self._network.network.output]

    def run(self, stored_images: IntArray) -> dict[str, IntArray]:
        """Return the kept tensors of images in the stored input format."""
        starts = range(0, len(stored_images), self._chunk)
        chunks = [stored_images[k : k + self._chunk] for k in starts]
        with ThreadPoolExecutor(self._threads) as pool:
            parts = list(pool.map(self._run_chunk, chunks))
        return {name: np.concatenate([part[name] for part in parts]) for name in self._keep}

    def _run_chunk(self, images: IntArray) -> dict[str, IntArray]:
        live: dict[str, FloatArray | IntArray] = {
            self._network.network.input: _cut(self._network, images)
        }
        for segment in self._segments:
            if segment.session is None:
                layer = segment.layers[0]
                exact = [live[name].astype(np.int64) for name in segment.inputs]
                live[layer.layer.output] = run_layer(layer, exact)
            else:
                feeds = {name: live[name].astype(np.float32) for name in segment.inputs}
                results = segment.session.run(list(segment.outputs), feeds)
                live.update(zip(segment.outputs, results, strict=True))
        return {name: live[name].astype(np.int64) for name in self._keep}


def run_integer_layer(
    network: IntegerNetwork, inputs: Sequence[NDArray[Any]], threads: int = 2
) -> NDArray[np.int32]:
    """Run the only layer of ``network`` on its whole input tensors, images first; bit-exact."""
    layer = network.layers[0]
    segment = _segments(network, (layer.layer.output,))[0]
    chunk = _chunk_images(network)

    def run(first: int) -> NDArray[np.int32]:
        part = [values[first : first + chunk] for values in inputs]
        if segment.session is None:
            exact = run_layer(layer, [values.astype(np.int64) for values in part])
            return exact.astype(np.int32)
        named = dict(zip(layer.layer.inputs, part, strict=True))
        feeds = {name: named[name].astype(np.float32) for name in segment.inputs}
        return np.asarray(segment.session.run(None, feeds)[0]).astype(np.int32)

    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(run, range(0, len(inputs[0]), chunk))))


def _chunk_images(network: IntegerNetwork) -> int:
    largest = 4 * max(prod(shape) for shape in network.network.shapes.values())
    return min(CHUNK_IMAGES, max(1, CHUNK_BYTES // largest))


def _cut(network: IntegerNetwork, words: IntArray) -> FloatArray:
    """Cut stored words to the input's format, as ``reference.cut_images``; 16 bits fit float32."""
    images = words.astype(np.float32)
    if network.input_window:
        images *= np.float32(2.0**-network.input_window)
        images += np.float32(0.5)
        np.floor(images, out=images)
    return np.clip(images, network.input.low, network.input.high, out=images)


def _segments(network: IntegerNetwork, keep: Sequence[str]) -> tuple[_Segment, ...]:
    planned = [(layer, plan_of(layer, network)) for layer in network.layers]
    runs: list[list[tuple[IntegerLayer, Plan | None]]] = []
    for exact, group in groupby(planned, lambda pair: pair[1] is not None):
        members = list(group)
        runs.extend([members] if exact else [[pair] for pair in members])
    return tuple(_segment(network, run, runs[i + 1 :], keep) for i, run in enumerate(runs))


def _segment(
    network: IntegerNetwork,
    run: list[tuple[IntegerLayer, Plan | None]],
    later: Sequence[list[tuple[IntegerLayer, Plan | None]]],
    keep: Sequence[str],
) -> _Segment:
    layers = tuple(layer for layer, _ in run)
    made = [layer.layer.output for layer in layers]
    needed = [name for layer in layers for name in layer.layer.inputs]
    inputs = tuple(dict.fromkeys(name for name in needed if name not in made))
    wanted = {name for other in later for layer, _ in other for name in layer.layer.inputs}
    outputs = tuple(name for name in made if name in wanted or name in keep)
    provable = [(layer, plan) for layer, plan in run if plan is not None]
    if not provable:
        return _Segment(layers, None, layers[0].layer.inputs, outputs)
    model = session_model(network, provable, inputs, outputs)
    return _Segment(layers, _session(model), inputs, outputs)


def _session(model: ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(
        model.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=INEXACT_OPTIMISERS,
    )
