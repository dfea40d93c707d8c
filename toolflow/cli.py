"""The command line: the only file that knows argv and the terminal.

Exit codes: 0 done, 1 the goal cannot be reached, 2 bad input.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from toolflow import __version__, workflow
from toolflow.errors import GoalError, UserError
from toolflow.evaluation import Evaluation
from toolflow.fixedpoint import MAX_BITS, MIN_BITS
from toolflow.hardware.devices import device_names, load_device
from toolflow.network.inspection import Inspection, inspect_model
from toolflow.network.metadata import PreprocessingOverride
from toolflow.plan import Plan, read_plan
from toolflow.quantisation.scheme import Precision
from toolflow.report.report import (
    REPORT_FILE,
    UNIT_HEADER,
    sample_advice,
    summary_rows,
    unit_rows,
)
from toolflow.simulation.run import RESULT_FILE, Settings, SimulationResult, simulate_plan

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Plan two-stage (low/high precision) CNN accelerators for FPGAs.",
)
FILE_WIDTH = 160
"""Tables that do not go to a terminal are not folded to one's width."""

out = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
err = Console(stderr=True)

Model = Annotated[Path, typer.Argument(help="Trained classifier, ONNX.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Threads = Annotated[int, typer.Option(min=1, help="Emulator threads.")]
Mean = Annotated[str, typer.Option(help="Mean of (image / scale), one number or one a channel.")]
Std = Annotated[str, typer.Option(help="Standard deviation likewise.")]
Scale = Annotated[float | None, typer.Option(help="Divisor of the images' values.")]
Order = Annotated[str, typer.Option("--channel-order", help="RGB, BGR or grey.")]
CORES = os.cpu_count() or 1


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


@app.command()
def inspect(
    model: Model, mean: Mean = "", std: Std = "", scale: Scale = None, channel_order: Order = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """List every node: mapped, folded, removed or refused, why, and what to do."""
    inspection = inspect_model(model, _override(mean, std, scale, channel_order))
    if as_json:
        _print_json(_inspection_record(inspection))
    else:
        _print_inspection(inspection)
    if inspection.network is None:
        raise typer.Exit(2)


@app.command()
def plan(
    model: Model,
    data: Annotated[str, typer.Option("--eval", help="Labelled images: .npz, folder, CSV.")],
    device: Annotated[str, typer.Option(help="A name of `devices`, or a TOML file.")] = "zc706",
    tolerance: Annotated[
        float, typer.Option(help="Allowed rise of the error over the HPU's, 0..1.")
    ] = 0.01,
    guarantee: Annotated[
        float | None,
        typer.Option(
            help="Confidence, e.g. 0.95, with which the tolerance is to hold on other images too. "
            "Without it, it holds for the images given.",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[str, typer.Option(help="top1 or top5.")] = "top1",
    lpu_bits: Annotated[str, typer.Option(help="auto, N, or W/A: weights/activations.")] = "auto",
    hpu_bits: Annotated[str, typer.Option(help="auto, N, or W/A.")] = "auto",
    folder: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: build/plan/<model>.")
    ] = None,
    mean: Mean = "", std: Std = "", scale: Scale = None, channel_order: Order = "",
    threads: Threads = CORES, as_json: Json = False,
) -> None:  # fmt: skip
    """Plan the two-stage accelerator and write its folder."""
    target = folder or Path("build/plan") / model.stem
    request = workflow.PlanRequest(
        model=model,
        data=data,
        device=device,
        tolerance=tolerance,
        guarantee=guarantee,
        metric=metric,
        lpu_bits=_precision("--lpu-bits", lpu_bits),
        hpu_bits=_precision("--hpu-bits", hpu_bits),
        preprocessing=_override(mean, std, scale, channel_order),
        threads=threads,
        target=target,
    )
    with _progress() as progress:
        made = workflow.make_plan(request, progress)
    if as_json:
        sys.stdout.write(made.to_json())
    else:
        _print_plan(made)
        out.print(f"\nwritten: {escape(str(target))} (see {REPORT_FILE})")
    advice = sample_advice(made)
    if advice:
        err.print(f"note: {advice}", markup=False, highlight=False, soft_wrap=True)
    if made.speedup <= 1:
        err.print("note: the cascade is not faster than the best single stage at this tolerance")


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="A plan's folder.", show_default=False)],
    data: Annotated[str, typer.Option("--data", help="Labelled images, as for --eval.")],
    threads: Threads = CORES,
    as_json: Json = False,
) -> None:
    """Run the bit-exact software cascade on other images."""
    with _progress() as progress:
        result = workflow.evaluate_plan(folder, data, threads, progress)
    if as_json:
        _print_json(result.to_json())
    else:
        _print_evaluation(result)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A plan's folder.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Write the tables and plots of a plan again, and print them."""
    made = read_plan(folder)
    workflow.rewrite_report(made, folder)
    if as_json:
        sys.stdout.write(made.to_json())
    else:
        _print_plan(made)
        out.print(f"\nwritten: {escape(str(folder / REPORT_FILE))}")


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="A plan's folder.", show_default=False)],
    images: Annotated[int, typer.Option(min=1, help="How many images.")] = 8,
    data: Annotated[
        str, typer.Option(help="Images, as for --eval; default: the plan's golden ones.")
    ] = "",
    stalls: Annotated[
        int, typer.Option(min=0, help="Seed of random pauses of the memory; 0: none.")
    ] = 0,
    latency: Annotated[int, typer.Option(min=0, help="Cycles to memory's first beat.")] = 40,
    forward: Annotated[
        int, typer.Option(min=0, help="Forward so many images at least; 0: as planned.")
    ] = 0,
    assertions: Annotated[bool, typer.Option(help="Check the RTL's assertions.")] = True,
    threads: Annotated[int, typer.Option(min=1, help="Simulator threads.")] = 1,
    as_json: Json = False,
) -> None:
    """Run the planned RTL in Verilator and compare every word with the emulator."""
    settings = Settings(
        images=images,
        data=data,
        latency=latency,
        stalls=stalls,
        forward=forward,
        assertions=assertions,
        threads=threads,
    )
    with _progress() as progress:
        result = simulate_plan(folder, settings, progress)
    if as_json:
        _print_json(dataclasses.asdict(result))
    else:
        print_simulation(result)
        out.print(f"\nwritten: {escape(str(folder / RESULT_FILE))}")


