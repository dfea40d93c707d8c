"""What a host writes into the registers of ``cascade_top`` for a run, and reads after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolflow.emission.steps import STORED_IMAGES
from toolflow.simulation.memory import Layout

if TYPE_CHECKING:
    from toolflow.simulation.run import Cascade

RUN_NUMBER = 1
DONE, ERROR, REFUSED = 1, 2, 4
"""Bits of ``isr`` and ``ier``."""

START, AUTO_RESTART, ABORT, SOFT_RESET = 1, 1 << 7, 1 << 8, 1 << 9
"""Bits of ``control``."""

ENGINE_COUNTERS = (
    "busy", "wait_input", "wait_weights", "wait_output", "idle", "read_beats", "written_beats"
)  # fmt: skip

READ_REGISTERS = (
    "status", "outcome_image", "error_layer", "lpu_error_addr", "hpu_error_addr", "isr",
    "lpu_images", "hpu_images", "forwarded", "cycles_low", "cycles_high", "lpu_busy_low",
    "hpu_busy_low", "ceu_busy_low",
    *(f"{unit}_engine_{name}" for unit in ("lpu", "hpu") for name in ENGINE_COUNTERS),
)  # fmt: skip


def run_registers(
    cascade: Cascade, images: int, layout: Layout, limit: int = 1_000_000
) -> dict[str, int]:
    """Return the values to write, in order; the last write starts the run.

    Args:
        cascade: what runs.
        images: how many, from the first stored one on.
        layout: where everything lies.
        limit: cycles that memory may be silent.
    """
    ceu = cascade.ceu
    values = {
        "gie": 1,
        "ier": DONE | ERROR | REFUSED,
        "count": images,
        "images": layout.base("images"),
        "image_stride": cascade.memory_map.hpu.tensors[STORED_IMAGES].image_stride,
        "results": layout.base("results"),
        "run": RUN_NUMBER,
        "classes": cascade.classes,
        "ranks": ceu.m | ceu.n << 8,
        "threshold": ceu.threshold & 0x3FFFF,
        "exponent": ceu.exp_mult | ceu.exp_shift << 16,
        "mode": 0,
        "chunk": cascade.batch,
        "limit": limit,
        "base_low": 0,
        "base_high": 0,
    }
    for unit in ("lpu", "hpu"):
        record = getattr(cascade.memory_map, unit)
        logits = record.tensors[record.output]
        workspace = layout.base(f"workspace_{unit}_0")
        values |= {
            f"{unit}_batch": cascade.batch,
            f"{unit}_workspace": workspace,
            f"{unit}_bank_bytes": layout.banks[unit],
            f"{unit}_logits": workspace + logits.base,
            f"{unit}_logits_stride": logits.image_stride,
            f"{unit}_descriptors": layout.base(f"descriptors_{unit}"),
            f"{unit}_weights": layout.base("weights"),
            f"{unit}_records": layout.base("channels"),
            f"{unit}_layers": len(record.steps),
        }
    return values | {"control": START}
