from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.random_networks import (
    alex_like,
    blocked_channels,
    every_layer_kind,
    normalised_maps,
    small_maps,
)
from toolflow.errors import UserError
from toolflow.hardware.bands import area_band, synthesised_engines
from toolflow.hardware.devices import Family, device_names, load_device
from toolflow.hardware.performance import Workload, grid_axes
from toolflow.hardware.resources import (
    ENGINE_DSP,
    MACC_CONTROL_LUT,
    TABLE_CHAIN_BITS,
    EngineConfig,
    device_budget,
    dsp_blocks,
    engine_resources,
    lut_macc,
)
from toolflow.network.graph import Network
from toolflow.network.importer import load_network

ZC706 = load_device("zc706")
LENET = Path(__file__).parents[2] / "examples" / "lenet_digits.onnx"


def lenet() -> Network:
    return load_network(LENET)


def config(**changes: Any) -> EngineConfig:
    base = EngineConfig(
        t_r=32, t_p=9, t_c=8, dsp_pes=0, weight_bits=8, act_bits=8, acc_bits=32,
        stored_weight_bits=8, weight_depth=27, act_buffer_words=4096,
    )  # fmt: skip
    return replace(base, **changes)


class TestDevices:
    @pytest.mark.parametrize("name", device_names())
    def test_every_file_is_sound(self, name: str) -> None:
        device = load_device(name)
        assert device.name == name
        assert device.usable_gb_per_s <= device.peak_gb_per_s
        assert device_budget(device).lut < device.lut

    def test_the_papers_boards(self) -> None:
        assert (ZC706.lut, ZC706.dsp, ZC706.bram) == (218600, 900, 545)
        zcu102 = load_device("zcu102")
        assert (zcu102.lut, zcu102.dsp, zcu102.bram) == (274080, 2520, 912)

    def test_a_misspelt_name_gets_a_hint(self) -> None:
        with pytest.raises(UserError, match="zc706"):
            load_device("zc760")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (("lut = 218600", ""), "lut"),
            (("lut = 218600", "lut = -1"), "lut"),
            (('family = "xc7"', 'family = "xc9"'), "family"),
            (("lut = 218600", "lut = 218600\ncolour = 1"), "colour"),
            (("lut = 218600", "lut ="), "TOML"),
        ],
    )
    def test_a_broken_file_names_the_key(
        self, change: tuple[str, str], message: str, tmp_path: Path
    ) -> None:
        folder = Path(__file__).parents[2] / "toolflow" / "hardware" / "devices"
        text = (folder / "zc706.toml").read_text()
        assert change[0] in text
        (tmp_path / "mine.toml").write_text(text.replace(*change))
        with pytest.raises(UserError, match=message):
            load_device(str(tmp_path / "mine.toml"))


class TestTimes:
    def test_lenet_adds_up(self) -> None:
        network = load_network(LENET)
        time = Workload(network, ZC706).engine_time(config(), 4)
        assert [layer.name for layer in time.layers if layer.macs] == [
            "conv1", "conv2", "conv3", "logits",
        ]  # fmt: skip
        assert sum(layer.macs for layer in time.layers) == 4 * network.macs == 4 * 153344
        assert time.cycles_per_image == sum(layer.cycles for layer in time.layers) / 4
        assert time.cycles_per_image > network.macs / (9 * 8)
        clock = 1e6 * ZC706.clock_mhz
        assert time.images_per_s == pytest.approx(clock / time.cycles_per_image)

    def test_an_lpu_cuts_its_images_and_reads_the_high_planes_only(self) -> None:
        work = Workload(load_network(LENET), ZC706)
        own = config(weight_bits=4, act_bits=4)
        lpu = replace(own, stored_image_bits=8)
        cut = replace(lpu, weight_windows=(4,) * 4)
        times = [work.engine_time(engine, 16) for engine in (own, lpu, cut)]
        assert [len(time.layers) for time in times] == [4, 5, 5]
        moved = [{layer.name: layer.bytes for layer in time.layers} for time in times[1:]]
        assert moved[0]["conv3"] - moved[1]["conv3"] > 0
        assert all(moved[0][name] >= moved[1][name] for name in moved[0])

    def test_windows_are_of_all_layers(self) -> None:
        with pytest.raises(ValueError, match="3 windows for 4 weight layers"):
            Workload(load_network(LENET), ZC706).engine_time(config(weight_windows=(3,) * 3), 1)

    def test_an_engine_too_small_is_refused(self) -> None:
        with pytest.raises(ValueError, match="does not fit the engine"):
            Workload(load_network(LENET), ZC706).engine_time(config(act_buffer_words=1), 1)

    @settings(max_examples=40, deadline=None)
    @given(
        st.sampled_from(
            [lenet, alex_like, every_layer_kind, blocked_channels, normalised_maps, small_maps]
        ),
        st.tuples(*map(st.sampled_from, ((7, 16, 64), (4, 18, 48), (4, 12, 32)))),
        st.sampled_from([0, 40, 600]),
        st.sampled_from([(3, 8), (4, 4), (8, 8)]),
        st.sampled_from([1, 3, 16]),
    )
    def test_a_grid_has_each_engines_times(
        self,
        network: Callable[[], Network],
        tiles: tuple[int, int, int],
        depth: int,
        bits: tuple[int, int],
        batch: int,
    ) -> None:
        work = Workload(network(), ZC706)
        t_r, t_p, t_c = tiles
        one = config(
            t_r=t_r, t_p=t_p, t_c=t_c, weight_depth=depth, act_buffer_words=16384,
            act_bits=bits[0], stored_image_bits=bits[1],
        )  # fmt: skip
        axes = grid_axes((7, 16, 64), (4, 18, 48), (4, 12, 32), (0, 40, 600), (64, 16384))
        seconds, moved = work.grid_times(axes, batch, bits, (8,) * work.weight_layers)
        place = tuple(
            axis.reshape(-1).tolist().index(value)
            for axis, value in zip(axes, (*tiles, depth, 16384), strict=True)
        )
        time = work.engine_time(one, batch)
        assert 1 / seconds[place] == pytest.approx(time.images_per_s, rel=2e-3)
        assert moved[place] == pytest.approx(time.bytes_per_image, rel=2e-3)


