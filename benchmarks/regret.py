"""How close to the best configuration do 20 measurements come? Searches replayed on published tables.

A task is (system, objective, source environment, target environment). Every method may look up 20 rows of
the target's table, one after the other; its regret is how far the best of them is from the best of the
table, in percent. Methods:

- transfer: `perfport.advise.recommendation.search.Search` with the source;
- alone: the same without the source, a Gaussian process with expected improvement (target-only BO);
- optuna_tpe: Optuna's sampler, an independent target-only BO, five random rows first;
- optuna_gp: likewise with a Gaussian process, where asked for: it takes longer than all others together;
- source_order: the 20 rows the source says are best, in that order, nothing learnt on the way;
- random: the median over 200 random draws.

Usage: python benchmarks/regret.py --data DIR [--tasks TRANSFERS.yaml] [--out FILE.csv] [--seeds 0,1,2] [--jobs 1]
"""

import argparse
import functools
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from tasks import TRANSFERS, transfer_tasks

import perfport
from perfport.advise.recommendation.search import MIN_READINGS, PATIENCE, Search
from perfport.data.measurement import configuration_key
from perfport.transfer.repeated import RepeatedTransfer

FloatArray = NDArray[np.float64]
Order = NDArray[np.int64]  # rows in the order in which they were looked up

BUDGET = 20
MIN_ROWS = 300
NEAR_PCT = 5.0
TOLERANCE_PCT = 1.0  # of the stop rule, whose savings are reported beside the whole budget
N_RANDOM = 200
N_STARTUP = 5


@dataclass(frozen=True)
class Task:
    """One table to be searched, and what is known of another one."""

    name: str
    source: perfport.Dataset
    target: perfport.Dataset
    objective: str

    @property
    def is_minimised(self) -> bool:
        """Whether less is better; so it is where the table does not say."""
        return self.target.properties[self.objective].direction != "maximise"

    @functools.cached_property
    def regret_pct(self) -> FloatArray:
        """How far every row is from the best one, in percent, shape (n,)."""
        values = self.target.response(self.objective)
        ratio = values / values.min() if self.is_minimised else values.max() / values
        return np.asarray(100.0 * (ratio - 1.0))


def by_search(task: Task, seed: int, *, with_source: bool) -> tuple[Order, list[float | None]]:
    """Return the rows our search looked up, and the gain it expected of each."""
    target = task.target
    search = Search(
        sources=[task.source] if with_source else [],
        candidates=target.configurations,
        space=target.space,
        property=target.properties[task.objective],
        minimise=task.is_minimised,
        budget=BUDGET,
        tolerance_pct=0.0,
        seed=seed,
    )
    keys = [configuration_key(row) for row in target.space.configurations(target.configurations)]
    place = {key: row for row, key in enumerate(keys)}
    rows = []
    while (configuration := search.ask()) is not None:
        rows.append(place[configuration_key(configuration)])
        search.tell(configuration, float(target.response(task.objective)[rows[-1]]))
    return np.asarray(rows), [reading.expected_gain_pct for reading in search.outcome().readings]


def by_source_order(task: Task) -> Order:
    """Return the rows the source says are best."""
    target = task.target
    expected = RepeatedTransfer(
        [task.source], target.configurations, space=target.space, property=target.properties[task.objective]
    ).expected_by_sources()
    assert expected is not None  # noqa: S101  # there is a source
    return np.argsort(expected if task.is_minimised else -expected, kind="stable")[:BUDGET]


def by_optuna(task: Task, seed: int, sampler: Callable[[int], Any]) -> Order:
    """Return the rows Optuna looked up; a proposal the table lacks becomes the nearest row not yet looked up."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    codes, distributions = _coded(task.target)
    width = np.maximum(codes.max(axis=0) - codes.min(axis=0), 1)
    is_level = np.array([isinstance(d, optuna.distributions.CategoricalDistribution) for d in distributions.values()])
    values = np.log(task.target.response(task.objective)) * (1.0 if task.is_minimised else -1.0)
    study = optuna.create_study(sampler=sampler(seed))
    rows: list[int] = []
    while len(rows) < BUDGET:
        trial = study.ask(distributions)
        wanted = np.array([trial.params[name] for name in distributions])
        apart = np.where(is_level, codes != wanted, np.abs(codes - wanted) / width).sum(axis=1)
        apart[rows] = np.inf
        row = int(np.argmin(apart))
        rows.append(row)
        # What was looked up is told, not what was proposed.
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        found = dict(zip(distributions, codes[row].tolist(), strict=True))
        study.add_trial(optuna.trial.create_trial(params=found, distributions=distributions, value=float(values[row])))
    return np.asarray(rows)


def _coded(target: perfport.Dataset) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Return every option as the number of its level in order, and what Optuna is told of it."""
    import optuna

    columns, distributions = [], {}
    for option in target.space.options:
        column, levels = pd.factorize(target.configurations[option.name], sort=True, use_na_sentinel=False)
        columns.append(column)
        is_ordered = option.type in ("integer", "float", "ordinal")
        distributions[option.name] = (
            optuna.distributions.IntDistribution(0, len(levels) - 1)
            if is_ordered
            else optuna.distributions.CategoricalDistribution(range(len(levels)))
        )
    return np.stack(columns, axis=1).astype(np.int64), distributions


