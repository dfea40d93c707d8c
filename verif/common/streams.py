"""Ready/valid agents and the clocked loop that steps them.

In every clock cycle the loop lets all agents drive their signals just after the rising edge, waits
until the design has settled, and lets all agents sample. What they sample is what the design's
registers see at the next rising edge, combinational paths included.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from cocotb.clock import Clock
from cocotb.handle import LogicArrayObject, LogicObject, PackedObject
from cocotb.triggers import ReadOnly, RisingEdge

Signal = LogicObject | LogicArrayObject | PackedObject[Any]
"""A port of one bit, of several bits, or a packed array of more dimensions or structures."""

Beat = Mapping[str, int]
"""The payload of one transfer: signal name to value."""

Stall = Callable[[], bool]
"""Says, cycle by cycle, whether a stream pauses."""


def never() -> bool:
    """Pause never: the stream runs at full rate."""
    return False


def at_random(probability: float, rng: random.Random) -> Stall:
    """Pause in each cycle with ``probability``."""
    return lambda: rng.random() < probability


def in_bursts(run: int, pause: int, rng: random.Random) -> Stall:
    """Alternate between running and pausing, of random lengths up to ``run`` and ``pause``."""
    state = {"left": 0, "paused": False}

    def stall() -> bool:
        if state["left"] == 0:
            state["paused"] = not state["paused"]
            state["left"] = rng.randint(1, pause if state["paused"] else run)
        state["left"] -= 1
        return bool(state["paused"])

    return stall


def stall_patterns(rng: random.Random) -> dict[str, Stall]:
    """Return the usual patterns by name, to cross over the streams of a block."""
    return {
        "full_rate": never,
        "light": at_random(0.2, rng),
        "heavy": at_random(0.8, rng),
        "bursts": in_bursts(12, 12, rng),
    }


class Agent(Protocol):
    """Something that acts on signals once a cycle."""

    def reset(self) -> None:
        """Forget everything under way and drive the idle state."""

    def drive(self) -> None:
        """Drive this cycle's values."""

    def sample(self, cycle: int) -> None:
        """Look at the settled values of cycle number ``cycle``."""


class StreamDriver:
    """Drives a ready/valid input of the design.

    Between beats the payload carries random bits, so that a design that looks at it without
    ``valid`` is found out.

    Attributes:
        accepted_cycles: the cycle of every transfer.
    """

    def __init__(
        self,
        valid: LogicObject,
        ready: LogicObject,
        payload: Mapping[str, Signal],
        rng: random.Random,
        stall: Stall = never,
    ) -> None:
        self._valid = valid
        self._ready = ready
        self._payload = dict(payload)
        self._widths = {name: width_of(signal) for name, signal in payload.items()}
        self._rng = rng
        self.stall = stall
        self.accepted_cycles: list[int] = []
        self._queue: deque[Beat] = deque()
        self._offering = False
        self._driven = True

    def send(self, beats: Iterable[Beat]) -> None:
        """Queue beats.

        Raises:
            ValueError: a beat does not name exactly the payload's signals.
        """
        for beat in beats:
            if beat.keys() != self._payload.keys():
                raise ValueError(f"a beat of {sorted(beat)}, not {sorted(self._payload)}")
            self._queue.append(beat)

    @property
    def idle(self) -> bool:
        """Whether every queued beat has been accepted."""
        return not self._queue

    def reset(self) -> None:
        """Drop the queue and offer nothing."""
        self._queue.clear()
        self._offering = False
        self._driven = True
        self._drive_idle()

    def drive(self) -> None:
        """Offer the next beat, or pause."""
        if self._offering:
            return
        if self._queue and not self.stall():
            for name, value in self._queue[0].items():
                self._payload[name].value = value
            self._valid.value = 1
            self._offering = self._driven = True
        elif self._driven:
            self._drive_idle()

    def sample(self, cycle: int) -> None:
        """Note whether the offered beat is taken at the coming edge."""
        if self._offering and self._ready.value:
            self._queue.popleft()
            self._offering = False
            self.accepted_cycles.append(cycle)

    def _drive_idle(self) -> None:
        self._valid.value = 0
        for name, signal in self._payload.items():
            signal.value = self._rng.getrandbits(self._widths[name])
        self._driven = False


