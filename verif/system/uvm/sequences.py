"""What the host and the memory do: virtual sequences over both agents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles
from pyuvm import ConfigDB, uvm_sequence

from toolflow.emission.registers import REGISTERS
from toolflow.simulation.host import (
    DONE,
    ERROR,
    READ_REGISTERS,
    REFUSED,
    SOFT_RESET,
    run_registers,
)
from toolflow.simulation.memory import Layout
from verif.system.uvm.axi_lite_agent import InterruptMonitor, RegisterItem
from verif.system.uvm.campaign import Case, Traffic
from verif.system.uvm.memory_agent import (
    DumpItem,
    FaultItem,
    LoadItem,
    MemoryItem,
    TrafficItem,
)
from verif.system.uvm.transactions import Fault

CYCLES = 1_000_000
"""A run ends within so many."""

RESET_CYCLES = 200
"""A soft reset with nothing under way ends within so many."""


@dataclass(frozen=True)
class Session:
    """What sequences need to know: what runs, where it lies, what memory holds at first."""

    case: Case
    layout: Layout
    contents: bytes
    traffic: Traffic
    burst_limit: int


@dataclass(frozen=True)
class PlannedFault:
    """An error that memory is to answer with: whom, at which beat, and how."""

    fault: Fault
    beat: int
    response: int


class HostSequence(uvm_sequence):
    """Has the agents' sequencers; subclasses say what happens."""

    def __init__(self, session: Session) -> None:
        super().__init__(type(self).__name__)
        self.session = session
        self._registers = ConfigDB().get(None, "", "REGISTERS")
        self._memory = ConfigDB().get(None, "", "MEMORY")
        self._interrupts: InterruptMonitor = ConfigDB().get(None, "", "INTERRUPTS")

    async def write(self, name: str, value: int) -> None:
        """Write a register."""
        await RegisterSequence(name, value & 0xFFFFFFFF).start(self._registers)

    async def read(self, name: str) -> int:
        """Read a register."""
        sequence = RegisterSequence(name)
        await sequence.start(self._registers)
        return sequence.data

    async def order(self, item: MemoryItem) -> None:
        """Order the memory to do something."""
        await MemorySequence(item).start(self._memory)

    async def interrupt(self) -> None:
        """Wait for the interrupt."""
        await self._interrupts.raised(CYCLES)


class RegisterSequence(uvm_sequence):
    """One access; without a value, a read."""

    def __init__(self, name: str, value: int | None = None) -> None:
        super().__init__(name)
        self._item = RegisterItem(REGISTERS[name].address, value)
        self.data = 0

    async def body(self) -> None:
        """Access the register."""
        await self.start_item(self._item)
        await self.finish_item(self._item)
        self.data = self._item.data


class MemorySequence(uvm_sequence):
    """One order to the memory."""

    def __init__(self, item: MemoryItem) -> None:
        super().__init__(item.get_name())
        self._item = item

    async def body(self) -> None:
        """Give the order."""
        await self.start_item(self._item)
        await self.finish_item(self._item)


class RunSequence(HostSequence):
    """A whole run: fill memory, program, start, wait, read, clear, look at memory."""

    def __init__(self, session: Session, number: int, fault: PlannedFault | None = None) -> None:
        super().__init__(session)
        self._number = number
        self._fault = fault

    async def body(self) -> None:
        """Run."""
        session = self.session
        await self.order(TrafficItem(session.traffic, session.burst_limit))
        await self.order(LoadItem(session.contents))
        if self._fault is not None:
            await self.order(FaultItem(self._fault.fault, self._fault.beat, self._fault.response))
        case = session.case
        values = run_registers(case.cascade, len(case.images), session.layout)
        for name, value in (values | {"run": self._number}).items():
            await self.write(name, value)
        await self.interrupt()
        for name in READ_REGISTERS:
            await self.read(name)
        await self.write("isr", DONE | ERROR | REFUSED)
        await self.order(DumpItem())


class CampaignSequence(HostSequence):
    """A run at every traffic."""

    def __init__(self, session: Session, traffic: list[Traffic]) -> None:
        super().__init__(session)
        self._traffic = traffic

    async def body(self) -> None:
        """Run once each."""
        for number, traffic in enumerate(self._traffic):
            await RunSequence(replace(self.session, traffic=traffic), number + 1).start()


class SoftResetSequence(HostSequence):
    """A soft reset of the idle accelerator."""

    async def body(self) -> None:
        """Reset."""
        await self.write("control", SOFT_RESET)
        dut: Any = cocotb.top
        await ClockCycles(dut.clk_i, RESET_CYCLES)


class ResetSequence(HostSequence):
    """A run, a soft reset, a run."""

    async def body(self) -> None:
        """Run twice."""
        await RunSequence(self.session, 1).start()
        await SoftResetSequence(self.session).start()
        await RunSequence(self.session, 2).start()


class RecoverySequence(HostSequence):
    """For every error: a run with it, a soft reset or none, a run without an error."""

    def __init__(self, session: Session, faults: list[PlannedFault]) -> None:
        super().__init__(session)
        self._faults = faults

    async def body(self) -> None:
        """Run twice an error."""
        for index, fault in enumerate(self._faults):
            await RunSequence(self.session, 2 * index + 1, fault).start()
            if index % 2:
                await SoftResetSequence(self.session).start()
            await RunSequence(self.session, 2 * index + 2).start()
