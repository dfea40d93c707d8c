"""Resource model: LUT, FF, DSP and block RAM of one engine and of a device.

LUT MACCs are looked up in ``data/macc_xc7.csv`` (open synthesis of ``rtl/mm/macc.sv`` by
``scripts/measure_macc.py``); everything else follows the documented formulas below, whose constants
are fitted to whole engines that were synthesised (``ENGINE_*``, ``SHARED_*``). Functions take
integers or arrays of them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolflow.hardware.devices import Device, Family

Count = int | NDArray[np.int64]

MACC_TABLE = Path(__file__).parent / "data" / "macc_xc7.csv"
TABLE_BITS = 8

LUT_CEILING, DSP_CEILING, BRAM_CEILING = 0.80, 0.95, 0.85
"""Shares of a device that a design may use and still be placed and routed (flip-flops as LUTs)."""

LUT4_PER_LUT6 = 2.1
"""LUT4s for the logic of one LUT6: the mean ratio of ``data/macc_ecp5.csv`` to ``macc_xc7.csv``."""

LUTRAM_ROWS = 64
"""Accumulator memories up to this depth stand in LUT RAM, deeper ones in block RAM."""

UNIT_WIDTH, UNIT_DEPTH = 36, 512
"""Shape of half a 36 Kbit block, or of one 18 Kbit block, with one read and one write port."""

BUS_BITS = 128
"""Width of an engine's memory port; the weight window cuts that many stored bits a cycle."""

ENGINE_LUT, ENGINE_FF, ENGINE_DSP, ENGINE_BRAM_UNITS = 17700, 16600, 28, 24
COLUMN_LUT, COLUMN_FF = 222, 142
"""Sequencer, readers, vector unit, writer and AXI master of one engine: whatever its size, and for
each column of T_C. Fitted to two of the engines of ``data/engine_xc7.csv``; the others are within
6 % (LUT) and 9 % (FF)."""

SHARED_LUT, SHARED_FF, SHARED_DSP, SHARED_BRAM_UNITS = 2000, 3000, 14, 10
"""CEU, cascade control, registers: what ``cascade_top`` takes besides its engines, flattened."""


@dataclass(frozen=True)
class EngineConfig:
    """Parameters of one engine.

    Attributes:
        t_r, t_p, t_c: Tile sizes: rows, depth, columns.
        dsp_pes: How many of the ``t_c`` processing elements multiply in DSP blocks.
        weight_bits, act_bits, acc_bits: Wordlengths.
        stored_weight_bits: Wordlength of the weights in memory; more than ``weight_bits`` for an
            LPU, which cuts its weights from the HPU's.
        weight_depth: A column tile of weights stays on chip if the layer is at most this deep.
        act_buffer_words: Input activations that the engine holds on chip.
        weight_windows: Per layer, how many bits of each stored weight an LPU leaves in memory: it
            reads the high plane only. Empty where every layer's whole weights are read: by an HPU,
            by a single stage, and, as the safe assumption, by an LPU of unknown windows.
        stored_image_bits: Wordlength of the images in memory, if it is not that of activations:
            an LPU first cuts the HPU's.
    """

    t_r: int
    t_p: int
    t_c: int
    dsp_pes: int
    weight_bits: int
    act_bits: int
    acc_bits: int
    stored_weight_bits: int
    weight_depth: int = 0
    act_buffer_words: int = 4096
    weight_windows: tuple[int, ...] = ()
    stored_image_bits: int | None = None

    @property
    def image_bits(self) -> int:
        """Wordlength of the stored images."""
        return self.act_bits if self.stored_image_bits is None else self.stored_image_bits

    def read_bits(self, layers: int) -> tuple[int, ...]:
        """Return how many bits of a weight are read from memory, for each of a network's layers."""
        windows = self.weight_windows or (0,) * layers
        return tuple(self.stored_weight_bits - window for window in windows)


@dataclass(frozen=True)
class Resources:
    """LUTs, flip-flops, DSP blocks and memory blocks (the device's own kind)."""

    lut: int
    ff: int
    dsp: int
    bram: int

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.lut + other.lut, self.ff + other.ff, self.dsp + other.dsp, self.bram + other.bram
        )

    def __sub__(self, other: Resources) -> Resources:
        return Resources(
            self.lut - other.lut, self.ff - other.ff, self.dsp - other.dsp, self.bram - other.bram
        )

    def fits_in(self, budget: Resources) -> bool:
        """Whether no count exceeds the budget's."""
        return (
            self.lut <= budget.lut
            and self.ff <= budget.ff
            and self.dsp <= budget.dsp
            and self.bram <= budget.bram
        )


