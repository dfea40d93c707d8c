"""A memory behind an engine's client ports (``docs/engine.md``): any latency, one beat a cycle."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from verif.common.streams import Stall, never


class Memory:
    """Bytes with parts that may be read and parts that may be written.

    Attributes:
        data: all of it.
        reads, writes: bytes moved so far.
    """

    def __init__(self, size: int, fill: bytes = b"\x00") -> None:
        self.data = bytearray((fill * (size // len(fill) + 1))[:size])
        self._readable: list[range] = []
        self._writable: list[range] = []
        self.reads = 0
        self.writes = 0

    def allow(self, region: range, *, write: bool = False) -> None:
        """Let clients read a region, and write it."""
        self._readable.append(region)
        if write:
            self._writable.append(region)

    def read(self, address: int, size: int) -> int:
        """Return a beat.

        Raises:
            AssertionError: it is not wholly where reading is allowed.
        """
        assert any(address in r and address + size - 1 in r for r in self._readable), (
            f"{size} bytes are read at {address:#x}, outside every buffer"
        )
        self.reads += size
        return int.from_bytes(self.data[address : address + size], "little")

    def write(self, address: int, value: int, strobes: int) -> None:
        """Write the bytes of a beat that ``strobes`` names.

        Raises:
            AssertionError: one of them is where writing is not allowed.
        """
        for lane in range(strobes.bit_length()):
            if strobes >> lane & 1:
                at = address + lane
                assert any(at in r for r in self._writable), f"{at:#x} is written, no buffer"
                self.data[at] = value >> (8 * lane) & 0xFF
                self.writes += 1


@dataclass
class _Command:
    client: ReadClient
    address: int
    beats: int


class MemoryPort:
    """The memory's one port: commands of all clients in the order they came, a beat a cycle.

    A client's beats wait for it in a buffer of its own, so one that does not take its data blocks
    no other.

    Args:
        memory: the bytes.
        beat_bytes: bytes of a beat.
        latency: cycles from a command to its first beat, at least.
        stall: says, cycle by cycle, whether the port pauses.
    """

    def __init__(
        self, memory: Memory, beat_bytes: int, latency: int = 0, stall: Stall = never
    ) -> None:
        self.memory = memory
        self.beat_bytes = beat_bytes
        self.latency = latency
        self.stall = stall
        self._commands: deque[tuple[int, _Command]] = deque()

    def reset(self) -> None:
        """Forget all commands."""
        self._commands.clear()

    def command(self, cycle: int, command: _Command) -> None:
        """Queue a client's command."""
        assert command.address % self.beat_bytes == 0, f"address {command.address:#x}"
        assert command.beats > 0
        self._commands.append((cycle + self.latency, command))

    def drive(self) -> None:
        """Do nothing: clients drive."""

    def sample(self, cycle: int) -> None:
        """Move a beat to its client's buffer."""
        if not self._commands or self._commands[0][0] > cycle or self.stall():
            return
        command = self._commands[0][1]
        command.client.answers.append(self.memory.read(command.address, self.beat_bytes))
        command.address += self.beat_bytes
        command.beats -= 1
        if command.beats == 0:
            self._commands.popleft()


@dataclass(frozen=True)
class ReadSignals:
    """A read client's signals, found by the prefix of their names."""

    cmd_valid: Any
    cmd_ready: Any
    cmd_addr: Any
    cmd_beats: Any
    data_valid: Any
    data_ready: Any
    data: Any

    @classmethod
    def of(cls, dut: Any, prefix: str) -> ReadSignals:
        """Return the signals of ``<prefix>cmd_valid_o`` and so on."""
        return cls(
            getattr(dut, f"{prefix}cmd_valid_o"),
            getattr(dut, f"{prefix}cmd_ready_i"),
            getattr(dut, f"{prefix}cmd_addr_o"),
            getattr(dut, f"{prefix}cmd_beats_o"),
            getattr(dut, f"{prefix}data_valid_i"),
            getattr(dut, f"{prefix}data_ready_o"),
            getattr(dut, f"{prefix}data_i"),
        )


