"""cocotb test that breaks the CEU's rule on M and N; the design's assertion must end the run."""

from __future__ import annotations

import os
from typing import Any

import cocotb

from toolflow.confidence.decision import CeuParameters
from verif.unit.ceu.bench_ceu import Bench, Image


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def illegal_ranks(dut: Any) -> None:
    """One image with the M and N of the environment."""
    bench = Bench(dut)
    await bench.testbench.start()
    image = Image([1, 2, 3], CeuParameters(1, 1, 0, 1, 0))
    bench.drive(image, m=int(os.environ["M"]), n=int(os.environ["N"]))
    await bench.testbench.run(50)
