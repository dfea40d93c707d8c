"""Shapes of sliding windows: padding, ceil mode, output size."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


@dataclass(frozen=True)
class Window:
    """A sliding window over an H x W map; ``pads`` is (top, left, bottom, right)."""

    kernel: Pair
    stride: Pair
    pads: Pads

    def output(self, size: Pair) -> Pair:
        """Output height and width (rounded down); below one where the window does not fit."""
        rows, columns = (
            (size[axis] + self.pads[axis] + self.pads[axis + 2] - self.kernel[axis])
            // self.stride[axis]
            + 1
            for axis in (0, 1)
        )
        return rows, columns

    def ceiled(self, size: Pair) -> Window:
        """The window whose rounded-down output is this one's rounded up (ONNX's ceil_mode).

        Bottom and right padding grow so that a last, partial step fits; a step that would start
        in the bottom or right padding is left out, as ONNX and onnxruntime do.
        """
        ends = []
        for axis in (0, 1):
            begin, end = self.pads[axis], self.pads[axis + 2]
            kernel, stride = self.kernel[axis], self.stride[axis]
            steps = -(-(size[axis] + begin + end - kernel) // stride)
            if steps * stride >= size[axis] + begin:
                steps -= 1
            ends.append(max(end, steps * stride + kernel - size[axis] - begin))
        return Window(self.kernel, self.stride, (self.pads[0], self.pads[1], ends[0], ends[1]))


def same_pads(size: Pair, kernel: Pair, stride: Pair, odd_at_end: bool) -> Pads:
    """ONNX's auto_pad SAME_UPPER (``odd_at_end``) or SAME_LOWER: output = ceil(size / stride)."""
    begins, ends = [], []
    for axis in (0, 1):
        output = -(-size[axis] // stride[axis])
        total = max(0, (output - 1) * stride[axis] + kernel[axis] - size[axis])
        small = total // 2
        begins.append(small if odd_at_end else total - small)
        ends.append(total - small if odd_at_end else small)
    return begins[0], begins[1], ends[0], ends[1]
