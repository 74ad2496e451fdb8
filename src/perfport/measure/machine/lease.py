"""The device lease: one campaign at a time measures on a machine.

A lock on a file, which the kernel lifts when the holder ends, however it ends; so there is no stale
lock to clean up after `kill -9`.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perfport.errors import MeasurementError

if sys.platform != "win32":
    import fcntl

__all__ = ["default_lease_path", "device_lease"]

_POLL_S = 0.2


def default_lease_path() -> Path:
    """Return the one lock file of this machine.

    `PERFPORT_LEASE_FILE` names another: containers on one machine, each with a temporary folder of
    its own, must be given one they share.
    """
    named = os.environ.get("PERFPORT_LEASE_FILE")
    return Path(named) if named else Path(tempfile.gettempdir()) / "perfport-device.lock"


@contextmanager
def device_lease(holder: str, *, path: Path | None = None, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the device for the length of the block.

    Args:
        holder: Who measures, for the message another campaign gets.
        path: The lock file; that of this machine if None.
        wait_s: How long to wait for another holder to finish.

    Raises:
        MeasurementError: If another campaign holds it, naming it; or the file cannot be locked.
    """
    path = path or default_lease_path()
    if sys.platform == "win32":  # where nothing is measured in child processes either
        yield
        return
    fd = _open(path)
    try:
        _lock(fd, path, wait_s)
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps({"holder": holder, "pid": os.getpid()}).encode(), 0)
        yield
    finally:
        os.close(fd)


def _open(path: Path) -> int:
    try:
        try:
            # NOTE: without O_CREAT first: in a sticky folder such as /tmp the kernel refuses to
            # "create" a file that another user made (fs.protected_regular).
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            os.fchmod(fd, 0o666)  # every user of the machine shares the device, whatever the umask
            return fd
    except OSError as error:
        raise MeasurementError(f"the lock file {path} cannot be opened ({error.strerror}); check its folder") from error


def _lock(fd: int, path: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise MeasurementError(
                    f"another campaign is measuring on this machine ({_holder(fd)}): wait for it or stop it; "
                    f"two at once would disturb each other",
                    path=str(path),
                ) from None
            time.sleep(_POLL_S)
        else:
            return


def _holder(fd: int) -> str:
    try:
        told = json.loads(os.pread(fd, 4096, 0))
        return f"'{told['holder']}', process {told['pid']}"
    except (ValueError, KeyError, TypeError):
        return "it has not said its name yet"
