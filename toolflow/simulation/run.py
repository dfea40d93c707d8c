"""A planned cascade in Verilator: every step's output and every result against the emulator."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from toolflow.confidence.decision import CeuParameters, Decision, decide, ranked
from toolflow.datasets import load_samples, preprocess
from toolflow.emission.address_map import Placement, load_words
from toolflow.emission.descriptors import decode_all
from toolflow.emission.files import GOLDEN_FILE
from toolflow.emission.memory_map import MemoryMap, UnitMap, read_memory_map
from toolflow.emission.registers import REGISTERS
from toolflow.emission.result_records import ResultRecord, Unit, read_results
from toolflow.emission.steps import schedule_of
from toolflow.emission.top_parameters import engine_sizes, memory_port, top_parameters
from toolflow.emulator.integer_network import IntegerNetwork, quantise_images
from toolflow.errors import GoalError, UserError
from toolflow.fixedpoint import IntArray
from toolflow.hardware.engine import EngineSizes
from toolflow.hardware.engine_cycles import Port, StepCycles, UnitSizes, step_cycles
from toolflow.planned import PlannedUnits, load_units
from toolflow.simulation.expected import memory_words
from toolflow.simulation.host import READ_REGISTERS, RUN_NUMBER, run_registers
from toolflow.simulation.memory import HostMemory, rate_fraction, script_regions
from toolflow.simulation.rtl_sources import RTL
from toolflow.simulation.verilator import Build, Recipe, build

Progress = Callable[[str], None]

TOP = RTL / "cascade_top.sv"
HARNESS = Path(__file__).with_name("harness.cpp")
UNITS = ("lpu", "hpu")
RESULT_FILE = "simulation.json"
QUICK = ("OPT_FAST=-O1", "OPT_SLOW=-O1")


@dataclass(frozen=True)
class Settings:
    """How to simulate.

    Attributes:
        images: how many.
        data: where from, as for planning; none: the plan's golden images.
        latency: cycles from a request to memory's first beat.
        stalls: seed of random pauses on every AXI channel and of latencies; 0: none.
        assertions: check the RTL's assertions.
        optimise: compile for a fast run, not for a fast build.
        threads: of the simulator.
        limit: cycles to give up after.
        forward: forward so many images at least, whatever the plan's threshold; 0: as planned.
    """

    images: int
    data: str = ""
    latency: int = 40
    stalls: int = 0
    assertions: bool = True
    optimise: bool = True
    threads: int = 1
    limit: int = 10**12
    forward: int = 0


@dataclass(frozen=True)
class StepResult:
    """One step of a unit: words compared, cycles of all its batches, measured and predicted.

    ``bound`` is what the prediction waits for most: work, arrival (of activations), port or writer.
    """

    unit: str
    name: str
    op: str
    batches: int
    images: int
    words: int
    cycles: int
    predicted: int
    bound: str


@dataclass(frozen=True)
class SimulationResult:
    """What was simulated; everything in it was equal to the emulator's.

    ``words`` were compared; ``cycles`` is the whole run's, ``seconds`` the simulation's wall time.
    Bytes are those moved by each AXI4 master: LPU, HPU, results.
    """

    images: int
    forwarded: int
    words: int
    cycles: int
    seconds: float
    build_seconds: float
    read_bytes: tuple[int, ...]
    written_bytes: tuple[int, ...]
    registers: Mapping[str, int]
    steps: tuple[StepResult, ...]


class MismatchError(GoalError):
    """The RTL and the emulator differ, or the RTL broke a rule."""


@dataclass(frozen=True, eq=False)
class Cascade:
    """What is simulated.

    Attributes:
        folder: has ``weights.bin``, ``channels.bin`` and ``descriptors_<unit>.bin``.
        memory_map: of these descriptors.
        lpu, hpu: what the units must compute.
        parameters: of ``cascade_top``.
        ceu: the CEU's registers.
        classes: logits of an image.
        batch: images that a unit runs on at a time.
        beats_per_cycle: beats that memory moves in a cycle, all ports together.
        sizes: the engines', the LPU's first.
    """

    folder: Path
    memory_map: MemoryMap
    lpu: IntegerNetwork
    hpu: IntegerNetwork
    parameters: Mapping[str, int]
    ceu: CeuParameters
    classes: int
    batch: int
    beats_per_cycle: float
    sizes: tuple[EngineSizes, EngineSizes]


def simulate_plan(folder: Path, settings: Settings, progress: Progress) -> SimulationResult:
    """Simulate a plan's first golden images and write ``simulation.json`` into its folder.

    Raises:
        UserError: the folder is unusable, or the simulation cannot be built.
        MismatchError: a word differs from the emulator's.
    """
    units = load_units(folder)
    cascade = planned_cascade(folder, units)
    images = _images(folder, units, settings.data)
    if settings.images > len(images):
        where = settings.data or f"{folder / GOLDEN_FILE} (--data names others)"
        raise UserError(f"--images {settings.images}: there are {len(images)} in {where}")
    images = images[: settings.images]
    result = simulate_cascade(cascade, images, settings, progress)
    (folder / RESULT_FILE).write_text(json.dumps(asdict(result), indent=1) + "\n")
    return result


def planned_cascade(folder: Path, units: PlannedUnits) -> Cascade:
    """Return a plan's cascade.

    Raises:
        UserError: the folder is unusable, or the plan is of hardware that the RTL does not have.
    """
    plan = units.plan
    design = plan.design
    if design.lpu.engines != 1 or design.hpu.engines != 1:
        raise UserError(f"{folder}: the plan has several engines a unit, the RTL one; plan again")
    return Cascade(
        folder=folder,
        memory_map=read_memory_map(folder),
        lpu=units.lpu,
        hpu=units.hpu,
        parameters=top_parameters(plan, units.lpu, units.hpu),
        ceu=plan.ceu.parameters,
        classes=plan.network.classes,
        batch=design.batch,
        beats_per_cycle=memory_port(plan).rate,
        sizes=(engine_sizes(plan, "lpu"), engine_sizes(plan, "hpu")),
    )


def simulate_cascade(
    cascade: Cascade, images: IntArray, settings: Settings, progress: Progress
) -> SimulationResult:
    """Simulate images, (N, C, H, W) integers in the stored images' format.

    Raises:
        UserError: the simulation cannot be built.
        MismatchError: a word differs from the emulator's, or the RTL broke a rule.
    """
    progress("building the simulation")
    begin = time.monotonic()
    built = build_cascade(cascade, settings)
    build_seconds = time.monotonic() - begin
    progress("running the emulator")
    cascade, logits = forwarding(cascade, images, settings.forward)
    with tempfile.TemporaryDirectory(prefix="cascade-") as scratch:
        memory = HostMemory(
            cascade.folder, cascade.memory_map, images, Path(scratch) / "memory", settings.stalls
        )
        run = _Run(cascade, images, logits, memory, settings, progress)
        script = Path(scratch) / "script"
        script.write_text("\n".join(_script(cascade, len(images), memory, settings)) + "\n")
        return run.watch(built, script, build_seconds)


def build_cascade(cascade: Cascade, settings: Settings) -> Build:
    """Build the hardware with its harness.

    Raises:
        UserError: the build fails.
    """
    flags = ["-O3", "--x-assign", "fast", "--x-initial", "fast"]
    if settings.assertions:
        flags.append("--assert")
    if settings.threads > 1:
        flags += ["--threads", str(settings.threads)]
    make_flags = ("OPT_FAST=-O3 -march=native", "OPT_SLOW=-O1") if settings.optimise else QUICK
    recipe = Recipe(HARNESS, tuple(flags), make_flags)
    return build(TOP, cascade.parameters, recipe)


def _images(folder: Path, units: PlannedUnits, data: str) -> IntArray:
    """Return images as stored integers, (N, C, H, W)."""
    if data:
        samples = load_samples(data, units.network)
        pixels = preprocess(samples, units.network.preprocessing)
        return quantise_images(pixels, units.stored.input_format)
    path = folder / GOLDEN_FILE
    try:
        with np.load(path) as golden:
            images: IntArray = golden["images"].astype(np.int64)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: cannot be read ({error}); make the plan again") from error
    return images


def _script(cascade: Cascade, images: int, memory: HostMemory, settings: Settings) -> Iterator[str]:
    """Yield the harness's lines."""
    yield f"memory {memory.path} {memory.layout.size}"
    yield from script_regions(memory.layout)
    yield f"latency {settings.latency}"
    yield "rate {} {}".format(*rate_fraction(cascade.beats_per_cycle))
    yield f"stalls {settings.stalls}"
    yield f"limit {settings.limit}"
    yield "trace"
    for name, value in run_registers(cascade, images, memory.layout).items():
        yield f"write {REGISTERS[name].address} {value & 0xFFFFFFFF}"
    yield "wait"
    for name in READ_REGISTERS:
        yield f"read {REGISTERS[name].address}"


