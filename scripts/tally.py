"""Run the steps of a check, record each as JUnit XML, and add everything up.

    tally.py step  RESULTS NAME -- COMMAND...   one step, counted as one test
    tally.py suite RESULTS NAME -- COMMAND...   a pytest run; --junitxml is added
    tally.py total RESULTS                      the reasons of skips, then ``N passed, N failed``

``step`` and ``suite`` write ``RESULTS/NAME.xml`` and exit with status 0 whatever happened, so that
one failure hides no other; ``total`` judges: status 1 if anything failed or was an error, or if
there was nothing to count. A suite that dies (crash, interrupt, error outside its tests) counts as
a failure even though no test of its own says so.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tally:
    """The counts over all results, and each reason for a skip with how often it was given."""

    passed: int
    failed: int
    skipped: int
    reasons: tuple[tuple[str, int], ...] = ()

    @property
    def good(self) -> bool:
        """Whether something passed and nothing failed."""
        return self.passed > 0 and self.failed == 0

    @property
    def line(self) -> str:
        """The last line; the skips, with their reasons, have lines of their own before it."""
        return f"{self.passed} passed, {self.failed} failed"


def tally(files: Iterable[Path]) -> Tally:
    """Add up JUnit files; one that cannot be read counts as a failure.

    A test with an error at set-up or clean-up is a failure, whatever its body did.
    """
    count: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for path in sorted(files):
        try:
            root = ET.parse(path).getroot()
        except ET.ParseError:
            count["failed"] += 1
            continue
        # pytest lists a test whose clean-up failed twice: by its name it counts once.
        verdicts: dict[tuple[str, str], str] = {}
        for case in root.iter("testcase"):
            name = (case.get("classname", ""), case.get("name", ""))
            if case.find("failure") is not None or case.find("error") is not None:
                verdicts[name] = "failed"
            elif (skip := case.find("skipped")) is not None:
                reasons[skip.get("message") or "no reason given"] += 1
                verdicts.setdefault(name, "skipped")
            else:
                verdicts.setdefault(name, "passed")
        count.update(verdicts.values())
    return Tally(count["passed"], count["failed"], count["skipped"], tuple(reasons.most_common()))


def write_case(path: Path, name: str, seconds: float, failure: str | None) -> None:
    """Write a JUnit file with the one test ``name``, failed with the text ``failure`` if any."""
    suite = ET.Element("testsuite", name=name)
    case = ET.SubElement(suite, "testcase", classname="step", name=name, time=f"{seconds:.3f}")
    if failure is not None:
        printable = "".join(c for c in failure if c.isprintable() or c in "\n\t")
        ET.SubElement(case, "failure", message=f"{name} failed").text = printable
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def run_step(results: Path, name: str, command: Sequence[str]) -> bool:
    """Run a command as one test; its output is shown only if it fails. Return whether it passed."""
    start = time.monotonic()
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        output, passed = done.stdout, done.returncode == 0
    except OSError as error:
        output, passed = f"{command[0]}: {error.strerror}", False
    seconds = time.monotonic() - start
    print(f"{'ok' if passed else 'FAIL':4} {name} ({seconds:.1f} s)")
    if not passed:
        # Indented, so that no line of it can be taken for the total.
        print("".join(f"    {line}\n" for line in output.splitlines()), end="")
    sys.stdout.flush()
    write_case(results / f"{name}.xml", name, seconds, None if passed else output)
    return passed


def run_suite(results: Path, name: str, command: Sequence[str]) -> bool:
    """Run pytest with its output shown and its tests recorded; return whether all passed."""
    path = results / f"{name}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    start = time.monotonic()
    try:
        status = subprocess.run([*command, f"--junitxml={path}"], check=False).returncode
    except OSError as error:
        print(f"{command[0]}: {error.strerror}")
        status = -1
    seconds = time.monotonic() - start
    failures = tally([path]).failed if path.is_file() else 0
    explained = path.is_file() and (status == 0) == (failures == 0)
    if not explained:
        why = f"{' '.join(command)}: exit status {status}, which no test explains"
        print(f"FAIL {name}: {why}")
        write_case(results / f"{name}-run.xml", f"{name}-run", seconds, why)
    sys.stdout.flush()
    return status == 0 and explained


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["step", "suite", "total"])
    parser.add_argument("results", type=Path, help="the folder of JUnit files")
    parser.add_argument("name", nargs="?", help="the step's name; its file is NAME.xml")
    parser.add_argument("command", nargs="*", help="what to run, after --")
    chosen = parser.parse_args(arguments)
    if chosen.action == "total":
        total = tally(chosen.results.rglob("*.xml"))
        for reason, times in total.reasons:
            print(f"skipped {times}: {reason}")
        print(total.line)
        return 0 if total.good else 1
    if not chosen.name or not chosen.command:
        parser.error("a name and a command are needed")
    run = run_step if chosen.action == "step" else run_suite
    run(chosen.results, chosen.name, chosen.command)
    return 0


if __name__ == "__main__":
    sys.exit(main())
