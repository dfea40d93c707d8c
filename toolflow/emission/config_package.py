"""``cascade_config_pkg.sv``: the parameters of the planned hardware."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from toolflow.confidence.decision import MAX_N
from toolflow.emission.memory_map import UnitMap
from toolflow.fixedpoint import storage_bits
from toolflow.plan import EngineRecord, Plan, UnitRecord


@dataclass(frozen=True)
class Constant:
    """One ``localparam``; ``value`` is SystemVerilog text."""

    type: str
    name: str
    value: str


@dataclass(frozen=True)
class ConstantGroup:
    """Constants that belong together, under a comment."""

    title: str
    constants: tuple[Constant, ...]


def render_package(plan: Plan, lpu: UnitMap, hpu: UnitMap) -> str:
    """Return the package's text."""
    environment = Environment(
        loader=PackageLoader("toolflow.emission"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template("cascade_config_pkg.sv.j2").render(
        network=_comment(plan.network.name),
        sha256=plan.network.sha256,
        device=_comment(plan.device.name),
        tolerance=plan.tolerance,
        metric=plan.metric,
        groups=_groups(plan, lpu, hpu),
    )


def _groups(plan: Plan, lpu: UnitMap, hpu: UnitMap) -> tuple[ConstantGroup, ...]:
    return (
        ConstantGroup("Low-precision unit", _unit("LPU", plan.lpu, plan.design.lpu, lpu)),
        ConstantGroup("High-precision unit, whose parameters are stored",
                      _unit("HPU", plan.hpu, plan.design.hpu, hpu)),
        ConstantGroup(
            "Confidence evaluation unit: sizes, and the registers' reset values",
            (
                _natural("NUM_CLASSES", plan.network.classes),
                _natural("CEU_MAX_N", MAX_N),
                _natural("CEU_M", plan.ceu.m),
                _natural("CEU_N", plan.ceu.n),
                Constant("int", "CEU_THRESHOLD", str(plan.ceu.threshold_word)),
                _natural("CEU_EXP_MULT", plan.ceu.exp_mult),
                _natural("CEU_EXP_SHIFT", plan.ceu.exp_shift),
            ),
        ),
        ConstantGroup("Device", (_natural("DSP_BITS", plan.device.dsp_bits),)),
        ConstantGroup(
            "Schedule",
            (
                _natural("BATCH", plan.design.batch),
            ),
        ),
    )  # fmt: skip


def _unit(
    prefix: str, unit: UnitRecord, engine: EngineRecord, memory: UnitMap
) -> tuple[Constant, ...]:
    values = {
        "ENGINES": engine.engines,
        "WEIGHT_BITS": unit.weight_bits,
        "ACT_BITS": unit.act_bits,
        "ACT_STORAGE_BITS": storage_bits(unit.act_bits),
        "ACC_BITS": unit.accumulator_bits,
        "T_R": engine.t_r,
        "T_P": engine.t_p,
        "T_C": engine.t_c,
        "DSP_PES": engine.dsp_pes,
        "PACK_COLUMNS": engine.pack_columns,
        "WEIGHT_DEPTH": engine.weight_depth,
        "ACT_BUFFER_WORDS": engine.act_buffer_words,
        "NUM_DESCRIPTORS": len(memory.steps),
        "WORKSPACE_BYTES": memory.workspace_bytes,
    }
    return tuple(_natural(f"{prefix}_{name}", value) for name, value in values.items())


def _natural(name: str, value: int) -> Constant:
    return Constant("int unsigned", name, str(value))


def _comment(text: str) -> str:
    """Keep a user's text on one comment line."""
    return "".join(c if c.isprintable() else "?" for c in text)
