"""Search for the scheme of a precision: scales by least squared error, then led by statistics.

For each wordlength the search starts from the formats with the least squared error of weights and
activations. ``statistics`` then measures what each layer's quantisation alone does to the network,
and ``refine`` walks the layers from the most to the least harmful one, trying neighbouring
fraction lengths and keeping what brings the network's output closer to the float one (the paper's
section 2.2: per-layer statistics guide the exploration of scaling factors).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from toolflow.emulator.exact_float import Emulator
from toolflow.emulator.integer_network import (
    MAX_SHIFT,
    IntegerNetwork,
    StoredParameters,
    balance,
    balanced_words,
    compile_network,
    cut_weights,
    quantise_images,
    store,
)
from toolflow.fixedpoint import Format, dequantise, fraction_for, reciprocal_of
from toolflow.network.graph import Activate, Add, AvgPool, Network, WeightLayer
from toolflow.quantisation.scheme import (
    Precision,
    Scheme,
    TensorGroup,
    group_format,
)
from toolflow.quantisation.statistics import (
    LayerStatistic,
    TensorStatistics,
    candidate_formats,
    divergence,
    least_error,
    softmax,
)

REFINED_ITEMS = 10
"""Refinement walks this many layers' weights or activations, the most harmful ones."""

LOGIT_HEADROOM = 2.0
"""Logit formats hold this many times the largest float logit: low precision overshoots."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """The images a search may look at, with the float network's answers.

    ``images`` is pre-processed float32 (N, C, H, W); ``logits`` the float logits (N, classes).
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]
    tensors: MappingProxyType[str, TensorStatistics]


