"""Rewrites of the imported layers: fold, fuse and lower until only the graph's layers remain.

Every rule is exact in real arithmetic (folded weights are rounded to float32 once). A rule looks
at one layer and returns what changes, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toolflow.network.drafts import Draft, Pad, Scale, Softmax
from toolflow.network.geometry import Pads
from toolflow.network.graph import (
    Activate,
    Activation,
    ActivationKind,
    Add,
    AvgPool,
    Concat,
    Conv,
    Dense,
    Flatten,
    Layer,
    Lrn,
    MaxPool,
    Pool,
    WeightLayer,
)
from toolflow.network.node_view import RefusalError, check_finite
from toolflow.network.operators.activations import bounded
from toolflow.network.verdict import Status, Verdict


@dataclass(frozen=True, eq=False)
class Rewrite:
    """Layers to ``put`` in the place of those of their names, one to ``drop``, what to tell."""

    verdict: Verdict
    put: tuple[Layer, ...]
    drop: str | None = None


Rule = Callable[[Draft, Layer], Rewrite | None]


def fold_and_fuse(draft: Draft) -> tuple[Draft, tuple[Verdict, ...]]:
    """Apply every rule until none applies; returns the result and what became of layers."""
    draft, removed = drop_final_softmax(draft)
    verdicts = list(removed)
    for rule in _PHASES:
        draft, more = _apply(draft, rule)
        verdicts += more
    return draft, tuple(verdicts)


def check_finished(layer: Layer) -> None:
    """Raise `RefusalError` where a draft is left that nothing absorbed, or folding overflowed."""
    if isinstance(layer, Scale):
        raise RefusalError(
            "it scales a vector and no dense layer beside it can absorb that",
            "put it directly before or after a Gemm",
        )
    if isinstance(layer, Pad):
        raise RefusalError(f"it pads with {layer.value}; zeros are supported", "pad with zeros")
    if isinstance(layer, Softmax):
        raise RefusalError(
            "a softmax inside the network is not supported, only a final one",
            "cut the network before it",
        )
    if isinstance(layer, WeightLayer):
        check_finite(layer.weight, "folded weight")
        check_finite(layer.bias, "folded bias")


def _apply(draft: Draft, rule: Rule) -> tuple[Draft, list[Verdict]]:
    verdicts: list[Verdict] = []
    while True:
        rewrites = (rule(draft, layer) for layer in draft.layers)
        rewrite = next((found for found in rewrites if found is not None), None)
        if rewrite is None:
            return draft, verdicts
        put = {layer.name: layer for layer in rewrite.put}
        layers = tuple(
            put.get(layer.name, layer) for layer in draft.layers if layer.name != rewrite.drop
        )
        draft = replace(draft, layers=layers)
        verdicts.append(rewrite.verdict)


def drop_final_softmax(draft: Draft) -> tuple[Draft, tuple[Verdict, ...]]:
    """Remove a softmax that only flattening separates from the output; order is unchanged by it."""
    after: list[Layer] = []
    layer = draft.producers.get(draft.output)
    while isinstance(layer, Flatten):
        after.append(layer)
        layer = draft.producers.get(layer.inputs[0])
    others = draft.kept - {draft.output}
    if not isinstance(layer, Softmax) or layer.output in others:
        return draft, ()
    if len(draft.consumers.get(layer.output, ())) > (1 if after else 0):
        return draft, ()
    source = layer.inputs[0]
    layers = tuple(one for one in draft.layers if one is not layer)
    output = draft.output
    if after:
        moved = replace(after[-1], inputs=(source,))
        layers = tuple(moved if one is after[-1] else one for one in layers)
    else:
        output = source
    reason = "the final softmax: the decision is made on the logits, in the same order"
    verdict = Verdict(layer.name, Status.REMOVED, reason)
    return Draft(layers, output, others | {output}), (verdict,)


def _producer(draft: Draft, layer: Layer) -> Layer | None:
    """The producer of the layer's only input, if the layer is all that needs it."""
    producer = draft.producers.get(layer.inputs[0])
    if producer is None or draft.sole_consumer(producer.output) is not layer:
        return None
    return producer


def _folded(layer: Layer, into: str, *put: Layer) -> Rewrite:
    return Rewrite(Verdict(layer.name, Status.FOLDED, into), put, drop=layer.name)


