"""What a network asks of an engine: one matrix product per weight layer, and its memory traffic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from toolflow.network.graph import Conv, Flatten, Network, Shape, WeightLayer


@dataclass(frozen=True)
class LayerWork:
    """A weight layer's work for one image.

    Attributes:
        groups, rows, depth, columns: ``groups`` products ``[rows x depth] . [depth x columns]``.
        input_words, output_words: Activations read and written.
        weight_words: Weights of the layer (biases and shifts are below 1 % and left out).
        batched: A dense layer: the images of a batch are the rows of one product.
        line_words: Input words that a convolution's window spans: a buffer that holds them reads
            each input once; a smaller one reads every window anew. 0 for dense layers.
    """

    name: str
    op: str
    groups: int
    rows: int
    depth: int
    columns: int
    input_words: int
    output_words: int
    weight_words: int
    batched: bool
    line_words: int = 0


def network_work(network: Network) -> tuple[LayerWork, ...]:
    """Return the work of every weight layer, in execution order.

    Layers without weights do not occupy the MM unit; each reads its inputs and writes its output
    through memory (a flatten moves nothing). That traffic counts as output of the weight layer
    before it in execution order, or as input of the first weight layer where none is before it.
    """
    shapes = network.shapes
    work: list[LayerWork] = []
    early = 0
    for layer in network.layers:
        words_in = sum(prod(shapes[name]) for name in layer.inputs)
        words_out = prod(layer.out_shape)
        if isinstance(layer, WeightLayer):
            work.append(_weight_layer(layer, shapes[layer.inputs[0]], words_in, words_out))
        elif isinstance(layer, Flatten):
            continue
        elif work:
            moved = work[-1].output_words + words_in + words_out
            work[-1] = replace(work[-1], output_words=moved)
        else:
            early += words_in + words_out
    if work and early:
        work[0] = replace(work[0], input_words=work[0].input_words + early)
    return tuple(work)


def _weight_layer(layer: WeightLayer, shape: Shape, words_in: int, words_out: int) -> LayerWork:
    product = layer.matmul
    convolution = isinstance(layer, Conv)
    line_words = layer.weight.shape[2] * shape[2] * shape[0] if convolution else 0
    return LayerWork(
        name=layer.name,
        op=layer.op,
        groups=product.groups,
        rows=product.rows,
        depth=product.depth,
        columns=product.columns,
        input_words=words_in,
        output_words=words_out,
        weight_words=layer.weight.size,
        batched=not convolution,
        line_words=line_words,
    )
