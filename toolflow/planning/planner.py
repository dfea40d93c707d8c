"""The plan's decisions, in the order in which they depend on each other.

1. HPU: the shortest wordlength from 8 bits on that is as accurate as the float network (within a
   quarter of the tolerance), or what the user says. Shorter ones would leave an LPU's words too
   little room around its weights (``quantisation.sharing``).
   The words that it shares with the LPU must leave it so, as far as that can be had.
2. LPU: pairs of wordlengths of 2..8 bits are screened on a part of the evaluation set, the one
   with the fastest possible cascade first, until no other can be faster than the best ones seen;
   those are run on all images.
3. CEU: M, N and threshold that forward the fewest images within the tolerance, exactly.
4. Baseline: the fastest single-stage design of any pair of wordlengths, with the same quantiser
   and the same search over hardware, that meets the same tolerance. Of pairs of the same rate the
   widest are tried.

What "within the tolerance" means, and which images may choose, is the protocol's to say
(``toolflow.confidence.protocol``): an estimate on all images, or a guarantee.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from toolflow.confidence.guarantee import PairedOutcomes, error_bound
from toolflow.confidence.protocol import AddedError, ToleranceProtocol
from toolflow.confidence.tuning import Outcomes, Setting, required_correct
from toolflow.emulator.integer_network import StoredParameters
from toolflow.errors import GoalError, UserError
from toolflow.exploration.search import CascadeDesign, CascadeKey, Explorer, SingleDesign
from toolflow.network.graph import Network
from toolflow.planning.candidates import Candidate, CandidateRunner, EvaluationSet
from toolflow.quantisation.scheme import Precision
from toolflow.quantisation.statistics import LayerStatistic

LPU_BITS = range(2, 9)
HPU_BITS = range(8, 17)
HPU_MARGIN_SHARE = 0.25
"""The HPU may lose this share of the tolerance against the float network."""

NARROWER_AT_BEST = 0.04
"""A narrower LPU may forward less than a wider one by this share, by luck, not by more."""

FIRST_SCREENED = (Precision(4, 4), Precision(3, 3))
"""Screened before any bound is known; they bound all that is narrower."""

FINALISTS = 3

VERY_NARROW = 3
RULED_OUT_AT_ONCE = 3
"""Where a precision is so narrow, and so many others may be ruled out, a wider one is tried."""

OUT_OF_REACH = 0.05
"""Precisions below one that misses its target by this much are not tried as a baseline."""

REPORTED_TOLERANCES = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05)

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Finalist:
    """An LPU candidate run on all images, with its HPU and what to expect of their cascade.

    ``stored`` are the words that both units use, ``hpu`` the HPU with exactly those; ``forwarded``
    is the share that the design was made for.
    """

    candidate: Candidate
    hpu: Candidate
    stored: StoredParameters
    outcomes: Outcomes
    forwarded: float
    design: CascadeDesign


@dataclass(frozen=True, eq=False)
class Cascade:
    """The chosen LPU with the CEU's setting, the design for it, and the error that it adds."""

    finalist: Finalist
    setting: Setting
    design: CascadeDesign
    added_error: AddedError


@dataclass(frozen=True, eq=False)
class Baseline:
    """A single-stage design with the error that it adds to the HPU's, and that error's bound."""

    candidate: Candidate
    design: SingleDesign
    counts: PairedOutcomes
    bound: float


@dataclass(frozen=True)
class Screened:
    """A precision as the screening saw it: ``forwarded`` and rate belong to a cascade."""

    role: str
    precision: Precision
    accuracy: float
    forwarded: float
    images_per_s: float
    images: int


@dataclass(frozen=True)
class TolerancePoint:
    """The best cascade and the best single stage at one tolerance."""

    tolerance: float
    forwarded: float
    cascade_images_per_s: float
    baseline: Precision
    baseline_images_per_s: float


@dataclass(frozen=True, eq=False)
class Decisions:
    """Everything that was decided, and what was considered on the way."""

    hpu: Candidate
    stored: StoredParameters
    cascade: Cascade
    baseline: Baseline
    statistics: tuple[LayerStatistic, ...]
    considered: tuple[Screened, ...]
    tolerances: tuple[TolerancePoint, ...]


