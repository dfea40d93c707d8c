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

from toolflow.hardware.devices import Device, Family
from toolflow.hardware.engine import slot_bits
from toolflow.hardware.memories import Count, line_buffer, memory, weight_ring
from toolflow.hardware.packing import packing, wide_operand

MACC_TABLE = Path(__file__).parent / "data" / "macc_xc7.csv"
TABLE_BITS = 8

LUT_CEILING, DSP_CEILING, BRAM_CEILING = 0.80, 0.95, 0.85
"""Shares of a device that a design may use and still be placed and routed (flip-flops as LUTs)."""

LUT4_PER_LUT6 = 2.1
"""LUT4s for the logic of one LUT6: the mean ratio of ``data/macc_ecp5.csv`` to ``macc_xc7.csv``."""

ENGINE_LUT, ENGINE_FF, ENGINE_DSP = 15300, 15900, 28
COLUMN_LUT, COLUMN_FF = 222, 142
"""Sequencer, readers, vector unit, writer and AXI master of one engine: whatever its size, and for
each column of T_C. Fitted to ``data/engine_xc7.csv``, whose engines are within 3 %."""

PORT_BRAM_UNITS, PLANE_BRAM_UNITS = 20, 4
"""Buffers of a port of 128 bits: of an engine, and of its second weight plane if it reads one."""

TABLE_CHAIN_BITS, MACC_CONTROL_LUT = 4, 2
"""Of a cell of the table: its sum's bits besides its product's, and the gates of its controls."""

READER_LUT, READER_ACT_FF, READER_WEIGHT_FF = 89, 4, 1
"""Of the readers, for each lane and bit: tenths of LUTs; of activations, of weights. Fitted to
``act_reader`` and ``weight_reader`` of 16 to 112 lanes."""

SHARED_LUT, SHARED_FF, SHARED_DSP, SHARED_BRAM_UNITS = 2000, 3000, 14, 10
"""CEU, cascade control, registers: what ``cascade_top`` takes besides its engines, flattened."""


@dataclass(frozen=True)
class EngineConfig:
    """Parameters of one engine.

    Attributes:
        t_r, t_p, t_c: Tile sizes: rows, depth, columns.
        dsp_pes: How many of the ``t_c`` columns multiply in DSP blocks.
        pack_columns: How many columns share a DSP block (``hardware.packing``).
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
    pack_columns: int = 1
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
    """Resources with all columns in LUTs, and what each column in DSP blocks changes.

    ``dsp_per_group``: DSP blocks of the columns that share them; ``units_saved``: half block RAMs
    that they save by keeping their accumulators together.
    """

    lut: Count
    ff: Count
    units: Count
    lut_saved: Count
    ff_saved: Count
    dsp_per_group: Count
    units_saved: Count


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


def macc_cost(weight_bits: int, act_bits: int, device: Device) -> Macc:
    """Return the cost of one MACC with its registers, without its link of the chain.

    A DSP MACC keeps its loading bank (``W`` flip-flops) in the fabric. In LUTs the columns share
    what a lone cell has for itself: the gates of its controls, and the activation's register.
    """
    lut, ff = lut_macc(weight_bits, act_bits)
    chain = weight_bits + act_bits + 1 + TABLE_CHAIN_BITS
    return Macc(
        lut=lut - chain - MACC_CONTROL_LUT,
        ff=ff - chain - act_bits - 1,
        dsp_ff=weight_bits,
        dsp=dsp_blocks(weight_bits, act_bits, device),
    )


def engine_counts(
    shape: EngineShape,
    weight_bits: int,
    act_bits: int,
    acc_bits: int,
    stored_weight_bits: int,
    device: Device,
    pack_columns: int = 1,
) -> Counts:
    """Return the resources of engines of given sizes.

    * MACCs: ``T_P * T_C`` of ``macc_cost``.
    * PE: its MACCs, chains (in LUTs a sum has only the bits that it needs), accumulator adder and
      zero/bypass multiplexer (2 LUTs a bit), a register, and ``T_R`` accumulators.
    * Skew: lane ``p`` of activations and weights is delayed ``p`` cycles: shift-register LUTs of
      32 cycles; plain flip-flops, ``T_P (T_P - 1) / 2`` words, on ECP5.
    * Output: a skid buffer of two beats and one requantising lane a column: bias adder, rounding
      shifter (three levels of 4:1 multiplexers), clamp: about 6 LUTs an accumulator bit.
    * Buffers of weights and activations: ``hardware.memories``.
    * Their readers turn ``T_P`` words of any place to the lanes: ``READER_*`` a lane and bit.
    * All else: ``ENGINE_*`` and ``COLUMN_*``.
    * Weight window, where stored weights are wider: 3 LUTs a bit of the memory port, to saturate.
    * Columns that share DSP blocks: the weights' loading bank, a borrow each; the segments' sums.
    """
    t_r, t_p, t_c, weight_depth, act_words = shape
    macc = macc_cost(weight_bits, act_bits, device)
    ecp5 = device.family is Family.ECP5
    word_bits = weight_bits + act_bits + 1
    chains = _chains(pack_columns, weight_bits, act_bits, t_p, device)
    column_lut = t_p * int(_scaled(macc.lut, device)) + _scaled(chains.narrow, device)
    column_ff = t_p * macc.ff + chains.narrow
    # On ECP5 the sums of a chain of DSP blocks are in the fabric, as Yosys maps them.
    dsp_chain = chains.wide if ecp5 else 0
    borrow = int(pack_columns > 1)

    quotient, rest = (t_p - 1) // 32, (t_p - 1) % 32
    skew_luts = word_bits * (16 * quotient * (quotient + 1) + rest * (quotient + 1))
    skew_flops = word_bits * (t_p * (t_p - 1) // 2)
    data_bits = device.port_bits
    slot = slot_bits(act_bits)
    rows, together = memory(acc_bits, t_r), memory(pack_columns * acc_bits, t_r)
    ring = weight_ring(t_p, t_c, weight_depth, weight_bits)
    lines = line_buffer(t_p, act_words, act_bits, data_bits)
    cuts = stored_weight_bits > weight_bits
    window = 3 * data_bits if cuts else 0

    logic = t_c * (2 * acc_bits + rows.lut + 6 * acc_bits + 2 * act_bits) + window
    logic = logic + ENGINE_LUT + COLUMN_LUT * t_c + (0 if ecp5 else skew_luts)
    logic = logic + ring.lut + lines.lut + -(-READER_LUT * t_p * (slot + weight_bits) // 10)
    lut: Count = t_c * (column_lut + chains.runs)
    lut = lut + _scaled(logic, device)
    lane_flops = skew_flops if ecp5 else 2 * word_bits * t_p
    lane_flops = lane_flops + t_p * (READER_ACT_FF * slot + READER_WEIGHT_FF * weight_bits)
    ff = (
        t_c * (column_ff + chains.runs)
        + t_c * (acc_bits + 2 * acc_bits + 2 * acc_bits + act_bits)
        + ENGINE_FF
        + COLUMN_FF * t_c
        + lane_flops
    )
    port = PORT_BRAM_UNITS + (0 if cuts else PLANE_BRAM_UNITS)
    units = t_c * rows.units + ring.units + lines.units + port * data_bits // 128
    return Counts(
        lut=lut,
        ff=ff,
        units=units,
        lut_saved=column_lut - dsp_chain,
        ff_saved=column_ff - t_p * (macc.dsp_ff + borrow) - dsp_chain,
        dsp_per_group=t_p * macc.dsp,
        units_saved=pack_columns * rows.units - together.units,
    )


class Chains(NamedTuple):
    """Bits of a column's sums: of its chains, narrow in LUTs, wide in DSP blocks; of its runs."""

    narrow: Count
    wide: Count
    runs: Count


