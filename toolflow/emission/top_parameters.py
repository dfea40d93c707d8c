"""The parameters of ``cascade_top`` that a plan stands for."""

from __future__ import annotations

from toolflow.confidence.decision import MAX_N
from toolflow.emission.steps import pool_width
from toolflow.emulator.integer_network import (
    IntegerAvgPool,
    IntegerEltwise,
    IntegerMatmul,
    IntegerNetwork,
)
from toolflow.hardware.engine import (
    VECTOR_BITS,
    VECTOR_LANES,
    EngineSizes,
    act_buffer_words,
    weight_buffer_words,
)
from toolflow.hardware.engine_cycles import MEMORY_LATENCY, Port, UnitSizes
from toolflow.network.graph import Lrn
from toolflow.plan import EngineRecord, Plan, UnitRecord

LEAST_ACC_BITS = 8
LEAST_LRN_SIZE = 3


def engine_sizes(plan: Plan, unit: str) -> EngineSizes:
    """Return what the descriptors of ``"lpu"`` or ``"hpu"`` depend on."""
    engine: EngineRecord = getattr(plan.design, unit)
    record: UnitRecord = getattr(plan, unit)
    bits = plan.device.axi_bits
    return EngineSizes(
        t_r=engine.t_r,
        t_p=engine.t_p,
        t_c=engine.t_c,
        weight_words=weight_buffer_words(engine.t_p, engine.t_c, engine.weight_depth),
        act_words=act_buffer_words(engine.t_p, record.act_bits, bits, engine.act_buffer_words),
        vector_lanes=VECTOR_LANES,
        data_bits=bits,
    )


def unit_sizes(plan: Plan, unit: str) -> UnitSizes:
    """Return ``"lpu"`` or ``"hpu"`` as the cycle model sees it."""
    record: UnitRecord = getattr(plan, unit)
    return UnitSizes(engine_sizes(plan, unit), record.act_bits, joins=unit == "hpu")


def memory_port(plan: Plan, latency: int = MEMORY_LATENCY) -> Port:
    """Return the device's memory, at the most that one engine gets of it."""
    device = plan.device
    return Port(latency, 8e3 * device.bandwidth_gb_per_s / device.clock_mhz / device.axi_bits)


def top_parameters(plan: Plan, lpu: IntegerNetwork, hpu: IntegerNetwork) -> dict[str, int]:
    """Return ``cascade_top``'s parameters by their names."""
    units = {
        f"{unit.capitalize()}{name}": value
        for unit in ("lpu", "hpu")
        for name, value in _unit(plan, unit).items()
    }
    batch = plan.design.batch
    return units | {
        "VectorBits": VECTOR_BITS,
        "VectorLanes": VECTOR_LANES,
        "LeakySupport": int(_has_slopes(lpu) or _has_slopes(hpu)),
        "LrnSize": _lrn_size(hpu),
        "PoolWidth": pool_width(hpu.network),
        "DspBits": plan.device.dsp_bits,
        "DataBits": plan.device.axi_bits,
        "MaxBatch": batch,
        "QueueDepth": 2 * batch,
        "MaxClasses": max(2, plan.network.classes),
        "MaxN": MAX_N,
    }


def _unit(plan: Plan, unit: str) -> dict[str, int]:
    engine: EngineRecord = getattr(plan.design, unit)
    record: UnitRecord = getattr(plan, unit)
    sizes = engine_sizes(plan, unit)
    return {
        "TR": sizes.t_r,
        "TP": sizes.t_p,
        "TC": sizes.t_c,
        "DspPes": engine.dsp_pes,
        "PackColumns": engine.pack_columns,
        "WeightBits": record.weight_bits,
        "ActBits": record.act_bits,
        "AccBits": max(LEAST_ACC_BITS, record.accumulator_bits),
        "WeightWords": sizes.weight_words,
        "ActWords": sizes.act_words,
    }


def _has_slopes(network: IntegerNetwork) -> bool:
    return any(
        layer.requantiser.slope is not None
        for layer in network.layers
        if isinstance(layer, IntegerMatmul | IntegerAvgPool | IntegerEltwise)
    )


def _lrn_size(network: IntegerNetwork) -> int:
    """Return the widest window, made odd as the unit has them; 0 without a normalisation."""
    sizes = [layer.layer.size for layer in network.layers if isinstance(layer.layer, Lrn)]
    return max(LEAST_LRN_SIZE, max(sizes) | 1) if sizes else 0