@app.command()
def devices(as_json: Json = False) -> None:
    """List the devices that plans can be made for."""
    known = [load_device(name) for name in device_names()]
    if as_json:
        _print_json([dataclasses.asdict(device) for device in known])
        return
    rows = [
        (
            d.name, d.part, d.family, f"{d.lut:,}", f"{d.ff:,}", f"{d.dsp:,} {d.dsp_type}",
            f"{d.bram:,} x {d.bram_kbit} Kbit", f"{d.usable_gb_per_s:g}", f"{d.clock_mhz:g}",
        )
        for d in known
    ]  # fmt: skip
    header = ("name", "part", "family", "LUT", "FF", "DSP", "block RAM", "GB/s", "MHz")
    _print_table(header, rows)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has of what the toolflow and the simulation need."""
    checks = list(_checks())
    if as_json:
        _print_json([{"what": w, "found": f, "ok": ok, "advice": a} for w, f, ok, a in checks])
    else:
        rows = [(w, f, "ok" if ok else "missing", "" if ok else a) for w, f, ok, a in checks]
        _print_table(("what", "found", "", "what to do"), rows)
    if not all(ok for _, _, ok, _ in checks):
        raise typer.Exit(1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    try:
        result = app(args=arguments, standalone_mode=False)
    except UserError as error:
        err.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        return 2
    except GoalError as error:
        err.print(f"cannot be reached: {error}", markup=False, highlight=False, soft_wrap=True)
        return 1
    except typer.Exit as stop:
        return int(stop.exit_code)
    except typer.Abort:
        return 130
    except KeyboardInterrupt:
        err.print("interrupted; nothing was written")
        return 130
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        err.print(f"error: {error.format_message()}", markup=False, soft_wrap=True)
        return 2
    return result if isinstance(result, int) else 0


def _precision(option: str, text: str) -> Precision | None:
    if text == "auto":
        return None
    match = re.fullmatch(r"(\d+)(?:/(\d+))?", text)
    bits = [int(part) for part in match.groups() if part] if match else []
    if not bits or not all(MIN_BITS <= b <= MAX_BITS for b in bits):
        raise UserError(
            f"{option} {text}: give auto, N, or W/A (weight bits / activation bits), "
            f"each {MIN_BITS} to {MAX_BITS}"
        )
    return Precision(bits[0], bits[-1])


def _override(
    mean: str, std: str, scale: float | None, channel_order: str
) -> PreprocessingOverride | None:
    if not (mean or std or scale is not None or channel_order):
        return None
    return PreprocessingOverride(
        scale=scale,
        mean=_numbers("--mean", mean),
        std=_numbers("--std", std),
        channel_order=channel_order or None,
    )


def _numbers(option: str, text: str) -> tuple[float, ...] | None:
    if not text:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"{option} {text}: give numbers separated by commas") from error


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show what goes on: a spinner on a terminal, one line a step elsewhere."""
    if err.is_terminal:
        with err.status("starting") as status:
            yield lambda line: status.update(escape(line))
    else:
        yield lambda line: err.print(f"  {line}", markup=False, highlight=False)


