"""Open synthesis of one RTL module: what it costs in LUTs, flip-flops, DSP blocks and memories."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from toolflow.simulation.rtl_sources import INCLUDE_DIRS, closure, rtl_files  # noqa: E402

DATA = ROOT / "toolflow" / "hardware" / "data"

TARGETS: Mapping[str, str] = {
    "xc7": "synth_xilinx -family xc7 -noiopad -noclkbuf -flatten",
    "xcup": "synth_xilinx -family xcup -noiopad -noclkbuf -flatten",
    "ecp5": "synth_ecp5",
}
"""Yosys's commands for the families."""

FAMILIES = ("xc7", "ecp5")
"""Those that cost something of their own in LUTs (UltraScale+ has 7 series' LUTs)."""

LUT_CELLS: Mapping[str, int] = {
    **{f"LUT{inputs}": 1 for inputs in range(1, 7)},
    "SRL16E": 1,
    "SRLC32E": 1,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM32M": 4,
    "RAM64M": 4,
    "CCU2C": 2,
    "TRELLIS_DPR16X4": 6,  # four LUTs of data in two slices, and the RAMW slice
}
FF_CELLS: Mapping[str, int] = {"FDRE": 1, "FDSE": 1, "FDCE": 1, "FDPE": 1, "TRELLIS_FF": 1}
DSP_CELLS: Mapping[str, int] = {"DSP48E1": 1, "DSP48E2": 1, "MULT18X18D": 1}
BRAM_CELLS: Mapping[str, int] = {
    "RAMB18E1": 1,
    "RAMB36E1": 2,
    "RAMB18E2": 1,
    "RAMB36E2": 2,
    "DP16KD": 1,
}

_YOSYS = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.run_pass(command, design)
"""


@dataclass(frozen=True)
class Area:
    """Cells after technology mapping; ``bram18`` counts blocks of 18 kbit."""

    lut: int
    ff: int
    dsp: int
    bram18: int


def synthesise(
    module: str, parameters: Mapping[str, int], family: str, *, multipliers_in_luts: bool = False
) -> Area:
    """Synthesise a module of ``rtl/`` with Yosys, flattened, and count its cells.

    Raises:
        KeyError: there is no such module.
        subprocess.CalledProcessError: Yosys refused it; its messages are on stderr.
    """
    options = " -nodsp" if multipliers_in_luts else ""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "stat.json"
        _run(
            _read(module, parameters),
            f"{TARGETS[family]}{options} -top {module}",
            f"tee -q -o {report} stat -json",
        )
        found: dict[str, Any] = json.loads(report.read_text())
    return area_of(found["design"]["num_cells_by_type"])


def netlist(module: str, parameters: Mapping[str, int], family: str, path: Path) -> None:
    """Synthesise a module of ``rtl/`` and write its netlist as JSON.

    Raises:
        KeyError: there is no such module.
        subprocess.CalledProcessError: Yosys refused it; its messages are on stderr.
    """
    _run(_read(module, parameters), f"{TARGETS[family]} -top {module} -json {path}")


def _read(module: str, parameters: Mapping[str, int]) -> str:
    """Return Yosys's command that reads a module."""
    sources = [str(path.relative_to(ROOT)) for path in closure([rtl_files()[module]])]
    includes = [word for path in INCLUDE_DIRS for word in ("-I", str(path.relative_to(ROOT)))]
    generics = [word for name, value in parameters.items() for word in ("-G", f"{name}={value}")]
    return " ".join(["read_slang -DSYNTHESIS", *includes, *generics, "--top", module, *sources])


def _run(*commands: str) -> None:
    subprocess.run(
        [sys.executable, "-c", _YOSYS, *commands], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )


def area_of(cells: Mapping[str, int]) -> Area:
    """Return the area of cells by their types; what is no primitive of a family counts nothing."""
    return Area(*(_count(cells, kinds) for kinds in (LUT_CELLS, FF_CELLS, DSP_CELLS, BRAM_CELLS)))


def _count(cells: Mapping[str, int], kinds: Mapping[str, int]) -> int:
    return sum(weight * cells.get(cell, 0) for cell, weight in kinds.items())


def write_table(
    path: Path, title: str, header: Sequence[str], rows: Iterable[Sequence[str | int]]
) -> None:
    """Write a CSV file; comment lines name the date and the tool's version."""
    aside = path.with_name(path.name + ".partial")
    with aside.open("w", encoding="utf-8") as file:
        file.write(f"# {title}\n")
        file.write(f"# {datetime.date.today().isoformat()}, Yosys (pyosys {version('pyosys')})\n")
        file.write(",".join(header) + "\n")
        for row in rows:
            file.write(",".join(map(str, row)) + "\n")
            file.flush()
            print(path.name, *row, flush=True)
    aside.replace(path)
