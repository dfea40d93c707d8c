"""Which files a module needs: found from the names that its text mentions.

Every module and package lives in a file of its own name, so the closure of a module is the set of
RTL files whose names occur in it, and in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RTL = ROOT / "rtl"
INCLUDE_DIRS = (RTL / "common",)

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_WORD = re.compile(r"\w+")


def rtl_files() -> dict[str, Path]:
    """Return every RTL source file by the module or package it holds.

    Raises:
        ValueError: two files have the same name.
    """
    files: dict[str, Path] = {}
    for path in sorted(RTL.rglob("*.sv")):
        if path.stem in files:
            raise ValueError(f"{path} and {files[path.stem]} hold the same name")
        files[path.stem] = path
    return files


def closure(tops: Iterable[Path]) -> tuple[Path, ...]:
    """Return ``tops`` and every RTL file they need, each after the files it mentions."""
    files = rtl_files()
    ordered: dict[Path, None] = {}
    visiting: set[Path] = set()

    def visit(path: Path) -> None:
        if path in ordered or path in visiting:
            return
        visiting.add(path)
        words = set(_WORD.findall(_COMMENT.sub(" ", path.read_text())))
        for name in sorted(words & files.keys()):
            visit(files[name])
        ordered[path] = None

    for top in tops:
        visit(top.resolve())
    return tuple(ordered)


def included_files() -> tuple[Path, ...]:
    """Return the files that the sources may include."""
    return tuple(sorted(path for folder in INCLUDE_DIRS for path in folder.glob("*.svh")))
