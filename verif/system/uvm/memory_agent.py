"""Memory's side: its contents, its traffic, its errors, and what the units say of their steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge
from pyuvm import (
    ConfigDB,
    uvm_agent,
    uvm_analysis_port,
    uvm_component,
    uvm_driver,
    uvm_sequence_item,
    uvm_sequencer,
)

from verif.system.uvm.campaign import Traffic
from verif.system.uvm.transactions import PORTS, UNITS, Fault, Loaded, Snapshot, StepDone

LOAD_FILE = Path("memory.bin")
DUMP_FILE = Path("dump.bin")
"""In the folder that the simulation runs in; ``axi_memory.sv`` names them too."""

MAX_BURST = 256


class MemoryItem(uvm_sequence_item):
    """An order to the memory: what it does is the subclass's."""


class LoadItem(MemoryItem):
    """New contents; counters begin anew and no error is armed."""

    def __init__(self, data: bytes) -> None:
        super().__init__("load")
        self.data = data


class DumpItem(MemoryItem):
    """The contents, for whoever listens to the monitor."""

    def __init__(self) -> None:
        super().__init__("dump")


class TrafficItem(MemoryItem):
    """How memory behaves from now on."""

    def __init__(self, traffic: Traffic, burst_limit: int = MAX_BURST) -> None:
        super().__init__("traffic")
        self.traffic = traffic
        self.burst_limit = burst_limit


class FaultItem(MemoryItem):
    """One beat of a port, counted from the load on, is answered with an error."""

    def __init__(self, fault: Fault, beat: int, response: int) -> None:
        super().__init__("fault")
        self.fault = fault
        self.beat = beat
        self.response = response


class MemoryDriver(uvm_driver):
    """Drives the memory's control inputs."""

    def build_phase(self) -> None:
        """Take the design."""
        self._dut: Any = cocotb.top

    def initialise(self) -> None:
        """Drive the idle state."""
        dut = self._dut
        for name in ("load_i", "dump_i", "stall_i", "latency_i", "latency_spread_i"):
            getattr(dut, name).value = 0
        dut.burst_limit_i.value = MAX_BURST
        self._disarm()

    async def run_phase(self) -> None:
        """Serve the sequencer."""
        while True:
            item = await self.seq_item_port.get_next_item()
            await RisingEdge(self._dut.clk_i)
            await self._serve(item)
            self.seq_item_port.item_done()

    async def _serve(self, item: MemoryItem) -> None:
        dut = self._dut
        match item:
            case LoadItem():
                LOAD_FILE.write_bytes(item.data)
                self._disarm()
                await self._pulse(dut.load_i)
            case DumpItem():
                await self._pulse(dut.dump_i)
            case TrafficItem():
                dut.stall_i.value = item.traffic.stall
                dut.latency_i.value = item.traffic.latency
                dut.latency_spread_i.value = item.traffic.spread
                dut.burst_limit_i.value = item.burst_limit
            case FaultItem():
                kind = dut.fail_write_i if item.fault.write else dut.fail_read_i
                kind.value = item.beat << 32 * item.fault.port
                dut.fail_resp_i.value = item.response

    def _disarm(self) -> None:
        self._dut.fail_read_i.value = 0
        self._dut.fail_write_i.value = 0
        self._dut.fail_resp_i.value = 0

    async def _pulse(self, signal: Any) -> None:
        signal.value = 1
        await RisingEdge(self._dut.clk_i)
        await RisingEdge(self._dut.clk_i)
        signal.value = 0
        await RisingEdge(self._dut.clk_i)


class MemoryMonitor(uvm_component):
    """Publishes loads, contents, errors and the units' steps."""

    def build_phase(self) -> None:
        """Make the analysis port."""
        self.ap = uvm_analysis_port("ap", self)
        self._dut: Any = cocotb.top
        self._counted = [(0, 0) for _ in UNITS]

    async def run_phase(self) -> None:
        """Watch the signals, each on its own."""
        await RisingEdge(self._dut.rst_ni)
        await RisingEdge(self._dut.clk_i)
        for watch in (self._loads, self._dumps, self._steps):
            cocotb.start_soon(watch())
        for write, signal in enumerate((self._dut.read_failed_o, self._dut.write_failed_o)):
            cocotb.start_soon(self._faults(signal, bool(write)))

    async def _loads(self) -> None:
        while True:
            await FallingEdge(self._dut.load_i)
            self._counted = [(0, 0) for _ in UNITS]
            self.ap.write(Loaded(LOAD_FILE.read_bytes()))

    async def _dumps(self) -> None:
        dut = self._dut
        while True:
            await FallingEdge(dut.dump_i)
            self.ap.write(
                Snapshot(
                    DUMP_FILE.read_bytes(),
                    numbers(dut.read_beats_o, len(PORTS)),
                    numbers(dut.written_beats_o, len(PORTS)),
                )
            )

    async def _faults(self, signal: Any, write: bool) -> None:
        before = int(signal.value)
        while True:
            await signal.value_change
            now = int(signal.value)
            for port in range(len(PORTS)):
                if (now & ~before) >> port & 1:
                    self.ap.write(Fault(port, write))
            before = now

    async def _steps(self) -> None:
        dut = self._dut
        before = 0
        while True:
            await dut.step_done_o.value_change
            await ReadOnly()
            now = int(dut.step_done_o.value)
            for unit in range(len(UNITS)):
                if (now & ~before) >> unit & 1:
                    self.ap.write(self._step(unit))
            before = now

    def _step(self, unit: int) -> StepDone:
        dut = self._dut
        turns, pauses = (
            numbers(signal, len(PORTS))[unit] for signal in (dut.turns_o, dut.pauses_o)
        )
        counted = self._counted[unit]
        self._counted[unit] = turns, pauses
        return StepDone(
            unit=unit,
            index=numbers(dut.step_index_o, len(UNITS), 16)[unit],
            images=numbers(dut.step_images_o, len(UNITS), 8)[unit],
            workspace=numbers(dut.step_workspace_o, len(UNITS))[unit],
            cycles=numbers(dut.step_cycles_o, len(UNITS))[unit],
            turns=turns - counted[0],
            pauses=pauses - counted[1],
        )


class MemoryAgent(uvm_agent):
    """Sequencer, driver and monitor of the memory."""

    def build_phase(self) -> None:
        """Make the parts."""
        self.sequencer = uvm_sequencer("sequencer", self)
        ConfigDB().set(None, "*", "MEMORY", self.sequencer)
        self.driver = MemoryDriver("driver", self)
        self.monitor = MemoryMonitor("monitor", self)

    def connect_phase(self) -> None:
        """Connect the parts."""
        self.driver.seq_item_port.connect(self.sequencer.seq_item_export)


def numbers(signal: Any, count: int, width: int = 32) -> tuple[int, ...]:
    """Return the numbers that stand in a signal side by side, the lowest first."""
    value = int(signal.value)
    return tuple(value >> width * k & ((1 << width) - 1) for k in range(count))
