"""The Plan: one typed, versioned record of every decision, JSON on disk as ``plan.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from toolflow.confidence.decision import CeuParameters
from toolflow.errors import UserError
from toolflow.fixedpoint import Format
from toolflow.quantisation.scheme import Precision, Scheme, WeightFormat

SCHEMA_VERSION = 5
PLAN_FILE = "plan.json"
MODEL_FILE = "model.onnx"


@dataclass(frozen=True)
class PreprocessingRecord:
    """``input = (image / scale - mean) / std``, per channel."""

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channel_order: str


@dataclass(frozen=True)
class NetworkRecord:
    """The planned network; ``macs`` and ``parameters`` are per image and in all."""

    name: str
    sha256: str
    macs: int
    parameters: int
    input_shape: tuple[int, ...]
    classes: int
    preprocessing: PreprocessingRecord


@dataclass(frozen=True)
class EvaluationRecord:
    """The evaluation images and the float network's accuracy on them (under the metric)."""

    source: str
    images: int
    float_accuracy: float


@dataclass(frozen=True)
class UnitRecord:
    """One unit's precision and its accuracy alone, under the metric."""

    weight_bits: int
    act_bits: int
    accuracy: float
    accumulator_bits: int
    accumulator_limit: int


@dataclass(frozen=True)
class LayerRecord:
    """A layer's fraction lengths (null where it has no weights) and its window.

    ``f_weight_*`` are those of the coarsest output channel, ``channel_steps`` how many fraction
    bits each channel has more than that, in both units. ``factor_error_*`` bound the relative error
    of a normalisation's factors by their tables (null for other layers).
    """

    name: str
    op: str
    f_weight_hpu: int | None
    f_act_hpu: int
    f_weight_lpu: int | None
    f_act_lpu: int
    window_shift: int | None
    bias_shift: int | None
    channel_steps: tuple[int, ...] | None
    act_signed: bool
    macs: int
    factor_error_hpu: float | None = None
    factor_error_lpu: float | None = None


@dataclass(frozen=True)
class FormatRecord:
    """A fixed-point format; ``zero`` is the word that stands for 0.0 in an unsigned one."""

    bits: int
    frac: int
    signed: bool
    zero: int

    @property
    def format(self) -> Format:
        """As the type that quantises."""
        return Format(self.bits, self.frac, self.signed, self.zero)


@dataclass(frozen=True)
class TensorRecord:
    """A tensor's format in both units."""

    name: str
    hpu: FormatRecord
    lpu: FormatRecord


@dataclass(frozen=True)
class CeuRecord:
    """The CEU's registers: ``threshold`` is the real value, ``threshold_word`` the register."""

    m: int
    n: int
    threshold: float
    threshold_word: int
    exp_mult: int
    exp_shift: int

    @property
    def parameters(self) -> CeuParameters:
        """As the type that decides."""
        return CeuParameters(self.m, self.n, self.threshold_word, self.exp_mult, self.exp_shift)


@dataclass(frozen=True)
class LayerTimeRecord:
    """Predicted time of one layer on one unit, for one batch; ``bound`` names the limit."""

    name: str
    cycles: int
    bytes: int
    bound: str


@dataclass(frozen=True)
class EngineRecord:
    """One unit's hardware and prediction.

    ``engines`` equal engines share the unit's images. Tiles, buffers, cycles and layers are of one
    of them, resources and ``images_per_s`` of all. Column tiles of weights up to ``weight_depth``
    deep stay on chip, and ``act_buffer_words`` input words. ``dsp_pes`` columns multiply in DSP
    blocks, ``pack_columns`` of them in one block a lane.
    """

    engines: int
    t_r: int
    t_p: int
    t_c: int
    weight_depth: int
    act_buffer_words: int
    dsp_pes: int
    pack_columns: int
    dsp: int
    lut: int
    ff: int
    bram: int
    cycles_per_image: float
    images_per_s: float
    layers: tuple[LayerTimeRecord, ...]


@dataclass(frozen=True)
class DesignRecord:
    """The two units on the device."""

    clock_mhz: float
    batch: int
    mapping: str
    lpu: EngineRecord
    hpu: EngineRecord
    latency_ms: float


@dataclass(frozen=True)
class AddedErrorRecord:
    """The error that the cascade adds to the HPU's, 0..1, and what is known of it.

    ``losses`` and ``gains`` are the images of ``images`` that only the HPU, or only the cascade,
    gets right; ``error_increase`` their difference as a share, and ``error_increase_bound`` its
    upper bound at ``confidence``. ``holds`` is true where that bound is valid although the
    threshold was chosen on labelled images; else it is not corrected for tuning.
    ``samples_needed`` labelled images would make the bound meet the tolerance at the rates seen
    (null: none would, or it already does); fewer than ``samples_least`` cannot whatever they show
    (null: no number can).
    """

    losses: int
    gains: int
    images: int
    error_increase: float
    error_increase_bound: float
    confidence: float
    holds: bool
    samples_needed: int | None
    samples_least: int | None


