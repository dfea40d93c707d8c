"""The rows of the study's tables, as CSV files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FLOAT_BITS = 32


@dataclass(frozen=True)
class AccuracyRow:
    """Accuracy of one unit alone: ``method`` says which, and how it is quantised.

    ``divergence`` is the mean Kullback-Leibler divergence of the softmax from the float network's,
    in nats; accuracies are 0..1, ``top5`` None for few classes.
    """

    network: str
    weight_bits: int
    act_bits: int
    method: str
    top1: float
    top5: float | None
    divergence: float
    images: int


@dataclass(frozen=True)
class AblationRow:
    """Our method with one ingredient changed: the LPU, and the HPU of the same words."""

    network: str
    weight_bits: int
    act_bits: int
    change: str
    lpu_top1: float
    lpu_top5: float | None
    lpu_divergence: float
    hpu_top1: float
    hpu_top5: float | None
    hpu_divergence: float
    images: int


@dataclass(frozen=True)
class ForwardedRow:
    """A cascade tuned for a tolerance: by an estimate, and (``certified_``) by a guarantee.

    ``method`` is the quantiser's of both units.
    Added errors are the cascade's error less the HPU's, -1..1; ``bound`` is the upper bound of the
    one on the images that tuning did not see, at 95 %.
    """

    network: str
    weight_bits: int
    act_bits: int
    method: str
    metric: str
    tolerance: float
    tune_images: int
    check_images: int
    m: int
    n: int
    threshold: int
    forwarded_tune: float
    added_error_tune: float
    forwarded_check: float
    added_error_check: float
    bound_check: float
    certified_m: int
    certified_n: int
    certified_threshold: int
    certified_forwarded_tune: float
    certified_forwarded_check: float
    certified_added_error_check: float
    certified_bound_check: float


@dataclass(frozen=True)
class SpeedRow:
    """One figure of time or memory."""

    network: str
    name: str
    value: float
    unit: str
    note: str


Row = AccuracyRow | AblationRow | ForwardedRow | SpeedRow

ROWS: dict[str, type[Row]] = {
    "wordlength.csv": AccuracyRow,
    "ablation.csv": AblationRow,
    "forwarded.csv": ForwardedRow,
    "speed.csv": SpeedRow,
}
"""The tables of a network."""


@dataclass(frozen=True)
class StudyResults:
    """All rows of one network."""

    wordlength: tuple[AccuracyRow, ...]
    ablation: tuple[AblationRow, ...]
    forwarded: tuple[ForwardedRow, ...]
    speed: tuple[SpeedRow, ...]

    @property
    def tables(self) -> dict[str, Sequence[Row]]:
        """The rows by file name."""
        return {
            "wordlength.csv": self.wordlength,
            "ablation.csv": self.ablation,
            "forwarded.csv": self.forwarded,
            "speed.csv": self.speed,
        }


def write_tables(results: StudyResults, folder: Path) -> None:
    """Write every table into the folder."""
    for name, rows in results.tables.items():
        write_rows(folder / name, ROWS[name], rows)


def write_rows(
    path: Path, kind: type[DataclassInstance], rows: Sequence[DataclassInstance]
) -> None:
    """Write a table of dataclasses of one kind."""
    with path.open("w", newline="", encoding="utf-8") as text:
        columns = [field.name for field in fields(kind)]
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: _cell(v) for k, v in asdict(row).items()} for row in rows)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table as texts."""
    with path.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))
