"""A run of the cascade: registers, both units' logits, memory layout, and what must come of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from toolflow.confidence.decision import (
    FORWARD_ALL,
    FORWARD_NONE,
    TOP_CLASSES,
    CeuParameters,
    decide,
)
from toolflow.confidence.exp_table import exp_scale
from toolflow.emission.result_records import RECORD_BYTES, ResultRecord, Unit, encode

MEMORY_BASE = 0x4000_0000
GUARD_BYTES = 2 * RECORD_BYTES


class Outcome(IntEnum):
    """``outcome_e`` of ``control_pkg``."""

    GOOD = 0
    CONFIG = 1
    LPU = 2
    HPU = 3
    LOGITS = 4
    RECORDS = 5
    ABORTED = 6


@dataclass(frozen=True)
class Sizes:
    """Parameters of the simulated module."""

    data_bits: int
    max_batch: int
    queue_depth: int
    max_classes: int
    max_n: int


@dataclass(frozen=True)
class UnitConfig:
    """``unit_config_t`` of ``control_pkg``."""

    batch: int
    workspace: int
    bank_bytes: int
    logits: int
    logits_stride: int

    def fields(self) -> list[tuple[int, int]]:
        """Return values and widths, the highest first."""
        addresses = (self.workspace, self.bank_bytes, self.logits, self.logits_stride)
        return [(self.batch, 8), *((address, 32) for address in addresses)]


@dataclass(frozen=True)
class RunConfig:
    """``run_config_t`` of ``control_pkg``."""

    count: int
    images: int
    image_stride: int
    lpu: UnitConfig
    hpu: UnitConfig
    classes: int
    results: int
    run: int
    ceu: CeuParameters
    eager: bool
    exclusive: bool
    chunk: int

    def word(self, m: int | None = None, n: int | None = None) -> int:
        """Return the packed structure; ``m`` and ``n`` replace legal ones."""
        fields = [
            *((self.count, 24), (self.images, 32), (self.image_stride, 32)),
            *self.lpu.fields(),
            *self.hpu.fields(),
            *((self.classes, 17), (self.results, 32), (self.run, 16)),
            (self.ceu.m if m is None else m, 7),
            (self.ceu.n if n is None else n, 7),
            (self.ceu.threshold & ((1 << 18) - 1), 18),
            *((self.ceu.exp_mult, 16), (self.ceu.exp_shift, 5)),
            *((int(self.eager), 1), (int(self.exclusive), 1), (self.chunk, 24)),
        ]
        word = 0
        for value, width in fields:
            assert 0 <= value < 1 << width, f"{value} in {width} bits"
            word = word << width | value
        return word

    def unit(self, unit: int) -> UnitConfig:
        """Return a unit's part."""
        return self.hpu if unit else self.lpu

    def image_of(self, address: int) -> int:
        """Return which image a stored image's address belongs to."""
        image, rest = divmod((address - self.images) % (1 << 32), self.image_stride)
        assert not rest, f"no image at {address:#x}"
        assert image < self.count, f"no image at {address:#x}"
        return image


@dataclass(frozen=True, eq=False)
class Run:
    """A run's registers, both units' logits (images x classes) and the size of its memory."""

    config: RunConfig
    logits: tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]
    memory_bytes: int

    def records(self) -> list[ResultRecord]:
        """Return the record of every image, in order, of a run without errors."""
        return [self.record(image) for image in range(self.config.count)]

    def is_forwarded(self, image: int) -> bool:
        """Whether the CEU forwards an image."""
        return not decide(np.array([self.logits[0][image]]), self.config.ceu).confident[0]

    def record(self, image: int) -> ResultRecord:
        """Return an image's record in a run without errors."""
        return self.record_of(image, int(self.is_forwarded(image)))

    def record_of(self, image: int, unit: int) -> ResultRecord:
        """Return an image's record as a unit's logits make it."""
        logits = self.logits[unit][image]
        decision = decide(np.array([logits]), self.config.ceu)
        classes = [int(index) for index in decision.top[0]][:TOP_CLASSES]
        return ResultRecord(
            image=image,
            unit=Unit(unit),
            confident=not unit and bool(decision.confident[0]),
            error=False,
            classes=tuple(classes),
            logits=tuple(logits[index] for index in classes),
            margin=0 if unit else int(decision.margin[0]),
            total=0 if unit else int(decision.total[0]),
            run=self.config.run,
        )

    def failed_record(self, image: int, unit: int) -> bytes:
        """Return an image's record whose logits were read with an error (but unchanged)."""
        return encode(replace(self.record_of(image, unit), confident=False, error=True))


