"""cocotb tests of ``weight_reader`` against the weights of random layers, packed as in memory."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from toolflow.emission.descriptors import segment_fields
from toolflow.emission.memory_images import BLOCK_WORDS, pack_plane
from toolflow.fixedpoint import Format, planar_high, saturate, split_planes
from toolflow.hardware.engine import EngineSizes, Segments, segmentations
from verif.common.layer_ports import descriptor_word
from verif.common.memory_port import Memory, MemoryPort, ReadClient, ReadSignals
from verif.common.packing import pack
from verif.common.scoreboard import Scoreboard
from verif.common.streams import Stall, StreamDriver, StreamMonitor, Testbench, stall_patterns

IntArray = NDArray[np.int64]
MEMORY_BYTES = 1 << 20


@dataclass(frozen=True)
class Layer:
    """A layer's products, their weights (groups, columns, depth), and the engine's tiles."""

    sizes: EngineSizes
    weights: IntArray
    stored_bits: int
    low_bits: int
    way: Segments

    @property
    def shape(self) -> tuple[int, int, int]:
        """Groups, columns, depth."""
        groups, columns, depth = self.weights.shape
        return groups, columns, depth

    @property
    def planes(self) -> tuple[bytes, bytes]:
        """The high and the low plane as they lie in memory."""
        high, low = split_planes(self.weights.reshape(-1), self.low_bits)
        return pack_plane(high, self.stored_bits - self.low_bits), pack_plane(low, self.low_bits)

    @property
    def fields(self) -> dict[str, int]:
        """What the reader looks at of the descriptor."""
        groups, columns, depth = self.shape
        t_p, t_c = self.sizes.t_p, self.sizes.t_c
        tiles, chunks = -(-columns // t_c), -(-depth // t_p)
        return {
            "groups": groups,
            "columns": columns,
            "column_tiles": tiles,
            "last_columns": columns - (tiles - 1) * t_c,
            "depth": depth,
            "chunks": chunks,
            "last_chunk": depth - (chunks - 1) * t_p,
            "tile_weights": t_c * depth,
            "weight_high_bits": self.stored_bits - self.low_bits,
            "weight_low_bits": self.low_bits,
            "weight_blocks": -(-self.weights.size // BLOCK_WORDS),
        } | segment_fields(self.way, depth, t_p)

    def beats(self, words: IntArray, row_tiles: int) -> Iterator[IntArray]:
        """Yield the columns of a job: T_P words each of ``words``, the unit's own weights."""
        groups, columns, depth = self.shape
        t_p, t_c = self.sizes.t_p, self.sizes.t_c
        padded = np.zeros((groups, -(-columns // t_c) * t_c, -(-depth // t_p) * t_p), np.int64)
        padded[:, :columns, :depth] = words
        for group in padded:
            for first in range(0, len(group), t_c):
                for _ in range(row_tiles):
                    for start in range(0, padded.shape[2], t_p):
                        yield from group[first : first + t_c, start : start + t_p]


class Bench:
    """The reader, a memory with planes, and the columns that must come."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.rng = random.Random(int(cocotb.RANDOM_SEED))
        self.joins = bool(int(dut.Join.value))
        self.stored_bits, self.bits = int(dut.StoredBits.value), int(dut.WeightBits.value)
        self.t_r = int(dut.TR.value)
        self.sizes = EngineSizes(
            int(dut.TR.value), int(dut.TP.value), int(dut.TC.value), int(dut.BufferWords.value)
        )
        self.beat_bytes = int(dut.DataBits.value) // 8
        self.memory = Memory(MEMORY_BYTES)
        self.port = MemoryPort(self.memory, self.beat_bytes)
        self.clients = [
            ReadClient(ReadSignals.of(dut, prefix), self.port) for prefix in ("high_", "low_")
        ]
        self.board: Scoreboard[int] = Scoreboard("columns")
        self.jobs = StreamDriver(
            dut.job_valid_i,
            dut.job_ready_o,
            {"high": dut.high_base_i, "low": dut.low_base_i, "rows": dut.rows_i},
            self.rng,
        )
        self.out = StreamMonitor(
            dut.weight_valid_o,
            dut.weight_ready_i,
            {"data": dut.weight_data_o},
            lambda beat: self.board.observe(beat["data"]),
        )
        self.testbench = Testbench(dut, [self.port, *self.clients, self.jobs, self.out])

    def stall(self, choose: str | None = None) -> None:
        """Choose stall patterns and the memory's latency."""

        def pattern() -> Stall:
            patterns = stall_patterns(self.rng)
            return patterns[choose or self.rng.choice(sorted(patterns))]

        for client in self.clients:
            client.command_stall, client.data_stall = pattern(), pattern()
        self.port.stall, self.out.stall = pattern(), pattern()
        self.port.latency = 0 if choose else self.rng.choice([0, 5, 40])

    def layer(self, groups: int, columns: int, depth: int, low_bits: int) -> Layer:
        """Return a layer of random words that split."""
        rng = np.random.default_rng(self.rng.getrandbits(32))
        low, high = Format(self.stored_bits, 0).low, planar_high(self.stored_bits, low_bits)
        words = rng.integers(low, high + 1, (groups, columns, depth))
        way = self.rng.choice(segmentations(self.sizes, depth))
        return Layer(self.sizes, words, self.stored_bits, low_bits, way)

    def words(self, layer: Layer) -> IntArray:
        """Return the unit's own weights."""
        if self.joins:
            return layer.weights
        high, _ = split_planes(layer.weights, layer.low_bits)
        fmt = Format(self.bits, 0)
        return saturate(high, fmt.low, fmt.high)

    async def run(self, layer: Layer, rows: list[int]) -> None:
        """Run a job for every entry of ``rows``."""
        bases = []
        at = 64 * self.rng.randrange(4)
        for plane in layer.planes:
            bases.append(at)
            self.memory.data[at : at + len(plane)] = plane
            at = -(-(at + len(plane)) // 64) * 64 + 64
        assert at <= MEMORY_BYTES
        self.memory.forbid_all()
        self.memory.allow(range(bases[0], bases[0] + len(layer.planes[0])))
        if self.joins and layer.low_bits:
            self.memory.allow(range(bases[1], bases[1] + len(layer.planes[1])))
        self.dut.layer_i.value = descriptor_word(layer.fields)
        words = self.words(layer)
        expected = [
            pack(np.array(list(layer.beats(words, -(-r // self.t_r)))), self.bits) for r in rows
        ]
        if "PLANTED_ERROR" in os.environ:
            expected[-1][-1] ^= 1
        for beats in expected:
            self.board.expect(beats)
        self.jobs.send([{"high": bases[0], "low": bases[1], "rows": r} for r in rows])
        await self.testbench.step()
        assert self.dut.fits_o.value
        limit = 1000 + 40 * sum(map(len, expected)) + 200 * len(layer.planes[0])
        await self.testbench.run_until(lambda: self.board.done and self.jobs.idle, limit)
        await self.testbench.run(2)
        assert self.dut.idle_o.value
        assert not any(client.answers for client in self.clients)
        self.board.finish()

    def random_layer(self, deep: bool) -> Layer:
        """Return a random layer, one that needs segments if ``deep``."""
        rng, sizes = self.rng, self.sizes
        whole = (sizes.weight_words - 2 * BLOCK_WORDS) // sizes.t_c
        depth = rng.choice([1, 9, 27, 100, rng.randint(1, 300)])
        depth = rng.randint(whole + 1, whole + 400) if deep else min(depth, whole)
        most = 1 + (20_000 // depth) // (3 if deep else 1)
        columns = rng.randint(1, min(most, 3 * sizes.t_c + 1))
        groups = rng.randint(1, max(1, min(4, most // columns)))
        low_bits = rng.randrange(self.stored_bits)
        return self.layer(groups, columns, depth, low_bits)


@cocotb.test(timeout_time=400, timeout_unit="ms")
async def random_layers(dut: Any) -> None:
    """Layers that fit, with groups, ragged tiles and several jobs, under all stall patterns."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(12):
        bench.stall()
        layer = bench.random_layer(deep=False)
        await bench.run(layer, [bench.rng.randint(1, 3 * bench.t_r) for _ in range(3)])


@cocotb.test(timeout_time=400, timeout_unit="ms")
async def deep_layers(dut: Any) -> None:
    """Layers deeper than the buffer come in segments, again for every row tile."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(3):
        bench.stall()
        await bench.run(bench.random_layer(deep=True), [bench.rng.randint(1, 2 * bench.t_r), 1])


@cocotb.test(timeout_time=400, timeout_unit="ms")
async def full_rate(dut: Any) -> None:
    """Without stalls: a column a cycle once a tile is there, and on to the next tile."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.stall("full_rate")
    sizes = bench.sizes
    depth = min(40, (sizes.weight_words // 2 - 2 * BLOCK_WORDS) // sizes.t_c)
    layer = bench.layer(1, 2 * sizes.t_c, depth, 0)
    row_tiles = 40
    await bench.run(layer, [row_tiles * bench.t_r])
    columns = 2 * row_tiles * layer.fields["chunks"] * sizes.t_c
    cycles = bench.out.beat_cycles
    assert len(cycles) == columns
    sweep = layer.fields["chunks"] * sizes.t_c  # the first one waits for the tile's words
    assert cycles[-1] - cycles[sweep] == columns - 1 - sweep, "a bubble"


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def too_large_layers_are_refused(dut: Any) -> None:
    """``fits_o`` is low for a tile, or a segment, that the buffer cannot hold."""
    bench = Bench(dut)
    await bench.testbench.start()
    words = bench.sizes.weight_words
    for fields, fits in (
        ({"segments": 1, "tile_weights": words - 2 * BLOCK_WORDS}, True),
        ({"segments": 1, "tile_weights": words - 2 * BLOCK_WORDS + 1}, False),
        ({"segments": 2, "segment_depth": words // bench.sizes.t_c}, False),
    ):
        dut.layer_i.value = descriptor_word(fields)
        await bench.testbench.step()
        assert bool(dut.fits_o.value) == fits
