"""Holds what the monitors saw against the emulator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from pyuvm import ConfigDB, uvm_scoreboard, uvm_subscriber

from toolflow.emission.registers import REGISTERS
from toolflow.emission.result_records import (
    RECORD_BYTES,
    ResultRecord,
    decode,
    encode,
    read_results,
)
from toolflow.simulation.host import DONE, ERROR, START
from toolflow.simulation.memory import Layout
from verif.common.axi_lite import OKAY
from verif.common.scoreboard import Scoreboard
from verif.system.uvm.reference import Reference, Tensor, Written, changed, difference
from verif.system.uvm.transactions import (
    PORTS,
    UNITS,
    Fault,
    Interrupt,
    Loaded,
    RegisterAccess,
    Snapshot,
    StepDone,
)

T = TypeVar("T")

GOOD, LPU, HPU, LOGITS, RECORDS = 0, 2, 3, 4, 5
"""``control_pkg::outcome_e``."""

ERROR_BUS = 5
"""``engine_pkg::error_e``."""

NAMES = {register.address: name for name, register in REGISTERS.items()}


@dataclass(frozen=True)
class Value:
    """A register's bits that matter."""

    name: str
    value: int


@dataclass
class Run:
    """A run that goes on."""

    number: int
    steps: tuple[list[StepDone], ...] = field(default_factory=lambda: tuple([] for _ in UNITS))
    fault: Fault | None = None
    interrupts: list[Interrupt] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)


class Tap(uvm_subscriber):
    """Hands everything that a port publishes to a function."""

    def __init__(self, name: str, parent: Any, take: Callable[[Any], None]) -> None:
        self._take = take
        super().__init__(name, parent)

    def write(self, tt: Any) -> None:
        """Hand a transaction on."""
        self._take(tt)


