"""The tally judges what ran: it must not call a broken run good."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "tally.py"

PASSES = "def test_good():\n    assert True\n"
FAILS = "def test_bad():\n    assert False, 'seven is not eight'\n"
SKIPS = "import pytest\n@pytest.mark.skip(reason='no board')\ndef test_off():\n    pass\n"
BREAKS_AFTER = """
import pytest
@pytest.fixture
def resource():
    yield 1
    raise RuntimeError('left open')
def test_body_is_good(resource):
    assert resource == 1
"""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {key: v for key, v in os.environ.items() if not key.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def suite(results: Path, folder: Path, source: str | None, name: str = "unit") -> None:
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    if source is not None:
        (folder / "test_one.py").write_text(source)
    done = run("suite", results, name, "--", sys.executable, "-m", "pytest", "-q", folder)
    assert done.returncode == 0, "the total judges, not the suite"


def total(results: Path) -> tuple[int, list[str]]:
    done = run("total", results)
    return done.returncode, done.stdout.splitlines()


def test_nothing_to_count_is_a_failure(tmp_path: Path) -> None:
    assert total(tmp_path) == (1, ["0 passed, 0 failed"])
    assert total(tmp_path / "absent") == (1, ["0 passed, 0 failed"])


def test_steps_are_counted_and_none_hides_another(tmp_path: Path) -> None:
    good = run("step", tmp_path, "good", "--", sys.executable, "-c", "print('hidden')")
    bad = run("step", tmp_path, "bad", "--", sys.executable, "-c", "print('1 passed'); exit(3)")
    gone = run("step", tmp_path, "gone", "--", str(tmp_path / "no-such-tool"))
    assert (good.returncode, bad.returncode, gone.returncode) == (0, 0, 0)
    assert "hidden" not in good.stdout
    assert "    1 passed" in bad.stdout.splitlines(), "shown, and not like a total"
    assert "No such file" in gone.stdout
    assert total(tmp_path) == (1, ["1 passed, 2 failed"])


def test_a_good_suite_and_a_good_step(tmp_path: Path) -> None:
    results = tmp_path / "results"
    suite(results, tmp_path / "a", PASSES)
    run("step", results, "lint", "--", sys.executable, "-c", "")
    assert total(results) == (0, ["2 passed, 0 failed"])


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (FAILS, "0 passed, 1 failed"),
        (PASSES + FAILS, "1 passed, 1 failed"),
        (BREAKS_AFTER, "0 passed, 1 failed"),
        ("import no_such_module\n", "0 passed, 1 failed"),
        ("import os\n" + PASSES + "def test_dies():\n    os._exit(0)\n", "0 passed, 1 failed"),
        (None, "0 passed, 1 failed"),
    ],
    ids=["failure", "mixed", "error at clean-up", "import error", "death", "no tests"],
)
def test_a_bad_suite(tmp_path: Path, source: str | None, line: str) -> None:
    results = tmp_path / "results"
    suite(results, tmp_path / "a", source)
    status, lines = total(results)
    assert (status, lines[-1]) == (1, line)


def test_skips_are_told_with_their_reason_and_are_no_success(tmp_path: Path) -> None:
    results = tmp_path / "results"
    suite(results, tmp_path / "a", SKIPS)
    assert total(results) == (1, ["skipped 1: no board", "0 passed, 0 failed"])
    suite(results, tmp_path / "b", PASSES, name="more")
    assert total(results) == (0, ["skipped 1: no board", "1 passed, 0 failed"])


def test_a_torn_result_file_is_a_failure(tmp_path: Path) -> None:
    results = tmp_path / "results"
    suite(results, tmp_path / "a", PASSES)
    (results / "torn.xml").write_text("<testsuites><testsuite")
    assert total(results) == (1, ["1 passed, 1 failed"])


def test_results_of_an_earlier_run_do_not_stand_for_a_dead_one(tmp_path: Path) -> None:
    results = tmp_path / "results"
    suite(results, tmp_path / "a", PASSES)
    run("suite", results, "unit", "--", sys.executable, "-c", "")
    assert total(results) == (1, ["0 passed, 1 failed"])
