"""The child process: loads one system and measures the configurations it is told, one by one.

Started by `runner` as `python -m perfport.measure.runner.child READ_FD WRITE_FD`. The conversation is JSON
lines (`channel`) over those two pipes:

    runner -> child   job (system, settings, workload, protocol, actuator levels)
    child  -> runner  {"event": "ready", ...}                       or {"event": "refused", "reason": ...}
    runner -> child   {"configuration": ..., "seed": ..., ...}      for each configuration
    child  -> runner  {"event": "stage", "stage": "open"} ...       so that a crash can be placed
    child  -> runner  {"event": "run", "last_s": ...} ...           before each timed run that is long
    child  -> runner  {"event": "window"}; waits for {"go": true}   when meters outside are read
    child  -> runner  {"event": "window_end", "inputs": n, "seconds": s}
    child  -> runner  {"event": "outcome", ...}

It starts light: no pandas, no scikit-learn, only what the system needs. Only this module is not
importable on Windows, where `ChildProcess` refuses to start it.
"""

import ctypes
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from perfport.errors import PerfError
from perfport.measure.actuators import Journal, actuators_for, applied
from perfport.measure.base import Outcome, Session, System
from perfport.measure.protocol import Protocol
from perfport.measure.runner.channel import LineBuffer, receive, send
from perfport.measure.runner.modules import modules_beside
from perfport.measure.runner.session import Hooks, measure_in_session

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_OOM_SCORE = "500"  # of 1000: before programs that use as much memory, after what asks to be ended first


class _Conversation:
    """The child's side of the two pipes."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        for fd in (read_fd, write_fd):
            # Programs the system starts must not hold the pipes open after this process.
            os.set_inheritable(fd, False)
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._buffer = LineBuffer()
        self._pid = os.getpid()

    def receive(self) -> dict[str, Any] | None:
        return receive(self._read_fd, self._buffer)

    def send(self, event: str, **fields: object) -> None:
        if os.getpid() != self._pid:
            # A copy made by a system that forks: two must not speak over one pipe.
            os._exit(1)
        send(self._write_fd, {"event": event, **fields})


def main(read_fd: int, write_fd: int) -> int:
    """Serve configurations until the runner closes the pipe; return the exit code."""
    conversation = _Conversation(read_fd, write_fd)
    job = conversation.receive()
    if job is None:
        return 0
    parent = int(job["parent"])
    _die_with_parent()
    _leave_if_orphaned(parent)
    _be_killed_first()
    sys.path += [entry for entry in job["sys_path"] if entry not in sys.path]
    levels = job["actuators"]
    try:
        with applied(actuators_for(levels), levels, journal=Journal()) as back:
            _limit_memory(job["protocol"]["memory_limit_bytes"])
            with modules_beside(job["folder"]):
                system = _make_system(job["system"], job["settings"])
            conversation.send("ready", actuators=back)
            _serve(conversation, job, system, parent)
    except PerfError as error:
        conversation.send("refused", kind=type(error).__name__, reason=error.message)
        return error.exit_code
    return 0


def _serve(conversation: _Conversation, job: dict[str, Any], system: System, parent: int) -> None:
    protocol = Protocol.model_validate(job["protocol"])
    while (request := conversation.receive()) is not None:
        hooks = Hooks(
            stage=lambda stage: conversation.send("stage", stage=stage),
            run=lambda last_s, inputs: conversation.send("run", last_s=last_s, inputs=inputs),
            check_alive=lambda: _leave_if_orphaned(parent),
            window=_window(conversation, request["window_s"], parent),
        )
        affinity = os.sched_getaffinity(0) if sys.platform == "linux" else None
        outcome = measure_in_session(
            system,
            request["configuration"],
            job["workload"],
            protocol=protocol,
            seed=request["seed"],
            reference=Path(request["reference"]) if request["reference"] else None,
            hooks=hooks,
        )
        if sys.platform == "linux" and affinity is not None:
            # Runtimes that pin threads may leave the main thread pinned (OpenVINO does); the next
            # configuration would inherit it.
            os.sched_setaffinity(0, affinity)
        conversation.send("outcome", **_as_json(outcome))


def _window(conversation: _Conversation, window_s: float, parent: int) -> Any:
    def run_on(session: Session) -> None:
        if window_s <= 0:
            return
        conversation.send("window")
        if conversation.receive() is None:
            raise SystemExit(0)
        begin = time.perf_counter()
        inputs = 0
        while (seconds := time.perf_counter() - begin) < window_s:
            _leave_if_orphaned(parent)
            session.run_once()
            inputs += session.inputs_per_run
        conversation.send("window_end", inputs=inputs, seconds=seconds)

    return run_on


def _make_system(reference: str, settings: dict[str, Any]) -> System:
    module, _, attribute = reference.partition(":")
    system: System = getattr(import_module(module), attribute)(**settings)
    return system


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "status": str(outcome.status),
        "reason": outcome.reason,
        "repetitions": {name: values.tolist() for name, values in outcome.repetitions.items()},
        "conditions": outcome.conditions,
    }


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when the runner dies, or nothing would end a hanging system."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _be_killed_first() -> None:
    """Tell the kernel whom to end when memory runs out: the system that took it, not the runner."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)


def _leave_if_orphaned(parent: int) -> None:
    """End this process, at once, if it is not the runner's own child.

    That is so when the runner was killed (where the kernel does not tell us), and in a copy made
    by a system that forks, which would go on measuring beside us.
    """
    if os.getppid() != parent:
        os._exit(1)


def _limit_memory(limit_bytes: int | None) -> None:
    if limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