def scale_into_producer(draft: Draft, layer: Layer) -> Rewrite | None:
    """``s (W x + b) + t = (s W) x + (s b + t)``; two scales make one."""
    if not isinstance(layer, Scale):
        return None
    producer = _producer(draft, layer)
    if isinstance(producer, Scale):
        merged: Layer = replace(
            producer,
            output=layer.output,
            scale=producer.scale * layer.scale,
            shift=producer.shift * layer.scale + layer.shift,
        )
    elif isinstance(producer, WeightLayer) and producer.activation.kind is ActivationKind.NONE:
        merged = _rescaled(
            producer,
            layer.output,
            _columns(layer.scale, producer.weight.ndim),
            producer.bias * layer.scale + layer.shift,
        )
    else:
        return None
    return _folded(layer, f"into the weights and bias of {producer.name!r}", merged)


def _columns(values: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    return values.reshape(-1, *(1,) * (rank - 1))


def _rescaled(
    layer: WeightLayer, output: str, factor: NDArray[np.float64], bias: NDArray[np.float64]
) -> WeightLayer:
    with np.errstate(over="ignore", invalid="ignore"):
        weight = layer.weight
        if (factor != 1).any():
            weight = (weight * factor).astype(np.float32)
        return replace(layer, output=output, weight=weight, bias=bias.astype(np.float32))


def scale_into_consumer(draft: Draft, layer: Layer) -> Rewrite | None:
    """``W (s x + t) + b = (W s) x + (W t + b)``: exact unless padding meets a shift."""
    if not isinstance(layer, Scale):
        return None
    consumer = draft.sole_consumer(layer.output)
    if isinstance(consumer, Conv):
        if any(consumer.pads) and layer.shift.any():
            return None
        # weight is O x I/G x h x w: the scale of input channel g * (I/G) + i goes to group g
        groups, per_group = consumer.groups, consumer.weight.shape[1]
        outputs = consumer.weight.shape[0] // groups
        factor, shift = (
            np.repeat(values.reshape(groups, per_group), outputs, axis=0)[:, :, None, None]
            for values in (layer.scale, layer.shift)
        )
    elif isinstance(consumer, Dense):
        factor, shift = layer.scale[None, :], layer.shift[None, :]
    else:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        bias = consumer.bias + (consumer.weight * shift).reshape(consumer.bias.size, -1).sum(axis=1)
    merged = replace(_rescaled(consumer, consumer.output, factor, bias), inputs=layer.inputs)
    return _folded(layer, f"into the weights and bias of {consumer.name!r}", merged)


def scale_as_convolution(draft: Draft, layer: Layer) -> Rewrite | None:
    """A scale of maps that nothing absorbed as a 1x1 convolution of each channel by itself."""
    if not isinstance(layer, Scale) or len(layer.out_shape) != 3:
        return None
    return _depthwise(layer, layer.scale, layer.shift, (0, 0, 0, 0))


def pad_as_convolution(draft: Draft, layer: Layer) -> Rewrite | None:
    """Zero padding that nothing absorbed as a padded 1x1 convolution with unit weights."""
    if not isinstance(layer, Pad) or layer.value != 0:
        return None
    channels = layer.out_shape[0]
    return _depthwise(layer, np.ones(channels), np.zeros(channels), layer.pads)


def _depthwise(
    layer: Layer, scale: NDArray[np.float64], shift: NDArray[np.float64], pads: Pads
) -> Rewrite:
    with np.errstate(over="ignore"):
        convolution = Conv(
            name=layer.name,
            inputs=layer.inputs,
            output=layer.output,
            out_shape=layer.out_shape,
            weight=scale.astype(np.float32).reshape(-1, 1, 1, 1),
            bias=shift.astype(np.float32),
            stride=(1, 1),
            pads=pads,
            groups=scale.size,
        )
    verdict = Verdict(layer.name, Status.MAPPED, "as a depthwise 1x1 convolution")
    return Rewrite(verdict, (convolution,))


def merge_activations(draft: Draft, layer: Layer) -> Rewrite | None:
    """Two activation functions in a row as one, where one can say it."""
    if not isinstance(layer, Activate):
        return None
    producer = _producer(draft, layer)
    if not isinstance(producer, Activate | WeightLayer | Add | AvgPool):
        return None
    both = composed(producer.activation, layer.activation)
    if both is None:
        return None
    merged = replace(producer, output=layer.output, activation=both)
    return _folded(layer, f"into {producer.name!r}", merged)


def composed(first: Activation, second: Activation) -> Activation | None:
    """``second(first(x))`` as one activation function, or None."""
    if first.kind is ActivationKind.NONE:
        return second
    if second.kind is ActivationKind.NONE:
        return first
    leaky = ActivationKind.LEAKY_RELU
    if second.kind is leaky:
        return first if first.non_negative else None
    if first.kind is leaky:
        return second if second.non_negative else None  # what is below zero stays below it
    low, high = (float(np.clip(bound, *_bounds(second))) for bound in _bounds(first))
    return bounded(low, high)


def _bounds(activation: Activation) -> tuple[float, float]:
    if activation.kind is ActivationKind.RELU:
        return 0.0, np.inf
    return activation.low, activation.high


def activation_before_pool(draft: Draft, layer: Layer) -> Rewrite | None:
    """Move an activation function before a MaxPool or Flatten, so that it can fuse further up.

    Exact because every activation function here is non-decreasing; only done where a producer
    can then absorb it.
    """
    if not isinstance(layer, Activate):
        return None
    passed: list[Layer] = []
    producer = _producer(draft, layer)
    while isinstance(producer, MaxPool | Flatten):
        passed.append(producer)
        producer = _producer(draft, producer)
    if not passed or not isinstance(producer, WeightLayer | Add | AvgPool):
        return None
    both = composed(producer.activation, layer.activation)
    if both is None:
        return None
    # the values between change, so they may not keep the original model's tensor names
    renamed = {one.output: f"{one.output}/{layer.name}" for one in (*passed[1:], producer)}
    renamed[passed[0].output] = layer.output
    moved = tuple(
        replace(one, inputs=(renamed[one.inputs[0]],), output=renamed[one.output]) for one in passed
    )
    fused = replace(producer, output=renamed[producer.output], activation=both)
    into = f"into {producer.name!r}, before the pooling (the same values)"
    return _folded(layer, into, *moved, fused)


def pad_into_consumer(draft: Draft, layer: Layer) -> Rewrite | None:
    """Explicit padding into the one convolution or pooling that reads it, where that is exact."""
    if not isinstance(layer, Pad):
        return None
    consumer = draft.sole_consumer(layer.output)
    if not isinstance(consumer, Conv | Pool) or not _takes_pad(draft, layer, consumer):
        return None
    top, left, bottom, right = np.add(consumer.pads, layer.pads).tolist()
    pads = (top, left, bottom, right)
    merged = replace(consumer, inputs=layer.inputs, pads=pads)
    if isinstance(consumer, Pool) and any(pads[k] >= consumer.kernel[k % 2] for k in range(4)):
        return None
    return _folded(layer, f"into the padding of {consumer.name!r}", merged)


def _takes_pad(draft: Draft, pad: Pad, consumer: Conv | Pool) -> bool:
    if isinstance(consumer, MaxPool):
        lowest = float(np.finfo(np.float32).min)
        return pad.value <= lowest or (pad.value == 0 and _non_negative(draft, pad.inputs[0]))
    if isinstance(consumer, AvgPool):
        return pad.value == 0 and consumer.count_include_pad
    return pad.value == 0


def _non_negative(draft: Draft, tensor: str) -> bool:
    """Whether no value of the tensor can be below zero."""
    producer = draft.producers.get(tensor)
    if isinstance(producer, Activate | WeightLayer | Add | AvgPool):
        if producer.activation.kind is not ActivationKind.NONE or isinstance(producer, WeightLayer):
            return producer.activation.non_negative
        return all(_non_negative(draft, name) for name in producer.inputs)
    if isinstance(producer, MaxPool | Concat | Flatten | Lrn):
        return all(_non_negative(draft, name) for name in producer.inputs)
    return False


_PHASES: tuple[Rule, ...] = (
    scale_into_producer,
    scale_into_consumer,
    scale_as_convolution,
    merge_activations,
    activation_before_pool,
    pad_into_consumer,
    pad_as_convolution,
)
