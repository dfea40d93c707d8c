"""Faults of every kind at random times: no hang, no wrong record, and recovery without a reload."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolflow.simulation.memory import HostMemory
from toolflow.simulation.run import (
    Settings,
    build_cascade,
    expected_records,
    forwarding,
    simulate_cascade,
)
from verif.common.cascades import drawn_images
from verif.system.cascade.fault_campaign import GOOD, Campaign
from verif.system.cascade.test_cascade import cascade_of, quiet

IMAGES = 7
FORWARDED = 4
SCENARIOS = 84


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_faults(seed: int, tmp_path: Path) -> None:
    """At least 200 in all; every kind strikes."""
    cascade, units = cascade_of("small")
    images = drawn_images(units, IMAGES)
    settings = Settings(IMAGES, forward=FORWARDED, latency=20, optimise=False)
    cycles = simulate_cascade(cascade, images, settings, quiet).cycles
    cascade, logits = forwarding(cascade, images, FORWARDED)
    memory = HostMemory(cascade.folder, cascade.memory_map, images, tmp_path / "memory", seed)
    campaign = Campaign(cascade, expected_records(cascade, logits), seed)
    scenarios = campaign.scenarios(SCENARIOS, cycles)
    built = build_cascade(cascade, settings)
    campaign.run(built.executable, memory, scenarios, tmp_path, 20, stalls=seed - 1)
    assert campaign.outcomes.total() == SCENARIOS
    assert campaign.records > SCENARIOS * IMAGES
    assert memory.stray_bytes() == 0
    struck = {kind.split()[0] for (kind, outcome) in campaign.outcomes if outcome != GOOD}
    assert struck >= {"bus", "silence", "abort", "descriptor", "register"}
