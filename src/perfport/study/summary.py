"""Summary: what the rows of a study say, with the statistics a reviewer asks for.

A *task* is a pair of environments and a property. Seeds and budgets of one task are not independent, so
each method gets one score a task: the geometric mean of its errors. Where a study has too few tasks for
any test, every repetition counts as one, and the summary says that its findings hold for these
environments only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from perfport.seeding import rng_for
from perfport.study.curves import learning_curves
from perfport.study.ranking import CriticalDifference, critical_difference, scott_knott_esd
from perfport.study.run import StudyResult
from perfport.study.scores import compare_pairs
from perfport.study.spec import StudySpec

__all__ = ["Failure", "StudySummary", "summarise"]

TASK = ["system", "sources", "target", "property"]
FEW_TASKS = 6  # the signed-rank test of fewer pairs cannot reach 5 %
SMALLEST_PCT = 1e-6  # an exact prediction has no logarithm


@dataclass(frozen=True, slots=True)
class Failure:
    """Cells that failed for the same reason."""

    method: str
    reason: str
    n_cells: int


@dataclass(frozen=True, slots=True, eq=False)
class StudySummary:
    """What a study found. All errors are mean absolute percentage errors on rows not measured, in percent.

    Attributes:
        title: Of the study.
        n_cells: Cells with a row.
        n_tasks: Pairs of environments times properties.
        n_units: What the tests count as independent: tasks, or repetitions where tasks are few.
        is_by_task: Whether units are tasks.
        budgets: Ascending.
        errors: Error of every compared method (index, best first) at every budget (columns), geometric
            mean over tasks.
        curves: The same with bootstrap limits, see `learning_curves`; columns method, budget, estimate, ...
        ranking: Scott-Knott ESD groups: columns error_pct (geometric mean over everything) and rank,
            best first; empty with fewer than two methods.
        against: Every other method beside the baseline, see `compare_pairs`; `ratio` is the geometric mean
            of its error over the baseline's. Empty without a baseline.
        baseline: The method the others are compared with; None if there is none.
        critical: Friedman test and mean ranks; None with fewer than three methods.
        by_task: Error of every method (columns) in every task (rows), over all budgets.
        failures: Why cells failed, most frequent first.
        left_out: Methods that are not compared, since they failed where others did not -> number of those cells.
        n_measurements: Target rows measured, over all cells that are compared on the same rows once.
        cost_s: Seconds of measuring them; None where the data do not tell.
        compute_s: Seconds of fitting and predicting, over all cells.
    """

    title: str
    n_cells: int
    n_tasks: int
    n_units: int
    is_by_task: bool
    budgets: tuple[int, ...]
    errors: pd.DataFrame
    curves: pd.DataFrame
    ranking: pd.DataFrame
    against: pd.DataFrame
    baseline: str | None
    critical: CriticalDifference | None
    by_task: pd.DataFrame
    failures: tuple[Failure, ...]
    left_out: Mapping[str, int]
    n_measurements: int
    cost_s: float | None
    compute_s: float

    @property
    def best(self) -> str | None:
        """The method with the least error; None if nothing can be compared."""
        return str(self.errors.index[0]) if len(self.errors) else None


def summarise(result: StudyResult) -> StudySummary:
    """Return what the rows of a study say."""
    spec, rows = result.spec, _labelled(result.rows, result.spec)
    finished = rows[rows["status"] == "ok"].assign(error=lambda ok: ok["mape_pct"].clip(lower=SMALLEST_PCT))
    compared, left_out = _comparable(finished)
    n_tasks = len(compared[TASK].drop_duplicates())
    is_by_task = n_tasks >= FEW_TASKS
    units = TASK if is_by_task else [*TASK, "budget", "seed"]
    logs = _scores(compared, units)
    order = logs.mean().sort_values(kind="stable").index
    paid = finished.drop_duplicates([*TASK, "sampler", "budget", "seed"])
    cost = float(paid["cost_s"].sum(skipna=False)) if len(paid) else float("nan")
    return StudySummary(
        title=spec.title or spec.name,
        n_cells=len(rows),
        n_tasks=n_tasks,
        n_units=len(logs),
        is_by_task=is_by_task,
        budgets=tuple(sorted(compared["budget"].unique().tolist())),
        errors=_by_budget(compared, order),
        curves=_curves(compared, is_by_task, order),
        ranking=_ranking(logs),
        against=_against(logs, spec, order),
        baseline=_baseline(spec, order),
        critical=critical_difference(logs) if len(order) > 2 and len(logs) > 1 else None,
        by_task=_scores(compared, TASK).reindex(columns=order).map(np.exp),
        failures=_failures(rows),
        left_out=left_out,
        n_measurements=int(paid["n_measured"].sum()),
        cost_s=None if np.isnan(cost) else cost,
        compute_s=float(finished["elapsed_s"].sum()),
    )


def _labelled(rows: pd.DataFrame, spec: StudySpec) -> pd.DataFrame:
    """Return the rows with the sampler in the name of the method, where there are several."""
    if len(spec.samplers) < 2:
        return rows
    return rows.assign(method=rows["method"] + " @ " + rows["sampler"])


def _comparable(finished: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the rows of methods that finished wherever most did, and how often the others did not."""
    if not len(finished):
        return finished, {}
    where = [*TASK, "budget", "seed"]
    table = finished.pivot_table(index=where, columns="method", values="error", aggfunc="size", fill_value=0) > 0
    common = table[table.mean(axis=1) >= 0.5]
    missed = (~common).sum()
    left_out = {str(method): int(n) for method, n in missed[missed > 0].items()}
    kept = finished[~finished["method"].isin(list(left_out))]
    return kept.set_index(where).loc[lambda rows: rows.index.isin(common.index)].reset_index(), left_out


