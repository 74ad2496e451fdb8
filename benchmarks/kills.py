"""`kill -9` at random moments: of the runner, of the child it measures in, and of all processes at once.

    python benchmarks/kills.py                # 200 kills, about 5 minutes
    python benchmarks/kills.py --kills 30

A campaign on the planted system is started again after every kill until all are done. What the runner held to be
stored is written to a ledger; lost is what the ledger has and the store has not, repeated is what was measured
twice. At the end the campaign is finished and every measurement it asks for must be there, once.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from perfport.data.store import Store
from perfport.measure.campaign import Campaign, plan_campaign, run_campaign

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.nursery import Key, Nursery

CAMPAIGN = """
name: killed
environments:
- {name: virtual, system: synthetic, settings: {seed: 1, n_options: 8}}
- {name: real, system: synthetic, settings: {seed: 2, n_options: 8, mode: sleep, base_s: 0.001}}
configurations: 800
replicates: 100
protocol: {budget_s: 0.02, min_time_s: 0.01, warm_up_max_s: 0.01, min_repetitions: 3, max_repetitions: 20}
remeasure: 0
"""
_WHILE_MEASURING = 0.8  # the other lives end at any moment, mostly while they begin
KINDS = ("runner", "child", "all at once")


def main() -> None:
    """Kill, resume, and count what was lost and what was repeated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "campaign.yaml").write_text(CAMPAIGN)
        begin_s = time.monotonic()
        kinds, noted = _kill_again_and_again(folder, given.kills, random.Random(given.seed))  # noqa: S311  # no secret
        with Store.open(folder / "perfport.db") as store:
            stored = {found.key for found in store.read()}
        lost = len(noted.keys() - stored)
        print(f"{given.kills} kills in {time.monotonic() - begin_s:.0f} s, {len(stored)} measurements stored meanwhile")
        for kind in KINDS:
            print(f"  kill -9 of {kind:12} {kinds[kind]:4} times")
        campaign = Campaign.read(folder / "campaign.yaml")
        with Store.open(folder / "perfport.db") as store:
            run_campaign(campaign, store, lease=folder / "device.lock")
            keys = Counter(found.key for found in store.read())
            wanted = {(*task.key[:2], campaign.protocol.key, task.key[2], 0) for task in plan_campaign(campaign).tasks}
    repeated = sum(n > 1 for counts in (noted, keys) for n in counts.values())
    print(f"lost {lost}, repeated {repeated}, missing at the end {len(wanted - keys.keys())} of {len(wanted)}")
    if lost or repeated or wanted - keys.keys():
        sys.exit(1)


def _kill_again_and_again(folder: Path, n: int, rng: random.Random) -> tuple[Counter[str], Counter[Key]]:
    """Return how often what was killed, and how often each key was noted as stored."""
    kinds: Counter[str] = Counter()
    with Nursery(folder) as nursery:
        runner = 0
        while kinds.total() < n:
            if not runner:
                runner = nursery.start()
            if rng.random() < _WHILE_MEASURING:
                nursery.wait_for_a_row()
            time.sleep(rng.uniform(0.0, 0.4))
            children = _children(runner)
            kind = rng.choice(KINDS)
            if kind == "child" and not children:
                kind = "runner"  # it has none yet
            kinds[kind] += 1
            victims = {"runner": [runner], "child": children[:1], "all at once": [runner, *children]}[kind]
            for pid in victims:
                _kill(pid)
            if kind != "child":
                # A runner whose child was killed stores the outcome and goes on by itself.
                nursery.wait()
                runner = 0
        if runner:
            _kill(runner)
            nursery.wait()
    return kinds, Counter(nursery.noted())


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended a moment before


if __name__ == "__main__":
    main()
