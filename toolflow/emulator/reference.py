"""The integer network, operation by operation, in numpy: the definition of its numbers.

Matrix products run in float64 BLAS where the accumulator's proven limit is below 2**53 (always,
for the widths the hardware can be built with), so every integer is exact.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from toolflow.emulator.factor_table import factors, window_sums
from toolflow.emulator.integer_network import (
    IntegerAvgPool,
    IntegerEltwise,
    IntegerLayer,
    IntegerLrn,
    IntegerMatmul,
    IntegerNetwork,
    Requantiser,
)
from toolflow.fixedpoint import IntArray, requantise, window
from toolflow.network.graph import AvgPool, Concat, Conv, Flatten, MaxPool

EXACT_FLOAT64 = 1 << 53


def run_reference(network: IntegerNetwork, stored_images: IntArray) -> dict[str, IntArray]:
    """Run images and return every tensor.

    Args:
        network: the integer network.
        stored_images: (N, C, H, W) integers in ``network.stored_input``'s format.

    Returns:
        Tensor name to integers, (N, C, H, W) or (N, F).
    """
    tensors = {network.network.input: cut_images(network, stored_images)}
    for layer in network.layers:
        inputs = [tensors[name] for name in layer.layer.inputs]
        tensors[layer.layer.output] = run_layer(layer, inputs)
    return tensors


def cut_images(network: IntegerNetwork, stored_images: IntArray) -> IntArray:
    """Cut stored image words to the network's input format."""
    return window(stored_images, network.input_window, network.input.low, network.input.high)


def run_layer(layer: IntegerLayer, inputs: list[IntArray]) -> IntArray:
    """Run one layer on integer inputs with the batch in front."""
    if isinstance(layer, IntegerMatmul):
        return _requantised(accumulate(layer, inputs[0]), layer.bias, layer.requantiser)
    if isinstance(layer, IntegerAvgPool):
        return _average(layer, inputs[0])
    if isinstance(layer, IntegerEltwise):
        total = sum(np.left_shift(x, shift) for x, shift in zip(inputs, layer.align, strict=True))
        return _requantised(np.asarray(total), np.zeros(1, np.int64), layer.requantiser)
    if isinstance(layer, IntegerLrn):
        return _normalised(layer, inputs[0])
    spec = layer.layer
    if isinstance(spec, MaxPool):
        lowest = np.iinfo(np.int64).min
        windows = _windows(inputs[0], spec.kernel, spec.stride, spec.pads, lowest)
        return np.asarray(windows.max(axis=(-2, -1)))
    if isinstance(spec, Flatten):
        return inputs[0].reshape(len(inputs[0]), -1)
    if isinstance(spec, Concat):
        return np.concatenate(inputs, axis=1)
    raise TypeError(f"no integer operation for {spec.op}")


def accumulate(layer: IntegerMatmul, x: IntArray) -> IntArray:
    """Return a matrix layer's accumulators, before bias: (N, O, H, W) or (N, O)."""
    dtype = np.float64 if layer.accumulator_limit < EXACT_FLOAT64 else object
    spec = layer.layer
    if not isinstance(spec, Conv):
        return np.asarray((x.astype(dtype) @ layer.weight.T.astype(dtype)).astype(np.int64))
    images, _, height, width = (len(x), *spec.out_shape)
    columns = im2col(spec, x)
    weight = layer.weight.reshape(spec.groups, -1, columns.shape[1]).astype(dtype)
    product = weight @ columns.astype(dtype)
    channels = layer.weight.shape[0]
    result = product.reshape(channels, images, height, width).transpose(1, 0, 2, 3)
    return np.asarray(result.astype(np.int64))


def im2col(spec: Conv, x: IntArray) -> IntArray:
    """Return (groups, Cin/g * kh * kw, N * out pixels): depth in OIHW order, columns NHW."""
    kernel = (spec.weight.shape[2], spec.weight.shape[3])
    windows = _windows(x, kernel, spec.stride, spec.pads, 0)
    images, channels, height, width = windows.shape[:4]
    shaped = windows.transpose(1, 4, 5, 0, 2, 3)
    return shaped.reshape(
        spec.groups, channels // spec.groups * kernel[0] * kernel[1], images * height * width
    )


def _windows(
    x: IntArray,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    fill: int,
) -> IntArray:
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    windows = sliding_window_view(padded, kernel, axis=(2, 3))
    return windows[:, :, :: stride[0], :: stride[1]]


def _requantised(accumulator: IntArray, bias: IntArray, requantiser: Requantiser) -> IntArray:
    per_channel = (-1, *[1] * (accumulator.ndim - 2))
    return requantise(
        accumulator,
        bias.reshape(per_channel),
        requantiser.shift.reshape(per_channel),
        requantiser.low,
        requantiser.high,
        requantiser.slope,
        requantiser.act_bits,
    )


def _normalised(layer: IntegerLrn, x: IntArray) -> IntArray:
    factor, exponent = factors(layer.table, window_sums(x * x, layer.size))
    r = layer.requantiser
    return requantise(x * factor, 0, r.shift + exponent, r.low, r.high)


def _average(layer: IntegerAvgPool, x: IntArray) -> IntArray:
    spec = layer.layer
    assert isinstance(spec, AvgPool)
    total = _windows(x, spec.kernel, spec.stride, spec.pads, 0).sum(axis=(-2, -1))
    mantissa, shift = reciprocal_map(layer, (x.shape[2], x.shape[3]))
    r = layer.requantiser
    return requantise(total * mantissa, 0, shift, r.low, r.high, r.slope, r.act_bits)


def reciprocal_map(
    layer: IntegerAvgPool, size: tuple[int, int] | None = None
) -> tuple[IntArray, IntArray]:
    """Return mantissa and total shift of the divisor at every output pixel, (H, W) each.

    ``size`` is the input map's height and width, on which the divisors of windows over the bottom
    and right padding depend; by default the smallest that gives the layer's output.
    """
    spec = layer.layer
    assert isinstance(spec, AvgPool)
    if spec.count_include_pad:
        divisors: NDArray[np.int64] = np.full((1, 1), spec.kernel[0] * spec.kernel[1])
    else:
        ones = np.ones((1, 1, *(size or _smallest_input(spec))), np.int64)
        windows = _windows(ones, spec.kernel, spec.stride, spec.pads, 0)
        divisors = windows.sum(axis=(-2, -1))[0, 0]
    table: Mapping[int, tuple[int, int]] = {
        d: (r.mantissa, r.shift + layer.frac_change) for d, r in layer.reciprocals.items()
    }
    mantissa = np.vectorize(lambda d: table[d][0], otypes=[np.int64])(divisors)
    shift = np.vectorize(lambda d: table[d][1], otypes=[np.int64])(divisors)
    return mantissa, shift


def _smallest_input(spec: AvgPool) -> tuple[int, int]:
    return tuple(  # type: ignore[return-value]
        (out - 1) * stride + kernel - before - after
        for out, stride, kernel, before, after in zip(
            spec.out_shape[1:], spec.stride, spec.kernel, spec.pads[:2], spec.pads[2:], strict=True
        )
    )
