"""Decisions to the Plan's records."""

from __future__ import annotations

from dataclasses import asdict

from toolflow import __version__
from toolflow.confidence.decision import THRESHOLD_FRACTION_BITS
from toolflow.confidence.protocol import AddedError
from toolflow.emulator.integer_network import IntegerLrn, IntegerMatmul
from toolflow.exploration.search import Engine
from toolflow.fixedpoint import Format
from toolflow.hardware.bands import area_band
from toolflow.hardware.devices import Device
from toolflow.hardware.packing import wide_operand
from toolflow.network.graph import Network, WeightLayer
from toolflow.plan import (
    SCHEMA_VERSION,
    AddedErrorRecord,
    BaselineRecord,
    CandidateRecord,
    CeuRecord,
    DesignRecord,
    DeviceRecord,
    EngineRecord,
    EvaluationRecord,
    FormatRecord,
    LayerRecord,
    LayerTimeRecord,
    NetworkRecord,
    Plan,
    PreprocessingRecord,
    RooflineRecord,
    StatisticRecord,
    TensorRecord,
    ToleranceRecord,
    UnitRecord,
)
from toolflow.planning.candidates import Candidate, EvaluationSet
from toolflow.planning.planner import Decisions

OPERATIONS_PER_MAC = 2


def plan_of(
    network: Network,
    evaluation: EvaluationSet,
    metric: str,
    tolerance: float,
    guarantee: float | None,
    device: Device,
    decisions: Decisions,
) -> Plan:
    """Return the Plan that records ``decisions``."""
    cascade, baseline = decisions.cascade, decisions.baseline
    lpu, hpu = cascade.finalist.candidate, decisions.hpu
    setting, scale, design = cascade.setting, lpu.exp_scale, cascade.design
    band = area_band(device)
    return Plan(
        schema_version=SCHEMA_VERSION,
        tool_version=__version__,
        network=_network(network),
        evaluation=EvaluationRecord(
            source=evaluation.source,
            images=evaluation.size,
            float_accuracy=evaluation.float_correct / evaluation.size,
        ),
        metric=metric,
        tolerance=tolerance,
        guarantee=guarantee,
        device=DeviceRecord(
            name=device.name,
            part=device.part,
            lut=device.lut,
            ff=device.ff,
            dsp=device.dsp,
            bram=device.bram,
            bandwidth_gb_per_s=device.usable_gb_per_s,
            axi_bits=device.port_bits,
            dsp_bits=wide_operand(device),
            clock_mhz=device.clock_mhz,
            lut_band=band.lut if band else None,
            ff_band=band.ff if band else None,
        ),
        hpu=_unit(hpu),
        lpu=_unit(lpu),
        layers=_layers(hpu, lpu),
        tensors=tuple(
            TensorRecord(name, _format(hpu.scheme.tensors[name]), _format(fmt))
            for name, fmt in lpu.scheme.tensors.items()
        ),
        ceu=CeuRecord(
            m=setting.m,
            n=setting.n,
            threshold=setting.threshold / (1 << THRESHOLD_FRACTION_BITS),
            threshold_word=setting.threshold,
            exp_mult=scale.mult,
            exp_shift=scale.shift,
        ),
        forwarded_fraction=setting.forwarded / evaluation.size,
        cascade_accuracy=setting.correct / evaluation.size,
        added_error=_added_error(cascade.added_error),
        design=DesignRecord(
            clock_mhz=device.clock_mhz,
            batch=design.batch,
            mapping=design.mapping,
            lpu=_engine(design.lpu),
            hpu=_engine(design.hpu),
            latency_ms=design.latency_ms,
        ),
        baseline=BaselineRecord(
            weight_bits=baseline.candidate.precision.weight_bits,
            act_bits=baseline.candidate.precision.act_bits,
            accuracy=baseline.candidate.accuracy,
            error_increase=baseline.counts.added_error,
            error_increase_bound=baseline.bound,
            images_per_s=baseline.design.images_per_s,
            design=_engine(baseline.design.engine),
        ),
        images_per_s=design.images_per_s,
        speedup=design.images_per_s / baseline.design.images_per_s,
        candidates=tuple(
            CandidateRecord(
                role=row.role,
                weight_bits=row.precision.weight_bits,
                act_bits=row.precision.act_bits,
                accuracy=row.accuracy,
                forwarded_fraction=row.forwarded,
                images_per_s=row.images_per_s,
                images=row.images,
            )
            for row in decisions.considered
        ),
        statistics=tuple(StatisticRecord(**asdict(item)) for item in decisions.statistics),
        tolerances=tuple(
            ToleranceRecord(
                tolerance=point.tolerance,
                forwarded_fraction=point.forwarded,
                cascade_images_per_s=point.cascade_images_per_s,
                baseline_bits=str(point.baseline),
                baseline_images_per_s=point.baseline_images_per_s,
            )
            for point in decisions.tolerances
        ),
        roofline=(
            *_roofline("LPU", design.lpu),
            *_roofline("HPU", design.hpu),
        ),
    )


