from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from toolflow.quantisation import rounding
from toolflow.quantisation.rounding import (
    FloatArray,
    SequentialRounding,
    clipped_nearest,
    damped,
    descend,
    output_error,
)


def correlated(
    rng: np.random.Generator, groups: int, depth: int, common: float = 2.0
) -> FloatArray:
    """Gram matrices of inputs that share a part, with powers that differ."""
    x = rng.normal(0, 1, (groups, 4 * depth, depth))
    x += common * rng.normal(0, 1, (groups, 4 * depth, 1))
    x *= rng.uniform(0.2, 2, (groups, 1, depth))
    return np.asarray(x.transpose(0, 2, 1) @ x / x.shape[1])


def problem(
    seed: int, groups: int = 2, channels: int = 3, depth: int = 9
) -> tuple[FloatArray, FloatArray]:
    """Targets of a few steps and a Gram matrix."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 2, (groups, channels, depth)), correlated(rng, groups, depth)


def least(target: FloatArray, gram: FloatArray, low: int, high: int) -> float:
    """The least error of one channel, by trying everything."""
    words = np.array(list(product(range(low, high + 1), repeat=target.shape[2])), np.float64)
    errors = output_error(words[None], np.broadcast_to(target, (1, *words.shape)), gram)
    return float(errors.min())


def test_half_goes_up_within_bounds() -> None:
    values = np.array([-2.5, -0.5, 0.49, 0.5, 1.5, 7.0])
    np.testing.assert_array_equal(clipped_nearest(values, -2, 3), [-2, 0, 0, 1, 2, 3])


def test_error_is_that_of_the_outputs() -> None:
    rng = np.random.default_rng(0)
    x, target = rng.normal(0, 1, (2, 50, 5)), rng.normal(0, 2, (2, 3, 5))
    q = np.floor(target)
    gram = x.transpose(0, 2, 1) @ x / 50
    outputs = x @ (q - target).transpose(0, 2, 1)
    np.testing.assert_allclose(output_error(q, target, gram), (outputs**2).mean(axis=1))


def test_damping_is_a_share_of_the_mean_power_and_makes_zeros_invertible() -> None:
    gram = np.stack([np.diag([1.0, 3.0]), np.zeros((2, 2))])
    np.testing.assert_allclose(damped(gram, 0.5)[0], np.diag([2.0, 4.0]))
    target = np.array([[[0.4, 0.6]], [[0.4, 0.6]]])
    got = SequentialRounding(damped(gram, 0.5)).round(target, -2, 1)
    np.testing.assert_array_equal(got, clipped_nearest(target, -2, 1))


@pytest.mark.parametrize("block", [1, 3, 64])
@pytest.mark.parametrize("seed", range(4))
def test_integers_stay_within_their_bounds(
    seed: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounding, "BLOCK", block)
    target, gram = problem(seed)
    rng = np.random.default_rng(seed)
    low = rng.integers(-3, 1, target.shape).astype(np.float64)
    high = low + rng.integers(0, 3, target.shape)
    for q in (
        SequentialRounding(gram).round(target, low, high),
        descend(clipped_nearest(target, low, high), target, gram, low, high),
    ):
        np.testing.assert_array_equal(q, np.floor(q))
        assert (low <= q).all()
        assert (q <= high).all()
    whole = SequentialRounding(gram).round(target, -1, 1)
    assert (whole.min(), whole.max()) == (-1, 1)


@pytest.mark.parametrize("seed", range(3))
def test_independent_inputs_are_rounded_to_nearest(seed: int) -> None:
    target, _ = problem(seed)
    powers = np.random.default_rng(seed).uniform(0.1, 5, (2, 9))
    gram = np.eye(9) * powers[:, None]
    nearest = clipped_nearest(target, -2, 1)
    np.testing.assert_array_equal(SequentialRounding(gram).round(target, -2, 1), nearest)
    np.testing.assert_array_equal(descend(nearest, target, gram, -2, 1), nearest)
    np.testing.assert_array_equal(descend(nearest * 0, target, gram, -2, 1), nearest)


def test_close_to_the_best_of_all() -> None:
    """Six weights of two bits: 4096 ways. Half of the results are the best there is."""
    ratios = []
    for seed in range(40):
        target, gram = problem(seed, 1, 1, 6)
        target /= 2
        start = SequentialRounding(gram).round(target, -2, 1)
        found = output_error(descend(start, target, gram, -2, 1), target, gram).item()
        best = least(target, gram, -2, 1)
        assert found >= best - 1e-9
        ratios.append(found / best)
    assert np.median(ratios) < 1.01
    assert np.mean(ratios) < 1.6
    assert max(ratios) < 8


@pytest.mark.parametrize("block", [2, 64])
@pytest.mark.parametrize("seed", range(5))
def test_descent_ends_where_no_single_step_helps(
    seed: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounding, "SWEEPS", 100)
    monkeypatch.setattr(rounding, "BLOCK", block)
    target, gram = problem(seed)
    q = descend(clipped_nearest(target, -3, 3), target, gram, -3, 3)
    error = output_error(q, target, gram)
    for place in range(q.shape[2]):
        for step in (-1, 1):
            moved = q.copy()
            moved[:, :, place] = np.clip(moved[:, :, place] + step, -3, 3)
            assert (output_error(moved, target, gram) >= error - 1e-9).all()


@pytest.mark.parametrize("start", ["nearest", "sequential", "random", "zero"])
def test_descent_is_never_worse_than_its_start(start: str) -> None:
    gains = []
    for seed in range(10):
        target, gram = problem(seed)
        q = {
            "nearest": clipped_nearest(target, -4, 3),
            "sequential": SequentialRounding(gram).round(target, -4, 3),
            "random": np.random.default_rng(seed).integers(-4, 4, target.shape).astype(float),
            "zero": target * 0,
        }[start]
        before = q.copy()
        after = output_error(descend(q, target, gram, -4, 3), target, gram)
        np.testing.assert_array_equal(q, before, err_msg="the start was changed")
        gains.append(output_error(q, target, gram) - after)
    assert np.min(gains) >= -1e-9
    assert np.max(gains) > 0.01


@pytest.mark.parametrize(("low", "high"), [(-2, 1), (-8, 7), (-128, 127)])
def test_correlated_inputs_gain_from_the_order(low: int, high: int) -> None:
    errors = np.zeros(3)
    for seed in range(20):
        target, gram = problem(seed, 1, 4, 30)
        target *= high / 4
        sequential = SequentialRounding(gram).round(target, low, high)
        for index, q in enumerate(
            (
                clipped_nearest(target, low, high),
                sequential,
                descend(sequential, target, gram, low, high),
            )
        ):
            errors[index] += output_error(q, target, gram).sum()
    assert errors[1] < 0.7 * errors[0]
    assert errors[2] <= errors[1]


def test_groups_are_independent() -> None:
    target, gram = problem(7, groups=3)
    rng = np.random.default_rng(7)
    low = rng.integers(-3, 0, target.shape).astype(np.float64)
    high = low + 3
    whole = SequentialRounding(gram).round(target, low, high)
    lower = descend(whole, target, gram, low, high)
    for g in range(3):
        one = slice(g, g + 1)
        alone = SequentialRounding(gram[one]).round(target[one], low[one], high[one])
        np.testing.assert_array_equal(whole[one], alone)
        np.testing.assert_array_equal(
            lower[one], descend(alone, target[one], gram[one], low[one], high[one])
        )


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    target, gram = problem(8, depth=11)
    results = []
    for block in (1, 4, 11, 64):
        monkeypatch.setattr(rounding, "BLOCK", block)
        q = SequentialRounding(gram).round(target, -4, 3)
        results.append((q, descend(target * 0, target, gram, -4, 3)))
    for q, lower in results[1:]:
        np.testing.assert_array_equal(q, results[0][0])
        np.testing.assert_array_equal(lower, results[0][1])


def test_the_target_is_left_alone() -> None:
    target, gram = problem(9)
    before = target.copy()
    descend(SequentialRounding(gram).round(target, -4, 3), target, gram, -4, 3)
    np.testing.assert_array_equal(target, before)