class TestResources:
    def test_maccs_are_as_measured(self) -> None:
        assert lut_macc(2, 2)[0] == 17
        assert lut_macc(8, 8)[0] == 174
        costs = [lut_macc(b, b)[0] for b in range(2, 17)]
        assert costs == sorted(costs)

    @pytest.mark.parametrize(
        ("bits", "device", "blocks"),
        [((8, 8), "zc706", 1), ((16, 16), "zc706", 1), ((16, 16), "ulx3s-85f", 1)],
    )
    def test_dsp_blocks(self, bits: tuple[int, int], device: str, blocks: int) -> None:
        assert dsp_blocks(*bits, load_device(device)) == blocks

    @settings(max_examples=60, deadline=None)
    @given(
        st.sampled_from(["t_r", "t_p", "t_c", "weight_bits", "act_bits", "act_buffer_words"]),
        st.integers(1, 8),
    )
    def test_more_of_anything_never_takes_less(self, name: str, more: int) -> None:
        small = config()
        large = replace(small, **{name: getattr(small, name) + more})
        for device in map(load_device, device_names()):
            less, most = engine_resources(small, device), engine_resources(large, device)
            assert less.lut <= most.lut
            assert less.ff <= most.ff
            assert less.dsp <= most.dsp
            # Wider memories are shallower: they may move from block RAM to LUT RAM.
            assert less.bram <= most.bram or less.lut < most.lut

    def test_synthesised_engines_are_as_predicted(self) -> None:
        """LUT and FF within 6 %, block RAM exactly; outside the fit 10 %, and two blocks."""
        engines = synthesised_engines(Family.XC7)
        assert [engine.name for engine in engines] == list("abcdefg")
        assert {engine.fitted for engine in engines} == {True, False}
        for engine in engines:
            model, within = engine.model, 0.06 if engine.fitted else 0.10
            assert model.lut == pytest.approx(engine.lut, rel=within), engine
            assert model.ff == pytest.approx(engine.ff, rel=within), engine
            assert 0 <= 2 * model.bram - engine.bram18 <= (1 if engine.fitted else 4), engine
            assert model.dsp - engine.dsp in ((3,) if engine.is_lpu else (0,)), engine

    def test_bands_are_the_largest_errors(self) -> None:
        band = area_band(ZC706)
        assert band is not None
        errors = [
            abs(engine.model.lut - engine.lut) / engine.lut
            for engine in synthesised_engines(Family.XC7)
        ]
        assert band.lut == pytest.approx(max(errors))
        assert 0 < band.ff <= 0.10
        assert area_band(load_device("ulx3s-85f")) is None

    def test_dsp_pes_trade_luts_for_dsp_blocks(self) -> None:
        luts, dsps = (engine_resources(config(dsp_pes=n), ZC706) for n in (0, 8))
        assert (luts.dsp, dsps.dsp) == (ENGINE_DSP, 72 + ENGINE_DSP)
        products = lut_macc(8, 8)[0] - (8 + 8 + 1 + TABLE_CHAIN_BITS) - MACC_CONTROL_LUT
        sums = sum(8 + (lanes * 255 - 1).bit_length() for lanes in range(1, 10))
        assert luts.lut - dsps.lut == 8 * (9 * products + sums)


def test_vgg16_is_in_the_class_of_published_designs(shared: Path) -> None:
    """Qiu 2016: 137 GOP/s, 16 bit, 780 DSP blocks, 150 MHz, 4.2 GB/s on a ZC706."""
    network = load_network(shared / "structure" / "light_vgg16.onnx")
    device = replace(ZC706, usable_gb_per_s=4.2, clock_mhz=150.0)
    engine = config(
        t_r=196, t_p=13, t_c=60, dsp_pes=60, weight_bits=16, act_bits=16, acc_bits=45,
        stored_weight_bits=16, weight_depth=4608, act_buffer_words=131072,
    )  # fmt: skip
    assert engine_resources(engine, device).dsp == 780 + ENGINE_DSP
    rate = Workload(network, device).engine_time(engine, 1).images_per_s
    gops = 2 * network.macs * rate / 1e9
    assert 137 / 1.5 < gops < 137 * 1.5
