"""cocotb test that breaks a rule on the inputs; the design's assertion must end the run."""

from __future__ import annotations

import os
from typing import Any

import cocotb
import numpy as np

from toolflow.fixedpoint import Format
from verif.unit.lrn_unit.lrn_bench import LrnBench, made_layer, packed_settings

LAYER = (3, 0.01, 0.75, 1.0)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def misuse(dut: Any) -> None:
    """Break the rule that the environment names."""
    source = Format(int(dut.WordBits.value), 0, signed=False)
    layer = made_layer(LAYER, source, Format(8, 0, signed=False))
    bench = LrnBench(dut, layer)
    await bench.testbench.start()
    settings = layer.settings
    rule = os.environ["RULE"]
    if rule == "HalfLegal":
        settings["half"] = bench.max_size // 2 + 1
    elif rule == "SignedWithoutZero":
        settings |= {"is_signed": 1, "zero_in": 3}
    elif rule == "BoundsOrdered":
        settings["low"] = settings["high"] + 1
    elif rule == "ShiftLegal":
        settings["shift"] = 31
    elif rule == "SumInTable":
        settings["floor"] = 0
    dut.settings_i.value = packed_settings(settings)
    if rule == "CountLegal":
        bench.source.send([{"last": 1, "count": bench.lanes + 1, "words": 0}])
    else:
        for beat in bench.pixel(np.full(16, source.high)):
            bench.drive(beat)
    await bench.testbench.run(3)
    if rule == "SettingsHold":
        dut.settings_i.value = packed_settings(settings | {"zero_out": 1})
    elif rule == "TableWrittenIdle":
        dut.table_write_i.value = 1
    await bench.testbench.run(3 * bench.latency)
