"""``report.md``: what was planned, why, and what to expect, for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import ceil
from pathlib import Path

from toolflow.plan import BaselineRecord, EngineRecord, Plan, UnitRecord
from toolflow.report.plots import write_plots

REPORT_FILE = "report.md"


def write_report(plan: Plan, folder: Path) -> None:
    """Write the report and its plots into ``folder``."""
    plots = write_plots(plan, folder)
    (folder / REPORT_FILE).write_text(render_report(plan, plots), encoding="utf-8")


def summary_rows(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Return the plan in a dozen (what, value) pairs."""
    ceu, baseline = plan.ceu, plan.baseline
    return (
        ("network", f"{plan.network.name}, {plan.network.macs / 1e6:.3g} M MACs an image"),
        ("device", f"{plan.device.name} at {plan.design.clock_mhz:g} MHz"),
        ("tolerance", _tolerance(plan)),
        (
            "evaluated on",
            f"{plan.evaluation.images} images, float {_pc(plan.evaluation.float_accuracy)}",
        ),
        ("HPU", f"{_bits(plan.hpu)} bit (W/A), {_pc(plan.hpu.accuracy)} alone"),
        ("LPU", f"{_bits(plan.lpu)} bit (W/A), {_pc(plan.lpu.accuracy)} alone"),
        ("CEU", f"gBvSB<{ceu.m},{ceu.n}>, threshold {ceu.threshold:.4f}"),
        ("forwarded to the HPU", _pc(plan.forwarded_fraction)),
        ("cascade accuracy", _pc(plan.cascade_accuracy)),
        ("added error over the HPU", _added_error(plan)),
        ("cascade", f"{plan.images_per_s:,.0f} images/s (predicted)"),
        (
            "best single stage",
            f"{baseline.images_per_s:,.0f} images/s at {_bits(baseline)} bit, "
            f"{_pc(baseline.accuracy)}, added error {_points(baseline.error_increase)}, "
            f"at most {_points(baseline.error_increase_bound)}",
        ),
        ("speed-up", f"{plan.speedup:.2f}x"),
    )


def sample_advice(plan: Plan) -> str:
    """Return what more labelled images would do for the tolerance; empty where it needs none."""
    error, have = plan.added_error, plan.evaluation.images
    confidence = _confidence(error.confidence)
    if (
        error.error_increase_bound <= plan.tolerance
        and plan.forwarded_fraction < 1
        and not error.samples_needed
    ):
        return ""
    if error.samples_least is None:
        return (
            f"No number of labelled images shows an added error of {_points(plan.tolerance)} or "
            f"less with {confidence} confidence; allow a larger --tolerance."
        )
    parts = []
    if have < error.samples_least:
        effect = (
            ""
            if plan.guarantee is None
            else ", so every image is forwarded and the LPU is idle work"
        )
        parts.append(
            f"{have} labelled images are too few{effect}: at least {error.samples_least:,} are "
            f"needed to show an added error of {_points(plan.tolerance)} or less with {confidence} "
            "confidence, and those only if no answer is lost."
        )
    if error.samples_needed:
        shown = (
            "would show it at the rates of lost and gained answers seen here"
            if plan.guarantee is None
            else "would certify a cascade that gives up half of the tolerance, and so forwards less"
        )
        parts.append(f"About {error.samples_needed:,} labelled images {shown}.")
    elif plan.guarantee is None and error.error_increase_bound > plan.tolerance:
        parts.append(
            "At the rates of lost and gained answers seen here no number of images would show it: "
            "the threshold uses the tolerance up. Ask for --guarantee, which chooses another."
        )
    return " ".join(parts)


UNIT_HEADER = ("", "LPU", "HPU", "single stage")


def unit_rows(plan: Plan) -> tuple[tuple[str, ...], ...]:
    """Return a row a property: tiles, array, resources, cycles; a column a unit."""
    units = (plan.design.lpu, plan.design.hpu, plan.baseline.design)
    bands = {"LUT": plan.device.lut_band, "FF": plan.device.ff_band}
    return tuple(
        (f"{name}{_band(bands.get(name))}", *(text(engine) for engine in units))
        for name, text in _UNIT_PROPERTIES
    )


def _band(share: float | None) -> str:
    """Return how far a prediction may be off, in whole percent upwards."""
    return "" if share is None else f" (± {ceil(100 * share)} %)"


