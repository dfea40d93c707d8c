"""cocotb tests of the arithmetic in ``cascade_pkg`` against ``toolflow.fixedpoint``."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import cocotb
import pytest
from cocotb.triggers import Timer

from toolflow import fixedpoint
from verif.common.packing import wrap

WIDE_BITS = 48
SHIFTS = range(32)


def corner_values(bits: int) -> list[int]:
    """Values around zero, every power of two, its half-way points and the ends of ``bits`` bits."""
    near = [0, 1, 2, 3, 5]
    powers = [(1 << p) + d for p in range(bits - 1) for d in (-1, 0, 1)]
    halves = [(k << s) + (1 << s >> 1) + d for s in SHIFTS for k in (0, 1, 2) for d in (-1, 0, 1)]
    magnitudes = [v for v in (*near, *powers, *halves) if v < 1 << (bits - 1)]
    ends = [(1 << (bits - 1)) - 1, -(1 << (bits - 1)), 1 - (1 << (bits - 1))]
    return sorted({*magnitudes, *(-v for v in magnitudes), *ends})


def signed(signal: Any) -> int:
    """Return a signal's value in two's complement."""
    return int(signal.value.to_signed())


async def compare_shifts(dut: Any, cases: list[tuple[int, int]], expected: list[int]) -> None:
    """Compare ``round_shift`` of all (value, shift) with what is expected."""
    for (value, shift), want in zip(cases, expected, strict=True):
        dut.value_i.value = value
        dut.shift_i.value = shift
        await Timer(1, "ns")
        assert signed(dut.shifted_o) == want, f"round_shift({value}, {shift})"


async def compare_windows(
    dut: Any, words: Sequence[int], bits: int, shift: int, expected: list[int]
) -> None:
    """Compare the windows of all words with what is expected."""
    dut.bits_i.value = bits
    dut.is_signed_i.value = 1
    dut.shift_i.value = shift
    for word, want in zip(words, expected, strict=True):
        dut.value_i.value = word
        await Timer(1, "ns")
        assert signed(dut.window_o) == want, f"window({word}, {shift}, {bits})"


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def round_shift(dut: Any) -> None:
    """Every corner value at every shift, and random values."""
    rng = random.Random(cocotb.RANDOM_SEED)
    values = corner_values(WIDE_BITS)
    cases = [(value, shift) for value in values for shift in SHIFTS]
    cases += [(rng.getrandbits(WIDE_BITS - 1), rng.randrange(32)) for _ in range(2000)]
    cases += [(-value, shift) for value, shift in cases[-2000:]]
    expected = fixedpoint.round_shift([v for v, _ in cases], [s for _, s in cases])
    assert (wrap(expected, WIDE_BITS) == expected).all()  # rounding stays in the wordlength
    await compare_shifts(dut, cases, expected.tolist())


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def saturate(dut: Any) -> None:
    """Values below, at, between and above the bounds of every format."""
    rng = random.Random(cocotb.RANDOM_SEED)
    compared = 0
    for bits in range(1, fixedpoint.BIAS_BITS + 1):
        for is_signed in (False, True):
            fmt = fixedpoint.Format(bits, 0, is_signed)
            dut.bits_i.value = bits
            dut.is_signed_i.value = is_signed
            dut.low_i.value = fmt.low
            dut.high_i.value = fmt.high
            around = [bound + d for bound in (fmt.low, fmt.high, 0) for d in (-2, -1, 0, 1, 2)]
            ends = [(1 << (WIDE_BITS - 1)) - 1, -(1 << (WIDE_BITS - 1))]
            inside = [rng.randint(fmt.low, fmt.high) for _ in range(5)]
            for value in (*around, *ends, *inside):
                dut.value_i.value = value
                await Timer(1, "ns")
                want = int(fixedpoint.saturate(value, fmt.low, fmt.high))
                assert signed(dut.saturated_o) == want, f"saturate({value}, {fmt})"
                compared += 1
            assert signed(dut.format_low_o) == fmt.low
            assert signed(dut.format_high_o) == fmt.high
    assert compared == 64 * 22


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def window(dut: Any) -> None:
    """Round, then saturate: every 8-bit word, cut to every narrower format by every shift."""
    words = range(-128, 128)
    for bits in range(2, 9):
        for shift in range(0, 10):
            fmt = fixedpoint.Format(bits, 0)
            expected = fixedpoint.window(list(words), shift, fmt.low, fmt.high).tolist()
            await compare_windows(dut, words, bits, shift, expected)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def planted_errors_are_found(dut: Any) -> None:
    """One expected value that is off by one must fail the comparison, and be named."""
    values = list(range(-128, 128))
    shifted = fixedpoint.round_shift(values, 3).tolist()
    shifted[100] += 1
    with pytest.raises(AssertionError, match=r"round_shift\(-28, 3\)"):
        await compare_shifts(dut, [(value, 3) for value in values], shifted)
    windows = fixedpoint.window(values, 3, -8, 7).tolist()
    windows[200] -= 1
    with pytest.raises(AssertionError, match=r"window\(72, 3, 4\)"):
        await compare_windows(dut, values, 4, 3, windows)
