"""Rounding of weights to integers by what they do to a layer's output, not one by one.

For an output channel with real weights ``t`` (in steps of its format) and integers ``q``, the
squared error of the layer's output over the calibration images is ``(q - t) G (q - t)``, with ``G``
the Gram matrix of the layer's inputs. Rounding each weight to its nearest integer minimises it only
for a diagonal ``G``; inputs of a convolution are far from that. ``sequential`` rounds one input
after another and lets the inputs that are still free make up for the error (optimal brain
quantisation); ``descend`` then moves single integers for as long as that lowers the error.

Both keep every integer within its own bounds: this is how two precisions share one set of words.

All arrays are batched over the groups of a convolution: targets, integers and bounds are
(groups, channels, depth), Gram matrices (groups, depth, depth), errors (groups, channels).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Bound = FloatArray | float
"""The lowest or highest integers allowed, one for each or one for all."""

BLOCK = 64
"""Inputs whose errors are passed on together, as one matrix product."""

SWEEPS = 3
"""Descent passes over all inputs at most."""


def damped(gram: FloatArray, damping: float) -> FloatArray:
    """Add ``damping`` times the mean of the diagonal to it (and enough to be invertible)."""
    diagonal = np.einsum("gdd->gd", gram).mean(axis=1)
    extra = damping * diagonal + np.finfo(np.float32).tiny
    return np.asarray(gram + extra[:, None, None] * np.eye(gram.shape[1]))


def output_error(q: FloatArray, target: FloatArray, gram: FloatArray) -> FloatArray:
    """Return ``(q - t) G (q - t)`` for every output channel."""
    difference = q - target
    return np.asarray(((difference @ gram) * difference).sum(axis=2))


def clipped_nearest(target: FloatArray, low: Bound, high: Bound) -> FloatArray:
    """Round half up, within the bounds."""
    return np.asarray(np.minimum(np.maximum(np.floor(target + 0.5), low), high))


class SequentialRounding:
    """Optimal brain quantisation under one Gram matrix, factorised once for many targets."""

    def __init__(self, gram: FloatArray) -> None:
        # The inputs that matter most go first, while there are many left to make up for them.
        self._order = np.argsort(-np.einsum("gdd->gd", gram), axis=1, kind="stable")
        ordered = np.take_along_axis(gram, self._order[:, :, None], axis=1)
        ordered = np.take_along_axis(ordered, self._order[:, None, :], axis=2)
        self._factor = np.linalg.cholesky(np.linalg.inv(ordered)).transpose(0, 2, 1)

    def round(self, target: FloatArray, low: Bound, high: Bound) -> FloatArray:
        """Return integers within the bounds for the real ``target``."""
        order = self._order[:, :, None]
        rest, low, high = (
            np.take_along_axis(_depth_first(np.broadcast_to(values, target.shape)), order, axis=1)
            for values in (target, low, high)
        )
        q = np.empty_like(rest)
        depth = rest.shape[1]
        for start in range(0, depth, BLOCK):
            end = min(start + BLOCK, depth)
            errors = np.empty((rest.shape[0], end - start, rest.shape[2]))
            for j in range(start, end):
                row = self._factor[:, j, :, None]
                q[:, j] = clipped_nearest(rest[:, j], low[:, j], high[:, j])
                error = (rest[:, j] - q[:, j]) / row[:, j]
                rest[:, j + 1 : end] -= error[:, None] * row[:, j + 1 : end]
                errors[:, j - start] = error
            rest[:, end:] -= self._factor[:, start:end, end:].transpose(0, 2, 1) @ errors
        result = np.empty_like(q)
        np.put_along_axis(result, np.broadcast_to(order, q.shape), q, axis=1)
        return _depth_first(result)


def descend(
    q: FloatArray, target: FloatArray, gram: FloatArray, low: Bound, high: Bound
) -> FloatArray:
    """Return integers of no larger ``output_error``, by coordinate descent within the bounds."""
    low, high = (_depth_first(np.broadcast_to(bound, q.shape)) for bound in (low, high))
    slope = gram @ _depth_first(q - target)
    q = _depth_first(q)
    curvature = np.einsum("gdd->gd", gram)[:, :, None]
    for _ in range(SWEEPS):
        before = q.copy()
        for start in range(0, q.shape[1], BLOCK):
            end = min(start + BLOCK, q.shape[1])
            local = slope[:, start:end].copy()
            moves = np.zeros_like(local)
            for j in range(start, end):
                best = q[:, j] - local[:, j - start] / curvature[:, j]
                moved = clipped_nearest(best, low[:, j], high[:, j]) - q[:, j]
                if moved.any():
                    q[:, j] += moved
                    moves[:, j - start] = moved
                    local += gram[:, j, start:end, None] * moved[:, None]
            slope += gram[:, :, start:end] @ moves
        if np.array_equal(before, q):
            break
    return _depth_first(q)


def _depth_first(values: FloatArray) -> FloatArray:
    """Swap channels and depth: the walk is over depth, which should lie in lines of memory."""
    return np.ascontiguousarray(values.transpose(0, 2, 1))
