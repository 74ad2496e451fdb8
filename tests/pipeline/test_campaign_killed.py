"""`kill -9` of the runner at random moments: nothing stored is lost, nothing stored is measured again."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from perfport.data.store import Store
from perfport.measure.campaign import Campaign, run_campaign

N_KILLS = 50
N_MEASUREMENTS = 2 * (110 + 50)
Key = tuple[str, str, str, int, int]

CAMPAIGN = """
name: killed
environments:
- {name: virtual, system: synthetic, settings: {seed: 1, n_options: 6}}
- {name: real, system: synthetic, settings: {seed: 2, n_options: 6, mode: sleep, base_s: 0.001}}
configurations: 110
replicates: 50
sentinel_every: 0
remeasure: 0
protocol: {budget_s: 0.02, min_time_s: 0.01, warm_up_max_s: 0.01, min_repetitions: 3, max_repetitions: 20}
"""

# Loads everything once, then forks a runner for every line it reads: a life is spent on
# measuring, not on importing. The ledger says what the runner held to be stored.
NURSERY = """
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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends orphaned children on Linux only")
def test_fifty_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN)
    stored = kill_again_and_again(tmp_path)
    # The kills must have cut a campaign that was going on, not one that had ended.
    assert 0 < len(stored[-1]) < N_MEASUREMENTS
    assert all(earlier <= later for earlier, later in pairwise(stored))
    ledger = [read_key(line) for line in (tmp_path / "ledger").read_text().splitlines()]
    lost = set(ledger) - stored[-1]
    repeated = [key for key, n in Counter(ledger).items() if n > 1]
    assert (len(lost), len(repeated)) == (0, 0)

    campaign = Campaign.read(tmp_path / "campaign.yaml")
    with Store.open(tmp_path / "perfport.db") as store, Store.open(tmp_path / "whole.db") as whole:
        assert run_campaign(campaign, store, lease=tmp_path / "device.lock").is_finished
        assert run_campaign(campaign, whole, lease=tmp_path / "device.lock").is_finished
        found = {measurement.key: measurement for measurement in store.read()}
        expected = {measurement.key: measurement for measurement in whole.read()}
        assert len(store.read()) == N_MEASUREMENTS
    assert found.keys() == expected.keys()
    # In virtual time the numbers themselves must be those of a run that nobody disturbed.
    virtual = [key for key in expected if expected[key].environment.name == "virtual"]
    assert len(virtual) == N_MEASUREMENTS // 2
    for key in virtual:
        here, there = (made[key].repetitions["inference_time_s"] for made in (found, expected))
        np.testing.assert_array_equal(here, there)


def kill_again_and_again(folder: Path) -> list[set[Key]]:
    """Start the campaign and kill its runner, over and over; return what was stored after each kill."""
    moments = random.Random(0)  # noqa: S311  # when to kill is no secret
    stored = []
    command = [sys.executable, "-c", NURSERY, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        assert nursery.stdout.readline() == "ready\n"
        for kill in range(N_KILLS):
            nursery.stdin.write("live\n")
            nursery.stdin.flush()
            pid = int(nursery.stdout.readline())
            if kill % 2:
                # Every second life is killed while it measures; the others at any moment, mostly while they begin.
                wait_for_growth(folder / "ledger")
            time.sleep(moments.uniform(0.0, 0.4))
            os.kill(pid, signal.SIGKILL)
            assert nursery.stdout.readline() == "ended\n"
            with Store.open(folder / "perfport.db") as store:
                stored.append({found.key for found in store.read()})
    assert nursery.returncode == 0
    return stored


def wait_for_growth(path: Path) -> None:
    size = path.stat().st_size
    deadline = time.monotonic() + 20
    while path.stat().st_size == size and time.monotonic() < deadline:
        time.sleep(0.005)


def read_key(line: str) -> Key:
    fingerprint, configuration, protocol, block, attempt = line.split()
    return fingerprint, configuration, protocol, int(block), int(attempt)
