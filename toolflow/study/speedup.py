"""Throughput against wordlength, and speed-up against tolerance: the paper's Figures 3 and 4.

Rates are the search's (``exploration.search``) on a network's own structure. Accuracy, and the
share of images that a CEU forwards, are measured: the ``wordlength.csv`` and ``forwarded.csv`` of a
network that was studied; for a structure without weights of another one, which stands in for it.

Protocols:

* ``paper``: the paper's quantiser and uniform wordlengths, for the cascade and for the baseline.
* ``ours``: our quantiser and every precision that was measured, for both.
* ``stated``: the LPU's wordlength and its loss as the paper states them. What its CEU forwards it
  does not state: here it is the least that any CEU can, the loss less the tolerance.

Both sides always have the same engines: columns that share DSP blocks, any tiles.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from toolflow.errors import UserError
from toolflow.exploration.search import Explorer
from toolflow.hardware.devices import Device, load_device
from toolflow.network.graph import Network
from toolflow.quantisation.scheme import Precision
from toolflow.study.networks import HPU_PRECISION, Wordlengths, parse_precision
from toolflow.study.records import read_table

UNIFORM = tuple(Precision(bits, bits) for bits in range(8, 1, -1))


class Stated(BaseModel):
    """What the paper states of a network: its LPU, what that loses to 8 bits, its baselines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lpu: Annotated[Precision, BeforeValidator(parse_precision)]
    loss: Annotated[float, Field(gt=0, lt=1)]
    baselines: Wordlengths


class SpeedEntry(BaseModel):
    """A network of the list.

    Attributes:
        name: of the network.
        model: the ONNX file; ``examples/...`` is in the repository, others in the data folder.
        accuracy_of: the studied network whose accuracy it is, or stands in for it.
        stated: what the paper states of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    model: str
    accuracy_of: str
    stated: Stated | None = None


class SpeedList(BaseModel):
    """The list: boards, tolerances (0..1), networks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    devices: tuple[str, ...]
    tolerances: tuple[Annotated[float, Field(ge=0, lt=1)], ...]
    network: tuple[SpeedEntry, ...]


def read_list(path: Path) -> SpeedList:
    """Read a list.

    Raises:
        UserError: no such file, not TOML, or a key is missing, unknown or impossible.
    """
    try:
        return SpeedList.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a TOML file: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: {key}: {first['msg']}") from error


@dataclass(frozen=True)
class ThroughputRow:
    """The best single stage of a wordlength on a board; operations are two a MAC."""

    network: str
    device: str
    weight_bits: int
    act_bits: int
    t_r: int
    t_p: int
    t_c: int
    dsp: int
    lut: int
    bram: int
    images_per_s: float
    gops: float
    peak_gops: float


@dataclass(frozen=True)
class SpeedupRow:
    """The best cascade for a tolerance beside the best single stage for it.

    ``accuracy_of`` says whose accuracy it is. ``forwarded`` is the share of images that tuning did
    not see; ``added_error`` the error on them (empty: stated, not measured).
    """

    network: str
    device: str
    protocol: str
    accuracy_of: str
    tolerance: float
    lpu: str
    forwarded: float
    added_error: float | None
    baseline: str
    images_per_s: float
    gops: float
    baseline_images_per_s: float
    speedup: float


@dataclass(frozen=True)
class Measurement:
    """A tuned CEU: shares forwarded on the images it was tuned on and on others; added error."""

    tuned: float
    unseen: float
    added_error: float


@dataclass(frozen=True)
class Accuracies:
    """What was measured of a network by one method: accuracy 0..1; CEUs by LPU and tolerance."""

    single: Mapping[Precision, float]
    cascade: Mapping[tuple[Precision, float], Measurement]


def read_accuracies(folder: Path, method: str) -> Accuracies:
    """Return a method's part of the tables of a studied network.

    Raises:
        UserError: they are missing or not what this version writes.
    """
    try:
        forwarded = [row for row in read_table(folder / "forwarded.csv") if row["method"] == method]
        metric = forwarded[0]["metric"]
        return Accuracies(
            {
                _bits(row): float(row[metric])
                for row in read_table(folder / "wordlength.csv")
                if row["method"] == method
            },
            {
                (_bits(row), float(row["tolerance"])): Measurement(
                    float(row["forwarded_tune"]),
                    float(row["forwarded_check"]),
                    float(row["added_error_check"]),
                )
                for row in forwarded
            },
        )
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise UserError(
            f"{folder} has no accuracies of the method {method!r} of this version ({error!r}): "
            "run `make figures` for that network"
        ) from error


