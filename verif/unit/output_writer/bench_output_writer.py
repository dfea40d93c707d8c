"""cocotb tests of ``output_writer``: every byte of a memory, guard bytes included, every beat."""

from __future__ import annotations

import itertools
import random
from typing import Any

import cocotb
import numpy as np
import pytest

from toolflow.emission.address_map import Placement, store_words
from toolflow.fixedpoint import MAX_BITS
from verif.common.memory_port import Memory, WriteClient, WriteSignals
from verif.common.packing import pack
from verif.common.streams import (
    Agent,
    StreamDriver,
    Testbench,
    at_random,
    never,
    stall_patterns,
)
from verif.unit.output_writer.written_layers import (
    Segment,
    Sizes,
    WrittenBeat,
    WrittenLayer,
    beats_of,
    cycles_of,
    random_layer,
    runs_of,
)

SIZE = 16384
LATENCY = 3


class RecordedMemory(Memory):
    """A memory that remembers the beats written to it."""

    def __init__(self, fill: bytes) -> None:
        super().__init__(SIZE, fill)
        self.allow(range(SIZE), write=True)
        self.beats: list[WrittenBeat] = []

    def write(self, address: int, value: int, strobes: int) -> None:
        """Write a beat."""
        self.beats.append(WrittenBeat(address, strobes))
        super().write(address, value, strobes)


class TimedClient(WriteClient):
    """A client that remembers the cycle of each beat."""

    def __init__(self, signals: WriteSignals, memory: Memory, beat_bytes: int) -> None:
        super().__init__(signals, memory, beat_bytes)
        self.beat_cycles: list[int] = []

    def sample(self, cycle: int) -> None:
        """Note the beat that is transferred at the coming edge."""
        before = self.beats
        super().sample(cycle)
        if self.beats > before:
            self.beat_cycles.append(cycle)


