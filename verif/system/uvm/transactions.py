"""What the monitors publish."""

from __future__ import annotations

from dataclasses import dataclass, field

UNITS = ("lpu", "hpu")
PORTS = ("lpu", "hpu", "results")


@dataclass(frozen=True)
class RegisterAccess:
    """A write or a read of a register that has been answered."""

    address: int
    data: int
    write: bool
    response: int


@dataclass(frozen=True)
class Interrupt:
    """The interrupt has changed its level."""

    high: bool


@dataclass(frozen=True)
class StepDone:
    """A unit has ended a step of its descriptors.

    ``turns`` are times that memory could give the unit a beat or an answer since the unit's last
    step, ``pauses`` those of them that it let pass.
    """

    unit: int
    index: int
    images: int
    workspace: int
    cycles: int = field(default=0, compare=False)
    turns: int = field(default=0, compare=False)
    pauses: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Fault:
    """Memory has answered a port with an error."""

    port: int
    write: bool


@dataclass(frozen=True)
class Loaded:
    """Memory holds new contents."""

    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Snapshot:
    """Memory's contents at the end of a run, and the beats that each port moved."""

    data: bytes = field(repr=False)
    read_beats: tuple[int, ...]
    written_beats: tuple[int, ...]