class Macc(NamedTuple):
    """Cost of one multiply-accumulate in LUTs and in DSP blocks, its registers included."""

    lut: int
    ff: int
    dsp_lut: int
    dsp_ff: int
    dsp: int


class EngineShape(NamedTuple):
    """The size parameters of one engine, or of a grid of engines as arrays."""

    t_r: Count
    t_p: Count
    t_c: Count
    weight_depth: Count
    act_buffer_words: Count


class Counts(NamedTuple):
    """Resources with all PEs in LUTs, and what each DSP PE changes."""

    lut: Count
    ff: Count
    bram: Count
    lut_saved: Count
    ff_saved: Count
    dsp_per_pe: Count


def device_budget(device: Device) -> Resources:
    """Return what a design may use: the device under its ceilings."""
    return Resources(
        int(device.lut * LUT_CEILING),
        int(device.ff * LUT_CEILING),
        int(device.dsp * DSP_CEILING),
        int(device.bram * BRAM_CEILING),
    )


@cache
def _macc_table() -> dict[tuple[int, int], tuple[int, int]]:
    lines = MACC_TABLE.read_text(encoding="utf-8").splitlines()
    table: dict[tuple[int, int], tuple[int, int]] = {}
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        table[int(row["weight_bits"]), int(row["act_bits"])] = int(row["lut"]), int(row["ff"])
    return table


