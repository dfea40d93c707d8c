"""UVM tests of the whole accelerator."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pyuvm
from pyuvm import ConfigDB, uvm_factory, uvm_sequence, uvm_test

from toolflow.emission.result_records import ResultRecord
from toolflow.simulation.memory import HostMemory
from verif.common.axi_memory import DECERR, SLVERR
from verif.system.uvm.campaign import CAMPAIGN, MEMORY_BYTES, TRAFFIC, case_of
from verif.system.uvm.env import CascadeEnv
from verif.system.uvm.memory_agent import MAX_BURST
from verif.system.uvm.reference import Reference, Tensor, Written
from verif.system.uvm.scoreboard import CascadeScoreboard
from verif.system.uvm.sequences import (
    CampaignSequence,
    PlannedFault,
    RecoverySequence,
    ResetSequence,
    RunSequence,
    Session,
)
from verif.system.uvm.transactions import Fault, Snapshot

LPU, HPU, RESULTS = range(3)

FAULTS = [
    PlannedFault(Fault(LPU, write=False), 1, SLVERR),
    PlannedFault(Fault(LPU, write=True), 30, DECERR),
    PlannedFault(Fault(HPU, write=False), 200, DECERR),
    PlannedFault(Fault(HPU, write=True), 10, SLVERR),
    PlannedFault(Fault(RESULTS, write=False), 3, SLVERR),
    PlannedFault(Fault(RESULTS, write=True), 9, SLVERR),
]


class CascadeTest(uvm_test):
    """Makes the environment and runs one virtual sequence."""

    network = "normalised_maps"
    precisions = "built"
    traffic = "none"
    burst_limit = MAX_BURST

    def build_phase(self) -> None:
        """Write the network's files and memory's first contents; make the environment."""
        folder = Path.cwd() / type(self).__name__
        coverage = Path(os.environ["UVM_COVERAGE"]) / f"{type(self).__name__}.json"
        case = case_of(folder, self.network, self.precisions)
        seed = int(cocotb.RANDOM_SEED)
        memory = HostMemory(
            case.cascade.folder, case.cascade.memory_map, case.images, folder / "memory", seed
        )
        self.session = Session(
            case,
            memory.layout,
            self.contents(memory),
            TRAFFIC[self.traffic],
            self.burst_limit,
        )
        ConfigDB().set(None, "*", "CASE", case)
        ConfigDB().set(None, "*", "LAYOUT", memory.layout)
        ConfigDB().set(None, "*", "REFERENCE", Reference(case, memory.layout))
        ConfigDB().set(None, "*", "COVERAGE", coverage)
        self.env = CascadeEnv("env", self)

    def contents(self, memory: HostMemory) -> bytes:
        """Return what memory holds at first: random bytes behind the last guard."""
        rng = np.random.default_rng(int(cocotb.RANDOM_SEED) + 1)
        return memory.bytes.tobytes() + rng.bytes(MEMORY_BYTES - memory.layout.size)

    def sequence(self) -> uvm_sequence:
        """Return what runs."""
        return RunSequence(self.session, 1)

    async def run_phase(self) -> None:
        """Reset, then run."""
        self.raise_objection()
        await self.env.reset()
        await self.sequence().start()
        self.drop_objection()


class CampaignTest(CascadeTest):
    """A run at every traffic."""

    def sequence(self) -> uvm_sequence:
        """Return what runs."""
        return CampaignSequence(self.session, list(TRAFFIC.values()))


for name, (network, precisions) in CAMPAIGN.items():
    members = {"network": network, "precisions": precisions, "__doc__": CampaignTest.__doc__}
    pyuvm.test(timeout_time=100, timeout_unit="ms")(type(name, (CampaignTest,), members))


@pyuvm.test(timeout_time=100, timeout_unit="ms")
class ResetTest(CascadeTest):
    """A run, a soft reset, a run."""

    traffic = "medium"

    def sequence(self) -> uvm_sequence:
        """Return what runs."""
        return ResetSequence(self.session)


@pyuvm.test(timeout_time=100, timeout_unit="ms")
class RecoveryTest(CascadeTest):
    """Errors on every port, reads and writes, each followed by a run without one."""

    traffic = "medium"

    def sequence(self) -> uvm_sequence:
        """Return what runs."""
        return RecoverySequence(self.session, FAULTS)

    def check_phase(self) -> None:
        """Judge that every error has struck."""
        assert self.env.scoreboard.faults == [planned.fault for planned in FAULTS]


class PlantedTest(CascadeTest):
    """A run whose scoreboard is made to see something wrong, and must say so."""

    scoreboard: type[CascadeScoreboard]

    def build_phase(self) -> None:
        """Override the scoreboard."""
        uvm_factory().set_type_override_by_type(CascadeScoreboard, self.scoreboard)
        super().build_phase()


class Planted(CascadeScoreboard):
    """A scoreboard that must fail; ``said`` is among what it says."""

    said: str

    def check_phase(self) -> None:
        """Judge that the planted error was found, whatever else it causes.

        Raises:
            AssertionError: it was not.
        """
        try:
            super().check_phase()
        except AssertionError as error:
            if self.said in str(error):
                return
            raise
        raise AssertionError("the planted error was not found")


class WrongWord(Planted):
    """Expects one wrong bit."""

    said = "LPU batch 1 step b (lrn): 1 of 1920 words differ, the first at 0"

    def expected_tensors(self, kept: Iterable[Written]) -> list[Tensor]:
        """Return what the outputs must be, but for one bit."""
        first, *others = super().expected_tensors(kept)
        return [Tensor(first.label, bytes([first.words[0] ^ 1]) + first.words[1:]), *others]


class LostRecord(Planted):
    """Does not find the last image's record."""

    said = "records: 1 items missing after 4"

    def found_records(self, snapshot: Snapshot, run: int) -> list[ResultRecord | None]:
        """Return the records but one."""
        *others, _ = super().found_records(snapshot, run)
        return [*others, None]


