"""When timed runs may be real-time, and that bursts end."""

import os
import resource
import subprocess
import sys

import pytest

from perfport.measure.machine import scheduling
from perfport.measure.machine.scheduling import LONGEST_BURST_S, busy_threads, scheduling_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="real-time bursts exist on Linux only")


@pytest.mark.parametrize(
    ("wanted", "run_s", "n_busy", "elsewhere", "reason"),
    [
        ("plain", 0.001, 1, False, "the protocol asks for it"),
        ("auto", 2 * LONGEST_BURST_S, 1, False, "longer than a burst"),
        ("auto", 0.001, 1000, False, "1000 busy threads share"),
        ("auto", 0.001, 1, True, "other processes do the work"),
    ],
)
def test_what_would_be_measured_differently_is_scheduled_plainly(
    wanted: str, run_s: float, n_busy: int, elsewhere: bool, reason: str
) -> None:
    found = scheduling_for(wanted, run_s=run_s, n_busy=n_busy, works_elsewhere=elsewhere)
    assert not found.in_bursts
    assert reason in found.reason


def test_real_time_threads_must_not_escape_a_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "cpu_quota", lambda: 0.5)
    found = scheduling_for("auto", run_s=0.001, n_busy=1, works_elsewhere=False)
    assert "quota" in found.reason


def test_a_machine_that_does_not_allow_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(scheduling, "cpu_quota", lambda: None)
    found = scheduling_for("auto", run_s=0.001, n_busy=1, works_elsewhere=False)
    assert found == scheduling.Scheduling(False, "not allowed: Operation not permitted")


def test_threads_that_want_a_processor_are_busy() -> None:
    before = {1: (1.0, 0.0), 2: (5.0, 5.0)}
    after = {1: (1.5, 0.3), 2: (5.01, 5.0), 3: (0.2, 0.0)}
    assert busy_threads(before, after, 1.0) == 2


SCRIPT = """
import os, resource, threading, time
from perfport.measure.machine.scheduling import Bursts, scheduling_for
if not scheduling_for("auto", run_s=0.001, n_busy=1, works_elsewhere=False).in_bursts:
    print("not allowed"); raise SystemExit
idle = threading.Thread(target=time.sleep, args=(0.5,)); idle.start()
bursts = Bursts(0.0, 0.001)
real_time = [os.sched_getscheduler(int(t)) & ~os.SCHED_RESET_ON_FORK for t in os.listdir("/proc/self/task")]
resource.setrlimit(resource.RLIMIT_RTTIME, ({limit_us}, -1))
end = time.perf_counter() + 0.6
while time.perf_counter() < end:
    {between}
bursts.close()
idle.join()
print(real_time == [os.SCHED_RR] * 2, os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_OTHER)
"""


def run(limit_us: int, between: str) -> "subprocess.CompletedProcess[str]":
    script = SCRIPT.format(limit_us=limit_us, between=between)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def test_bursts_raise_all_threads_end_and_never_meet_the_limit_for_hanging() -> None:
    # More real-time in all than the limit allows without a pause.
    done = run(400_000, "bursts.before_run()")
    assert done.stdout.split("\n")[0] in ("True True", "not allowed"), done.stderr


def test_a_run_that_hangs_under_real_time_scheduling_is_ended_by_the_kernel() -> None:
    done = run(200_000, "pass")
    assert done.returncode == -24 or "not allowed" in done.stdout  # SIGXCPU
    assert resource.getrlimit(resource.RLIMIT_RTTIME)  # of this process, untouched
