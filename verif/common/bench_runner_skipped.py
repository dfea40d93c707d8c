"""A cocotb module whose only test is skipped, to test the runner."""

from __future__ import annotations

from typing import Any

import cocotb


@cocotb.test(skip=True)
async def is_skipped(dut: Any) -> None:
    """Do not run."""
