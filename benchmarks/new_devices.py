"""Rank networks on a device never seen: many devices measured earlier, a few networks measured on the new one.

    python benchmarks/new_devices.py DATA --seeds 0,1,2 --jobs 2

The list of tasks (`--tasks`) maps the name of each to {space, source, target}: a search space, the devices to learn
from and those to foretell. DATA holds folders of tables; those of a space are in the folders whose names begin with
the space's. Every source gives `--source-rows` random networks and the target `--rows`; all other networks of the
target are ranked.

Prints Spearman's rank correlation (of medians) and the median error in percent (of predictions), means over targets
and draws: of `auto`, of the target's rows alone, and of the best source as it is.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed
from learn_priors import some
from tasks import DEVICES, device_tasks

import perfport
from perfport.data.dataset import Dataset
from perfport.model.metrics import median_ape_pct, spearman
from perfport.seeding import rng_for

STRATEGIES = ("auto", "target_only", "direct")


@dataclass(frozen=True)
class Draw:
    """One draw of networks for one target device of a task."""

    task: str
    space: str
    sources: tuple[str, ...]
    target: str
    seed: int


def main() -> None:
    """Print one line a task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--tasks",
        type=Path,
        default=DEVICES,
        help="name: {space, source, target}; benchmarks/tasks/devices.yaml if not given",
    )
    parser.add_argument("--only", help="names of tasks, with commas; all if not given")
    parser.add_argument("--property", default="latency_ms")
    parser.add_argument("--rows", type=int, default=20, help="networks measured on the target")
    parser.add_argument("--source-rows", type=int, default=900)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", type=int, default=1)
    a = parser.parse_args()
    tasks = device_tasks(a.tasks)
    chosen = a.only.split(",") if a.only else list(tasks)
    if unknown := sorted(set(chosen) - set(tasks)):
        parser.error(f"--only {a.only}: {a.tasks} has no {', '.join(unknown)}; it has {', '.join(tasks)}")
    draws = [
        Draw(name, tasks[name]["space"], tuple(tasks[name]["source"]), target, int(seed))
        for name in chosen
        for target in tasks[name]["target"]
        for seed in a.seeds.split(",")
    ]
    found = Parallel(a.jobs, verbose=1)(
        delayed(scores)(a.data, draw, a.property, a.rows, a.source_rows) for draw in draws
    )
    table = pd.DataFrame([row for row in found if row is not None])
    print(f"{a.rows} random networks of each target, {table.seed.nunique()} draws\n")
    print(
        "| task | targets | sources | auto: rank, error % | target alone: rank, error % | best source: rank, error % |"
    )
    print("|---|---|---|---|---|---|")
    for name, part in table.groupby("task", sort=False):
        mean = part.mean(numeric_only=True)
        cells = [f"{mean[f'{strategy}_rank']:.3f}, {mean[f'{strategy}_error_pct']:.1f}" for strategy in STRATEGIES]
        print(f"| {name} | {part.target.nunique()} | {mean.n_sources:.0f} | {' | '.join(cells)} |")


def scores(data: Path, draw: Draw, prop: str, n: int, n_source: int) -> dict[str, str | float] | None:
    """Return how well every strategy ranks and foretells the target's other networks; None if it has no table."""
    devices = devices_of(data, draw.space)
    if draw.target not in devices:
        return None
    # Sources are drawn alike for every target, so that a process fits each of them once.
    sources = [
        some(devices[device], n_source, rng_for(draw.seed, device)) for device in draw.sources if device in devices
    ]
    order = rng_for(draw.seed, "target", draw.target).permutation(len(devices[draw.target]))
    measured, others = devices[draw.target].take(order[:n]), devices[draw.target].take(order[n:])
    y = others.response(prop)
    found: dict[str, str | float] = {
        "task": draw.task,
        "target": draw.target,
        "seed": draw.seed,
        "n_sources": len(sources),
    }
    for strategy in STRATEGIES:
        model = perfport.transfer(sources=sources, target=measured, property=prop, strategy=strategy, seed=draw.seed)
        found[f"{strategy}_rank"] = spearman(y, model.predict_median(others.configurations))
        found[f"{strategy}_error_pct"] = median_ape_pct(y, model.predict(others.configurations))
    return found


def devices_of(data: Path, space: str) -> dict[str, Dataset]:
    """Return the tables of a search space, by device."""
    found: dict[str, Dataset] = {}
    for folder in sorted(data.glob(f"{space}*/")):
        found = dict(perfport.read_tables(folder).environments) | found
    return found


if __name__ == "__main__":
    main()