class Bench:
    """The design between drivers of jobs and of both sources of words, and a memory.

    Attributes:
        bytes_compared: bytes of memory that were compared, guards included.
        bytes_written: bytes that the design wrote.
    """

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.sizes = Sizes(
            columns=int(dut.TC.value),
            vector_lanes=int(dut.VectorLanes.value),
            beat_bytes=int(dut.DataBits.value) // 8,
        )
        rng = self.rng
        payload = {
            "base": dut.job_base_i,
            "tiles": dut.job_column_tiles_i,
            "last": dut.job_last_columns_i,
        }
        self.jobs = StreamDriver(dut.job_valid_i, dut.job_ready_o, payload, rng)
        self.products = StreamDriver(
            dut.product_valid_i, dut.product_ready_o, {"words": dut.product_words_i}, rng
        )
        self.vectors = StreamDriver(
            dut.vector_valid_i, dut.vector_ready_o, {"words": dut.vector_words_i}, rng
        )
        self.memory = RecordedMemory(b"\0")
        self.client = TimedClient(WriteSignals.of(dut, "wr_"), self.memory, self.sizes.beat_bytes)
        agents: list[Agent] = [self.jobs, self.products, self.vectors, self.client]
        self.testbench = Testbench(dut, agents)
        self.bytes_compared = self.bytes_written = 0

    def clear_memory(self) -> bytearray:
        """Fill the memory at random; return a copy."""
        self.memory.data[:] = self.rng.randbytes(SIZE)
        self.memory.beats.clear()
        return bytearray(self.memory.data)

    def set_layer(self, layer: WrittenLayer) -> None:
        """Set a layer's settings; the design is idle."""
        for name, value in layer.settings(self.sizes).items():
            getattr(self.dut, f"{name}_i").value = value

    def drive_words(self, vector: bool, segment: Segment) -> None:
        """Queue a beat of words; junk in the lanes beyond them."""
        lanes = self.sizes.vector_lanes if vector else self.sizes.columns
        words = np.array([self.rng.getrandbits(MAX_BITS) for _ in range(lanes)], np.int64)
        words[: len(segment.words)] = segment.words & ((1 << MAX_BITS) - 1)
        source = self.vectors if vector else self.products
        source.send([{"words": pack(words, MAX_BITS)[0]}])

    @property
    def done(self) -> bool:
        """Whether all jobs were taken and the design says that it is idle."""
        sources = (self.jobs, self.products, self.vectors)
        return all(source.idle for source in sources) and bool(self.dut.idle_o.value)

    async def run(self, layer: WrittenLayer, corrupt: tuple[int, int] = (0, 0)) -> None:
        """Run a layer and compare all of memory, the expected byte ``corrupt`` changed."""
        expected = self.clear_memory()
        store_words(expected, 0, layer.place, layer.words)
        expected[corrupt[0]] ^= corrupt[1]
        self.set_layer(layer)
        beats = 0
        for job, segments in layer.jobs(self.sizes):
            self.jobs.send([job])
            for segment in segments:
                self.drive_words(layer.vector, segment)
                beats += sum(cycles_of([segment], self.sizes.beat_bytes)) + 1
        await self.testbench.run_until(lambda: self.done, 60 * beats + 200)
        for address, (found, right) in enumerate(zip(self.memory.data, expected, strict=True)):
            assert found == right, f"byte {address:#x} is {found:#x}, expected {right:#x}"
        self.bytes_compared += SIZE
        self.bytes_written = self.memory.writes
        assert sum(self.client.run_lengths) == self.client.beats, "the last beat ends a run"

    def dense(self, columns: int, images: int) -> WrittenLayer:
        """Return a dense layer's output of bytes."""
        stride = -(-columns // 64) * 64
        place = Placement(False, 128, stride, columns, 1, 1, columns, 8)
        words = self.rng.randbytes(images * columns)
        shape = (images, columns, 1, 1)
        return WrittenLayer(
            np.frombuffer(words, np.uint8).astype(np.int64).reshape(shape), place, False, 1, True
        )

    def plain(self, vector: bool, channels: int, pitch: int, base: int, container: int = 8
              ) -> WrittenLayer:  # fmt: skip
        """Return an image of 6 x 7 pixels."""
        place = Placement(False, base, SIZE // 2, channels, 6, 7, pitch, container)
        draw = np.random.default_rng(self.rng.getrandbits(32))
        words = draw.integers(0, 1 << container, (1, channels, 6, 7))
        return WrittenLayer(words, place, vector)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def every_stall_pattern(dut: Any) -> None:
    """Random layers under combinations of stalls of words and of memory."""
    bench = Bench(dut)
    await bench.testbench.start()
    patterns = (stall_patterns(bench.rng).values() for _ in range(2))
    for word_stall, memory_stall in itertools.product(*patterns):
        bench.products.stall = bench.vectors.stall = word_stall
        bench.client.stall = memory_stall
        bench.jobs.stall = bench.rng.choice([never, at_random(0.7, bench.rng)])
        bench.client.latency = bench.rng.choice([0, 1, 20])
        await bench.run(random_layer(bench.sizes, SIZE - 512, bench.rng))
    assert bench.bytes_compared == 16 * SIZE
    assert bench.bytes_written > 16 * 20


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def many_layers(dut: Any) -> None:
    """Random layers: of one job every beat and run is the expected one, of several nearly so."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(60):
        layer = random_layer(bench.sizes, SIZE - 512, bench.rng)
        runs = len(list(bench.client.run_lengths))
        await bench.run(layer)
        jobs = [segments for _, segments in layer.jobs(bench.sizes)]
        beats = [beats_of(segments, bench.sizes.beat_bytes) for segments in jobs]
        if len(jobs) == 1:
            assert bench.memory.beats == beats[0]
            found = list(bench.client.run_lengths)[runs:]
            assert found == runs_of(beats[0], bench.sizes.beat_bytes)
        else:
            # The last beat of a job and the first of the next may be one.
            extra = sum(map(len, beats)) - len(bench.memory.beats)
            assert 0 <= extra < len(jobs)
    assert bench.bytes_compared == 60 * SIZE


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """Without stalls every job takes exactly the header's cycles; segments that fit take one."""
    bench = Bench(dut)
    await bench.testbench.start()
    columns, lanes, beat = bench.sizes.columns, bench.sizes.vector_lanes, bench.sizes.beat_bytes
    layers = [
        bench.plain(vector, channels, pitch, base, container)
        for vector, most in ((False, 2 * columns), (True, 2 * lanes))
        for channels in {1, most // 2, most - 1, most}
        if channels
        for container in (8, 16)
        for pitch, base in ((channels, 64), (channels, 67), (channels + 5, 65), (2 * beat, 71))
        if pitch >= channels
    ]
    layers.append(bench.dense(2 * columns, images=9))
    seen = set()
    for layer in layers:
        streams = (bench.products, bench.vectors)
        for stream in streams:
            stream.accepted_cycles.clear()
        bench.client.beat_cycles.clear()
        await bench.run(layer)
        (_, segments), = layer.jobs(bench.sizes)  # fmt: skip
        cycles = cycles_of(segments, beat)
        accepted = [cycle for stream in streams for cycle in stream.accepted_cycles]
        assert len(accepted) == len(segments)
        assert bench.client.beat_cycles[-1] == accepted[0] + sum(cycles) + LATENCY
        if max(cycles) == 1:
            assert accepted == list(range(accepted[0], accepted[0] + len(accepted)))
        seen.update(cycles)
        whole = all(segment.bytes % beat == 0 for segment in segments)
        if whole:
            assert sum(cycles) <= len(bench.memory.beats)
    assert {1, 2} <= seen


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def contiguous_work_fills_beats(dut: Any) -> None:
    """A map without gaps becomes whole beats and one run, from any first byte."""
    bench = Bench(dut)
    await bench.testbench.start()
    beat, channels = bench.sizes.beat_bytes, 2 * bench.sizes.vector_lanes - 1
    for base in range(64, 64 + beat):
        for layer in (
            bench.plain(True, channels, channels, base),
            bench.plain(False, bench.sizes.columns, bench.sizes.columns, base),
        ):
            before = len(list(bench.client.run_lengths))
            await bench.run(layer)
            size = layer.place.image_bytes
            total = (base + size - 1) // beat - base // beat + 1
            assert list(bench.client.run_lengths)[before:] == [total]
            inner = bench.memory.beats[1:-1]
            assert all(found.strobes == (1 << beat) - 1 for found in inner)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def idle_waits_for_memory(dut: Any) -> None:
    """``idle_o`` is low until the memory has everything, however long it takes."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.client.latency = 200
    for _ in range(4):
        await bench.run(random_layer(bench.sizes, SIZE - 512, bench.rng))
        last = bench.client.beat_cycles[-1]
        assert bench.testbench.cycle >= last + 200


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset drops a job, and the design works on."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(20):
        layer = random_layer(bench.sizes, SIZE - 512, bench.rng)
        bench.clear_memory()
        bench.set_layer(layer)
        for job, segments in layer.jobs(bench.sizes):
            bench.jobs.send([job])
            for segment in segments:
                bench.drive_words(layer.vector, segment)
        await bench.testbench.run(bench.rng.randint(1, 40))
        await bench.testbench.reset(1)
        bench.client.beats = 0
        await bench.run(random_layer(bench.sizes, SIZE - 512, bench.rng))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in one expected byte must fail the comparison, a guard byte's too."""
    bench = Bench(dut)
    await bench.testbench.start()
    layer = bench.plain(True, 5, 7, 67)
    for address in (66, 67, 67 + 4, 67 + 5, 67 + 41 * 7 + 4, 67 + 41 * 7 + 5):
        with pytest.raises(AssertionError, match=f"byte {address:#x} is"):
            await bench.run(layer, corrupt=(address, 1 << bench.rng.randrange(8)))
