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
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from perfport.data.store import Store
from perfport.measure.campaign import Campaign, plan_campaign, run_campaign

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

# Loads everything once, then forks a runner for every line it reads: a life is spent on measuring.
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
        kinds = _kill_again_and_again(folder, given.kills, random.Random(given.seed))  # noqa: S311  # no secret
        with Store.open(folder / "perfport.db") as store:
            n_killed = len(store.read())
        lost, repeated = _count(folder)
        print(f"{given.kills} kills in {time.monotonic() - begin_s:.0f} s, {n_killed} measurements stored meanwhile")
        for kind in KINDS:
            print(f"  kill -9 of {kind:12} {kinds[kind]:4} times")
        campaign = Campaign.read(folder / "campaign.yaml")
        with Store.open(folder / "perfport.db") as store:
            run_campaign(campaign, store, lease=folder / "device.lock")
            keys = Counter(found.key for found in store.read())
            wanted = {(*task.key[:2], campaign.protocol.key, task.key[2], 0) for task in plan_campaign(campaign).tasks}
    repeated += sum(n > 1 for n in keys.values())
    print(f"lost {lost}, repeated {repeated}, missing at the end {len(wanted - keys.keys())} of {len(wanted)}")
    if lost or repeated or wanted - keys.keys():
        sys.exit(1)


def _kill_again_and_again(folder: Path, n: int, rng: random.Random) -> Counter[str]:
    kinds: Counter[str] = Counter()
    command = [sys.executable, "-c", NURSERY, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:  # noqa: S603
        assert nursery.stdin is not None  # noqa: S101  # a pipe was asked for
        assert nursery.stdout is not None  # noqa: S101
        nursery.stdout.readline()
        runner = 0
        while kinds.total() < n:
            if not runner:
                nursery.stdin.write("live\n")
                nursery.stdin.flush()
                runner = int(nursery.stdout.readline())
            if rng.random() < _WHILE_MEASURING:
                _wait_for_growth(folder / "ledger")
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
                nursery.stdout.readline()
                runner = 0
        if runner:
            _kill(runner)
            nursery.stdout.readline()
    return kinds


def _wait_for_growth(path: Path) -> None:
    size = path.stat().st_size if path.exists() else 0
    deadline = time.monotonic() + 20
    while (path.stat().st_size if path.exists() else 0) == size and time.monotonic() < deadline:
        time.sleep(0.005)


def _count(folder: Path) -> tuple[int, int]:
    ledger = [line.split() for line in (folder / "ledger").read_text().splitlines()]
    noted = Counter((one, two, three, int(block), int(attempt)) for one, two, three, block, attempt in ledger)
    with Store.open(folder / "perfport.db") as store:
        stored = {found.key for found in store.read()}
    return len(noted.keys() - stored), sum(n > 1 for n in noted.values())


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
