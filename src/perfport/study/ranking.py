"""Ranking many methods over many tasks: Scott-Knott ESD groups, Friedman test and critical difference.

Both take a table of scores (one row a task, one column a method) and both say which methods cannot be
told apart: Scott-Knott by disjoint groups of means, Nemenyi by overlapping groups of mean ranks.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from perfport.data.measurement import FloatArray
from perfport.errors import NotEnoughDataError, UsageError
from perfport.study.scores import checked_scores

__all__ = ["CriticalDifference", "critical_difference", "nemenyi_critical_difference", "scott_knott_esd"]

IntArray = NDArray[np.intp]

NEGLIGIBLE_COHEN_D = 0.2


def scott_knott_esd(
    scores: pd.DataFrame,
    *,
    minimise: bool = True,
    alpha: float = 0.05,
    is_blocked: bool = False,
    negligible: float = NEGLIGIBLE_COHEN_D,
) -> pd.DataFrame:
    """Rank methods in groups that differ both significantly and by more than a negligible effect.

    The methods, sorted by mean score, are split in two where the sum of squares between the parts is
    largest; a likelihood-ratio test says whether the split stands, and the parts are split further.
    Then neighbouring groups with a negligible Cohen's d are merged.

    The test assumes roughly normal scores of equal variance: give the logarithm of errors that span
    decades.

    Args:
        scores: Table of scores, at least two tasks.
        minimise: Whether less is better.
        alpha: Significance level of each split.
        is_blocked: Whether differences between tasks are taken out of the error variance and of Cohen's d.
            The published procedure does not, and then hardly separates methods on tasks that differ much.
        negligible: Cohen's d below which groups are merged; 0 gives the Scott-Knott test itself.

    Returns:
        Columns mean and rank (1 is best), indexed by method, best first.

    Raises:
        UsageError: If the table is empty.
        NotEnoughDataError: If a cell is missing or there is only one task.

    Source:
        Scott and Knott, Biometrics 30(3), 1974; Tantithamthavorn et al., IEEE Transactions on Software
        Engineering 43(1), 2017, section 5.5 (effect size difference).
    """
    table = checked_scores(scores)
    if len(table) < 2:
        raise NotEnoughDataError("Scott-Knott needs at least two tasks to estimate an error variance, not 1")
    if is_blocked:
        table = table - table.mean(axis=1).to_numpy()[:, None] + float(table.to_numpy().mean())
    means = table.mean(axis=0)
    order = np.argsort(means.to_numpy() if minimise else -means.to_numpy(), kind="stable")
    values = table.to_numpy()[:, order]
    n, k = values.shape
    # Taking out the task means costs one degree of freedom a task, but not the general mean again.
    freedom = (n - 1) * (k - 1) if is_blocked else k * (n - 1)
    error = float(np.sum((values - values.mean(axis=0)) ** 2)) / max(freedom, 1)
    groups = _split(values.mean(axis=0), np.arange(k), error / n, freedom, alpha)
    groups = _merge(groups, values, negligible)
    ranks = np.concatenate([np.full(len(group), rank) for rank, group in enumerate(groups, start=1)])
    return pd.DataFrame(
        {"mean": checked_scores(scores).mean(axis=0).to_numpy()[order], "rank": ranks}, index=table.columns[order]
    )


def likelihood_ratio(means: FloatArray, variance: float, freedom: int) -> tuple[int, float, float]:
    """Return the best place to split sorted means in two, Scott and Knott's lambda, and its p-value.

    Args:
        means: Sorted, shape (k,), k at least 2.
        variance: Of one mean: error mean square over number of observations.
        freedom: Degrees of freedom of that variance.

    Returns:
        Size of the first part; lambda = pi / (2 (pi - 2)) B / s^2 with B the sum of squares between the
        parts; the chance of a larger one under chi square with k / (pi - 2) degrees of freedom.
    """
    k = len(means)
    left = np.cumsum(means)[:-1]
    size = np.arange(1, k)
    total = float(means.sum())
    between = left**2 / size + (total - left) ** 2 / (k - size) - total**2 / k
    cut = int(np.argmax(between))
    pooled = (float(np.sum((means - means.mean()) ** 2)) + freedom * variance) / (k + freedom)
    if not pooled > 0:
        return cut + 1, 0.0, 1.0
    ratio = math.pi / (2.0 * (math.pi - 2.0)) * float(between[cut]) / pooled
    return cut + 1, ratio, float(stats.chi2.sf(ratio, k / (math.pi - 2.0)))


def _split(means: FloatArray, members: IntArray, variance: float, freedom: int, alpha: float) -> list[IntArray]:
    if len(members) < 2:
        return [members]
    cut, _, p_value = likelihood_ratio(means, variance, freedom)
    if p_value > alpha:
        return [members]
    return [
        *_split(means[:cut], members[:cut], variance, freedom, alpha),
        *_split(means[cut:], members[cut:], variance, freedom, alpha),
    ]


def _merge(groups: list[IntArray], values: FloatArray, negligible: float) -> list[IntArray]:
    groups = list(groups)
    while len(groups) > 1:
        effects = [_cohens_d(values[:, a], values[:, b]) for a, b in pairwise(groups)]
        least = int(np.argmin(effects))
        if effects[least] >= negligible:
            break
        groups[least : least + 2] = [np.concatenate(groups[least : least + 2])]
    return groups


def _cohens_d(a: FloatArray, b: FloatArray) -> float:
    difference = abs(float(a.mean() - b.mean()))
    squares = float(np.sum((a - a.mean()) ** 2) + np.sum((b - b.mean()) ** 2))
    pooled = math.sqrt(squares / (a.size + b.size - 2))
    if pooled == 0:
        return math.inf if difference > 0 else 0.0
    return difference / pooled


@dataclass(frozen=True, slots=True)
class CriticalDifference:
    """Friedman test with Nemenyi's post-hoc test: all a critical-difference picture needs.

    Attributes:
        average_ranks: Mean rank of every method over the tasks, best first.
        n_tasks: Number of tasks.
        alpha: Significance level.
        critical_difference: Mean ranks further apart than this differ significantly.
        chi_square: Friedman's statistic, corrected for ties.
        p_value: Of `chi_square`.
        f_statistic: Iman and Davenport's less conservative form, without tie correction.
        f_p_value: Of `f_statistic`.
        p_values: Nemenyi's p-value for every pair of methods.
        groups: Methods joined by a bar: the largest sets within which no two differ significantly.
    """

    average_ranks: pd.Series
    n_tasks: int
    alpha: float
    critical_difference: float
    chi_square: float
    p_value: float
    f_statistic: float
    f_p_value: float
    p_values: pd.DataFrame
    groups: tuple[tuple[str, ...], ...]


def nemenyi_critical_difference(n_methods: int, n_tasks: int, *, alpha: float = 0.05) -> float:
    """Return the difference of mean ranks from which two methods differ significantly.

    q sqrt(k (k + 1) / (6 N)) with q the studentised range over infinitely many degrees of freedom,
    divided by the square root of 2 (Demsar, JMLR 7, 2006, section 3.2.2).

    Example:
        >>> round(nemenyi_critical_difference(4, 14), 2)
        1.25
    """
    if n_methods < 2 or n_tasks < 1 or not 0 < alpha < 1:
        raise UsageError(
            f"{n_methods} methods, {n_tasks} tasks, alpha {alpha}: there must be at least two methods and one task, "
            "and alpha lie between 0 and 1"
        )
    q = float(stats.studentized_range.ppf(1.0 - alpha, n_methods, np.inf)) / math.sqrt(2.0)
    return q * math.sqrt(n_methods * (n_methods + 1) / (6.0 * n_tasks))


def critical_difference(scores: pd.DataFrame, *, minimise: bool = True, alpha: float = 0.05) -> CriticalDifference:
    """Test whether methods differ at all, and which ones do.

    Args:
        scores: Table of scores with at least three methods and two tasks.
        minimise: Whether less is better.
        alpha: Significance level of the whole comparison.

    Raises:
        NotEnoughDataError: If there are fewer methods or tasks, or a cell is missing.

    Source:
        Friedman, JASA 32, 1937; Iman and Davenport, Communications in Statistics A9, 1980; Nemenyi, PhD
        thesis, Princeton, 1963; put together by Demsar, JMLR 7, 2006, section 3.2.
    """
    table = checked_scores(scores)
    n, k = table.shape
    if k < 3 or n < 2:
        raise NotEnoughDataError(
            f"{k} methods on {n} tasks: the Friedman test needs three methods and two tasks; compare two methods "
            "by wilcoxon_signed_rank"
        )
    values = table.to_numpy() if minimise else -table.to_numpy()
    ranks = stats.rankdata(values, axis=1)
    average = pd.Series(ranks.mean(axis=0), index=table.columns, name="average_rank").sort_values(kind="stable")
    chi_square, p_value = 0.0, 1.0
    if np.any(ranks != ranks[:, :1]):
        result = stats.friedmanchisquare(*values.T)
        chi_square, p_value = float(result.statistic), float(result.pvalue)
    plain = 12.0 * n / (k * (k + 1.0)) * (float(np.sum(average.to_numpy() ** 2)) - k * (k + 1.0) ** 2 / 4.0)
    left = n * (k - 1.0) - plain
    f_statistic = (n - 1.0) * plain / left if left > 1e-9 * n * k else math.inf
    limit = nemenyi_critical_difference(k, n, alpha=alpha)
    apart = np.abs(average.to_numpy()[:, None] - average.to_numpy())
    range_statistic = apart / math.sqrt(k * (k + 1.0) / (6.0 * n)) * math.sqrt(2.0)
    p_values = stats.studentized_range.sf(range_statistic, k, np.inf)
    return CriticalDifference(
        average_ranks=average,
        n_tasks=n,
        alpha=alpha,
        critical_difference=limit,
        chi_square=chi_square,
        p_value=p_value,
        f_statistic=f_statistic,
        f_p_value=float(stats.f.sf(f_statistic, k - 1, (k - 1) * (n - 1))),
        p_values=pd.DataFrame(np.minimum(p_values, 1.0), index=average.index, columns=average.index),
        groups=_joined(average, limit),
    )


def _joined(average: pd.Series, limit: float) -> tuple[tuple[str, ...], ...]:
    """Return the maximal runs of sorted mean ranks no wider than `limit`."""
    ranks = average.to_numpy()
    ends = np.searchsorted(ranks, ranks + limit, side="right")
    runs = []
    for start, end in enumerate(ends):
        if end - start > 1 and (start == 0 or ends[start - 1] < end):
            runs.append(tuple(str(name) for name in average.index[start:end]))
    return tuple(runs)