class StreamMonitor:
    """Takes beats from a ready/valid output of the design and hands each to ``on_beat``.

    Attributes:
        beat_cycles: the cycle of every transfer.
        valid_cycles: the cycle in which each beat was first offered.
    """

    def __init__(
        self,
        valid: LogicObject,
        ready: LogicObject,
        payload: Mapping[str, Signal],
        on_beat: Callable[[dict[str, int]], None],
        stall: Stall = never,
    ) -> None:
        self._valid = valid
        self._ready = ready
        self._payload = dict(payload)
        self._on_beat = on_beat
        self.stall = stall
        self.beat_cycles: list[int] = []
        self.valid_cycles: list[int] = []
        self._is_ready = False
        self._offered = False

    def reset(self) -> None:
        """Refuse beats."""
        self._ready.value = 0
        self._is_ready = False
        self._offered = False

    def drive(self) -> None:
        """Accept or refuse in this cycle."""
        ready = not self.stall()
        if ready != self._is_ready:
            self._ready.value = int(ready)
            self._is_ready = ready

    def sample(self, cycle: int) -> None:
        """Take the beat that is transferred at the coming edge."""
        if not self._valid.value:
            return
        if not self._offered:
            self.valid_cycles.append(cycle)
            self._offered = True
        if self._is_ready:
            self._offered = False
            self.beat_cycles.append(cycle)
            self._on_beat({name: int_of(signal) for name, signal in self._payload.items()})


class Testbench:
    """Clock, reset and the loop over the agents of a design with ``clk_i`` and ``rst_ni``.

    Attributes:
        cycle: number of the current cycle, counted since ``start``.
    """

    __test__ = False  # not a pytest class

    def __init__(self, dut: Any, agents: Sequence[Agent]) -> None:
        self._clk: LogicObject = dut.clk_i
        self._rst_n: LogicObject = dut.rst_ni
        self._agents = list(agents)
        self.cycle = 0

    async def start(self, reset_cycles: int = 3) -> None:
        """Start the clock and reset the design."""
        self._rst_n.value = 0
        for agent in self._agents:
            agent.reset()
        Clock(self._clk, 10, "ns", impl="gpi").start(start_high=False)
        await RisingEdge(self._clk)
        await self.reset(reset_cycles)

    async def reset(self, cycles: int = 3) -> None:
        """Hold the reset for ``cycles`` clock edges; the agents drop what they were doing."""
        self._rst_n.value = 0
        for agent in self._agents:
            agent.reset()
        for _ in range(cycles):
            await RisingEdge(self._clk)
        self._rst_n.value = 1

    async def step(self) -> None:
        """Run one clock cycle; returns just after the rising edge that ends it."""
        for agent in self._agents:
            agent.drive()
        await ReadOnly()
        for agent in self._agents:
            agent.sample(self.cycle)
        await RisingEdge(self._clk)
        self.cycle += 1

    async def run(self, cycles: int) -> None:
        """Run ``cycles`` clock cycles."""
        for _ in range(cycles):
            await self.step()

    async def run_until(self, done: Callable[[], bool], limit: int) -> None:
        """Run until ``done()``.

        Raises:
            AssertionError: it is not done after ``limit`` cycles.
        """
        for _ in range(limit):
            if done():
                return
            await self.step()
        if not done():
            raise AssertionError(f"not done after {limit} cycles")


def width_of(signal: Signal) -> int:
    """Return a signal's width in bits, packed arrays of more dimensions included."""
    return 1 if isinstance(signal, LogicObject) else len(signal)


def int_of(signal: Signal) -> int:
    """Return a signal's value as an unsigned integer."""
    if isinstance(signal, LogicObject):
        return int(signal.value)
    return int(signal.value.to_unsigned())