@dataclass(frozen=True)
class BaselineRecord:
    """The best single-stage design that meets the same tolerance on the same device.

    Its added error over the HPU and the bound are taken as the cascade's are.
    """

    weight_bits: int
    act_bits: int
    accuracy: float
    error_increase: float
    error_increase_bound: float
    images_per_s: float
    design: EngineRecord


@dataclass(frozen=True)
class CandidateRecord:
    """One precision that was considered.

    For the LPU ``forwarded_fraction`` and the cascade's ``images_per_s``; for a single stage 0 and
    its own. ``images`` says on how many evaluation images: screening uses a part of them.
    """

    role: str
    weight_bits: int
    act_bits: int
    accuracy: float
    forwarded_fraction: float
    images_per_s: float
    images: int


@dataclass(frozen=True)
class StatisticRecord:
    """Accuracy left when one layer's weights or activations alone are cut to the LPU's."""

    name: str
    kind: str
    bits: int
    frac: int
    accuracy: float
    divergence: float


@dataclass(frozen=True)
class ToleranceRecord:
    """The cascade and the best single stage at one tolerance, on the evaluation images."""

    tolerance: float
    forwarded_fraction: float
    cascade_images_per_s: float
    baseline_bits: str
    baseline_images_per_s: float


@dataclass(frozen=True)
class RooflineRecord:
    """One layer on one unit's roofline: MACs a byte against 10**9 operations a second."""

    unit: str
    layer: str
    intensity: float
    gops: float


@dataclass(frozen=True)
class DeviceRecord:
    """The device the design was made for; ``clock_mhz`` is what was assumed.

    ``axi_bits`` is the data width of the engines' memory ports, 64 or 128; ``dsp_bits`` that of a
    DSP block's wide operand. ``lut_band`` and ``ff_band`` say how far predicted areas of engines
    were off where engines were synthesised, as shares; None: none were for that family.
    """

    name: str
    part: str
    lut: int
    ff: int
    dsp: int
    bram: int
    bandwidth_gb_per_s: float
    axi_bits: int
    dsp_bits: int
    clock_mhz: float
    lut_band: float | None
    ff_band: float | None


@dataclass(frozen=True)
class Plan:
    """Every decision that the generated hardware, its images in memory and its host need.

    ``guarantee`` is the confidence with which the tolerance was asked to hold, null where its
    estimate was.
    """

    schema_version: int
    tool_version: str
    network: NetworkRecord
    evaluation: EvaluationRecord
    metric: str
    tolerance: float
    guarantee: float | None
    device: DeviceRecord
    hpu: UnitRecord
    lpu: UnitRecord
    layers: tuple[LayerRecord, ...]
    tensors: tuple[TensorRecord, ...]
    ceu: CeuRecord
    forwarded_fraction: float
    cascade_accuracy: float
    added_error: AddedErrorRecord
    design: DesignRecord
    baseline: BaselineRecord
    images_per_s: float
    speedup: float
    candidates: tuple[CandidateRecord, ...]
    statistics: tuple[StatisticRecord, ...]
    tolerances: tuple[ToleranceRecord, ...]
    roofline: tuple[RooflineRecord, ...]

    def scheme(self, unit: str) -> Scheme:
        """Return the scheme of ``"hpu"`` or ``"lpu"``."""
        record: UnitRecord = getattr(self, unit)
        tensors = {tensor.name: getattr(tensor, unit).format for tensor in self.tensors}
        weights = {
            layer.name: WeightFormat(
                record.weight_bits,
                tuple(getattr(layer, f"f_weight_{unit}") + step for step in layer.channel_steps),
            )
            for layer in self.layers
            if layer.channel_steps is not None
        }
        return Scheme(
            Precision(record.weight_bits, record.act_bits),
            MappingProxyType(weights),
            MappingProxyType(tensors),
        )

    def to_json(self) -> str:
        """Return the plan as JSON text."""
        return json.dumps(asdict(self), indent=1, allow_nan=False) + "\n"


def read_plan(folder: Path) -> Plan:
    """Read ``folder/plan.json``.

    Raises:
        UserError: there is no plan, or it is not one that this version reads.
    """
    path = folder / PLAN_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); give a folder that "
            "`python -m toolflow plan` made"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file; make the plan again") from error
    _check_version(path, text)
    try:
        return TypeAdapter(Plan).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise UserError(f"{path}: {where}: {first['msg']}; make the plan again") from error


def _check_version(path: Path, text: str) -> None:
    try:
        record: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not JSON ({error}); make the plan again") from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{path}: plan schema {version} is not {SCHEMA_VERSION}, the one that this version "
            "reads; make the plan again"
        )
