"""The speed figures and tables, regenerated: CSV, PNG and Markdown.

For the networks of ``scripts/speed_figures.toml`` whose model is there and whose accuracy was
measured (``scripts/figures.py``), writes ``build/figures/speed/`` (docs/speed.md says what is in
it). Exit codes: 0 done, 2 bad input.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from toolflow.emission.directory import check_target, whole_directory  # noqa: E402
from toolflow.errors import UserError  # noqa: E402
from toolflow.network.importer import load_network  # noqa: E402
from toolflow.study.networks import located  # noqa: E402
from toolflow.study.plots import draw_speed  # noqa: E402
from toolflow.study.records import write_rows  # noqa: E402
from toolflow.study.speedup import (  # noqa: E402
    Rates,
    SpeedupRow,
    ThroughputRow,
    boards,
    read_list,
    speedups,
    throughputs,
)
from toolflow.study.tables import speed_markdown  # noqa: E402

LIST = ROOT / "scripts" / "speed_figures.toml"
DATA = ROOT.parent / "shared" / "data"
FIGURES = ROOT / "build" / "figures"
FOLDER = "speed"
MARKER = "speedup.csv"


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    options = _parser().parse_args(arguments)
    try:
        target = options.figures / FOLDER
        check_target(target, MARKER)
        throughput, speedup = _rows(options)
        with whole_directory(target, MARKER) as folder:
            write_rows(folder / "throughput.csv", ThroughputRow, throughput)
            write_rows(folder / MARKER, SpeedupRow, speedup)
            draw_speed(throughput, speedup, folder)
            (folder / "speed.md").write_text(speed_markdown(folder), encoding="utf-8")
        print(f"wrote {target}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _rows(options: argparse.Namespace) -> tuple[list[ThroughputRow], list[SpeedupRow]]:
    """Return all rows, of the networks whose files are there."""
    entries = read_list(options.list)
    throughput: list[ThroughputRow] = []
    speedup: list[SpeedupRow] = []
    for entry in entries.network:
        model = Path(located(entry.model, options.data))
        studied = options.figures / entry.accuracy_of
        missing = [path for path in (model, studied) if not path.exists()]
        if missing:
            print(f"{entry.name} is skipped: {missing[0]} is not there", flush=True)
            continue
        network = load_network(model)
        for device in boards(entries.devices):
            print(f"{entry.name} on {device.name}", flush=True)
            rates = Rates(network, device)
            throughput += throughputs(entry, rates)
            for tolerance in entries.tolerances:
                speedup += speedups(entry, rates, device.name, tolerance, options.figures)
    if not speedup:
        raise UserError(
            f"no network of {options.list} has its model and its accuracy: run `make figures`, "
            "and give --data DIR"
        )
    return throughput, speedup


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="speed_figures.py", description=__doc__)
    parser.add_argument("--list", type=Path, default=LIST, metavar="TOML", help="the networks")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("CASCADE_DATA") or DATA),
        metavar="DIR",
        help="models (default: $CASCADE_DATA, or shared/data beside the repository)",
    )
    parser.add_argument(
        "--figures",
        type=Path,
        default=FIGURES,
        metavar="DIR",
        help="what scripts/figures.py wrote, and where the speed figures go",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
