"""A memory behind AXI4 ports: any latency, pauses on all channels, errors, protocol checks.

One ID, answers in the order of the requests. Data lies in a ``Memory``, whose regions say what may
be read and written.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from verif.common.memory_port import Memory
from verif.common.streams import Stall, never

PAGE = 4096
OKAY, SLVERR, DECERR = 0, 2, 3
INCR = 1


@dataclass(frozen=True)
class Burst:
    """A request: first byte, beats, and the cycle from which it may be answered."""

    address: int
    beats: int
    due: int


def checked_burst(signals: dict[str, Any], beat_bytes: int, max_burst: int, due: int) -> Burst:
    """Return the burst that an address channel requests.

    Raises:
        AssertionError: it breaks a rule of AXI4 or of the masters.
    """
    address, beats = int(signals["addr"].value), int(signals["len"].value) + 1
    assert 1 << int(signals["size"].value) == beat_bytes, "a narrow burst"
    assert int(signals["burst"].value) == INCR, "no INCR burst"
    assert beats <= max_burst, f"{beats} beats, more than {max_burst}"
    assert address % beat_bytes == 0, f"address {address:#x} is within a beat"
    end = address + beats * beat_bytes
    assert address // PAGE == (end - 1) // PAGE, f"{address:#x}..{end:#x} crosses a page"
    return Burst(address, beats, due)


def channel(
    dut: Any, prefix: str, outputs: tuple[str, ...], inputs: tuple[str, ...]
) -> dict[str, Any]:
    """Return a channel's signals by their short names."""
    names = {name: f"{prefix}_{name}_o" for name in outputs}
    names |= {name: f"{prefix}_{name}_i" for name in inputs}
    return {name: getattr(dut, signal) for name, signal in names.items()}


@dataclass
class Faults:
    """What goes wrong.

    Attributes:
        responses: answers other than OKAY, by beat address (reads) or burst address (writes).
        silent: the memory answers no more.
    """

    responses: dict[int, int] = field(default_factory=dict)
    silent: bool = False


class AxiReadMemory:
    """The read channels of a memory.

    Attributes:
        bursts: beats of every burst so far.
        beats: beats answered.
    """

    def __init__(self, dut: Any, memory: Memory, beat_bytes: int, max_burst: int) -> None:
        self._ar = channel(dut, "ar", ("valid", "addr", "len", "size", "burst"), ("ready",))
        self._r = channel(dut, "r", ("ready",), ("valid", "data", "resp", "last"))
        self._memory = memory
        self._beat_bytes = beat_bytes
        self._max_burst = max_burst
        self.latency = 0
        self.request_stall: Stall = never
        self.answer_stall: Stall = never
        self.faults = Faults()
        self.bursts: list[int] = []
        self.beats = 0
        self._queue: deque[Burst] = deque()
        self._done_beats = 0
        self._ready = self._offering = False
        self._cycle = 0

    @property
    def idle(self) -> bool:
        """Whether every request is answered."""
        return not self._queue

    def reset(self) -> None:
        """Forget all requests."""
        self._queue.clear()
        self._done_beats = 0
        self._ar["ready"].value = self._r["valid"].value = 0
        self._ready = self._offering = False

    def drive(self) -> None:
        """Take a request or not; answer or not."""
        self._ready = not self.request_stall() and not self.faults.silent
        self._ar["ready"].value = int(self._ready)
        if self._offering:
            return
        due = bool(self._queue) and self._queue[0].due <= self._cycle
        self._offering = due and not self.answer_stall() and not self.faults.silent
        self._r["valid"].value = int(self._offering)
        if self._offering:
            burst = self._queue[0]
            address = burst.address + self._done_beats * self._beat_bytes
            self._r["data"].value = self._memory.read(address, self._beat_bytes)
            self._r["resp"].value = self.faults.responses.get(address, OKAY)
            self._r["last"].value = int(self._done_beats == burst.beats - 1)

    def sample(self, cycle: int) -> None:
        """Note what is transferred at the coming edge."""
        self._cycle = cycle + 1
        if self._ready and self._ar["valid"].value:
            due = cycle + 1 + self.latency
            burst = checked_burst(self._ar, self._beat_bytes, self._max_burst, due)
            self._queue.append(burst)
            self.bursts.append(burst.beats)
        if self._offering and self._r["ready"].value:
            self._offering = False
            self.beats += 1
            self._done_beats += 1
            if self._done_beats == self._queue[0].beats:
                self._queue.popleft()
                self._done_beats = 0


