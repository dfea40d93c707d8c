"""Search for formats: scales by least error, then led by per-layer statistics.

For each wordlength the search starts from the formats with the least squared error. ``statistics``
then measures what each layer's quantisation alone does to the network, and ``refine`` walks the
layers from the most to the least harmful one, trying neighbouring fraction lengths and zero points
and keeping what brings the network's output closer to the float one (the paper's section 2.2:
per-layer statistics guide the exploration of scaling factors).

``Rules`` tells the paper's method from ours: the paper's activations are signed, without zero
points, and its weights have one scale a layer, rounded one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from toolflow.emulator.exact_float import Emulator
from toolflow.emulator.integer_network import (
    IntegerNetwork,
    StoredParameters,
    compile_network,
    cut_network,
    quantise_images,
    store,
)
from toolflow.fixedpoint import LOGIT_BITS, Format, dequantise, fraction_for
from toolflow.network.graph import Network, WeightLayer
from toolflow.quantisation.legality import legalised
from toolflow.quantisation.scheme import Precision, Scheme, TensorGroup, WeightFormat
from toolflow.quantisation.statistics import (
    LayerStatistic,
    TensorStatistics,
    candidate_formats,
    divergence,
    least_error,
    softmax,
    with_zero_points,
)

REFINED_ITEMS = 10
"""Refinement walks this many layers' weights or activations, the most harmful ones."""

LOGIT_HEADROOM = 2.0
"""Formats of logits hold this many times the largest float logit: low precision overshoots."""


@dataclass(frozen=True)
class Rules:
    """What formats a search may use.

    Attributes:
        unsigned: activations that are never negative have no sign bit.
        zero_points: activations that are rarely negative have a zero point.
        least_error: scales start from the least squared error, else from what clips nothing.
        scale_a_channel: weights have a scale for each output channel, that of its largest weight.
        refine_weights: the refinement moves weight formats, else only activations'.
    """

    unsigned: bool = True
    zero_points: bool = True
    least_error: bool = True
    scale_a_channel: bool = True
    refine_weights: bool = False


