"""cocotb tests of ``weight_planes`` and ``weight_truncate`` against ``fixedpoint.window``."""

from __future__ import annotations

from typing import Any

import cocotb

from verif.unit.weight_planes.plane_bench import CutBench


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def every_width(dut: Any) -> None:
    """All widths of stored words, windows and LPUs, under several stall patterns each."""
    await CutBench(dut).every_width(blocks=3)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in one expected word must fail the comparison."""
    await CutBench(dut).planted_error_is_found()