class Planner:
    """Decides one plan.

    Args:
        network: the float network.
        evaluation: labelled images with the metric.
        explorer: the hardware search of the device.
        protocol: how the allowed rise of the error over the HPU's is held.
        progress: called with a line before each longer piece of work.
        threads: emulator threads.
    """

    def __init__(
        self,
        network: Network,
        evaluation: EvaluationSet,
        explorer: Explorer,
        protocol: ToleranceProtocol,
        progress: Progress,
        threads: int,
    ) -> None:
        self._network = network
        self._evaluation = evaluation
        self._explorer = explorer
        self._protocol = protocol
        self._progress = progress
        progress("measuring the float network's tensors")
        seen = protocol.choosing(evaluation.size)
        self._runner = CandidateRunner(network, evaluation, seen, threads)
        self._screened_lpus: dict[Precision, float] = {}
        self._singles: dict[Precision, Candidate] = {}

    def decide(
        self, lpu_bits: Precision | None = None, hpu_bits: Precision | None = None
    ) -> Decisions:
        """Take all decisions; None searches a precision.

        Raises:
            GoalError: no wordlength makes an HPU as accurate as the tolerance asks.
            UserError: the LPU's precision exceeds the HPU's, or the device is too small.
        """
        hpu = self._choose_hpu(hpu_bits)
        screened = self._screen(hpu, lpu_bits)
        finalists = [
            self._finalist(item.precision, hpu)
            for item in sorted(screened, key=_promise)[:FINALISTS]
        ]
        best = min(finalists, key=_merit)
        self._progress("setting the threshold")
        cascade = self._settled(best, self._protocol)
        self._progress("measuring what each tensor's format does")
        statistics = self._runner.statistics(best.candidate.precision, hpu)
        self._screened_lpus = {item.precision: item.accuracy for item in screened}
        hpu = best.hpu
        baseline = self._baseline(hpu, self._protocol)
        self._progress("other tolerances")
        points = tuple(
            self._point(self._protocol.at(tolerance), finalists, hpu)
            for tolerance in sorted({*REPORTED_TOLERANCES, self._protocol.tolerance})
        )
        return Decisions(
            hpu=hpu,
            stored=best.stored,
            cascade=cascade,
            baseline=baseline,
            statistics=statistics,
            considered=(*screened, *map(_final_row, finalists), *self._single_rows()),
            tolerances=points,
        )

    # ------------------------------------------------------------------ HPU

    def _choose_hpu(self, wanted: Precision | None) -> Candidate:
        if wanted is not None:
            self._progress(f"HPU at {wanted} bits")
            return self._runner.single(wanted)
        required = self._required()
        best: Candidate | None = None
        for bits in HPU_BITS:
            self._progress(f"HPU: trying {bits} bits")
            candidate = self._runner.single(Precision(bits, bits))
            if self._runner.seen_accuracy(candidate) >= required:
                return candidate
            if best is None or candidate.accuracy > best.accuracy:
                best = candidate
        assert best is not None
        float_accuracy = self._evaluation.float_correct / self._evaluation.size
        raise GoalError(
            f"no wordlength up to {HPU_BITS[-1]} bits is as accurate as the float network "
            f"({float_accuracy:.2%}) within a quarter of the tolerance; the best is "
            f"{best.precision} with {best.accuracy:.2%}. Allow a larger --tolerance or name "
            "the HPU's precision with --hpu-bits"
        )

    def _required(self) -> float:
        """Return the accuracy of an HPU, on the images seen, that is as good as the float one."""
        seen = self._protocol.choosing(self._evaluation.size)
        spare = int(HPU_MARGIN_SHARE * self._protocol.tolerance * seen)
        return (_first(self._evaluation, seen).float_correct - spare) / seen

    # ------------------------------------------------------------------ LPU

    def _screen(self, hpu: Candidate, wanted: Precision | None) -> list[Screened]:
        """Screen LPUs until none that is left can be among the finalists."""
        if wanted is not None:
            if not _within(wanted, hpu.precision):
                raise UserError(
                    f"--lpu-bits {wanted} is more than the HPU's {hpu.precision}: the LPU's "
                    "parameters are cut from the HPU's, so neither may be wider"
                )
            return [self._screened_lpu(wanted, hpu)]
        every = (Precision(w, a) for w in LPU_BITS for a in LPU_BITS)
        left = {p for p in every if _within(p, hpu.precision)}
        screened = []
        for precision in FIRST_SCREENED:
            if precision in left:
                left.remove(precision)
                screened.append(self._screened_lpu(precision, hpu))
        while left:
            bounds = {p: self._rate_at_best(p, hpu, screened) for p in left}
            precision = max(left, key=lambda p: (bounds[p], -p.weight_bits - p.act_bits))
            rates = sorted((item.images_per_s for item in screened), reverse=True)
            if len(rates) >= FINALISTS and bounds[precision] <= rates[FINALISTS - 1]:
                break
            left.remove(precision)
            screened.append(self._screened_lpu(precision, hpu))
        return screened

    def _rate_at_best(
        self, precision: Precision, hpu: Candidate, screened: Iterable[Screened]
    ) -> float:
        """Bound a cascade's rate: it forwards hardly less than those of wider LPUs do."""
        wider = [item.forwarded for item in screened if _within(precision, item.precision)]
        forwarded = max([0.0, *(share - NARROWER_AT_BEST for share in wider)])
        return self._explorer.cascade_rate(
            (precision.weight_bits, precision.act_bits),
            (hpu.precision.weight_bits, hpu.precision.act_bits),
            forwarded,
            self._narrowest_reads(precision, hpu),
        )

    def _narrowest_reads(self, precision: Precision, hpu: Candidate) -> tuple[int, ...]:
        spare = hpu.precision.weight_bits - precision.weight_bits
        return (spare,) * len(self._network.weight_layers)

    def _screened_lpu(self, precision: Precision, hpu: Candidate) -> Screened:
        self._progress(f"LPU: screening {precision}")
        candidate = self._runner.screen(precision, hpu)
        forwarded = self._protocol.expected_forwarded(self._runner.outcomes(candidate, hpu))
        rate = self._explorer.cascade_rate(*_pair(candidate, hpu, forwarded))
        return _screened("lpu", candidate, forwarded, rate)

    def _finalist(self, precision: Precision, hpu: Candidate) -> Finalist:
        self._progress(f"LPU: running {precision} on all images")
        required = min(self._required(), self._runner.seen_accuracy(hpu))
        pair = self._runner.pair(precision, hpu, required)
        outcomes = self._runner.outcomes(pair.lpu, pair.hpu)
        forwarded = self._protocol.expected_forwarded(outcomes)
        design = self._cascade(pair.lpu, pair.hpu, forwarded)
        return Finalist(pair.lpu, pair.hpu, pair.stored, outcomes, forwarded, design)

    def _settled(self, finalist: Finalist, protocol: ToleranceProtocol) -> Cascade:
        setting = protocol.settle(finalist.outcomes)
        forwarded = setting.forwarded / finalist.outcomes.images
        design = self._cascade(finalist.candidate, finalist.hpu, forwarded)
        return Cascade(finalist, setting, design, protocol.judge(finalist.outcomes, setting))

    def _cascade(self, lpu: Candidate, hpu: Candidate, forwarded: float) -> CascadeDesign:
        return self._explorer.cascade(*_pair(lpu, hpu, forwarded))

    # ------------------------------------------------------------------ baseline

    def _out_of_reach(self, precision: Precision, target: float) -> bool:
        """Whether a wider single stage, or an LPU that wide, misses the target by far."""
        known = {p: c.accuracy for p, c in self._singles.items()}
        return any(
            _within(precision, other) and accuracy < target - OUT_OF_REACH
            for other, accuracy in (*self._screened_lpus.items(), *known.items())
        )

    def _baseline(self, hpu: Candidate, protocol: ToleranceProtocol) -> Baseline:
        """Return the fastest single stage within a tolerance."""
        target = required_correct(hpu.correct, protocol.tolerance) / self._evaluation.size
        precisions = {Precision(w, a) for w in LPU_BITS for a in LPU_BITS} | {hpu.precision}
        every = {p: self._explorer.single_rate(p.weight_bits, p.act_bits) for p in precisions}
        rates = _undominated(every, hpu.precision)
        for precision in sorted(rates, key=lambda p: -rates[p]):
            if precision == hpu.precision:
                return _baseline_of(hpu, hpu, self._single(precision), protocol)
            if self._hopeless(precision, target, rates):
                continue
            candidate = self._single_candidate(precision)
            if protocol.excess(candidate.correct, hpu.correct) <= 0:
                return _baseline_of(candidate, hpu, self._single(precision), protocol)
        raise AssertionError("the HPU's own precision always meets the tolerance")

    def _hopeless(self, precision: Precision, target: float, others: Iterable[Precision]) -> bool:
        """Whether a precision cannot meet the target, as far as wider ones tell.

        Where its weights or its activations are very narrow, the widest precision with as narrow
        ones is tried first, if it may rule several out at once.
        """
        if self._out_of_reach(precision, target):
            return True
        weight_bits, act_bits = precision.weight_bits, precision.act_bits
        if min(weight_bits, act_bits) <= VERY_NARROW:
            wider = (
                Precision(weight_bits, LPU_BITS[-1])
                if weight_bits < act_bits
                else Precision(LPU_BITS[-1], act_bits)
            )
            ruled = sum(_within(other, wider) for other in others if other not in self._singles)
            if ruled >= RULED_OUT_AT_ONCE:
                self._single_candidate(wider)
        return self._out_of_reach(precision, target)

    def _single_candidate(self, precision: Precision) -> Candidate:
        if precision not in self._singles:
            self._progress(f"single stage: trying {precision}")
            self._singles[precision] = self._runner.single(precision)
        return self._singles[precision]

    def _single(self, precision: Precision) -> SingleDesign:
        return self._explorer.single(precision.weight_bits, precision.act_bits)

    # ------------------------------------------------------------------ for the report

    def _point(
        self, protocol: ToleranceProtocol, finalists: Iterable[Finalist], hpu: Candidate
    ) -> TolerancePoint:
        options = []
        for finalist in finalists:
            forwarded = protocol.expected_forwarded(finalist.outcomes)
            design = self._cascade(finalist.candidate, hpu, forwarded)
            options.append(replace(finalist, forwarded=forwarded, design=design))
        cascade = self._settled(min(options, key=_merit), protocol)
        baseline = self._baseline(hpu, protocol)
        return TolerancePoint(
            protocol.tolerance,
            cascade.setting.forwarded / cascade.finalist.outcomes.images,
            cascade.design.images_per_s,
            baseline.candidate.precision,
            baseline.design.images_per_s,
        )

    def _single_rows(self) -> list[Screened]:
        return [
            _screened("single", candidate, 0.0, self._single(precision).images_per_s)
            for precision, candidate in self._singles.items()
        ]


