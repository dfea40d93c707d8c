from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from toolflow.confidence.decision import (
    FORWARD_ALL,
    FORWARD_NONE,
    CeuParameters,
    decide,
    ranked,
)
from toolflow.confidence.exp_table import exp_scale, exp_table, margin_error

LOGIT = st.one_of(
    st.integers(-(1 << 15), (1 << 15) - 1),
    st.integers(-3, 3),
    st.sampled_from([-(1 << 15), (1 << 15) - 1]),
)
IMAGE = st.lists(LOGIT, min_size=1, max_size=20)


@st.composite
def parameter_sets(draw: st.DrawFn) -> CeuParameters:
    n = draw(st.integers(1, 12))
    return CeuParameters(
        m=draw(st.integers(1, n)),
        n=n,
        threshold=draw(st.integers(-(1 << 17), (1 << 17) - 1)),
        exp_mult=draw(st.integers(0, 0xFFFF)),
        exp_shift=draw(st.integers(0, 31)),
    )


def by_definition(logits: list[int], p: CeuParameters) -> tuple[list[int], int, int, bool]:
    """The contract in plain integers, one image at a time."""

    def rounded_shift(value: int, shift: int) -> int:
        return (Fraction(value, 1 << shift) + Fraction(1, 2)).__floor__()

    def exponential(distance: int) -> int:
        octave, index = divmod(rounded_shift(distance * p.exp_mult, p.exp_shift), 256)
        return 0 if octave > 31 else rounded_shift(int(exp_table()[index]), octave)

    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    e = [exponential(logits[order[0]] - logits[i]) for i in order]
    margin = sum(e[: p.m]) - sum(e[p.m : p.n])
    return order[:5], margin, sum(e), margin * 65536 >= p.threshold * sum(e)


def parameters(m: int = 1, n: int = 2, threshold: int = 0, frac: int = 8) -> CeuParameters:
    scale = exp_scale(frac)
    return CeuParameters(m, n, threshold, scale.mult, scale.shift)


@given(IMAGE, parameter_sets())
def test_decision_follows_its_definition(logits: list[int], p: CeuParameters) -> None:
    top, margin, total, confident = by_definition(logits, p)
    decision = decide(np.array([logits]), p)
    assert decision.top[0].tolist() == top
    assert int(decision.margin[0]) == margin
    assert int(decision.total[0]) == total
    assert bool(decision.confident[0]) == confident


@given(IMAGE, parameter_sets())
def test_score_is_the_highest_confident_threshold(logits: list[int], p: CeuParameters) -> None:
    score = int(decide(np.array([logits]), p).score[0])
    assert FORWARD_NONE <= score < FORWARD_ALL

    def confident(threshold: int) -> bool:
        at = CeuParameters(p.m, p.n, threshold, p.exp_mult, p.exp_shift)
        return bool(decide(np.array([logits]), at).confident[0])

    assert confident(score)
    assert not confident(score + 1)


@given(st.lists(LOGIT, min_size=6, max_size=6), st.permutations(range(6)))
def test_order_of_classes_matters_only_for_ties(logits: list[int], order: list[int]) -> None:
    one = decide(np.array([logits]), parameters(2, 4))
    other = decide(np.array([[logits[i] for i in order]]), parameters(2, 4))
    assert one.margin == other.margin
    assert one.total == other.total
    assert one.confident == other.confident


def test_images_are_independent() -> None:
    logits = np.random.default_rng(5).integers(-2000, 2000, (64, 10))
    together = decide(logits, parameters(2, 5, 30000))
    assert 0 < together.confident.sum() < 64
    for i, image in enumerate(logits):
        alone = decide(image[None], parameters(2, 5, 30000))
        assert alone.top[0].tolist() == together.top[i].tolist()
        assert (alone.margin[0], alone.total[0]) == (together.margin[i], together.total[i])
        assert alone.confident[0] == together.confident[i]


def test_ties_go_to_the_lower_class() -> None:
    assert ranked(np.array([[3, 7, 7, -1, 7, 3]]))[0].tolist() == [1, 2, 4, 0, 5, 3]


def test_extreme_logits_keep_their_order() -> None:
    low, high = -(1 << 15), (1 << 15) - 1
    assert ranked(np.array([[low, 0, high, low]]))[0].tolist() == [2, 1, 0, 3]
    decision = decide(np.array([[low, high]]), parameters())
    assert (int(decision.margin[0]), int(decision.total[0])) == (65536, 65536)