def _bits(row: Mapping[str, str]) -> Precision:
    return Precision(int(row["weight_bits"]), int(row["act_bits"]))


class Rates:
    """Rates of designs on one board.

    Args:
        network: the structure.
        device: the board.
    """

    def __init__(self, network: Network, device: Device) -> None:
        self._network, self._device = network, device
        self._explorer = Explorer(device, network)

    def gops(self, images_per_s: float) -> float:
        """Return a rate in operations."""
        return 2 * self._network.macs * images_per_s / 1e9

    def single(self, precision: Precision) -> float:
        """Return the best single stage's images/s."""
        return self._explorer.single_rate(precision.weight_bits, precision.act_bits)

    def cascade(self, lpu: Precision, forwarded: float) -> float:
        """Return the best cascade's images/s; the LPU reads its own digits of every weight."""
        windows = (HPU_PRECISION.weight_bits - lpu.weight_bits,) * len(self._network.weight_layers)
        return self._explorer.cascade_rate(_pair(lpu), _pair(HPU_PRECISION), forwarded, windows)

    def throughput(self, name: str, precision: Precision) -> ThroughputRow:
        """Return the best single stage."""
        design = self._explorer.single(*_pair(precision))
        tiles, used = design.engine.config, design.engine.resources
        return ThroughputRow(
            network=name,
            device=self._device.name,
            weight_bits=precision.weight_bits,
            act_bits=precision.act_bits,
            t_r=tiles.t_r,
            t_p=tiles.t_p,
            t_c=tiles.t_c,
            dsp=used.dsp,
            lut=used.lut,
            bram=used.bram,
            images_per_s=design.images_per_s,
            gops=self.gops(design.images_per_s),
            peak_gops=2 * tiles.t_p * tiles.t_c * self._device.clock_mhz / 1e3,
        )


def _pair(precision: Precision) -> tuple[int, int]:
    return precision.weight_bits, precision.act_bits


def speedups(
    entry: SpeedEntry, rates: Rates, device: str, tolerance: float, studied: Path
) -> Iterator[SpeedupRow]:
    """Yield the rows of a tolerance; ``studied``: the folder of the networks that were studied.

    Raises:
        UserError: the accuracies are not there.
    """

    def row(
        protocol: str,
        source: str,
        lpu: Precision,
        baseline: Precision,
        forwarded: float,
        error: float | None,
    ) -> SpeedupRow:
        rate, base = rates.cascade(lpu, forwarded), rates.single(baseline)
        return SpeedupRow(
            network=entry.name,
            device=device,
            protocol=protocol,
            accuracy_of=source,
            tolerance=tolerance,
            lpu=str(lpu),
            forwarded=forwarded,
            added_error=error,
            baseline=str(baseline),
            images_per_s=rate,
            gops=rates.gops(rate),
            baseline_images_per_s=base,
            speedup=rate / base,
        )

    for method in ("paper", "ours"):
        found = read_accuracies(studied / entry.accuracy_of, method)
        allowed = UNIFORM if method == "paper" else tuple(found.single)
        lpus = [lpu for lpu, each in found.cascade if each == tolerance and lpu in allowed]
        if not lpus:
            continue
        # Chosen as a plan does, by the images of tuning; measured on others.
        lpu = max(lpus, key=lambda p: rates.cascade(p, found.cascade[p, tolerance].tuned))
        required = found.single[HPU_PRECISION] - tolerance
        enough = [
            precision
            for precision, accuracy in found.single.items()
            if accuracy >= required and precision in allowed
        ]
        measured = found.cascade[lpu, tolerance]
        baseline = max(enough, key=rates.single)
        yield row(method, entry.accuracy_of, lpu, baseline, measured.unseen, measured.added_error)
    if entry.stated:
        lpu, forwarded = entry.stated.lpu, max(0.0, entry.stated.loss - tolerance)
        for baseline in entry.stated.baselines:
            yield row("stated", "the paper, ideal CEU", lpu, baseline, forwarded, None)


def throughputs(entry: SpeedEntry, rates: Rates) -> Iterator[ThroughputRow]:
    """Yield the best single stage of every uniform wordlength."""
    for precision in UNIFORM:
        yield rates.throughput(entry.name, precision)


def boards(names: tuple[str, ...]) -> tuple[Device, ...]:
    """Return the boards of a list.

    Raises:
        UserError: there is no board of a name.
    """
    return tuple(load_device(name) for name in names)
