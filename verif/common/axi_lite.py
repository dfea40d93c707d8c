"""An AXI4-Lite master: reads and writes, any order of address and data, pauses on all channels."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from verif.common.streams import Stall, StreamDriver, StreamMonitor, Testbench, never

OKAY, SLVERR = 0, 2
ALL_BYTES = 0xF


@dataclass(frozen=True)
class ReadAnswer:
    """What a read was answered with, and in which cycle."""

    data: int
    response: int
    cycle: int


@dataclass(frozen=True)
class WriteAnswer:
    """What a write was answered with, and in which cycle."""

    response: int
    cycle: int


class AxiLiteMaster:
    """Five channels, each with its own stalls, on the ports ``<prefix>_awvalid`` and so on.

    Reads and writes are queued and wait for nothing but their channel: an address may come long
    before or after its data, and reads go beside writes.

    Attributes:
        reads: every read's answer, in order.
        writes: every write's answer, in order.
    """

    def __init__(self, dut: Any, rng: random.Random, prefix: str = "s_axil") -> None:
        def signal(name: str) -> Any:
            return getattr(dut, f"{prefix}_{name}")

        def driver(channel: str, *names: str) -> StreamDriver:
            payload = {name: signal(f"{channel}{name}") for name in names}
            return StreamDriver(
                signal(f"{channel}valid"), signal(f"{channel}ready"), payload, rng, never
            )

        self._rng = rng
        self._cycle = 0
        self._aw = driver("aw", "addr", "prot")
        self._w = driver("w", "data", "strb")
        self._ar = driver("ar", "addr", "prot")
        self._b = StreamMonitor(
            signal("bvalid"), signal("bready"), {"resp": signal("bresp")}, self._on_b
        )
        self._r = StreamMonitor(
            signal("rvalid"),
            signal("rready"),
            {"data": signal("rdata"), "resp": signal("rresp")},
            self._on_r,
        )
        self.reads: list[ReadAnswer] = []
        self.writes: list[WriteAnswer] = []
        self._read_count = self._write_count = 0

    @property
    def idle(self) -> bool:
        """Whether everything that was queued is answered."""
        return len(self.reads) == self._read_count and len(self.writes) == self._write_count

    @property
    def last_write_taken(self) -> int:
        """Return the cycle in which the last write had given both its address and its data."""
        return max(self._aw.accepted_cycles[-1], self._w.accepted_cycles[-1])

    @property
    def last_read_taken(self) -> int:
        """Return the cycle in which the last read's address was taken."""
        return self._ar.accepted_cycles[-1]

    def stall(self, patterns: list[Stall]) -> None:
        """Give each channel a pattern of ``patterns``, drawn at random."""
        for channel in (self._aw, self._w, self._ar, self._b, self._r):
            channel.stall = self._rng.choice(patterns)

    def queue_write(self, address: int, data: int, strobes: int = ALL_BYTES) -> None:
        """Queue a write."""
        self._aw.send([{"addr": address, "prot": self._rng.getrandbits(3)}])
        self._w.send([{"data": data, "strb": strobes}])
        self._write_count += 1

    def queue_read(self, address: int) -> None:
        """Queue a read."""
        self._ar.send([{"addr": address, "prot": self._rng.getrandbits(3)}])
        self._read_count += 1

    async def write(
        self, bench: Testbench, address: int, data: int, strobes: int = ALL_BYTES
    ) -> int:
        """Write when all before is answered; return the response."""
        await self.drain(bench)
        self.queue_write(address, data, strobes)
        await self.drain(bench)
        return self.writes[-1].response

    async def read(self, bench: Testbench, address: int) -> ReadAnswer:
        """Read when all before is answered; return the answer."""
        await self.drain(bench)
        self.queue_read(address)
        await self.drain(bench)
        return self.reads[-1]

    async def drain(self, bench: Testbench, limit: int = 10_000) -> None:
        """Run until everything is answered."""
        await bench.run_until(lambda: self.idle, limit)

    def reset(self) -> None:
        """Forget everything under way."""
        for channel in (self._aw, self._w, self._ar, self._b, self._r):
            channel.reset()
        self._read_count, self._write_count = len(self.reads), len(self.writes)

    def drive(self) -> None:
        """Drive all channels."""
        for channel in (self._aw, self._w, self._ar, self._b, self._r):
            channel.drive()

    def sample(self, cycle: int) -> None:
        """Sample all channels."""
        self._cycle = cycle
        for channel in (self._aw, self._w, self._ar, self._b, self._r):
            channel.sample(cycle)

    def _on_b(self, beat: dict[str, int]) -> None:
        assert len(self.writes) < self._write_count, "an answer to no write"
        self.writes.append(WriteAnswer(beat["resp"], self._cycle))

    def _on_r(self, beat: dict[str, int]) -> None:
        assert len(self.reads) < self._read_count, "an answer to no read"
        self.reads.append(ReadAnswer(beat["data"], beat["resp"], self._cycle))