_UNIT_PROPERTIES: tuple[tuple[str, Callable[[EngineRecord], str]], ...] = (
    ("engines", lambda e: str(e.engines)),
    ("T_R x T_P x T_C of an engine", lambda e: f"{e.t_r} x {e.t_p} x {e.t_c}"),
    ("MACCs of an engine", lambda e: f"{e.t_p * e.t_c:,}"),
    ("columns in DSP blocks", lambda e: f"{e.dsp_pes} of {e.t_c}"),
    ("columns that share a DSP block", lambda e: str(e.pack_columns) if e.dsp_pes else "-"),
    ("DSP", lambda e: f"{e.dsp:,}"),
    ("LUT", lambda e: f"{e.lut:,}"),
    ("FF", lambda e: f"{e.ff:,}"),
    ("block RAM", lambda e: f"{e.bram:,}"),
    ("cycles an image of an engine", lambda e: f"{e.cycles_per_image:,.0f}"),
    ("images/s alone", lambda e: f"{e.images_per_s:,.0f}"),
)


def _areas(plan: Plan) -> str:
    """Return what is known of the error of areas."""
    if plan.device.lut_band is None:
        return " of another FPGA family (of this one none was synthesised)"
    return ", the band what the worst of them is off (`scripts/measure_engines.py`)"


def render_report(plan: Plan, plots: Sequence[str]) -> str:
    """Return the report as Markdown."""
    worth = (
        ""
        if plan.speedup > 1
        else "\n**The cascade is not faster than the best single stage here.** At this tolerance "
        "use the single-stage precision named above, or allow a larger tolerance.\n"
    )
    return f"""# CascadeCNN plan: {plan.network.name} on {plan.device.name}

{table(("", ""), summary_rows(plan))}
{worth}
## How far the tolerance holds

{_holding(plan)}

Rates and resources are predictions. Cycles are those of the model that tests hold to the RTL
(`simulate` measures them); areas are formulas fitted to synthesised engines{_areas(plan)};
accuracies are bit-exact on the evaluation images. One of
these images is {_pc(1 / plan.evaluation.images)}; `evaluate` on images that tuning did not see says
what to expect.

## Hardware

{table(UNIT_HEADER, unit_rows(plan))}

Batch {plan.design.batch}, mapping: {plan.design.mapping}. Accumulators:
LPU {plan.lpu.accumulator_bits} bits, HPU {plan.hpu.accumulator_bits} bits, proven from the weights
to be enough for any image (largest possible sums {plan.lpu.accumulator_limit:,} and
{plan.hpu.accumulator_limit:,}).

![roofline](roofline.png)

## Tolerances

{
        table(
            (
                "tolerance",
                "forwarded",
                "cascade images/s",
                "single stage",
                "its images/s",
                "speed-up",
            ),
            _tolerance_rows(plan),
        )
    }

![throughput](throughput.png)

## Precisions considered

{
        table(
            ("as", "W/A", "accuracy", "forwarded", "images/s", "on images"),
            _candidate_rows(plan),
        )
    }

![accuracy](accuracy.png)

## Layers

{
        table(
            (
                "layer",
                "op",
                "f weight HPU",
                "f weight LPU",
                "window",
                "f act HPU",
                "f act LPU",
                "signed",
                "LPU cycles",
                "bound by",
                "HPU cycles",
                "bound by",
            ),
            _layer_rows(plan),
        )
    }
{_normalisations(plan)}
## What cutting one thing alone to the LPU's precision does

{table(("what", "kind", "bits", "f", "accuracy", "divergence [nats]"), _statistic_rows(plan))}

## Files

| file | what |
|---|---|
| `plan.json` | every decision, for programs |
| `cascade_config_pkg.sv` | parameters of the hardware |
| `weights.bin`, `channels.bin` | the one copy of the parameters, the HPU's |
| `descriptors_lpu.bin`, `descriptors_hpu.bin` | a 256-byte descriptor a layer |
| `memory_map.json` | where each unit's images and activations lie |
| `exp_table.mem` | the CEU's exponential table |
| `golden.npz` | images, logits, decisions and tensors that the RTL must reproduce |
| `model.onnx` | the network that was planned |

{"Plots: " + ", ".join(f"`{name}`" for name in plots) + "."}
"""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _tolerance_rows(plan: Plan) -> Iterable[tuple[str, ...]]:
    for point in plan.tolerances:
        yield (
            f"{100 * point.tolerance:g} %",
            _pc(point.forwarded_fraction),
            f"{point.cascade_images_per_s:,.0f}",
            point.baseline_bits,
            f"{point.baseline_images_per_s:,.0f}",
            f"{point.cascade_images_per_s / point.baseline_images_per_s:.2f}x",
        )


