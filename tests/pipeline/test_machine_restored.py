"""A campaign that sets this machine and is killed: `perfport doctor --restore` puts back what was found."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from perfport.measure.actuators.cgroup import CpuQuota
from perfport.measure.actuators.files import read_text
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


def test_after_kill_the_machine_is_put_back_and_the_campaign_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for actuator in (HugePages(), CpuQuota()):
        availability = actuator.availability()
        if isinstance(availability, Absent):
            pytest.skip(availability.reason)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERFPORT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PERFPORT_LEASE_FILE", str(tmp_path / "lock"))
    Path("campaign.yaml").write_text(CAMPAIGN)
    file = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    found = read_text(file)
    runner = subprocess.Popen([sys.executable, "-m", "perfport", "measure", "campaign.yaml"], stderr=subprocess.DEVNULL)
    with runner:
        deadline = time.monotonic() + 60
        entries: dict[str, Entry] = {}
        while set(entries) != {"hugepages", "cpu_quota"} and time.monotonic() < deadline:
            time.sleep(0.01)
            entries = {entry.actuator: entry for entry in Journal().entries()}
        os.kill(runner.pid, signal.SIGKILL)
    group = Path(entries["cpu_quota"].state["group"])
    restored = perfport("doctor", "--restore")
    assert restored["is_restored"]
    assert "cpu_quota" in {entry["actuator"] for entry in restored["entries"]}
    assert read_text(file) == found
    assert not group.exists()
    assert perfport("doctor", "--restore")["entries"] == []
    finished = perfport("measure", "campaign.yaml")
    assert finished["is_finished"]
    assert finished["counts"] == {"ok": finished["n_measured"]}
    assert read_text(file) == found
    assert Journal().entries() == []
