"""The accuracy figures and tables, regenerated: CSV, PNG and Markdown a network.

For every network of ``scripts/figures.toml`` whose data is there, writes ``build/figures/NETWORK/``
(docs/accuracy.md says what is in it). Exit codes: 0 done, 2 bad input.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from toolflow.emission.directory import check_target, whole_directory  # noqa: E402
from toolflow.errors import UserError  # noqa: E402
from toolflow.study.measurements import Study  # noqa: E402
from toolflow.study.networks import (  # noqa: E402
    MissingDataError,
    NetworkEntry,
    chosen,
    load_entry,
    read_entries,
    require_files,
)
from toolflow.study.plots import draw_figures  # noqa: E402
from toolflow.study.records import write_tables  # noqa: E402
from toolflow.study.tables import markdown  # noqa: E402

LIST = ROOT / "scripts" / "figures.toml"
DATA = ROOT.parent / "shared" / "data"
OUTPUT = ROOT / "build" / "figures"
MARKER = "wordlength.csv"
TABLES = "accuracy.md"


@dataclass(frozen=True)
class Job:
    """One network to study."""

    entry: NetworkEntry
    data: Path
    output: Path
    threads: int
    images: int | None


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    options = _parser().parse_args(arguments)
    try:
        entries = chosen(read_entries(options.list), options.network)
        if options.markdown:
            return _print_tables(entries, options.output)
        ready = _with_data(entries, options.data, must=bool(options.network))
        for entry in ready:
            check_target(options.output / entry.name, MARKER)
        jobs = [
            Job(entry, options.data, options.output, options.threads, options.images)
            for entry in ready
        ]
        # A process a network, so that each one's peak of memory is its own.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
            for folder in pool.map(study, jobs):
                print(f"wrote {folder}", flush=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def study(job: Job) -> Path:
    """Study one network and write its folder.

    Raises:
        UserError: data cannot be read, or the folder not be written.
    """
    start = time.perf_counter()

    def progress(text: str) -> None:
        print(f"[{time.perf_counter() - start:6.1f} s] {job.entry.name}: {text}", flush=True)

    progress("reading the network and the images")
    network = load_entry(job.entry, job.data, job.threads, job.images)
    results = Study(network, job.threads, progress).run()
    target = job.output / job.entry.name
    with whole_directory(target, MARKER) as folder:
        write_tables(results, folder)
        draw_figures(results, folder)
        (folder / TABLES).write_text(markdown(folder), encoding="utf-8")
    progress("done")
    return target


def _with_data(
    entries: tuple[NetworkEntry, ...], data: Path, *, must: bool
) -> tuple[NetworkEntry, ...]:
    """Return the entries whose files are there; of others it says why they are skipped."""
    ready = []
    for entry in entries:
        try:
            require_files(entry, data)
        except MissingDataError as error:
            if must:
                raise UserError(f"{entry.name}: {error}: give --data DIR") from error
            print(f"{entry.name} is skipped: {error}", flush=True)
        else:
            ready.append(entry)
    if not ready:
        raise UserError(f"no network of the list has its data in {data}: give --data DIR")
    return tuple(ready)


def _print_tables(entries: tuple[NetworkEntry, ...], output: Path) -> int:
    """Write the tables of existing CSV files again, and print them."""
    folders = [output / entry.name for entry in entries if (output / entry.name / MARKER).exists()]
    if not folders:
        raise UserError(f"{output} holds no figures of these networks: run without --markdown")
    for folder in folders:
        try:
            text = markdown(folder)
            (folder / TABLES).write_text(text, encoding="utf-8")
        except (OSError, KeyError, ValueError, StopIteration) as error:
            raise UserError(
                f"{folder}: its tables cannot be read or written ({error!r}): run again "
                "without --markdown"
            ) from error
        print(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="figures.py", description=__doc__)
    parser.add_argument(
        "--network", action="append", default=[], metavar="NAME", help="only this one (repeatable)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("CASCADE_DATA") or DATA),
        metavar="DIR",
        help="images and models (default: $CASCADE_DATA, or shared/data beside the repository)",
    )
    parser.add_argument("--list", type=Path, default=LIST, metavar="TOML", help="the networks")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, metavar="DIR")
    parser.add_argument("--images", type=_positive, metavar="N", help="unseen images at most")
    parser.add_argument("--threads", type=_positive, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument(
        "--markdown", action="store_true", help="measure nothing, print tables of what is there"
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


if __name__ == "__main__":
    sys.exit(main())
