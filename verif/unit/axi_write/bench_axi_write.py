"""cocotb tests of ``axi_write``: random runs, a memory with all its moods, every byte compared."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb

from verif.common.axi_memory import DECERR, SLVERR, AxiWriteMemory
from verif.common.memory_port import Memory
from verif.common.streams import Stall, StreamDriver, Testbench, never, stall_patterns

MEMORY_BYTES = 1 << 16
GUARD = 64
"""Bytes at both ends that nothing may be written to."""

HIGH_BASE = 0x7000_0000


class OffsetMemory(Memory):
    """A memory that begins at the port's base."""

    def write(self, address: int, value: int, strobes: int) -> None:
        super().write(address - HIGH_BASE, value, strobes)


class Bench:
    """The master between a writer and a memory."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.rng = random.Random(int(cocotb.RANDOM_SEED))
        self.beat_bytes = int(dut.DataBits.value) // 8
        self.memory = OffsetMemory(MEMORY_BYTES)
        self.memory.data[:] = self.rng.randbytes(MEMORY_BYTES)
        self.memory.allow(range(GUARD, MEMORY_BYTES - GUARD), write=True)
        self.expected = bytearray(self.memory.data)
        self.given: dict[int, set[int]] = {}
        self.port = AxiWriteMemory(dut, self.memory, self.beat_bytes, int(dut.MaxBurst.value))
        self.writer = StreamDriver(
            dut.in_valid_i,
            dut.in_ready_o,
            {"addr": dut.in_addr_i, "data": dut.in_data_i, "strb": dut.in_strb_i,
             "last": dut.in_last_i},
            self.rng,
        )  # fmt: skip
        self.testbench = Testbench(dut, [self.port, self.writer])

    async def start(self) -> None:
        """Reset the master."""
        self.dut.stop_i.value = self.dut.limit_i.value = 0
        self.dut.base_i.value = HIGH_BASE
        await self.testbench.start()

    def pattern(self) -> Stall:
        """Return a random stall pattern."""
        patterns = stall_patterns(self.rng)
        return patterns[self.rng.choice(sorted(patterns))]

    def stall(self) -> None:
        """Choose stall patterns and the memory's latency."""
        port = self.port
        port.request_stall, port.data_stall = self.pattern(), self.pattern()
        port.answer_stall, self.writer.stall = self.pattern(), self.pattern()
        port.latency = self.rng.choice([0, 3, 40])

    def run(self, address: int, beats: int, full: bool = False) -> None:
        """Queue a run of beats and what it leaves in memory."""
        size, rng = self.beat_bytes, self.rng
        for k in range(beats):
            at, data = address + k * size, rng.getrandbits(8 * size)
            strobes = (1 << size) - 1 if full else rng.getrandbits(size)
            beat = {"addr": at, "data": data, "strb": strobes, "last": int(k == beats - 1)}
            self.writer.send([beat])
            for lane in range(size):
                if strobes >> lane & 1:
                    byte = data >> (8 * lane) & 0xFF
                    self.expected[at + lane] = byte
                    self.given.setdefault(at + lane, set()).add(byte)

    def random_runs(self, count: int, longest: int) -> None:
        """Queue random runs within the guards."""
        for _ in range(count):
            beats = self.rng.choice([1, 2, self.rng.randint(1, longest)])
            span = (MEMORY_BYTES - 2 * GUARD) // self.beat_bytes - beats
            self.run(GUARD + self.beat_bytes * self.rng.randrange(span), beats)

    async def drain(self, limit: int = 400_000) -> None:
        """Run until everything is in memory; compare all of it."""
        await self.testbench.run_until(lambda: self.writer.idle, limit)
        await self.testbench.run(2)
        await self.testbench.run_until(lambda: bool(self.dut.idle_o.value), limit)
        assert self.port.idle
        if "PLANTED_ERROR" in os.environ:
            self.expected[GUARD] ^= 1
        assert self.memory.writes, "nothing was written"
        assert self.memory.data == self.expected, "memory differs from what was written"


@cocotb.test(timeout_time=400, timeout_unit="ms")
async def random_runs(dut: Any) -> None:
    """Every byte of random runs with random strobes, under all stall patterns."""
    bench = Bench(dut)
    await bench.start()
    for _ in range(10):
        bench.stall()
        bench.random_runs(30, 3 * int(dut.MaxBurst.value) + 2)
        await bench.drain()
    assert not dut.error_o.value
    assert not dut.timeout_o.value
    assert sum(bench.port.bursts) == bench.port.beats == len(bench.writer.accepted_cycles)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """Runs of one beat and of many go at a beat a cycle; long ones become the longest bursts."""
    bench = Bench(dut)
    await bench.start()
    burst = int(dut.MaxBurst.value)
    bench.run(4096, 8 * burst, full=True)
    await bench.drain()
    cycles = bench.writer.accepted_cycles
    assert bench.port.bursts == [burst] * 8
    assert cycles[-1] - cycles[0] == len(cycles) - 1
    count = len(cycles)
    for _ in range(100):
        bench.run(GUARD + bench.beat_bytes * bench.rng.randrange(1000), 1, full=True)
    await bench.drain()
    assert cycles[-1] - cycles[count] <= 100 + 8 * (burst == 1)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def stops(dut: Any) -> None:
    """A stop at any time leaves nothing under way; what is written is what was given."""
    bench = Bench(dut)
    await bench.start()
    for _ in range(40):
        bench.stall()
        before = bytes(bench.memory.data)
        bench.expected[:] = before
        bench.random_runs(6, 40)
        await bench.testbench.run(bench.rng.randrange(150))
        dut.stop_i.value = 1
        await bench.testbench.run_until(
            lambda: bench.writer.idle and bool(dut.idle_o.value), 20_000
        )
        dut.stop_i.value = 0
        await bench.testbench.run(2)
        assert bench.port.idle
        # A byte is what it was, or what some run gave it before the stop.
        given = bench.given
        for at, (now, old) in enumerate(zip(bench.memory.data, before, strict=True)):
            assert now == old or now in given.get(at, ()), f"byte {at:#x} is of no run"
    bench.expected[:] = bytes(bench.memory.data)
    bench.random_runs(10, 40)
    await bench.drain()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def errors(dut: Any) -> None:
    """An error answer is latched with its burst; a silent memory is noticed."""
    bench = Bench(dut)
    for response in (SLVERR, DECERR):
        await (bench.start() if response == SLVERR else bench.testbench.reset())
        bench.stall()
        address = 64 * bench.rng.randrange(2, 100)
        bench.port.faults.responses = {HIGH_BASE + address: response}
        bench.run(address, 1)
        await bench.drain()
        assert dut.error_o.value
        assert int(dut.error_addr_o.value) == address
        bench.port.faults.responses = {}
        bench.random_runs(3, 5)
        await bench.drain()
        assert int(dut.error_addr_o.value) == address
    await bench.testbench.reset()
    assert not dut.error_o.value
    dut.limit_i.value = 50
    bench.port.faults.silent = True
    bench.writer.stall = never
    bench.run(GUARD, 1)
    await bench.testbench.run(45)
    assert not dut.timeout_o.value
    await bench.testbench.run(60)
    assert dut.timeout_o.value
