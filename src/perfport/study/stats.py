"""Statistics for comparing methods over tasks: intervals, paired tests, effect sizes, wins.

Most functions take a *table of scores*: one row a task, one column a method, one number a cell.
Repetitions of the same task (other seeds) are not independent tasks, so they are averaged before any
test; `score_table` does that. Lower scores are better unless `minimise` is False.

Example:
    >>> import pandas as pd
    >>> scores = pd.DataFrame({"direct": [9.0, 8.0, 7.0], "influence": [5.0, 4.0, 6.0]})
    >>> win_tie_loss(scores).loc[("influence", "direct")].to_dict()
    {'wins': 3, 'ties': 0, 'losses': 0}
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from perfport.data.measurement import FloatArray
from perfport.errors import NotEnoughDataError, UsageError

__all__ = [
    "Interval",
    "SignedRank",
    "a12",
    "a12_magnitude",
    "bootstrap_interval",
    "checked_scores",
    "cliffs_delta",
    "compare_pairs",
    "delta_magnitude",
    "holm",
    "score_table",
    "wilcoxon_signed_rank",
    "win_tie_loss",
]

EXACT_PAIRS = 200  # beyond this the normal approximation of the signed-rank test is as good
BOOTSTRAP_CELLS = 2_000_000  # resampled numbers held at a time


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and a range that covers the truth with a stated probability.

    Attributes:
        estimate: The statistic of the sample.
        lower: Lower limit.
        upper: Upper limit.
        coverage: Nominal probability that the range holds the truth.
    """

    estimate: float
    lower: float
    upper: float
    coverage: float

    def __str__(self) -> str:
        return f"{self.estimate:.4g} [{self.lower:.4g}, {self.upper:.4g}]"


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[..., FloatArray] = np.mean,
    *,
    rng: np.random.Generator,
    coverage: float = 0.95,
    method: Literal["bca", "percentile"] = "bca",
    n_resamples: int = 9999,
) -> Interval:
    """Return a bootstrap confidence interval of a statistic of independent values.

    Args:
        values: Shape (n,), finite; independent of each other (tasks, not seeds of one task).
        statistic: Called as `statistic(array, axis=-1)`, such as `numpy.mean` or `numpy.median`.
        rng: Draws the resamples.
        coverage: Between 0 and 1.
        method: "percentile" takes quantiles of the resampled statistics; "bca" shifts those quantiles for
            bias and skewness.
        n_resamples: Number of resamples.

    Returns:
        The interval; both limits equal the estimate when every resample gives the same.

    Raises:
        UsageError: If there is no value, one is not finite, or an argument is out of range.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, equations 13.5 (percentile) and
        14.9, 14.10, 14.14 and 14.15 (BCa).
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not len(sample) or not np.all(np.isfinite(sample)):
        raise UsageError(
            f"values have the shape {sample.shape} with {int(np.sum(~np.isfinite(sample)))} not finite: "
            "give a list of at least one finite number",
            values=sample,
        )
    if not 0 < coverage < 1 or n_resamples < 1 or method not in ("bca", "percentile"):
        raise UsageError(
            f"coverage {coverage}, n_resamples {n_resamples}, method '{method}': coverage must lie between 0 and 1, "
            "n_resamples be 1 or more, method 'bca' or 'percentile'"
        )
    estimate = float(statistic(sample, axis=-1))
    resampled = _resampled(sample, statistic, n_resamples, rng)
    tails = np.array([(1.0 - coverage) / 2.0, (1.0 + coverage) / 2.0])
    if method == "bca" and len(sample) > 1 and np.ptp(resampled) > 0:
        tails = _bca_tails(tails, estimate, resampled, _jackknife(sample, statistic))
    lower, upper = np.quantile(resampled, tails)
    return Interval(estimate, float(lower), float(upper), coverage)


def _resampled(
    sample: FloatArray, statistic: Callable[..., FloatArray], n_resamples: int, rng: np.random.Generator
) -> FloatArray:
    chunk = max(1, BOOTSTRAP_CELLS // len(sample))
    parts = []
    for start in range(0, n_resamples, chunk):
        rows = rng.integers(len(sample), size=(min(chunk, n_resamples - start), len(sample)))
        parts.append(np.asarray(statistic(sample[rows], axis=-1), dtype=np.float64))
    return np.concatenate(parts)


def _jackknife(sample: FloatArray, statistic: Callable[..., FloatArray]) -> FloatArray:
    n = len(sample)
    others = np.arange(n - 1) + (np.arange(n - 1) >= np.arange(n)[:, None])  # (n, n - 1), row i without i
    return np.asarray(statistic(sample[others], axis=-1), dtype=np.float64)


def _acceleration(jackknife: FloatArray) -> float:
    """Return how fast the standard error changes with the statistic (Efron and Tibshirani, 14.15)."""
    deviation = jackknife.mean() - jackknife
    spread = float(np.sum(deviation**2))
    return float(np.sum(deviation**3) / (6.0 * spread**1.5)) if spread > 0 else 0.0


def _bca_tails(tails: FloatArray, estimate: float, resampled: FloatArray, jackknife: FloatArray) -> FloatArray:
    # Resamples that tie with the estimate count half, or a discrete statistic looks biased.
    below = np.mean(resampled < estimate) + 0.5 * np.mean(resampled == estimate)
    if not 0 < below < 1:
        return tails
    z0 = stats.norm.ppf(below)
    z = z0 + stats.norm.ppf(tails)
    return np.asarray(stats.norm.cdf(z0 + z / (1.0 - _acceleration(jackknife) * z)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class SignedRank:
    """Result of a Wilcoxon signed-rank test.

    Attributes:
        rank_sum_positive: Sum of the ranks of the pairs whose first member is larger.
        rank_sum_negative: Sum of the ranks of the others; equal pairs give half to each.
        p_value: Two-sided.
    """

    rank_sum_positive: float
    rank_sum_negative: float
    p_value: float


def wilcoxon_signed_rank(a: ArrayLike, b: ArrayLike) -> SignedRank:
    """Test whether paired scores differ systematically, without assuming a distribution.

    Args:
        a: Scores of one method, shape (n,), one a task.
        b: Scores of the other on the same tasks, shape (n,).

    Returns:
        Rank sums and the two-sided p-value: exact for up to 200 pairs, ties included (all sign patterns of the
        ranks at hand are equally likely), else from the normal approximation; 1 when all pairs are equal.

    Raises:
        UsageError: If the shapes differ, there is no pair, or a score is not finite.

    Source:
        Wilcoxon, Biometrics Bulletin 1(6), 1945; equal pairs as in Demsar, JMLR 7, 2006, section 3.1.3.
    """
    first, second = _checked_pair(a, b)
    difference = first - second
    ranks = stats.rankdata(np.abs(difference))
    ties = float(np.sum(ranks[difference == 0])) / 2.0
    positive = float(np.sum(ranks[difference > 0])) + ties
    negative = float(np.sum(ranks[difference < 0])) + ties
    if not np.any(difference):
        p_value = 1.0
    elif len(difference) <= EXACT_PAIRS:
        p_value = _exact_signed_rank(ranks[difference != 0], min(positive, negative) - ties)
    else:
        p_value = float(stats.wilcoxon(difference, zero_method="zsplit").pvalue)
    return SignedRank(positive, negative, p_value)


def _exact_signed_rank(ranks: FloatArray, smaller_sum: float) -> float:
    """Return the chance that random signs give a rank sum as small as `smaller_sum` on either side."""
    steps = np.rint(2.0 * ranks).astype(np.intp)  # mean ranks of ties are multiples of one half
    chance = np.zeros(int(steps.sum()) + 1)
    chance[0] = 1.0
    for step in steps:
        chance[step:] = 0.5 * (chance[step:] + chance[: len(chance) - step])
        chance[:step] *= 0.5
    return float(min(1.0, 2.0 * chance[: round(2.0 * smaller_sum) + 1].sum()))


def holm(p_values: ArrayLike) -> FloatArray:
    """Return p-values adjusted for being the smallest of many, by Holm's step-down procedure.

    Rejecting where the adjusted value is at most alpha keeps the chance of any false rejection at alpha.

    Args:
        p_values: Shape (m,), each in [0, 1].

    Source:
        Holm, Scandinavian Journal of Statistics 6(2), 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03, 0.005]).round(3).tolist()
        [0.03, 0.06, 0.06, 0.02]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise UsageError("p-values must be a list of numbers between 0 and 1", p_values=p)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def cliffs_delta(a: ArrayLike, b: ArrayLike) -> float:
    """Return how much more often a value of `a` is larger than one of `b` than the reverse.

    Returns:
        P(a > b) - P(a < b) over all pairs: 1 if all of `a` is larger, 0 for no tendency, -1 if all is smaller.

    Raises:
        UsageError: If one is empty or holds a number that is not finite.

    Source:
        Cliff, Psychological Bulletin 114(3), 1993.

    Example:
        >>> cliffs_delta([10, 10, 20, 20, 20, 30, 30, 30, 40, 50], [10, 20, 30, 40, 40, 50])
        -0.25
    """
    first, second = _checked(a), np.sort(_checked(b))
    smaller = np.searchsorted(second, first, side="left")
    larger = len(second) - np.searchsorted(second, first, side="right")
    return float(np.sum(smaller - larger) / (len(first) * len(second)))


