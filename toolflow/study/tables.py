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
                [
                    "method",
                    "LPU",
                    "tolerance",
                    *_CASCADE,
                    *[f"certified: {name}" for name in _CASCADE],
                ],
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


def speed_markdown(folder: Path) -> str:
    """Return the tables of ``throughput.csv`` and ``speedup.csv``."""
    throughput = read_table(folder / "throughput.csv")
    speedup = read_table(folder / "speedup.csv")
    places = list(dict.fromkeys((row["network"], row["device"]) for row in speedup))
    bits = list(dict.fromkeys(_bits(row) for row in throughput))
    sustained = {(row["network"], row["device"], _bits(row)): _sustained(row) for row in throughput}
    parts = [
        "### Best single stages: GOp/s sustained over the whole network (of the array's peak)",
        _table(
            ["network", "device", *bits],
            [[*place, *[sustained.get((*place, each), "") for each in bits]] for place in places],
        ),
        "### Cascades beside the best single stage for the same tolerance",
        _table(
            [
                "network", "device", "protocol", "accuracy of", "tolerance", "LPU", "forwarded",
                "error added", "cascade, GOp/s", "single stage", "speed-up",
            ],
            [
                [
                    row["network"], row["device"], row["protocol"], row["accuracy_of"],
                    _percent(row["tolerance"]), row["lpu"], _percent(row["forwarded"]),
                    _percent(row["added_error"]), f"{float(row['gops']):,.0f}", row["baseline"],
                    f"{float(row['speedup']):.2f}x",
                ]
                for row in speedup
            ],
        ),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _sustained(row: Record) -> str:
    gops, peak = float(row["gops"]), float(row["peak_gops"])
    return f"{gops:,.0f} ({gops / peak:.0%})"


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
    return [row["method"], _bits(row), *[_percent(row[name]) for name in (*columns, *certified)]]


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
