"""Result records: what the cascade leaves in memory of each image, 64 bytes an image.

The record of image ``i`` lies at ``results + 64 * i``. It is sixteen little-endian 32-bit words;
``FIELDS`` is the format's one definition, which ``rtl/cascade/result_record_pkg.sv`` is generated
from. The hardware writes a record as one run of successive addresses, and the last word, which
holds ``run``, last: a host that polls memory clears the area or changes the run's number, and takes
a record as written when it finds the number there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from toolflow.confidence.decision import TOP_CLASSES

WORDS = 16
RECORD_BYTES = 4 * WORDS


class Unit(IntEnum):
    """Who decided an image."""

    LPU = 0
    HPU = 1


@dataclass(frozen=True)
class Field:
    """A field's place: first word, lowest bit in it, width; it may reach into the next word."""

    name: str
    word: int
    low: int
    width: int
    signed: bool
    text: str


def _top_fields() -> Iterable[Field]:
    for rank in range(TOP_CLASSES):
        yield Field(f"class_{rank}", 2 + rank, 0, 16, False, f"class of rank {rank}")
        yield Field(f"logit_{rank}", 2 + rank, 16, 16, True, "its logit")


FIELDS = (
    Field("image", 0, 0, 24, False, "index of the image"),
    Field("count", 1, 0, 3, False, "classes listed: 5, or all if they are fewer"),
    *_top_fields(),
    Field("margin", 7, 0, 32, True, "gBvSB: top M less the next N - M; 0 of the HPU"),
    Field("total", 8, 0, 33, False, "sum of all exponentials; 0 of the HPU"),
    Field("run", 15, 0, 16, False, "the run's number"),
    Field("unit", 15, 16, 1, False, "0: the LPU decided, 1: the HPU"),
    Field("confident", 15, 17, 1, False, "the LPU was confident"),
    Field("error", 15, 18, 1, False, "the logits were not read: nothing else is valid"),
)
"""Bits that no field names are 0. Ranks past ``count`` are 0."""


@dataclass(frozen=True)
class ResultRecord:
    """An image's result.

    Attributes:
        image: index of the image.
        unit: who decided.
        confident: the LPU was confident.
        error: the image's logits could not be read; the classes are not valid.
        classes: the best classes, best first, at most ``TOP_CLASSES``.
        logits: their logits, as the unit's integers.
        margin, total: the CEU's sums, 0 where the HPU decided.
        run: the run's number.
    """

    image: int
    unit: Unit
    confident: bool
    error: bool
    classes: tuple[int, ...]
    logits: tuple[int, ...]
    margin: int
    total: int
    run: int


def encode(record: ResultRecord) -> bytes:
    """Return a record's bytes as the hardware writes them.

    Raises:
        ValueError: classes and logits do not match, or a value does not fit its field.
    """
    if not len(record.classes) == len(record.logits) <= TOP_CLASSES:
        raise ValueError(f"{len(record.classes)} classes, {len(record.logits)} logits")
    values = {
        "image": record.image,
        "count": len(record.classes),
        "margin": record.margin,
        "total": record.total,
        "run": record.run,
        "unit": int(record.unit),
        "confident": int(record.confident),
        "error": int(record.error),
    }
    for rank, (index, logit) in enumerate(zip(record.classes, record.logits, strict=True)):
        values |= {f"class_{rank}": index, f"logit_{rank}": logit}
    word = 0
    for field in FIELDS:
        value = values.get(field.name, 0)
        low, high = _range(field)
        if not low <= value <= high:
            raise ValueError(f"{field.name} is {value}, not in {low}..{high}")
        word |= (value & ((1 << field.width) - 1)) << _place(field)
    return word.to_bytes(RECORD_BYTES, "little")


def decode(data: bytes) -> ResultRecord:
    """Return the record of 64 bytes.

    Raises:
        ValueError: not 64 bytes, a list longer than possible, or bits set that no field names.
    """
    if len(data) != RECORD_BYTES:
        raise ValueError(f"a record has {RECORD_BYTES} bytes, not {len(data)}")
    word = int.from_bytes(data, "little")
    values: dict[str, int] = {}
    for field in FIELDS:
        value = word >> _place(field) & ((1 << field.width) - 1)
        word &= ~(((1 << field.width) - 1) << _place(field))
        negative = field.signed and value >> (field.width - 1)
        values[field.name] = value - (1 << field.width) if negative else value
    count = values["count"]
    if word or count > TOP_CLASSES:
        raise ValueError("not a result record")
    return ResultRecord(
        image=values["image"],
        unit=Unit(values["unit"]),
        confident=bool(values["confident"]),
        error=bool(values["error"]),
        classes=tuple(values[f"class_{rank}"] for rank in range(count)),
        logits=tuple(values[f"logit_{rank}"] for rank in range(count)),
        margin=values["margin"],
        total=values["total"],
        run=values["run"],
    )


def read_results(data: bytes, run: int) -> list[ResultRecord | None]:
    """Return each image's record out of the result area, None where it is not of this run.

    Raises:
        ValueError: not whole records, or a record of this run that is not where it belongs.
    """
    if len(data) % RECORD_BYTES:
        raise ValueError(f"{len(data)} bytes are not whole records")
    place = next(field for field in FIELDS if field.name == "run")
    results: list[ResultRecord | None] = []
    for image in range(len(data) // RECORD_BYTES):
        part = data[RECORD_BYTES * image : RECORD_BYTES * (image + 1)]
        number = int.from_bytes(part, "little") >> _place(place) & ((1 << place.width) - 1)
        record = decode(part) if number == run else None
        if record is not None and record.image != image:
            raise ValueError(f"the record of image {record.image} is at the place of {image}")
        results.append(record)
    return results


def render_package() -> str:
    """Return the text of ``rtl/cascade/result_record_pkg.sv``."""
    members = "\n".join(_member(field) for field in FIELDS)
    places = "\n".join(_assignment(field) for field in FIELDS)
    return f"""\
// SPDX-License-Identifier: Apache-2.0
//
// Generated by `python -m toolflow.emission.result_records`; do not edit.
//
// An image's result record, as toolflow/emission/result_records.py defines it.

package result_record_pkg;

  localparam int unsigned RESULT_BITS = {32 * WORDS};

  typedef struct packed {{
{members}
  }} result_record_t;

  // A record's words as they lie in memory, the first in the lowest bits.
  function automatic logic [RESULT_BITS-1:0] result_words(input result_record_t fields);
    logic [RESULT_BITS-1:0] words;
    words = '0;
{places}
    return words;
  endfunction

endpackage
"""


def _place(field: Field) -> int:
    return 32 * field.word + field.low


def _range(field: Field) -> tuple[int, int]:
    if field.signed:
        return -(1 << (field.width - 1)), (1 << (field.width - 1)) - 1
    return 0, (1 << field.width) - 1


def _member(field: Field) -> str:
    sign = "signed " if field.signed else ""
    bits = f"[{field.width - 1}:0]" if field.width > 1 else ""
    declaration = f"    logic {sign}{bits}".ljust(24)
    return f"{declaration} {field.name + ';':10} // {field.text}"


def _assignment(field: Field) -> str:
    low = _place(field)
    bits = f"{low + field.width - 1}:{low}" if field.width > 1 else f"{low}"
    return f"    {f'words[{bits}]':14} = fields.{field.name};"


if __name__ == "__main__":
    print(render_package(), end="")
