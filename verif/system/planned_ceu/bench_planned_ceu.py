"""The LPU's real logits of a plan's golden images through the CEU: every record equal."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import cocotb
import numpy as np

from toolflow.emission.files import GOLDEN_FILE
from verif.common.packing import unpack
from verif.common.scoreboard import Scoreboard
from verif.common.streams import StreamDriver, StreamMonitor, Testbench, stall_patterns

TOP_CLASSES = 5


@cocotb.test(timeout_time=1, timeout_unit="sec")
async def golden_decisions(dut: Any) -> None:
    golden = np.load(Path(os.environ["PLAN_FOLDER"]) / GOLDEN_FILE)
    logits = golden["lpu/logits"].astype(np.int64)
    classes = logits.shape[1]
    class_bits = max(1, (classes - 1).bit_length())
    board: Scoreboard[tuple[int, ...]] = Scoreboard("records")
    rng = random.Random(int(cocotb.RANDOM_SEED))
    patterns = stall_patterns(rng)
    driver = StreamDriver(
        dut.in_valid_i,
        dut.in_ready_o,
        {"logit": dut.in_logit_i, "last": dut.in_last_i},
        rng,
        patterns[rng.choice(sorted(patterns))],
    )

    def observe(beat: dict[str, int]) -> None:
        top = unpack([beat["classes"]], class_bits, TOP_CLASSES, signed=False)[0]
        margin_bits = len(dut.out_margin_o)
        margin = beat["margin"]
        margin -= (margin >> (margin_bits - 1)) << margin_bits
        board.observe((*top.tolist(), margin, beat["total"], beat["confident"], beat["overrun"]))

    monitor = StreamMonitor(
        dut.out_valid_o,
        dut.out_ready_i,
        {
            "classes": dut.out_class_o,
            "margin": dut.out_margin_o,
            "total": dut.out_total_o,
            "confident": dut.out_confident_o,
            "overrun": dut.out_overrun_o,
        },
        observe,
    )
    monitor.stall = patterns[rng.choice(sorted(patterns))]
    testbench = Testbench(dut, [driver, monitor])
    await testbench.start()
    planted = int(os.environ.get("PLANTED_ERROR", "0"))
    for image, row in enumerate(logits):
        driver.send(
            {"logit": int(q) & 0xFFFF, "last": int(k == classes - 1)} for k, q in enumerate(row)
        )
        top = np.zeros(TOP_CLASSES, np.int64)
        found = golden["top"][image]
        top[: len(found)] = found
        board.expect(
            [
                (
                    *top.tolist(),
                    int(golden["margin"][image]) + planted,
                    int(golden["total"][image]),
                    int(golden["confident"][image]),
                    0,
                )
            ]
        )
    await testbench.run_until(lambda: board.done and driver.idle, 100 * classes * len(logits))
    board.finish()
    assert board.compared == len(logits) > 1
