"""What the import makes of a node."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """What becomes of a node."""

    MAPPED = "mapped"
    FOLDED = "folded"
    REMOVED = "removed"
    REFUSED = "refused"


@dataclass(frozen=True)
class Verdict:
    """What becomes of the node or layer ``name``, why, and (where refused) what to do."""

    name: str
    status: Status
    reason: str = ""
    advice: str = ""
