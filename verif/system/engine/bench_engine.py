"""Whole networks through ``cnn_engine``: every tensor in memory, step by step, word by word.

The folder's files are put into a memory of random bytes, as a host does. When the engine ends a
step, the step's output must equal the emulator's, and no other byte may have changed.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from toolflow.emission.address_map import load_words, store_words
from toolflow.emission.memory_map import StepRecord, UnitMap, read_memory_map
from toolflow.emission.steps import STORED_IMAGES
from toolflow.emission.stored_parameters import CHANNELS_FILE, WEIGHTS_FILE
from verif.common.memory_port import (
    Memory,
    MemoryPort,
    ReadClient,
    ReadSignals,
    WriteClient,
    WriteSignals,
)
from verif.common.streams import Testbench, never, stall_patterns

IntArray = NDArray[np.int64]

GUARD = 256
READERS = ("descriptor_", "act_", "high_", "low_", "record_")
BASES = ("descriptors", "weights", "records", "images", "workspace")


@dataclass
class StepCycles:
    """What the engine reports of a step."""

    name: str
    op: str
    cycles: int


class StepChecker:
    """Compares a step's output, and that nothing else changed, when the engine ends the step."""

    def __init__(self, bench: EngineBench) -> None:
        self._bench = bench
        self.steps: list[StepCycles] = []
        self.words = 0
        self.done = False

    def reset(self) -> None:
        self.steps.clear()
        self.done = False

    def drive(self) -> None:
        """Drive nothing."""

    def sample(self, cycle: int) -> None:
        dut = self._bench.dut
        if dut.layer_done_o.value:
            index = int(dut.layer_index_o.value)
            assert index == len(self.steps), "a step is missing"
            step = self._bench.map.steps[index]
            self.steps.append(StepCycles(step.name, step.op, int(dut.layer_cycles_o.value)))
            self.words += self._bench.check(step)
        if dut.done_o.value:
            self.done = True


