"""`kill -9` of the runner at random moments: nothing stored is lost, nothing stored is measured again."""

import os
import random
import signal
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tests.nursery import Key, Nursery

from perfport.data.store import Store
from perfport.measure.campaign import Campaign, run_campaign

N_KILLS = 50
N_MEASUREMENTS = 2 * (110 + 50)

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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends orphaned children on Linux only")
def test_fifty_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN)
    stored, ledger = kill_again_and_again(tmp_path)
    # The kills must have cut a campaign that was going on, not one that had ended.
    assert 0 < len(stored[-1]) < N_MEASUREMENTS
    assert all(earlier <= later for earlier, later in pairwise(stored))
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


def kill_again_and_again(folder: Path) -> tuple[list[set[Key]], list[Key]]:
    """Start the campaign and kill its runner, over and over; return what was stored after each kill, and the ledger."""
    moments = random.Random(0)  # noqa: S311  # when to kill is no secret
    stored = []
    with Nursery(folder) as nursery:
        for kill in range(N_KILLS):
            runner = nursery.start()
            if kill % 2:
                # Every second life is killed while it measures; the others at any moment, mostly while they begin.
                nursery.wait_for_a_row()
            time.sleep(moments.uniform(0.0, 0.4))
            os.kill(runner, signal.SIGKILL)
            nursery.wait()
            with Store.open(folder / "perfport.db") as store:
                stored.append({found.key for found in store.read()})
    return stored, nursery.noted()
