"""The networks of the study: a TOML list, and what is read of it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from toolflow.datasets import load_samples, preprocess
from toolflow.errors import UserError
from toolflow.network.float_reference import float_logits
from toolflow.network.graph import Network
from toolflow.network.importer import load_network
from toolflow.planning.candidates import EvaluationSet, shuffled
from toolflow.quantisation.scheme import Precision

REPOSITORY = Path(__file__).resolve().parents[2]
HPU_PRECISION = Precision(8, 8)
LEAST_BITS = 2


def parse_precision(text: Any) -> Precision:
    """Return the precision that ``N`` or ``W/A`` (weight bits / activation bits) says.

    Raises:
        ValueError: it is neither, or too narrow or too wide.
    """
    parts = str(text).split("/")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise ValueError(f"{text!r} is not N or W/A (weight bits / activation bits)")
    precision = Precision(int(parts[0]), int(parts[-1]))
    for bits in (precision.weight_bits, precision.act_bits):
        if not LEAST_BITS <= bits <= HPU_PRECISION.weight_bits:
            raise ValueError(f"{text!r} is outside {LEAST_BITS}..{HPU_PRECISION.weight_bits} bits")
    return precision


Wordlengths = tuple[Annotated[Precision, BeforeValidator(parse_precision)], ...]


class NetworkEntry(BaseModel):
    """One network of the list.

    Attributes:
        name: of the network and of its folder of results.
        model: the ONNX file; ``examples/...`` is in the repository, others in the data folder.
        tune: labelled images that everything is tuned on (``load_samples``).
        check: labelled images that tuning does not see.
        metric: what the CEU is tuned for.
        wordlengths: of the figure of accuracy against wordlength.
        cumulative: those of them at which improvements are added one by one.
        ablation: those at which ingredients are left out one by one.
        forwarded: LPUs of the figure of forwarded images.
        tolerances: allowed rises of the error, 0..1.
        statistics_images: images that lead the search by per-layer statistics.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    model: str
    tune: str
    check: str
    metric: Annotated[str, Field(pattern="^top[15]$")] = "top1"
    wordlengths: Wordlengths
    cumulative: Wordlengths
    ablation: Wordlengths
    forwarded: Wordlengths
    tolerances: tuple[Annotated[float, Field(ge=0, lt=1)], ...]
    statistics_images: Annotated[int, Field(ge=1)] = 64


class MissingDataError(UserError):
    """A file that the study of a network needs is not there."""


@dataclass(frozen=True, eq=False)
class StudyNetwork:
    """A network with its images; neither set's images are in the other."""

    entry: NetworkEntry
    network: Network
    tune: EvaluationSet
    check: EvaluationSet

    @property
    def name(self) -> str:
        """The entry's name."""
        return self.entry.name

    @property
    def top(self) -> int:
        """The classes that count as right under the metric."""
        return int(self.entry.metric[3:])


def read_entries(path: Path) -> tuple[NetworkEntry, ...]:
    """Read a list: ``[defaults]`` for all networks, and a ``[[network]]`` each.

    Raises:
        UserError: no such file, not TOML, or a key is missing, unknown or impossible.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a TOML file: {error}") from error
    defaults, tables = content.pop("defaults", {}), content.pop("network", [])
    if content or not isinstance(defaults, dict) or not isinstance(tables, list) or not tables:
        raise UserError(f"{path}: expected [defaults] and [[network]] tables, and nothing else")
    entries = tuple(_entry(path, {**defaults, **table}) for table in tables)
    if len({entry.name for entry in entries}) < len(entries):
        raise UserError(f"{path}: two networks have the same name")
    return entries


def _entry(path: Path, values: dict[str, Any]) -> NetworkEntry:
    try:
        return NetworkEntry.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: network {values.get('name')!r}: {key}: {first['msg']}") from error


def chosen(entries: tuple[NetworkEntry, ...], names: list[str]) -> tuple[NetworkEntry, ...]:
    """Return the entries named (all: no names).

    Raises:
        UserError: there is no entry of a name.
    """
    known = {entry.name: entry for entry in entries}
    for name in names:
        if name not in known:
            raise UserError(f"unknown network {name!r}: choose from {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(names)) if names else entries


def require_files(entry: NetworkEntry, data: Path) -> None:
    """Check that the files of an entry are there.

    Raises:
        MissingDataError: one is not.
    """
    for spec in (entry.model, entry.tune, entry.check):
        path = _file_of(located(spec, data))
        if not spec.startswith("digits:") and not path.exists():
            raise MissingDataError(f"{path} is not there")


def load_entry(entry: NetworkEntry, data: Path, threads: int, images: int | None) -> StudyNetwork:
    """Read a network and its images, of the unseen ones at most ``images``.

    Raises:
        UserError: a file is missing or cannot be read.
    """
    require_files(entry, data)
    network = load_network(Path(located(entry.model, data)))
    tune = _evaluation_set(entry, entry.tune, network, data, threads)
    check = _evaluation_set(entry, entry.check, network, data, threads)
    return StudyNetwork(entry, network, tune, check if images is None else first_of(check, images))


def first_of(evaluation: EvaluationSet, images: int) -> EvaluationSet:
    """Return the first images of a (shuffled) set."""
    return EvaluationSet(
        evaluation.source,
        evaluation.images[:images],
        evaluation.labels[:images],
        evaluation.float_logits[:images],
        evaluation.top,
    )


def _evaluation_set(
    entry: NetworkEntry, spec: str, network: Network, data: Path, threads: int
) -> EvaluationSet:
    samples = load_samples(located(spec, data), network)
    images: NDArray[np.float32] = preprocess(samples, network.preprocessing)
    logits = float_logits(network, images, threads)
    return shuffled(spec, images, samples.labels, logits, int(entry.metric[3:]))


def located(spec: str, data: Path) -> str:
    """Return where a file of the list is."""
    if spec.startswith("digits:"):
        return spec
    return str((REPOSITORY if spec.startswith("examples/") else data) / spec)


def _file_of(place: str) -> Path:
    head, _, _ = place.rpartition(":")
    return Path(head if head.lower().endswith(".npz") else place)
