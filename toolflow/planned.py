"""A plan's units, read back from its folder: what hardware finds in memory, as integer networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolflow.emission.stored_parameters import read_parameters
from toolflow.emulator.integer_network import (
    IntegerNetwork,
    StoredParameters,
    compile_network,
    cut_network,
)
from toolflow.errors import UserError
from toolflow.network.graph import Network
from toolflow.network.importer import load_network
from toolflow.network.metadata import PreprocessingOverride
from toolflow.plan import MODEL_FILE, Plan, read_plan


@dataclass(frozen=True, eq=False)
class PlannedUnits:
    """A plan, its network, the words in memory, and both units that run on them."""

    plan: Plan
    network: Network
    stored: StoredParameters
    lpu: IntegerNetwork
    hpu: IntegerNetwork


def load_units(folder: Path) -> PlannedUnits:
    """Read a plan's folder.

    Raises:
        UserError: a file is missing, or the files are not of one plan.
    """
    plan = read_plan(folder)
    model = folder / MODEL_FILE
    record = plan.network.preprocessing
    network = load_network(
        model,
        PreprocessingOverride(
            scale=record.scale,
            mean=record.mean,
            std=record.std,
            channel_order=record.channel_order,
        ),
    )
    if network.sha256 != plan.network.sha256:
        raise UserError(f"{model}: is not the model that {folder} was planned for; plan again")
    lpu_scheme = plan.scheme("lpu")
    stored = read_parameters(folder, network, plan.scheme("hpu"), lpu_scheme)
    return PlannedUnits(
        plan,
        network,
        stored,
        cut_network(network, lpu_scheme, stored),
        compile_network(network, stored),
    )
