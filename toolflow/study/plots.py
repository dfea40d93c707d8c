"""The figures of a study, as PNG files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from toolflow.report.plots import DPI
from toolflow.study.records import AblationRow, AccuracyRow, ForwardedRow, StudyResults
from toolflow.study.speedup import SpeedupRow, ThroughputRow

_LINES = (
    ("paper", "C0", "-", "o"),
    ("ours", "C1", "-", "o"),
    ("paper_hpu", "C0", ":", ""),
    ("ours_hpu", "C1", ":", ""),
)


def draw_figures(results: StudyResults, folder: Path) -> None:
    """Draw all figures into the folder; none of a table that is empty."""
    drawings: tuple[tuple[str, bool, int, Callable[[StudyResults, list[Axes]], None]], ...] = (
        ("wordlength.png", bool(results.wordlength), 2, _wordlength),
        ("ablation.png", bool(results.ablation), 1, _ablation),
        ("forwarded.png", bool(results.forwarded), 2, _forwarded),
    )
    with mpl.rc_context({"axes.grid": True, "grid.alpha": 0.3, "font.size": 9}):
        for name, present, panels, draw in drawings:
            if present:
                figure = Figure(figsize=(9.6, 4.0), layout="constrained")
                FigureCanvasAgg(figure)
                draw(results, [figure.add_subplot(1, panels, k + 1) for k in range(panels)])
                figure.savefig(folder / name, dpi=DPI, metadata={"Software": None})


def draw_speed(
    throughput: Sequence[ThroughputRow], speedup: Sequence[SpeedupRow], folder: Path
) -> None:
    """Draw throughput against wordlength and speed-up against tolerance, a figure a network."""
    devices = list(dict.fromkeys(row.device for row in throughput))
    with mpl.rc_context({"axes.grid": True, "grid.alpha": 0.3, "font.size": 9}):
        for network in dict.fromkeys(row.network for row in throughput):
            figure = Figure(figsize=(12.0, 3.8), layout="constrained")
            FigureCanvasAgg(figure)
            first, *others = figure.subplots(1, 1 + len(devices))
            _throughput([row for row in throughput if row.network == network], first)
            for device, axes in zip(devices, others, strict=True):
                rows = [row for row in speedup if (row.network, row.device) == (network, device)]
                _speedup(rows, axes)
            figure.savefig(folder / f"{network}.png", dpi=DPI, metadata={"Software": None})


def _throughput(rows: Sequence[ThroughputRow], axes: Axes) -> None:
    for k, device in enumerate(dict.fromkeys(row.device for row in rows)):
        line = [row for row in rows if row.device == device]
        bits = [row.weight_bits for row in line]
        axes.plot(bits, [row.gops for row in line], f"C{k}o-", ms=4, label=device)
        axes.plot(bits, [row.peak_gops for row in line], f"C{k}:", label=f"{device}, peak")
    axes.set(xlabel="wordlength", ylabel="GOp/s", title=f"{rows[0].network}: single stages")
    axes.legend(fontsize=8)


def _speedup(rows: Sequence[SpeedupRow], axes: Axes) -> None:
    lines: dict[str, list[SpeedupRow]] = {}
    for row in rows:
        stated = f"stated, ideal CEU, to {row.baseline}"
        lines.setdefault(stated if row.protocol == "stated" else row.protocol, []).append(row)
    for label, line in lines.items():
        style = ":" if line[0].protocol == "stated" else "-"
        tolerances = [100 * row.tolerance for row in line]
        axes.plot(
            tolerances, [row.speedup for row in line], ls=style, marker="o", ms=4, label=label
        )
    axes.axhline(1, color="k", lw=1, ls="--")
    axes.set(
        xlabel="allowed rise of the error [points]",
        ylabel="speed-up over a single stage",
        title=f"{rows[0].network} on {rows[0].device}",
    )
    axes.legend(fontsize=7)


def _bits(row: AccuracyRow | AblationRow | ForwardedRow) -> str:
    return f"{row.weight_bits}/{row.act_bits}"


def _wordlength(results: StudyResults, panels: list[Axes]) -> None:
    rows = results.wordlength
    order = list(dict.fromkeys(_bits(row) for row in rows if row.method in ("paper", "ours")))
    for metric, axes in zip(("top1", "top5"), panels, strict=True):
        for method, colour, style, marker in _LINES:
            points = [
                (order.index(_bits(row)), 100 * getattr(row, metric))
                for row in rows
                if row.method == method and getattr(row, metric) is not None
            ]
            axes.plot(
                [x for x, _ in points], [y for _, y in points],
                color=colour, ls=style, marker=marker, ms=4, label=method,
            )  # fmt: skip
        for row in rows:
            if row.method == "float" and getattr(row, metric) is not None:
                axes.axhline(100 * getattr(row, metric), color="k", lw=1, ls="--", label="float")
        axes.set_xticks(range(len(order)), order, rotation=45)
        axes.set(xlabel="weight/activation bits", ylabel=f"{metric} accuracy [%]")
    panels[0].set_title(f"{rows[0].network}, {rows[0].images} unseen images")
    panels[0].legend(fontsize=8)


def _ablation(results: StudyResults, panels: list[Axes]) -> None:
    (axes,) = panels
    changes = list(dict.fromkeys(row.change for row in results.ablation))
    precisions = list(dict.fromkeys(_bits(row) for row in results.ablation))
    width = 0.8 / len(precisions)
    for k, bits in enumerate(precisions):
        rows = [row for row in results.ablation if _bits(row) == bits]
        places = [
            changes.index(row.change) + (k - (len(precisions) - 1) / 2) * width for row in rows
        ]
        axes.bar(places, [100 * row.lpu_top1 for row in rows], width, label=bits)
    axes.set_xticks(range(len(changes)), changes, rotation=30, ha="right")
    axes.set(
        ylabel="LPU's top1 accuracy [%]", title=f"{results.ablation[0].network}: ours, changed"
    )
    axes.legend(title="bits", fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


def _forwarded(results: StudyResults, panels: list[Axes]) -> None:
    rows = [row for row in results.forwarded if row.method == "ours"]
    for k, bits in enumerate(dict.fromkeys(_bits(row) for row in rows)):
        line = [row for row in rows if _bits(row) == bits]
        percent = [100 * row.tolerance for row in line]
        for axes, estimated, certified in (
            (panels[0], "forwarded_check", "certified_forwarded_check"),
            (panels[1], "added_error_check", "certified_added_error_check"),
        ):
            for name, style, label in ((estimated, "-", bits), (certified, ":", None)):
                values = [100 * getattr(row, name) for row in line]
                axes.plot(percent, values, color=f"C{k}", ls=style, marker="o", ms=3, label=label)
    tolerances = sorted({100 * row.tolerance for row in rows})
    panels[1].plot(tolerances, tolerances, color="k", lw=1, ls="--", label="allowed")
    for axes, what in zip(panels, ("images forwarded [%]", "error added [points]"), strict=True):
        axes.set(xlabel=f"allowed rise of the {rows[0].metric} error [points]", ylabel=what)
    panels[0].set_title(f"{rows[0].network}, unseen images (dotted: certified at 95 %)")
    panels[0].set_ylim(0, 105)
    panels[0].legend(title="LPU's bits", fontsize=8, ncols=2)
    panels[1].legend(fontsize=8, ncols=2)