def _promise(item: Screened) -> tuple[float, int]:
    """Order screened precisions: the fastest first, of equals the one of fewer bits."""
    return -item.images_per_s, item.precision.weight_bits + item.precision.act_bits


def _merit(finalist: Finalist) -> tuple[float, int]:
    precision = finalist.candidate.precision
    return -finalist.design.images_per_s, precision.weight_bits + precision.act_bits


def _pair(lpu: Candidate, hpu: Candidate, forwarded: float) -> CascadeKey:
    """Return what the search wants to know of a cascade."""
    low, high = lpu.precision, hpu.precision
    windows = tuple(layer.weight_window for layer in lpu.network.matmuls)
    return (
        (low.weight_bits, low.act_bits), (high.weight_bits, high.act_bits), forwarded, windows,
    )  # fmt: skip


def _undominated(rates: Mapping[Precision, float], kept: Precision) -> dict[Precision, float]:
    """Leave out precisions that a wider one equals or beats in rate, but for ``kept``.

    Rates come in steps, as tiles do: bits that cost nothing are no loss of accuracy.
    """
    return {
        p: rate
        for p, rate in rates.items()
        if p == kept
        or not any(q != p and _within(p, q) and other >= rate for q, other in rates.items())
    }


def _first(evaluation: EvaluationSet, images: int) -> EvaluationSet:
    return replace(
        evaluation,
        images=evaluation.images[:images],
        labels=evaluation.labels[:images],
        float_logits=evaluation.float_logits[:images],
    )


def _within(low: Precision, high: Precision) -> bool:
    return low.weight_bits <= high.weight_bits and low.act_bits <= high.act_bits


def _baseline_of(
    candidate: Candidate, hpu: Candidate, design: SingleDesign, protocol: ToleranceProtocol
) -> Baseline:
    counts = protocol.compare(candidate.correct, hpu.correct)
    bound = 0.0 if candidate is hpu else error_bound(counts, protocol.confidence)
    return Baseline(candidate, design, counts, bound)


def _final_row(finalist: Finalist) -> Screened:
    return _screened("lpu", finalist.candidate, finalist.forwarded, finalist.design.images_per_s)


def _screened(role: str, candidate: Candidate, forwarded: float, images_per_s: float) -> Screened:
    return Screened(
        role=role,
        precision=candidate.precision,
        accuracy=candidate.accuracy,
        forwarded=forwarded,
        images_per_s=images_per_s,
        images=candidate.images,
    )
