"""Tables of scores: methods compared two at a time over tasks.

A *table of scores* has one row a task, one column a method, one number a cell. Repetitions of the same
task (other seeds) are not independent tasks, so they are averaged before any test; `score_table` does
that. Lower scores are better unless `minimise` is False.

Example:
    >>> import pandas as pd
    >>> scores = pd.DataFrame({"direct": [9.0, 8.0, 7.0], "influence": [5.0, 4.0, 6.0]})
    >>> win_tie_loss(scores).loc[("influence", "direct")].to_dict()
    {'wins': 3, 'ties': 0, 'losses': 0}
"""

from collections.abc import Sequence
from itertools import combinations, permutations
from typing import Literal

import numpy as np
import pandas as pd

from perfport.data.measurement import FloatArray
from perfport.errors import NotEnoughDataError, UsageError
from perfport.study.stats import cliffs_delta, delta_magnitude, holm, wilcoxon_signed_rank

__all__ = ["checked_scores", "compare_pairs", "score_table", "win_tie_loss"]


def score_table(
    rows: pd.DataFrame,
    *,
    value: str,
    tasks: Sequence[str],
    methods: Sequence[str],
    statistic: Literal["mean", "median"] = "mean",
) -> pd.DataFrame:
    """Return a table of scores from the rows of a study: repetitions of a task become one number.

    Args:
        rows: One repetition a row.
        value: The column to compare.
        tasks: Columns that together name a task.
        methods: Columns that together name a method; several are joined by " / ".
        statistic: How repetitions are summarised.

    Returns:
        One row a task, one column a method.

    Raises:
        UsageError: If a column does not exist.
        NotEnoughDataError: If a method has no finite value for some task.
    """
    missing = [name for name in (value, *tasks, *methods) if name not in rows.columns]
    if missing:
        raise UsageError(f"no column {missing}: the rows have {list(rows.columns)}", missing=missing)
    names = rows[list(methods)].astype(str).agg(" / ".join, axis=1)
    grouped = rows.assign(_method=names.to_numpy()).groupby([*tasks, "_method"], dropna=False, sort=True)[value]
    table = grouped.agg(statistic).unstack("_method")
    table.columns.name = None
    return checked_scores(table)


def checked_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a table of scores as float64.

    Raises:
        UsageError: If the table is empty.
        NotEnoughDataError: If a cell is missing or not finite; the message names the first.
    """
    if not scores.size:
        raise UsageError(f"a table of scores needs a task and a method, this one has the shape {scores.shape}")
    numbers = scores.astype(np.float64)
    bad = np.argwhere(~np.isfinite(numbers.to_numpy()))
    if len(bad):
        row, column = bad[0]
        raise NotEnoughDataError(
            f"{scores.columns[column]} has no finite score for {scores.index[row]} ({len(bad)} such cells): compare "
            "methods on the tasks that all of them finished",
            cells=bad,
        )
    return numbers


def win_tie_loss(scores: pd.DataFrame, *, minimise: bool = True, tolerance: float = 0.0) -> pd.DataFrame:
    """Return on how many tasks each method is better than, equal to or worse than each other one.

    Args:
        scores: Table of scores.
        minimise: Whether less is better.
        tolerance: Relative difference up to which two scores are equal, e.g. 0.01 for 1 %.

    Returns:
        Columns wins, ties, losses; indexed by (method, other).

    Raises:
        UsageError: If the table is empty or the tolerance negative.
        NotEnoughDataError: If a cell is missing.
    """
    if not tolerance >= 0:
        raise UsageError(f"tolerance is {tolerance}: it must be 0 or more", tolerance=tolerance)
    table = checked_scores(scores)
    records = {}
    for method, other in permutations(table.columns, 2):
        a, b = table[method].to_numpy(), table[other].to_numpy()
        records[method, other] = _wins_ties_losses(a, b, minimise=minimise, tolerance=tolerance)
    index = pd.MultiIndex.from_tuples(list(records), names=["method", "other"])
    return pd.DataFrame(list(records.values()), index=index, columns=["wins", "ties", "losses"])


def compare_pairs(
    scores: pd.DataFrame, *, minimise: bool = True, alpha: float = 0.05, baseline: str | None = None
) -> pd.DataFrame:
    """Compare methods two at a time: signed-rank test with Holm's correction, effect size, wins.

    Args:
        scores: Table of scores.
        minimise: Whether less is better.
        alpha: Chance of any false difference in the whole table.
        baseline: Compare every other method with this one only; all pairs if None.

    Returns:
        One row a pair with the columns method, other, median_difference (method - other), wins, ties,
        losses (of method), p, p_holm, significant, cliffs_delta (of method over other) and magnitude.

    Raises:
        UsageError: If the baseline is unknown or the table is empty.
        NotEnoughDataError: If a cell is missing.
    """
    table = checked_scores(scores)
    if baseline is not None and baseline not in table.columns:
        raise UsageError(f"baseline '{baseline}' is no method: there are {list(table.columns)}", baseline=baseline)
    if baseline is None:
        pairs = list(combinations(table.columns, 2))
    else:
        pairs = [(method, baseline) for method in table.columns if method != baseline]
    records = []
    for method, other in pairs:
        a, b = table[method].to_numpy(), table[other].to_numpy()
        delta = cliffs_delta(a, b)
        wins, ties, losses = _wins_ties_losses(a, b, minimise=minimise, tolerance=0.0)
        records.append(
            {
                "method": method,
                "other": other,
                "median_difference": float(np.median(a - b)),
                "wins": wins,
                "ties": ties,
                "losses": losses,
                "p": wilcoxon_signed_rank(a, b).p_value,
                "cliffs_delta": delta,
                "magnitude": delta_magnitude(delta),
            }
        )
    result = pd.DataFrame(records)
    if len(result):
        result.insert(7, "p_holm", holm(result["p"].to_numpy()))
        result.insert(8, "significant", result["p_holm"] <= alpha)
    return result


def _wins_ties_losses(a: FloatArray, b: FloatArray, *, minimise: bool, tolerance: float) -> tuple[int, int, int]:
    tie = np.abs(a - b) <= tolerance * np.maximum(np.abs(a), np.abs(b))
    better = ~tie & ((a < b) if minimise else (a > b))
    return int(better.sum()), int(tie.sum()), int((~tie & ~better).sum())
