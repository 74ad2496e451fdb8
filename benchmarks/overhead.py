"""What measuring costs beside measuring: the share of a campaign's wall time that is not spent running the network.

    python benchmarks/overhead.py                       # 100 configurations, about 3 minutes
    python benchmarks/overhead.py --configurations 20

Running the network is warm-up, timed runs, the pauses between bursts and the first run that is checked; opening
it, starting processes, comparing outputs, storing and whatever else the runner does is overhead. Also printed: the
processor time of the runner, which must not disturb what it measures.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

from perfport.data.measurement import Measurement
from perfport.data.store import Store
from perfport.measure.campaign import Campaign, run_campaign
from perfport.measure.campaign.spec import EnvironmentSpec

GOAL = 0.15
# Levels that compute something else or cannot be built fail at once, and are all overhead.
LEVELS = {"precision": ("f32",), "execution_order": ("default",)}


def main() -> None:
    """Run the campaign in a store of its own and print where the time went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configurations", type=int, default=100)
    parser.add_argument("--network", default="ppocr_det")
    parser.add_argument("--side", type=int, default=160)
    given = parser.parse_args()
    environment = EnvironmentSpec(
        name="here", system="onnxruntime", network=given.network, workload={"side": given.side}, levels=LEVELS
    )
    campaign = Campaign(
        name="overhead", environments=(environment,), configurations=given.configurations, sentinel_every=0, remeasure=0
    )
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "perfport.db") as store:
        begin_s, cpu_begin_s = time.perf_counter(), _cpu_s()
        run_campaign(campaign, store, lease=Path(folder) / "device.lock")
        wall_s, cpu_s = time.perf_counter() - begin_s, _cpu_s() - cpu_begin_s
        rows = store.read()
    _show(rows, wall_s, cpu_s)


def _show(rows: list[Measurement], wall_s: float, cpu_s: float) -> None:
    timed_s = _sum(rows, "timing_s")
    first_s = _sum(rows, "first_run_s")
    opening_s = _sum(rows, "open_s")
    within_s = sum(row.cost_s for row in rows)
    parts = {
        "warm-up, timed runs, pauses": timed_s,
        "first run and check of the output": first_s,
        "opening the network": opening_s,
        "child processes, references, closing": within_s - timed_s - first_s - opening_s,
        "storing, choosing, looking around": wall_s - within_s,
    }
    print(f"{len(rows)} measurements in {wall_s:.1f} s")
    for name, seconds in parts.items():
        print(f"  {name:38s} {seconds:7.1f} s {seconds / wall_s:6.1%}")
    overhead = 1 - (timed_s + first_s) / wall_s
    print(f"overhead {overhead:.1%} (goal: below {GOAL:.0%})")
    print(f"processor time of the runner {cpu_s:.2f} s: {cpu_s / wall_s:.2%} of one processor")


def _sum(rows: list[Measurement], condition: str) -> float:
    return sum(value for row in rows if isinstance(value := row.conditions.get(condition), int | float))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
