"""Search over the hardware of one device: the best single stage, the best cascade.

The space, searched exhaustively: T_R, T_P, T_C of ``Grid``; ``DSP_LEVELS + 1`` mixes of PEs in DSP
blocks and in LUTs; column tiles of weights buffered or not; the activation buffers of ``Grid``;
batches of 1..64. A single stage is one engine or two equal ones that share the images; a cascade
is any HPU with one LPU engine or two equal ones, all that fit the device together. Throughput
grows with the batch, so designs are compared at the largest one and the smallest batch within
``BATCH_SLACK`` of it is taken.

A cascade's rate is the least of the LPU's, the HPU's over the forwarded fraction, and what the
memory bandwidth that both share allows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from toolflow.errors import UserError
from toolflow.fixedpoint import storage_bits
from toolflow.hardware.devices import Device
from toolflow.hardware.performance import EngineTime, engine_time, grid_times
from toolflow.hardware.resources import (
    EngineConfig,
    EngineShape,
    Resources,
    device_budget,
    engine_counts,
    engine_resources,
    shared_resources,
)
from toolflow.hardware.workload import LayerWork

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Bits = tuple[int, int]

BATCHES = (1, 2, 4, 8, 16, 32, 64)
BATCH_SLACK = 0.01
ENGINES = (1, 2)
DSP_LEVELS = 16
KINDS = ("lut", "ff", "dsp", "bram")


@dataclass(frozen=True)
class Grid:
    """The tile sizes and buffers that are tried."""

    t_r: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    t_p: tuple[int, ...] = (4, 8, 9, 12, 16, 18, 24, 27, 32, 36, 48, 64)
    t_c: tuple[int, ...] = (4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128)
    act_buffer_words: tuple[int, ...] = (2048, 16384, 131072)


@dataclass(frozen=True)
class Engine:
    """``count`` equal engines that share a unit's images; ``resources`` is of all of them."""

    config: EngineConfig
    count: int
    resources: Resources
    time: EngineTime
    """Of one engine with all the bandwidth."""

    @property
    def images_per_s(self) -> float:
        """Rate of all engines, before the device's bandwidth is shared."""
        return self.count * self.time.images_per_s


@dataclass(frozen=True)
class SingleDesign:
    """A unit that takes every image."""

    engine: Engine
    images_per_s: float
    batch: int


@dataclass(frozen=True)
class CascadeDesign:
    """An LPU and an HPU side by side.

    ``latency_ms`` is the longest time of an image that is forwarded: a batch on each unit.
    """

    lpu: Engine
    hpu: Engine
    batch: int
    images_per_s: float
    latency_ms: float
    mapping: str = "spatial"


@dataclass(frozen=True, eq=False)
class _Space:
    """All engines of one precision that fit the device, flat arrays, fastest first.

    ``rate`` is images/s with all the bandwidth, ``moved`` bytes an image; ``used`` is (4, engines)
    in the order of ``KINDS``; ``index`` says where in the grid an engine stands.
    """

    rate: FloatArray
    moved: FloatArray
    used: IntArray
    index: IntArray


