"""A unit's steps with the addresses of its tensors, and ``memory_map.json``, which records both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from toolflow.emission.address_map import Placement, address_map
from toolflow.emission.descriptors import decode_all, descriptor_image
from toolflow.emission.memory_images import ParameterImage, WeightImage
from toolflow.emission.steps import schedule_of
from toolflow.emulator.integer_network import IntegerNetwork
from toolflow.errors import UserError
from toolflow.hardware.engine_cycles import Port, UnitSizes

MEMORY_MAP_FILE = "memory_map.json"


@dataclass(frozen=True)
class StepRecord:
    """One descriptor: its layer's name and kind, the tensors it reads and the one it makes.

    It is done for ``joined`` images at a time: where a batch has fewer, it writes into the room of
    images that are not there.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    joined: int

    def written_images(self, images: int) -> int:
        """Return how many images' room a batch of so many is written to."""
        return -(-images // self.joined) * self.joined


@dataclass(frozen=True)
class UnitMap:
    """One unit's steps, in the order of its descriptors, and where its tensors lie.

    The output is ``output``. Offsets and sizes are bytes; batches may be smaller than ``batch``.
    """

    batch: int
    workspace_bytes: int
    output: str
    steps: tuple[StepRecord, ...]
    tensors: Mapping[str, Placement]


@dataclass(frozen=True)
class MemoryMap:
    """What a host must know of the memory."""

    lpu: UnitMap
    hpu: UnitMap

    def to_json(self) -> str:
        """Return the map as JSON text."""
        return json.dumps(asdict(self), indent=1) + "\n"


@dataclass(frozen=True, eq=False)
class UnitImage:
    """One unit's map and its descriptors' bytes."""

    map: UnitMap
    descriptors: bytes


def unit_image(
    network: IntegerNetwork,
    unit: UnitSizes,
    port: Port,
    batch: int,
    weights: WeightImage,
    channels: ParameterImage,
) -> UnitImage:
    """Return the steps, addresses and descriptors of a unit for a batch of images.

    ``port`` is the memory that its steps are ordered for.

    Raises:
        UserError: a layer is too large for the descriptors, the activations for the addresses, or
            the network's output is in an order that memory has not.
    """
    schedule = schedule_of(network)
    addresses = address_map(schedule, batch, unit.sizes.t_c)
    descriptors = descriptor_image(schedule, addresses, unit, port, weights, channels)
    return UnitImage(
        UnitMap(
            batch=batch,
            workspace_bytes=addresses.workspace_bytes,
            output=schedule.output,
            steps=tuple(
                StepRecord(
                    step.name,
                    step.layer.layer.op,
                    step.inputs,
                    step.output,
                    1 << fields["images_log"],
                )
                for step, fields in zip(schedule.steps, decode_all(descriptors), strict=True)
            ),
            tensors=dict(addresses.placements),
        ),
        descriptors,
    )


def read_memory_map(folder: Path) -> MemoryMap:
    """Read ``folder/memory_map.json``.

    Raises:
        UserError: it is missing or not what this version writes.
    """
    path = folder / MEMORY_MAP_FILE
    try:
        return TypeAdapter(MemoryMap).validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); make the plan again"
        ) from error
    except (UnicodeDecodeError, ValidationError) as error:
        raise UserError(f"{path}: is not a memory map of this version; plan again") from error
