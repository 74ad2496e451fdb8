"""The runner's side of one child process: start it, talk with it under a deadline, end it for certain."""

import itertools
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from statistics import median
from typing import Any

from perfport.errors import MeasurementError
from perfport.measure.machine.endings import signal_name
from perfport.measure.machine.owner import mark_of_this_process
from perfport.measure.machine.scratch import SCRATCH, new_scratch
from perfport.measure.runner.channel import LineBuffer, send
from perfport.measure.runner.strays import MARK, end_strays

__all__ = ["ChildLostError", "ChildProcess", "ChildTimedOutError"]

EVENTS = frozenset({"ready", "refused", "stage", "run", "window", "window_end", "outcome"})

_CHUNK_BYTES = 1 << 16
_PRINTED_BYTES = 4096
_POLL_S = 0.05
_NUMBERS = itertools.count()


class ChildLostError(Exception):
    """The child is gone or talks nonsense; the text says how it ended."""


class ChildTimedOutError(Exception):
    """The child did not answer in time; it was killed.

    Attributes:
        at_least_s: Lower bound of what one input takes; None where nothing is known.
    """

    def __init__(self, at_least_s: float | None = None) -> None:
        super().__init__()
        self.at_least_s = at_least_s


class TimedRuns:
    """What the child tells of its timed runs, and so how slow a configuration is at least that times out in them."""

    def __init__(self) -> None:
        self._ended_s: list[float] = []
        self._inputs = 1
        self._begin_s: float | None = None

    def note(self, message: Mapping[str, Any]) -> None:
        """Note that a run begins, and what the last one took."""
        if message["last_s"] is not None:
            self._ended_s.append(float(message["last_s"]))
        self._inputs = int(message["inputs"])
        # Told, read and noted after it has begun: never too long.
        self._begin_s = time.monotonic()

    def at_least_s(self) -> float | None:
        """Return the median over the timed runs, the one that has not ended as long as it has lasted; None without.

        Only timed runs: the first runs of a configuration compile, allocate and fill caches, so one that takes
        long says nothing about the later ones, which are what is measured.
        """
        if self._begin_s is None:
            return None
        return median([*self._ended_s, (time.monotonic() - self._begin_s) / self._inputs])


