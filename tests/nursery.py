"""Runners of one campaign that are killed and started again, and a ledger of what they held to be stored."""

import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

Key = tuple[str, str, str, int, int]

# Loads everything once, then forks a runner for every line it reads: a life is spent on measuring, not on importing.
_SCRIPT = """
import os, sys
from pathlib import Path
from perfport.data.store import Store
from perfport.measure.campaign import Campaign, run_campaign
import perfport.measure.systems.synthetic
import perfport.space.space

folder = Path(sys.argv[1])
campaign = Campaign.read(folder / "campaign.yaml")
ledger = os.open(folder / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def note(step):
    if step.measurement is not None:
        os.write(ledger, (" ".join(map(str, step.measurement.key)) + "\\n").encode())

def live():
    with Store.open(folder / "perfport.db") as store:
        run_campaign(campaign, store, lease=folder / "device.lock", progress=note)

print("ready", flush=True)
for _ in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        live()
        os._exit(0)
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("ended", flush=True)
"""


class Nursery:
    """Starts runners of `campaign.yaml` in a folder, one at a time; they store in `perfport.db` there."""

    def __init__(self, folder: Path) -> None:
        self._ledger = folder / "ledger"
        command = [sys.executable, "-c", _SCRIPT, str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._expect("ready")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            pass  # the pipes are closed, and it ends with the runner it has
        assert kind is not None or self._process.returncode == 0

    def start(self) -> int:
        """Start a runner and return its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write("live\n")
        self._process.stdin.flush()
        return int(self._line())

    def wait(self) -> None:
        """Wait until the runner has ended."""
        self._expect("ended")

    def wait_for_a_row(self, at_most_s: float = 20.0) -> None:
        """Wait until the runner notes the next measurement in the ledger."""
        size = self._ledger.stat().st_size
        deadline = time.monotonic() + at_most_s
        while self._ledger.stat().st_size == size and time.monotonic() < deadline:
            time.sleep(0.005)

    def noted(self) -> list[Key]:
        """Return the keys in the ledger, in order."""
        rows = [line.split() for line in self._ledger.read_text().splitlines()]
        return [(one, two, three, int(block), int(attempt)) for one, two, three, block, attempt in rows]

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _expect(self, word: str) -> None:
        line = self._line()
        assert line == word, line
