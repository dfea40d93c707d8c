"""Run a cocotb bench on a module built with Verilator (``toolflow.simulation.verilator``)."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock
from xml.etree import ElementTree

import cocotb_tools.config
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from toolflow.simulation import verilator
from toolflow.simulation.rtl_sources import ROOT
from toolflow.simulation.verilator import Build, BuildError, Recipe, digest, tail

FLAGS = (
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
)

MAKE_FLAGS = ("OPT_FAST=-O1",)
"""Measured on a 32 x 32 ``mm_unit``: -O1 builds faster than -Os and runs 1.5 times as fast; -O2 and
-O3 build slower and run no faster."""


class SimulationError(AssertionError):
    """A build or a simulation failed; the message ends with the end of its log."""


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
    library = cocotb_tools.config.libs_dir
    recipe = Recipe(
        main=Path(cocotb_tools.config.share_dir) / "lib" / "verilator" / "verilator.cpp",
        flags=(
            *FLAGS,
            "-LDFLAGS",
            f"-Wl,-rpath,{library} -L{library} -lcocotbvpi_verilator",
            *(f"-D{name}" for name in defines),
        ),
        make_flags=MAKE_FLAGS,
        stamp=str(library),
    )
    try:
        return verilator.build(
            top, parameters, recipe, control_files=control_files, extra_sources=extra_sources
        )
    except BuildError as error:
        raise SimulationError(str(error)) from None


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
    case = digest([test_module, testcase or "", str(seed), repr(sorted(environment.items()))], [])
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
        raise SimulationError(f"{where}: {error}\n{tail(log)}") from None
    tests, failed = get_results(results)
    skipped = len(ElementTree.parse(results).findall(".//skipped"))
    passed = int(tests) - int(failed) - skipped
    if failed or not passed:
        raise SimulationError(f"{where}: {passed} tests passed, {failed} failed\n{tail(log)}")
    return passed
