"""Markdown tables of a study, made of its CSV files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from toolflow.study.records import read_table

Record = dict[str, str]

_CASCADE = ("forwarded", "added", "95 % bound")


def markdown(folder: Path) -> str:
    """Return the tables of one network."""
    accuracy = read_table(folder / "wordlength.csv")
    whole = next(row for row in accuracy if row["method"] == "float")
    parts = [
        f"## {whole['network']}",
        f"Measured on {whole['images']} images that tuning did not see. Float: top-1 "
        f"{_percent(whole['top1'])} %, top-5 {_percent(whole['top5'])} %.",
    ]
    quantised = [row for row in accuracy if row is not whole]
    for metric in ("top1", "top5"):
        if any(row[metric] for row in quantised):
            parts += [
                f"### {metric} accuracy [%] against wordlength (weights/activations)",
                _pivot(quantised, "method", lambda row, m=metric: _percent(row[m])),  # type: ignore[misc]
            ]
    ablation = read_table(folder / "ablation.csv")
    if ablation:
        parts += [
            "### One ingredient changed: LPU's top1 [%], in brackets the HPU's; divergence [nats]",
            _pivot(ablation, "change", _ablated),
        ]
    forwarded = read_table(folder / "forwarded.csv")
    if forwarded:
        metric = forwarded[0]["metric"]
        parts += [
            f"### Images forwarded [%] and {metric} error added [points] on unseen images",
            _table(
                ["LPU", "tolerance", *_CASCADE, *[f"certified: {name}" for name in _CASCADE]],
                [_cascade(row) for row in forwarded],
            ),
        ]
    speed = read_table(folder / "speed.csv")
    parts += [
        "### Speed and memory",
        _table(
            ["what", "value", "unit", "note"],
            [[r["name"], f"{float(r['value']):.3g}", r["unit"], r["note"]] for r in speed],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _bits(row: Record) -> str:
    return f"{row['weight_bits']}/{row['act_bits']}"


def _percent(text: str) -> str:
    return f"{100 * float(text):.2f}" if text else ""


def _ablated(row: Record) -> str:
    lpu, hpu = _percent(row["lpu_top1"]), _percent(row["hpu_top1"])
    return f"{lpu} ({hpu}); {float(row['lpu_divergence']):.3f}"


def _cascade(row: Record) -> list[str]:
    columns = ("tolerance", "forwarded_check", "added_error_check", "bound_check")
    certified = tuple(f"certified_{name}" for name in columns[1:])
    return [_bits(row), *[_percent(row[name]) for name in (*columns, *certified)]]


def _pivot(rows: list[Record], column: str, cell: Callable[[Record], str]) -> str:
    """Return a table of one line for each value of ``column``, one column a precision."""
    cells = {(row[column], _bits(row)): cell(row) for row in rows}
    across = list(dict.fromkeys(_bits(row) for row in rows))
    down = list(dict.fromkeys(row[column] for row in rows))
    lines = [[name, *[cells.get((name, bits), "") for bits in across]] for name in down]
    return _table([column, *across], lines)


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
