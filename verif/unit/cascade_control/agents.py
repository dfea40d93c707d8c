"""What surrounds the cascade control: memory, the two engines, and the host's registers."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from toolflow.emission.result_records import RECORD_BYTES
from verif.common.streams import Stall, int_of, never, width_of
from verif.unit.cascade_control.runs import MEMORY_BASE, Run

Delay = Callable[[], int]


@dataclass
class Memory:
    """Bytes from ``MEMORY_BASE`` on; filled with junk by ``fill``."""

    rng: random.Random
    data: bytearray = field(default_factory=bytearray)

    def fill(self, size: int) -> None:
        """Forget everything: ``size`` random bytes."""
        self.data = bytearray(self.rng.randbytes(size))

    def read(self, address: int, size: int) -> bytes:
        """Return bytes, which must all be there."""
        low = address - MEMORY_BASE
        assert 0 <= low <= low + size <= len(self.data), f"read of {size} bytes at {address:#x}"
        return bytes(self.data[low : low + size])

    def write(self, address: int, data: bytes) -> None:
        """Write bytes, whose places must all be there."""
        low = address - MEMORY_BASE
        assert 0 <= low <= low + len(data) <= len(self.data), f"write at {address:#x}"
        self.data[low : low + len(data)] = data


class ReadPort:
    """Answers the read commands, in order, each beat after a delay.

    Attributes:
        bad_beats: addresses of beats that come with an error.
        beats: those that were commanded and not taken: address, first cycle.
    """

    def __init__(self, dut: Any, memory: Memory, rng: random.Random) -> None:
        self._dut = dut
        self._memory = memory
        self._rng = rng
        self._bytes = width_of(dut.data_i) // 8
        self.cmd_stall: Stall = never
        self.data_stall: Stall = never
        self.delay: Delay = lambda: 1
        self.bad_beats: set[int] = set()
        self.commands: list[tuple[int, int]] = []
        self.beats: deque[tuple[int, int]] = deque()  # address, first cycle
        self._offering = False
        self._ready = False
        self._cycle = 0

    def reset(self) -> None:
        self._dut.cmd_ready_i.value = 0
        self._dut.data_valid_i.value = 0
        self.beats.clear()
        self._offering = self._ready = False

    def drive(self) -> None:
        self._ready = not self.cmd_stall()
        self._dut.cmd_ready_i.value = int(self._ready)
        if self._offering:
            return
        if self.beats and self.beats[0][1] <= self._cycle and not self.data_stall():
            address = self.beats[0][0]
            word = int.from_bytes(self._memory.read(address, self._bytes), "little")
            self._dut.data_i.value = word
            self._dut.data_error_i.value = int(address in self.bad_beats)
            self._dut.data_valid_i.value = 1
            self._offering = True
        else:
            self._dut.data_i.value = self._rng.getrandbits(8 * self._bytes)
            self._dut.data_error_i.value = self._rng.getrandbits(1)
            self._dut.data_valid_i.value = 0

    def sample(self, cycle: int) -> None:
        self._cycle = cycle + 1
        if self._offering and self._dut.data_ready_o.value:
            self.beats.popleft()
            self._offering = False
        if self._ready and self._dut.cmd_valid_o.value:
            address, beats = int_of(self._dut.cmd_addr_o), int_of(self._dut.cmd_beats_o)
            assert address % self._bytes == 0
            assert beats > 0
            self.commands.append((address, beats))
            first = cycle + self.delay()
            self.beats.extend((address + k * self._bytes, first) for k in range(beats))


class WritePort:
    """Takes beats of records and puts them in memory after a delay, in order.

    It checks that only records of the run are written, each as one run of ascending beats and once.

    Attributes:
        bad_images: images whose record's last beat is answered with an error.
        images: whose records were taken whole, in order.
        record_cycles: the cycle in which each record's last beat was taken.
    """

    def __init__(self, dut: Any, memory: Memory) -> None:
        self._dut = dut
        self._memory = memory
        self._bytes = width_of(dut.wr_data_o) // 8
        self.stall: Stall = never
        self.delay: Delay = lambda: 0
        self.run: Run | None = None
        self.bad_images: set[int] = set()
        self.images: list[int] = []
        self.record_cycles: list[int] = []
        self.beat_of_record = 0
        self._pending: deque[tuple[int, int, int, bool]] = deque()
        self._ready = False
        self._cycle = 0

    @property
    def outstanding(self) -> int:
        """Beats that were taken and are not in memory."""
        return len(self._pending)

    def reset(self) -> None:
        self._dut.wr_ready_i.value = 0
        self._dut.wr_idle_i.value = 1
        self._dut.wr_error_i.value = 0
        self._pending.clear()
        self.beat_of_record = 0
        self._ready = False

    def drive(self) -> None:
        error = False
        while self._pending and self._pending[0][0] <= self._cycle:
            _, address, data, bad = self._pending.popleft()
            self._memory.write(address, data.to_bytes(self._bytes, "little"))
            error = error or bad
        self._dut.wr_error_i.value = int(error)
        self._dut.wr_idle_i.value = int(not self._pending)
        self._ready = not self.stall()
        self._dut.wr_ready_i.value = int(self._ready)

    def sample(self, cycle: int) -> None:
        self._cycle = cycle + 1
        if not (self._ready and self._dut.wr_valid_o.value):
            return
        assert self.run is not None, "a write outside a run"
        address = int_of(self._dut.wr_addr_o)
        image, place = divmod(address - self.run.config.results, RECORD_BYTES)
        last = place == RECORD_BYTES - self._bytes
        assert 0 <= image < self.run.config.count, f"write to {address:#x}: no record's place"
        assert place == self.beat_of_record * self._bytes, f"beat at {place} of a record"
        assert image not in self.images, f"a second record of image {image}"
        assert int_of(self._dut.wr_strb_o) == (1 << self._bytes) - 1
        assert int(self._dut.wr_last_o.value) == last
        self.beat_of_record = 0 if last else self.beat_of_record + 1
        due = cycle + 1 + self.delay()
        bad = last and image in self.bad_images
        self._pending.append((due, address, int_of(self._dut.wr_data_o), bad))
        if last:
            self.images.append(image)
            self.record_cycles.append(cycle)


@dataclass
class EngineState:
    """One engine: its list, and the run that is under way."""

    addresses: dict[int, int] = field(default_factory=dict)
    batch: list[int] = field(default_factory=list)
    logits: int = 0
    left: int = 0  # cycles to the end of the run, 0: idle
    failing: bool = False
    stopped: bool = False
    bank: int = 0


class Engines:
    """Both engines: after a time they leave their batch's logits in memory.

    Attributes:
        times: cycles of a unit's run.
        fail_at: unit to the number of its run (from 0) that fails.
        batches: every finished or failed batch of a unit: images.
        starts, ends: the cycles of ``run_valid_o`` (first) and ``run_done_i``, of each unit.
        overlap: cycles in which both ran.
    """

    def __init__(self, dut: Any, memory: Memory, rng: random.Random) -> None:
        self._dut = dut
        self._memory = memory
        self._rng = rng
        self._index_bits = width_of(dut.list_index_o) // 2
        self.run: Run | None = None
        self.ready_stall: Stall = never
        self.times: tuple[Delay, Delay] = (lambda: 20, lambda: 30)
        self.stop_time: Delay = lambda: 1
        self.begin_run(None)

    def begin_run(self, run: Run | None) -> None:
        """Take another run's logits and forget what was seen."""
        self.run = run
        self.units = (EngineState(), EngineState())
        self.fail_at: dict[int, int] = {}
        self.batches: tuple[list[list[int]], list[list[int]]] = ([], [])
        self.starts: tuple[list[int], list[int]] = ([], [])
        self.ends: tuple[list[int], list[int]] = ([], [])
        self.overlap = 0
        self._offered = [False, False]
        self._ready = 0
        self._done = 0

    def reset(self) -> None:
        for port in (self._dut.run_ready_i, self._dut.run_done_i, self._dut.run_failed_i):
            port.value = 0
        self.units = (EngineState(), EngineState())
        self._offered = [False, False]
        self._ready = self._done = 0

    @property
    def running(self) -> list[bool]:
        return [unit.left > 0 for unit in self.units]

    def drive(self) -> None:
        done = failed = ready = 0
        for number, unit in enumerate(self.units):
            idle = unit.left == 0
            if unit.left > 0:
                unit.left -= 1
                if unit.left == 0:
                    self._finish(number, unit)
                    done |= 1 << number
                    failed |= int(unit.failing) << number
            ready |= int(idle and not self.ready_stall()) << number
        self._ready = ready
        self._done = done
        self._dut.run_ready_i.value = ready
        self._dut.run_done_i.value = done
        self._dut.run_failed_i.value = failed | (self._rng.getrandbits(2) & ~done)

    def sample(self, cycle: int) -> None:
        dut = self._dut
        writes, valid = int_of(dut.list_write_o), int_of(dut.run_valid_o)
        stops = int_of(dut.run_stop_o)
        self.overlap += all(self.running)
        for number, unit in enumerate(self.units):
            if writes >> number & 1:
                assert not unit.left, "the list is written while the engine runs"
                index = _part(dut.list_index_o, number, self._index_bits)
                unit.addresses[index] = _part(dut.list_addr_o, number, 32)
            if self._done >> number & 1:
                self.ends[number].append(cycle)
            if stops >> number & 1 and unit.left and not unit.stopped:
                unit.stopped = True
                unit.left = self.stop_time()
                unit.failing = self._rng.random() < 0.5
            if not valid >> number & 1:
                self._offered[number] = False
                continue
            if not self._offered[number]:
                self.starts[number].append(cycle)
                self._offered[number] = True
            if self._ready >> number & 1:
                self._offered[number] = False
                self._start(number, unit)

    def _start(self, number: int, unit: EngineState) -> None:
        assert self.run is not None, "an engine is started outside a run"
        config = self.run.config.unit(number)
        count = _part(self._dut.run_images_o, number, 8)
        workspace = _part(self._dut.run_workspace_o, number, 32)
        assert 1 <= count <= config.batch
        assert workspace == config.workspace + unit.bank * config.bank_bytes, "workspaces in turn"
        unit.batch = [self.run.config.image_of(unit.addresses[index]) for index in range(count)]
        unit.addresses = {}
        unit.logits = config.logits + workspace - config.workspace
        unit.left = self.times[number]()
        unit.stopped = False
        unit.failing = self.fail_at.get(number) == len(self.batches[number])
        # Nothing in the workspace is safe while a batch runs.
        self._memory.write(unit.logits, self._rng.randbytes(count * config.logits_stride))

    def _finish(self, number: int, unit: EngineState) -> None:
        assert self.run is not None
        self.batches[number].append(unit.batch)
        if unit.failing:
            return
        unit.bank = 1 - unit.bank
        stride = self.run.config.unit(number).logits_stride
        for index, image in enumerate(unit.batch):
            words = self.run.logits[number][image]
            data = b"".join((word & 0xFFFF).to_bytes(2, "little") for word in words)
            self._memory.write(unit.logits + index * stride, data)


