"""What a run must do and leave in memory, from the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from toolflow.confidence.decision import decide
from toolflow.emission.address_map import Placement, load_words, store_words
from toolflow.emission.memory_map import UnitMap
from toolflow.emission.result_records import ResultRecord
from toolflow.emission.steps import schedule_of
from toolflow.simulation.expected import memory_words
from toolflow.simulation.memory import Layout
from toolflow.simulation.run import expected_records
from verif.system.uvm.campaign import Case
from verif.system.uvm.transactions import UNITS, StepDone

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Tensor:
    """A step's output for a batch: words, as bytes to compare, and what to call them."""

    label: str
    words: bytes = field(repr=False)


@dataclass(frozen=True)
class Written:
    """A step's output in memory: who wrote it, for which batch, and where."""

    unit: int
    batch: int
    index: int
    images: int
    workspace: int


class Reference:
    """The emulator's view of a run of all images of a case.

    Args:
        case: what runs.
        layout: where everything lies.
    """

    def __init__(self, case: Case, layout: Layout) -> None:
        self._case = case
        self._layout = layout
        forwarded = np.flatnonzero(~decide(case.logits[0], case.cascade.ceu).confident)
        self._order = (list(range(len(case.images))), [int(k) for k in forwarded])
        networks = case.cascade.lpu, case.cascade.hpu
        self._words = [memory_words(network, case.images) for network in networks]
        formats = [schedule_of(network).formats for network in networks]
        self._signed = [
            {name: unit_formats[name].signed for name in words}
            for unit_formats, words in zip(formats, self._words, strict=True)
        ]

    @property
    def images(self) -> int:
        """How many images a run has."""
        return len(self._case.images)

    @property
    def forwarded(self) -> int:
        """How many of them the HPU decides."""
        return len(self._order[1])

    def unit_map(self, unit: int) -> UnitMap:
        """Return a unit's steps and places."""
        unit_map: UnitMap = getattr(self._case.cascade.memory_map, UNITS[unit])
        return unit_map

    def records(self, run: int) -> list[ResultRecord]:
        """Return every image's record."""
        records = expected_records(self._case.cascade, self._case.logits)
        return [replace(record, run=run) for record in records]

    def steps(self, unit: int) -> list[StepDone]:
        """Return a unit's steps, batch by batch: full ones, the rest in the last."""
        batch, images = self.unit_map(unit).batch, len(self._order[unit])
        base = self._layout.base(f"workspace_{UNITS[unit]}_0")
        banks = base, base + self._layout.banks[UNITS[unit]]
        return [
            StepDone(unit, index, min(batch, images - first), banks[first // batch % 2])
            for first in range(0, images, batch)
            for index in range(len(self.unit_map(unit).steps))
        ]

    def written(self, steps: list[StepDone]) -> list[Written]:
        """Return what the steps of one unit wrote, in their order."""
        written, batch = [], -1
        for step in steps:
            batch += step.index == 0
            written.append(Written(step.unit, batch, step.index, step.images, step.workspace))
        return written

    def painted(self, written: list[Written]) -> tuple[list[Written], BoolArray]:
        """Return what nobody has written over, and every byte that was written."""
        owners = np.full(self._layout.size, -1, np.int64)
        for number, output in enumerate(written):
            owners[self._bytes(output)] = number
        kept = [
            output
            for number, output in enumerate(written)
            if np.all(owners[self._bytes(output)] == number)
        ]
        return kept, owners >= 0

    def expected_tensor(self, output: Written) -> Tensor:
        """Return what an output must be."""
        batch = self.unit_map(output.unit).batch
        images = self._order[output.unit][output.batch * batch :][: output.images]
        words = self._words[output.unit][self._name(output)][images]
        return Tensor(self._label(output), np.ascontiguousarray(words, np.int64).tobytes())

    def found_tensor(self, output: Written, memory: bytes) -> Tensor:
        """Return what an output is."""
        name = self._name(output)
        words = load_words(
            memory,
            output.workspace,
            self._place(output),
            output.images,
            self._signed[output.unit][name],
        )
        return Tensor(self._label(output), np.ascontiguousarray(words, np.int64).tobytes())

    def _bytes(self, output: Written) -> IntArray:
        """Return the addresses of an output's bytes, and of joined images that are not there."""
        place = self._place(output)
        images = self.unit_map(output.unit).steps[output.index].written_images(output.images)
        mask = bytearray(place.base + images * place.image_stride)
        shape = images, place.channels, place.height, place.width
        store_words(mask, 0, place, np.full(shape, -1))
        return output.workspace + np.flatnonzero(np.frombuffer(mask, np.uint8))

    def _place(self, output: Written) -> Placement:
        return self.unit_map(output.unit).tensors[self._name(output)]

    def _name(self, output: Written) -> str:
        return self.unit_map(output.unit).steps[output.index].output

    def _label(self, output: Written) -> str:
        step = self.unit_map(output.unit).steps[output.index]
        return f"{UNITS[output.unit].upper()} batch {output.batch} step {step.name} ({step.op})"


def difference(expected: Tensor, found: Tensor) -> str:
    """Return how a tensor differs from what it must be."""
    words = [np.frombuffer(tensor.words, np.int64) for tensor in (expected, found)]
    if len(words[0]) != len(words[1]):
        return f"{expected.label}: {len(words[1])} words, expected {len(words[0])}"
    places = np.flatnonzero(words[0] != words[1])
    first = places[0]
    return (
        f"{expected.label}: {len(places)} of {len(words[0])} words differ, the first at {first}: "
        f"{words[1][first]}, expected {words[0][first]}"
    )


def changed(before: bytes, after: bytes, allowed: BoolArray) -> Iterator[int]:
    """Yield the addresses of bytes that have changed and were not allowed to."""
    old, new = (np.frombuffer(data, np.uint8) for data in (before, after))
    free = np.zeros(len(old), bool)
    free[: len(allowed)] = allowed
    yield from (int(k) for k in np.flatnonzero((old != new) & ~free))
