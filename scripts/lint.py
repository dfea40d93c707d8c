"""Lint the RTL with three tools, every module on its own.

Each module under ``rtl/`` is elaborated standalone, with its default parameters and with the sets
of ``scripts/lint_parameters.toml``, by

* Verilator, ``--lint-only -Wall``; waivers in ``scripts/lint.vlt``,
* slang, all warnings but those in ``SLANG_WAIVERS``,
* Yosys (slang front end): hierarchy, processes, ``check -assert``; no waivers.

One line per module, parameter set and tool; exit status 1 if any tool had anything to say.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from toolflow.simulation.rtl_sources import INCLUDE_DIRS, closure, rtl_files  # noqa: E402

SLANG_WAIVERS = {
    "sign-conversion": "same-width ports of packed arrays carry signed words; widths are checked",
    "arith-op-mismatch": "int unsigned parameters meet the integer that $clog2 returns",
    "packed-array-conv": "beats are arrays of words at the ports and flat words in buffers",
    "useless-cast": "whether a cast changes the width depends on the parameters",
    "unused-def": "a module's sources are given as a set; only the top is elaborated",
    "unused-package-parameter": "packages are shared: no module uses all of one",
    "unused-package-subroutine": "packages are shared: no module uses all of one",
    "unused-package-typedef": "packages are shared: no module uses all of one",
    "unused-but-set-variable": "`unused` names mark bits left over on purpose; Verilator checks",
}
"""Slang warnings that are off, each with its reason."""

GENERATED = "rtl/registers/cascade_registers.sv"
"""Slang's warnings are off: PeakRDL makes it, with ports that its bus need not use."""

_SLANG = """
import sys
from pyslang.driver import Driver
driver = Driver()
driver.addStandardArgs()
ok = driver.parseCommandLine("slang " + " ".join(sys.argv[1:])) and driver.processOptions()
ok = ok and driver.parseAllSources()
if ok:
    compilation = driver.createCompilation()
    driver.reportCompilation(compilation, True)
    driver.runAnalysis(compilation)
    ok = driver.reportDiagnostics(True)
sys.exit(not ok)
"""

_YOSYS = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.run_pass(command, design)
"""

_COMPLAINT = re.compile(r"\b(warning|error)s?\b", re.IGNORECASE)
_QUIET_YOSYS = re.compile(r"0 errors, 0 warnings")


@dataclass(frozen=True)
class Target:
    """One elaboration: a module, its source file, and the parameters it gets."""

    module: str
    source: Path
    variant: str
    parameters: dict[str, int] = field(default_factory=dict)

    @property
    def sources(self) -> list[str]:
        """Return the files to read, relative to the repository's root."""
        return [str(path.relative_to(ROOT)) for path in closure([self.source])]


def targets() -> Iterator[Target]:
    """Yield every module with every parameter set.

    Raises:
        ValueError: the parameter file names a module that does not exist.
    """
    sets = tomllib.loads((ROOT / "scripts" / "lint_parameters.toml").read_text())
    modules = {
        name: path
        for name, path in rtl_files().items()
        if re.search(rf"^\s*module\s+{name}\b", path.read_text(), re.MULTILINE)
    }
    if unknown := sets.keys() - modules.keys():
        raise ValueError(f"lint_parameters.toml names no module of ours: {sorted(unknown)}")
    for name, path in modules.items():
        yield Target(name, path, "default")
        for variant, parameters in sets.get(name, {}).items():
            yield Target(name, path, variant, parameters)


def verilator(target: Target) -> str:
    """Return what Verilator complains about."""
    root = subprocess.run(
        [str(ROOT / "scripts" / "verilator_root.sh"), str(Path(sys.executable).parents[1])],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        return _complaints(
            [
                f"{root}/bin/verilator",
                *("--lint-only", "-Wall", "--assert", "--quiet", "--Mdir", folder),
                *(f"-I{path.relative_to(ROOT)}" for path in INCLUDE_DIRS),
                *(f"-G{name}={value}" for name, value in target.parameters.items()),
                *("--top-module", target.module, "scripts/lint.vlt"),
                *target.sources,
            ]
        )


def slang(target: Target) -> str:
    """Return what slang complains about."""
    return _complaints(
        [
            *(sys.executable, "-c", _SLANG, "--top", target.module, "-Weverything"),
            *(f"-Wno-{name}" for name in SLANG_WAIVERS),
            *("--suppress-warnings", GENERATED),
            *(word for path in INCLUDE_DIRS for word in ("-I", str(path.relative_to(ROOT)))),
            *(
                word
                for item in target.parameters.items()
                for word in ("-G", "=".join(map(str, item)))
            ),
            *target.sources,
        ]
    )


def yosys(target: Target) -> str:
    """Return what Yosys complains about."""
    include = " ".join(f"-I {path.relative_to(ROOT)}" for path in INCLUDE_DIRS)
    override = " ".join(f"-G {name}={value}" for name, value in target.parameters.items())
    read = f"read_slang -D SYNTHESIS {include} {override} --top {target.module}"
    return _complaints(
        [
            *(sys.executable, "-c", _YOSYS),
            f"{read} {' '.join(target.sources)}",
            f"hierarchy -check -top {target.module}",
            "proc",
            "check -assert",
        ]
    )


def _complaints(command: list[str]) -> str:
    """Run a tool; return its lines with warnings or errors, or all of it if it failed silently."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    bad = [line for line in lines if _COMPLAINT.search(line) and not _QUIET_YOSYS.search(line)]
    # Yosys repeats the command it runs, and file names there may hold either word.
    bad = [line for line in bad if not line.startswith("-- Running command")]
    if done.returncode and not bad:
        bad = [f"exit status {done.returncode}", *lines[-5:]]
    return "\n".join(bad)


TOOLS: dict[str, Callable[[Target], str]] = {
    "verilator": verilator,
    "slang": slang,
    "yosys": yosys,
}


def main() -> int:
    """Run the tools; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="only these modules (default: all)")
    chosen = set(parser.parse_args().modules)
    everything = [t for t in targets() if not chosen or t.module in chosen]
    if missing := chosen - {t.module for t in everything}:
        parser.error(f"no such module: {', '.join(sorted(missing))}")
    passed = failed = 0
    for target in everything:
        for name, tool in TOOLS.items():
            complaints = tool(target)
            print(f"{'FAIL' if complaints else 'ok':4} {name:9} {target.module} {target.variant}")
            if complaints:
                print(complaints)
            failed += bool(complaints)
            passed += not complaints
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