def run(task: Task, seeds: list[int], *, with_optuna_gp: bool) -> list[dict[str, Any]]:
    """Return one row a method and seed: the regret after every measurement."""
    found: list[dict[str, Any]] = []

    def add(method: str, seed: int, rows: Order, **more: Any) -> None:
        curve = np.minimum.accumulate(task.regret_pct[rows])
        after = {f"after_{n}": float(curve[min(n, len(curve)) - 1]) for n in (1, 5, 10, BUDGET)}
        near = float(curve[-1] <= NEAR_PCT)
        found.append({"task": task.name, "method": method, "seed": seed, **after, "near": near, **more})

    rows, gains = by_search(task, 0, with_source=True)
    stop = _stopped_after(gains)
    stopped = float(task.regret_pct[rows[:stop]].min())
    add("transfer", 0, rows, measured_until_stop=stop, regret_at_stop=stopped)
    add("source_order", 0, by_source_order(task))
    for seed in seeds:
        add("alone", seed, by_search(task, seed, with_source=False)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for method, sampler in _samplers(with_gp=with_optuna_gp).items():
                add(method, seed, by_optuna(task, seed, sampler))
    curves = []
    for draw in range(N_RANDOM):
        drawn = np.random.default_rng([0, draw]).choice(len(task.target), BUDGET, replace=False)
        curves.append(np.minimum.accumulate(task.regret_pct[drawn]))
    middle = np.median(curves, axis=0)
    near = float(np.mean(np.array(curves)[:, -1] <= NEAR_PCT))
    after = {f"after_{n}": float(middle[n - 1]) for n in (1, 5, 10, BUDGET)}
    found.append({"task": task.name, "method": "random", "seed": 0, **after, "near": near})
    print(f"{task.name}: {found[0][f'after_{BUDGET}']:.2f} %", file=sys.stderr, flush=True)
    return found


def _stopped_after(gains: list[float | None]) -> int:
    """Return after how many measurements the stop rule would have ended a search that expected these gains."""
    small = 0
    for number, gain in enumerate(gains):
        small = small + 1 if number >= MIN_READINGS and gain is not None and gain < TOLERANCE_PCT else 0
        if small == PATIENCE:
            return number
    return len(gains)


def _samplers(*, with_gp: bool) -> Mapping[str, Callable[[int], Any]]:
    from optuna.samplers import GPSampler, TPESampler

    samplers: dict[str, Callable[[int], Any]] = {
        "optuna_tpe": lambda seed: TPESampler(seed=seed, n_startup_trials=N_STARTUP),
        "optuna_gp": lambda seed: GPSampler(seed=seed, n_startup_trials=N_STARTUP),
    }
    return samplers if with_gp else {"optuna_tpe": samplers["optuna_tpe"]}


def read_tasks(data: Path, tasks: Path) -> Iterator[Task]:
    """Yield the tasks whose target has enough rows; rows whose response is not positive mark failures."""
    systems = functools.lru_cache(maxsize=None)(lambda name: perfport.read_tables(data / name))
    for entry in transfer_tasks(tasks):
        environments = systems(entry["system"]).environments
        source, target = (
            environments[entry[role]].take(np.flatnonzero(environments[entry[role]].response(entry["objective"]) > 0))
            for role in ("source", "target")
        )
        if len(target) >= MIN_ROWS:
            name = f"{entry['system']} {entry['objective']}: {entry['source']} -> {entry['target']}"
            yield Task(name, source, target, entry["objective"])


def show(found: pd.DataFrame) -> None:
    """Print one line a task and the summary."""
    last = f"after_{BUDGET}"
    # A method that depends on chance is judged by the median over its seeds.
    by_task = found.groupby(["task", "method"], sort=False)[last].median().unstack()
    with pd.option_context("display.width", 200, "display.max_rows", None, "display.max_colwidth", 75):
        print(f"regret in percent after {BUDGET} measurements, {len(by_task)} tasks")
        print(by_task.to_string(float_format=lambda value: f"{value:.2f}"))
    shares = found.groupby("method")["near"].mean()
    columns = [name for name in found.columns if name.startswith("after_")]
    summary = found.groupby(["task", "method"])[columns].median().groupby("method").median()
    summary[f"within_{NEAR_PCT:g}_pct"] = 100.0 * shares
    print(f"\nmedian regret in percent over {len(by_task)} tasks; share of tasks (in percent) within {NEAR_PCT:g} %")
    print(summary.sort_values(last).to_string(float_format=lambda value: f"{value:.2f}"))
    stopped = found[found["method"] == "transfer"]
    print(
        f"\nstop rule at {TOLERANCE_PCT:g} % expected gain: median {stopped['measured_until_stop'].median():g} "
        f"measurements, median regret {stopped['regret_at_stop'].median():.2f} %, "
        f"within {NEAR_PCT:g} % in {100 * (stopped['regret_at_stop'] <= NEAR_PCT).mean():.0f} % of tasks"
    )


def main() -> None:
    """Run all tasks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--tasks",
        type=Path,
        default=TRANSFERS,
        help="list of {system, objective, source, target}; benchmarks/tasks/transfers.yaml if not given",
    )
    parser.add_argument("--out", type=Path, help="CSV of all runs")
    parser.add_argument("--seeds", default="0,1,2", help="of the methods that depend on chance")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--optuna-gp", action="store_true", help="search with Optuna's GPSampler too")
    given = parser.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    parts = Parallel(n_jobs=given.jobs)(
        delayed(run)(task, seeds, with_optuna_gp=given.optuna_gp) for task in read_tasks(given.data, given.tasks)
    )
    found = pd.DataFrame([row for part in parts for row in part])
    if given.out is not None:
        found.to_csv(given.out, index=False)
    show(found)


if __name__ == "__main__":
    main()