@cache
def lut_macc(weight_bits: int, act_bits: int) -> tuple[int, int]:
    """Return LUT6s and flip-flops of ``rtl/mm/macc.sv`` without DSP blocks.

    Up to 8 bits: measured, but never less than a measured pair of shorter wordlengths (synthesis
    is not quite monotonic). Beyond: the cost of the nearest measured pair, scaled with the number
    of partial products ``W * (A + 1)``; flip-flops with the operands' bits.
    """
    table = _macc_table()
    w, a = min(weight_bits, TABLE_BITS), min(act_bits, TABLE_BITS)
    lut = max(cost[0] for (tw, ta), cost in table.items() if tw <= w and ta <= a)
    ff = table[w, a][1] * (weight_bits + act_bits) // (w + a)
    return -(-lut * weight_bits * (act_bits + 1) // (w * (a + 1))), ff


def dsp_blocks(weight_bits: int, act_bits: int, device: Device) -> int:
    """Return the DSP blocks of one product of a weight and a (sign-extended) activation.

    One if the operands fit the multiplier; two if one operand must be halved; four if both.
    """
    wide, narrow = device.dsp_operand_bits
    large, small = max(weight_bits, act_bits + 1), min(weight_bits, act_bits + 1)
    if small > narrow:
        return 4
    return 1 if large <= wide else 2


def macc_cost(weight_bits: int, act_bits: int, t_p: int, device: Device) -> Macc:
    """Return the cost of one MACC with its registers.

    A DSP MACC keeps its loading bank (``W`` flip-flops) in the fabric; on ECP5 the chain's adder
    and register too, as Yosys maps them.
    """
    lut, ff = lut_macc(weight_bits, act_bits)
    chain = weight_bits + act_bits + 1 + (t_p - 1).bit_length()
    fabric_chain = chain if device.family is Family.ECP5 else 0
    return Macc(
        lut=int(_scaled(lut, device)),
        ff=ff,
        dsp_lut=fabric_chain,
        dsp_ff=weight_bits + fabric_chain,
        dsp=dsp_blocks(weight_bits, act_bits, device),
    )


def engine_counts(
    shape: EngineShape,
    weight_bits: int,
    act_bits: int,
    acc_bits: int,
    stored_weight_bits: int,
    device: Device,
) -> Counts:
    """Return the resources of engines of given sizes.

    * MACCs: ``T_P * T_C`` of ``macc_cost``.
    * PE: accumulator adder and zero/bypass multiplexer (2 LUTs a bit), a register, and ``T_R``
      accumulators: up to 64 in LUT RAM (4 LUTs hold 6 bits x 32), deeper in block RAM.
    * Skew: lane ``p`` of activations and weights is delayed ``p`` cycles: shift-register LUTs of
      32 cycles; plain flip-flops, ``T_P (T_P - 1) / 2`` words, on ECP5.
    * Output: a skid buffer of two beats and one requantising lane a column: bias adder, rounding
      shifter (three levels of 4:1 multiplexers), clamp: about 6 LUTs an accumulator bit.
    * Weight buffer: two column tiles of up to ``weight_depth`` (at least two weight tiles);
      activation buffer: ``act_buffer_words``; both deliver ``T_P`` words a cycle.
    * All else: ``ENGINE_*`` and ``COLUMN_*``.
    * Weight window, where stored weights are wider: 3 LUTs a bit of the memory port, to saturate.
    """
    t_r, t_p, t_c, weight_depth, act_words = shape
    macc = macc_cost(weight_bits, act_bits, LUTRAM_ROWS, device)
    ecp5 = device.family is Family.ECP5
    word_bits = weight_bits + act_bits + 1

    quotient, rest = (t_p - 1) // 32, (t_p - 1) % 32
    skew_luts = word_bits * (16 * quotient * (quotient + 1) + rest * (quotient + 1))
    skew_flops = word_bits * (t_p * (t_p - 1) // 2)
    in_lutram = np.less_equal(t_r, LUTRAM_ROWS).astype(np.int64)
    lutram = in_lutram * -(-acc_bits // 6) * 4 * -(-t_r // 32)
    window = 3 * BUS_BITS if stored_weight_bits > weight_bits else 0

    logic = t_c * (2 * acc_bits + lutram + 6 * acc_bits + 2 * act_bits) + window
    logic = logic + ENGINE_LUT + COLUMN_LUT * t_c + (0 if ecp5 else skew_luts)
    lut = t_p * t_c * macc.lut + _scaled(logic, device)
    ff = (
        t_p * t_c * macc.ff
        + t_c * (acc_bits + 2 * acc_bits + 2 * acc_bits + act_bits)
        + ENGINE_FF
        + COLUMN_FF * t_c
        + (skew_flops if ecp5 else 2 * word_bits * t_p)
    )
    units = (
        (1 - in_lutram) * t_c * _units(acc_bits, t_r)
        + _units(t_p * weight_bits, 2 * t_c * np.maximum(1, -(-weight_depth // t_p)))
        + _units(t_p * act_bits, -(-act_words // t_p))
        + ENGINE_BRAM_UNITS
    )
    return Counts(
        lut=lut,
        ff=ff,
        bram=_blocks(units, device),
        lut_saved=t_p * (macc.lut - macc.dsp_lut),
        ff_saved=t_p * (macc.ff - macc.dsp_ff),
        dsp_per_pe=t_p * macc.dsp,
    )


def engine_resources(config: EngineConfig, device: Device) -> Resources:
    """Return what one engine takes on a device."""
    shape = EngineShape(
        config.t_r, config.t_p, config.t_c, config.weight_depth, config.act_buffer_words
    )
    counts = engine_counts(
        shape,
        config.weight_bits,
        config.act_bits,
        config.acc_bits,
        config.stored_weight_bits,
        device,
    )
    return Resources(
        lut=int(counts.lut - config.dsp_pes * counts.lut_saved),
        ff=int(counts.ff - config.dsp_pes * counts.ff_saved),
        dsp=int(ENGINE_DSP + config.dsp_pes * counts.dsp_per_pe),
        bram=int(counts.bram),
    )


def shared_resources(device: Device) -> Resources:
    """Return what a design takes once, whatever its engines."""
    return Resources(
        int(_scaled(SHARED_LUT, device)),
        SHARED_FF,
        SHARED_DSP,
        int(_blocks(SHARED_BRAM_UNITS, device)),
    )


def _scaled(lut6: Count, device: Device) -> Count:
    tenths = round(LUT4_PER_LUT6 * 10) if device.family is Family.ECP5 else 10
    return -(-lut6 * tenths // 10)


def _units(width: Count, depth: Count) -> Count:
    return -(-width // UNIT_WIDTH) * -(-depth // UNIT_DEPTH)


def _blocks(units: Count, device: Device) -> Count:
    per_block = max(1, device.bram_kbit // 18)
    return -(-units // per_block)
