"""How far measured cycles may be from the cycle model's (``toolflow.hardware.engine_cycles``).

A step's prediction may be off by 5 %, 10 % where the port bounds it (the model's streams keep it
busy without a gap), or, which matters for short ones, by ``SLACK`` an image; a unit's whole network
by 3 % or by ``STEP_SLACK`` an image and step: what an image begins with is a few cycles less on
narrow engines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from toolflow.simulation.run import StepResult

STEP, PORT_STEP, NETWORK = 0.05, 0.10, 0.03
SLACK, STEP_SLACK = 32, 12


def cycle_errors(steps: Iterable[StepResult]) -> list[str]:
    """Say which steps, and which units' networks, are predicted worse than they may be."""
    found = []
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for step in steps:
        assert step.cycles > 0
        totals[step.unit][0] += step.cycles
        totals[step.unit][1] += step.predicted
        totals[step.unit][2] += STEP_SLACK * step.images
        off = abs(step.predicted - step.cycles)
        share = PORT_STEP if step.bound == "port" else STEP
        if off > max(share * step.cycles, SLACK * step.images):
            found.append(f"{step.unit} {step.name}: {step.predicted}, measured {step.cycles}")
    found += [
        f"{unit}: {predicted}, measured {cycles}"
        for unit, (cycles, predicted, slack) in totals.items()
        if abs(predicted - cycles) > max(NETWORK * cycles, slack)
    ]
    assert len(totals) == 2
    return found