def _added_error(error: AddedError) -> AddedErrorRecord:
    return AddedErrorRecord(
        losses=error.counts.losses,
        gains=error.counts.gains,
        images=error.counts.images,
        error_increase=error.estimate,
        error_increase_bound=error.bound,
        confidence=error.confidence,
        holds=error.holds,
        samples_needed=error.samples_needed,
        samples_least=error.samples_least,
    )


def _network(network: Network) -> NetworkRecord:
    p = network.preprocessing
    return NetworkRecord(
        name=network.name,
        sha256=network.sha256,
        macs=network.macs,
        parameters=network.parameters,
        input_shape=network.input_shape,
        classes=network.classes,
        preprocessing=PreprocessingRecord(p.scale, p.mean, p.std, p.channel_order),
    )


def _unit(candidate: Candidate) -> UnitRecord:
    return UnitRecord(
        weight_bits=candidate.precision.weight_bits,
        act_bits=candidate.precision.act_bits,
        accuracy=candidate.accuracy,
        accumulator_bits=candidate.network.accumulator_bits,
        accumulator_limit=max(m.accumulator_limit for m in candidate.network.matmuls),
    )


def _layers(hpu: Candidate, lpu: Candidate) -> tuple[LayerRecord, ...]:
    records = []
    for high, layer in zip(hpu.network.layers, lpu.network.layers, strict=True):
        spec = layer.layer
        weighted = isinstance(spec, WeightLayer)
        records.append(
            LayerRecord(
                name=spec.name,
                op=spec.op,
                f_weight_hpu=hpu.scheme.weights[spec.name].frac if weighted else None,
                f_act_hpu=hpu.scheme.tensors[spec.output].frac,
                f_weight_lpu=lpu.scheme.weights[spec.name].frac if weighted else None,
                f_act_lpu=lpu.scheme.tensors[spec.output].frac,
                window_shift=layer.weight_window if isinstance(layer, IntegerMatmul) else None,
                bias_shift=layer.bias_window if isinstance(layer, IntegerMatmul) else None,
                channel_steps=lpu.scheme.weights[spec.name].steps if weighted else None,
                act_signed=lpu.scheme.tensors[spec.output].signed,
                macs=spec.matmul.macs if isinstance(spec, WeightLayer) else 0,
                factor_error_hpu=high.table.error if isinstance(high, IntegerLrn) else None,
                factor_error_lpu=layer.table.error if isinstance(layer, IntegerLrn) else None,
            )
        )
    return tuple(records)


def _format(fmt: Format) -> FormatRecord:
    return FormatRecord(fmt.bits, fmt.frac, fmt.signed, fmt.zero)


def _engine(engine: Engine) -> EngineRecord:
    config, resources, time = engine.config, engine.resources, engine.time
    return EngineRecord(
        engines=engine.count,
        t_r=config.t_r,
        t_p=config.t_p,
        t_c=config.t_c,
        weight_depth=config.weight_depth,
        act_buffer_words=config.act_buffer_words,
        dsp_pes=config.dsp_pes,
        pack_columns=config.pack_columns,
        dsp=round(resources.dsp),
        lut=round(resources.lut),
        ff=round(resources.ff),
        bram=round(resources.bram),
        cycles_per_image=time.cycles_per_image,
        images_per_s=engine.images_per_s,
        layers=tuple(
            LayerTimeRecord(layer.name, int(layer.cycles), int(layer.bytes), layer.bound)
            for layer in time.layers
        ),
    )


def _roofline(unit: str, engine: Engine) -> tuple[RooflineRecord, ...]:
    return tuple(
        RooflineRecord(
            unit=unit,
            layer=time.name,
            intensity=time.macs / max(time.bytes, 1),
            gops=OPERATIONS_PER_MAC * time.macs / time.seconds / 1e9,
        )
        for time in engine.time.layers
        if time.macs
    )
