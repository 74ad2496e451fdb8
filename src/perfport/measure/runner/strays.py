"""Processes that outlive the child that started them, found by a mark they inherit and ended.

A process group does not hold what makes a session of its own (a daemon, a server), and a child that
was killed cannot name what it started. The mark is an environment variable that holds who runs the
child; every process started below it carries the variable, however it was started. Linux only.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from perfport.measure.machine.owner import is_abandoned

__all__ = ["MARK", "end_abandoned", "end_strays"]

MARK = "PERFPORT_RUNNER"
_PROC = Path("/proc")
_ROUNDS = 10  # whoever forks while it is looked for is found in the next round


def end_strays(mark: str) -> int:
    """End every process that carries `mark`, and return how many there were.

    Args:
        mark: `mark_of_this_process()`, with whatever the caller adds to tell its children apart.
    """
    return _end(lambda found: found == mark)


def end_abandoned() -> int:
    """End what children of runners that no longer live have left behind, and return how many there were."""
    return _end(is_abandoned)


def _end(is_meant: Callable[[str], bool]) -> int:
    ended: set[int] = set()
    if sys.platform != "linux":
        return 0
    for _ in range(_ROUNDS):
        found = {pid for pid, mark in _marked() if is_meant(mark)}
        if not found - ended:
            break
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        ended |= found
    return len(ended)


def _marked() -> Iterator[tuple[int, str]]:
    """Yield process and mark of all that carry one; processes of other users cannot be looked into, nor ended."""
    begin = f"{MARK}=".encode()
    for folder in _PROC.iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            variables = (folder / "environ").read_bytes()
        except OSError:
            continue
        for variable in variables.split(b"\0"):
            if variable.startswith(begin):
                yield int(folder.name), variable[len(begin) :].decode(errors="replace")
