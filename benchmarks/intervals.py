"""How wide the 90 % intervals of `auto` are, beside those of split conformal prediction around the same strategy.

    python benchmarks/intervals.py DATA --budgets 20,50 --jobs 2

DATA holds one folder of tables a system, named as in the list of transfers (`--tasks`). Split conformal prediction
fits `auto` to one half of the random target rows; the errors of the other half, on the log scale, give the
half-width (Lei et al., JASA 113, 2018). Both are judged on the same rows, which were not measured: share covered,
and ratio of widths on the log scale.
"""

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from tasks import TRANSFERS, transfer_tasks
from worst import usable

import perfport
from perfport.data.dataset import Dataset
from perfport.seeding import rng_for

FloatArray = NDArray[np.float64]

COVERAGE = 0.9
MIN_ROWS = 18  # half of which are just enough to calibrate on
MAX_TEST = 1000


@dataclass(frozen=True)
class Result:
    """One draw of target rows."""

    system: str
    n: int
    covered: float
    covered_split: float
    log_width_ratio: float


def main() -> None:
    """Print coverage and widths of every budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--tasks",
        type=Path,
        default=TRANSFERS,
        help="list of {system, objective, source, target}; benchmarks/tasks/transfers.yaml if not given",
    )
    parser.add_argument("--budgets", default="20,50")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--jobs", type=int, default=1)
    a = parser.parse_args()
    tasks = transfer_tasks(a.tasks)
    budgets, seeds = ([int(number) for number in text.split(",")] for text in (a.budgets, a.seeds))
    if min(budgets) < MIN_ROWS:
        parser.error(f"--budgets {a.budgets}: split conformal prediction needs {MIN_ROWS} rows or more")
    found = Parallel(a.jobs)(delayed(results)(a.data, task, budgets, seeds) for task in tasks)
    table = pd.DataFrame([asdict(result) for some in found for result in some])
    print(f"90 % intervals, {table.system.nunique()} systems, random rows\n")
    print("| rows | draws | auto covers | split conformal covers | width of auto over that of split conformal |")
    print("|---|---|---|---|---|")
    for n, part in table.groupby("n"):
        ratio = np.exp(part.log_width_ratio.median())
        print(f"| {n} | {len(part)} | {part.covered.mean():.1%} | {part.covered_split.mean():.1%} | {ratio:.2f} |")


def results(data: Path, task: dict[str, str], budgets: list[int], seeds: list[int]) -> list[Result]:
    """Return what both kinds of interval achieve on one transfer."""
    prop, environments = task["objective"], perfport.read_tables(data / task["system"]).environments
    sources = [usable(environments[name], prop) for name in task["source"].split("+")]
    target = usable(environments[task["target"]], prop)
    found = []
    for n in budgets:
        for seed in seeds if n <= len(target) // 2 else ():
            rows = rng_for(seed, "intervals", n).permutation(len(target))
            test = target.take(rows[n:][:MAX_TEST])
            y = test.response(prop)
            auto = perfport.transfer(sources=sources, target=target.take(rows[:n]), property=prop, strategy="auto")
            lower, upper = auto.predict_interval(test.configurations, coverage=COVERAGE)
            centre, half_width = split_conformal(sources, target, rows[:n], test, prop)
            inside = (y >= lower) & (y <= upper)
            inside_split = np.abs(np.log(y / centre)) <= half_width
            ratio = np.median(np.log(np.log(upper / lower) / (2.0 * half_width)))
            found.append(Result(task["system"], n, float(inside.mean()), float(inside_split.mean()), float(ratio)))
    return found


def split_conformal(
    sources: list[Dataset], target: Dataset, rows: NDArray[np.int64], test: Dataset, prop: str
) -> tuple[FloatArray, float]:
    """Return predictions of the test rows, shape (m,), and the half-width of their intervals on the log scale."""
    half = target.take(rows[: len(rows) // 2])
    held_out = target.take(rows[len(rows) // 2 :])
    model = perfport.transfer(sources=sources, target=half, property=prop, strategy="auto")
    errors = np.sort(np.abs(np.log(held_out.response(prop) / model.predict_median(held_out.configurations))))
    place = int(np.ceil((len(errors) + 1) * COVERAGE))
    return model.predict_median(test.configurations), float(errors[place - 1])


if __name__ == "__main__":
    main()
