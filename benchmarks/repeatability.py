"""How far two measurements of one configuration lie apart: the protocol against a naive one, with and without load.

    python benchmarks/repeatability.py                       # 60 configurations, about 7 minutes
    python benchmarks/repeatability.py --configurations 20 --apart 60

Every configuration is measured four times: twice on the machine as it is and twice beside a load that wants all
processors (stress-ng, or loops of our own where it is missing). The two of a pair lie `--apart` seconds apart, and
in each visit the protocol and the naive way (the mean of 10 runs after a warm-up) follow each other directly, in
random order. So whatever the machine does meanwhile, it does to both.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np

from perfport.measure.campaign.spec import EnvironmentSpec, rig_of
from perfport.measure.machine.lease import device_lease
from perfport.measure.protocol import Protocol
from perfport.measure.quality.grading import judge
from perfport.measure.rows import configurations_of
from perfport.measure.runner.rig import Rig
from perfport.measure.runner.runner import Runner
from perfport.processors import usable_threads
from perfport.seeding import rng_for
from perfport.space.options import Level

OURS = Protocol(budget_s=0.6, min_time_s=0.2, warm_up_max_s=0.3)
NAIVE = Protocol(
    scheduling="plain", warm_up_runs=1, warm_up_max_s=0.0, min_repetitions=10, max_repetitions=10, min_time_s=0.0
)
# Levels that compute something else or cannot be built are outcomes, but there is nothing to repeat; batches and
# requests in flight only make it longer.
LEVELS = {"precision": ("f32",), "execution_order": ("default",), "batch": (1,), "requests": (1,)}
CONDITIONS = ("quiet", "loaded")
Configuration = Mapping[str, Level | None]


@dataclass(frozen=True, slots=True)
class Visit:
    """What one visit to one configuration gave, in seconds."""

    ours_s: float
    naive_s: float
    cpu_s: float
    grade: str
    in_bursts: bool


def main() -> None:
    """Make both visits under both conditions and print the errors between them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configurations", type=int, default=60)
    parser.add_argument("--apart", type=float, default=180.0, help="seconds from the first to the second measurement")
    parser.add_argument("--network", default="ppocr_det")
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    workload = {"side": given.side}
    rig = rig_of(
        EnvironmentSpec(name="here", system="onnxruntime", network=given.network, workload=workload, levels=LEVELS)
    )
    rows = configurations_of(rig.space, rig.space.sample(given.configurations, rng_for(given.seed, "repeatability")))
    with device_lease("benchmark of repeatability"), Runner(OURS) as ours, Runner(NAIVE) as naive:
        passes: dict[str, list[list[Visit | None]]] = {condition: [] for condition in CONDITIONS}
        begin_s: dict[str, float] = {}
        for number in range(2):
            for condition in CONDITIONS:
                begin_s.setdefault(condition, time.monotonic())
                time.sleep(max(0.0, begin_s[condition] + number * given.apart - time.monotonic()))
                with _load() if condition == "loaded" else nullcontext():
                    passes[condition].append(_visits(rig, rows, ours, naive, seed=given.seed + number))
            ours.end_children()
            naive.end_children()
    print(f"{given.network} {given.side}, {len(rows)} random configurations, measured twice {given.apart:g} s apart")
    print(f"{'':8}{'rows':>5}{'naive, %':>18}{'protocol, %':>18}{'ratio':>12}{'cpu time, %':>18}  grades")
    print(f"{'':13}" + f"{'mean':>9}{'median':>9}" * 2 + f"{'mean':>6}{'med.':>6}{'mean':>9}{'median':>9}")
    for condition in CONDITIONS:
        _show(condition, *passes[condition])


def _visits(rig: Rig, rows: Sequence[Configuration], ours: Runner, naive: Runner, *, seed: int) -> list[Visit | None]:
    rng = rng_for(seed, "who goes first")
    return [_visit(rig, row, ours, naive, ours_first=bool(rng.integers(2)), seed=seed) for row in rows]


def _visit(rig: Rig, row: Configuration, ours: Runner, naive: Runner, *, ours_first: bool, seed: int) -> Visit | None:
    found = {}
    for runner in (ours, naive) if ours_first else (naive, ours):
        found[runner] = runner.measure(rig, row, seed=seed)
    if not all(outcome.repetitions for outcome in found.values()):
        return None
    good, plain = found[ours], found[naive]
    return Visit(
        float(np.median(good.repetitions["inference_time_s"])),
        float(np.mean(plain.repetitions["inference_time_s"])),
        float(np.median(good.repetitions["cpu_time_s"])),
        judge(good, OURS).grade,
        str(good.conditions.get("scheduling", "")).startswith("SCHED_RR"),
    )


def _show(condition: str, first: Sequence[Visit | None], second: Sequence[Visit | None]) -> None:
    pairs = [(one, other) for one, other in zip(first, second, strict=True) if one is not None and other is not None]
    errors = {
        name: np.array([100 * abs(getattr(b, name) - getattr(a, name)) / getattr(b, name) for a, b in pairs])
        for name in ("naive_s", "ours_s", "cpu_s")
    }
    mean = {name: float(values.mean()) for name, values in errors.items()}
    middle = {name: float(np.median(values)) for name, values in errors.items()}
    grades = Counter(visit.grade for pair in pairs for visit in pair)
    shown = ", ".join(f"{grade} {count}" for grade, count in sorted(grades.items()))
    bursts = sum(visit.in_bursts for pair in pairs for visit in pair)
    print(
        f"{condition:8}{len(pairs):5}{mean['naive_s']:9.1f}{middle['naive_s']:9.1f}{mean['ours_s']:9.1f}"
        f"{middle['ours_s']:9.1f}{mean['naive_s'] / mean['ours_s']:6.1f}{middle['naive_s'] / middle['ours_s']:6.1f}"
        f"{mean['cpu_s']:9.1f}{middle['cpu_s']:9.1f}  {shown}; {bursts} of {2 * len(pairs)} in real-time bursts"
    )
    sound = [(a, b) for a, b in pairs if max(a.grade, b.grade) <= "B"]
    if sound:
        error = np.array([100 * abs(b.ours_s - a.ours_s) / b.ours_s for a, b in sound])
        print(f"{'':8}{len(sound):5} graded A or B both times: {error.mean():.1f} mean, {np.median(error):.1f} median")


@contextmanager
def _load() -> Iterator[None]:
    """Keep every processor busy with something else."""
    n = usable_threads()
    if shutil.which("stress-ng"):
        commands = [["stress-ng", "--cpu", str(n), "--quiet"]]
    else:
        commands = [[sys.executable, "-c", "while True: pass"]] * n
    loads = [subprocess.Popen(command) for command in commands]  # noqa: S603  # fixed commands
    try:
        time.sleep(1.0)
        yield
    finally:
        for load in loads:
            load.terminate()
            load.wait()


if __name__ == "__main__":
    main()
