"""FPGA boards: what a device file holds, and how it is found, read and checked."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from toolflow.errors import UserError

_FOLDER = files("toolflow.hardware") / "devices"


class Family(StrEnum):
    """FPGA families that the resource model knows."""

    XC7 = "xc7"
    """AMD 7 series and Zynq-7000: LUT6, DSP48E1."""
    XCUP = "xcup"
    """AMD UltraScale+: LUT6, DSP48E2."""
    ECP5 = "ecp5"
    """Lattice ECP5: LUT4, MULT18X18D."""


@dataclass(frozen=True)
class Device:
    """A board as the models see it.

    Attributes:
        name: what the user types.
        part: the vendor's part number.
        family: which coefficients of the resource model apply.
        lut: look-up tables, of the family's size.
        ff: flip-flops.
        dsp: DSP blocks (multipliers).
        dsp_type: the DSP block's name.
        dsp_operand_bits: the multiplier's signed operand widths, the wider first.
        bram: block RAMs.
        bram_kbit: kilobits of one block RAM, 36 or 18.
        uram: UltraRAMs of 288 kbit.
        peak_gb_per_s: external memory's peak bandwidth, 10**9 bytes a second.
        usable_gb_per_s: what is planned with, of all engines together.
        axi_bits: data width of one engine's AXI4 master; it moves so many bits a clock cycle in
            each direction.
        clock_mhz: the clock that is planned with.
    """

    name: str
    part: str
    family: Family
    lut: int
    ff: int
    dsp: int
    dsp_type: str
    dsp_operand_bits: tuple[int, int]
    bram: int
    bram_kbit: int
    uram: int
    peak_gb_per_s: float
    usable_gb_per_s: float
    axi_bits: int
    clock_mhz: float

    @property
    def port_bits(self) -> int:
        """Width of an engine's memory port: ``axi_bits``, of the widths that the RTL has."""
        return min(max(self.axi_bits, 64), 128)

    @property
    def bram18(self) -> int:
        """Block RAMs, counted in blocks of 18 kbit."""
        return self.bram * (self.bram_kbit // 18)

    @property
    def bytes_per_cycle(self) -> float:
        """External memory's usable bytes per clock cycle."""
        return self.usable_gb_per_s * 1e3 / self.clock_mhz

    @property
    def axi_bytes_per_cycle(self) -> float:
        """Bytes that one engine's master moves in a clock cycle, in each direction."""
        return self.axi_bits / 8

    def at_clock(self, clock_mhz: float) -> Device:
        """Return the device at another clock.

        Raises:
            UserError: the clock is not positive.
        """
        if not 0 < clock_mhz < 1e4:
            raise UserError(f"clock {clock_mhz} MHz is not a clock that an FPGA can run at")
        return replace(self, clock_mhz=clock_mhz)


def device_names() -> tuple[str, ...]:
    """Return the names of the devices that come with the toolflow."""
    return tuple(
        sorted(item.name[:-5] for item in _FOLDER.iterdir() if item.name.endswith(".toml"))
    )


def load_device(name_or_path: str) -> Device:
    """Return a device by its name, or from a TOML file of the user's (a path to ``*.toml``).

    Raises:
        UserError: there is no such device or file, or the file is not a device (key named).
    """
    if name_or_path.lower().endswith(".toml"):
        path = Path(name_or_path)
        try:
            return parse_device(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise UserError(f"{path}: device file cannot be read ({reason})") from error
    name = name_or_path.lower()
    names = device_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, 1, cutoff=0.4)
        hint = f": did you mean {near[0]!r}?" if near else "."
        raise UserError(
            f"unknown device {name_or_path!r}{hint} Known: {', '.join(names)}; or give the path "
            "of a device file (.toml)"
        )
    return _shipped(name)


@lru_cache
def _shipped(name: str) -> Device:
    return parse_device((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml")


def parse_device(text: str, source: str) -> Device:
    """Return the device that a TOML text describes; ``source`` names it in messages.

    Raises:
        UserError: not TOML, a key is missing, unknown or has an impossible value.
    """
    try:
        table = _Table(tomllib.loads(text), source)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{source}: not a TOML file: {error}") from error
    dsp, blocks = table.table("dsp"), table.table("memory_blocks")
    memory, clock = table.table("external_memory"), table.table("clock")
    device = Device(
        name=table.text("name"),
        part=table.text("part"),
        family=Family(table.choice("family", tuple(Family))),
        lut=table.count("lut", 1),
        ff=table.count("ff", 1),
        dsp=dsp.count("blocks", 0),
        dsp_type=dsp.text("type"),
        dsp_operand_bits=dsp.widths("operand_bits"),
        bram=blocks.count("bram", 1),
        bram_kbit=int(blocks.choice("bram_kbit", ("36", "18"))),
        uram=blocks.count("uram", 0),
        peak_gb_per_s=memory.positive("peak_gb_per_s"),
        usable_gb_per_s=memory.positive("usable_gb_per_s"),
        axi_bits=int(memory.choice("axi_bits", ("32", "64", "128", "256", "512", "1024"))),
        clock_mhz=clock.positive("mhz"),
    )
    for part in (dsp, blocks, memory, clock, table):
        part.refuse_unknown()
    if device.usable_gb_per_s > device.peak_gb_per_s:
        raise UserError(
            f"{source}: external_memory.usable_gb_per_s ({device.usable_gb_per_s}) exceeds "
            f"peak_gb_per_s ({device.peak_gb_per_s})"
        )
    return device


class _Table:
    """A TOML table that is read key by key, with messages that name file and key."""

    def __init__(self, values: Mapping[str, Any], source: str, prefix: str = "") -> None:
        self._values = values
        self._source = source
        self._prefix = prefix
        self._read: set[str] = set()

    def _get(self, key: str) -> Any:
        self._read.add(key)
        if key not in self._values:
            raise UserError(f"{self._source}: key {self._prefix}{key} is missing")
        return self._values[key]

    def _wrong(self, key: str, wanted: str) -> UserError:
        value = self._values[key]
        return UserError(f"{self._source}: {self._prefix}{key} = {value!r} must be {wanted}")

    def table(self, key: str) -> _Table:
        value = self._get(key)
        if not isinstance(value, dict):
            raise self._wrong(key, f"a table, [{key}]")
        return _Table(value, self._source, f"{self._prefix}{key}.")

    def text(self, key: str) -> str:
        value = self._get(key)
        if not isinstance(value, str) or not value.strip():
            raise self._wrong(key, "a text")
        return value

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self._get(key)
        if isinstance(value, bool) or str(value) not in allowed:
            raise self._wrong(key, "one of " + ", ".join(allowed))
        return str(value)

    def count(self, key: str, least: int) -> int:
        value = self._get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self._wrong(key, f"a whole number, {least} or more")
        return value

    def positive(self, key: str) -> float:
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
            raise self._wrong(key, "a positive number")
        return float(value)

    def widths(self, key: str) -> tuple[int, int]:
        value = self._get(key)
        if (
            not isinstance(value, list)
            or len(value) != 2
            or not all(isinstance(item, int) and 2 <= item <= 64 for item in value)
        ):
            raise self._wrong(key, "two operand widths of 2 to 64 bits")
        return max(value), min(value)

    def refuse_unknown(self) -> None:
        if unknown := sorted(self._values.keys() - self._read):
            near = difflib.get_close_matches(unknown[0], self._read, 1)
            hint = f": did you mean {near[0]!r}?" if near else "."
            raise UserError(
                f"{self._source}: unknown key {self._prefix}{unknown[0]}{hint} "
                f"Known here: {', '.join(sorted(self._read))}"
            )
