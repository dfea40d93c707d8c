from __future__ import annotations

import numpy as np
import pytest

from toolflow.fixedpoint import Format, join_planes, planar_high, saturate, split_planes, window


@pytest.mark.parametrize("bits", [1, 2, 5, 8, 11])
def test_every_word_splits_and_joins(bits: int) -> None:
    for low_bits in range(bits):
        top = planar_high(bits, low_bits)
        words = np.arange(-(1 << (bits - 1)), top + 1)
        high, low = split_planes(words, low_bits)
        np.testing.assert_array_equal(join_planes(high, low, low_bits), words)
        half = 1 << low_bits >> 1
        assert -half <= low.min() <= low.max() <= max(half - 1, 0)
        digit = Format(bits - low_bits, 0)
        assert digit.low <= high.min() <= high.max() <= digit.high
        beyond, _ = split_planes(top + 1, low_bits)
        assert beyond == digit.high + 1, "planar_high is the largest word that splits"


@pytest.mark.parametrize("low_bits", range(8))
def test_the_high_digit_is_the_window(low_bits: int) -> None:
    words = np.arange(-128, planar_high(8, low_bits) + 1)
    high, _ = split_planes(words, low_bits)
    for bits in range(2, 9):
        fmt = Format(bits, 0)
        cut = window(words, low_bits, fmt.low, fmt.high)
        np.testing.assert_array_equal(saturate(high, fmt.low, fmt.high), cut)


@pytest.mark.parametrize("low_bits", [-1, 8, 9])
def test_a_split_without_a_high_digit_is_refused(low_bits: int) -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.7"):
        planar_high(8, low_bits)
