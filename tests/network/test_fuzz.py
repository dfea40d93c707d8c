"""Damaged files: `UserError` or success, and nothing else."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.network.graphs import save
from tests.network.test_operators import sweep_model
from toolflow.errors import UserError
from toolflow.network.importer import load_network
from toolflow.network.inspection import inspect_model

RELAXED = settings(
    max_examples=int(os.environ.get("CASCADE_FUZZ_EXAMPLES", "100")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def attempt(content: bytes, folder: Path) -> None:
    path = folder / "damaged.onnx"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for read in (load_network, inspect_model):
            with contextlib.suppress(UserError):
                read(path)


@pytest.fixture(scope="module", params=[9, 17])
def valid(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return save(sweep_model(request.param), tmp_path_factory.mktemp("fuzz")).read_bytes()


@RELAXED
@given(data=st.data())
def test_changed_bytes(data: st.DataObject, valid: bytes, tmp_path: Path) -> None:
    content = bytearray(valid)
    places = st.integers(0, len(content) - 1)
    for place, value in data.draw(
        st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=8)
    ):
        content[place] = value
    attempt(bytes(content), tmp_path)


@RELAXED
@given(data=st.data())
def test_truncated(data: st.DataObject, valid: bytes, tmp_path: Path) -> None:
    attempt(valid[: data.draw(st.integers(0, len(valid) - 1))], tmp_path)


@RELAXED
@given(data=st.data())
def test_cut_out_and_doubled(data: st.DataObject, valid: bytes, tmp_path: Path) -> None:
    start = data.draw(st.integers(0, len(valid)))
    stop = data.draw(st.integers(start, min(len(valid), start + 64)))
    attempt(valid[:start] + valid[stop:], tmp_path)
    attempt(valid[:stop] + valid[start:], tmp_path)


def test_the_undamaged_file_imports(valid: bytes, tmp_path: Path) -> None:
    path = tmp_path / "good.onnx"
    path.write_bytes(valid)
    assert all(np.isfinite(layer.weight).all() for layer in load_network(path).weight_layers)
