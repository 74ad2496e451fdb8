"""Workers end with whoever started them, however that ends, also in the middle of a task."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from perfport.executors import ProcessExecutor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the tests look into /proc")

SCRIPT = """
import os, signal, sys
from pathlib import Path

from perfport.executors import ProcessExecutor
from perfport.signals import ending_in_order

def work(folder):
    Path(folder, str(os.getpid())).touch()
    while True:
        sum(range(1000))

if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    with ending_in_order():
        list(ProcessExecutor(2).run(work, [sys.argv[1]] * 3))
"""


def work(task: tuple[Path, float]) -> None:
    folder, seconds = task
    (folder / str(os.getpid())).touch()
    time.sleep(seconds)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGHUP, 128 + signal.SIGHUP),
        (signal.SIGINT, -signal.SIGINT),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_workers_end_with_the_process_that_started_them(number: signal.Signals, code: int, tmp_path: Path) -> None:
    script, folder = tmp_path / "script.py", tmp_path / "workers"
    script.write_text(SCRIPT)
    folder.mkdir()
    process = subprocess.Popen([sys.executable, script, folder], stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        workers = begun(folder, 2)
        process.send_signal(number)
        assert process.wait(30) == code
        assert_gone(workers)
    finally:
        with suppress(ProcessLookupError):  # as it should be
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_workers_end_when_nobody_listens_any_more(tmp_path: Path) -> None:
    outcomes = ProcessExecutor(2).run(work, [(tmp_path, 0.0), (tmp_path, 600.0), (tmp_path, 600.0)])
    next(outcomes)
    workers = begun(tmp_path, 1)
    del outcomes
    assert_gone(workers)


def begun(folder: Path, n: int) -> set[int]:
    """Wait until n workers have begun a task, and return all that have."""
    deadline = time.monotonic() + 60
    while len(found := {int(path.stem) for path in folder.iterdir()}) < n and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(found) >= n
    return found


def assert_gone(pids: Iterable[int]) -> None:
    """The kernel takes a moment to end what it was told to end."""
    deadline = time.monotonic() + 20
    while (left := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
