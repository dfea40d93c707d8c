"""cocotb tests of ``ceu`` against ``toolflow.confidence.decision``."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil, log2
from typing import Any

import cocotb
import numpy as np
import pytest

from toolflow.confidence.decision import (
    FORWARD_ALL,
    FORWARD_NONE,
    TOP_CLASSES,
    CeuParameters,
    decide,
)
from toolflow.confidence.exp_table import EXP_BITS, exp_scale
from verif.common.packing import pack
from verif.common.scoreboard import Scoreboard
from verif.common.streams import StreamDriver, StreamMonitor, Testbench, never, stall_patterns

PIPELINE = 9
"""Cycles of the decision's pipeline: the latency beyond one cycle a class."""

THRESHOLD_LOW, THRESHOLD_HIGH = -(1 << 17), (1 << 17) - 1


@dataclass(frozen=True)
class Image:
    """An image's logits and the registers that belong to it."""

    logits: list[int]
    parameters: CeuParameters


class Bench:
    """The design between a driver and a monitor; the reference feeds the scoreboard."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.max_classes = int(dut.MaxClasses.value)
        self.max_n = int(dut.MaxN.value)
        self.logit_bits = int(dut.LogitBits.value)
        self.low = -(1 << (self.logit_bits - 1))
        self.high = (1 << (self.logit_bits - 1)) - 1
        self.class_bits = ceil(log2(self.max_classes))
        self.margin_bits = EXP_BITS + ceil(log2(self.max_n)) + 1
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.board: Scoreboard[dict[str, int]] = Scoreboard("records")
        self.seen: Counter[str] = Counter()
        self.source = StreamDriver(
            dut.in_valid_i,
            dut.in_ready_o,
            {
                "logit": dut.in_logit_i,
                "last": dut.in_last_i,
                "m": dut.m_i,
                "n": dut.n_i,
                "threshold": dut.threshold_i,
                "exp_mult": dut.exp_mult_i,
                "exp_shift": dut.exp_shift_i,
            },
            self.rng,
        )
        self.sink = StreamMonitor(
            dut.out_valid_o,
            dut.out_ready_i,
            {
                "count": dut.out_count_o,
                "class": dut.out_class_o,
                "logit": dut.out_logit_o,
                "margin": dut.out_margin_o,
                "total": dut.out_total_o,
                "confident": dut.out_confident_o,
                "overrun": dut.out_overrun_o,
            },
            self.board.observe,
        )
        self.testbench = Testbench(dut, [self.source, self.sink])

    def expected(self, image: Image) -> dict[str, int]:
        """Return the record of an image, as bit patterns."""
        kept = image.logits[: self.max_classes]
        overrun = len(image.logits) > self.max_classes
        decision = decide(np.array([kept]), image.parameters)
        top = decision.top[0]
        margin, total = int(decision.margin[0]), int(decision.total[0])
        confident = bool(decision.confident[0]) and not overrun
        self.seen["confident" if confident else "forwarded"] += 1
        if margin << 16 == image.parameters.threshold * total:
            self.seen["on the boundary"] += 1
        classes = np.zeros(TOP_CLASSES, np.int64)
        logits = np.zeros(TOP_CLASSES, np.int64)
        classes[: top.size] = top
        logits[: top.size] = np.array(kept)[top]
        return {
            "count": top.size,
            "class": pack(classes, self.class_bits)[0],
            "logit": pack(logits, self.logit_bits)[0],
            "margin": margin & ((1 << self.margin_bits) - 1),
            "total": total,
            "confident": int(confident),
            "overrun": int(overrun),
        }

    def drive(self, image: Image, **registers: int) -> None:
        """Queue an image. Only its first logit comes with its registers, the others with junk.

        ``registers`` replace those of the image.
        """
        p = image.parameters
        first = {
            "m": p.m,
            "n": p.n,
            "threshold": p.threshold & ((1 << 18) - 1),
            "exp_mult": p.exp_mult,
            "exp_shift": p.exp_shift,
        } | registers
        for index, logit in enumerate(image.logits):
            junk = {
                "m": self.rng.randint(0, self.max_n),
                "n": self.rng.randint(0, self.max_n),
                "threshold": self.rng.getrandbits(18),
                "exp_mult": self.rng.getrandbits(16),
                "exp_shift": self.rng.getrandbits(5),
            }
            beat = {
                "logit": logit & ((1 << self.logit_bits) - 1),
                "last": int(index == len(image.logits) - 1),
            }
            self.source.send([beat | (junk if index else first)])

    def send(self, images: Iterable[Image]) -> None:
        """Queue images and expect their records."""
        for image in images:
            self.drive(image)
            self.board.expect([self.expected(image)])

    def random_logits(self, classes: int) -> list[int]:
        """Draw an image's logits: any, clustered, tied, extreme, equal or sorted."""
        kind = self.rng.choice(["any", "near", "near", "ties", "extremes", "equal", "sorted"])
        if kind == "equal":
            return [self.rng.randint(self.low, self.high)] * classes
        if kind == "ties":
            base = self.rng.randint(self.low + 1, self.high - 1)
            return [base + self.rng.choice([-1, 0, 1]) for _ in range(classes)]
        if kind == "extremes":
            some = [self.low, self.low + 1, -1, 0, self.high - 1, self.high]
            return [self.rng.choice(some) for _ in range(classes)]
        if kind == "near":
            spread = 1 << self.rng.randrange(self.logit_bits)
            drawn = [round(self.rng.gauss(0, spread)) for _ in range(classes)]
            return [min(max(logit, self.low), self.high) for logit in drawn]
        drawn = [self.rng.randint(self.low, self.high) for _ in range(classes)]
        return drawn if kind == "any" else sorted(drawn, reverse=self.rng.random() < 0.5)

    def random_image(self, classes: int) -> Image:
        """Draw an image; half of the thresholds are at, or one past, what it just reaches."""
        logits = self.random_logits(classes)
        n = self.rng.randint(1, self.max_n)
        scale = exp_scale(self.rng.randint(-2, 16), self.rng.uniform(0.5, 4))
        corner = self.rng.random() < 0.3
        p = CeuParameters(
            m=self.rng.choice([1, n, self.rng.randint(1, n)]),
            n=n,
            threshold=0,
            exp_mult=self.rng.choice([0, 1, 0x8000, 0xFFFF]) if corner else scale.mult,
            exp_shift=self.rng.choice([0, 1, 15, 16, 31]) if corner else scale.shift,
        )
        score = int(decide(np.array([logits[: self.max_classes]]), p).score[0])
        extremes = [THRESHOLD_LOW, THRESHOLD_HIGH, FORWARD_ALL, FORWARD_NONE, FORWARD_ALL - 1]
        kind = self.rng.choice(["boundary", "boundary", "extreme", "any"])
        threshold = {
            "boundary": score + self.rng.randint(0, 1),
            "extreme": self.rng.choice(extremes),
            "any": self.rng.randint(-70000, 70000),
        }[kind]
        return Image(logits, replace(p, threshold=threshold))

    def random_images(self, count: int) -> list[Image]:
        """Draw small images (large ones cost many cycles)."""
        limit = min(self.max_classes, 24)
        return [self.random_image(self.rng.randint(1, limit)) for _ in range(count)]

    async def drain(self, cycles: int) -> None:
        """Run until everything expected has been observed."""
        await self.testbench.run_until(lambda: self.board.done, cycles)
        self.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def every_stall_pattern(dut: Any) -> None:
    """Random images, each with its own registers, under every pair of stall patterns."""
    bench = Bench(dut)
    await bench.testbench.start()
    patterns = [stall_patterns(bench.rng).values() for _ in range(2)]
    for bench.source.stall, bench.sink.stall in itertools.product(*patterns):
        bench.send(bench.random_images(25))
        await bench.drain(20000)
    assert bench.board.compared == 16 * 25
    assert min(bench.seen["confident"], bench.seen["forwarded"]) > 50


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def class_counts(dut: Any) -> None:
    """Two classes up to as many as there is room for."""
    bench = Bench(dut)
    await bench.testbench.start()
    limit = bench.max_classes
    for classes in sorted({1, 2, 3, 10, limit // 2, limit - 1, limit} & {*range(1, limit + 1)}):
        bench.send(bench.random_image(classes) for _ in range(4))
        await bench.drain(12 * limit + 1000)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def exact_boundary(dut: Any) -> None:
    """Equal classes, a power of two of them: the quotient is a threshold, exactly."""
    bench = Bench(dut)
    await bench.testbench.start()
    scale = exp_scale(8)
    sizes = [size for size in (1, 2, 4, 8) if size <= bench.max_classes]
    for classes in sizes:
        for n in range(1, bench.max_n + 1):
            for m in range(1, n + 1):
                added, listed = min(m, classes), min(n, classes)
                quotient = ((2 * added - listed) << 16) // classes
                logits = [bench.rng.randint(bench.low, bench.high)] * classes
                for threshold in (quotient - 1, quotient, quotient + 1):
                    p = CeuParameters(m, n, threshold, scale.mult, scale.shift)
                    bench.send([Image(logits, p)])
    boundary = bench.seen["on the boundary"]
    assert boundary == len(sizes) * bench.max_n * (bench.max_n + 1) // 2
    assert bench.seen["confident"] == 2 * boundary
    await bench.drain(100000)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def cycles(dut: Any) -> None:
    """Without stalls: the stated latency and cycles an image, for several class counts."""
    bench = Bench(dut)
    await bench.testbench.start()
    counts = sorted({1, 2, min(3, bench.max_classes), min(10, bench.max_classes)})
    counts.append(bench.max_classes)
    bench.send(bench.random_image(classes) for classes in counts for _ in range(2))
    await bench.drain(10 * bench.max_classes + 1000)
    start = bench.source.accepted_cycles[0]
    accepted: list[int] = []
    records: list[int] = []
    for classes in (classes for classes in counts for _ in range(2)):
        accepted += range(start, start + classes)
        records.append(start + classes - 1 + classes + PIPELINE)
        start += 2 * classes + PIPELINE
    assert bench.source.accepted_cycles == accepted
    assert bench.sink.valid_cycles == records
    assert bench.sink.beat_cycles == records


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def overrun(dut: Any) -> None:
    """Too many logits: those past the room are dropped, the image is flagged and forwarded."""
    bench = Bench(dut)
    await bench.testbench.start()
    for surplus in (1, 2, 17):
        image = bench.random_image(bench.max_classes + surplus)
        bench.send([replace(image, parameters=replace(image.parameters, threshold=FORWARD_NONE))])
        bench.send(bench.random_images(2))
        bench.send([bench.random_image(bench.max_classes)])
    assert bench.seen["forwarded"] >= 3
    await bench.drain(20 * bench.max_classes + 2000)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def record_waits(dut: Any) -> None:
    """While a record is not taken it stands still, and no logit is taken."""
    bench = Bench(dut)
    await bench.testbench.start()
    images = bench.random_images(2)
    bench.sink.stall = lambda: True
    bench.send(images)
    await bench.testbench.run(200)
    assert len(bench.source.accepted_cycles) == len(images[0].logits)
    assert len(bench.sink.valid_cycles) == 1
    bench.sink.stall = never
    await bench.drain(500)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def reset_in_flight(dut: Any) -> None:
    """A reset at any point of an image drops it, and the unit works on."""
    bench = Bench(dut)
    await bench.testbench.start()
    classes = min(bench.max_classes, 12)
    for run in range(2 * classes + PIPELINE + 5):
        bench.sink.stall = lambda: True
        bench.send([bench.random_image(classes)])
        await bench.testbench.run(run)
        await bench.testbench.reset(1)
        bench.board.drop()
        bench.sink.stall = never
        await bench.testbench.run(PIPELINE + classes)  # what came out now would be unexpected
        bench.send(bench.random_images(2))
        await bench.drain(500)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_error_is_found(dut: Any) -> None:
    """A decision by > in place of >= in the reference must fail the comparison."""
    bench = Bench(dut)
    await bench.testbench.start()
    bench.send(bench.random_images(3))
    scale = exp_scale(8)
    image = Image([7, 7], CeuParameters(1, 1, 1 << 15, scale.mult, scale.shift))
    bench.drive(image)
    record = bench.expected(image)
    assert bench.seen["on the boundary"] >= 1
    bench.board.expect([record | {"confident": 0}])
    with pytest.raises(AssertionError, match="records: item 3 is"):
        await bench.drain(1000)
