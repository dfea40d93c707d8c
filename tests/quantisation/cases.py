"""What a search and a sharing of weights need of a network: images, statistics, inputs."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from toolflow.emulator.exact_float import Emulator
from toolflow.emulator.integer_network import IntegerNetwork, quantise_images
from toolflow.fixedpoint import dequantise
from toolflow.network.float_reference import float_logits
from toolflow.network.graph import Network
from toolflow.quantisation.scheme import Precision, Scheme, TensorGroup, format_groups
from toolflow.quantisation.search import Calibration, Rules, SchemeSearch
from toolflow.quantisation.statistics import divergence, measure_tensors, softmax

OURS = Rules()


@dataclass(frozen=True, eq=False)
class Case:
    """A network with calibration images and as many others."""

    network: Network
    groups: tuple[TensorGroup, ...]
    calibration: Calibration
    others: NDArray[np.float32]

    def search(self, rules: Rules = OURS) -> SchemeSearch:
        return SchemeSearch(self.network, self.calibration, self.groups, 1, rules)

    def pair(self, lpu: tuple[int, int], hpu: tuple[int, int]) -> tuple[Scheme, Scheme]:
        """Return initial schemes of two precisions, the LPU's no finer than the HPU's."""
        search = self.search()
        high = search.initial(Precision(*hpu))
        return search.initial(Precision(*lpu), high), high

    def divergence(self, network: IntegerNetwork) -> float:
        """Return an integer network's divergence from the float one on the other images."""
        reference = float_logits(self.network, self.others, 1).astype(np.float64)
        return divergence(softmax(reference), logits(network, self.others))


def logits(network: IntegerNetwork, images: NDArray[np.float32]) -> NDArray[np.float64]:
    q = Emulator(network, 1).logits(quantise_images(images, network.stored_input))
    return dequantise(q, network.logit_format.frac)


def case_of(network: Network, seed: int = 0, images: int = 32) -> Case:
    rng = np.random.default_rng(seed)
    batch, others = rng.normal(0, 1, (2, images, *network.input_shape)).astype(np.float32)
    groups = format_groups(network)
    answers = float_logits(network, batch, 1)
    calibration = Calibration(
        images=batch,
        labels=answers.argmax(axis=1),
        logits=answers,
        tensors=MappingProxyType(measure_tensors(network, groups, batch)),
    )
    return Case(network, groups, calibration, others)
