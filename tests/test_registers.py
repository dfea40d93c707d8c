"""The register map's generated files, against their one source."""

from __future__ import annotations

import sys
from pathlib import Path

from toolflow.emission.registers import REGISTERS

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import registers  # noqa: E402


def test_generated_files_are_the_sources() -> None:
    stale = [
        str(path.relative_to(ROOT))
        for path, text in registers.outputs().items()
        if path.read_text() != text
    ]
    assert not stale, "run scripts/registers.py"


def test_fields_do_not_overlap_and_addresses_are_words() -> None:
    addresses = [register.address for register in REGISTERS.values()]
    assert len(set(addresses)) == len(addresses)
    for register in REGISTERS.values():
        assert register.address % 4 == 0
        bits = [
            bit for field in register.fields for bit in range(field.low, field.low + field.width)
        ]
        assert len(set(bits)) == len(bits)
        assert max(bits) < 32


def test_reset_values_are_inside_the_fields() -> None:
    for register in REGISTERS.values():
        mask = sum(((1 << f.width) - 1) << f.low for f in register.fields)
        assert register.reset & ~mask == 0