class ReadClient:
    """The memory's side of a read client's ports.

    Attributes:
        answers: beats that wait for the client.
        beats: beats that it has taken.
    """

    def __init__(
        self,
        signals: ReadSignals,
        port: MemoryPort,
        command_stall: Stall = never,
        data_stall: Stall = never,
    ) -> None:
        self._signals = signals
        self._port = port
        self.command_stall = command_stall
        self.data_stall = data_stall
        self.answers: deque[int] = deque()
        self.beats = 0
        self._ready = False
        self._offering = False

    def reset(self) -> None:
        """Forget everything under way."""
        self.answers.clear()
        self._signals.cmd_ready.value = 0
        self._signals.data_valid.value = 0
        self._ready = self._offering = False

    def drive(self) -> None:
        """Take a command or not; offer a beat or not."""
        ready = not self.command_stall()
        if ready != self._ready:
            self._signals.cmd_ready.value = int(ready)
            self._ready = ready
        if self._offering:
            return
        if self.answers and not self.data_stall():
            self._signals.data.value = self.answers[0]
            self._signals.data_valid.value = 1
            self._offering = True
        else:
            self._signals.data_valid.value = 0

    def sample(self, cycle: int) -> None:
        """Note what is transferred at the coming edge."""
        signals = self._signals
        if self._ready and signals.cmd_valid.value:
            command = _Command(self, int(signals.cmd_addr.value), int(signals.cmd_beats.value))
            self._port.command(cycle, command)
        if self._offering and signals.data_ready.value:
            self.answers.popleft()
            self._offering = False
            self.beats += 1


@dataclass(frozen=True)
class WriteSignals:
    """A write client's signals, found by the prefix of their names."""

    valid: Any
    ready: Any
    addr: Any
    data: Any
    strb: Any
    last: Any
    idle: Any

    @classmethod
    def of(cls, dut: Any, prefix: str) -> WriteSignals:
        """Return the signals of ``<prefix>valid_o`` and so on."""
        return cls(
            *(getattr(dut, f"{prefix}{name}") for name in (
                "valid_o", "ready_i", "addr_o", "data_o", "strb_o", "last_o", "idle_i"
            ))
        )  # fmt: skip


@dataclass
class _Write:
    due: int
    address: int
    value: int
    strobes: int


@dataclass
class _Run:
    """A run of successive addresses: where its next beat must be."""

    next_address: int | None = None
    beats: int = 0
    lengths: list[int] = field(default_factory=list)


class WriteClient:
    """The memory's side of a writer's ports; what it takes is in memory ``latency`` cycles later.

    Attributes:
        beats: beats taken.
        run_lengths: beats of every run of successive addresses.
    """

    def __init__(
        self,
        signals: WriteSignals,
        memory: Memory,
        beat_bytes: int,
        latency: int = 0,
        stall: Stall = never,
    ) -> None:
        self._signals = signals
        self._memory = memory
        self._beat_bytes = beat_bytes
        self.latency = latency
        self.stall = stall
        self.beats = 0
        self._pending: deque[_Write] = deque()
        self._ready = False
        self._cycle = 0
        self._run = _Run()

    @property
    def run_lengths(self) -> Iterable[int]:
        """Beats of every run so far."""
        return self._run.lengths

    def reset(self) -> None:
        """Forget everything under way."""
        self._pending.clear()
        self._signals.ready.value = 0
        self._signals.idle.value = 1
        self._ready = False
        self._run = _Run()

    def drive(self) -> None:
        """Take a beat or not."""
        while self._pending and self._pending[0].due <= self._cycle:
            beat = self._pending.popleft()
            self._memory.write(beat.address, beat.value, beat.strobes)
        self._signals.idle.value = int(not self._pending)
        ready = not self.stall()
        if ready != self._ready:
            self._signals.ready.value = int(ready)
            self._ready = ready

    def sample(self, cycle: int) -> None:
        """Note the beat that is transferred at the coming edge."""
        self._cycle = cycle + 1
        signals = self._signals
        if not (self._ready and signals.valid.value):
            return
        address = int(signals.addr.value)
        assert address % self._beat_bytes == 0, f"write address {address:#x}"
        run = self._run
        assert run.next_address in (None, address), (
            f"a run goes on at {address:#x}, not at {run.next_address or 0:#x}"
        )
        run.beats += 1
        run.next_address = address + self._beat_bytes
        if signals.last.value:
            run.lengths.append(run.beats)
            run.beats, run.next_address = 0, None
        self._pending.append(
            _Write(
                cycle + 1 + self.latency, address, int(signals.data.value), int(signals.strb.value)
            )
        )
        self.beats += 1
