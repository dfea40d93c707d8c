"""cocotb test that breaks a rule on the inputs; the design's assertion must end the run."""

from __future__ import annotations

import json
import os
from typing import Any

import cocotb

from toolflow.network.graph import AvgPool
from verif.unit.vector_unit.bench_vector_unit import Bench


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def illegal_beats(dut: Any) -> None:
    """A 2 x 2 average with the settings, words, flags and length of the environment."""
    bench = Bench(dut)
    await bench.testbench.start()
    misuse = json.loads(os.environ["MISUSE"])
    layer = bench.pooling(AvgPool, 2, kernel=2, stride=2, pad=0)
    layer.fields.update(misuse.get("settings", {}))
    bench.set_layer(layer)
    first, *inner, last = misuse.get("flags", [{"first": 1}, {}, {"last": 1}])
    beats = [first, *(inner * misuse.get("repeats", 1)), last]
    plain = {"words": misuse.get("word", 100), "first": 0, "last": 0, "pad": 0, "second": 0}
    bench.source.send(plain | beat for beat in beats)
    await bench.testbench.run(len(beats) + 2 * bench.latency)