def delta_magnitude(delta: float) -> str:
    """Return the usual word for a Cliff's delta: negligible, small, medium or large.

    Source:
        Limits .147, .33 and .474: Romano et al., annual meeting of the Florida Association of
        Institutional Research, 2006.
    """
    return _word(abs(delta), (0.147, 0.33, 0.474))


def a12(a: ArrayLike, b: ArrayLike) -> float:
    """Return the chance that a value of `a` is larger than one of `b`, ties counting half.

    Equal to (cliffs_delta + 1) / 2.

    Source:
        Vargha and Delaney, Journal of Educational and Behavioral Statistics 25(2), 2000, equation 1.

    Example:
        >>> a12([3, 4, 5], [1, 2, 3])
        0.9444444444444444
    """
    return (cliffs_delta(a, b) + 1.0) / 2.0


def a12_magnitude(value: float) -> str:
    """Return Vargha and Delaney's word for an A12; limits .56, .64 and .71, and their mirror images."""
    return _word(max(value, 1.0 - value), (0.56, 0.64, 0.71))


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


def _word(size: float, limits: tuple[float, float, float]) -> str:
    words = ("negligible", "small", "medium", "large")
    return words[int(np.searchsorted(limits, size, side="right"))]


def _checked(values: ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not np.all(np.isfinite(array)):
        raise UsageError("values must be a list of at least one finite number", values=array)
    return array


def _checked_pair(a: ArrayLike, b: ArrayLike) -> tuple[FloatArray, FloatArray]:
    first, second = _checked(a), _checked(b)
    if len(first) != len(second):
        raise UsageError(f"{len(first)} and {len(second)} scores: a paired test needs both methods on the same tasks")
    return first, second
