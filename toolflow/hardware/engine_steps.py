"""What a network's steps ask of an engine, before anything is quantised: geometry and containers.

The schedule and the addresses are the emission's own (``emission.steps``, ``address_map``), made
for formats of the right wordlengths: of numbers nothing is known yet, and nothing depends on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import cast

from toolflow.emission.address_map import Placement, address_map
from toolflow.emission.descriptors import can_join, op_of, pixel_bytes, step_places, window_of
from toolflow.emission.memory_images import ALIGNMENT
from toolflow.emission.steps import Step, schedule_of
from toolflow.emulator.integer_network import IntegerNetwork
from toolflow.fixedpoint import LOGIT_BITS, Format
from toolflow.hardware.act_jobs import MapPlace, Window
from toolflow.hardware.engine import Op
from toolflow.network.graph import Conv, Dense, Network, Shape
from toolflow.quantisation.scheme import format_groups


@dataclass(frozen=True)
class StepWork:
    """One step.

    Attributes:
        name, op: of the layer, or of the copy.
        inputs: one or two maps.
        window: of a convolution or a vector step; a dense layer has none.
        groups, rows, depth, columns: products of an image; of a dense layer rows are 1.
        out_base: of the output, from where a tensor may begin.
        out_channels, out_pixel_bytes, out_stride, out_container: of the output; the container's
            bits as log2.
        image_stride: bytes from an image of the first input to the next.
        can_join: images may share row tiles.
        written: share of the rows that are written: fewer where they are pooled.
        weight_layer: which of the network's weight layers it is; -1: none.
    """

    name: str
    op: Op
    inputs: tuple[MapPlace, ...]
    window: Window | None
    groups: int
    rows: int
    depth: int
    columns: int
    out_base: int
    out_channels: int
    out_pixel_bytes: int
    out_stride: int
    out_container: int
    image_stride: int
    can_join: bool
    written: float
    weight_layer: int

    @property
    def is_product(self) -> bool:
        """Whether the MM unit does it."""
        return self.weight_layer >= 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates of an image."""
        return self.groups * self.rows * self.depth * self.columns


def network_steps(
    network: Network, act_bits: int, image_bits: int, tile_columns: int
) -> tuple[StepWork, ...]:
    """Return a unit's steps.

    Args:
        network: the network.
        act_bits: wordlength of the unit's activations.
        image_bits: of the stored images; others are cut first.
        tile_columns: T_C, or a number that all T_C are multiples of.
    """
    formats = {
        name: Format(LOGIT_BITS if group.is_head else act_bits, 0)
        for group in format_groups(network)
        for name in group.tensors
    }
    # What a schedule needs of an integer network.
    outline = cast(
        IntegerNetwork,
        SimpleNamespace(
            network=network,
            layers=tuple(SimpleNamespace(layer=layer) for layer in network.layers),
            scheme=SimpleNamespace(tensors=MappingProxyType(formats)),
            input=formats[network.input],
            stored_input=Format(image_bits, 0),
            input_window=0,
        ),
    )
    schedule = schedule_of(outline)
    places = address_map(schedule, 1, tile_columns).placements
    weighted = [layer.name for layer in network.weight_layers]
    shapes = schedule.shapes
    return tuple(
        _step(step, *step_places(step, places), shapes, weighted) for step in schedule.steps
    )


def _step(
    step: Step,
    inputs: list[Placement],
    out: Placement,
    shapes: Mapping[str, Shape],
    weighted: list[str],
) -> StepWork:
    spec = step.layer.layer
    product = spec.matmul if isinstance(spec, Conv | Dense) else None
    return StepWork(
        name=step.name,
        op=op_of(spec),
        inputs=tuple(_map_place(place) for place in inputs),
        window=None if isinstance(spec, Dense) else window_of(spec, inputs[0]),
        groups=product.groups if product else 1,
        rows=product.rows if product else out.height * out.width,
        depth=product.depth if product else 0,
        columns=product.columns if product else 0,
        out_base=out.base % ALIGNMENT,
        out_channels=out.channels,
        out_pixel_bytes=pixel_bytes(out),
        out_stride=out.image_stride,
        out_container=out.container.bit_length() - 1,
        image_stride=inputs[0].image_stride,
        can_join=can_join(step, inputs[0], out, shapes),
        written=out.height * out.width / product.rows if step.pool and product else 1.0,
        weight_layer=weighted.index(spec.name) if product else -1,
    )


def _map_place(place: Placement) -> MapPlace:
    return MapPlace(
        base=0,
        height=place.height,
        width=place.width,
        channels=place.channels,
        pixel_bytes=pixel_bytes(place),
        container=place.container.bit_length() - 1,
        signed=False,
    )