@pytest.mark.parametrize("classes", [1, 2, 3, 4])
def test_missing_classes_count_zero(classes: int) -> None:
    decision = decide(np.zeros((1, classes), np.int64), parameters(2, 5))
    assert decision.top[0].tolist() == list(range(classes))
    assert int(decision.total[0]) == classes << 16
    assert int(decision.margin[0]) == (min(classes, 2) - max(classes - 2, 0)) << 16


def test_the_boundary_is_confident() -> None:
    """Two equal classes of four, M = N = 1: margin / total is exactly a quarter."""
    logits = np.full((1, 4), 9)
    assert decide(logits, parameters(1, 1, 1 << 14)).confident[0]
    assert not decide(logits, parameters(1, 1, (1 << 14) + 1)).confident[0]


@given(IMAGE, parameter_sets())
def test_extreme_thresholds(logits: list[int], p: CeuParameters) -> None:
    def confident(threshold: int) -> bool:
        at = CeuParameters(p.m, p.n, threshold, p.exp_mult, p.exp_shift)
        return bool(decide(np.array([logits]), at).confident[0])

    assert not confident(FORWARD_ALL)
    assert confident(FORWARD_NONE)


def test_extreme_thresholds_are_tight() -> None:
    everything = parameters(1, 1, FORWARD_ALL - 1)
    assert decide(np.array([[0]]), everything).confident[0]
    # One class added, a thousand equal ones subtracted: the quotient comes near -1.
    n = 1000
    nearly = decide(np.zeros((1, n), np.int64), parameters(1, n, FORWARD_NONE + 132))
    assert not nearly.confident[0]


def float_quotient(logits: NDArray[np.int64], p: CeuParameters, frac: int) -> NDArray[np.float64]:
    x = logits * 2.0**-frac
    e = np.exp(x - x.max(axis=1, keepdims=True))
    probability = -np.sort(-e / e.sum(axis=1, keepdims=True), axis=1)
    added: NDArray[np.float64] = probability[:, : p.m].sum(axis=1)
    subtracted: NDArray[np.float64] = probability[:, p.m : p.n].sum(axis=1)
    return added - subtracted


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 2), (2, 5), (5, 8)])
@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("frac", [2, 8, 11, 15])
def test_distance_from_softmax_is_within_the_bound(m: int, n: int, classes: int, frac: int) -> None:
    rng = np.random.default_rng(frac * classes + n)
    spread = rng.choice([0.1, 1.0, 4.0, 12.0], (300, 1))
    drawn = np.rint(rng.normal(0, 1, (300, classes)) * spread * 2.0**frac)
    logits = np.clip(drawn, -(1 << 15), (1 << 15) - 1).astype(np.int64)
    p = parameters(m, n, frac=frac)
    decision = decide(logits, p)
    off = np.abs(decision.margin / decision.total - float_quotient(logits, p, frac))
    assert off.max() <= margin_error(classes, frac)


def test_decisions_agree_with_softmax_away_from_the_threshold() -> None:
    rng = np.random.default_rng(11)
    logits = rng.integers(-1500, 1500, (2000, 10))
    p = parameters(1, 2, 1 << 15)
    exact = float_quotient(logits, p, 8)
    clear = np.abs(exact - 0.5) > margin_error(10, 8)
    assert clear.mean() > 0.97
    agree = decide(logits, p).confident == (exact >= 0.5)
    assert np.all(agree[clear])


@pytest.mark.parametrize(
    "logits",
    [
        np.zeros(4, np.int64),
        np.zeros((2, 0), np.int64),
        np.zeros((1, 2)),
        np.array([[1 << 15, 0]]),
        np.array([[-(1 << 15) - 1, 0]]),
    ],
)
def test_unusable_logits_are_refused(logits: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match="logits"):
        decide(logits, parameters())


@pytest.mark.parametrize(
    "values",
    [
        {"m": 0},
        {"m": 3, "n": 2},
        {"threshold": 1 << 17},
        {"threshold": -(1 << 17) - 1},
        {"exp_mult": 1 << 16},
        {"exp_shift": 32},
    ],
)
def test_unusable_parameters_are_refused(values: dict[str, int]) -> None:
    valid = {"m": 1, "n": 2, "threshold": 0, "exp_mult": 1, "exp_shift": 0}
    with pytest.raises(ValueError, match=r"m <= n|threshold|exp_"):
        CeuParameters(**(valid | values))


def test_no_images_give_no_decisions() -> None:
    decision = decide(np.zeros((0, 10), np.int64), parameters())
    assert decision.top.shape == (0, 5)
    assert decision.confident.shape == (0,)
