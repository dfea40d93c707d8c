"""Layers for ``lrn_unit``, the beats of their pixels, and the bench around the design."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from toolflow.emission.memory_images import TABLE_ENTRY_BYTES, pack_table
from toolflow.emulator.factor_table import factor_frac
from toolflow.emulator.integer_network import MAX_SHIFT, IntegerLrn, compile_layer
from toolflow.emulator.reference import run_layer
from toolflow.fixedpoint import Format
from toolflow.network.graph import Lrn
from toolflow.quantisation.scheme import Precision, Scheme
from verif.common.packing import pack
from verif.common.streams import Agent, StreamDriver, Testbench
from verif.common.word_bench import IntArray, WordBench

CHANNELS = (1, 5, 8, 27, 96)

SETTINGS = (
    ("half", 3), ("floor", 5), ("shift", 5), ("is_signed", 1), ("zero_in", 16), ("zero_out", 16),
    ("low", 17), ("high", 17),
)  # fmt: skip
"""Fields of ``lrn_pkg::settings_t`` and their widths, the highest first."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A compiled layer and the formats around it."""

    integer: IntegerLrn
    source: Format
    out: Format

    @property
    def settings(self) -> dict[str, int]:
        """The fields of ``settings_t``."""
        r = self.integer.requantiser
        return {
            "half": self.integer.size // 2,
            "floor": self.integer.table.floor,
            "shift": int(r.shift[0]),
            "is_signed": int(self.source.signed),
            "zero_in": self.source.zero,
            "zero_out": self.out.zero,
            "low": r.low,
            "high": r.high,
        }

    def words(self, q: IntArray) -> IntArray:
        """Return the words (pixels x channels) that must become of integers."""
        return run_layer(self.integer, [q[:, :, None, None]])[:, :, 0, 0] + self.out.zero


@dataclass(frozen=True, eq=False)
class Beat:
    """One transfer into the design and the words that must come of it.

    ``words`` are those of the channels, ``junk`` fills the other lanes.
    """

    words: IntArray
    junk: IntArray
    last: bool
    expected: IntArray


def packed_settings(settings: dict[str, int]) -> int:
    """Return ``settings_t`` as an integer."""
    value = 0
    for name, bits in SETTINGS:
        value = value << bits | settings[name] & ((1 << bits) - 1)
    return value


def made_layer(parameters: tuple[int, float, float, float], source: Format, out: Format) -> Layer:
    """Return a layer of (size, alpha, beta, bias), the output's fraction length made legal."""
    size, alpha, beta, bias = parameters
    spec = Lrn(
        name="n", inputs=("x",), output="y", out_shape=(1, 1, 1),
        size=size, alpha=alpha, beta=beta, bias=bias,
    )  # fmt: skip
    product = source.frac + factor_frac(spec)
    out = out.at(min(max(out.frac, product - MAX_SHIFT), product))
    scheme = Scheme(
        Precision(8, 8), MappingProxyType({}), MappingProxyType({"x": source, "y": out})
    )
    integer = compile_layer(spec, scheme)
    assert isinstance(integer, IntegerLrn)
    return Layer(integer, source, out)


def random_format(rng: random.Random, most: int) -> Format:
    """Draw a wordlength up to ``most``, sign and zero point."""
    bits = rng.choice([most, rng.randint(2, most)])
    if rng.random() < 0.3:
        return Format(bits, 0)
    zero = rng.choice([0, 0, 1, rng.randrange(1 << bits), (1 << bits) - 1])
    return Format(bits, 0, signed=False, zero=zero)