class AxiWriteMemory:
    """The write channels of a memory; data is in it when its burst is answered.

    Attributes:
        bursts: beats of every burst so far.
        beats: beats taken.
    """

    def __init__(self, dut: Any, memory: Memory, beat_bytes: int, max_burst: int) -> None:
        self._aw = channel(dut, "aw", ("valid", "addr", "len", "size", "burst"), ("ready",))
        self._w = channel(dut, "w", ("valid", "data", "strb", "last"), ("ready",))
        self._b = channel(dut, "b", ("ready",), ("valid", "resp"))
        self._memory = memory
        self._beat_bytes = beat_bytes
        self._max_burst = max_burst
        self.latency = 0
        self.request_stall: Stall = never
        self.data_stall: Stall = never
        self.answer_stall: Stall = never
        self.faults = Faults()
        self.bursts: list[int] = []
        self.beats = 0
        self._requests: deque[Burst] = deque()
        self._data: deque[tuple[int, int, bool]] = deque()
        self._answers: deque[Burst] = deque()
        self._written = 0
        self._aw_ready = self._w_ready = self._offering = False
        self._cycle = 0

    @property
    def idle(self) -> bool:
        """Whether every burst is written and answered."""
        return not self._requests and not self._data and not self._answers

    def reset(self) -> None:
        """Forget everything under way."""
        self._requests.clear()
        self._data.clear()
        self._answers.clear()
        self._written = 0
        self._aw["ready"].value = self._w["ready"].value = self._b["valid"].value = 0
        self._aw_ready = self._w_ready = self._offering = False

    def drive(self) -> None:
        """Take addresses and data or not; answer or not."""
        silent = self.faults.silent
        self._aw_ready = not self.request_stall() and not silent
        self._w_ready = not self.data_stall() and not silent
        self._aw["ready"].value = int(self._aw_ready)
        self._w["ready"].value = int(self._w_ready)
        if self._offering:
            return
        due = bool(self._answers) and self._answers[0].due <= self._cycle
        self._offering = due and not self.answer_stall() and not silent
        self._b["valid"].value = int(self._offering)
        if self._offering:
            address = self._answers[0].address
            self._b["resp"].value = self.faults.responses.get(address, OKAY)

    def sample(self, cycle: int) -> None:
        """Note what is transferred at the coming edge; write what has its address."""
        self._cycle = cycle + 1
        if self._aw_ready and self._aw["valid"].value:
            burst = checked_burst(self._aw, self._beat_bytes, self._max_burst, cycle)
            self._requests.append(burst)
            self.bursts.append(burst.beats)
        if self._w_ready and self._w["valid"].value:
            signals = self._w
            self._data.append(
                (
                    int(signals["data"].value),
                    int(signals["strb"].value),
                    bool(signals["last"].value),
                )
            )
            self.beats += 1
        if self._offering and self._b["ready"].value:
            self._offering = False
            self._answers.popleft()
        while self._requests and self._data:
            self._write(cycle)

    def _write(self, cycle: int) -> None:
        """Write the oldest beat of the oldest burst."""
        burst, (data, strobes, last) = self._requests[0], self._data.popleft()
        self._memory.write(burst.address + self._written * self._beat_bytes, data, strobes)
        self._written += 1
        assert last == (self._written == burst.beats), f"WLAST in beat {self._written}"
        if last:
            self._answers.append(Burst(burst.address, burst.beats, cycle + 1 + self.latency))
            self._requests.popleft()
            self._written = 0
