"""Write a whole directory or nothing: written aside, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolflow.errors import UserError
from toolflow.plan import PLAN_FILE


def check_target(target: Path, marker: str = PLAN_FILE) -> None:
    """Check early that ``target`` can be written and holds nothing but an older result.

    An older result (a plan) is known by its file ``marker``.

    Raises:
        UserError: it cannot, or the folder is somebody else's.
    """
    if target.exists() and not target.is_dir():
        raise UserError(f"{target}: is a file; give -o a folder to make")
    if target.is_dir() and any(target.iterdir()) and not (target / marker).exists():
        raise UserError(
            f"{target}: is a folder with other files and no {marker}; nothing was written, "
            "give -o a new folder"
        )
    parent = target.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise UserError(f"{parent}: is not a folder, so {target} cannot be made in it")
    try:
        with tempfile.TemporaryDirectory(dir=parent):
            pass
    except OSError as error:
        raise _unwritable(target, error) from error


@contextmanager
def whole_directory(target: Path, marker: str = PLAN_FILE) -> Iterator[Path]:
    """Give a scratch folder that becomes ``target`` when the block ends without an error.

    Raises:
        UserError: the folder cannot be written.
    """
    check_target(target, marker)
    target = target.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        made = scratch / "new"
        made.mkdir()
        try:
            yield made
            if target.exists():
                os.rename(target, scratch / "old")
            os.rename(made, target)
        except OSError as error:
            raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _unwritable(target: Path, error: OSError) -> UserError:
    return UserError(
        f"{target}: cannot be written ({error.strerror or error}); give -o a folder that you may "
        "write to, with space left"
    )


@contextmanager
def whole_files(folder: Path) -> Iterator[Path]:
    """Give a scratch folder whose files replace those of ``folder`` when the block ends well.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new.") as scratch:
            yield Path(scratch)
            for made in Path(scratch).iterdir():
                os.replace(made, folder / made.name)
    except OSError as error:
        raise _unwritable(folder, error) from error
