"""Functional coverage: layer kind x unit at its precision x stall level, of the steps that ran."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from pyuvm import ConfigDB, uvm_subscriber

from toolflow.emission.descriptors import decode_all
from toolflow.hardware.engine import Op
from toolflow.quantisation.scheme import Precision
from toolflow.simulation.run import Cascade
from verif.system.uvm.campaign import PRECISIONS
from verif.system.uvm.transactions import UNITS, StepDone

Bin = tuple[str, str, str]
"""Layer kind, unit at its precision, stall level."""

LEVELS = ("none", "medium", "heavy")
HEAVY = 0.45
"""From this share of pauses in a step's turns on, memory stalls heavily."""


def level_of(step: StepDone) -> str:
    """Return how much memory stalled while a step ran, as counted."""
    if not step.pauses:
        return "none"
    return "heavy" if step.pauses >= HEAVY * step.turns else "medium"


def unit_name(unit: str, precision: Precision) -> str:
    """Return what a unit at a precision is called."""
    return f"{unit.upper()} {precision}"


def goals() -> list[Bin]:
    """Return every bin that the campaign must fill."""
    units = [
        unit_name(unit, getattr(precisions, unit))
        for precisions in PRECISIONS.values()
        for unit in UNITS
    ]
    return list(product((op.name for op in Op), units, LEVELS))


class Coverage(uvm_subscriber):
    """Counts the steps that ran, by the descriptors that they ran from."""

    def build_phase(self) -> None:
        """Read the descriptors."""
        cascade: Cascade = ConfigDB().get(self, "", "CASE").cascade
        self.counts: Counter[Bin] = Counter()
        self._ops = [
            [
                Op(descriptor["op"]).name
                for descriptor in decode_all(
                    (cascade.folder / f"descriptors_{unit}.bin").read_bytes()
                )
            ]
            for unit in UNITS
        ]
        self._units = [
            unit_name(unit, network.scheme.precision)
            for unit, network in zip(UNITS, (cascade.lpu, cascade.hpu), strict=True)
        ]

    def write(self, tt: Any) -> None:
        """Count a step."""
        if isinstance(tt, StepDone):
            self.counts[self._ops[tt.unit][tt.index], self._units[tt.unit], level_of(tt)] += 1

    def report_phase(self) -> None:
        """Write the counts where the run's environment says."""
        path: Path = ConfigDB().get(self, "", "COVERAGE")
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [[*key, count] for key, count in sorted(self.counts.items())]
        path.write_text(json.dumps(rows) + "\n")


def merged(files: Iterable[Path]) -> Counter[Bin]:
    """Return the sum of several runs' counts."""
    counts: Counter[Bin] = Counter()
    for path in files:
        for kind, unit, level, count in json.loads(path.read_text()):
            counts[kind, unit, level] += count
    return counts


def missing(counts: Mapping[Bin, int]) -> list[Bin]:
    """Return the goals that nothing has hit."""
    return [goal for goal in goals() if not counts.get(goal)]


def table(counts: Mapping[Bin, int]) -> str:
    """Return the counts as a table: a layer kind a row; for each unit, a column a stall level."""
    units = list(dict.fromkeys(unit for _, unit, _ in goals()))
    rows = [["", *(f"{unit} {level}" for unit in units for level in LEVELS)]]
    for op in Op:
        cells = (counts.get((op.name, unit, level), 0) for unit in units for level in LEVELS)
        rows.append([op.name, *map(str, cells)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
    covered = len(goals()) - len(missing(counts))
    return "\n".join([*lines, f"{covered} of {len(goals())} bins covered"])
