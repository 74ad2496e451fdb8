"""A campaign that sets this machine and is killed: `perfport doctor --restore` puts back what was found."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perfport.measure.actuators.cgroup import CpuQuota
from perfport.measure.actuators.journal import Entry, Journal
from perfport.measure.actuators.memory import HugePages
from perfport.measure.base import Absent

pytestmark = pytest.mark.slow

CAMPAIGN = """\
name: knobs
environments:
- name: here
  system: synthetic
  settings: {n_options: 2, mode: sleep, base_s: 0.002}
  options: {transparent_hugepages: [never, always], cpu_quota: [0.5, 1]}
configurations: 8
meters: []
sentinel_every: 0
remeasure: 0
protocol: {budget_s: 0.4, min_time_s: 0.3, warm_up_max_s: 0.05}
"""


def perfport(*arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "perfport", *arguments, "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[bytes]"]:
    """A campaign under way, with huge pages and a quota set."""
    for actuator in (HugePages(), CpuQuota()):
        availability = actuator.availability()
        if isinstance(availability, Absent):
            pytest.skip(availability.reason)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERFPORT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PERFPORT_LEASE_FILE", str(tmp_path / "lock"))
    Path("campaign.yaml").write_text(CAMPAIGN)
    with subprocess.Popen(
        [sys.executable, "-m", "perfport", "measure", "campaign.yaml"], stderr=subprocess.DEVNULL
    ) as process:
        yield process
        process.kill()


def stopped_when_set(runner: "subprocess.Popen[bytes]") -> Path:
    """Stop the runner while huge pages and a quota are set; return the control group of the child."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if set_by_runner().keys() == {"hugepages", "cpu_quota"}:
            runner.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, runner.pid, os.WSTOPPED | os.WNOWAIT)
            # The measurement may have ended before the signal came: looked at again, now that it stands still.
            entries = set_by_runner()
            if entries.keys() == {"hugepages", "cpu_quota"}:
                return Path(entries["cpu_quota"].state["group"])
            runner.send_signal(signal.SIGCONT)
        time.sleep(0.01)
    raise AssertionError("nothing was set within a minute")


def set_by_runner() -> dict[str, Entry]:
    return {entry.actuator: entry for entry in Journal().entries()}


def test_after_kill_the_machine_is_put_back_and_the_campaign_goes_on(runner: "subprocess.Popen[bytes]") -> None:
    found = HugePages().options[0].default
    group = stopped_when_set(runner)
    runner.kill()
    runner.wait()
    restored = perfport("doctor", "--restore")
    assert restored["is_restored"]
    assert "cpu_quota" in {entry["actuator"] for entry in restored["entries"]}
    assert HugePages().read() == {"transparent_hugepages": found}
    assert not group.exists()
    assert perfport("doctor", "--restore")["entries"] == []
    finished = perfport("measure", "campaign.yaml")
    assert finished["is_finished"]
    assert finished["counts"] == {"ok": finished["n_measured"]}
    assert HugePages().read() == {"transparent_hugepages": found}
    assert Journal().entries() == []


def test_a_request_to_end_restores_before_it_ends(runner: "subprocess.Popen[bytes]") -> None:
    group = stopped_when_set(runner)
    runner.terminate()
    runner.send_signal(signal.SIGCONT)
    assert runner.wait(60) == 128 + signal.SIGTERM
    assert Journal().entries() == []
    assert not group.exists()
