"""Search over the hardware of one device: the best single stage, the best cascade.

The space, searched exhaustively: T_R, T_P, T_C of ``Grid``; any number of columns in DSP blocks,
one or several in each (``hardware.packing``), the others in LUTs (an HPU: ``DSP_LEVELS + 1`` mixes;
accumulators that share block RAM are counted as if they did not); the weight and activation buffers
of ``Grid``; batches of 1..64. Times are the cycle model's (``hardware.engine_cycles``). A single
stage is one engine, or equal ones that share the images (``ENGINES``); a cascade is any HPU with so
many LPU engines, all that fit the device together. Throughput grows with the batch, so designs are
compared at the largest one and the smallest batch within ``BATCH_SLACK`` of it is taken.

A cascade's rate is the least of the LPU's, the HPU's over the forwarded fraction, and what the
memory bandwidth that both share allows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolflow.errors import UserError
from toolflow.hardware.devices import Device
from toolflow.hardware.memories import Count
from toolflow.hardware.packing import packings
from toolflow.hardware.performance import EngineTime, Workload, grid_axes
from toolflow.hardware.resources import (
    ENGINE_DSP,
    Counts,
    EngineConfig,
    EngineShape,
    Resources,
    block_rams,
    device_budget,
    engine_counts,
    engine_resources,
    shared_resources,
)
from toolflow.network.graph import Network

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Bits = tuple[int, int]
Windows = tuple[int, ...]
CascadeKey = tuple[Bits, Bits, float, Windows]

BATCHES = (1, 2, 4, 8, 16, 32, 64)
BATCH_SLACK = 0.01
ENGINES = (1,)
"""Equal engines of the LPU that are tried: `cascade_top` has one a unit."""

DSP_LEVELS = 16
KINDS = ("lut", "ff", "dsp", "bram")


@dataclass(frozen=True)
class Grid:
    """The tile sizes and buffers that are tried.

    Rows: powers of two, and divisors of maps of 7, 14, 28, .. lines. ``weight_depths``: column
    tiles so deep are kept on chip, one used and one loaded; the network's deepest besides.
    """

    t_r: tuple[int, ...] = (16, 32, 49, 64, 98, 128, 196, 256, 512)
    t_p: tuple[int, ...] = (4, 8, 9, 12, 16, 18, 24, 27, 32, 36, 48, 64, 72, 96, 112)
    t_c: tuple[int, ...] = (4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 56, 64, 80, 96, 128)
    weight_depths: tuple[int, ...] = (0, 288, 576)
    act_buffer_words: tuple[int, ...] = (2048, 8192, 32768, 131072, 262144)


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
    """All engines of one precision that another does not dominate, fastest first.

    ``rate`` is images/s with all the bandwidth, ``moved`` bytes an image; ``index`` says where in
    the grid an engine stands. Resources are those of an engine with all columns in LUTs; each in
    DSP blocks saves ``lut_saved`` and ``ff_saved``, and ``columns`` of them together take
    ``dsp_per_group``.
    """

    rate: FloatArray
    moved: FloatArray
    index: IntArray
    t_c: IntArray
    lut: IntArray
    ff: IntArray
    bram: IntArray
    lut_saved: IntArray
    ff_saved: IntArray
    columns: IntArray
    dsp_per_group: IntArray

    def engine(self, place: int) -> tuple[int, int]:
        """Return where in the grid an engine stands, and how many columns share its DSP blocks."""
        return int(self.index[place]), int(self.columns[place])

    def dsp_range(self, free: IntArray, end: int) -> tuple[IntArray, IntArray]:
        """Return the fewest and the most columns in DSP blocks with which engines fit ``free``.

        Of the first ``end`` engines; one fits if the fewest is at most the most.
        """
        few = np.maximum(
            -((free[0] - self.lut[:end]) // self.lut_saved[:end]),
            -((free[1] - self.ff[:end]) // self.ff_saved[:end]),
        )
        groups = (free[2] - ENGINE_DSP) // self.dsp_per_group[:end]
        most = np.minimum(self.t_c[:end], groups * self.columns[:end])
        return np.maximum(few, 0), np.where(self.bram[:end] <= free[3], most, -1)


@dataclass(frozen=True, eq=False)
class _Front:
    """HPUs that no other beats in rate, traffic and every resource, fastest first.

    ``space`` and ``dsp_pes`` say which engine it is; ``used`` is (4, engines), as ``KINDS``.
    """

    space: IntArray
    dsp_pes: IntArray
    used: IntArray


class _Best(NamedTuple):
    """The fastest design found, at the largest batch.

    ``place`` and ``dsp_pes``: of the single stage's or the LPU's engines in their space;
    ``hpu``: of the HPU in its front.
    """

    rate: float
    place: int
    dsp_pes: int
    engines: int
    hpu: int = 0


class Explorer:
    """Searches one device for one network.

    Args:
        device: the board.
        network: the network.
        grid: the space.
    """

    def __init__(self, device: Device, network: Network, grid: Grid = Grid()) -> None:
        self._device = device
        self._work = Workload(network, device)
        deepest = self._work.deepest
        depths = (*(depth for depth in grid.weight_depths if depth < deepest), deepest)
        self._axes = grid_axes(grid.t_r, grid.t_p, grid.t_c, depths, grid.act_buffer_words)
        self._spaces: dict[tuple[Bits, int, int, Windows], _Space] = {}
        self._fronts: dict[Bits, _Front] = {}
        self._singles: dict[Bits, SingleDesign] = {}
        self._cascades: dict[CascadeKey, CascadeDesign] = {}
        self._best_singles: dict[Bits, _Best] = {}
        self._best_pairs: dict[CascadeKey, _Best] = {}

    def single(self, weight_bits: int, act_bits: int) -> SingleDesign:
        """Return the fastest single-stage design, its weights stored at their own wordlength.

        Raises:
            UserError: not even the smallest engine fits the device.
        """
        key = (weight_bits, act_bits)
        if key not in self._singles:
            self._singles[key] = self._make_single(key)
        return self._singles[key]

    def cascade(
        self, lpu: Bits, hpu: Bits, forwarded_fraction: float, windows: Windows = ()
    ) -> CascadeDesign:
        """Return the fastest cascade of an LPU and an HPU (weight bits, activation bits).

        ``windows`` are the LPU's, one a layer: bits of a stored weight that it does not read. Left
        out, it is taken to read whole weights.

        Raises:
            UserError: not even the smallest pair of engines fits the device.
        """
        key = (lpu, hpu, forwarded_fraction, windows)
        if key not in self._cascades:
            self._cascades[key] = self._make_cascade(*key)
        return self._cascades[key]

    def single_rate(self, weight_bits: int, act_bits: int) -> float:
        """Return ``single``'s images/s at the largest batch: at most ``BATCH_SLACK`` more."""
        return self._best_single((weight_bits, act_bits)).rate

    def cascade_rate(
        self, lpu: Bits, hpu: Bits, forwarded_fraction: float, windows: Windows = ()
    ) -> float:
        """Return ``cascade``'s images/s at the largest batch: at most ``BATCH_SLACK`` more."""
        return self._best_pair((lpu, hpu, forwarded_fraction, windows)).rate

    # ------------------------------------------------------------------ search

    def _best_single(self, bits: Bits) -> _Best:
        if bits not in self._best_singles:
            self._best_singles[bits] = self._search_single(*bits)
        return self._best_singles[bits]

    def _best_pair(self, key: CascadeKey) -> _Best:
        if key not in self._best_pairs:
            self._best_pairs[key] = self._search_pair(*key)
        return self._best_pairs[key]

    def _search_single(self, weight_bits: int, act_bits: int) -> _Best:
        space = self._space((weight_bits, act_bits), weight_bits, act_bits)
        best = _Best(0.0, 0, 0, 0)
        for engines in ENGINES:
            few, most = space.dsp_range(self._limits // engines, len(space.rate))
            rates = np.minimum(engines * space.rate, self._bandwidth / space.moved)
            rates = np.where(few <= most, rates, 0)
            choice = int(rates.argmax())
            if rates[choice] > best.rate:
                best = _Best(float(rates[choice]), choice, int(most[choice]), engines)
        if not best.rate:
            raise self._too_small([(weight_bits, act_bits, weight_bits)])
        return best

    def _make_single(self, bits: Bits) -> SingleDesign:
        best, space = self._best_single(bits), self._space(bits, *bits)
        config = self._config(*space.engine(best.place), best.dsp_pes, bits, *bits)
        batch = self._smallest_batch([config])
        engine = self._engine(config, best.engines, batch)
        rate = min(engine.images_per_s, self._bandwidth / engine.time.bytes_per_image)
        return SingleDesign(engine, rate, batch)

    def _search_pair(self, lpu: Bits, hpu: Bits, forwarded: float, windows: Windows) -> _Best:
        low, high = self._space(lpu, *hpu, windows), self._space(hpu, *hpu)
        front = self._front(hpu)
        high_rates = (
            high.rate[front.space] / forwarded if forwarded else np.full(len(front.space), np.inf)
        )
        best = _Best(0.0, 0, 0, 0)
        for bound, h, engines in self._promising(low, front, high_rates):
            faster = int(np.searchsorted(-engines * low.rate, -best.rate))
            if bound <= best.rate or faster == 0:
                break
            high_rate = high_rates[h]
            few, most = low.dsp_range((self._limits - front.used[:, h]) // engines, faster)
            traffic = low.moved[:faster] + forwarded * high.moved[front.space[h]]
            rates = np.minimum(
                np.minimum(engines * low.rate[:faster], high_rate), self._bandwidth / traffic
            )
            rates = np.where(few <= most, rates, 0)
            choice = int(rates.argmax())
            if rates[choice] > best.rate:
                best = _Best(float(rates[choice]), choice, int(most[choice]), engines, h)
        if not best.rate:
            raise self._too_small([(*lpu, hpu[0]), (*hpu, hpu[0])])
        return best

    def _make_cascade(
        self, lpu: Bits, hpu: Bits, forwarded: float, windows: Windows
    ) -> CascadeDesign:
        best = self._best_pair((lpu, hpu, forwarded, windows))
        low, high, front = self._space(lpu, *hpu, windows), self._space(hpu, *hpu), self._front(hpu)
        place, h = front.space[best.hpu], best.hpu
        configs = [
            self._config(*low.engine(best.place), best.dsp_pes, lpu, *hpu, windows),
            self._config(*high.engine(place), int(front.dsp_pes[h]), hpu, *hpu),
        ]
        batch = self._smallest_batch(configs)
        lpu_engine = self._engine(configs[0], best.engines, batch)
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

    def _promising(
        self, low: _Space, front: _Front, high_rates: FloatArray
    ) -> Iterator[tuple[float, int, int]]:
        """Yield (upper bound of the rate, HPU, LPU engines), the highest bound first.

        A DSP block saves an LPU at most so many LUTs; so beside an HPU no LPU fits whose LUTs, all
        columns in LUTs, exceed the free ones and what all free DSP blocks would save.
        """
        by_lut = np.argsort(low.lut, kind="stable")
        fastest = np.maximum.accumulate(low.rate[by_lut])
        free = self._limits[:, None] - front.used
        saved = (low.columns * low.lut_saved / low.dsp_per_group).max()
        reach = free[0] + free[2] * saved
        bounds, hpus, counts = [], [], []
        for engines in ENGINES:
            within = np.searchsorted(low.lut[by_lut], reach / engines, side="right")
            lpu = np.where(within > 0, engines * fastest[np.maximum(within - 1, 0)], 0)
            bounds.append(np.minimum(lpu, high_rates))
            hpus.append(np.arange(len(high_rates)))
            counts.append(np.full(len(high_rates), engines))
        bound, hpu, count = map(np.concatenate, (bounds, hpus, counts))
        for k in np.argsort(-bound, kind="stable"):
            yield float(bound[k]), int(hpu[k]), int(count[k])

    def _smallest_batch(self, configs: list[EngineConfig]) -> int:
        def rates(batch: int) -> FloatArray:
            times = [self._work.engine_time(config, batch) for config in configs]
            return np.array([time.images_per_s for time in times])

        # Rates grow with the batch.
        enough = (1 - BATCH_SLACK) * rates(BATCHES[-1])
        smaller = itertools.takewhile(lambda b: (rates(b) >= enough).all(), BATCHES[-2::-1])
        return min(smaller, default=BATCHES[-1])

    # ------------------------------------------------------------------ the space

    @cached_property
    def _limits(self) -> IntArray:
        return _counts(device_budget(self._device) - shared_resources(self._device))

    @cached_property
    def _bandwidth(self) -> float:
        return 1e9 * self._device.usable_gb_per_s

    def _space(self, bits: Bits, stored: int, images: int, windows: Windows = ()) -> _Space:
        """Return the engines of a precision; stored weights' and images' bits, the windows."""
        key = (bits, stored, images, windows)
        if key not in self._spaces:
            self._spaces[key] = self._make_space(*key)
        return self._spaces[key]

    def _make_space(self, bits: Bits, stored: int, images: int, windows: Windows) -> _Space:
        weight_bits, act_bits = bits
        read = tuple(stored - window for window in windows) or (stored,) * self._work.weight_layers
        seconds, moved = self._work.grid_times(self._axes, BATCHES[-1], (act_bits, images), read)
        shape = EngineShape(*self._axes)

        def counts_of(columns: int) -> Counts:
            acc_bits = self._acc_bits(weight_bits, act_bits)
            return engine_counts(
                shape, weight_bits, act_bits, acc_bits, stored, self._device, columns
            )

        costs = [seconds, moved, *self._whole(counts_of(1))]
        kept = np.flatnonzero(np.isfinite(seconds) & ~_dominated(costs))
        if not len(kept):
            raise UserError(
                f"a layer of the network needs more of its input on chip than the largest buffer "
                f"that is searched, {self._axes[-1].max():,} words, has room for"
            )
        kept = kept[np.argsort(seconds.reshape(-1)[kept], kind="stable")]
        tried = self._sharing(weight_bits, act_bits)
        index = np.repeat(kept, len(tried))

        def of(values: list[Count]) -> IntArray:
            """Return the values of the engines that are kept, those that share alike together."""
            each = [np.broadcast_to(np.asarray(v), seconds.shape).reshape(-1)[kept] for v in values]
            return np.stack(each, axis=1).reshape(-1)

        counts = [counts_of(columns) for columns in tried]
        worth = of(list(tried.values())).astype(bool)

        def chosen(values: list[Count]) -> IntArray:
            found: IntArray = of(values)[worth]
            return found

        return _Space(
            rate=1 / seconds.reshape(-1)[index[worth]],
            moved=moved.reshape(-1)[index[worth]],
            index=index[worth],
            t_c=chosen([self._axes[2]] * len(tried)),
            lut=chosen([each.lut for each in counts]),
            ff=chosen([each.ff for each in counts]),
            bram=chosen([block_rams(each.units, self._device) for each in counts]),
            lut_saved=chosen([each.lut_saved for each in counts]),
            ff_saved=chosen([each.ff_saved for each in counts]),
            columns=chosen(list(tried)),
            dsp_per_group=chosen([each.dsp_per_group for each in counts]),
        )

    def _sharing(self, weight_bits: int, act_bits: int) -> dict[int, IntArray]:
        """Return how many columns may share a DSP block, each with the T_P where it is worth it."""
        t_p = self._axes[1]
        found: dict[int, IntArray] = {}
        for place, depth in enumerate(t_p.flat):
            for way in packings(weight_bits, act_bits, int(depth), self._device):
                worth = found.setdefault(way.columns, np.zeros_like(t_p))
                worth.flat[place] = 1
        return found

    def _whole(self, counts: Counts) -> list[IntArray]:
        """Return the resources of all engines that a smaller T_R or buffer may change."""
        shape = np.broadcast_shapes(*(axis.shape for axis in self._axes))
        return [np.broadcast_to(of, shape) for of in (counts.lut, counts.ff, counts.units)]

    def _front(self, bits: Bits) -> _Front:
        if bits not in self._fronts:
            self._fronts[bits] = self._make_front(self._space(bits, *bits))
        return self._fronts[bits]

    def _make_front(self, space: _Space) -> _Front:
        levels = np.arange(DSP_LEVELS + 1)
        groups = -(-space.t_c * levels[:, None] // (DSP_LEVELS * space.columns)).T
        dsp_pes = np.minimum(space.t_c[:, None], groups * space.columns[:, None])
        used = np.stack(
            [
                space.lut[:, None] - dsp_pes * space.lut_saved[:, None],
                space.ff[:, None] - dsp_pes * space.ff_saved[:, None],
                ENGINE_DSP + groups * space.dsp_per_group[:, None],
                np.broadcast_to(space.bram[:, None], dsp_pes.shape),
            ]
        ).reshape(4, -1)
        engines = np.repeat(np.arange(len(space.rate)), len(levels))
        fresh = np.diff(groups, axis=1, prepend=-1).reshape(-1) > 0
        fitting = np.flatnonzero(fresh & (used <= self._limits[:, None]).all(axis=0))
        costs = np.vstack([used, space.moved[engines]])[:, fitting]
        front = np.empty(costs.shape)
        kept: list[int] = []
        for place, k in enumerate(fitting):
            cost, found = costs[:, place : place + 1], len(kept)
            if not (front[:, :found] <= cost).all(axis=0).any():
                front[:, found] = cost[:, 0]
                kept.append(int(k))
        chosen = np.array(kept, np.int64)
        return _Front(engines[chosen], dsp_pes.reshape(-1)[chosen], used[:, chosen])

    def _config(
        self,
        index: int,
        columns: int,
        dsp_pes: int,
        bits: Bits,
        stored: int,
        images: int,
        windows: Windows = (),
    ) -> EngineConfig:
        places = np.unravel_index(index, tuple(axis.size for axis in self._axes))
        t_r, t_p, t_c, depth, words = (
            int(axis.reshape(-1)[at]) for axis, at in zip(self._axes, places, strict=True)
        )
        return EngineConfig(
            t_r=t_r,
            t_p=t_p,
            t_c=t_c,
            dsp_pes=dsp_pes,
            weight_bits=bits[0],
            act_bits=bits[1],
            acc_bits=self._acc_bits(*bits),
            stored_weight_bits=stored,
            pack_columns=columns,
            weight_depth=depth,
            act_buffer_words=words,
            weight_windows=windows,
            stored_image_bits=images,
        )

    def _engine(self, config: EngineConfig, count: int, batch: int) -> Engine:
        one = engine_resources(config, self._device)
        return Engine(
            config,
            count,
            sum((one for _ in range(count)), Resources(0, 0, 0, 0)),
            self._work.engine_time(config, batch),
        )

    def _acc_bits(self, weight_bits: int, act_bits: int) -> int:
        """Return the width that holds the deepest layer's sum of extreme products."""
        return weight_bits + act_bits + 1 + (self._work.deepest - 1).bit_length()

    def _too_small(self, precisions: list[tuple[int, int, int]]) -> UserError:
        """Say which resource the smallest engines lack, and how much of it."""
        smallest = (int(axis.reshape(-1)[0]) for axis in self._axes[:3])
        best: tuple[int, Resources] | None = None
        for in_dsp in (False, True):
            needed = shared_resources(self._device)
            for weight_bits, act_bits, stored in precisions:
                columns = max(self._sharing(weight_bits, act_bits))
                config = self._config(0, columns, 0, (weight_bits, act_bits), stored, act_bits)
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


def _dominated(costs: list[NDArray[Any]]) -> NDArray[np.bool_]:
    """Say which engines one of a smaller T_R or buffer, all else equal, matches in all costs."""
    dominated: NDArray[np.bool_] = np.zeros(costs[0].shape, bool)
    for axis in (0, 3, 4):
        size = int(dominated.shape[axis])
        for small, large in ((s, t) for t in range(size) for s in range(t)):
            worse = np.logical_and.reduce(
                [np.take(cost, small, axis) <= np.take(cost, large, axis) for cost in costs]
            )
            place = tuple(large if k == axis else slice(None) for k in range(dominated.ndim))
            dominated[place] |= worse
    return dominated


def _counts(resources: Resources) -> IntArray:
    return np.array([getattr(resources, kind) for kind in KINDS], np.int64)
