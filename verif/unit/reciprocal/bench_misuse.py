"""cocotb test that breaks a rule on the inputs; the design's assertion must end the run."""

from __future__ import annotations

from typing import Any

import cocotb

from verif.unit.reciprocal.bench_reciprocal import Bench


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def divisor_zero(dut: Any) -> None:
    """The one divisor that has no reciprocal."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.source.send([{"divisor": 0}])
    await bench.testbench.run(5)