class EngineBench:
    """The engine, its memory, and the emulator's tensors."""

    def __init__(self, dut: Any, folder: Path, unit: str) -> None:
        self.dut = dut
        self.rng = random.Random(int(cocotb.RANDOM_SEED))
        self.map: UnitMap = getattr(read_memory_map(folder), unit)
        self.expected = np.load(folder / f"expected_{unit}.npz")
        self.beat_bytes = int(dut.DataBits.value) // 8
        self.order: list[int] = []
        places = self.map.tensors
        stored = self.expected[STORED_IMAGES]
        files = {
            "descriptors": (folder / f"descriptors_{unit}.bin").read_bytes(),
            "weights": (folder / WEIGHTS_FILE).read_bytes(),
            "records": (folder / CHANNELS_FILE).read_bytes(),
            "images": bytes(len(stored) * places[STORED_IMAGES].image_stride),
            "workspace": self.rng.randbytes(self.map.workspace_bytes),
        }
        self.bases: dict[str, int] = {}
        size = GUARD
        for name in BASES:
            self.bases[name] = size
            size += -(-len(files[name]) // 64) * 64 + GUARD
        self.memory = Memory(size)
        self.memory.data[:] = self.rng.randbytes(size)
        for name, data in files.items():
            start = self.bases[name]
            self.memory.data[start : start + len(data)] = data
            self.memory.allow(
                range(start, start + -(-len(data) // 64) * 64), write=name == "workspace"
            )
        store_words(self.memory.data, self.bases["images"], places[STORED_IMAGES], stored)
        self.before = bytes(self.memory.data)
        self.port = MemoryPort(self.memory, self.beat_bytes)
        self.readers = {name: ReadClient(ReadSignals.of(dut, name), self.port) for name in READERS}
        self.writer = WriteClient(WriteSignals.of(dut, "wr_"), self.memory, self.beat_bytes)
        self.checker = StepChecker(self)
        self.planted = int(os.environ.get("PLANTED_ERROR", "-1"))
        self.testbench = Testbench(
            dut, [self.port, *self.readers.values(), self.writer, self.checker]
        )

    def check(self, step: StepRecord) -> int:
        """Compare a step's output; return the words compared."""
        place, base = self.map.tensors[step.output], self.bases["workspace"]
        signed = bool(self.expected[f"signed/{step.output}"])
        expected = self.expected[step.output][self.order]
        if self.planted == len(self.checker.steps) - 1:
            expected.flat[-1] ^= 1
        found = load_words(self.memory.data, base, place, len(self.order), signed)
        found = found.reshape(expected.shape)
        different = np.argwhere(found != expected)
        if len(different):
            first = tuple(different[0])
            raise AssertionError(
                f"step {step.name} ({step.op}): {len(different)} of {expected.size} words differ, "
                f"the first at {[int(k) for k in first]}: {found[first]}, "
                f"expected {expected[first]}"
            )
        mine = bytearray(len(self.memory.data))
        room = step.written_images(len(self.order)), *expected.shape[1:]
        store_words(mine, base, place, np.full(room, -1))
        old, new = (np.frombuffer(data, np.uint8) for data in (self.before, self.memory.data))
        strayed = np.flatnonzero((old != new) & (np.frombuffer(mine, np.uint8) == 0))
        assert not len(strayed), f"step {step.name}: byte {strayed[0] - base:#x} changed"
        self.before = bytes(self.memory.data)
        return int(expected.size)

    def stall(self) -> None:
        """Choose random stall patterns and latencies on every port."""
        patterns = stall_patterns(self.rng)

        def pattern() -> Any:
            return patterns[self.rng.choice(["full_rate", "light", "bursts"])]

        for reader in self.readers.values():
            reader.command_stall, reader.data_stall = pattern(), pattern()
        self.writer.stall = pattern()
        self.port.stall = pattern()
        self.port.latency = self.rng.choice([0, 5, 40])
        self.writer.latency = self.rng.choice([0, 5, 40])

    def full_rate(self, latency: int) -> None:
        """Let nothing stall; reads and writes take ``latency`` cycles."""
        for reader in self.readers.values():
            reader.command_stall = reader.data_stall = never
        self.writer.stall = self.port.stall = never
        self.port.latency = self.writer.latency = latency

    async def start(self) -> None:
        """Start the clock."""
        dut = self.dut
        for name in ("start_i", "stop_i", "bus_error_i", "use_list_i", "list_write_i"):
            getattr(dut, name).value = 0
        await self.testbench.start()

    async def run(self, images: int, limit: int, shuffled: bool = False) -> int:
        """Run the network on the first images; return the error.

        ``shuffled``: by the list of images, which names their addresses in another order.
        """
        dut = self.dut
        self.order = list(range(images))
        self.checker.steps.clear()
        self.checker.done = False
        self.before = bytes(self.memory.data)
        if shuffled:
            self.order.reverse()
            await self._list()
        word = 0
        for name in BASES:
            word = word << 32 | self.bases[name]
        dut.bases_i.value = word
        dut.images_i.value = images
        dut.layers_i.value = len(self.map.steps)
        dut.use_list_i.value = int(shuffled)
        dut.start_i.value = 1
        await self.testbench.step()
        dut.start_i.value = 0
        await self.testbench.run_until(lambda: self.checker.done, limit)
        await self.testbench.step()
        return int(dut.error_o.value)

    async def _list(self) -> None:
        """Name the images' addresses in the list."""
        dut, place = self.dut, self.map.tensors[STORED_IMAGES]
        dut.list_write_i.value = 1
        for index, image in enumerate(self.order):
            dut.list_index_i.value = index
            dut.list_addr_i.value = self.bases["images"] + image * place.image_stride
            await self.testbench.step()
        dut.list_write_i.value = 0


def bench_of(dut: Any) -> EngineBench:
    """Return the bench that the environment asks for."""
    return EngineBench(dut, Path(os.environ["ENGINE_FOLDER"]), os.environ["ENGINE_UNIT"])


def limit_of() -> int:
    """Return cycles that a run ends within."""
    return int(os.environ.get("ENGINE_CYCLES", "400000"))


@cocotb.test(timeout_time=10, timeout_unit="sec")
async def whole_network(dut: Any) -> None:
    """Every step under random stalls; then again with the list of images."""
    bench = bench_of(dut)
    await bench.start()
    images = int(os.environ["ENGINE_IMAGES"])
    for shuffled in (False, True):
        bench.stall()
        assert await bench.run(images, limit_of(), shuffled) == 0
        assert len(bench.checker.steps) == len(bench.map.steps)
    dut._log.info("%d words equal", bench.checker.words)
    assert bench.checker.words > 0


@cocotb.test(timeout_time=10, timeout_unit="sec")
async def measured(dut: Any) -> None:
    """Every step at the memory's full rate; the cycles go to a file."""
    bench = bench_of(dut)
    await bench.start()
    bench.full_rate(int(os.environ["ENGINE_LATENCY"]))
    begin = bench.testbench.cycle
    assert await bench.run(int(os.environ["ENGINE_IMAGES"]), limit_of()) == 0
    record = {
        "cycles": bench.testbench.cycle - begin,
        "steps": {step.name: step.cycles for step in bench.checker.steps},
        "read_bytes": bench.memory.reads,
        "written_bytes": bench.memory.writes,
    }
    Path(os.environ["ENGINE_RECORD"]).write_text(json.dumps(record))
