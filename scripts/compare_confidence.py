"""Compare measures of confidence on a plan's LPU: tuned on some images, judged on others.

    python scripts/compare_confidence.py DIR --eval tuning.npz --data unseen.npz

prints a Markdown table: for each measure and softmax temperature its separation of the images that
the HPU mends (area under the ROC curve), and for each tolerance the share forwarded and the added
error, both on the unseen images.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from toolflow.confidence.measures import Comparison, compared  # noqa: E402
from toolflow.errors import UserError  # noqa: E402
from toolflow.evaluation import top_of  # noqa: E402
from toolflow.report.report import table  # noqa: E402
from toolflow.workflow import run_plan  # noqa: E402

TOLERANCES = (0.005, 0.01, 0.02, 0.05)


def header() -> tuple[str, ...]:
    """Return the table's first line."""
    held = (f"at {100 * t:g} %: forwarded, added error" for t in TOLERANCES)
    return ("measure", "temperature", "separation", *held)


def row(item: Comparison) -> Iterator[str]:
    """Return one measure's line."""
    yield from (item.measure, f"{item.temperature:.2f}", f"{item.separation:.4f}")
    for held in item.held:
        yield f"{100 * held.forwarded:.1f} %, {100 * held.added_error:+.2f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; return the exit code."""
    parser = argparse.ArgumentParser(description="Compare measures of confidence on a plan's LPU.")
    parser.add_argument("folder", type=Path, help="a plan's folder")
    parser.add_argument("--eval", required=True, help="labelled images to tune on")
    parser.add_argument("--data", required=True, help="labelled images to judge on")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    try:
        runs = [
            run_plan(
                options.folder, data, options.threads, lambda line: print(line, file=sys.stderr)
            )
            for data in (options.eval, options.data)
        ]
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    top = top_of(runs[0].plan.metric)
    items = compared(runs[0].logits, runs[1].logits, TOLERANCES, top)
    print(table(header(), [tuple(row(item)) for item in items]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
