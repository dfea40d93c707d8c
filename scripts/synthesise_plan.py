"""Synthesise a planned accelerator with Yosys; print its area beside the resource model's.

    .venv/bin/python scripts/synthesise_plan.py DIR [--json FILE]

``cascade_top`` with the plan's parameters, module by module (``synth_xilinx`` without flattening:
equal modules are mapped once, so that arrays of thousands of MACCs take minutes).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from synthesis import Area, Hierarchy, synthesise_hierarchy

from toolflow.emission.top_parameters import top_parameters
from toolflow.hardware.devices import load_device
from toolflow.hardware.resources import Resources, shared_resources
from toolflow.plan import EngineRecord
from toolflow.planned import load_units

TOP = "cascade_top"


def parts(hierarchy: Hierarchy) -> dict[str, Area]:
    """Return the areas of both engines and of what is around them."""
    found = {unit: hierarchy.instance(f"{TOP}.u_core.u_{unit}") for unit in ("lpu", "hpu")}
    whole = hierarchy.area(TOP)
    return {**found, "shared": whole - found["lpu"] - found["hpu"], "whole": whole}


def predicted(folder: Path) -> dict[str, Resources]:
    """Return what the resource model says of the same parts."""
    plan = load_units(folder).plan

    def engine(record: EngineRecord) -> Resources:
        return Resources(record.lut, record.ff, record.dsp, record.bram)

    found = {"lpu": engine(plan.design.lpu), "hpu": engine(plan.design.hpu)}
    found["shared"] = shared_resources(load_device(plan.device.name))
    return found | {"whole": found["lpu"] + found["hpu"] + found["shared"]}


def rows(measured: Mapping[str, Area], model: Mapping[str, Resources]) -> list[dict[str, object]]:
    """Return the table: a part's measured area, the model's in the same units."""
    return [
        {"part": part, "measured": asdict(area), "model": asdict(model[part])}
        for part, area in measured.items()
    ]


def main() -> None:
    """Synthesise the plan that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    units = load_units(arguments.folder)
    parameters = top_parameters(units.plan, units.lpu, units.hpu)
    begin = time.monotonic()
    measured = parts(synthesise_hierarchy(TOP, parameters, "xc7"))
    model = predicted(arguments.folder)
    print(f"{'':8}{'LUT':>18}{'FF':>18}{'DSP':>14}{'RAM36':>14}   measured / model")
    for part, area in measured.items():
        want = model[part]
        print(
            f"{part:8}{area.lut:>9,} /{want.lut:>7,}{area.ff:>9,} /{want.ff:>7,}"
            f"{area.dsp:>6} /{want.dsp:>6}{area.bram18 / 2:>6} /{want.bram:>6}"
        )
    print(f"{time.monotonic() - begin:.0f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows(measured, model), indent=1) + "\n")


if __name__ == "__main__":
    main()
