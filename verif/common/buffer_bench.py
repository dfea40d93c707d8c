"""Bench of a block that hands on words unchanged and in order: a FIFO, a skid buffer."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import pytest

from verif.common.scoreboard import Scoreboard
from verif.common.streams import (
    StreamDriver,
    StreamMonitor,
    Testbench,
    stall_patterns,
    width_of,
)


class BufferBench:
    """The design with an agent on either side and a scoreboard between them."""

    def __init__(self, dut: Any) -> None:
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.width = width_of(dut.in_data_i)
        self.board: Scoreboard[int] = Scoreboard("out")
        self.source = StreamDriver(
            dut.in_valid_i, dut.in_ready_o, {"data": dut.in_data_i}, self.rng
        )
        self.sink = StreamMonitor(
            dut.out_valid_o,
            dut.out_ready_i,
            {"data": dut.out_data_o},
            lambda beat: self.board.observe(beat["data"]),
        )
        self.testbench = Testbench(dut, [self.source, self.sink])

    def send(self, count: int, flipped: int = 0) -> None:
        """Queue random words and expect them, the last one with the bits ``flipped``."""
        words = [self.rng.getrandbits(self.width) for _ in range(count)]
        self.source.send({"data": word} for word in words)
        self.board.expect([*words[:-1], words[-1] ^ flipped])

    async def order_and_data(self, beats: int) -> None:
        """Check that every word comes out once and in order, under all pairs of stall patterns."""
        await self.testbench.start()
        for source_stall in stall_patterns(self.rng).values():
            for sink_stall in stall_patterns(self.rng).values():
                self.source.stall, self.sink.stall = source_stall, sink_stall
                self.send(beats)
                await self.testbench.run_until(lambda: self.board.done, 40 * beats)
        self.board.finish()
        assert self.board.compared == 16 * beats

    async def planted_error_is_found(self) -> None:
        """Check that one flipped bit in one expected word fails the comparison."""
        await self.testbench.start()
        self.send(8, flipped=1 << self.rng.randrange(self.width))
        with pytest.raises(AssertionError, match="out: item 7 is"):
            await self.testbench.run_until(lambda: self.board.done, 100)