class Explorer:
    """Searches one device for one network.

    Args:
        device: the board.
        work: the network's layers.
        grid: the space.
    """

    def __init__(self, device: Device, work: tuple[LayerWork, ...], grid: Grid = Grid()) -> None:
        self._device = device
        self._work = work
        self._depths = (0, max(layer.depth for layer in work))
        sizes = (grid.t_r, grid.t_p, grid.t_c, self._depths, grid.act_buffer_words)
        self._axes = tuple(
            np.array(values, np.int64).reshape([-1 if k == axis else 1 for k in range(5)])
            for axis, values in enumerate(sizes)
        )
        self._times: dict[Bits, tuple[FloatArray, FloatArray]] = {}
        self._spaces: dict[tuple[int, int, int], _Space] = {}
        self._fronts: dict[tuple[int, int, int], IntArray] = {}
        self._singles: dict[Bits, SingleDesign] = {}
        self._cascades: dict[tuple[Bits, Bits, float], CascadeDesign] = {}

    def single(self, weight_bits: int, act_bits: int) -> SingleDesign:
        """Return the fastest single-stage design, its weights stored at their own wordlength.

        Raises:
            UserError: not even the smallest engine fits the device.
        """
        key = (weight_bits, act_bits)
        if key not in self._singles:
            self._singles[key] = self._search_single(weight_bits, act_bits)
        return self._singles[key]

    def cascade(self, lpu: Bits, hpu: Bits, forwarded_fraction: float) -> CascadeDesign:
        """Return the fastest cascade of an LPU and an HPU (weight bits, activation bits).

        Raises:
            UserError: not even the smallest pair of engines fits the device.
        """
        key = (lpu, hpu, forwarded_fraction)
        if key not in self._cascades:
            self._cascades[key] = self._search_cascade(lpu, hpu, forwarded_fraction)
        return self._cascades[key]

    # ------------------------------------------------------------------ search

    def _search_single(self, weight_bits: int, act_bits: int) -> SingleDesign:
        space = self._space(weight_bits, act_bits, weight_bits)
        best: tuple[float, int, int] | None = None
        for engines in ENGINES:
            fits = (engines * space.used <= self._limits[:, None]).all(axis=0)
            if not fits.any():
                continue
            rates = np.minimum(engines * space.rate, self._bandwidth / space.moved)
            choice = int(np.where(fits, rates, 0).argmax())
            if best is None or rates[choice] > best[0]:
                best = float(rates[choice]), engines, choice
        if best is None:
            raise self._too_small([(weight_bits, act_bits, weight_bits)])
        _, engines, choice = best
        config = self._config(space.index[choice], weight_bits, act_bits, weight_bits)
        batch = self._smallest_batch([config])
        engine = self._engine(config, engines, batch)
        rate = min(engine.images_per_s, self._bandwidth / engine.time.bytes_per_image)
        return SingleDesign(engine, rate, batch)

    def _search_cascade(self, lpu: Bits, hpu: Bits, forwarded: float) -> CascadeDesign:
        stored = hpu[0]
        low = self._space(*lpu, stored)
        high = self._space(*hpu, stored)
        best: float = 0.0
        pair: tuple[int, int, int] | None = None
        for h, engines in product(self._front(*hpu, stored), ENGINES):
            high_rate = high.rate[h] / forwarded if forwarded else np.inf
            faster = int(np.searchsorted(-engines * low.rate, -best))
            if high_rate <= best or faster == 0:
                continue
            free = self._limits - high.used[:, h]
            fits = np.asarray((engines * low.used[:, :faster] <= free[:, None]).all(axis=0))
            shared = self._bandwidth / (low.moved[:faster] + forwarded * high.moved[h])
            rate = np.minimum(np.minimum(engines * low.rate[:faster], high_rate), shared)
            choice = int(np.where(fits, rate, 0).argmax())
            if fits[choice] and rate[choice] > best:
                best, pair = float(rate[choice]), (choice, int(h), engines)
        if pair is None:
            raise self._too_small([(*lpu, stored), (*hpu, stored)])
        configs = [
            self._config(low.index[pair[0]], *lpu, stored),
            self._config(high.index[pair[1]], *hpu, stored),
        ]
        batch = self._smallest_batch(configs)
        lpu_engine = self._engine(configs[0], pair[2], batch)
        hpu_engine = self._engine(configs[1], 1, batch)
        high_rate = hpu_engine.images_per_s
        moved = lpu_engine.time.bytes_per_image + forwarded * hpu_engine.time.bytes_per_image
        return CascadeDesign(
            lpu=lpu_engine,
            hpu=hpu_engine,
            batch=batch,
            images_per_s=min(
                lpu_engine.images_per_s,
                high_rate / forwarded if forwarded else np.inf,
                self._bandwidth / moved,
            ),
            latency_ms=1e3 * batch * (1 / lpu_engine.time.images_per_s + 1 / high_rate),
        )

    def _smallest_batch(self, configs: list[EngineConfig]) -> int:
        def rates(batch: int) -> FloatArray:
            times = [engine_time(c, self._work, self._device, batch) for c in configs]
            return np.array([time.images_per_s for time in times])

        best = rates(BATCHES[-1])
        return next(b for b in BATCHES if (rates(b) >= (1 - BATCH_SLACK) * best).all())

    # ------------------------------------------------------------------ the space

    @cached_property
    def _limits(self) -> IntArray:
        return _counts(device_budget(self._device) - shared_resources(self._device))

    @cached_property
    def _bandwidth(self) -> float:
        return 1e9 * self._device.usable_gb_per_s

    def _grid_times(
        self, weight_container: int, act_container: int
    ) -> tuple[FloatArray, FloatArray]:
        key = (weight_container, act_container)
        if key not in self._times:
            self._times[key] = grid_times(
                self._work, self._device, BATCHES[-1], weight_container, act_container, self._axes
            )
        return self._times[key]

    def _space(self, weight_bits: int, act_bits: int, stored: int) -> _Space:
        key = (weight_bits, act_bits, stored)
        if key not in self._spaces:
            self._spaces[key] = self._make_space(*key)
        return self._spaces[key]

    def _make_space(self, weight_bits: int, act_bits: int, stored: int) -> _Space:
        seconds, moved = self._grid_times(storage_bits(stored), storage_bits(act_bits))
        counts = engine_counts(
            EngineShape(*self._axes),
            weight_bits,
            act_bits,
            self._acc_bits(weight_bits, act_bits),
            stored,
            self._device,
        )
        levels = np.arange(DSP_LEVELS + 1).reshape(-1, *[1] * 5)
        dsp_pes = self._axes[2] * levels // DSP_LEVELS
        shape = (DSP_LEVELS + 1, *seconds.shape)
        used = np.stack(
            [
                np.broadcast_to(value, shape).reshape(-1)
                for value in (
                    counts.lut - dsp_pes * counts.lut_saved,
                    counts.ff - dsp_pes * counts.ff_saved,
                    dsp_pes * counts.dsp_per_pe,
                    counts.bram,
                )
            ]
        )
        index = np.flatnonzero((used <= self._limits[:, None]).all(axis=0))
        rate = 1 / np.broadcast_to(seconds, shape).reshape(-1)[index]
        order = np.argsort(-rate, kind="stable")
        index = index[order]
        return _Space(
            rate=rate[order],
            moved=np.broadcast_to(moved, shape).reshape(-1)[index],
            used=used[:, index],
            index=index,
        )

    def _front(self, weight_bits: int, act_bits: int, stored: int) -> IntArray:
        """Return the engines that no other beats in rate, traffic and every resource."""
        key = (weight_bits, act_bits, stored)
        if key not in self._fronts:
            space = self._space(*key)
            costs = np.vstack([space.used, space.moved])
            kept: list[int] = []
            front = np.empty((len(costs), 0))
            for k in range(len(space.rate)):
                if not (front <= costs[:, k : k + 1]).all(axis=0).any():
                    kept.append(k)
                    front = np.hstack([front, costs[:, k : k + 1]])
            self._fronts[key] = np.array(kept, np.int64)
        return self._fronts[key]

    def _config(self, index: int, weight_bits: int, act_bits: int, stored: int) -> EngineConfig:
        shape = (DSP_LEVELS + 1, *(axis.size for axis in self._axes))
        level, *places = np.unravel_index(int(index), shape)
        t_r, t_p, t_c, depth, words = (
            int(axis.reshape(-1)[place]) for axis, place in zip(self._axes, places, strict=True)
        )
        return EngineConfig(
            t_r=t_r,
            t_p=t_p,
            t_c=t_c,
            dsp_pes=t_c * int(level) // DSP_LEVELS,
            weight_bits=weight_bits,
            act_bits=act_bits,
            acc_bits=self._acc_bits(weight_bits, act_bits),
            stored_weight_bits=stored,
            weight_depth=depth,
            act_buffer_words=words,
        )

    def _engine(self, config: EngineConfig, count: int, batch: int) -> Engine:
        one = engine_resources(config, self._device)
        return Engine(
            config,
            count,
            sum((one for _ in range(count)), Resources(0, 0, 0, 0)),
            engine_time(config, self._work, self._device, batch),
        )

    def _acc_bits(self, weight_bits: int, act_bits: int) -> int:
        """Return the width that holds the deepest layer's sum of extreme products."""
        return weight_bits + act_bits + 1 + (self._depths[1] - 1).bit_length()

    def _too_small(self, precisions: list[tuple[int, int, int]]) -> UserError:
        """Say which resource the smallest engines lack, and how much of it."""
        smallest = (int(axis.reshape(-1)[0]) for axis in self._axes[:3])
        best: tuple[int, Resources] | None = None
        for in_dsp in (False, True):
            needed = shared_resources(self._device)
            for weight_bits, act_bits, stored in precisions:
                config = self._config(0, weight_bits, act_bits, stored)
                pes = config.t_c if in_dsp else 0
                needed += engine_resources(replace(config, dsp_pes=pes), self._device)
            missing = int(np.maximum(_counts(needed - device_budget(self._device)), 0).sum())
            if best is None or missing < best[0]:
                best = missing, needed
        assert best is not None
        budget = device_budget(self._device)
        short = [
            f"{kind.upper()}: {need:,} needed, {have:,} usable"
            for kind, need, have in zip(KINDS, _counts(best[1]), _counts(budget), strict=True)
            if need > have
        ]
        sizes = "x".join(map(str, smallest))
        return UserError(
            f"device {self._device.name} is too small for even the smallest design "
            f"(tiles {sizes}): {'; '.join(short)}. Choose a larger device"
        )


def _counts(resources: Resources) -> IntArray:
    return np.array([getattr(resources, kind) for kind in KINDS], np.int64)
