from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolflow.emission.result_records import (
    FIELDS,
    RECORD_BYTES,
    ResultRecord,
    Unit,
    decode,
    encode,
    read_results,
    render_package,
)

PACKAGE = Path(__file__).parents[2] / "rtl" / "cascade" / "result_record_pkg.sv"

RECORD = ResultRecord(3, Unit.LPU, True, False, (7, 0), (-5, -32768), -1, 1 << 32, 0xBEEF)


def _signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


@st.composite
def records(draw: st.DrawFn) -> ResultRecord:
    count = draw(st.integers(0, 5))
    return ResultRecord(
        image=draw(st.integers(0, (1 << 24) - 1)),
        unit=draw(st.sampled_from(Unit)),
        confident=draw(st.booleans()),
        error=draw(st.booleans()),
        classes=tuple(draw(st.integers(0, 65535)) for _ in range(count)),
        logits=tuple(draw(_signed(16)) for _ in range(count)),
        margin=draw(_signed(32)),
        total=draw(st.integers(0, (1 << 33) - 1)),
        run=draw(st.integers(0, 65535)),
    )


@given(records())
def test_what_was_encoded_is_decoded(record: ResultRecord) -> None:
    assert decode(encode(record)) == record


def test_bytes_of_one_record() -> None:
    data = encode(RECORD)
    assert len(data) == RECORD_BYTES
    words = [int.from_bytes(data[k : k + 4], "little") for k in range(0, RECORD_BYTES, 4)]
    assert words == [3, 2, 0xFFFB0007, 0x80000000, 0, 0, 0, 0xFFFFFFFF, 0, 1, *[0] * 5, 0x2BEEF]


def test_fields_do_not_overlap() -> None:
    taken: set[int] = set()
    for field in FIELDS:
        bits = {32 * field.word + field.low + k for k in range(field.width)}
        assert not bits & taken
        assert max(bits) < 8 * RECORD_BYTES
        taken |= bits


def test_run_is_in_the_last_word() -> None:
    assert next(field for field in FIELDS if field.name == "run").word == 15


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": 1 << 24},
        {"classes": (1 << 16, 0)},
        {"logits": (0, 32768)},
        {"logits": (0,)},
        {"total": -1},
        {"classes": (0,) * 6, "logits": (0,) * 6},
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"not in|classes"):
        encode(replace(RECORD, **wrong))  # type: ignore[arg-type]


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        decode(b"\0" * 63)
    for place, value in ((4, 6), (40, 1), (63, 0x80)):
        data = bytearray(encode(RECORD))
        data[place] |= value
        with pytest.raises(ValueError, match="not a result record"):
            decode(bytes(data))


def test_results_in_order_of_images() -> None:
    mine = [replace(RECORD, image=image) for image in range(4)]
    other = replace(mine[1], run=1)
    area = b"".join(map(encode, [mine[0], other, mine[2], mine[3]]))
    assert read_results(area, RECORD.run) == [mine[0], None, mine[2], mine[3]]
    with pytest.raises(ValueError, match="image 3 is at the place of 1"):
        read_results(encode(mine[0]) + encode(mine[3]), RECORD.run)
    with pytest.raises(ValueError, match="whole records"):
        read_results(area[:-1], RECORD.run)


def test_package_is_generated_from_the_fields() -> None:
    assert PACKAGE.read_text() == render_package()
