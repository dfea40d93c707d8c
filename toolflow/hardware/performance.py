"""How fast engines are on a network: its steps by the cycle model, one engine or grids of them.

An engine has all the device's bandwidth, up to what its port moves; what engines that share the
memory take of it together is the search's to add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from toolflow.hardware.devices import Device
from toolflow.hardware.engine_cycles import MEMORY_LATENCY, Parts, Port
from toolflow.hardware.engine_grid import Axes, StepGrid
from toolflow.hardware.engine_steps import StepWork, network_steps
from toolflow.hardware.resources import EngineConfig
from toolflow.network.graph import Network

BOUNDS: Mapping[str, str] = MappingProxyType(
    {"work": "compute", "arrival": "memory", "port": "memory", "writer": "output"}
)
"""What a step waits for most, by the cycle model's parts."""

Times = tuple[NDArray[np.float64], NDArray[np.float64]]

STEP_TIMES = 1024
"""Times of a step on a grid, up to 0.7 MB, that are kept: compared precisions share them."""

ENGINE_TIMES = 1024


@dataclass(frozen=True)
class LayerTime:
    """A step's time for one batch of images.

    Attributes:
        name: of the layer, or of a copy.
        macs: multiply-accumulates; 0 of a step without weights.
        cycles: from the step's descriptor to the end of its writing.
        bytes: read and written off chip.
        seconds: the cycles at the device's clock.
        bound: "compute", "memory" or "output", whichever takes longest.
    """

    name: str
    macs: int
    cycles: int
    bytes: int
    seconds: float
    bound: str


@dataclass(frozen=True)
class EngineTime:
    """An engine's time on a whole network; ``images_per_s`` has all the device's bandwidth."""

    layers: tuple[LayerTime, ...]
    cycles_per_image: float
    bytes_per_image: float
    images_per_s: float


class Workload:
    """A network on a device's engines.

    Args:
        network: the network.
        device: the board: clock, memory, width of the engines' ports.
    """

    def __init__(self, network: Network, device: Device) -> None:
        self._network = network
        self._device = device
        self.weight_layers = len(network.weight_layers)
        self.deepest = max(layer.matmul.depth for layer in network.weight_layers)
        bits = device.port_bits
        self._port = Port(MEMORY_LATENCY, bytes_per_second(device) / clock_hz(device) * 8 / bits)
        self._axes: dict[bytes, Axes] = {}
        self._grid = lru_cache(STEP_TIMES)(self._make_grid)
        self._step_times = lru_cache(STEP_TIMES)(self._find_step_times)
        self._engine_times = lru_cache(ENGINE_TIMES)(self._find_engine_time)

    def engine_time(self, config: EngineConfig, batch: int) -> EngineTime:
        """Return one engine's time, ``batch`` images at a time.

        Raises:
            ValueError: it cannot run the network, or its windows are not one a weight layer.
        """
        return self._engine_times(config, batch)

    def _find_engine_time(self, config: EngineConfig, batch: int) -> EngineTime:
        axes = grid_axes(
            (config.t_r,),
            (config.t_p,),
            (config.t_c,),
            (config.weight_depth,),
            (config.act_buffer_words,),
        )
        steps = self._steps(config.act_bits, config.image_bits, config.t_c)
        weight_bits = config.read_bits(self.weight_layers)
        self._check_windows(weight_bits)
        layers = tuple(
            self._layer_time(
                step,
                StepGrid(step, axes, config.act_bits, self._device.port_bits, batch).cycles(
                    _weight_bits(step, weight_bits), 0, self._port, last=step is steps[-1]
                ),
                batch,
            )
            for step in steps
        )
        cycles = sum(layer.cycles for layer in layers) / batch
        return EngineTime(
            layers=layers,
            cycles_per_image=cycles,
            bytes_per_image=sum(layer.bytes for layer in layers) / batch,
            images_per_s=clock_hz(self._device) / cycles,
        )

    def grid_times(
        self,
        axes: Axes,
        batch: int,
        bits: tuple[int, int],
        weight_bits: Sequence[int],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return seconds and bytes per image for a grid of engines.

        They are infinite where the engine is too small for the network.

        Args:
            axes: T_R, T_P, T_C, weight depth, activation buffer, shaped to broadcast together.
            batch: images at a time.
            bits: wordlengths of activations and of stored images.
            weight_bits: bits that are read of a weight, one a weight layer.
        """
        self._check_windows(weight_bits)
        steps = self._steps(*bits, int(np.gcd.reduce(axes[2].reshape(-1))))
        key = b"".join(axis.tobytes() + b"/" for axis in axes)
        self._axes[key] = axes
        times = [
            self._step_times(
                step, key, bits[0], batch, _weight_bits(step, weight_bits), step is steps[-1]
            )
            for step in steps
        ]
        seconds = np.sum([total for total, _ in times], axis=0) / clock_hz(self._device) / batch
        beats = np.sum([beats for _, beats in times], axis=0) / batch
        return seconds, beats * (self._device.port_bits // 8)

    def _make_grid(self, step: StepWork, axes: bytes, act_bits: int, batch: int) -> StepGrid:
        return StepGrid(step, self._axes[axes], act_bits, self._device.port_bits, batch)

    def _find_step_times(
        self, step: StepWork, axes: bytes, act_bits: int, batch: int, weight_bits: int, last: bool
    ) -> Times:
        """Return a step's cycles and beats on a grid; ``weight_bits`` are read of a weight."""
        grid = self._grid(step, axes, act_bits, batch)
        parts = grid.cycles(weight_bits, 0, self._port, last=last)
        return np.asarray(parts.total), np.asarray(parts.beats)

    def _check_windows(self, weight_bits: Sequence[int]) -> None:
        if len(weight_bits) != self.weight_layers:
            raise ValueError(f"{len(weight_bits)} windows for {self.weight_layers} weight layers")

    def _steps(self, act_bits: int, image_bits: int, tile_columns: int) -> tuple[StepWork, ...]:
        return network_steps(self._network, act_bits, image_bits, tile_columns)

    def _layer_time(self, step: StepWork, parts: Parts, batch: int) -> LayerTime:
        """Return a step's time on the only engine of a grid."""
        values = {name: np.asarray(value).item() for name, value in parts._asdict().items()}
        if not np.isfinite(values["total"]):
            raise ValueError(f"{step.name} does not fit the engine")
        cycles = round(values["total"])
        return LayerTime(
            name=step.name,
            macs=step.macs * batch,
            cycles=cycles,
            bytes=round(values["beats"]) * (self._device.port_bits // 8),
            seconds=cycles / clock_hz(self._device),
            bound=BOUNDS[max(BOUNDS, key=lambda name: values[name])],
        )


def _weight_bits(step: StepWork, weight_bits: Sequence[int]) -> int:
    """Return the bits that a step reads of a weight; ``weight_bits``: one a weight layer."""
    return weight_bits[step.weight_layer] if step.is_product else 0


def clock_hz(device: Device) -> float:
    """Return the planned clock in Hz."""
    return 1e6 * device.clock_mhz


def bytes_per_second(device: Device) -> float:
    """Return the usable bandwidth of all engines together."""
    return 1e9 * device.usable_gb_per_s


def grid_axes(*values: Sequence[int]) -> Axes:
    """Return the axes of a grid: T_R, T_P, T_C, weight depths, activation buffers."""
    return tuple(
        np.array(of, np.int64).reshape([-1 if k == axis else 1 for k in range(len(values))])
        for axis, of in enumerate(values)
    )
