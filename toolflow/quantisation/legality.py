"""What a scheme must keep to for the hardware to run it."""

from __future__ import annotations

from toolflow.emulator.factor_table import factor_frac
from toolflow.emulator.integer_network import MAX_ACCUMULATOR_BITS, MAX_SHIFT
from toolflow.fixedpoint import MAX_BITS, reciprocal_of
from toolflow.network.graph import Activate, Add, AvgPool, Layer, Lrn, Network, WeightLayer
from toolflow.quantisation.scheme import Scheme, TensorGroup

MAX_ALIGN = MAX_ACCUMULATOR_BITS - MAX_BITS - 2
"""The longest left shift of an addition's input that leaves room for its sign and the sum."""

MAX_ROUNDS = 1000
"""Networks need a few. Where layers ask for more of each other forever, this ends it."""


def legalised(scheme: Scheme, network: Network, groups: tuple[TensorGroup, ...]) -> Scheme:
    """Coarsen formats until no shift is negative or too long for the hardware.

    A tensor finer than the coarsest product it is made of carries no information for it, so little
    is lost.

    Raises:
        ValueError: a layer's channels are further apart than the longest shift, or no fraction
            lengths at all are legal.
    """
    for name, fmt in scheme.weights.items():
        if max(fmt.steps) > MAX_SHIFT:
            raise ValueError(f"{name}: fraction lengths of channels are {max(fmt.steps)} apart")
    owner = {name: group for group in groups for name in group.tensors}
    for _ in range(MAX_ROUNDS):
        changed = False
        for layer in network.layers:
            for name, frac in _coarser_inputs(layer, scheme).items():
                coarser = scheme.tensors[name].at(frac)
                scheme, changed = scheme.with_group(owner[name], coarser), True
            finest = _finest_output(layer, scheme)
            if finest is None:
                continue
            out = scheme.tensors[layer.output]
            if isinstance(layer, WeightLayer):
                weights = scheme.weights[layer.name]
                data = scheme.tensors[layer.inputs[0]].frac
                surplus = max(weights.fracs) + data - min(out.frac, finest) - MAX_SHIFT
                if surplus > 0:
                    scheme = scheme.with_weight(layer.name, weights.shifted(-surplus))
                    changed = True
                    continue
            if isinstance(layer, Lrn):
                source = scheme.tensors[layer.inputs[0]]
                surplus = finest - min(out.frac, finest) - MAX_SHIFT
                if surplus > 0:
                    coarser = source.at(source.frac - surplus)
                    scheme = scheme.with_group(owner[layer.inputs[0]], coarser)
                    changed = True
                    continue
            if out.frac > finest:
                scheme, changed = scheme.with_group(owner[layer.output], out.at(finest)), True
        if not changed:
            return scheme
    raise ValueError("no fraction lengths are legal: the layers' scales are too far apart")


def _finest_output(layer: Layer, scheme: Scheme) -> int | None:
    """Return the largest fraction length that a layer's output may have, None for any."""
    inputs = [scheme.tensors[name].frac for name in layer.inputs]
    if isinstance(layer, WeightLayer):
        return inputs[0] + scheme.weights[layer.name].frac
    if isinstance(layer, AvgPool):
        return inputs[0] + reciprocal_of(1).shift
    if isinstance(layer, Lrn):
        return inputs[0] + factor_frac(layer)
    if isinstance(layer, Add | Activate):
        return max(inputs)
    return None


def _coarser_inputs(layer: Layer, scheme: Scheme) -> dict[str, int]:
    """Return the fraction lengths of a vector layer's inputs that it needs to be smaller."""
    fracs = {name: scheme.tensors[name].frac for name in layer.inputs}
    out = scheme.tensors[layer.output].frac
    if isinstance(layer, AvgPool):
        most = out + MAX_SHIFT - reciprocal_of(layer.kernel[0] * layer.kernel[1]).shift
    elif isinstance(layer, Add | Activate):
        most = min(out + MAX_SHIFT, min(fracs.values()) + MAX_ALIGN)
    else:
        return {}
    return {name: most for name, frac in fracs.items() if frac > most}
