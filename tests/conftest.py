"""Shared fixtures: where the real networks and images are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parent.parent


def shared_data() -> Path | None:
    """The folder of real networks and images, or None where there is none."""
    shared = os.environ.get("CASCADE_SHARED")
    folder = (Path(shared) if shared else _REPOSITORY.parent / "shared") / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """`shared_data`; without it the test is skipped, but fails where CI=true."""
    folder = shared_data()
    if folder is None:
        message = "real networks and images not found: set CASCADE_SHARED to the shared folder"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder
