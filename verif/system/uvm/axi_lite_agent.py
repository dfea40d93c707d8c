"""The host's side: registers over AXI4-Lite, and the interrupt."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb
from cocotb.triggers import First, RisingEdge, Timer
from pyuvm import (
    ConfigDB,
    uvm_agent,
    uvm_analysis_port,
    uvm_component,
    uvm_driver,
    uvm_sequence_item,
    uvm_sequencer,
)

from verif.common.axi_lite import AxiLiteMaster
from verif.common.streams import Testbench, at_random, never
from verif.system.uvm.transactions import Interrupt, RegisterAccess

CYCLE_NS = 10


class RegisterItem(uvm_sequence_item):
    """A register to write or to read; the answer is filled in."""

    def __init__(self, address: int, data: int | None = None) -> None:
        super().__init__(f"register {address:#x}")
        self.address = address
        self.write = data is not None
        self.data = data or 0
        self.response = 0


class AxiLiteMonitor(uvm_component):
    """Watches the slave's pins and publishes every access that has been answered.

    It is an agent of the clocked loop: nothing happens on the bus while the loop does not run.
    """

    def build_phase(self) -> None:
        """Make the analysis port."""
        self.ap = uvm_analysis_port("ap", self)
        self._dut: Any = cocotb.top
        self._addresses: deque[int] = deque()
        self._words: deque[int] = deque()
        self._reads: deque[int] = deque()

    def reset(self) -> None:
        """Forget everything under way."""
        for queue in (self._addresses, self._words, self._reads):
            queue.clear()

    def drive(self) -> None:
        """Drive nothing."""

    def sample(self, cycle: int) -> None:
        """Note the transfers of this cycle."""
        dut = self._dut
        if dut.s_axil_awvalid.value and dut.s_axil_awready.value:
            self._addresses.append(int(dut.s_axil_awaddr.value))
        if dut.s_axil_wvalid.value and dut.s_axil_wready.value:
            self._words.append(int(dut.s_axil_wdata.value))
        if dut.s_axil_arvalid.value and dut.s_axil_arready.value:
            self._reads.append(int(dut.s_axil_araddr.value))
        if dut.s_axil_bvalid.value and dut.s_axil_bready.value:
            self.ap.write(
                RegisterAccess(
                    self._addresses.popleft(),
                    self._words.popleft(),
                    True,
                    int(dut.s_axil_bresp.value),
                )
            )
        if dut.s_axil_rvalid.value and dut.s_axil_rready.value:
            self.ap.write(
                RegisterAccess(
                    self._reads.popleft(),
                    int(dut.s_axil_rdata.value),
                    False,
                    int(dut.s_axil_rresp.value),
                )
            )


class AxiLiteDriver(uvm_driver):
    """Drives one access after the other; the clocked loop runs only while there is one."""

    def build_phase(self) -> None:
        """Make the bus master."""
        self._rng = random.Random(int(cocotb.RANDOM_SEED))
        self._master = AxiLiteMaster(cocotb.top, self._rng)
        self._dut: Any = cocotb.top
        self._bench: Testbench | None = None

    def join(self, monitor: AxiLiteMonitor) -> None:
        """Let a monitor see what the loop sees."""
        self._bench = Testbench(cocotb.top, [self._master, monitor])

    async def reset(self) -> None:
        """Start the clock and reset the design."""
        assert self._bench is not None
        await self._bench.start()

    async def run_phase(self) -> None:
        """Serve the sequencer."""
        while True:
            item = await self.seq_item_port.get_next_item()
            # A sequence may have been woken in the middle of a cycle.
            await RisingEdge(self._dut.clk_i)
            self._master.stall([never, at_random(0.3, self._rng)])
            await self._serve(item)
            self.seq_item_port.item_done()

    async def _serve(self, item: RegisterItem) -> None:
        assert self._bench is not None
        if item.write:
            item.response = await self._master.write(self._bench, item.address, item.data)
        else:
            answer = await self._master.read(self._bench, item.address)
            item.data, item.response = answer.data, answer.response


class AxiLiteAgent(uvm_agent):
    """Sequencer, driver and monitor of the registers."""

    def build_phase(self) -> None:
        """Make the parts."""
        self.sequencer = uvm_sequencer("sequencer", self)
        ConfigDB().set(None, "*", "REGISTERS", self.sequencer)
        self.driver = AxiLiteDriver("driver", self)
        self.monitor = AxiLiteMonitor("monitor", self)

    def connect_phase(self) -> None:
        """Connect the parts."""
        self.driver.seq_item_port.connect(self.sequencer.seq_item_export)
        self.driver.join(self.monitor)


class InterruptMonitor(uvm_component):
    """Publishes every change of the interrupt after the reset."""

    def build_phase(self) -> None:
        """Make the analysis port."""
        self.ap = uvm_analysis_port("ap", self)
        self._dut: Any = cocotb.top

    async def run_phase(self) -> None:
        """Watch the interrupt."""
        await RisingEdge(self._dut.rst_ni)
        await RisingEdge(self._dut.clk_i)
        while True:
            await self._dut.irq_o.value_change
            self.ap.write(Interrupt(bool(self._dut.irq_o.value)))

    async def raised(self, limit: int) -> None:
        """Wait for the interrupt.

        Raises:
            AssertionError: it has not come after ``limit`` cycles.
        """
        if not self._dut.irq_o.value:
            await First(RisingEdge(self._dut.irq_o), Timer(limit * CYCLE_NS, "ns"))
        assert self._dut.irq_o.value, f"no interrupt after {limit} cycles"
