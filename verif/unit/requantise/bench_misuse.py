"""cocotb test that breaks a rule on the inputs; the design's assertion must end the run."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import cocotb

from verif.unit.requantise.bench_requantise import Bench


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def illegal_bounds(dut: Any) -> None:
    """One beat with the bounds and zero point of the environment."""
    bench = Bench(dut)
    await bench.testbench.start()
    low, high, zero = json.loads(os.environ["BOUNDS"])
    bench.drive(replace(bench.random_item(), low=low, high=high, zero=zero))
    await bench.testbench.run(50)
