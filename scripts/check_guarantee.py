"""Check on real answers that a guaranteed tolerance holds, and how often an estimated one does not.

    python scripts/check_guarantee.py DIR --data images.npz [--data more.npz ...]

takes the labelled images for the whole of all images, draws samples from them with replacement,
sets the CEU's threshold on each sample with and without ``--guarantee``, and counts how often the
added error over all images is above the tolerance. The plan's own precisions are used: only (M, N)
and the threshold are chosen anew.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from toolflow.confidence.exp_table import exp_scale  # noqa: E402
from toolflow.confidence.guarantee import DEFAULT_CONFIDENCE  # noqa: E402
from toolflow.confidence.protocol import Estimated, Guaranteed, ToleranceProtocol  # noqa: E402
from toolflow.confidence.tuning import Outcomes, outcomes_of, setting_at  # noqa: E402
from toolflow.errors import UserError  # noqa: E402
from toolflow.evaluation import top_of  # noqa: E402
from toolflow.report.report import table  # noqa: E402
from toolflow.workflow import PlannedRun, run_plan  # noqa: E402

TOLERANCES = (0.01, 0.02)
SEED = 2018
HEADER = ("tolerance", "chosen by", "forwarded", "added error", "above the tolerance")


def population(runs: Sequence[PlannedRun]) -> Outcomes:
    """Return what both units did on all images."""
    lpu, hpu, labels = (
        np.concatenate([getattr(run.logits, name) for run in runs])
        for name in ("lpu", "hpu", "labels")
    )
    return outcomes_of(
        lpu, hpu, labels, exp_scale(runs[0].logits.frac), top_of(runs[0].plan.metric)
    )


def row(
    name: str, protocol: ToleranceProtocol, everyone: Outcomes, samples: Sequence[Outcomes]
) -> tuple[str, ...]:
    """Return the table's line of a protocol."""
    settings = [protocol.settle(sample) for sample in samples]
    truths = [setting_at(everyone, s.m, s.n, s.threshold) for s in settings]
    right = int(everyone.hpu_correct.sum())
    added = np.array([right - truth.correct for truth in truths]) / everyone.images
    forwarded = np.mean([truth.forwarded for truth in truths]) / everyone.images
    return (
        f"{100 * protocol.tolerance:g} %",
        name,
        f"{100 * forwarded:.1f} %",
        f"{100 * added.mean():+.2f}",
        f"{100 * np.mean(added > protocol.tolerance + 1e-9):.1f} % of {len(samples)}",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; return the exit code."""
    parser = argparse.ArgumentParser(description="Check that a guaranteed tolerance holds.")
    parser.add_argument("folder", type=Path, help="a plan's folder")
    parser.add_argument("--data", required=True, action="append", help="labelled images")
    parser.add_argument("--images", type=int, default=1000, help="images a sample")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    try:
        runs = [
            run_plan(
                options.folder, data, options.threads, lambda line: print(line, file=sys.stderr)
            )
            for data in options.data
        ]
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    everyone = population(runs)
    rng = np.random.default_rng(SEED)
    samples = [
        everyone.part(rng.integers(0, everyone.images, options.images))
        for _ in range(options.samples)
    ]
    rows = []
    for tolerance in TOLERANCES:
        guaranteed = Guaranteed(tolerance, DEFAULT_CONFIDENCE, options.images)
        rows.append(row("estimate", Estimated(tolerance), everyone, samples))
        rows.append(row(f"guarantee {DEFAULT_CONFIDENCE:g}", guaranteed, everyone, samples))
    print(table(HEADER, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