class _Run:
    """Follows the harness, compares step by step."""

    def __init__(
        self,
        cascade: Cascade,
        images: IntArray,
        logits: list[IntArray],
        memory: HostMemory,
        settings: Settings,
        progress: Progress,
    ) -> None:
        self._cascade = cascade
        self._memory = memory
        self._images = images
        self._progress = progress
        networks = cascade.lpu, cascade.hpu
        port = Port(settings.latency, cascade.beats_per_cycle)
        self._units = [
            _UnitCheck(
                name,
                network,
                getattr(cascade.memory_map, name),
                images,
                memory,
                _Prediction(cascade, name, size, network.scheme.precision.act_bits, port),
            )
            for name, network, size in zip(UNITS, networks, cascade.sizes, strict=True)
        ]
        self._decision = decide(logits[0], cascade.ceu)
        self._logits = logits
        forwarded = np.flatnonzero(~self._decision.confident)
        self._units[0].order = list(range(len(images)))
        self._units[1].order = [int(k) for k in forwarded]

    def watch(self, built: Build, script: Path, build_seconds: float) -> SimulationResult:
        """Run the harness to its end."""
        begin = time.monotonic()
        registers: dict[int, int] = {}
        beats = [(0, 0)] * 3
        cycles = None
        with subprocess.Popen(
            [str(built.executable), str(script)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as process:  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            said = []
            try:
                for line in process.stdout:
                    kind, *words = line.split() or [""]
                    if kind == "step":
                        self._step(*(int(word) for word in words), begin=begin)
                        process.stdin.write("\n")
                        process.stdin.flush()
                    elif kind == "register":
                        registers[int(words[0])] = int(words[1])
                    elif kind == "beats":
                        beats[int(words[0])] = int(words[1]), int(words[2])
                    elif kind == "end":
                        cycles = int(words[0])
                    else:
                        said.append(line.rstrip())
            except MismatchError:
                process.kill()
                raise
        if cycles is None:
            raise MismatchError("the simulation ended early: " + "\n".join(said[-20:] or ["?"]))
        named = {name: registers[REGISTERS[name].address] for name in READ_REGISTERS}
        self._check_end(named)
        beat_bytes = self._cascade.parameters["DataBits"] // 8
        return SimulationResult(
            images=len(self._images),
            forwarded=len(self._units[1].order),
            words=sum(unit.words for unit in self._units),
            cycles=cycles,
            seconds=time.monotonic() - begin,
            build_seconds=build_seconds,
            read_bytes=tuple(beat_bytes * read for read, _ in beats),
            written_bytes=tuple(beat_bytes * written for _, written in beats),
            registers=named,
            steps=tuple(step for unit in self._units for step in unit.results()),
        )

    def _step(
        self, unit: int, index: int, cycles: int, images: int, workspace: int, now: int,
        *, begin: float,
    ) -> None:  # fmt: skip
        check = self._units[unit]
        check.step(index, cycles, images, workspace)
        done = _share_done(self._units)
        left = (time.monotonic() - begin) * (1 - done) / done
        self._progress(
            f"cycle {now:,}: {check.name.upper()} {check.map.steps[index].name} equal "
            f"({100 * done:.0f} %, about {left:.0f} s left)"
        )

    def _check_end(self, registers: Mapping[str, int]) -> None:
        for unit in self._units:
            unit.check_end()
        outcome = registers["status"] & 7
        if outcome:
            raise MismatchError(f"the run ended with outcome {outcome} (control_pkg::outcome_e)")
        strays = self._memory.stray_bytes()
        if strays:
            raise MismatchError(f"{strays} bytes that no master may write have changed")
        expected = expected_records(self._cascade, self._logits)
        found = read_results(self._memory.region("results"), RUN_NUMBER)
        for record, wanted in zip(found, expected, strict=True):
            if record != wanted:
                raise MismatchError(f"image {wanted.image}: record {record}, expected {wanted}")


class _Prediction:
    """Cycles of a unit's steps, by the model."""

    def __init__(
        self, cascade: Cascade, unit: str, sizes: EngineSizes, act_bits: int, port: Port
    ) -> None:
        data = (cascade.folder / f"descriptors_{unit}.bin").read_bytes()
        self._descriptors = decode_all(data)
        self._sizes = UnitSizes(sizes, act_bits, joins=unit == "hpu")
        self._port = port

    def step(self, step: int, images: int) -> StepCycles:
        """Return the cycles of a step for a batch."""
        last = step == len(self._descriptors) - 1
        return step_cycles(self._descriptors[step], self._sizes, self._port, images, last=last)


@dataclass
class _UnitCheck:
    """One unit: which images its next batch has, and what its tensors must be."""

    name: str
    network: IntegerNetwork
    map: UnitMap
    images: IntArray
    memory: HostMemory
    prediction: _Prediction
    order: list[int] = field(default_factory=list)
    words: int = 0
    ended: int = 0  # images
    batches: int = 0
    part: float = 0.0  # of the batch that runs, in images
    _next: int = 0
    _cycles: Counter[int] = field(default_factory=Counter)
    _predicted: Counter[int] = field(default_factory=Counter)
    _bounds: dict[int, str] = field(default_factory=dict)
    _expected: dict[str, IntArray] = field(default_factory=dict)
    _signed: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        formats = schedule_of(self.network).formats
        self._signed = {name: formats[name].signed for name in self.map.tensors}

    def step(self, index: int, cycles: int, images: int, workspace: int) -> None:
        """Compare a step's output with the emulator's."""
        where = f"{self.name.upper()}, batch {self.batches}"
        if index != self._next:
            raise MismatchError(f"{where}: step {index} ended, expected {self._next}")
        step = self.map.steps[index]
        where += f", step {step.name} ({step.op})"
        if index == 0:
            batch = self.order[self.ended : self.ended + images]
            if len(batch) != images:
                raise MismatchError(
                    f"{where}: {images} images, but only {len(batch)} are left for this unit"
                )
            self._expected = memory_words(self.network, self.images[batch])
        expected = self._expected[step.output]
        place = self.map.tensors[step.output]
        found = self._load(place, workspace, images, self._signed[step.output])
        found = found.reshape(expected.shape)
        different = np.argwhere(found != expected)
        if len(different):
            first = tuple(different[0])
            raise MismatchError(
                f"{where}: {len(different)} of {expected.size} words differ, the first at "
                f"{[int(k) for k in first]}: {found[first]}, expected {expected[first]}"
            )
        self.words += int(expected.size)
        self._cycles[index] += cycles
        predicted = self.prediction.step(index, images)
        self._predicted[index] += predicted.total
        self._bounds[index] = predicted.bound
        self._next = index + 1
        self.part = images * self._next / len(self.map.steps)
        if self._next == len(self.map.steps):
            self._next, self.part = 0, 0.0
            self.ended += images
            self.batches += 1

    def check_end(self) -> None:
        """Raise if not everything has run."""
        if self.ended != len(self.order) or self._next:
            raise MismatchError(
                f"{self.name.upper()}: {self.ended} images ended of {len(self.order)}"
            )

    def results(self) -> Iterator[StepResult]:
        """Yield what was measured of each step."""
        for index, step in enumerate(self.map.steps):
            size = int(np.prod(self._expected[step.output].shape[1:])) if self.batches else 0
            yield StepResult(
                self.name, step.name, step.op, self.batches, self.ended, size * self.ended,
                self._cycles[index], self._predicted[index], self._bounds.get(index, ""),
            )  # fmt: skip

    def _load(self, place: Placement, workspace: int, images: int, signed: bool) -> IntArray:
        data = self.memory.window(workspace, place, images)
        return load_words(data, -place.base, place, images, signed)


def _share_done(units: list[_UnitCheck]) -> float:
    """Return the share of all images' steps that have ended."""
    wanted = sum(len(unit.order) for unit in units)
    return sum(unit.ended + unit.part for unit in units) / max(wanted, 1)


def forwarding(cascade: Cascade, images: IntArray, count: int) -> tuple[Cascade, list[IntArray]]:
    """Return the cascade that forwards at least ``count`` images, and both units' logits."""
    logits = [
        memory_words(network, images)[network.network.output]
        for network in (cascade.lpu, cascade.hpu)
    ]
    decision = decide(logits[0], cascade.ceu)
    if np.count_nonzero(~decision.confident) >= count:
        return cascade, logits
    scores = np.sort(decision.score)
    threshold = int(scores[min(count, len(scores)) - 1]) + 1
    return replace(cascade, ceu=replace(cascade.ceu, threshold=threshold)), logits


def expected_records(cascade: Cascade, logits: list[IntArray]) -> list[ResultRecord]:
    """Return every image's record, given both units' logits, the LPU's first."""
    decision = decide(logits[0], cascade.ceu)
    return [_record(image, decision, logits) for image in range(len(logits[0]))]


def _record(image: int, decision: Decision, logits: list[IntArray]) -> ResultRecord:
    """Return the record that an image must have."""
    confident = bool(decision.confident[image])
    unit = Unit.LPU if confident else Unit.HPU
    row = logits[unit][image : image + 1]
    classes = ranked(row)[0, : decision.top.shape[1]]
    return ResultRecord(
        image=image,
        unit=unit,
        confident=confident,
        error=False,
        classes=tuple(int(k) for k in classes),
        logits=tuple(int(row[0, k]) for k in classes),
        margin=int(decision.margin[image]) if confident else 0,
        total=int(decision.total[image]) if confident else 0,
        run=RUN_NUMBER,
    )