def _chains(
    pack_columns: int, weight_bits: int, act_bits: int, t_p: Count, device: Device
) -> Chains:
    """Return the bits of a column's sums, LUTs and flip-flops each.

    Raises:
        ValueError: so many columns cannot share a DSP block.
    """
    largest = (1 << act_bits) - 1

    def of(depth: int) -> tuple[int, int, int]:
        way = packing(pack_columns, weight_bits, act_bits, depth, wide_operand(device))
        if way is None:
            raise ValueError(f"{pack_columns} columns of {weight_bits}/{act_bits} bits in a DSP")
        places = (lane % way.segment_depth + 1 for lane in range(depth))
        return (
            sum(weight_bits + (place * largest - 1).bit_length() for place in places),
            depth * (weight_bits + act_bits + 1 + (depth - 1).bit_length()),
            (way.segments - 1) * way.run_bits,
        )

    found = np.array([of(int(depth)) for depth in np.ravel(t_p)])
    return Chains(*(found[:, place].reshape(np.shape(t_p)) for place in range(3)))


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
        config.pack_columns,
    )
    full, rest = divmod(config.dsp_pes, config.pack_columns)
    groups = full + bool(rest)
    return Resources(
        lut=int(counts.lut - config.dsp_pes * counts.lut_saved),
        ff=int(counts.ff - config.dsp_pes * counts.ff_saved),
        dsp=int(ENGINE_DSP + groups * counts.dsp_per_group),
        bram=int(block_rams(counts.units - full * counts.units_saved, device)),
    )


def shared_resources(device: Device) -> Resources:
    """Return what a design takes once, whatever its engines."""
    return Resources(
        int(_scaled(SHARED_LUT, device)),
        SHARED_FF,
        SHARED_DSP,
        int(block_rams(SHARED_BRAM_UNITS, device)),
    )


def _scaled(lut6: Count, device: Device) -> Count:
    tenths = round(LUT4_PER_LUT6 * 10) if device.family is Family.ECP5 else 10
    return -(-lut6 * tenths // 10)


def block_rams(units: Count, device: Device) -> Count:
    """Return the device's blocks that so many halves of 36 kbit take."""
    per_block = max(1, device.bram_kbit // 18)
    return -(-units // per_block)
