"""The environment: both agents, the interrupt's monitor, the scoreboard, the coverage."""

from __future__ import annotations

from pyuvm import ConfigDB, uvm_env

from verif.system.uvm.axi_lite_agent import AxiLiteAgent, InterruptMonitor
from verif.system.uvm.coverage import Coverage
from verif.system.uvm.memory_agent import MemoryAgent
from verif.system.uvm.scoreboard import CascadeScoreboard


class CascadeEnv(uvm_env):
    """Everything round the accelerator and its memory."""

    def build_phase(self) -> None:
        """Make the parts; the scoreboard may be overridden in the factory."""
        self.registers = AxiLiteAgent("registers", self)
        self.memory = MemoryAgent("memory", self)
        self.interrupts = InterruptMonitor("interrupts", self)
        ConfigDB().set(None, "*", "INTERRUPTS", self.interrupts)
        self.scoreboard = CascadeScoreboard.create("scoreboard", self)
        self.coverage = Coverage("coverage", self)

    def connect_phase(self) -> None:
        """Let the scoreboard see everything, the coverage what the units did."""
        for monitor in (self.registers.monitor, self.memory.monitor, self.interrupts):
            monitor.ap.connect(self.scoreboard.tap.analysis_export)
        self.memory.monitor.ap.connect(self.coverage.analysis_export)

    async def reset(self) -> None:
        """Start the clock and reset the accelerator."""
        self.memory.driver.initialise()
        await self.registers.driver.reset()