def _print_json(record: Any) -> None:
    sys.stdout.write(json.dumps(record, indent=1) + "\n")


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(*header, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    out.print(table)


def _print_plan(made: Plan) -> None:
    _print_table(("", ""), summary_rows(made))
    out.print()
    _print_table(UNIT_HEADER, unit_rows(made))


def _print_evaluation(result: Evaluation) -> None:
    rows = [
        (
            name,
            f"{100 * accuracy.top1:.2f} %",
            "" if accuracy.top5 is None else f"{100 * accuracy.top5:.2f} %",
        )
        for name, accuracy in (
            ("float network", result.float_network),
            ("HPU alone", result.hpu),
            ("LPU alone", result.lpu),
            ("cascade", result.cascade),
        )
    ]
    _print_table((f"{result.images} images", "top-1", "top-5"), rows)
    out.print(
        f"forwarded to the HPU: {100 * result.forwarded_fraction:.2f} %   "
        f"error against the HPU ({result.metric}): {100 * result.error_increase:+.2f} points, "
        f"at most {100 * result.error_increase_bound:.2f} with {100 * result.confidence:g} % "
        "confidence (if planning has not seen these images)"
    )


def print_simulation(result: SimulationResult) -> None:
    """Print every step's cycles, and what was compared."""
    _print_table(
        ("unit", "step", "op", "images", "words equal", "cycles", "predicted", "", "by"),
        [
            (
                step.unit.upper(), step.name, step.op, f"{step.images}", f"{step.words:,}",
                f"{step.cycles:,}", f"{step.predicted:,}" if step.predicted else "",
                f"{100 * (step.predicted / step.cycles - 1):+.1f} %" if step.predicted else "",
                step.bound,
            )
            for step in result.steps
        ],
    )  # fmt: skip
    out.print(
        f"\n{result.images} images, {result.forwarded} forwarded: {result.words:,} words of every "
        f"step's output and all result records equal the emulator's\n{result.cycles:,} cycles in "
        f"{result.seconds:.1f} s (build {result.build_seconds:.0f} s); "
        f"{sum(result.read_bytes):,} bytes read, {sum(result.written_bytes):,} written"
    )


def _print_inspection(inspection: Inspection) -> None:
    for problem in inspection.problems:
        out.print(f"problem: {problem}", markup=False)
    _print_table(
        ("node", "op", "status", "why", "what to do"),
        [(n.name, n.op, str(n.status), n.reason, n.advice) for n in inspection.nodes],
    )
    if inspection.layers:
        out.print()
        _print_table(
            ("layer", "op", "output", "detail", "MACs", "parameters"),
            [
                (
                    layer.name,
                    layer.op,
                    "x".join(map(str, layer.out_shape)),
                    layer.detail,
                    f"{layer.macs:,}" if layer.macs else "",
                    f"{layer.parameters:,}" if layer.parameters else "",
                )
                for layer in inspection.layers
            ],
        )
    network = inspection.network
    if network is None:
        out.print("\nthis network cannot be planned: see the refused nodes above")
    else:
        out.print(
            f"\n{escape(network.name)}: {network.macs:,} MACs an image, "
            f"{network.parameters:,} parameters, {network.classes} classes"
        )


def _inspection_record(inspection: Inspection) -> dict[str, Any]:
    network = inspection.network
    return {
        "name": inspection.name,
        "mappable": network is not None,
        "problems": list(inspection.problems),
        "nodes": [dataclasses.asdict(node) for node in inspection.nodes],
        "layers": [dataclasses.asdict(layer) for layer in inspection.layers],
        "macs": network.macs if network else None,
        "parameters": network.parameters if network else None,
    }


def _checks() -> Iterator[tuple[str, str, bool, str]]:
    version = platform.python_version()
    yield "Python", version, sys.version_info >= (3, 11), "install Python 3.11"
    for package in ("numpy", "onnx", "onnxruntime", "scikit-learn", "matplotlib"):
        yield _package(package, "make plan sets it up")
    for package in ("cocotb", "verilator", "pyslang", "pyosys"):
        yield _package(package, "make sim sets it up")
    for tool in ("g++", "make", "perl"):
        found = shutil.which(tool) or ""
        yield tool, found, bool(found), f"for make sim: apt-get install {tool}"


def _package(name: str, advice: str) -> tuple[str, str, bool, str]:
    try:
        return name, metadata.version(name), True, advice
    except metadata.PackageNotFoundError:
        return name, "", False, advice
