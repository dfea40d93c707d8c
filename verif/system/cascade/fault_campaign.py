"""Faults at random times in a simulated cascade, and whether it says so and recovers.

Every scenario is a run with a fault, then a run without one. A fault may come too late to strike:
then the first run must be good. No run may end without an interrupt, no record that carries a run's
number may be wrong unless it is marked, and the second run must be right in everything.
"""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from toolflow.emission.registers import REGISTERS
from toolflow.emission.result_records import ResultRecord, read_results
from toolflow.hardware.engine import WORDS
from toolflow.simulation.host import ABORT, DONE, ERROR, REFUSED, SOFT_RESET, START, run_registers
from toolflow.simulation.memory import HostMemory, script_regions
from toolflow.simulation.run import Cascade

PORTS = ("lpu", "hpu", "results")
SILENCE_LIMIT = 1500
RESET_CYCLES = 1 << 16
"""A soft reset waits so long for a memory that has forgotten what it was asked."""

GOOD, CONFIG, LPU, HPU, LOGITS, RECORDS, ABORTED, TIMEOUT = range(8)
"""``control_pkg::outcome_e``."""

ERROR_OP, ERROR_TILES, ERROR_BUFFER, ERROR_BUS = 1, 2, 4, 5
"""``engine_pkg::error_e``."""

DESCRIPTOR_BYTES = 4 * WORDS
TILES_BYTE = 1
WINDOW_BYTE = 4 * 57
"""Where a descriptor has ``tile_depth`` and ``read_window_slots``."""

READ_BACK = ("status", "isr", "outcome_image", "error_layer")


@dataclass(frozen=True)
class Scenario:
    """A fault: what the host does before and after the start, what may come of it."""

    kind: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    patch: tuple[int, bytes] | None = None
    outcomes: tuple[int, ...] = (GOOD,)
    unit_error: tuple[int, int] | None = None  # unit, error_e, if it strikes
    must_strike: bool = False
    drop: bool = False  # memory forgets its requests before the soft reset
    refused: bool = False


