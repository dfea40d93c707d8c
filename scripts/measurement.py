"""A line of the benchmark."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """What was measured, in which unit, and how."""

    name: str
    value: float
    unit: str
    note: str