class SchemeSearch:
    """Finds schemes of one network for any precision.

    Args:
        network: the float network.
        calibration: images and float statistics; ``tensors`` is keyed by group name.
        groups: the tensors that share formats (``format_groups``).
        threads: emulator threads.
    """

    def __init__(
        self,
        network: Network,
        calibration: Calibration,
        groups: tuple[TensorGroup, ...],
        threads: int = 2,
    ) -> None:
        self._network = network
        self._calibration = calibration
        self._threads = threads
        self._float_softmax = softmax(calibration.logits.astype(np.float64))
        self.groups = groups

    def initial(self, precision: Precision, stored: StoredParameters | None = None) -> Scheme:
        """Return the scheme of least squared error; ``stored`` makes it an LPU's."""
        tensors = {
            name: fmt
            for group in self.groups
            for name, fmt in self._group_formats(group, precision, stored)
        }
        weights = {
            layer.name: self._weight_format(layer, precision, stored)
            for layer in self._network.weight_layers
        }
        scheme = Scheme(precision, MappingProxyType(weights), MappingProxyType(tensors))
        return self._legalised(scheme)

    def compile(self, scheme: Scheme, stored: StoredParameters | None = None) -> IntegerNetwork:
        """Return the integer network, its parameters stored here or cut from ``stored``."""
        if stored is None:
            return compile_network(self._network, scheme, store(self._network, scheme))
        return compile_network(self._network, scheme, balance(self._network, stored, scheme))

    def loss(self, scheme: Scheme, stored: StoredParameters | None = None) -> float:
        """Return the divergence from the float network on the calibration images, in nats."""
        return self._measure(scheme, stored)[0]

    def statistics(
        self, scheme: Scheme, reference: Scheme, stored: StoredParameters | None = None
    ) -> tuple[LayerStatistic, ...]:
        """Measure each layer's weights and each tensor of ``scheme`` alone within ``reference``."""
        result = []
        for name, kind, fmt in self._items(scheme):
            mixed = self._legalised(self._changed(reference, name, kind, fmt))
            try:
                loss, accuracy = self._measure(mixed, stored)
            except ValueError:
                continue
            result.append(LayerStatistic(name, kind, fmt.bits, fmt.frac, accuracy, loss))
        return tuple(result)

    def refine(
        self,
        scheme: Scheme,
        statistics: tuple[LayerStatistic, ...],
        stored: StoredParameters | None = None,
    ) -> Scheme:
        """Improve a scheme layer by layer, most harmful first; never returns a worse one."""
        best = self.loss(scheme, stored)
        for item in sorted(statistics, key=lambda s: -s.divergence)[:REFINED_ITEMS]:
            for step in (1, -1):
                fmt = self._format_of(scheme, item)
                moved = Format(fmt.bits, fmt.frac + step, fmt.signed)
                trial = self._changed(scheme, item.name, item.kind, moved)
                try:
                    loss = self.loss(trial, stored)
                except ValueError:
                    continue
                if loss < best:
                    scheme, best = trial, loss
                    break
        return scheme

    def _measure(self, scheme: Scheme, stored: StoredParameters | None) -> tuple[float, float]:
        network = self.compile(scheme, stored)
        words = quantise_images(self._calibration.images, network.stored_input)
        q = Emulator(network, self._threads).logits(words)
        accuracy = float(np.mean(q.argmax(axis=1) == self._calibration.labels))
        logits = dequantise(q, network.logit_format.frac)
        return divergence(self._float_softmax, logits), accuracy

    def _group_formats(
        self, group: TensorGroup, precision: Precision, stored: StoredParameters | None
    ) -> Iterator[tuple[str, Format]]:
        statistics = self._calibration.tensors[group.name]
        if group.is_logits:
            probe = group_format(group, precision.act_bits, 0)
            frac = fraction_for(statistics.limit * LOGIT_HEADROOM, probe.bits, True)
            fmt = group_format(group, precision.act_bits, frac)
        else:
            signed = not group.non_negative
            formats = candidate_formats(statistics.limit, precision.act_bits, signed)
            if stored is not None:
                finest = stored.scheme.tensors[group.name].frac
                formats = tuple(f for f in formats if f.frac <= finest) or (
                    Format(precision.act_bits, finest, signed),
                )
            fmt = least_error(statistics.sample, formats)
        return ((name, fmt) for name in group.tensors)

    def _weight_format(
        self, layer: WeightLayer, precision: Precision, stored: StoredParameters | None
    ) -> Format:
        limit = float(np.abs(layer.weight).max())
        formats = candidate_formats(limit, precision.weight_bits, True)
        if stored is None:
            return least_error(layer.weight.reshape(-1), formats)
        source = stored.layers[layer.name]
        usable = [f for f in formats if f.frac <= source.weight_format.frac] or [
            Format(precision.weight_bits, source.weight_format.frac)
        ]

        def error(fmt: Format) -> float:
            words = balanced_words(layer.weight, source, fmt)
            cut = dequantise(cut_weights(words, source.weight_format, fmt), fmt.frac)
            return float(np.mean((cut - layer.weight) ** 2))

        return min(usable, key=error)

    def _items(self, scheme: Scheme) -> Iterator[tuple[str, str, Format]]:
        for layer in self._network.weight_layers:
            yield layer.name, "weight", scheme.weights[layer.name]
        for group in self.groups:
            if not group.is_logits:
                yield group.name, "activation", scheme.tensors[group.name]

    def _group(self, name: str) -> TensorGroup:
        return next(group for group in self.groups if group.name == name)

    def _format_of(self, scheme: Scheme, item: LayerStatistic) -> Format:
        return scheme.weights[item.name] if item.kind == "weight" else scheme.tensors[item.name]

    def _changed(self, scheme: Scheme, name: str, kind: str, fmt: Format) -> Scheme:
        if kind == "weight":
            return scheme.with_weight(name, fmt)
        return scheme.with_group(self._group(name), fmt)

    def _legalised(self, scheme: Scheme) -> Scheme:
        """Coarsen formats until no shift is negative or too long for the hardware.

        An output finer than its accumulator carries no information, so nothing is lost.
        """
        changed = True
        while changed:
            changed = False
            for layer in self._network.layers:
                group = next(g for g in self.groups if layer.output in g.tensors)
                out = scheme.tensors[layer.output]
                data = [scheme.tensors[name].frac for name in layer.inputs]
                if isinstance(layer, WeightLayer):
                    weight = scheme.weights[layer.name]
                    finest = data[0] + weight.frac
                    if finest - out.frac > MAX_SHIFT:
                        frac = weight.frac - (finest - out.frac - MAX_SHIFT)
                        coarser = Format(weight.bits, frac, weight.signed)
                        scheme, changed = scheme.with_weight(layer.name, coarser), True
                        continue
                elif isinstance(layer, AvgPool):
                    finest = data[0] + reciprocal_of(1).shift
                elif isinstance(layer, Add | Activate):
                    finest = max(data)
                else:
                    continue
                if out.frac > finest:
                    capped = Format(out.bits, finest, out.signed)
                    scheme, changed = scheme.with_group(group, capped), True
        return scheme
