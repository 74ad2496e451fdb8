"""Real-time scheduling in short bursts: timed runs that no other program interrupts, on a machine that stays alive.

    plain | SCHED_RR, 0.2 s or one run | asleep, a fifth of that | SCHED_RR ... | plain

The threads of the process are raised, to the lowest real-time priority, and never for longer than a
burst; then everything else has the processors to itself for a while. A limit of the kernel
(RLIMIT_RTTIME) ends a run that hangs under it.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from perfport.measure.machine.probe import cpu_quota
from perfport.processors import usable_threads

if sys.platform != "win32":
    import resource

__all__ = ["LONGEST_BURST_S", "Bursts", "Scheduling", "busy_threads", "scheduling_for", "thread_times_s"]

_BURST_S = 0.2
LONGEST_BURST_S = 0.5  # a longer run is not made real-time: the machine must answer within that
# Others get a sixth of the time. That is more than the kernel would take by itself: it stops real-time
# threads for 50 ms when they have used 950 of 1000 ms.
_PAUSE_SHARE = 0.2
_HANG_S = 5.0  # beyond twice the longest run that is scheduled so, and all bursts of one configuration
_BUSY_SHARE = 0.05
_PRIORITY = 1
_REAL_TIME = os.SCHED_RR if sys.platform == "linux" else -1


@dataclass(frozen=True, slots=True)
class Scheduling:
    """How the timed runs of one configuration are scheduled.

    Attributes:
        in_bursts: Whether in real-time bursts.
        reason: Why not; empty if they are.
    """

    in_bursts: bool
    reason: str = ""


def scheduling_for(wanted: str, *, run_s: float, n_busy: int, works_elsewhere: bool) -> Scheduling:
    """Return how to schedule runs: in bursts wherever that is allowed and measures the same thing.

    Args:
        wanted: "auto" or "plain".
        run_s: What one run takes, in seconds, at best.
        n_busy: Threads of this process that are busy during runs.
        works_elsewhere: Whether other processes do the work.
    """
    obstacles = (
        (wanted == "plain", "the protocol asks for it"),
        (sys.platform != "linux", "there are no real-time bursts on this system"),
        (run_s > LONGEST_BURST_S, f"a run takes {run_s:.2g} s, longer than a burst of {LONGEST_BURST_S:g} s"),
        (works_elsewhere, "other processes do the work"),
        # Real-time threads that share a processor wait for each other's whole time slice (100 ms),
        # plain ones do not: it would not be the same system.
        (n_busy > usable_threads(), f"{n_busy} busy threads share {usable_threads()} processors"),
    )
    reason = next((text for is_so, text in obstacles if is_so), "") or _refusal()
    return Scheduling(not reason, reason)


def _refusal() -> str:
    if cpu_quota() is not None:
        return "real-time threads would escape the processor quota"
    try:
        _set_policy(0, _REAL_TIME)
        _set_policy(0, os.SCHED_OTHER)
    except OSError as error:
        return f"not allowed: {error.strerror}"
    return ""


class Bursts:
    """Raises all threads of this process for a burst at a time; `close` puts them back.

    Args:
        budget_s: Longest time that bursts and pauses go on; beyond it a run hangs.
        run_s: What one run takes; a burst is at least as long.
    """

    def __init__(self, budget_s: float, run_s: float) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
        limit_us = int((_HANG_S + 2 * budget_s) * 1e6)
        resource.setrlimit(resource.RLIMIT_RTTIME, (limit_us if hard < 0 else min(limit_us, hard), hard))
        self._policy = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
        self._burst_s = max(_BURST_S, run_s)
        self._end_s = 0.0
        self._raise()

    def before_run(self) -> None:
        """Leave the processors to others if the burst is over, then begin the next one."""
        if time.perf_counter() < self._end_s:
            return
        _set_policies(self._policy, but_main=True)
        # NOTE: asleep while still real-time: waking up so is what sets the kernel's count for the
        # limit back to zero.
        time.sleep(_PAUSE_SHARE * self._burst_s)
        self._raise()

    def close(self) -> None:
        """Schedule every thread as before."""
        _set_policies(self._policy)

    def _raise(self) -> None:
        _set_policies(_REAL_TIME)
        self._end_s = time.perf_counter() + self._burst_s


def thread_times_s() -> dict[int, tuple[float, float]]:
    """Return thread -> (time it ran, time it was ready but had no processor) so far; empty if not told.

    Source: Documentation/scheduler/sched-stats.rst of the kernel, /proc/<pid>/schedstat.
    """
    found: dict[int, tuple[float, float]] = {}
    for thread in _threads():
        try:
            ran_ns, waited_ns, _ = Path(f"/proc/self/task/{thread}/schedstat").read_text().split()
        except (OSError, ValueError):
            continue
        found[thread] = int(ran_ns) * 1e-9, int(waited_ns) * 1e-9
    return found


def busy_threads(
    before: dict[int, tuple[float, float]], after: dict[int, tuple[float, float]], elapsed_s: float
) -> int:
    """Return how many threads wanted a processor for a notable share of the time between two readings."""
    wanted_s = [sum(times) - sum(before.get(thread, (0.0, 0.0))) for thread, times in after.items()]
    return sum(seconds > _BUSY_SHARE * elapsed_s for seconds in wanted_s)


def _threads() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/task")]  # noqa: PTH208  # names, not paths
    except OSError:
        return []


def _set_policies(policy: int, *, but_main: bool = False) -> None:
    for thread in _threads():
        if but_main and thread == os.getpid():
            continue
        try:
            _set_policy(thread, policy)
        except ProcessLookupError:
            continue  # it ended meanwhile


def _set_policy(thread: int, policy: int) -> None:
    # The flag stays: taking it away needs a right that raising does not, and it keeps what the
    # system starts from being real-time as well.
    priority = _PRIORITY if policy == _REAL_TIME else 0
    os.sched_setscheduler(thread, policy | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
