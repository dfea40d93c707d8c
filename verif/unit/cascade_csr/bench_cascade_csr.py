"""cocotb tests of ``cascade_csr``: every register, start and end, interrupts, counters."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb

from toolflow.emission.registers import REGISTERS, Register
from toolflow.simulation.host import ABORT, AUTO_RESTART, DONE, ERROR, REFUSED, SOFT_RESET, START
from verif.common.axi_lite import OKAY, SLVERR, AxiLiteMaster
from verif.common.streams import Testbench, stall_patterns

SETTINGS = range(0x080, 0x140)
"""Addresses of the registers that a host writes and hardware does not."""

INPUTS = (
    "busy", "done", "refused", "outcome", "outcome_image", "counters", "error", "error_layer",
    "error_addr", "timeout", "cycles", "read_beats", "written_beats",
)  # fmt: skip
COUNTERS = (
    ("lpu_images", 24), ("hpu_images", 24), ("forwarded", 24), ("cycles", 48), ("lpu_busy", 48),
    ("hpu_busy", 48), ("ceu_busy", 48),
)  # fmt: skip
CYCLES = ("busy", "wait_input", "wait_weights", "wait_output", "idle")
PULSES = ("start", "abort", "soft_reset")
RUN_ABORTED = 6


class Pulses:
    """Counts the cycles of the outputs that are pulses."""

    def __init__(self, dut: Any) -> None:
        self._outputs = {name: getattr(dut, f"{name}_o") for name in PULSES}
        self.seen = dict.fromkeys(PULSES, 0)

    def reset(self) -> None:
        """Forget nothing."""

    def drive(self) -> None:
        """Drive nothing."""

    def sample(self, cycle: int) -> None:
        """Count."""
        for name, output in self._outputs.items():
            self.seen[name] += int(output.value)


class Bench:
    """The registers with a host."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.rng = random.Random(int(cocotb.RANDOM_SEED))
        self.host = AxiLiteMaster(dut, self.rng)
        self.pulses = Pulses(dut)
        self.testbench = Testbench(dut, [self.host, self.pulses])
        self.compared = 0

    async def start(self) -> None:
        """Start the clock; nothing runs."""
        for name in INPUTS:
            getattr(self.dut, f"{name}_i").value = 0
        await self.testbench.start()

    async def write(self, name: str, value: int, strobes: int = 15) -> None:
        """Write a register."""
        assert (
            await self.host.write(self.testbench, REGISTERS[name].address, value, strobes) == OKAY
        )

    async def read(self, name: str) -> int:
        """Read a register."""
        answer = await self.host.read(self.testbench, REGISTERS[name].address)
        assert answer.response == OKAY
        return answer.data

    async def expect(self, name: str, value: int) -> None:
        """Compare a register."""
        found = await self.read(name)
        assert found == value, f"{name}: {found:#x}, expected {value:#x}"
        self.compared += 1

    async def pulse(self, **inputs: int) -> None:
        """Raise inputs for a cycle."""
        for name, value in inputs.items():
            getattr(self.dut, f"{name}_i").value = value
        await self.testbench.step()
        for name in inputs:
            getattr(self.dut, f"{name}_i").value = 0


def mask_of(register: Register) -> int:
    """Return the bits that fields have."""
    return sum(((1 << field.width) - 1) << field.low for field in register.fields)


