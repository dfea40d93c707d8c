"""cocotb tests that must not pass, to test the runner."""

from __future__ import annotations

from typing import Any

import cocotb


@cocotb.test
async def fails(dut: Any) -> None:
    """Fail."""
    raise AssertionError("on purpose")


@cocotb.test
async def hangs(dut: Any) -> None:
    """Never return control to the simulator, which no simulated time-out can end."""
    while True:
        pass
