"""Ways to quantise a network for two precisions: the paper's, ours, and what lies between them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from toolflow.emulator.integer_network import (
    IntegerNetwork,
    StoredParameters,
    compile_network,
    cut_network,
    store,
)
from toolflow.planning.candidates import (
    SEARCH_IMAGES,
    SEARCH_WEIGHT_BITS,
    STATISTICS_IMAGES,
    rounding_images,
)
from toolflow.quantisation.inputs import sample_inputs
from toolflow.quantisation.scheme import Precision, Scheme, format_groups
from toolflow.quantisation.search import PAPER, Calibration, Rules, SchemeSearch
from toolflow.quantisation.sharing import Method, WeightSharing
from toolflow.quantisation.statistics import measure_tensors
from toolflow.study.networks import HPU_PRECISION, StudyNetwork


@dataclass(frozen=True)
class Recipe:
    """How a pair of networks is quantised.

    Attributes:
        rules: formats that the search may use.
        method: how words for both precisions are rounded; None rounds the HPU's to the nearest and
            leaves the LPU's to the window, as the paper does.
        refined: formats are refined, led by per-layer statistics.
    """

    rules: Rules
    method: Method | None
    refined: bool


SENSITIVITY_PRECISION = Precision(4, 4)
"""Layers that it harms most are refined in the paper's HPU: at 8 bits none can be told apart."""

PAPERS = Recipe(PAPER, None, True)
OURS = Recipe(Rules(), Method(), False)
_NEAREST = Method(compensation=0.0, by_output_error=False, balance_biases=False)

CUMULATIVE: Mapping[str, Recipe] = MappingProxyType(
    {
        "paper": PAPERS,
        "+least_error": replace(PAPERS, rules=replace(PAPER, least_error=True)),
        "+unsigned_zero_points": replace(
            PAPERS, rules=replace(PAPER, least_error=True, unsigned=True, zero_points=True)
        ),
        "+channel_scales": replace(OURS, method=_NEAREST),
        "+balanced_biases": replace(OURS, method=replace(_NEAREST, balance_biases=True)),
        "+output_error": replace(OURS, method=Method(compensation=0.0)),
        "ours": OURS,
    }
)
"""Each has all that the ones before it have, but for the refinement, which ends with the paper's
rounding: ours takes the formats of least error as they are."""

ABLATION: Mapping[str, Recipe] = MappingProxyType(
    {
        "ours": OURS,
        "-output_error": replace(OURS, method=Method(by_output_error=False)),
        "-compensation": replace(OURS, method=Method(compensation=0.0)),
        "-balanced_biases": replace(OURS, method=Method(balance_biases=False)),
        "-channel_scales": replace(OURS, method=Method(scale_a_channel=False)),
        "-displacement": replace(OURS, method=Method(displacement=0.0)),
        "-unsigned": replace(OURS, rules=Rules(unsigned=False)),
        "-zero_points": replace(OURS, rules=Rules(zero_points=False)),
        "-least_error": replace(OURS, rules=Rules(least_error=False)),
        "+refinement": replace(OURS, refined=True),
    }
)


@dataclass(frozen=True, eq=False)
class Pair:
    """An LPU and the HPU of the same stored words, made in ``seconds``."""

    lpu: IntegerNetwork
    hpu: IntegerNetwork
    seconds: float


class Quantiser:
    """Makes pairs of one network by any recipe, on the images for tuning."""

    def __init__(self, study: StudyNetwork, threads: int) -> None:
        tune, entry = study.tune, study.entry
        self._network = study.network
        self._threads = threads
        self._groups = format_groups(study.network, bool(tune.images.min() >= 0))
        tensors = measure_tensors(study.network, self._groups, tune.images[:STATISTICS_IMAGES])
        search = slice(0, min(SEARCH_IMAGES, entry.statistics_images))
        self._calibration = Calibration(
            tune.images[search],
            tune.labels[search],
            tune.float_logits[search],
            MappingProxyType(tensors),
        )
        self._images = tune.images[: rounding_images(study.network)]
        self._inputs = sample_inputs(study.network, self._images)
        self._sharing: tuple[Method, WeightSharing] | None = None
        self._papers: dict[tuple[Rules, bool], tuple[StoredParameters, IntegerNetwork]] = {}

    def pair(self, recipe: Recipe, precision: Precision) -> Pair:
        """Return an LPU at a precision and its HPU at 8 bits; at 8 bits both are the HPU.

        Raises:
            ValueError: the hardware cannot run what the recipe makes.
        """
        start = time.perf_counter()
        make = self._nearest if recipe.method is None else self._shared
        lpu, hpu = make(recipe, precision)
        return Pair(lpu, hpu, time.perf_counter() - start)

    def _nearest(
        self, recipe: Recipe, precision: Precision
    ) -> tuple[IntegerNetwork, IntegerNetwork]:
        """The paper's way: the HPU first, then an LPU's scheme within the HPU's words."""
        search = self._search(recipe.rules)
        key = recipe.rules, recipe.refined
        if key not in self._papers:
            scheme = search.initial(HPU_PRECISION)
            if recipe.refined:
                probe = search.initial(SENSITIVITY_PRECISION)
                scheme = search.refine(scheme, search.statistics(probe, scheme))
            stored = store(self._network, scheme)
            self._papers[key] = stored, compile_network(self._network, stored)
        stored, hpu = self._papers[key]
        if precision == HPU_PRECISION:
            return hpu, hpu
        scheme = search.initial(precision, stored.scheme)
        if recipe.refined:
            statistics = search.statistics(scheme, stored.scheme, stored)
            scheme = search.refine(scheme, statistics, stored)
        return cut_network(self._network, scheme, stored), hpu

    def _shared(
        self, recipe: Recipe, precision: Precision
    ) -> tuple[IntegerNetwork, IntegerNetwork]:
        """Our way: words that are good for both precisions."""
        assert recipe.method is not None
        search = self._search(recipe.rules)
        hpu = _tensors(search, HPU_PRECISION, None)
        sharing = self._sharing_by(recipe.method)
        if precision == HPU_PRECISION:
            single = compile_network(self._network, sharing.single(_led(search, hpu, recipe)))
            return single, single
        lpu = _led(search, _tensors(search, precision, hpu), recipe)
        words = sharing.share(lpu, hpu)
        return (
            cut_network(self._network, words.lpu, words.stored),
            compile_network(self._network, words.stored),
        )

    def _search(self, rules: Rules) -> SchemeSearch:
        return SchemeSearch(self._network, self._calibration, self._groups, self._threads, rules)

    def _sharing_by(self, method: Method) -> WeightSharing:
        """Return the rounding by a method; only the last one's factors are kept."""
        if self._sharing is None or self._sharing[0] != method:
            self._sharing = (
                method,
                WeightSharing(
                    self._network, self._groups, self._images, self._inputs, self._threads, method
                ),
            )
        return self._sharing[1]


def _tensors(search: SchemeSearch, precision: Precision, hpu: Scheme | None) -> Scheme:
    scheme = search.initial(replace(precision, weight_bits=SEARCH_WEIGHT_BITS), hpu)
    return replace(scheme, precision=precision)


def _led(search: SchemeSearch, scheme: Scheme, recipe: Recipe) -> Scheme:
    """Return the scheme refined by statistics, where the recipe wants that."""
    if not recipe.refined:
        return scheme
    reference = search.initial(Precision(SEARCH_WEIGHT_BITS, SEARCH_WEIGHT_BITS))
    return search.refine(scheme, search.statistics(scheme, reference))
