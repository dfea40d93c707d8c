from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolflow.errors import UserError
from toolflow.hardware.devices import device_names, load_device
from toolflow.hardware.performance import batch_bits, engine_time, matmul_cycles
from toolflow.hardware.resources import (
    EngineConfig,
    device_budget,
    dsp_blocks,
    engine_resources,
    lut_macc,
)
from toolflow.hardware.workload import LayerWork, network_work
from toolflow.network.importer import load_network
from verif.common.tiling import Tiling, row_cycles, tile_rows

ZC706 = load_device("zc706")
LENET = Path(__file__).parents[2] / "examples" / "lenet_digits.onnx"


def conv(rows: int = 100, depth: int = 27, columns: int = 16, groups: int = 1) -> LayerWork:
    return LayerWork(
        name="conv", op="conv", groups=groups, rows=rows, depth=depth, columns=columns,
        input_words=3 * rows, output_words=rows * columns, weight_words=depth * columns,
        batched=False, line_words=90,
    )  # fmt: skip


def config(**changes: Any) -> EngineConfig:
    base = EngineConfig(
        t_r=32, t_p=9, t_c=8, dsp_pes=0, weight_bits=8, act_bits=8, acc_bits=32,
        stored_weight_bits=8, weight_depth=27, act_buffer_words=1000,
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


class TestCycles:
    @settings(max_examples=200, deadline=None)
    @given(
        st.tuples(st.integers(1, 60), st.integers(1, 40), st.integers(1, 40)),
        st.tuples(st.integers(1, 20), st.integers(1, 12), st.integers(1, 12)),
    )
    def test_the_model_is_the_schedule_that_the_rtl_is_tested_against(
        self, shape: tuple[int, int, int], tiles: tuple[int, int, int]
    ) -> None:
        """``row_cycles`` is what the mm_unit bench holds the RTL to, cycle by cycle."""
        rows, depth, columns = shape
        t_r, t_p, t_c = tiles
        entered = row_cycles(tile_rows(*shape, Tiling(*tiles)), t_c)
        last_output = entered[-1] + t_p + 5
        cycles = matmul_cycles(rows, depth, columns, 1, t_r, t_p, t_c)
        first_weight = entered[0] - t_c
        assert cycles == last_output - first_weight + 1

    def test_by_hand(self) -> None:
        # Two row tiles (8 and 2 rows, T_C = 4) x 2 chunks x 1 column tile; the last takes 2 rows.
        assert matmul_cycles(10, 6, 4, 1, 8, 4, 4) == 4 + (8 + 4) * 2 - 4 + 2 + 4 + 5
        assert matmul_cycles(16, 4, 4, 3, 16, 4, 4) == 4 + 3 * 16 + 4 + 5

    def test_lenet_adds_up(self) -> None:
        work = network_work(load_network(LENET))
        assert [layer.name for layer in work] == ["conv1", "conv2", "conv3", "logits"]
        assert sum(w.groups * w.rows * w.depth * w.columns for w in work) == 153344
        assert work[-1].batched
        time = engine_time(config(), work, ZC706, 4)
        assert time.cycles_per_image == sum(layer.cycles for layer in time.layers) / 4
        least = sum(w.rows * w.depth * w.columns for w in work) / (9 * 8)
        assert time.cycles_per_image > least


class TestTraffic:
    def bits(self, batch: int, depth: int, words: int) -> int:
        return int(batch_bits(conv(), batch, (32, 8), (depth, words), (8, 4)))

    def test_everything_on_chip(self) -> None:
        weights, inputs, outputs = 27 * 16 * 8, 300 * 4, 1600 * 4
        assert self.bits(1, 27, 1000) == weights + inputs + outputs

    def test_a_batch_reads_weights_once_if_that_is_less(self) -> None:
        weights, inputs, outputs = 27 * 16 * 8, 300 * 4, 1600 * 4
        image_first = 10 * (weights + inputs)
        column_first = weights + 10 * 2 * inputs
        assert column_first < image_first
        assert self.bits(10, 27, 1000) == column_first + 10 * outputs

    def test_nothing_on_chip(self) -> None:
        weights, windows, outputs = 4 * 27 * 16 * 8, 2 * 2700 * 4, 1600 * 4
        assert self.bits(1, 0, 10) == weights + windows + outputs

    def test_lines_on_chip_read_inputs_once_a_column_tile(self) -> None:
        weights, inputs, outputs = 27 * 16 * 8, 2 * 300 * 4, 1600 * 4
        assert self.bits(1, 27, 100) == weights + inputs + outputs

    def test_an_lpu_reads_the_high_planes_only(self) -> None:
        work = (replace(conv(), name="a"), conv(columns=32))
        lpu = config(weight_bits=4, act_bits=4)
        whole = engine_time(lpu, work, ZC706, 1)
        cut = engine_time(replace(lpu, weight_windows=(3, 5)), work, ZC706, 1)
        saved = [a.bytes - b.bytes for a, b in zip(whole.layers, cut.layers, strict=True)]
        assert saved == [27 * 16 * 3 // 8, 27 * 32 * 5 // 8]

    @pytest.mark.parametrize("bits", [2, 3, 5, 8, 11])
    def test_weights_of_any_width_pack(self, bits: int) -> None:
        outer, inner = (
            engine_time(config(stored_weight_bits=b), [conv()], ZC706, 1) for b in (bits, 16)
        )
        assert inner.layers[0].bytes - outer.layers[0].bytes == 27 * 16 * (16 - bits) // 8

    def test_windows_are_of_all_layers(self) -> None:
        with pytest.raises(ValueError, match="zip"):
            engine_time(config(weight_windows=(3,)), [conv(), conv()], ZC706, 1)


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
            assert engine_resources(small, device).fits_in(engine_resources(large, device))

    def test_dsp_pes_trade_luts_for_dsp_blocks(self) -> None:
        luts, dsps = (engine_resources(config(dsp_pes=n), ZC706) for n in (0, 8))
        assert (luts.dsp, dsps.dsp) == (0, 72)
        assert luts.lut - dsps.lut == 72 * lut_macc(8, 8)[0]


def test_vgg16_is_in_the_class_of_published_designs(shared: Path) -> None:
    """Qiu 2016: 137 GOP/s, 16 bit, 780 DSP blocks, 150 MHz, 4.2 GB/s on a ZC706."""
    network = load_network(shared / "structure" / "light_vgg16.onnx")
    device = replace(ZC706, usable_gb_per_s=4.2, clock_mhz=150.0)
    engine = config(
        t_r=512, t_p=13, t_c=60, dsp_pes=60, weight_bits=16, act_bits=16, acc_bits=45,
        stored_weight_bits=16, weight_depth=4608, act_buffer_words=131072,
    )  # fmt: skip
    assert engine_resources(engine, device).dsp == 780
    rate = engine_time(engine, network_work(network), device, 1).images_per_s
    gops = 2 * network.macs * rate / 1e9
    assert 137 / 1.5 < gops < 137 * 1.5