def settings() -> list[str]:
    """Return the names of the settings."""
    return [name for name, register in REGISTERS.items() if register.address in SETTINGS]


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_register(dut: Any) -> None:
    """Reset values; settings keep what is written, byte by byte; no register is another's."""
    bench = Bench(dut)
    await bench.start()
    patterns = list(stall_patterns(bench.rng).values())
    for name in settings():
        await bench.expect(name, REGISTERS[name].reset)
    held = dict.fromkeys(settings(), 0)
    for _ in range(4):
        bench.host.stall(patterns)
        for name in bench.rng.sample(settings(), len(held)):
            value, strobes = bench.rng.getrandbits(32), bench.rng.getrandbits(4)
            bits = sum(0xFF << 8 * k for k in range(4) if strobes >> k & 1)
            bits &= mask_of(REGISTERS[name])
            held[name] = held[name] & ~bits | value & bits
            await bench.write(name, value, strobes)
        for name, value in held.items():
            await bench.expect(name, value ^ int("PLANTED_ERROR" in os.environ))
    await bench.expect("identity", 0x43415343)
    assert int(dut.limit_o.value) == held["limit"]
    assert int(dut.axi_base_o.value) == held["base_high"] << 32 | held["base_low"]
    assert int(dut.layers_o.value) == held["hpu_layers"] << 16 | held["lpu_layers"]
    assert bench.compared > 5 * len(held)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def bad_addresses(dut: Any) -> None:
    """Addresses without a register are refused, and change nothing."""
    bench = Bench(dut)
    await bench.start()
    used = {register.address for register in REGISTERS.values()}
    holes = [address for address in range(0, 512, 4) if address not in used]
    assert holes
    for address in holes:
        assert await bench.host.write(bench.testbench, address, 0xFFFFFFFF) == SLVERR
        assert (await bench.host.read(bench.testbench, address)).response == SLVERR
    for name in settings():
        await bench.expect(name, 0)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def start_and_end(dut: Any) -> None:
    """Pulses of control; done is cleared by reading; a good run is followed by the next."""
    bench = Bench(dut)
    await bench.start()
    seen = bench.pulses.seen
    for value, name in ((START, "start"), (ABORT, "abort"), (SOFT_RESET, "soft_reset")):
        await bench.write("control", value)
        await bench.testbench.run(3)
        assert seen[name] == 1, f"{name}: one cycle"
    dut.busy_i.value = 1
    assert not await bench.read("control") & 4
    dut.busy_i.value = 0
    await bench.pulse(done=1)
    assert await bench.read("control") & 6 == 6
    assert await bench.read("control") & 6 == 4
    await bench.write("control", AUTO_RESTART)
    await bench.pulse(done=1, outcome=0)
    await bench.testbench.run(3)
    assert seen["start"] == 2
    assert not await bench.read("isr") & ERROR
    await bench.pulse(done=1, outcome=RUN_ABORTED)
    await bench.testbench.run(3)
    assert seen["start"] == 2, "a run that failed is followed by another"
    assert await bench.read("isr") & (DONE | ERROR) == DONE | ERROR


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def interrupts(dut: Any) -> None:
    """The pin is high while an enabled interrupt is set; a one clears it, a zero does not."""
    bench = Bench(dut)
    await bench.start()
    events = {DONE: {"done": 1}, ERROR: {"done": 1, "outcome": 2}, REFUSED: {"refused": 1}}
    for enabled in range(8):
        for gie in (0, 1):
            await bench.write("gie", gie)
            await bench.write("ier", enabled)
            for bit, inputs in events.items():
                await bench.pulse(**inputs)
                await bench.testbench.run(2)
                pending = (DONE | ERROR) if bit == ERROR else bit
                await bench.expect("isr", pending)
                assert int(dut.irq_o.value) == int(bool(gie and pending & enabled))
                await bench.write("isr", 7 & ~pending)
                await bench.expect("isr", pending)
                await bench.write("isr", pending)
                await bench.expect("isr", 0)
                assert not dut.irq_o.value


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def what_hardware_shows(dut: Any) -> None:
    """Status and counters, both halves of the wide ones, of each unit its own."""
    bench = Bench(dut)
    await bench.start()
    rng = bench.rng
    for _ in range(5):
        word = 0
        expected: dict[str, int] = {}
        for name, width in COUNTERS:
            value = rng.getrandbits(width)
            word = word << width | value
            if width == 48:
                expected |= {f"{name}_low": value & 0xFFFFFFFF, f"{name}_high": value >> 32}
            else:
                expected[name] = value
        dut.counters_i.value = word
        cycles = 0
        for unit in ("hpu", "lpu"):
            for name in CYCLES:
                value = rng.getrandbits(32)
                cycles = cycles << 32 | value
                expected[f"{unit}_engine_{name}"] = value
        dut.cycles_i.value = cycles
        for port in ("read_beats", "written_beats"):
            low, high = rng.getrandbits(32), rng.getrandbits(32)
            getattr(dut, f"{port}_i").value = high << 32 | low
            expected |= {f"lpu_engine_{port}": low, f"hpu_engine_{port}": high}
        outcome, errors, timeout, busy = (rng.getrandbits(k) for k in (3, 6, 3, 1))
        dut.outcome_i.value, dut.error_i.value = outcome, errors
        dut.timeout_i.value, dut.busy_i.value = timeout, busy
        expected["status"] = (
            outcome | (errors & 7) << 4 | (errors >> 3) << 8 | timeout << 12 | busy << 16
        )
        await bench.testbench.step()
        for name, value in expected.items():
            await bench.expect(name, value)
