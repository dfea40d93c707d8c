from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.random_networks import small_network
from toolflow.errors import UserError
from toolflow.exploration import search
from toolflow.exploration.search import BATCH_SLACK, BATCHES, DSP_LEVELS, Explorer, Grid
from toolflow.hardware.devices import load_device
from toolflow.hardware.packing import packings
from toolflow.hardware.performance import Workload
from toolflow.hardware.resources import (
    EngineConfig,
    Resources,
    device_budget,
    engine_resources,
    shared_resources,
)

SMALL = Grid(t_r=(16, 64), t_p=(4, 9), t_c=(4, 16), weight_depths=(0,), act_buffer_words=(4096,))
BOARD = replace(load_device("pynq-z2"), lut=62000, ff=124000, dsp=150)
NETWORK = small_network(1)
DEEPEST = max(layer.matmul.depth for layer in NETWORK.weight_layers)
WORK = Workload(NETWORK, BOARD)
WINDOWS = tuple(3 + k % 3 for k in range(WORK.weight_layers))


def configs(
    weight_bits: int, act_bits: int, stored: int, images: int, windows: tuple[int, ...] = ()
) -> list[EngineConfig]:
    return [
        EngineConfig(
            t_r, t_p, t_c, min(t_c, -(-t_c * level // (DSP_LEVELS * columns)) * columns),
            weight_bits, act_bits, weight_bits + act_bits + 1 + (DEEPEST - 1).bit_length(), stored,
            columns, depth, words, windows, images,
        )
        for t_r, t_p, t_c, words in product(
            SMALL.t_r, SMALL.t_p, SMALL.t_c, SMALL.act_buffer_words
        )
        for columns in {way.columns for way in packings(weight_bits, act_bits, t_p, BOARD)}
        for depth in (0, DEEPEST)
        for level in range(DSP_LEVELS + 1)
    ]  # fmt: skip


def free(*engines: Resources) -> bool:
    total = sum(engines, shared_resources(BOARD))
    return total.fits_in(device_budget(BOARD))


def brute_single(bits: tuple[int, int]) -> float:
    best = 0.0
    for config in configs(*bits, *bits):
        resources = engine_resources(config, BOARD)
        time = WORK.engine_time(config, BATCHES[-1])
        for count in search.ENGINES:
            if free(*[resources] * count):
                bandwidth = 1e9 * BOARD.usable_gb_per_s / time.bytes_per_image
                best = max(best, min(count * time.images_per_s, bandwidth))
    return best


def brute_cascade(
    lpu: tuple[int, int], hpu: tuple[int, int], forwarded: float, windows: tuple[int, ...]
) -> float:
    def measured(
        bits: tuple[int, int], windows: tuple[int, ...] = ()
    ) -> list[tuple[Resources, float, float]]:
        found = []
        for config in configs(*bits, *hpu, windows):
            time = WORK.engine_time(config, BATCHES[-1])
            resources = engine_resources(config, BOARD)
            if free(resources):
                found.append((resources, time.images_per_s, time.bytes_per_image))
        return found

    best = 0.0
    for (high, high_rate, high_bytes), (low, low_rate, low_bytes) in product(
        measured(hpu), measured(lpu, windows)
    ):
        bandwidth = 1e9 * BOARD.usable_gb_per_s / (low_bytes + forwarded * high_bytes)
        limit = high_rate / forwarded if forwarded else float("inf")
        for count in search.ENGINES:
            rate = min(count * low_rate, limit, bandwidth)
            if rate > best and free(high, *[low] * count):
                best = rate
    return best


@pytest.mark.parametrize("bits", [(8, 8), (4, 4), (2, 3), (16, 16)])
def test_no_single_stage_of_a_brute_force_search_is_faster(bits: tuple[int, int]) -> None:
    design = Explorer(BOARD, NETWORK, SMALL).single(*bits)
    best = brute_single(bits)
    assert (1 - BATCH_SLACK) * best <= design.images_per_s <= best * (1 + 1e-9)


@pytest.mark.parametrize("forwarded", [0.0, 0.05, 0.4, 1.0])
@pytest.mark.parametrize(("lpu", "windows"), [((4, 4), ()), ((2, 3), ()), ((4, 4), WINDOWS)])
def test_no_cascade_of_a_brute_force_search_is_faster(
    lpu: tuple[int, int], windows: tuple[int, ...], forwarded: float
) -> None:
    design = Explorer(BOARD, NETWORK, SMALL).cascade(lpu, (8, 8), forwarded, windows)
    best = brute_cascade(lpu, (8, 8), forwarded, windows)
    assert (1 - BATCH_SLACK) * best <= design.images_per_s <= best * (1 + 1e-9)
    used = design.lpu.resources + design.hpu.resources + shared_resources(BOARD)
    assert used.fits_in(device_budget(BOARD))


def test_batch_is_the_smallest_good_one() -> None:
    design = Explorer(BOARD, NETWORK, SMALL).single(4, 4)
    rates = {batch: WORK.engine_time(design.engine.config, batch).images_per_s for batch in BATCHES}
    good = [batch for batch, rate in rates.items() if rate >= (1 - BATCH_SLACK) * rates[64]]
    assert design.batch == min(good)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_forwarding_more_is_never_faster(first: int, second: int) -> None:
    explorer = Explorer(BOARD, NETWORK, SMALL)
    rates = [
        explorer.cascade((3, 3), (8, 8), f / 1000).images_per_s for f in sorted((first, second))
    ]
    assert rates[0] >= (1 - 2 * BATCH_SLACK) * rates[1]


def test_a_larger_device_is_never_slower() -> None:
    small, large = (
        Explorer(replace(BOARD, lut=lut, dsp=50), NETWORK, SMALL).single(4, 4).images_per_s
        for lut in (36000, 110000)
    )
    assert large > small


def test_reading_the_high_planes_only_is_faster_where_memory_binds() -> None:
    explorer = Explorer(replace(BOARD, usable_gb_per_s=0.02), NETWORK, SMALL)
    windows = (4,) * WORK.weight_layers
    whole = explorer.cascade((4, 4), (8, 8), 0.0)
    cut = explorer.cascade((4, 4), (8, 8), 0.0, windows)
    moved = [design.lpu.time.bytes_per_image for design in (whole, cut)]
    assert moved[0] > moved[1]
    assert cut.images_per_s > whole.images_per_s
    assert cut.hpu.config.weight_windows == ()
    assert cut.lpu.config.image_bits == 8


def test_a_network_that_no_buffer_holds_is_refused() -> None:
    tiny = replace(SMALL, act_buffer_words=(64,))
    with pytest.raises(UserError, match="more of its input on chip than the largest buffer"):
        Explorer(BOARD, NETWORK, tiny).single(4, 4)


def test_a_device_too_small_says_what_is_short() -> None:
    tiny = replace(BOARD, lut=9000)
    with pytest.raises(UserError, match=r"LUT: [\d,]+ needed, 7,200 usable"):
        Explorer(tiny, NETWORK, SMALL).cascade((4, 4), (8, 8), 0.1)
    with pytest.raises(UserError, match="too small"):
        Explorer(tiny, NETWORK, SMALL).single(8, 8)


def test_two_engines_a_unit_would_be_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """The RTL has one a unit; the search can do with more."""
    board = replace(load_device("zc706"), usable_gb_per_s=100.0)
    single = Explorer(board, NETWORK, SMALL).cascade((4, 4), (8, 8), 0.1)
    monkeypatch.setattr(search, "ENGINES", (1, 2))
    twin = Explorer(board, NETWORK, SMALL).cascade((4, 4), (8, 8), 0.1)
    assert single.lpu.count == 1
    assert twin.lpu.count == 2
    assert twin.images_per_s > 1.5 * single.images_per_s
