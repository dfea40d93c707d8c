"""The plots of a plan, as PNG files."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from toolflow.plan import Plan

OPERATIONS_PER_MAC = 2
DPI = 120


def write_plots(plan: Plan, folder: Path) -> tuple[str, ...]:
    """Draw all plots into ``folder`` and return the files' names."""
    drawn = []
    with mpl.rc_context({"axes.grid": True, "grid.alpha": 0.3, "font.size": 9}):
        for name, draw in (
            ("accuracy.png", _accuracy),
            ("throughput.png", _throughput),
            ("roofline.png", _roofline),
        ):
            figure = Figure(figsize=(6.4, 4.0), layout="constrained")
            FigureCanvasAgg(figure)
            draw(plan, figure.add_subplot())
            figure.savefig(folder / name, dpi=DPI, metadata={"Software": None})
            drawn.append(name)
    return tuple(drawn)


def _accuracy(plan: Plan, axes: Axes) -> None:
    screened = [c for c in plan.candidates if c.role == "lpu"]
    for act_bits in sorted({c.act_bits for c in screened}):
        row = {c.weight_bits: 100 * c.accuracy for c in screened if c.act_bits == act_bits}
        bits = sorted(row)
        axes.plot(bits, [row[b] for b in bits], marker="o", ms=3, label=f"{act_bits}")
    axes.axhline(100 * plan.evaluation.float_accuracy, color="k", lw=1, ls=":")
    axes.axhline(100 * plan.hpu.accuracy, color="k", lw=1, ls="--")
    chosen = [plan.lpu.weight_bits], [100 * plan.lpu.accuracy]
    axes.plot(*chosen, marker="*", ms=14, color="k", ls="", label="LPU chosen")
    axes.set(
        xlabel="weight bits, cut from the HPU's words",
        ylabel=f"{plan.metric} accuracy [%]",
        title="Accuracy against wordlength (dotted: float, dashed: HPU)",
    )
    axes.legend(title="activation bits", ncols=2, fontsize=8)


def _throughput(plan: Plan, axes: Axes) -> None:
    percent = [100 * point.tolerance for point in plan.tolerances]
    axes.plot(
        percent, [p.cascade_images_per_s for p in plan.tolerances], marker="o", label="cascade"
    )
    axes.plot(
        percent,
        [p.baseline_images_per_s for p in plan.tolerances],
        marker="s",
        label="best single stage",
    )
    for point in plan.tolerances:
        axes.annotate(
            point.baseline_bits,
            (100 * point.tolerance, point.baseline_images_per_s),
            textcoords="offset points",
            xytext=(0, -12),
            ha="center",
            fontsize=7,
        )
    axes.axvline(100 * plan.tolerance, color="k", lw=1, ls=":")
    axes.set(
        xlabel=f"allowed rise of the {plan.metric} error [points]",
        ylabel="images/s (predicted)",
        title=f"{plan.network.name} on {plan.device.name}",
        ylim=(0, None),
    )
    axes.legend()


def _roofline(plan: Plan, axes: Axes) -> None:
    bandwidth = plan.device.bandwidth_gb_per_s
    intensities = [point.intensity for point in plan.roofline]
    low, high = min(intensities) / 2, max(intensities) * 2
    for unit, engine, colour in (
        ("LPU", plan.design.lpu, "C0"),
        ("HPU", plan.design.hpu, "C1"),
    ):
        peak = OPERATIONS_PER_MAC * engine.t_p * engine.t_c * plan.design.clock_mhz / 1e3
        knee = peak / (OPERATIONS_PER_MAC * bandwidth)
        xs = sorted({low, min(max(knee, low), high), high})
        axes.plot(
            xs, [min(peak, OPERATIONS_PER_MAC * bandwidth * x) for x in xs], color=colour, lw=1
        )
        points = [point for point in plan.roofline if point.unit == unit]
        axes.plot(
            [p.intensity for p in points],
            [p.gops for p in points],
            marker="o",
            ls="",
            ms=4,
            color=colour,
            label=f"{unit} layers",
        )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="multiply-accumulates per byte of memory traffic",
        ylabel="GOp/s",
        title=f"Roofline on {plan.device.name} ({bandwidth:g} GB/s)",
    )
    axes.legend()