class ChildProcess:
    """A running `perfport.measure.runner.child`, in a process group of its own.

    Args:
        variables: Environment variables it is started with besides our own; None unsets one.

    Attributes:
        stage: What the child was last heard to begin.
        served: Configurations it was given.
        leaves_traces: Whether it sets what outlives it, and is in the journal.
    """

    def __init__(self, variables: Mapping[str, str | None] | None = None) -> None:
        if sys.platform == "win32":
            raise MeasurementError(
                "measuring in a child process needs POSIX pipes and process groups, which Windows lacks; use WSL, "
                "or measure elsewhere and import the tables"
            )
        self._mark = f"{mark_of_this_process()}:{next(_NUMBERS)}"
        self._scratch = new_scratch()
        child_reads, self._write_fd = os.pipe()
        self._read_fd, child_writes = os.pipe()
        try:
            own = {MARK: self._mark, SCRATCH: str(self._scratch)}
            self._process = _started(child_reads, child_writes, {**(variables or {}), **own})
        except OSError as error:
            shutil.rmtree(self._scratch, ignore_errors=True)
            os.close(self._write_fd)
            os.close(self._read_fd)
            raise MeasurementError(f"no child process can be started: {error.strerror}") from error
        finally:
            os.close(child_reads)
            os.close(child_writes)
        self.stage = "start"
        self.served = 0
        self.leaves_traces = False
        self._ending: str | None = None
        self._runs = TimedRuns()
        self._buffer = LineBuffer()
        self._printed = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._read_fd, selectors.EVENT_READ, "messages")
        assert self._process.stdout is not None  # noqa: S101  # a pipe was asked for
        self._printed_fd = self._process.stdout.fileno()
        os.set_blocking(self._printed_fd, False)
        self._selector.register(self._printed_fd, selectors.EVENT_READ, "printed")
        # NOTE: the end of the message pipe does not tell the end of the child: what it started may
        # hold the pipe open. Linux tells by a file descriptor; elsewhere we look now and then.
        self._exit_fd = os.pidfd_open(self._process.pid) if hasattr(os, "pidfd_open") else None
        if self._exit_fd is not None:
            self._selector.register(self._exit_fd, selectors.EVENT_READ, "exit")

    @property
    def pid(self) -> int:
        """Process and process group number of the child."""
        return self._process.pid

    @property
    def was_killed(self) -> bool:
        """Whether it was ended by SIGKILL, and not by us."""
        return (self._ending or "").startswith("was killed")

    @property
    def printed(self) -> str:
        """The end of what the child printed on standard output and error."""
        if self._ending is None:
            self._read_printed()
        return self._printed.decode(errors="replace").strip()

    def send(self, message: dict[str, Any]) -> None:
        """Tell the child something; a child that is gone is noticed by the next `receive`."""
        with suppress(BrokenPipeError):
            send(self._write_fd, message)

    def receive(self, deadline: float) -> dict[str, Any]:
        """Return the next message that tells neither of a stage nor of a run.

        Args:
            deadline: On the monotonic clock.

        Raises:
            ChildLostError: If the child ended or sent no message but something else; it is closed.
            ChildTimedOutError: If the deadline passed; the child is killed.
        """
        while True:
            try:
                message = self._buffer.next_message()
                if message is None:
                    self._wait(deadline)
                    continue
                if message.get("event") not in EVENTS:
                    raise ValueError(f"{str(message)[:80]!r} where a message was expected")
            except ValueError as error:
                self.close()
                raise ChildLostError(f"the child's pipe carried {error}: the system wrote to foreign files") from error
            if message["event"] == "run":
                self._runs.note(message)
            elif message["event"] == "stage":
                self.stage = str(message.get("stage"))
                self._runs = TimedRuns()
            else:
                return message

    def _wait(self, deadline: float) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            # What has come and was not read yet may say that the run has ended.
            is_all_read = all(key.data != "messages" for key, _ in self._selector.select(0))
            at_least_s = self._runs.at_least_s() if is_all_read else None
            self.close()
            raise ChildTimedOutError(at_least_s)
        timeout_s = left_s if self._exit_fd is not None else min(left_s, _POLL_S)
        ready = {key.data for key, _ in self._selector.select(timeout_s)}
        if "printed" in ready:
            self._read_printed()
        if "messages" in ready:
            data = os.read(self._read_fd, _CHUNK_BYTES)
            self._buffer.feed(data)
            if data:
                return
        # The last messages come before the news of the end, so they are read first.
        if "messages" in ready or "exit" in ready or (self._exit_fd is None and self._has_ended(0)):
            # The pipe closes a moment before the exit code is there.
            raise ChildLostError(f"the child {self.close(patience_s=1.0)}")

    def _read_printed(self) -> None:
        # One chunk at a time: a child that prints without end must not keep us from its deadline.
        try:
            data = os.read(self._printed_fd, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if not data and self._printed_fd in self._selector.get_map():
            # The end of the pipe would be reported again and again.
            self._selector.unregister(self._printed_fd)
        self._printed = (self._printed + data)[-_PRINTED_BYTES:]

    def close(self, *, patience_s: float = 0.0) -> str:
        """End the child and everything it started; return how the child ended. May be called twice; raises nothing.

        Args:
            patience_s: How long to wait for an end of its own before it is killed.
        """
        if self._ending is not None:
            return self._ending
        ended_itself = self._has_ended(patience_s)
        with suppress(ProcessLookupError, PermissionError):
            # Also when the child has ended: the programs it started are of the same group.
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        # Before anything is closed: what failed half-way must not close a descriptor twice, by then another's.
        self._ending = _ending(code) if ended_itself else "was ended by the runner"
        # And what left the group, a server that made a session of its own.
        end_strays(self._mark)
        # Nobody is left to write there, or to remove what a child that was killed has left.
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._read_printed()
        self._selector.close()
        assert self._process.stdout is not None  # noqa: S101  # a pipe was asked for
        self._process.stdout.close()
        for fd in (self._write_fd, self._read_fd, self._exit_fd):
            if fd is not None:
                os.close(fd)
        return self._ending

    def _has_ended(self, patience_s: float) -> bool:
        """Whether the child ended by itself. Leaves it unreaped where possible, so that its number stays taken."""
        deadline = time.monotonic() + patience_s
        while True:
            if sys.platform == "linux":
                ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
            else:
                ended = self._process.poll() is not None
            if ended or time.monotonic() >= deadline:
                return ended
            time.sleep(0.005)


def _started(reads: int, writes: int, variables: Mapping[str, str | None]) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, **variables}
    # A group of its own: Ctrl-C in the terminal reaches the runner only, and whatever the system
    # starts can be ended with it.
    return subprocess.Popen(  # noqa: S603  # our own interpreter and module
        [sys.executable, "-m", "perfport.measure.runner.child", str(reads), str(writes)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(reads, writes),
        env={name: value for name, value in environment.items() if value is not None},
        start_new_session=True,
    )


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended by itself with exit code {code}"
    name = signal_name(-code)
    if name == "SIGXCPU":
        return f"was ended by {name}: it ran on without a pause for longer than real-time scheduling allows"
    if -code == signal.SIGKILL:
        return f"was killed by {name}, most likely by the kernel because memory ran out"
    return f"crashed with {name}"