@dataclass
class Campaign:
    """Scenarios on one simulation.

    Attributes:
        cascade: what runs.
        expected: the right record of each image, for run number 1.
        seed: of everything.
        outcomes: how often each kind ended how.
        records: records compared.
    """

    cascade: Cascade
    expected: list[ResultRecord]
    seed: int
    outcomes: Counter[tuple[str, int]] = field(default_factory=Counter)
    records: int = 0
    _kept: bytes = b""

    def scenarios(self, count: int, cycles: int) -> list[Scenario]:
        """Draw scenarios for a run of about so many cycles."""
        rng = random.Random(self.seed)
        makers = (
            self._bus, self._bus, self._silence, self._abort, self._busy, self._descriptor,
            self._config,
        )  # fmt: skip
        return [makers[k % len(makers)](rng, cycles) for k in range(count)]

    def _bus(self, rng: random.Random, cycles: int) -> Scenario:
        port, write = rng.randrange(3), rng.random() < 0.4
        word = rng.choice(("fault", "decode"))
        count = rng.randrange(1, 24 if port == 2 else cycles // 50)
        outcome = (LPU, HPU, RECORDS if write else LOGITS)[port]
        return Scenario(
            f"bus {PORTS[port]} {'write' if write else 'read'}",
            before=(f"{word} {port} {'write' if write else 'read'} {count}",),
            outcomes=(GOOD, outcome),
            unit_error=(port, ERROR_BUS) if port < 2 else None,
        )

    def _silence(self, rng: random.Random, cycles: int) -> Scenario:
        port = rng.randrange(3)
        return Scenario(
            f"silence {PORTS[port]}",
            after=(f"silence {port} {rng.randrange(cycles)}",),
            outcomes=(GOOD, TIMEOUT),
            drop=rng.random() < 0.2,
        )

    def _abort(self, rng: random.Random, cycles: int) -> Scenario:
        return Scenario(
            "abort",
            after=(f"pause {rng.randrange(cycles)}", write("control", ABORT)),
            outcomes=(GOOD, ABORTED),
        )

    def _busy(self, rng: random.Random, cycles: int) -> Scenario:
        return Scenario(
            "start while busy",
            after=(f"pause {rng.randrange(2, cycles // 2)}", write("control", START)),
            refused=True,
        )

    def _descriptor(self, rng: random.Random, cycles: int) -> Scenario:
        unit = rng.randrange(2)
        steps = len(getattr(self.cascade.memory_map, ("lpu", "hpu")[unit]).steps)
        step = rng.randrange(steps)
        offset, data, error = rng.choice(
            (
                (0, b"\x63", ERROR_OP),
                (TILES_BYTE, b"\xfd", ERROR_TILES),
                (WINDOW_BYTE, b"\xff\xff\xff\x7f", ERROR_BUFFER),
            )
        )
        return Scenario(
            f"descriptor {('lpu', 'hpu')[unit]} {error}",
            patch=(unit << 24 | step * DESCRIPTOR_BYTES + offset, data),
            outcomes=((LPU, HPU)[unit],),
            unit_error=(unit, error),
            must_strike=True,
        )

    def _config(self, rng: random.Random, cycles: int) -> Scenario:
        name, value = rng.choice(
            (("lpu_batch", 0), ("hpu_batch", 200), ("classes", 0), ("ranks", 0x0208),
             ("ranks", 0x0001), ("lpu_logits", 12), ("results", 8), ("hpu_batch", 0))
        )  # fmt: skip
        return Scenario(
            f"register {name}", before=(write(name, value),), outcomes=(CONFIG,), must_strike=True
        )

    def run(
        self, executable: Path, memory: HostMemory, scenarios: list[Scenario], scratch: Path,
        latency: int, stalls: int,
    ) -> None:  # fmt: skip
        """Run all scenarios in one simulation.

        Raises:
            AssertionError: the design did something that it must not.
        """
        script = scratch / "faults"
        lines = [
            f"memory {memory.path} {memory.layout.size}",
            *script_regions(memory.layout),
            f"latency {latency}",
            f"stalls {stalls}",
            "limit 1000000000",
            *self._actions(memory, scenarios),
        ]
        script.write_text("\n".join(lines) + "\n")
        with subprocess.Popen(
            [str(executable), str(script)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as process:  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            registers: dict[int, int] = {}
            said: list[str] = []
            ended = False
            for line in process.stdout:
                kind, *words = line.split() or [""]
                if kind == "register":
                    registers[int(words[0])] = int(words[1])
                elif kind == "mark":
                    self._mark(words[0], memory, scenarios, registers)
                    process.stdin.write("\n")
                    process.stdin.flush()
                elif kind == "end":
                    ended = True
                elif kind != "beats":
                    said.append(line.rstrip())
            assert ended, "\n".join(said[-20:])

    def _actions(self, memory: HostMemory, scenarios: list[Scenario]) -> Iterator[str]:
        images = len(self.expected)
        values = run_registers(self.cascade, images, memory.layout, SILENCE_LIMIT)
        del values["control"]
        for index, scenario in enumerate(scenarios):
            yield f"mark {index}:begin"
            yield from (write(name, value) for name, value in values.items())
            yield write("run", 2 * index + 1)
            yield from scenario.before
            yield write("control", START)
            yield from scenario.after
            yield "wait"
            if scenario.refused:
                # The refusal has called; the run goes on.
                yield write("isr", REFUSED)
                yield "wait"
            yield from (f"read {REGISTERS[name].address}" for name in READ_BACK)
            yield f"mark {index}:fault"
            yield write("isr", DONE | ERROR | REFUSED)
            if TIMEOUT in scenario.outcomes:
                yield "heal" if scenario.drop else "calm"
                yield write("control", SOFT_RESET)
                yield f"pause {RESET_CYCLES + 100 if scenario.drop else 500}"
            else:
                yield "calm"
            yield from (write(name, value) for name, value in values.items())
            yield write("run", 2 * index + 2)
            yield write("control", START)
            yield "wait"
            yield from (f"read {REGISTERS[name].address}" for name in READ_BACK)
            yield f"mark {index}:good"
            yield write("isr", DONE | ERROR | REFUSED)

    def _mark(
        self, text: str, memory: HostMemory, scenarios: list[Scenario], registers: dict[int, int]
    ) -> None:
        index, phase = int(text.split(":")[0]), text.split(":")[1]
        scenario = scenarios[index]
        if phase == "begin":
            self._patch(memory, scenario)
            return
        status = registers[REGISTERS["status"].address]
        isr = registers[REGISTERS["isr"].address]
        outcome = status & 7
        where = f"scenario {index} ({scenario.kind}), {phase}: outcome {outcome}"
        assert not status >> 16 & 1, f"{where}: still busy"
        assert isr & DONE, f"{where}: no interrupt"
        assert bool(isr & ERROR) == (outcome != GOOD), f"{where}: isr {isr}"
        number = 2 * index + (1 if phase == "fault" else 2)
        found = read_results(memory.region("results"), number)
        if phase == "fault":
            self.outcomes[scenario.kind, outcome] += 1
            assert outcome in scenario.outcomes, where
            assert not (scenario.must_strike and outcome == GOOD), where
            if scenario.unit_error and outcome != GOOD:
                unit, error = scenario.unit_error
                assert status >> (4 + 4 * unit) & 7 == error, f"{where}: status {status:#x}"
            self._restore(memory, scenario)
        else:
            assert outcome == GOOD, where
        for record, wanted in zip(found, self.expected, strict=True):
            if record is None:
                assert outcome != GOOD, f"{where}: image {wanted.image} has no record"
            elif not record.error:
                self.records += 1
                right = ResultRecord(**{**vars(wanted), "run": number})
                assert record == right, f"{where}: {record}, expected {right}"
            else:
                assert outcome != GOOD, f"{where}: image {wanted.image} is marked"

    def _patch(self, memory: HostMemory, scenario: Scenario) -> None:
        if scenario.patch:
            at, size = self._place(memory, scenario)
            self._kept = memory.bytes[at : at + size].tobytes()
            memory.bytes[at : at + size] = list(scenario.patch[1])

    def _restore(self, memory: HostMemory, scenario: Scenario) -> None:
        if scenario.patch:
            at, size = self._place(memory, scenario)
            memory.bytes[at : at + size] = list(self._kept)

    @staticmethod
    def _place(memory: HostMemory, scenario: Scenario) -> tuple[int, int]:
        assert scenario.patch
        code, data = scenario.patch
        base = memory.layout.base(f"descriptors_{('lpu', 'hpu')[code >> 24]}")
        return base + (code & 0xFFFFFF), len(data)


def write(name: str, value: int) -> str:
    """Return the harness's line that writes a register."""
    return f"write {REGISTERS[name].address} {value & 0xFFFFFFFF}"