def random_logits(rng: random.Random, classes: int) -> list[int]:
    """Draw an image's logits, close to each other or not, with ties."""
    spread = rng.choice([2, 40, 600, 32767])
    return [rng.randint(-spread - 1, spread) for _ in range(classes)]


def random_run(
    rng: random.Random,
    sizes: Sizes,
    *,
    count: int | None = None,
    forward: str | None = None,
    **changes: object,
) -> Run:
    """Draw a run; ``changes`` replace registers, ``forward`` is "all", "none" or "some".

    Changes named ``lpu_...`` and ``hpu_...`` are of the units.
    """
    classes = int(str(changes.pop("classes", rng.randint(1, sizes.max_classes))))
    count = rng.choice([0, 1, 2, *[rng.randint(3, 40)] * 5]) if count is None else count
    logits = tuple([random_logits(rng, classes) for _ in range(count)] for _ in range(2))
    n = rng.randint(1, sizes.max_n)
    scale = exp_scale(rng.randint(0, 10))
    ceu = CeuParameters(rng.randint(1, n), n, 0, scale.mult, scale.shift)
    kind = forward or rng.choice(["all", "none", "some", "some", "some"])
    threshold = {"all": FORWARD_ALL, "none": FORWARD_NONE, "some": 0}[kind]
    if kind == "some" and count:
        threshold = int(decide(np.array([rng.choice(logits[0])]), ceu).score[0]) + rng.randint(0, 1)
    beat = sizes.data_bits // 8
    address = MEMORY_BASE
    units = []
    for unit in ("lpu", "hpu"):
        stride = -(-2 * classes // beat) * beat + beat * rng.randint(0, 2)
        offset = beat * rng.randint(0, 3)
        room = offset + sizes.max_batch * stride
        banks = rng.choice([0, room + beat * rng.randint(0, 2)])
        limit = min(sizes.max_batch, sizes.queue_depth) if unit == "lpu" else sizes.max_batch
        part = UnitConfig(rng.randint(1, limit), address, banks, address + offset, stride)
        mine = {key[4:]: value for key, value in changes.items() if key.startswith(unit)}
        if mine.pop("banks", 2 if banks else 1) == 2:
            mine["bank_bytes"] = banks or room
        else:
            mine["bank_bytes"] = 0
        part = replace(part, **mine)  # type: ignore[arg-type]
        address = part.logits + part.bank_bytes + sizes.max_batch * stride
        units.append(part)
    results = -(-address // RECORD_BYTES) * RECORD_BYTES + GUARD_BYTES
    config = RunConfig(
        count=count,
        images=rng.getrandbits(32),
        image_stride=64 * rng.randint(1, 1000),
        lpu=units[0],
        hpu=units[1],
        classes=classes,
        results=results,
        run=rng.getrandbits(16),
        ceu=replace(ceu, threshold=threshold),
        eager=rng.random() < 0.3,
        exclusive=rng.random() < 0.3,
        chunk=rng.choice([1, rng.randint(1, 12), 1000]),
    )
    config = replace(
        config,
        **{k: v for k, v in changes.items() if k[:4] not in ("lpu_", "hpu_")},  # type: ignore[arg-type]
    )
    size = results + RECORD_BYTES * count + GUARD_BYTES - MEMORY_BASE
    return Run(config, (logits[0], logits[1]), size)
