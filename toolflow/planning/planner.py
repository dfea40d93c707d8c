"""The plan's decisions, in the order in which they depend on each other.

1. HPU: the shortest wordlength from 8 bits on that is as accurate as the float network (within a
   quarter of the tolerance), or what the user says. Shorter ones would leave too few bits to cut
   the LPU's weights from: rounding half up meets ties, hence a bias, once in ``2**shift`` words.
2. LPU: every pair of wordlengths of 2..8 bits is screened on a part of the evaluation set; the
   pairs that promise the fastest cascade are refined and run on all of it.
3. CEU: M, N and threshold that forward the fewest images within the tolerance, exactly.
4. Baseline: the fastest single-stage design of any pair of wordlengths, with the same quantiser
   and the same search over hardware, that meets the same tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from toolflow.confidence.tuning import Outcomes, Setting, required_correct, tune
from toolflow.emulator.integer_network import StoredParameters, balance, store
from toolflow.errors import GoalError, UserError
from toolflow.exploration.search import CascadeDesign, Explorer, SingleDesign
from toolflow.network.graph import Network
from toolflow.planning.candidates import Candidate, CandidateRunner, EvaluationSet
from toolflow.quantisation.scheme import Precision
from toolflow.quantisation.statistics import LayerStatistic

LPU_BITS = range(2, 9)
HPU_BITS = range(8, 17)
HPU_MARGIN_SHARE = 0.25
"""The HPU may lose this share of the tolerance against the float network."""

HOPELESS = 0.9
"""Precisions below one that forwards this share of the images are not screened."""

FINALISTS = 5
NEAR_MISS = 0.01
"""A baseline this far below its target accuracy may still be refined into meeting it."""

OUT_OF_REACH = 0.05
"""Precisions below one that misses its target by this much are not tried as a baseline."""

REPORTED_TOLERANCES = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05)

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Finalist:
    """An LPU candidate run on all images, with its HPU, CEU setting and hardware.

    ``stored`` are the words that both units use, ``hpu`` the HPU with exactly those.
    """

    candidate: Candidate
    hpu: Candidate
    stored: StoredParameters
    statistics: tuple[LayerStatistic, ...]
    outcomes: Outcomes
    setting: Setting
    design: CascadeDesign


@dataclass(frozen=True, eq=False)
class Baseline:
    """A single-stage design with the accuracy that it was chosen for."""

    candidate: Candidate
    design: SingleDesign


@dataclass(frozen=True)
class Screened:
    """A precision as the screening saw it: ``forwarded`` and rate belong to a cascade."""

    role: str
    precision: Precision
    accuracy: float
    forwarded: float
    images_per_s: float
    images: int
    refined: bool


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
    lpu: Finalist
    baseline: Baseline
    considered: tuple[Screened, ...]
    tolerances: tuple[TolerancePoint, ...]


class Planner:
    """Decides one plan.

    Args:
        network: the float network.
        evaluation: labelled images with the metric.
        explorer: the hardware search of the device.
        tolerance: allowed rise of the error over the HPU's, 0..1.
        progress: called with a line before each longer piece of work.
        threads: emulator threads.
    """

    def __init__(
        self,
        network: Network,
        evaluation: EvaluationSet,
        explorer: Explorer,
        tolerance: float,
        progress: Progress,
        threads: int,
    ) -> None:
        self._network = network
        self._evaluation = evaluation
        self._explorer = explorer
        self._tolerance = tolerance
        self._progress = progress
        progress("measuring the float network's tensors")
        self._runner = CandidateRunner(network, evaluation, threads)
        self._screened_singles: dict[Precision, float] = {}
        self._plain_singles: dict[Precision, Candidate] = {}
        self._refined_singles: dict[Precision, Candidate] = {}

    def decide(
        self, lpu_bits: Precision | None = None, hpu_bits: Precision | None = None
    ) -> Decisions:
        """Take all decisions; None searches a precision.

        Raises:
            GoalError: no wordlength makes an HPU as accurate as the tolerance asks.
            UserError: the LPU's precision exceeds the HPU's, or the device is too small.
        """
        hpu = self._choose_hpu(hpu_bits)
        stored = store(self._network, hpu.scheme)
        screened = self._screen(hpu, stored, lpu_bits)
        finalists = [
            self._finalist(item.precision, hpu, stored)
            for item in sorted(screened, key=_promise)[:FINALISTS]
        ]
        best = min(finalists, key=_merit)
        self._screen_singles()
        hpu = best.hpu
        baseline = self._baseline(hpu, self._tolerance, refine=True)
        self._progress("other tolerances")
        points = tuple(
            self._point(tolerance, finalists, hpu)
            for tolerance in sorted({*REPORTED_TOLERANCES, self._tolerance})
        )
        return Decisions(
            hpu=hpu,
            stored=best.stored,
            lpu=best,
            baseline=baseline,
            considered=(*screened, *map(self._final_row, finalists), *self._single_rows()),
            tolerances=points,
        )

    # ------------------------------------------------------------------ HPU

    def _choose_hpu(self, wanted: Precision | None) -> Candidate:
        if wanted is not None:
            self._progress(f"HPU at {wanted} bits")
            return self._runner.full(wanted)
        required = self._evaluation.float_correct - int(
            HPU_MARGIN_SHARE * self._tolerance * self._evaluation.size
        )
        best: Candidate | None = None
        for bits in HPU_BITS:
            self._progress(f"HPU: trying {bits} bits")
            candidate = self._runner.full(Precision(bits, bits))
            if candidate.correct.sum() >= required:
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

    # ------------------------------------------------------------------ LPU

    def _screen(
        self, hpu: Candidate, stored: StoredParameters, wanted: Precision | None
    ) -> list[Screened]:
        if wanted is not None:
            if not _within(wanted, hpu.precision):
                raise UserError(
                    f"--lpu-bits {wanted} is more than the HPU's {hpu.precision}: the LPU's "
                    "parameters are cut from the HPU's, so neither may be wider"
                )
            precisions = [wanted]
        else:
            every = (Precision(w, a) for w in reversed(LPU_BITS) for a in reversed(LPU_BITS))
            precisions = [p for p in every if _within(p, hpu.precision)]
        screened: list[Screened] = []
        for precision in precisions:
            if any(
                item.forwarded >= HOPELESS and _within(precision, item.precision)
                for item in screened
            ):
                continue
            self._progress(f"LPU: screening {precision}")
            candidate = self._runner.screen(precision, stored)
            setting = tune(self._runner.outcomes(candidate, hpu), self._tolerance)
            design = self._cascade(candidate, hpu, setting.forwarded / candidate.images)
            screened.append(_screened("lpu", candidate, setting, design.images_per_s))
        return screened

    def _finalist(self, precision: Precision, hpu: Candidate, stored: StoredParameters) -> Finalist:
        self._progress(f"LPU: refining {precision}")
        plain = self._runner.full(precision, stored)
        refined, statistics = self._runner.refined(plain, hpu.scheme, stored)
        options = []
        for candidate in (plain, refined):
            words = balance(self._network, stored, candidate.scheme)
            own_hpu = self._runner.with_stored(hpu, words)
            outcomes = self._runner.outcomes(candidate, own_hpu)
            setting = tune(outcomes, self._tolerance)
            forwarded = setting.forwarded / candidate.images
            design = self._cascade(candidate, hpu, forwarded)
            options.append(
                Finalist(candidate, own_hpu, words, statistics, outcomes, setting, design)
            )
        return min(options, key=lambda finalist: finalist.setting.forwarded)

    def _cascade(self, lpu: Candidate, hpu: Candidate, forwarded: float) -> CascadeDesign:
        low, high = lpu.precision, hpu.precision
        return self._explorer.cascade(
            (low.weight_bits, low.act_bits),
            (high.weight_bits, high.act_bits),
            forwarded,
            tuple(layer.weight_window for layer in lpu.network.matmuls),
        )

    # ------------------------------------------------------------------ baseline

    def _screen_singles(self) -> None:
        """Screen the widest partner of each wordlength: they bound all narrower pairs."""
        widest = LPU_BITS[-1]
        pairs = {Precision(b, widest) for b in LPU_BITS} | {Precision(widest, b) for b in LPU_BITS}
        for precision in sorted(pairs, key=str):
            self._progress(f"single stage: screening {precision}")
            self._screened_singles[precision] = self._runner.screen(precision, None).accuracy

    def _out_of_reach(self, precision: Precision, target: float) -> bool:
        known = {p: c.accuracy for p, c in self._plain_singles.items()}
        return any(
            _within(precision, other) and accuracy < target - OUT_OF_REACH
            for other, accuracy in {**self._screened_singles, **known}.items()
        )

    def _baseline(self, hpu: Candidate, tolerance: float, *, refine: bool) -> Baseline:
        """Return the fastest single stage within a tolerance, near misses refined if asked."""
        required = required_correct(hpu.correct, tolerance)
        target = required / self._evaluation.size
        precisions = {Precision(w, a) for w in LPU_BITS for a in LPU_BITS} | {hpu.precision}
        designs = {p: self._single(p) for p in precisions}
        for precision in sorted(precisions, key=lambda p: -designs[p].images_per_s):
            if precision == hpu.precision:
                return Baseline(hpu, designs[precision])
            if self._out_of_reach(precision, target):
                continue
            candidate = self._single_candidate(precision)
            missing = required - int(candidate.correct.sum())
            if 0 < missing <= NEAR_MISS * candidate.images:
                if refine:
                    self._refine_single(precision)
                candidate = self._refined_singles.get(precision, candidate)
            if candidate.correct.sum() >= required:
                return Baseline(candidate, designs[precision])
        raise AssertionError("the HPU's own precision always meets the tolerance")

    def _single_candidate(self, precision: Precision) -> Candidate:
        if precision not in self._plain_singles:
            self._progress(f"single stage: trying {precision}")
            self._plain_singles[precision] = self._runner.full(precision)
        return self._plain_singles[precision]

    def _refine_single(self, precision: Precision) -> None:
        self._progress(f"single stage: refining {precision}")
        plain = self._single_candidate(precision)
        refined, _ = self._runner.refined(plain, None, None)
        self._refined_singles[precision] = max((refined, plain), key=lambda c: c.accuracy)

    def _single(self, precision: Precision) -> SingleDesign:
        return self._explorer.single(precision.weight_bits, precision.act_bits)

    # ------------------------------------------------------------------ for the report

    def _point(
        self,
        tolerance: float,
        finalists: Iterable[Finalist],
        hpu: Candidate,
    ) -> TolerancePoint:
        options = []
        for finalist in finalists:
            setting = tune(finalist.outcomes, tolerance)
            forwarded = setting.forwarded / finalist.outcomes.images
            design = self._cascade(finalist.candidate, hpu, forwarded)
            options.append((design.images_per_s, forwarded))
        rate, forwarded = max(options)
        baseline = self._baseline(hpu, tolerance, refine=False)
        return TolerancePoint(
            tolerance,
            forwarded,
            rate,
            baseline.candidate.precision,
            baseline.design.images_per_s,
        )

    def _final_row(self, finalist: Finalist) -> Screened:
        return _screened("lpu", finalist.candidate, finalist.setting, finalist.design.images_per_s)

    def _single_rows(self) -> list[Screened]:
        tried = {**self._plain_singles, **self._refined_singles}
        return [
            _screened("single", candidate, None, self._single(precision).images_per_s)
            for precision, candidate in tried.items()
        ]


def _promise(item: Screened) -> tuple[float, int]:
    """Order screened precisions: the fastest first, of equals the one of fewer bits."""
    return -item.images_per_s, item.precision.weight_bits + item.precision.act_bits


def _merit(finalist: Finalist) -> tuple[float, int]:
    precision = finalist.candidate.precision
    return -finalist.design.images_per_s, precision.weight_bits + precision.act_bits


def _within(low: Precision, high: Precision) -> bool:
    return low.weight_bits <= high.weight_bits and low.act_bits <= high.act_bits


def _screened(
    role: str, candidate: Candidate, setting: Setting | None, images_per_s: float
) -> Screened:
    return Screened(
        role=role,
        precision=candidate.precision,
        accuracy=candidate.accuracy,
        forwarded=setting.forwarded / candidate.images if setting else 0.0,
        images_per_s=images_per_s,
        images=candidate.images,
        refined=candidate.refined,
    )