class Host:
    """Drives the registers: a start or an abort for a cycle, other registers than a run's after it.

    Attributes:
        started, done, refused: cycles of the pulses.
        busy: ``busy_o`` in the last cycle.
    """

    def __init__(self, dut: Any, rng: random.Random) -> None:
        self._dut = dut
        self._rng = rng
        self._config_bits = width_of(dut.config_i)
        self._start: int | None = None
        self._abort = False
        self.started: list[int] = []
        self.done: list[int] = []
        self.refused: list[int] = []
        self._driven_start = False
        self.busy = False

    def start(self, config_word: int, *, abort: bool = False) -> None:
        """Start with registers in the next cycle."""
        self._start = config_word
        self._abort = abort

    def abort(self) -> None:
        """Abort in the next cycle."""
        self._abort = True

    def reset(self) -> None:
        self._start, self._abort, self._driven_start = None, False, False
        self._dut.start_i.value = 0
        self._dut.abort_i.value = 0

    def drive(self) -> None:
        self._dut.config_i.value = (
            self._rng.getrandbits(self._config_bits) if self._start is None else self._start
        )
        self._driven_start = self._start is not None
        self._dut.start_i.value = int(self._driven_start)
        self._dut.abort_i.value = int(self._abort)
        self._start, self._abort = None, False

    def sample(self, cycle: int) -> None:
        if self._driven_start:
            self.started.append(cycle)
        self.busy = bool(self._dut.busy_o.value)
        if self._dut.done_o.value:
            self.done.append(cycle)
        if self._dut.refused_o.value:
            self.refused.append(cycle)


def _part(signal: Any, number: int, bits: int) -> int:
    return int_of(signal) >> (number * bits) & ((1 << bits) - 1)
