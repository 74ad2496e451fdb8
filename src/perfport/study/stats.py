"""Statistics for comparing two lists of scores: bootstrap intervals, a paired test, effect sizes.

Example:
    >>> wilcoxon_signed_rank([9.0, 8.0, 7.0, 9.5, 8.5, 7.5], [5.0, 4.5, 6.0, 5.2, 4.1, 6.2]).p_value
    0.03125
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from perfport.data.measurement import FloatArray
from perfport.errors import UsageError

__all__ = [
    "Interval",
    "SignedRank",
    "a12",
    "a12_magnitude",
    "bootstrap_interval",
    "cliffs_delta",
    "delta_magnitude",
    "holm",
    "wilcoxon_signed_rank",
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
