"""Every file of a plan's folder."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolflow.confidence.decision import decide
from toolflow.confidence.exp_table import EXP_BITS, exp_table
from toolflow.emission.config_package import render_package
from toolflow.emission.directory import whole_directory
from toolflow.emission.memory_images import parameter_images, weight_image
from toolflow.emission.memory_map import MEMORY_MAP_FILE, MemoryMap, unit_image
from toolflow.emission.stored_parameters import CHANNELS_FILE, WEIGHTS_FILE
from toolflow.emission.top_parameters import memory_port, unit_sizes
from toolflow.emulator.integer_network import IntegerNetwork, StoredParameters
from toolflow.emulator.reference import run_reference
from toolflow.fixedpoint import IntArray
from toolflow.plan import MODEL_FILE, PLAN_FILE, Plan
from toolflow.report.report import write_report

GOLDEN_FILE = "golden.npz"
GOLDEN_IMAGES = 32
TRACED_IMAGES = 2
"""Golden vectors hold logits and decisions of GOLDEN_IMAGES images, all tensors of these."""


@dataclass(frozen=True, eq=False)
class Accelerator:
    """What is needed to write the files besides the plan.

    ``stored_images`` are evaluation images as stored words, for the golden vectors.
    """

    model_path: Path
    stored: StoredParameters
    hpu: IntegerNetwork
    lpu: IntegerNetwork
    stored_images: IntArray


def write_plan(plan: Plan, accelerator: Accelerator, target: Path) -> None:
    """Write ``target`` whole, or nothing.

    Raises:
        UserError: ``target`` cannot be written, or a parameter does not fit its place in memory.
    """
    weights = weight_image(accelerator.lpu, accelerator.stored)
    channels = parameter_images(accelerator.lpu, accelerator.hpu, accelerator.stored)

    lpu, hpu = (
        unit_image(
            network,
            unit_sizes(plan, unit),
            memory_port(plan),
            plan.design.batch,
            weights,
            parameters,
        )
        for unit, network, parameters in zip(
            ("lpu", "hpu"), (accelerator.lpu, accelerator.hpu), channels, strict=True
        )
    )
    with whole_directory(target) as folder:
        (folder / PLAN_FILE).write_text(plan.to_json(), encoding="utf-8")
        shutil.copyfile(accelerator.model_path, folder / MODEL_FILE)
        package = render_package(plan, lpu.map, hpu.map)
        (folder / "cascade_config_pkg.sv").write_text(package, encoding="utf-8")
        (folder / WEIGHTS_FILE).write_bytes(weights.data)
        (folder / CHANNELS_FILE).write_bytes(channels[0].data)
        (folder / "descriptors_lpu.bin").write_bytes(lpu.descriptors)
        (folder / "descriptors_hpu.bin").write_bytes(hpu.descriptors)
        (folder / MEMORY_MAP_FILE).write_text(MemoryMap(lpu.map, hpu.map).to_json())
        (folder / "exp_table.mem").write_text(_memory_text(exp_table(), EXP_BITS))
        (folder / GOLDEN_FILE).write_bytes(golden_vectors(plan, accelerator))
        write_report(plan, folder)


def golden_vectors(plan: Plan, accelerator: Accelerator) -> bytes:
    """Return an ``.npz``: stored images, logits, decisions; all tensors of the first images.

    Tensors are integers ``q``; in memory their words are ``q + zero`` (``memory_images``).
    Keys: ``images``; ``<unit>/logits``; ``confident``, ``margin``, ``total``, ``top``; and
    ``<unit>/tensor/<name>`` in (N, C, H, W) order.
    """
    images = accelerator.stored_images[:GOLDEN_IMAGES]
    arrays: dict[str, IntArray] = {"images": images}
    for unit, network in (("lpu", accelerator.lpu), ("hpu", accelerator.hpu)):
        traced = run_reference(network, images[:TRACED_IMAGES])
        arrays |= {f"{unit}/tensor/{name}": value for name, value in traced.items()}
        batches = [images[k : k + 1] for k in range(len(images))]
        logits = [run_reference(network, batch)[network.network.output] for batch in batches]
        arrays[f"{unit}/logits"] = np.concatenate(logits)
    decision = decide(arrays["lpu/logits"], plan.ceu.parameters)
    arrays |= {
        "confident": decision.confident.astype(np.int64),
        "margin": decision.margin,
        "total": decision.total,
        "top": decision.top,
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{k: _narrow(v) for k, v in arrays.items()})  # type: ignore[arg-type]
    return buffer.getvalue()


def _narrow(values: IntArray) -> IntArray:
    wide = np.min_scalar_type(int(values.max(initial=0)))
    return values.astype(np.result_type(wide, np.min_scalar_type(int(values.min(initial=0)))))


def _memory_text(words: IntArray, bits: int) -> str:
    """Return words as a ``$readmemh`` file."""
    digits = -(-bits // 4)
    return "".join(f"{int(word):0{digits}x}\n" for word in words)
