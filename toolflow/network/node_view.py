"""What an operator's converter sees of its node: typed attributes, tensors and constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolflow.network.graph import FloatArray, Layer, Shape
from toolflow.network.onnx_graph import Array, OnnxNode

ALTERNATIVE = "replace it before the export, or cut the network before it"


class RefusalError(Exception):
    """A node that cannot be imported: ``reason``, and ``advice`` on what to do."""

    def __init__(self, reason: str, advice: str = ALTERNATIVE) -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice


@dataclass(frozen=True, eq=False)
class Layers:
    """A conversion into layers; the last one makes the node's output. ``note`` for reports."""

    layers: tuple[Layer, ...]
    note: str = ""


@dataclass(frozen=True)
class Alias:
    """A conversion into nothing: the node's output is the tensor ``source``."""

    source: str
    reason: str


@dataclass(frozen=True, eq=False)
class NodeView:
    """One node and what is known where it stands.

    ``aliases`` maps names of activations to the tensors that hold them, ``shapes`` gives those
    tensors' shapes per image, ``constants`` the known constants, ``broken`` why others are not.
    """

    node: OnnxNode
    opset: int
    batch: int
    aliases: Mapping[str, str]
    shapes: Mapping[str, Shape]
    constants: Mapping[str, Array]
    broken: Mapping[str, str]

    @property
    def output(self) -> str:
        """The name of the node's first output."""
        return self.node.outputs[0]

    def has(self, index: int) -> bool:
        """Whether the optional input ``index`` is given."""
        return index < len(self.node.inputs) and self.node.inputs[index] != ""

    def is_constant(self, index: int) -> bool:
        """Whether input ``index`` is a known constant."""
        return self.node.inputs[index] in self.constants

    def tensor(self, index: int = 0) -> str:
        """The tensor that input ``index`` reads; refused where that is no activation."""
        name = self.node.inputs[index] if self.has(index) else ""
        if name in self.broken:
            raise RefusalError(
                f"its input {name!r} is unusable: {self.broken[name]}", "export it again"
            )
        if name in self.constants:
            raise RefusalError(f"its input {name!r} is a constant where an activation is expected")
        if name not in self.aliases:
            raise RefusalError(
                f"not checked: its input {name!r} has no known shape", "see the other problems"
            )
        return self.aliases[name]

    def shape(self, index: int = 0) -> Shape:
        """The shape per image of the activation at input ``index``."""
        return self.shapes[self.tensor(index)]

    def map_shape(self, index: int = 0) -> tuple[int, int, int]:
        """As `shape`, refused unless it is (C, H, W)."""
        shape = self.shape(index)
        if len(shape) != 3:
            raise RefusalError(f"its input is a vector of {shape[0]}, a C x H x W map is expected")
        return shape[0], shape[1], shape[2]

    def constant(self, index: int, what: str) -> Array:
        """The constant at input ``index``; refused where it is computed at run time or broken."""
        name = self.node.inputs[index] if self.has(index) else ""
        if not name:
            raise RefusalError(f"its {what} is missing", "export it again")
        if name in self.broken:
            raise RefusalError(
                f"its {what} {name!r} is unusable: {self.broken[name]}", "export it again"
            )
        if name not in self.constants:
            raise RefusalError(
                f"its {what} {name!r} is not constant",
                "export in inference mode with constants folded, so that it is an initialiser",
            )
        return self.constants[name]

    def weights(self, index: int, what: str) -> FloatArray:
        """The finite float constant at input ``index`` (float16 and double are converted)."""
        return as_float32(self.constant(index, what), what)

    def ints(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """An integer-list attribute; one of another length than the default's is refused."""
        value = self.node.attributes.get(name, default)
        if not all(isinstance(v, int) for v in value) or len(value) != len(default):
            raise RefusalError(f"its {name} is {list(value)}; {len(default)} integers are expected")
        return tuple(value)

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        return int(self.node.attributes.get(name, default))

    def number(self, name: str, default: float) -> float:
        """A float attribute."""
        return float(self.node.attributes.get(name, default))

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        return str(self.node.attributes.get(name, default))

    def axes(self, since: int) -> tuple[int, ...] | None:
        """Non-negative axes of the batched tensor, an attribute before opset ``since``, else the
        second input; None where they are not given."""
        if self.opset < since:
            axes = self.node.attributes.get("axes")
        else:
            axes = self.constant(1, "axes").ravel().tolist() if self.has(1) else None
        if axes is None:
            return None
        rank = len(self.shape()) + 1
        if not all(-rank <= axis < rank for axis in axes):
            raise RefusalError(f"its axes {list(axes)} are outside its input's {rank} axes")
        return tuple(sorted(axis % rank for axis in axes))


def as_float32(values: Array, what: str) -> FloatArray:
    """Finite float32 values, without a copy where they are that already."""
    if values.dtype.kind != "f" and values.dtype.name != "bfloat16":
        raise RefusalError(
            f"its {what} is {values.dtype}, not float",
            "give the float model: the toolflow chooses the wordlengths itself",
        )
    with np.errstate(over="ignore"):
        result: NDArray[np.float32] = values.astype(np.float32, copy=False)
    check_finite(result, what)
    return result


def check_finite(values: Array, what: str) -> None:
    """Refuse NaN and infinity."""
    finite = np.isfinite(values)
    if not finite.all():
        first = tuple(int(k) for k in np.argwhere(~finite)[0])
        raise RefusalError(
            f"its {what} has {int((~finite).sum())} values that are not finite (first at {first})",
            "train again or repair the weights",
        )


def per_channel(values: Array, shape: Shape) -> NDArray[np.float64] | None:
    """A constant operand as one value per channel of a tensor of ``shape`` per image.

    None where it does not broadcast to that shape or differs inside a channel.
    """
    if values.ndim == len(shape) + 1 and values.shape[0] == 1:
        values = values[0]
    if values.ndim > len(shape):
        return None
    try:
        full = np.broadcast_to(values, shape).reshape(shape[0], -1)
    except ValueError:
        return None
    first = full[:, :1]
    return first[:, 0].astype(np.float64) if (full == first).all() else None
