"""Whose something is: a mark of the process it belongs to, which tells later whether that process still lives."""

import os
from pathlib import Path

__all__ = ["is_abandoned", "mark_of_this_process", "started_at"]


def mark_of_this_process() -> str:
    """Return the mark of what this process owns: its number, when it was started, where numbers hold."""
    return f"{os.getpid()}:{started_at(os.getpid())}:{_namespace()}"


def is_abandoned(mark: str) -> bool:
    """Return whether the owner named by a mark is gone; never where that cannot be told.

    Args:
        mark: `mark_of_this_process()` of the owner, and whatever was added to it behind a colon.
    """
    pid, started, namespace, *_ = [*mark.split(":"), "", "", ""]
    # Another container's processes may be in sight, with numbers that mean others here.
    return pid.isdigit() and namespace == _namespace() and started_at(int(pid)) != started


def started_at(pid: int) -> str:
    """Return when a process was started, in clock ticks since boot; "" if it has ended, or none is known here."""
    try:
        # The name, in brackets, may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    # Field 3 is the state, field 22 the start time: man 5 proc_pid_stat. A zombie does nothing any more.
    return "" if fields[0] in "ZX" else fields[19]


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        return ""
