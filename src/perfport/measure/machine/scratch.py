"""Temporary folders that do not outlive their owner for long, however it ended.

Each is named after the process it belongs to. A runner makes one for itself and one for every child,
removes that of a child when the child has ended or was killed, and the next campaign removes what a
killed runner has left. Whether an owner lives is known on Linux only.
"""

import os
import shutil
import tempfile
from pathlib import Path
from tempfile import TemporaryDirectory

from perfport.measure.machine.owner import is_abandoned, mark_of_this_process

__all__ = ["SCRATCH", "new_scratch", "remove_abandoned", "temporary_folder"]

SCRATCH = "PERFPORT_SCRATCH"  # environment variable that names the folder of a child
_PREFIX = "perfport"


def new_scratch() -> Path:
    """Make a folder that belongs to this process, which removes it."""
    # No colons, which the names of files cannot hold everywhere.
    owner = mark_of_this_process().replace(":", "-")
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}-{owner}-"))


def temporary_folder() -> "TemporaryDirectory[str]":
    """Return a folder for the length of a block, inside that of this child if this is one."""
    return TemporaryDirectory(prefix=f"{_PREFIX}-", dir=os.environ.get(SCRATCH))


def remove_abandoned() -> int:
    """Remove the folders of processes that no longer live, and return how many there were."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}-*-*-*-*"):
        if is_abandoned(folder.name.removeprefix(f"{_PREFIX}-").replace("-", ":")) and _is_ours(folder):
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder, no link to one, and of this user: anybody may make names in a temporary folder."""
    try:
        return folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.geteuid()
    except OSError:  # its owner's next campaign was faster
        return False