class CascadeScoreboard(uvm_scoreboard):
    """Follows the runs that the host starts.

    A run begins when the host's write of ``control`` starts it, and ends with the next snapshot of
    memory: by then every step, record, tensor, register and interrupt must have been seen. Memory's
    errors are known from its monitor: such a run must name its error, and the records that it has
    left must be right.
    """

    def build_phase(self) -> None:
        """Take the reference; make the ledgers."""
        self._reference: Reference = ConfigDB().get(self, "", "REFERENCE")
        self._layout: Layout = ConfigDB().get(self, "", "LAYOUT")
        self.tap = Tap("tap", self, self.take)
        self.failures: list[str] = []
        self.steps = tuple(Scoreboard[StepDone](f"{unit.upper()} steps") for unit in UNITS)
        self.records = Scoreboard[ResultRecord]("records")
        self.tensors = Scoreboard[Tensor]("tensors")
        self.registers = Scoreboard[Value]("registers")
        self.interrupts = Scoreboard[Interrupt]("interrupts")
        self.faults: list[Fault] = []
        self.guarded = 0
        self._written: dict[str, int] = {}
        self._before = b""
        self._tensors: dict[str, Tensor] = {}
        self._run: Run | None = None

    @property
    def ledgers(self) -> tuple[Scoreboard[Any], ...]:
        """Everything that compares."""
        return (*self.steps, self.records, self.tensors, self.registers, self.interrupts)

    def take(self, item: Any) -> None:
        """Take what a monitor published; what is wrong is kept for the check phase."""
        match item:
            case RegisterAccess():
                self._access(item)
            case StepDone():
                self._step(item)
            case Interrupt():
                self._interrupt(item)
            case Loaded():
                self._before = item.data
            case Fault():
                self._fault(item)
            case Snapshot():
                self._snapshot(item)

    def check_phase(self) -> None:
        """Judge.

        Raises:
            AssertionError: something was wrong, missing, left over, or never compared.
        """
        if self._run is not None:
            self.failures.append(f"run {self._run.number} has not ended")
        for ledger in self.ledgers:
            self._finish(ledger)
        if not self.guarded:
            self.failures.append("guards: nothing was compared")
        assert not self.failures, "\n".join(self.failures[:20])

    def report_phase(self) -> None:
        """Say how much was compared."""
        self.logger.info(
            "compared: %d + %d steps, %d records, %d tensors, %d registers, %d interrupts, "
            "%d guarded bytes",
            *(ledger.compared for ledger in self.ledgers),
            self.guarded,
        )

    def expected_tensors(self, kept: Iterable[Written]) -> list[Tensor]:
        """Return what the outputs must be that survive."""
        return [self._reference.expected_tensor(output) for output in kept]

    def found_records(self, snapshot: Snapshot, run: int) -> list[ResultRecord | None]:
        """Return the records that memory holds of a run."""
        region = self._layout.regions["results"]
        return read_results(snapshot.data[region.base : region.base + region.size], run)

    def _hold(self, ledger: Scoreboard[T], item: T) -> None:
        """Compare an item; keep what is wrong."""
        try:
            ledger.observe(item)
        except AssertionError as error:
            self.failures.append(str(error))

    def _finish(self, ledger: Scoreboard[Any]) -> None:
        """End a comparison; keep what is missing."""
        try:
            ledger.finish()
        except AssertionError as error:
            self.failures.append(str(error))

    def _access(self, access: RegisterAccess) -> None:
        name = NAMES[access.address]
        if access.response != OKAY:
            self.failures.append(f"register {name}: response {access.response}")
        if not access.write:
            if self._run is not None:
                self._run.read[name] = access.data
            return
        self._written[name] = access.data
        if name == "control" and access.data & START:
            self._begin()

    def _begin(self) -> None:
        if self._run is not None:
            self.failures.append(f"run {self._run.number} has not ended")
        if self._written["count"] != self._reference.images:
            self.failures.append("the reference is of another number of images")
        self._run = Run(self._written["run"])
        planned: list[Written] = []
        for unit, ledger in enumerate(self.steps):
            steps = self._reference.steps(unit)
            ledger.expect(steps)
            planned += self._reference.written(steps)
        kept, _ = self._reference.painted(planned)
        tensors = self.expected_tensors(kept)
        self._tensors = {tensor.label: tensor for tensor in tensors}
        self.tensors.expect(tensors)
        self.records.expect(self._reference.records(self._run.number))
        self.interrupts.expect([Interrupt(True), Interrupt(False)])

    def _step(self, step: StepDone) -> None:
        if self._run is None:
            self.failures.append(f"{step}: no run goes on")
            return
        self._run.steps[step.unit].append(step)
        self._hold(self.steps[step.unit], step)

    def _interrupt(self, interrupt: Interrupt) -> None:
        if self._run is None:
            self.failures.append(f"{interrupt}: no run goes on")
            return
        # The host's clearing write is answered after the interrupt has gone: both are compared when
        # the run ends.
        self._run.interrupts.append(interrupt)

    def _fault(self, fault: Fault) -> None:
        if self._run is None or self._run.fault is not None:
            self.failures.append(f"{fault}: no run goes on, or it has had one")
            return
        self._run.fault = fault
        self.faults.append(fault)

    def _snapshot(self, snapshot: Snapshot) -> None:
        run, self._run = self._run, None
        if run is None:
            self.failures.append("a snapshot of no run")
            return
        self._check_registers(run, snapshot)
        for interrupt in run.interrupts:
            self._hold(self.interrupts, interrupt)
        written = [output for steps in run.steps for output in self._reference.written(steps)]
        kept, painted = self._reference.painted(written)
        if run.fault is None:
            for output in kept:
                self._observe_tensor(self._reference.found_tensor(output, snapshot.data))
            self._check_guards(snapshot, painted)
            self._check_records(self.found_records(snapshot, run.number))
        else:
            self._check_partial_records(run, snapshot)
            self._check_guards(snapshot, self._writable())
            for steps in self.steps:
                steps.drop()
            self.tensors.drop()
            self.records.drop()
        for ledger in self.ledgers:
            if not ledger.done:
                self._finish(ledger)
                ledger.drop()

    def _observe_tensor(self, found: Tensor) -> None:
        expected = self._tensors.get(found.label)
        if expected is not None and expected != found:
            self.failures.append(difference(expected, found))
        self._hold(self.tensors, found)

    def _check_records(self, records: list[ResultRecord | None]) -> None:
        for record in records:
            if record is not None:
                self._hold(self.records, record)

    def _check_partial_records(self, run: Run, snapshot: Snapshot) -> None:
        """Compare the records of a run with an error: absent, marked, or right."""
        wanted = self._reference.records(run.number)
        wrong = [record.image for record in wanted if not self._plausible(record, snapshot)]
        # Memory does not write the beat that it fails: one record may lack it. The run says that a
        # record's write failed, not which one's.
        torn = run.fault == Fault(PORTS.index("results"), write=True)
        if len(wrong) > int(torn):
            self.failures.append(f"a run with an error: wrong records of the images {wrong}")

    def _plausible(self, wanted: ResultRecord, snapshot: Snapshot) -> bool:
        first = self._layout.base("results") + RECORD_BYTES * wanted.image
        data = snapshot.data[first : first + RECORD_BYTES]
        if data in (encode(wanted), bytes(RECORD_BYTES)):
            return True
        try:
            return decode(data).error
        except ValueError:
            return False

    def _check_guards(self, snapshot: Snapshot, painted: np.ndarray) -> None:
        region = self._layout.regions["results"]
        allowed = painted.copy()
        allowed[region.base : region.base + region.size] = True
        strays = list(changed(self._before, snapshot.data, allowed))
        if strays:
            self.failures.append(
                f"guards: {len(strays)} bytes have changed, the first at {strays[0]:#x}"
            )
        self.guarded += len(snapshot.data) - int(np.count_nonzero(allowed))

    def _writable(self) -> np.ndarray:
        """Return the bytes of all regions that a master may write."""
        allowed = np.zeros(self._layout.size, bool)
        for region in self._layout.regions.values():
            if region.writers:
                allowed[region.base : region.base + region.size] = True
        return allowed

    def _check_registers(self, run: Run, snapshot: Snapshot) -> None:
        expected = _registers_after(run.fault, self._reference, snapshot)
        self.registers.expect(Value(name, value) for name, (_, value) in expected.items())
        for name, (mask, _) in expected.items():
            if name in run.read:
                self._hold(self.registers, Value(name, run.read[name] & mask))


def _registers_after(
    fault: Fault | None, reference: Reference, snapshot: Snapshot
) -> dict[str, tuple[int, int]]:
    """Return what the host must read after a run: a mask and a value by the register's name."""
    busy, outcome, isr = 1 << 16, 0b111, DONE | ERROR
    if fault is not None:
        unit = {"lpu": LPU, "hpu": HPU, "results": RECORDS if fault.write else LOGITS}
        value, mask = unit[PORTS[fault.port]], outcome | busy
        if fault.port < len(UNITS):
            place = 4 + 4 * fault.port
            value, mask = value | ERROR_BUS << place, mask | 0b111 << place
        return {"status": (mask, value), "isr": (isr, DONE | ERROR)}
    values = {
        "lpu_images": reference.images - reference.forwarded,
        "hpu_images": reference.forwarded,
        "forwarded": reference.forwarded,
    }
    for port, name in enumerate(UNITS):
        values[f"{name}_engine_read_beats"] = snapshot.read_beats[port]
        values[f"{name}_engine_written_beats"] = snapshot.written_beats[port]
    return {"status": (outcome | busy, GOOD), "isr": (isr, DONE)} | {
        name: (0xFFFFFFFF, value) for name, value in values.items()
    }
