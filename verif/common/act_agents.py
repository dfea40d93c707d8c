"""An activation reader with a memory, monitors of its beats and maps laid out as the engine's."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolflow.hardware.act_jobs import ActJob, MapPlace, ReaderSizes
from toolflow.simulation.rtl_sources import RTL
from verif.common.act_reference import Beat
from verif.common.memory_port import Memory, MemoryPort, ReadClient, ReadSignals
from verif.common.scoreboard import Scoreboard
from verif.common.streams import Stall, StreamDriver, StreamMonitor, Testbench, never

IntArray = NDArray[np.int64]

MEMORY_BYTES = 1 << 20
ALIGNMENT = 64


def job_fields() -> list[tuple[str, int]]:
    """Return names and widths of ``act_job_t``, the highest bits first, from its source."""
    text = (RTL / "engine" / "act_job_pkg.sv").read_text()
    body = next(
        part for part in re.findall(r"struct packed \{(.*?)\}\s*(\w+);", text, re.DOTALL)
        if part[1] == "act_job_t"
    )[0]  # fmt: skip
    named = {"addr_t": 32, "slots_t": 32, "logic": 1}
    fields = []
    for line in re.sub(r"//[^\n]*", "", body).split(";"):
        if not (words := line.split()):
            continue
        *kind, name = words
        width = re.fullmatch(r"logic\[(\d+):0\]", "".join(kind))
        fields.append((name, int(width[1]) + 1 if width else named["".join(kind)]))
    return fields


def packed_job(job: ActJob) -> int:
    """Return a job as the bits of ``act_job_t``.

    Raises:
        AssertionError: the fields differ from the type's, or a value does not fit its field.
    """
    values, fields = asdict(job), job_fields()
    assert [name for name, _ in fields] == list(values)
    packed = 0
    for name, width in fields:
        assert 0 <= values[name] < 1 << width, f"{name} = {values[name]}"
        packed = packed << width | values[name]
    return packed


def place_words(
    data: bytearray, base: int, words: IntArray, container: int, pitch_bytes: int
) -> None:
    """Write (pixels, channels) words, ``pitch_bytes`` from a pixel to the next."""
    bits = 1 << container
    for pixel, row in enumerate(words):
        start = base + pixel * pitch_bytes
        size = (len(row) * bits + 7) // 8
        whole = int.from_bytes(data[start : start + size], "little")
        places = (row[:, None] >> np.arange(bits)) & 1
        flat = np.packbits(places.astype(np.uint8).reshape(-1), bitorder="little")
        mask = (1 << len(row) * bits) - 1
        value = whole & ~mask | int.from_bytes(flat.tobytes(), "little")
        data[start : start + size] = value.to_bytes(size, "little")


class ReaderBench:
    """The reader, its memory full of random bytes, and a scoreboard of the beats of each stream.

    Attributes:
        sizes: the reader's parameters; ``t_r`` is the bench's choice.
        client: the memory's side of the reader's port.
        port: the memory.
    """

    def __init__(self, dut: Any, seed: int, t_r: int) -> None:
        self.dut = dut
        self.rng = random.Random(seed)
        self.random = np.random.default_rng(seed)
        self.sizes = ReaderSizes(
            t_r, *(int(getattr(dut, name).value) for name in (
                "TP", "ActBits", "VectorLanes", "BufferSlots", "DataBits"
            ))
        )  # fmt: skip
        self.memory = Memory(MEMORY_BYTES, self.random.bytes(4096))
        self.port = MemoryPort(self.memory, self.sizes.data_bits // 8)
        self.client = ReadClient(ReadSignals.of(dut, ""), self.port)
        self.jobs = StreamDriver(dut.job_valid_i, dut.job_ready_o, {"job": dut.job_i}, self.rng)
        self.act_board: Scoreboard[Beat] = Scoreboard("act")
        self.vec_board: Scoreboard[Beat] = Scoreboard("vec")
        self.act = self._monitor(
            "act", ("data", "first", "last", "tile_last", "signed"), self.act_board
        )
        self.vec = self._monitor(
            "vec",
            ("data", "first", "last", "pad", "second", "signed", "last_chunk", "chunk", "words"),
            self.vec_board,
        )
        self.testbench = Testbench(dut, [self.jobs, self.client, self.port, self.act, self.vec])
        self._free = ALIGNMENT

    def _monitor(self, name: str, fields: Iterable[str], board: Scoreboard[Beat]) -> StreamMonitor:
        signals = {field: getattr(self.dut, f"{name}_{field}_o") for field in fields}

        def observe(beat: Mapping[str, int]) -> None:
            board.observe(tuple(beat.values()))

        return StreamMonitor(
            getattr(self.dut, f"{name}_valid_o"),
            getattr(self.dut, f"{name}_ready_i"),
            signals,
            observe,
        )

    def stall(self, stalls: Mapping[str, Stall], latency: int) -> None:
        """Set the pauses of the streams, by name, and the memory's latency."""
        self.port.latency = latency
        self.port.stall = stalls.get("memory", never)
        self.client.command_stall = stalls.get("command", never)
        self.client.data_stall = stalls.get("data", never)
        self.act.stall = self.vec.stall = stalls.get("beats", never)

    def new_memory(self) -> None:
        """Forget all regions; bytes stay as they are."""
        self.memory = Memory(MEMORY_BYTES, self.random.bytes(4096))
        self.port.memory = self.memory
        self._free = ALIGNMENT

    def allocate(self, size: int) -> int:
        """Return the first byte of a new region that may be read, whole beats."""
        base = self._free
        self._free = (-(-(base + size) // ALIGNMENT) + 1) * ALIGNMENT
        assert self._free <= MEMORY_BYTES
        beat = self.sizes.data_bits // 8
        self.memory.allow(range(base, base + -(-size // beat) * beat))
        return base

    def words(self, shape: tuple[int, ...], bits: int, *, signed: bool) -> IntArray:
        """Return random words, as integers."""
        low = -(1 << (bits - 1)) if signed else 0
        return self.random.integers(low, low + (1 << bits), shape)

    def lay_out(
        self, image: IntArray, container: int, signed: bool, before: int = 0, extra: int = 0
    ) -> MapPlace:
        """Write an image (H, W, C), ``before`` and ``extra`` words between its pixels."""
        height, width, channels = image.shape
        pitch = before + channels + extra
        bits = 1 << container
        while pitch * bits % 8:
            pitch += 1
        pixel = pitch * bits // 8
        assert before * bits % 8 == 0
        base = self.allocate(height * width * pixel) + before * bits // 8
        place_words(self.memory.data, base, image.reshape(-1, channels), container, pixel)
        many = height * width > 1
        return MapPlace(base, height, width, channels, pixel if many else 0, container, signed)

    def send(self, job: ActJob, beats: Iterable[Beat]) -> int:
        """Queue a job and expect its beats; return how many."""
        expected = list(beats)
        (self.vec_board if job.vector else self.act_board).expect(expected)
        self.jobs.send([{"job": packed_job(job)}])
        return len(expected)

    @property
    def done(self) -> bool:
        """Whether everything expected has come and the reader is idle."""
        return (
            self.jobs.idle
            and self.act_board.done
            and self.vec_board.done
            and bool(self.dut.idle_o.value)
        )

    async def finish(self, limit: int) -> None:
        """Run until everything has come; memory must have nothing left."""
        await self.testbench.run_until(lambda: self.done, limit)
        assert not self.client.answers, "beats that nobody took"