def _candidate_rows(plan: Plan) -> Iterable[tuple[str, ...]]:
    for row in sorted(plan.candidates, key=lambda c: (c.role, c.weight_bits, c.act_bits)):
        yield (
            {"lpu": "LPU", "single": "single stage"}[row.role],
            f"{row.weight_bits}/{row.act_bits}",
            _pc(row.accuracy),
            _pc(row.forwarded_fraction) if row.role == "lpu" else "",
            f"{row.images_per_s:,.0f}",
            str(row.images),
        )


def _layer_rows(plan: Plan) -> Iterable[tuple[str, ...]]:
    lpu = {layer.name: layer for layer in plan.design.lpu.layers}
    hpu = {layer.name: layer for layer in plan.design.hpu.layers}
    for layer in plan.layers:
        times = []
        for unit in (lpu, hpu):
            time = unit.get(layer.name)
            times += [f"{time.cycles:,}", time.bound] if time else ["", ""]
        yield (
            layer.name,
            layer.op,
            _text(layer.f_weight_hpu),
            _text(layer.f_weight_lpu),
            _text(layer.window_shift),
            str(layer.f_act_hpu),
            str(layer.f_act_lpu),
            "yes" if layer.act_signed else "",
            *times,
        )


def _normalisations(plan: Plan) -> str:
    """Return the paragraph on the tables of normalising layers; empty where there are none."""
    bounds = [
        f"{100 * layer.factor_error_hpu:.3f} % / {100 * layer.factor_error_lpu:.3f} % "
        f"(`{layer.name}`)"
        for layer in plan.layers
        if layer.factor_error_hpu is not None and layer.factor_error_lpu is not None
    ]
    if not bounds:
        return ""
    return (
        "\nThe factors of local response normalisation come from tables; the HPU's / LPU's are off "
        f"from the exact ones of the same words by at most {', '.join(bounds)} of their value.\n"
    )


def _statistic_rows(plan: Plan) -> Iterable[tuple[str, ...]]:
    for item in sorted(plan.statistics, key=lambda s: -s.divergence):
        yield (
            item.name,
            item.kind,
            str(item.bits),
            str(item.frac),
            _pc(item.accuracy),
            f"{item.divergence:.4f}",
        )


def _tolerance(plan: Plan) -> str:
    held = (
        "estimated" if plan.guarantee is None else f"with {_confidence(plan.guarantee)} confidence"
    )
    return f"{100 * plan.tolerance:g} points of {plan.metric} error, {held}"


def _added_error(plan: Plan) -> str:
    error = plan.added_error
    caveat = "" if error.holds else " (not corrected for tuning)"
    return (
        f"{_points(error.error_increase)} on {error.images} images; at most "
        f"{_points(error.error_increase_bound)} with {_confidence(error.confidence)} "
        f"confidence{caveat}"
    )


def _holding(plan: Plan) -> str:
    """Return the paragraph on the added error, its bound and the samples it needs."""
    error = plan.added_error
    seen = (
        f"On {error.images} images the cascade loses {error.losses} answers that the HPU has and "
        f"gains {error.gains} that it has not: {_points(error.error_increase)} of added error."
    )
    if plan.guarantee is None:
        meaning = (
            f"The upper bound with {_confidence(error.confidence)} confidence is "
            f"{_points(error.error_increase_bound)} for a threshold chosen elsewhere; this one was "
            "tuned on the same images, and the bound is not corrected for that. "
            "`plan --guarantee 0.95` chooses a threshold whose bound meets the tolerance and holds."
        )
    else:
        meaning = (
            f"These images chose nothing but the threshold, by a sequence of tests whose outcome "
            f"holds: with {_confidence(error.confidence)} confidence the added error on images of "
            f"the same kind is at most {_points(error.error_increase_bound)}. The other "
            f"{plan.evaluation.images - error.images} images chose all the rest. The single stage "
            "was tested on the same images at the same confidence; each tolerance below is held by "
            "itself, not all at once."
        )
    return "\n".join(line for line in (seen, meaning, sample_advice(plan)) if line)


def _bits(record: UnitRecord | BaselineRecord) -> str:
    return f"{record.weight_bits}/{record.act_bits}"


def _pc(value: float) -> str:
    return f"{100 * value:.2f} %"


def _points(value: float) -> str:
    return f"{100 * value:.2f} points"


def _confidence(value: float) -> str:
    return f"{100 * value:g} %"


def _text(value: int | None) -> str:
    return "" if value is None else str(value)
