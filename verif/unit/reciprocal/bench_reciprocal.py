"""cocotb tests of ``reciprocal`` against ``fixedpoint.reciprocal_of``."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import cocotb
import pytest

from toolflow.fixedpoint import RECIPROCAL_BITS, reciprocal_of
from verif.common.scoreboard import Scoreboard
from verif.common.streams import StreamDriver, StreamMonitor, Testbench, at_random, never

LATENCY = 12
LARGEST = (1 << RECIPROCAL_BITS) - 1


class Bench:
    """The design between a driver and a monitor that both know the enable as ready."""

    def __init__(self, dut: Any) -> None:
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.board: Scoreboard[dict[str, int]] = Scoreboard("reciprocals")
        self.source = StreamDriver(
            dut.in_valid_i, dut.en_i, {"divisor": dut.in_divisor_i}, self.rng
        )
        self.sink = StreamMonitor(
            dut.out_valid_o,
            dut.en_i,
            {"mantissa": dut.out_mantissa_o, "exponent": dut.out_exponent_o},
            self.board.observe,
        )
        self.testbench = Testbench(dut, [self.source, self.sink])

    def send(self, divisors: Iterable[int], corrupt: int = 0) -> None:
        """Queue divisors and expect their reciprocals, with the bits ``corrupt`` flipped."""
        for divisor in divisors:
            expected = reciprocal_of(divisor)
            exponent = expected.shift - (RECIPROCAL_BITS - 1)
            self.source.send([{"divisor": divisor}])
            self.board.expect([{"mantissa": expected.mantissa ^ corrupt, "exponent": exponent}])

    async def drain(self, count: int) -> None:
        """Run until everything expected has been observed."""
        await self.testbench.run_until(lambda: self.board.done, 20 * count + 100)
        self.board.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_divisor(dut: Any) -> None:
    """All divisors, one a cycle, at the stated latency."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.send(range(1, LARGEST + 1))
    await bench.drain(LARGEST)
    assert bench.board.compared == LARGEST
    first = bench.source.accepted_cycles[0]
    assert bench.source.accepted_cycles == list(range(first, first + LARGEST))
    assert bench.sink.beat_cycles == list(range(first + LATENCY, first + LATENCY + LARGEST))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def stalls_and_gaps(dut: Any) -> None:
    """Divisors with gaps between them, the enable at random: nothing moves without it."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.source.stall = at_random(0.4, bench.rng)
    bench.sink.stall = at_random(0.4, bench.rng)
    bench.send(bench.rng.randint(1, LARGEST) >> bench.rng.randrange(8) or 1 for _ in range(500))
    await bench.drain(500)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset drops what is in the pipeline."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(10):
        bench.sink.stall = never
        bench.send([3] * 20)
        await bench.testbench.run(bench.rng.randint(1, 20))
        await bench.testbench.reset(1)
        bench.board.drop()
        await bench.testbench.run(2 * LATENCY)  # what came out now would be unexpected
        bench.send([5, 7, 9])
        await bench.drain(3)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in one expected mantissa must fail the comparison."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.send([1, 2, 3, 9])
    bench.send([49], corrupt=1 << bench.rng.randrange(RECIPROCAL_BITS))
    with pytest.raises(AssertionError, match="reciprocals: item 4 is"):
        await bench.drain(5)
