"""cocotb tests of ``vector_unit`` against the emulator's layers."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from toolflow.fixedpoint import Format
from toolflow.network.graph import Activate, Activation, ActivationKind, AvgPool, MaxPool
from verif.common.packing import pack
from verif.common.streams import StreamDriver, never
from verif.common.word_bench import IntArray, WordBench
from verif.unit.vector_unit.vector_layers import (
    Output,
    VectorLayer,
    Widths,
    random_layer,
    random_words,
    vector_layer,
)

SETTINGS = (
    "op", "in_signed", "second_signed", "zero_in", "zero_second", "align_first", "align_second",
    "count_pad", "shift", "low", "high", "zero_out", "out_wide", "leaky", "slope_mantissa",
    "slope_shift",
)  # fmt: skip
"""The descriptor's fields that are settings of the design."""

OUTPUTS = 12
PLAIN = Activation()


class Bench(WordBench[Output]):
    """The design between a driver and a monitor; all items drawn at once are of one layer.

    Attributes:
        live: lanes that are channels of the layer; the others are not compared.
        always_full: whether all layers drawn have channels for all lanes.
        kinds: how many layers of each kind were run.
    """

    cycles_per_item = 36

    def __init__(self, dut: Any) -> None:
        self.widths = Widths(
            in_bits=int(dut.InBits.value),
            act_bits=int(dut.ActBits.value),
            out_bits=int(dut.OutBits.value),
            acc_bits=int(dut.AccBits.value),
            leaky=bool(int(dut.LeakySupport.value)),
        )
        self.latency = 17 + (7 if self.widths.leaky else 4)
        super().__init__(dut, int(dut.Lanes.value), self.widths.out_bits)
        self.live = self.lanes
        self.always_full = False
        self.kinds: dict[str, int] = {}

    def make_sources(self) -> tuple[StreamDriver, ...]:
        """Return the driver of the input."""
        dut = self.dut
        payload = {
            "words": dut.in_words_i,
            "first": dut.in_first_i,
            "last": dut.in_last_i,
            "pad": dut.in_pad_i,
            "second": dut.in_second_i,
        }
        self.source = StreamDriver(dut.in_valid_i, dut.in_ready_o, payload, self.rng)
        return (self.source,)

    def drive(self, item: Output) -> None:
        """Queue an output's beats."""
        mask = (1 << self.widths.in_bits) - 1
        for beat in item.beats:
            self.source.send(
                [
                    {
                        "words": pack(beat.words & mask, self.widths.in_bits)[0],
                        "first": int(beat.first),
                        "last": int(beat.last),
                        "pad": int(beat.pad),
                        "second": int(beat.second),
                    }
                ]
            )

    def reference(self, item: Output) -> IntArray:
        """Return the emulator's words."""
        return item.words

    def observed(self, beat: dict[str, int]) -> list[int]:
        """Return the words of an output beat that are channels of the layer."""
        return super().observed(beat)[: self.live]

    def expected(self, item: Output) -> list[int]:
        """Return the words that must come, in the lanes that are compared."""
        return super().expected(item)[: self.live]

    def set_layer(self, layer: VectorLayer) -> None:
        """Set a layer's settings; nothing may be inside."""
        assert self.board.done
        kind = type(layer.layer.layer).__name__
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        for name in SETTINGS:
            signal = getattr(self.dut, f"{name}_i")
            signal.value = layer.fields[name] & ((1 << _width(signal)) - 1)

    def random_item(self) -> Output:
        """Draw one output of a layer of its own."""
        return self.random_items(1)[0]

    def random_items(self, count: int) -> list[Output]:
        """Draw a layer, make its settings, and draw some of its outputs, in any order."""
        channels = self.lanes if self.always_full else self.rng.randint(1, 2 * self.lanes)
        layer = random_layer(self.widths, channels, self.rng)
        self.set_layer(layer)
        _, height, width = layer.output.shape
        start = self.rng.randrange(0, channels, self.lanes)
        self.live = min(self.lanes, channels - start)
        return [
            layer.output_at(
                self.rng.randrange(height), self.rng.randrange(width), start, self.lanes, self.rng
            )
            for _ in range(count)
        ]

    async def whole(self, layer: VectorLayer) -> list[Output]:
        """Run all of a layer, whose channels fill all lanes; return its outputs."""
        assert layer.output.shape[0] % self.lanes == 0
        self.live = self.lanes
        self.set_layer(layer)
        outputs = list(layer.outputs(self.lanes, self.rng))
        self.send(outputs)
        beats = sum(len(output.beats) for output in outputs)
        await self.testbench.run_until(lambda: self.board.done, beats + 2 * self.latency)
        self.board.finish()
        return outputs

    def pooling(
        self,
        kind: type[MaxPool] | type[AvgPool],
        size: int,
        kernel: int,
        stride: int,
        pad: int,
        fill: str = "any",
        chunks: int = 1,
        **more: Any,
    ) -> VectorLayer:
        """Return a pooling of a square map, of the activations' largest format or of logits."""
        bits = min(self.widths.in_bits, self.widths.act_bits)
        source = Format(bits, 0, False, (1 << bits) // 3)
        output = source if kind is MaxPool else source.at(2)
        out = (size + 2 * pad - kernel) // stride + 1
        channels = chunks * self.lanes
        spec = kind(
            name="layer", inputs=("x",), output="y", out_shape=(channels, out, out),
            kernel=(kernel, kernel), stride=(stride, stride), pads=(pad, pad, pad, pad), **more,
        )  # fmt: skip
        shape = (channels, size, size)
        words = random_words(source, shape, self.rng)
        if fill != "any":
            words = np.full(shape, (1 << bits) - 1 if fill == "top" else 0)
        return vector_layer(spec, (source,), output, self.widths.act_bits, (words,))


def _width(signal: Any) -> int:
    return len(signal) if hasattr(signal, "__len__") else 1


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_stall_pattern(dut: Any) -> None:
    """Random layers of all kinds and formats under every pair of stall patterns."""
    bench = Bench(dut)
    await bench.every_stall_pattern(OUTPUTS)
    assert sum(bench.kinds.values()) == 16


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def many_layers(dut: Any) -> None:
    """Random layers of all kinds and formats, one after the other."""
    bench = Bench(dut)
    await bench.testbench.start()
    for _ in range(120):
        bench.send(bench.random_items(OUTPUTS))
        await bench.drain(OUTPUTS)
    assert bench.board.compared == 120 * OUTPUTS
    assert set(bench.kinds) == {"MaxPool", "AvgPool", "Add", "Activate"}
    assert min(bench.kinds.values()) >= 10


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def whole_layers_at_full_rate(dut: Any) -> None:
    """The usual poolings, all outputs in order: a beat a cycle, each output at the latency."""
    bench = Bench(dut)
    await bench.testbench.start()
    layers = [
        bench.pooling(MaxPool, 7, kernel=3, stride=2, pad=0, chunks=2),
        bench.pooling(MaxPool, 6, kernel=2, stride=2, pad=0),
        bench.pooling(MaxPool, 5, kernel=3, stride=1, pad=1, fill="bottom"),
        bench.pooling(AvgPool, 6, kernel=2, stride=2, pad=0),
        bench.pooling(AvgPool, 7, kernel=3, stride=2, pad=1, count_include_pad=True, chunks=2),
        bench.pooling(AvgPool, 7, kernel=3, stride=1, pad=1, count_include_pad=False),
        bench.pooling(AvgPool, 6, kernel=5, stride=1, pad=2, count_include_pad=False, fill="top"),
        bench.pooling(AvgPool, 14, kernel=14, stride=1, pad=0, chunks=2),
        bench.pooling(AvgPool, 14, kernel=14, stride=1, pad=0, fill="bottom"),
    ]
    for layer in layers:
        bench.source.accepted_cycles.clear()
        bench.sink.beat_cycles.clear()
        outputs = await bench.whole(layer)
        beats = [beat for output in outputs for beat in output.beats]
        first = bench.source.accepted_cycles[0]
        assert bench.source.accepted_cycles == list(range(first, first + len(beats)))
        lasts = [first + index for index, beat in enumerate(beats) if beat.last]
        assert bench.sink.beat_cycles == [cycle + bench.latency for cycle in lasts]


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def largest_sums(dut: Any) -> None:
    """The largest map that the widths allow, full of the largest and of the smallest word."""
    bench = Bench(dut)
    await bench.testbench.start()
    words = bench.widths.acc_bits - 16 - min(bench.widths.in_bits, bench.widths.act_bits)
    size = min(112, int(2 ** (words / 2)))
    for fill in ("top", "bottom"):
        await bench.whole(bench.pooling(AvgPool, size, kernel=size, stride=1, pad=0, fill=fill))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_blocked_output_keeps_what_came(dut: Any) -> None:
    """Activations go in until the pipeline is full; none is lost."""
    bench = Bench(dut)
    await bench.testbench.start()
    fmt = Format(min(bench.widths.in_bits, bench.widths.act_bits), 0)
    spec = Activate(
        name="layer", inputs=("x",), output="y", out_shape=(bench.lanes, 8, 8),
        activation=Activation(ActivationKind.RELU),
    )  # fmt: skip
    words = (random_words(fmt, spec.out_shape, bench.rng),)
    layer = vector_layer(spec, (fmt,), fmt, bench.widths.act_bits, words)
    bench.live = bench.lanes
    bench.set_layer(layer)
    bench.sink.stall = lambda: True
    bench.send(list(layer.outputs(bench.lanes, bench.rng)))
    await bench.testbench.run(2 * bench.latency)
    assert len(bench.source.accepted_cycles) == bench.latency + 1
    bench.sink.stall = never
    await bench.drain(64)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset drops the beats in the pipeline and a half-done output, and the block works on."""
    bench = Bench(dut)
    await bench.reset_in_flight(rounds=20, items=8, flush=2 * bench.latency)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """One flipped bit in one expected word must fail the comparison."""
    bench = Bench(dut)
    bench.always_full = True
    await bench.planted_error_is_found()
