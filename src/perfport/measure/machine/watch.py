"""What happens on the machine while a configuration is timed: who else runs, waits, throttles, changes clocks.

Read before and after the timed runs, never during them. What a system does not tell is left out, and
then nothing is held against the measurement for it.
"""

import os
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from perfport.measure.machine.scheduling import Bursts, Scheduling, busy_threads, scheduling_for, thread_times_s
from perfport.processors import usable_threads

if sys.platform != "win32":
    import resource

__all__ = ["Reading", "Watch", "between", "read_machine"]

_SYS = Path("/sys")
_PROC = Path("/proc")
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters of the machine and of this process at one moment; None or empty where not told.

    Attributes:
        at_s: Monotonic clock.
        machine_s: Processor time of everybody since boot, what the hypervisor took left out.
        stolen_s: Processor time the hypervisor gave to others since boot.
        own_s: Processor time of this process and what it started.
        threads_s: Thread -> (time it ran, time it waited for a processor).
        switches: How often this process was interrupted in favour of another.
        throttled: How often a processor was slowed down because of heat or power.
        clock_hz: Highest present clock of the processors that may be used.
    """

    at_s: float
    machine_s: float | None = None
    stolen_s: float | None = None
    own_s: float = 0.0
    threads_s: dict[int, tuple[float, float]] = field(default_factory=dict)
    switches: int | None = None
    throttled: int | None = None
    clock_hz: float | None = None


class Watch:
    """Watches over the timed runs of one configuration: schedules them, and notes what disturbs them.

    A `timing.Pacer`. Made before warm-up, which tells it how many threads are busy.

    Args:
        scheduling: The protocol's: "auto" or "plain".
        budget_s: Longest time the timed runs take.
    """

    def __init__(self, scheduling: str, budget_s: float) -> None:
        self._wanted = scheduling
        self._budget_s = budget_s
        self._before_warm_up = thread_times_s()
        self._warm_up_at_s = time.perf_counter()
        self._bursts: Bursts | None = None
        self._facts: dict[str, object] = {}

    def begin(self, run_s: float) -> None:
        """Decide how the timed runs are scheduled, and begin to watch."""
        elapsed_s = time.perf_counter() - self._warm_up_at_s
        n_busy = busy_threads(self._before_warm_up, thread_times_s(), elapsed_s)
        chosen = scheduling_for(
            self._wanted, run_s=run_s, n_busy=n_busy, works_elsewhere=bool(_descendants(os.getpid()))
        )
        self._facts = {"busy_threads": n_busy, **_scheduling_facts(chosen)}
        if n_busy > usable_threads():
            # Its threads wait for each other, which is how it performs, not interference.
            self._facts["crowded"] = True
        self._before = read_machine()
        self._bursts = Bursts(self._budget_s, run_s) if chosen.in_bursts else None

    def before_run(self) -> None:
        """Leave the processors to others now and then, if others cannot take them."""
        if self._bursts is not None:
            self._bursts.before_run()

    def end(self) -> None:
        """Schedule as before, and note what has happened since `begin`."""
        if self._bursts is not None:
            self._bursts.close()
        self._facts |= between(self._before, read_machine(), processors=usable_threads())

    def facts(self) -> dict[str, object]:
        """Return what was noted, as plain JSON data."""
        return self._facts


def between(before: Reading, after: Reading, *, processors: int) -> dict[str, object]:
    """Return what happened between two readings.

    Args:
        before: The first.
        after: The second.
        processors: How many the process may use.

    Returns:
        `others_share` (processor time of other programs, of all there was), `stolen_share` (taken by the
        hypervisor, of what was wanted), `waited_share` (time threads were ready but had no processor, of the
        time they were ready or ran), `involuntary_switches`, `throttled` (events), `clock_hz` and
        `clock_change` (its relative change); each only where it is told.
    """
    facts: dict[str, object] = {}
    wall_s = max(after.at_s - before.at_s, 1e-9)
    if before.machine_s is not None and after.machine_s is not None:
        machine_s = after.machine_s - before.machine_s
        others_s = max(0.0, machine_s - (after.own_s - before.own_s))
        # The kernel counts in ticks of ten milliseconds: a few of them too many are nobody's.
        facts["others_share"] = round(min(1.0, others_s / (wall_s * (os.cpu_count() or processors))), _DIGITS)
        if before.stolen_s is not None and after.stolen_s is not None:
            stolen_s = after.stolen_s - before.stolen_s
            facts["stolen_share"] = round(stolen_s / max(machine_s + stolen_s, wall_s), _DIGITS)
    if after.threads_s:
        ran_s, waited_s = _gained(before, after)
        facts["waited_share"] = round(waited_s / max(ran_s + waited_s, 0.1 * wall_s), _DIGITS)
    if before.switches is not None and after.switches is not None:
        facts["involuntary_switches"] = after.switches - before.switches
    if before.throttled is not None and after.throttled is not None:
        facts["throttled"] = max(0, after.throttled - before.throttled)
    if before.clock_hz and after.clock_hz:
        facts["clock_hz"] = after.clock_hz
        facts["clock_change"] = round(after.clock_hz / before.clock_hz - 1, _DIGITS)
    return facts


def read_machine(proc: Path = _PROC, sysfs: Path = _SYS) -> Reading:
    """Read all counters now.

    Args:
        proc: Root of the proc file system; a recorded tree in tests.
        sysfs: Root of the sysfs tree.
    """
    machine_s, stolen_s = _machine_s(proc)
    return Reading(
        time.perf_counter(),
        machine_s,
        stolen_s,
        _own_s(proc),
        thread_times_s(),
        resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if sys.platform != "win32" else None,
        _throttled(sysfs),
        _clock_hz(sysfs),
    )


def _scheduling_facts(chosen: Scheduling) -> dict[str, object]:
    if chosen.in_bursts:
        return {"scheduling": "SCHED_RR in bursts"}
    return {"scheduling_reason": chosen.reason}


def _gained(before: Reading, after: Reading) -> tuple[float, float]:
    gains = [
        [now - then for now, then in zip(times, before.threads_s.get(thread, (0.0, 0.0)), strict=True)]
        for thread, times in after.threads_s.items()
    ]
    return sum(ran for ran, _ in gains), sum(waited for _, waited in gains)


def _machine_s(proc: Path) -> tuple[float | None, float | None]:
    # cpu  user nice system idle iowait irq softirq steal guest guest_nice, in ticks: man 5 proc_stat.
    # Guests are part of user and nice.
    fields = _text(proc / "stat").partition("\n")[0].split()
    if len(fields) < 9 or fields[0] != "cpu":
        return None, None
    user, nice, system, _, _, irq, softirq, stolen = (int(field) for field in fields[1:9])
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) * tick_s, stolen * tick_s


def _own_s(proc: Path) -> float:
    times = os.times()
    own_s = times.user + times.system + times.children_user + times.children_system
    return own_s + sum(_process_s(proc, pid) for pid in _descendants(os.getpid(), proc))


def _process_s(proc: Path, pid: int) -> float:
    # Fields 14 and 15 (utime, stime); the second, a name, may hold spaces and is closed by the last bracket.
    fields = _text(proc / str(pid) / "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if len(fields) > 12 else 0.0


def _descendants(pid: int, proc: Path = _PROC) -> list[int]:
    """Return the processes this one started, and those they started."""
    children = [int(child) for task in _tasks(proc, pid) for child in _text(task / "children").split()]
    return children + [grandchild for child in children for grandchild in _descendants(child, proc)]


def _tasks(proc: Path, pid: int) -> list[Path]:
    try:
        return list((proc / str(pid) / "task").iterdir())
    except OSError:
        return []


@cache
def _throttle_files(sysfs: Path) -> tuple[Path, ...]:
    # Counters of Intel processors, and the states of what cools a processor by slowing it down
    # (thermal-cpufreq-0 on ARM boards): Documentation/driver-api/thermal/cpu-cooling-api.rst.
    counters = sysfs.glob("devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count")
    cooling = sysfs.glob("class/thermal/cooling_device*")
    slowing = [device / "cur_state" for device in cooling if "freq" in _text(device / "type")]
    return (*sorted(counters), *sorted(slowing))


def _throttled(sysfs: Path) -> int | None:
    texts = [_text(path) for path in _throttle_files(sysfs)]
    return sum(int(text) for text in texts if text.isdigit()) if texts else None


def _clock_hz(sysfs: Path) -> float | None:
    if sys.platform != "linux":
        return None
    cpus = (sysfs / f"devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq" for cpu in os.sched_getaffinity(0))
    texts = [_text(path) for path in cpus]
    return max((int(text) * 1e3 for text in texts if text.isdigit()), default=None)  # kHz


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