def _scores(rows: pd.DataFrame, units: list[str]) -> pd.DataFrame:
    """Return mean log errors, one row a unit, one column a method."""
    return rows.assign(log=np.log(rows["error"])).pivot_table(index=units, columns="method", values="log")


def _by_budget(rows: pd.DataFrame, order: "pd.Index[str]") -> pd.DataFrame:
    by_task = rows.groupby(["method", "budget", *TASK])["error"].mean()
    table: pd.DataFrame = by_task.map(np.log).groupby(["method", "budget"]).mean().unstack("budget")
    return table.reindex(order).map(np.exp)


def _curves(rows: pd.DataFrame, is_by_task: bool, order: "pd.Index[str]") -> pd.DataFrame:
    if not len(rows):
        return pd.DataFrame()
    units = TASK if is_by_task else [*TASK, "seed"]
    curves = learning_curves(
        rows,
        value="error",
        budget="budget",
        curves=["method"],
        units=units,
        rng=rng_for(0, "curves"),
        statistic="gmean",
    )
    place = {method: at for at, method in enumerate(order)}
    return curves.sort_values("method", key=lambda names: names.map(place), kind="stable", ignore_index=True)


def _ranking(logs: pd.DataFrame) -> pd.DataFrame:
    if logs.shape[1] < 2 or len(logs) < 2:
        return pd.DataFrame(columns=["error_pct", "rank"])
    # Tasks differ far more than methods, so their differences are taken out; logarithms, for errors span decades.
    ranked = scott_knott_esd(logs, is_blocked=True)
    return pd.DataFrame({"error_pct": np.exp(ranked["mean"]), "rank": ranked["rank"]})


def _baseline(spec: StudySpec, order: "pd.Index[str]") -> str | None:
    wanted = spec.baseline_label()
    if wanted is None:
        return None
    names = [wanted, *(f"{wanted} @ {sampler.label}" for sampler in spec.samplers)]
    return next((name for name in names if name in order), None)


def _against(logs: pd.DataFrame, spec: StudySpec, order: "pd.Index[str]") -> pd.DataFrame:
    baseline = _baseline(spec, order)
    if baseline is None or len(order) < 2:
        return pd.DataFrame()
    table = compare_pairs(logs[list(order)], baseline=baseline)
    ratio = np.exp((logs.sub(logs[baseline], axis=0)).mean())
    return table.assign(ratio=table["method"].map(ratio))


def _failures(rows: pd.DataFrame) -> tuple[Failure, ...]:
    counts = rows[rows["status"] != "ok"].groupby(["method", "reason"]).size().reset_index(name="n")
    found = [
        Failure(str(method), str(reason), int(n))
        for method, reason, n in zip(counts["method"], counts["reason"], counts["n"], strict=True)
    ]
    return tuple(sorted(found, key=lambda failure: -failure.n_cells))
