"""The verification plan names what is there, and all of it."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def planned() -> list[str]:
    plan = tomllib.loads((ROOT / "verif" / "testplan.toml").read_text())
    return [test for feature in plan["feature"] for test in feature["tests"]]


def test_every_planned_test_exists() -> None:
    for name in planned():
        text = (ROOT / name).read_text()
        assert "def test_" in text, name


def test_every_bench_is_planned_once() -> None:
    found = {str(path.relative_to(ROOT)) for path in (ROOT / "verif").rglob("test_*.py")}
    assert sorted(planned()) == sorted(found)


def test_every_rtl_module_is_lint_checked_or_a_package() -> None:
    """A file holds what it is named after: sources are found, and linted alone, by their names."""
    for path in (ROOT / "rtl").rglob("*.sv"):
        text = path.read_text()
        assert f"module {path.stem}" in text or f"package {path.stem}" in text, path
