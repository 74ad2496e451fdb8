"""Learning curves: how an error falls with the number of target measurements."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from perfport.data.measurement import FloatArray
from perfport.errors import UsageError
from perfport.study.stats import bootstrap_interval

__all__ = ["budget_to_reach", "learning_curves"]


def _geometric_mean(values: FloatArray, axis: int = -1) -> FloatArray:
    return np.asarray(np.exp(np.mean(np.log(values), axis=axis)), dtype=np.float64)


_STATISTICS: dict[str, Callable[..., FloatArray]] = {"mean": np.mean, "median": np.median, "gmean": _geometric_mean}


def learning_curves(
    rows: pd.DataFrame,
    *,
    value: str,
    budget: str,
    curves: Sequence[str],
    units: Sequence[str],
    rng: np.random.Generator,
    statistic: Literal["mean", "median", "gmean"] = "mean",
    coverage: float = 0.95,
    n_resamples: int = 2000,
) -> pd.DataFrame:
    """Summarise the rows of a study as one curve a method.

    Args:
        rows: One repetition a row.
        value: The column to summarise, finite.
        budget: The column along the curve.
        curves: Columns that together name a curve.
        units: Columns that name what is independent: the tasks, or the seeds of a single task. Rows of one
            unit and budget are averaged first, so many seeds do not pass for many tasks.
        rng: Draws the resamples of the confidence limits.
        statistic: What summarises the units; "gmean" needs positive values and weighs relative changes equally.
        coverage: Of the confidence limits.
        n_resamples: Of the bootstrap.

    Returns:
        One row a curve and budget, sorted, with the columns of `curves`, `budget`, then n_units, n_rows,
        estimate, lower, upper (BCa bootstrap over the units), lowest and highest unit.

    Raises:
        UsageError: If a column does not exist, a value is not finite, or not positive with "gmean".
    """
    missing = [name for name in (value, budget, *curves, *units) if name not in rows.columns]
    if missing:
        raise UsageError(f"no column {missing}: the rows have {list(rows.columns)}", missing=missing)
    numbers = rows[value].to_numpy(dtype=np.float64)
    bad = ~np.isfinite(numbers) | ((numbers <= 0) if statistic == "gmean" else False)
    if np.any(bad):
        raise UsageError(
            f"{int(bad.sum())} values of '{value}' are not finite{' and positive' if statistic == 'gmean' else ''}, "
            f"the first in row {rows.index[int(np.argmax(bad))]}: drop failed cells first",
            rows=np.flatnonzero(bad),
        )
    keys = [*curves, budget]
    summarise = _STATISTICS[statistic]
    records = []
    for key, group in rows.groupby(keys, sort=True, dropna=False):
        by_unit = group.groupby(list(units), sort=True, dropna=False)[value].mean().to_numpy(dtype=np.float64)
        interval = bootstrap_interval(by_unit, summarise, rng=rng, coverage=coverage, n_resamples=n_resamples)
        records.append(
            {
                **dict(zip(keys, key, strict=True)),
                "n_units": len(by_unit),
                "n_rows": len(group),
                "estimate": interval.estimate,
                "lower": interval.lower,
                "upper": interval.upper,
                "lowest": float(by_unit.min()),
                "highest": float(by_unit.max()),
            }
        )
    return pd.DataFrame(records)


def budget_to_reach(curves: pd.DataFrame, goal: float, *, budget: str, by: Sequence[str]) -> pd.DataFrame:
    """Return how many measurements each curve needs to come down to an error.

    Between two budgets the curve is a straight line on logarithmic axes; it must stay at or below the
    goal from there on, so a lucky dip does not count.

    Args:
        curves: From `learning_curves`.
        goal: The error to reach, positive.
        budget: The column along the curve.
        by: Columns that name a curve.

    Returns:
        The columns of `by` and `budget`: NaN where the goal is never reached, the smallest budget where it
        is reached from the start.
    """
    if not goal > 0:
        raise UsageError(f"goal is {goal}: an error to reach must be positive", goal=goal)
    records = []
    for key, curve in curves.groupby(list(by), sort=True, dropna=False):
        ordered = curve.sort_values(budget)
        needed = _crossing(ordered[budget].to_numpy(dtype=np.float64), ordered["estimate"].to_numpy(), goal)
        records.append({**dict(zip(by, key, strict=True)), budget: needed})
    return pd.DataFrame(records, columns=[*by, budget])


def _crossing(budgets: FloatArray, errors: FloatArray, goal: float) -> float:
    above = np.flatnonzero(errors > goal)
    if not len(above):
        return float(budgets[0])
    last = int(above[-1])
    if last + 1 == len(budgets):
        return float("nan")
    if errors[last + 1] <= 0:
        return float(budgets[last + 1])
    drop = np.log(errors[last] / goal) / np.log(errors[last] / errors[last + 1])
    return float(budgets[last] * (budgets[last + 1] / budgets[last]) ** drop)