class ExtraRecord(Planted):
    """Finds a record twice."""

    said = "records: item 5 unexpected"

    def found_records(self, snapshot: Snapshot, run: int) -> list[ResultRecord | None]:
        """Return the records, the last one twice."""
        records = super().found_records(snapshot, run)
        return [*records, records[-1]]


class LostStep(Planted):
    """Does not see the LPU's last step."""

    said = "LPU steps: 1 items missing"

    def take(self, item: Any) -> None:
        """Take everything but the step."""
        if item != self._reference.steps(LPU)[-1]:
            super().take(item)


class ChangedGuard(Planted):
    """Sees a changed byte where nobody may write."""

    said = "guards: 1 bytes have changed, the first at 0x0"

    def take(self, item: Any) -> None:
        """Change the first byte of memory's last contents."""
        if isinstance(item, Snapshot):
            data = bytes([item.data[0] ^ 1]) + item.data[1:]
            item = Snapshot(data, item.read_beats, item.written_beats)
        super().take(item)


class Blind(CascadeScoreboard):
    """Sees nothing."""

    def take(self, item: Any) -> None:
        """Take nothing."""


@pyuvm.test(timeout_time=100, timeout_unit="ms")
class WrongWordTest(PlantedTest):
    """One expected word is wrong."""

    scoreboard = WrongWord


@pyuvm.test(timeout_time=100, timeout_unit="ms")
class LostRecordTest(PlantedTest):
    """One record is missing."""

    scoreboard = LostRecord


@pyuvm.test(timeout_time=100, timeout_unit="ms")
class ExtraRecordTest(PlantedTest):
    """One record more than expected is there."""

    scoreboard = ExtraRecord


@pyuvm.test(timeout_time=100, timeout_unit="ms")
class LostStepTest(PlantedTest):
    """One step has not been seen."""

    scoreboard = LostStep


@pyuvm.test(timeout_time=100, timeout_unit="ms")
class ChangedGuardTest(PlantedTest):
    """A byte between the buffers has changed."""

    scoreboard = ChangedGuard


@pyuvm.test(timeout_time=100, timeout_unit="ms")
class BlindTest(PlantedTest):
    """Nothing is compared: the test fails."""

    scoreboard = Blind


@pyuvm.test(timeout_time=100, timeout_unit="ms")
class ChangedWeightTest(CascadeTest):
    """A weight in memory is not the emulator's: the test fails."""

    def contents(self, memory: HostMemory) -> bytes:
        """Return what memory holds at first, but for one bit."""
        data = bytearray(super().contents(memory))
        data[memory.layout.base("weights")] ^= 0x40
        return bytes(data)


@pyuvm.test(timeout_time=100, timeout_unit="ms")
class ProtocolTest(CascadeTest):
    """Memory takes no bursts as long as the accelerator's: the simulation ends."""

    burst_limit = 1