PAPER = Rules(
    unsigned=False,
    zero_points=False,
    least_error=False,
    scale_a_channel=False,
    refine_weights=True,
)


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
        rules: the formats to use.
    """

    def __init__(
        self,
        network: Network,
        calibration: Calibration,
        groups: tuple[TensorGroup, ...],
        threads: int = 2,
        rules: Rules = Rules(),
    ) -> None:
        self._network = network
        self._calibration = calibration
        self._threads = threads
        self._rules = rules
        self._float_softmax = softmax(calibration.logits.astype(np.float64))
        self.groups = groups

    def initial(self, precision: Precision, hpu: Scheme | None = None) -> Scheme:
        """Return the starting scheme; ``hpu`` makes it an LPU's, no finer than the HPU's."""
        tensors = {
            name: fmt
            for group in self.groups
            for fmt in [self._group_format(group, precision, hpu)]
            for name in group.tensors
        }
        weights = {
            layer.name: self._weight_format(layer, precision, hpu)
            for layer in self._network.weight_layers
        }
        scheme = Scheme(precision, MappingProxyType(weights), MappingProxyType(tensors))
        return legalised(scheme, self._network, self.groups)

    def compile(self, scheme: Scheme, stored: StoredParameters | None = None) -> IntegerNetwork:
        """Return the integer network of nearest weights, or of ones cut from ``stored``."""
        if stored is None:
            return compile_network(self._network, store(self._network, scheme))
        return cut_network(self._network, scheme, stored)

    def loss(self, scheme: Scheme, stored: StoredParameters | None = None) -> float:
        """Return the divergence from the float network on the calibration images, in nats."""
        return self._measure(scheme, stored)[0]

    def statistics(
        self, scheme: Scheme, reference: Scheme, stored: StoredParameters | None = None
    ) -> tuple[LayerStatistic, ...]:
        """Measure each layer's weights and each tensor of ``scheme`` alone within ``reference``."""
        result = []
        for item in self._items(scheme):
            mixed = legalised(self._with(reference, item), self._network, self.groups)
            try:
                loss, accuracy = self._measure(mixed, stored)
            except ValueError:
                continue
            result.append(
                LayerStatistic(item.name, item.kind, item.bits, item.frac, accuracy, loss)
            )
        return tuple(result)

    def refine(
        self,
        scheme: Scheme,
        statistics: tuple[LayerStatistic, ...],
        stored: StoredParameters | None = None,
    ) -> Scheme:
        """Improve a scheme layer by layer, most harmful first; never returns a worse one."""
        best = self.loss(scheme, stored)
        for statistic in sorted(statistics, key=lambda s: -s.divergence)[:REFINED_ITEMS]:
            improved = True
            while improved:
                improved = False
                for trial in self._neighbours(scheme, statistic):
                    try:
                        loss = self.loss(trial, stored)
                    except ValueError:
                        continue
                    if loss < best:
                        scheme, best, improved = trial, loss, True
                        break
        return scheme

    def _measure(self, scheme: Scheme, stored: StoredParameters | None) -> tuple[float, float]:
        network = self.compile(scheme, stored)
        words = quantise_images(self._calibration.images, network.stored_input)
        q = Emulator(network, self._threads).logits(words)
        accuracy = float(np.mean(q.argmax(axis=1) == self._calibration.labels))
        logits = dequantise(q, network.logit_format.frac)
        return divergence(self._float_softmax, logits), accuracy

    def _group_format(self, group: TensorGroup, precision: Precision, hpu: Scheme | None) -> Format:
        statistics = self._calibration.tensors[group.name]
        finest = hpu.tensors[group.name].frac if hpu else None
        if group.is_head:
            frac = fraction_for(statistics.limit * LOGIT_HEADROOM, LOGIT_BITS, True)
            return Format(LOGIT_BITS, frac if finest is None else min(frac, finest))
        signed = not (group.non_negative and self._rules.unsigned)
        formats = candidate_formats(statistics.limit, precision.act_bits, signed)
        if signed and self._rules.zero_points and not group.is_input:
            formats += with_zero_points(formats)
        if finest is not None:
            formats = tuple(f for f in formats if f.frac <= finest) or (formats[0].at(finest),)
        return least_error(statistics, formats) if self._rules.least_error else formats[0]

    def _weight_format(
        self, layer: WeightLayer, precision: Precision, hpu: Scheme | None
    ) -> WeightFormat:
        bits = precision.weight_bits
        if self._rules.scale_a_channel and hpu is not None:
            stored = hpu.weights[layer.name]
            return replace(stored.shifted(bits - stored.bits), bits=bits)
        if self._rules.scale_a_channel:
            limits = np.abs(layer.weight).reshape(len(layer.weight), -1).max(axis=1)
            coarse = fraction_for(float(limits.max()), bits, True)
            fracs = [fraction_for(float(x), bits, True) if x > 0 else coarse for x in limits]
            return WeightFormat(bits, tuple(min(f, coarse + bits) for f in fracs))
        frac = fraction_for(float(np.abs(layer.weight).max()), bits, True)
        if hpu is not None:
            frac = min(frac, hpu.weights[layer.name].frac)
        return WeightFormat.uniform(bits, frac, len(layer.weight))

    def _items(self, scheme: Scheme) -> Iterator[_Item]:
        if self._rules.refine_weights:
            for layer in self._network.weight_layers:
                yield _Item(layer.name, "weight", scheme.weights[layer.name])
        for group in self.groups:
            if not group.is_head:
                yield _Item(group.name, "activation", scheme.tensors[group.name])

    def _with(self, scheme: Scheme, item: _Item) -> Scheme:
        if isinstance(item.format, WeightFormat):
            return scheme.with_weight(item.name, item.format)
        group = next(group for group in self.groups if group.name == item.name)
        return scheme.with_group(group, item.format)

    def _neighbours(self, scheme: Scheme, statistic: LayerStatistic) -> Iterator[Scheme]:
        if statistic.kind == "weight":
            weights = scheme.weights[statistic.name]
            for step in (1, -1):
                yield self._with(scheme, _Item(statistic.name, "weight", weights.shifted(step)))
            return
        fmt = scheme.tensors[statistic.name]
        for moved in _neighbouring_formats(fmt):
            yield self._with(scheme, _Item(statistic.name, "activation", moved))


@dataclass(frozen=True)
class _Item:
    """One thing that a scheme chooses: a layer's weight format or a tensor group's format."""

    name: str
    kind: str
    format: WeightFormat | Format

    @property
    def bits(self) -> int:
        return self.format.bits

    @property
    def frac(self) -> int:
        return self.format.frac


def _neighbouring_formats(fmt: Format) -> Iterator[Format]:
    """Return formats of a step finer and coarser, and with the zero point a step further."""
    yield fmt.at(fmt.frac + 1)
    yield fmt.at(fmt.frac - 1)
    if fmt.zero:
        step = max(1, fmt.zero // 8)
        for zero in (fmt.zero + step, fmt.zero - step):
            if 0 < zero < 1 << fmt.bits:
                yield replace(fmt, zero=zero)
