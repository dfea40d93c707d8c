"""cocotb test that breaks a rule on the inputs; the design's assertion must end the run."""

from __future__ import annotations

import json
import os
from typing import Any

import cocotb
import numpy as np

from toolflow.emission.memory_images import ChannelRecords
from verif.unit.channel_settings.bench_channel_settings import Beat, Bench


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def illegal_record(dut: Any) -> None:
    """One record with the fields of the environment."""
    bench = Bench(dut)
    await bench.testbench.start()
    fields = json.loads(os.environ["RECORD"])
    bias, correction, step = (
        np.full(bench.lanes, fields[key]) for key in ("bias", "correction", "step")
    )
    bench.drive(Beat(ChannelRecords(bias, correction, step), fields["window"], fields["shift"]))
    await bench.testbench.run(10)
