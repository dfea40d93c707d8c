"""cocotb test that breaks a rule on the inputs; the design's assertion must end the run."""

from __future__ import annotations

import json
import os
from typing import Any

import cocotb

from verif.unit.output_writer.bench_output_writer import Bench


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def illegal_settings(dut: Any) -> None:
    """A job with the settings of the environment, and others once it is under way."""
    bench = Bench(dut)
    await bench.testbench.start()
    misuse = json.loads(os.environ["MISUSE"])
    layer = bench.plain(misuse.get("vector", False), 3, 4, 64)
    bench.set_layer(layer)
    for name, value in misuse.get("settings", {}).items():
        getattr(dut, f"{name}_i").value = value
    ((job, segments),) = layer.jobs(bench.sizes)
    bench.jobs.send([job | misuse.get("job", {})])
    for segment in segments:
        bench.drive_words(layer.vector, segment)
    await bench.testbench.run(5)
    for name, value in misuse.get("later", {}).items():
        getattr(dut, f"{name}_i").value = value
    await bench.testbench.run(100)