def random_layer(rng: random.Random, word_bits: int, out_bits: int, max_size: int) -> Layer:
    """Draw a layer whose outputs are spread over the output's range, or beyond."""
    source = random_format(rng, word_bits)
    source = source.at(rng.randint(-2, source.bits))
    size = 2 * rng.randint(0, max_size // 2) + 1
    beta, bias = rng.choice([0.5, 0.75, 0.75, 1.0, 1.7]), rng.choice([0.3, 1.0, 2.0])
    limit = max(-source.low, source.high) * source.step
    # The window's largest sum is this many times the bias.
    ratio = 10 ** rng.uniform(-2, 3)
    alpha = ratio * bias / limit**2
    peak = max(limit * (bias + ratio * bias * share**2 / size) ** -beta * share
               for share in np.linspace(0.01, 1, 100))  # fmt: skip
    out = random_format(rng, out_bits)
    room = max(out.high, -out.low, 1)
    frac = int(np.floor(np.log2(room / peak))) + rng.choice([-1, 0, 0, 1, 3])
    return made_layer((size, alpha, beta, bias), source, out.at(frac))


class LoadedTestbench(Testbench):
    """A testbench whose start also loads a layer."""

    def __init__(self, dut: Any, agents: Sequence[Agent], layer: Layer) -> None:
        super().__init__(dut, agents)
        self._dut = dut
        self.layer = layer

    async def start(self, reset_cycles: int = 3) -> None:
        """Start, reset and load."""
        self._dut.table_write_i.value = 0
        self._dut.settings_i.value = packed_settings(self.layer.settings)
        await super().start(reset_cycles)
        await self.load(self.layer)

    async def load(self, layer: Layer) -> None:
        """Give the idle design a layer's settings, and its table as memory has it."""
        self.layer = layer
        await self.run_until(lambda: bool(self._dut.idle_o.value), 100)
        self._dut.settings_i.value = packed_settings(layer.settings)
        entries = np.frombuffer(pack_table(layer.integer.table), "<u8")
        assert entries.itemsize == TABLE_ENTRY_BYTES
        for index, entry in enumerate(entries.tolist()):
            self._dut.table_write_i.value = 1
            self._dut.table_index_i.value = index
            self._dut.table_entry_i.value = entry
            await self.step()
        self._dut.table_write_i.value = 0


class LrnBench(WordBench[Beat]):
    """The design between a driver and a monitor; an item is a beat, pixels follow each other.

    A beat has ``lanes`` words and takes a cycle for each part of ``part`` of them.
    """

    testbench: LoadedTestbench

    def __init__(self, dut: Any, layer: Layer | None = None) -> None:
        self.word_bits, self.max_size = int(dut.WordBits.value), int(dut.MaxSize.value)
        super().__init__(dut, int(dut.VectorLanes.value), int(dut.OutBits.value))
        self.part = int(dut.Lanes.value)
        self.ahead = -(-(self.max_size // 2) // self.part)
        self.latency = 13 + self.ahead
        agents: list[Agent] = [*self.sources, self.sink]
        self.testbench = LoadedTestbench(dut, agents, layer or self.random_layer())

    def random_layer(self) -> Layer:
        """Draw a layer that the design can run."""
        return random_layer(self.rng, self.word_bits, self.out_bits, self.max_size)

    def make_sources(self) -> tuple[StreamDriver, ...]:
        """Return the driver of the input."""
        dut = self.dut
        payload = {"last": dut.in_last_i, "count": dut.in_count_i, "words": dut.in_words_i}
        self.source = StreamDriver(dut.in_valid_i, dut.in_ready_o, payload, self.rng)
        return (self.source,)

    def outputs(self) -> dict[str, Any]:
        """Return the signals of the output."""
        return {"words": self.dut.out_words_o, "last": self.dut.out_last_o}

    def observed(self, beat: dict[str, int]) -> list[int]:
        """Return an output beat's words and its last flag."""
        return [*self.unpacked(beat["words"]), beat["last"]]

    def expected(self, item: Beat) -> list[int]:
        """Return what an output beat must be."""
        return [*super().expected(item), int(item.last)]

    def parts(self, item: Beat) -> int:
        """Return how many cycles a beat takes."""
        return -(-len(item.words) // self.part)

    def reference(self, item: Beat) -> IntArray:
        """Return the words that must come of a beat."""
        return item.expected

    def drive(self, item: Beat) -> None:
        """Queue a beat; within a pixel its count is junk."""
        count = len(item.words)
        if not item.last:
            count = self.rng.randint(0, self.lanes)
        words = pack(np.concatenate([item.words, item.junk]), self.word_bits)[0]
        self.source.send([{"last": int(item.last), "count": count, "words": words}])

    def random_item(self) -> Beat:
        """Draw a pixel of one beat."""
        return self.random_items(1)[0]

    def random_items(self, count: int) -> list[Beat]:
        """Draw so many beats, whole pixels."""
        beats: list[Beat] = []
        while len(beats) < count:
            channels = self.rng.choice([*CHANNELS, self.rng.randint(1, 3 * self.lanes)])
            channels = min(channels, (count - len(beats)) * self.lanes)
            beats += self.pixel(self.random_pixel(channels))
        return beats

    def random_pixel(self, channels: int) -> IntArray:
        """Draw the integers of a pixel's channels."""
        fmt = self.testbench.layer.source
        kind = self.rng.choice(["any", "any", "small", "sparse", "extreme", "high", "low"])
        q = self.random.integers(fmt.low, fmt.high, channels, endpoint=True)
        if kind == "small":
            q = np.trunc(q * 2.0 ** -self.random.integers(0, fmt.bits, channels)).astype(np.int64)
        elif kind == "sparse":
            q = np.where(self.random.random(channels) < 0.7, 0, q)
        elif kind == "extreme":
            q = np.where(q < (fmt.low + fmt.high) // 2, fmt.low, fmt.high)
        elif kind == "high":
            q = np.full(channels, fmt.high)
        elif kind == "low":
            q = np.full(channels, fmt.low)
        return q

    def pixel(self, q: IntArray) -> list[Beat]:
        """Cut a pixel's integers into beats."""
        layer = self.testbench.layer
        # Behind the last channel, its part has words of q = 0 and the other parts are not made.
        padded = np.zeros(-(-len(q) // self.part) * self.part, np.int64)
        padded[: len(q)] = q
        out = layer.words(padded[None])[0]
        out = np.append(out, np.zeros(-len(out) % self.lanes, np.int64))
        beats = []
        for start in range(0, len(q), self.lanes):
            part = q[start : start + self.lanes] + layer.source.zero
            junk = self.random.integers(0, 1 << self.word_bits, self.lanes - len(part))
            last = start + self.lanes >= len(q)
            beats.append(Beat(part, junk, last, out[start : start + self.lanes]))
        return beats
