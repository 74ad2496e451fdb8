"""What is noted around timed runs, from recorded counters."""

import os
import sys
from pathlib import Path

import pytest

from perfport.measure.machine.watch import Reading, Watch, between, read_machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells what happens; others do not")


def test_shares_follow_from_two_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    before = Reading(10.0, 100.0, 5.0, 1.0, {7: (1.0, 0.0)}, 3, 2, 3.0e9)
    after = Reading(12.0, 104.0, 6.0, 2.5, {7: (2.0, 0.5), 8: (0.5, 0.0)}, 10, 2, 2.4e9)
    assert between(before, after, processors=4) == {
        "others_share": round(2.5 / 8, 4),
        "stolen_share": round(1.0 / 5.0, 4),
        "waited_share": 0.25,
        "involuntary_switches": 7,
        "throttled": 0,
        "clock_hz": 2.4e9,
        "clock_change": -0.2,
    }


def test_what_is_not_told_is_left_out() -> None:
    assert between(Reading(0.0), Reading(1.0), processors=2) == {}


def test_counters_are_read_from_their_files(tmp_path: Path) -> None:
    proc, sysfs = tmp_path / "proc", tmp_path / "sys"
    proc.mkdir()
    (proc / "stat").write_text("cpu  100 10 20 900 5 1 2 30 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    cpu = sysfs / "devices/system/cpu/cpu0"
    for folder, name, text in (
        (cpu / "thermal_throttle", "core_throttle_count", "4\n"),
        (cpu / "cpufreq", "scaling_cur_freq", "1800000\n"),
        (sysfs / "class/thermal/cooling_device0", "type", "thermal-cpufreq-0\n"),
        (sysfs / "class/thermal/cooling_device0", "cur_state", "2\n"),
        (sysfs / "class/thermal/cooling_device1", "type", "fan\n"),
        (sysfs / "class/thermal/cooling_device1", "cur_state", "5\n"),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    found = read_machine(proc, sysfs)
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    assert found.machine_s == pytest.approx(133 * tick_s)
    assert found.stolen_s == pytest.approx(30 * tick_s)
    assert found.throttled == 6  # a fan cools without slowing anything down
    assert found.clock_hz == (1.8e9 if 0 in os.sched_getaffinity(0) else None)


def test_a_watch_notes_how_it_scheduled_and_what_happened() -> None:
    policy = os.sched_getscheduler(0)
    watch = Watch("auto", 0.1)
    watch.begin(0.001)
    watch.before_run()
    watch.end()
    facts = watch.facts()
    assert facts.get("scheduling") == "SCHED_RR in bursts" or facts["scheduling_reason"]
    assert {"others_share", "busy_threads"} <= set(facts)
    # The flag that keeps children from inheriting a policy stays; the policy itself is as before.
    assert os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == policy & ~os.SCHED_RESET_ON_FORK
