"""Synthesise a planned accelerator's engines with Yosys; print their areas beside the model's.

    .venv/bin/python scripts/synthesise_plan.py DIR [--parts lpu hpu whole] [--json FILE]

Each part is flattened and mapped for 7 series by itself; ``whole`` is ``cascade_top``. An engine of
a thousand MACCs takes minutes, one of six thousand an hour and tens of GB.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from synthesis import Area, synthesise

from toolflow.emission.top_parameters import top_parameters
from toolflow.hardware.devices import load_device
from toolflow.hardware.resources import Resources, shared_resources
from toolflow.plan import EngineRecord, Plan
from toolflow.planned import load_units

ENGINE, WHOLE = "engine_unit", "cascade_top"
PARTS = ("lpu", "hpu", "whole")
OF_BOTH = (
    "VectorBits", "VectorLanes", "LeakySupport", "LrnSize", "PoolWidth", "DspBits", "DataBits",
)  # fmt: skip


def engine_parameters(parameters: Mapping[str, int], unit: str) -> dict[str, int]:
    """Return a unit's parameters of ``engine_unit``, as ``cascade_core.sv`` sets them."""
    prefix = unit.capitalize()
    own = {
        name.removeprefix(prefix): value
        for name, value in parameters.items()
        if name.startswith(prefix)
    }
    return {
        **own,
        **{name: parameters[name] for name in OF_BOTH},
        "StoredBits": parameters["HpuWeightBits"],
        "MaxImages": parameters["MaxBatch"],
        "Lpu": int(unit == "lpu"),
    }


def measured(part: str, parameters: Mapping[str, int]) -> Area:
    """Return what synthesis counts of a part."""
    if part == "whole":
        return synthesise(WHOLE, parameters, "xc7")
    return synthesise(ENGINE, engine_parameters(parameters, part), "xc7")


def predicted(part: str, plan: Plan) -> Resources:
    """Return what the resource model says of a part."""

    def engine(record: EngineRecord) -> Resources:
        return Resources(record.lut, record.ff, record.dsp, record.bram)

    found = {"lpu": engine(plan.design.lpu), "hpu": engine(plan.design.hpu)}
    if part in found:
        return found[part]
    return found["lpu"] + found["hpu"] + shared_resources(load_device(plan.device.name))


def main() -> None:
    """Synthesise the plan that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:2])
    parser.add_argument("--json", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    units = load_units(arguments.folder)
    parameters = top_parameters(units.plan, units.lpu, units.hpu)
    table = []
    print(f"{'':8}{'LUT':>18}{'FF':>18}{'DSP':>14}{'RAM36':>14}   measured / model")
    for part in arguments.parts:
        begin = time.monotonic()
        area, model = measured(part, parameters), predicted(part, units.plan)
        print(
            f"{part:8}{area.lut:>9,} /{model.lut:>7,}{area.ff:>9,} /{model.ff:>7,}"
            f"{area.dsp:>6} /{model.dsp:>6}{area.bram18 / 2:>6} /{model.bram:>6}"
            f"   {time.monotonic() - begin:.0f} s",
            flush=True,
        )
        table.append({"part": part, "measured": asdict(area), "model": asdict(model)})
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
