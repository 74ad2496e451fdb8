"""Was the recommendation right? What was measured of it, beside what was promised and the default.

Pure data in, pure data out: the door that has the machine measures the recommended configuration and
the default several times, in turns, and hands the readings over.

Example:
    >>> gain = gain_over(np.array([2.0, 2.1, 1.9, 2.0]), np.array([1.0, 1.1, 0.9, 1.0]))
    >>> round(gain.value, 2), gain.is_settled
    (2.0, True)

Source:
    The interval of a gain: Hodges and Lehmann 1963, with the exact distribution of Mann and Whitney's
    U 1947. Medians and ranks, because readings of a busy machine have long tails.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from perfport.advise.recommendation.recommend import Recommendation, is_minimised
from perfport.data.measurement import FloatArray
from perfport.errors import UsageError
from perfport.units import format_quantity

__all__ = ["Gain", "Verification", "gain_over", "settle", "verify"]

_MAX_EXACT = 400  # pairs of readings up to which the distribution of U is computed exactly


@dataclass(frozen=True, slots=True)
class Gain:
    """How many times better one configuration is than another; above 1 it is better.

    Attributes:
        value: Median ratio over all pairs of readings.
        lower: Lower limit of the interval; 0 if the readings are too few for the coverage.
        upper: Upper limit; infinite if they are too few.
    """

    value: float
    lower: float
    upper: float

    @property
    def is_settled(self) -> bool:
        """Whether the interval leaves no doubt which of the two is better."""
        return self.lower > 1.0 or self.upper < 1.0


@dataclass(frozen=True, slots=True)
class Verification:
    """A recommendation beside what was measured.

    Attributes:
        recommendation: What was promised.
        verified: Median reading of the recommended configuration, in the unit of the property.
        default: Median reading of the default configuration.
        gain: Recommended over default; above 1 the recommendation pays, whichever way is better.
        error_pct: |predicted - verified| / verified, in percent.
        is_inside: Whether the verified response lies in the predicted interval; None without one.
    """

    recommendation: Recommendation
    verified: float
    default: float
    gain: Gain
    error_pct: float
    is_inside: bool | None

    def __str__(self) -> str:
        """One line: predicted, verified, default, gain."""
        unit = self.recommendation.property.unit
        return (
            f"predicted {format_quantity(self.recommendation.predicted, unit)}, "
            f"verified {format_quantity(self.verified, unit)} ({self.error_pct:.3g} % off), "
            f"default {format_quantity(self.default, unit)}: {self.gain.value:.3g}x "
            f"[{self.gain.lower:.3g}, {self.gain.upper:.3g}]"
        )


def verify(
    recommendation: Recommendation,
    measured: ArrayLike,
    default: ArrayLike,
    *,
    minimise: bool | None = None,
    coverage: float = 0.9,
) -> Verification:
    """Compare a recommendation with readings of it and of the default.

    Args:
        recommendation: What was promised.
        measured: Readings of the recommended configuration, shape (r,), positive, in the unit of the
            property. They must be independent: medians of separate runs, not the repetitions within one,
            which share its luck.
        default: Readings of the default configuration, shape (q,), likewise; r and q may differ.
        minimise: Whether less is better; by default what the property says.
        coverage: Of the interval of the gain.

    Raises:
        UsageError: If a reading is not positive and finite, or there is none, or the property does not say
            which way is better and `minimise` is not given either.
    """
    readings, others = _readings("measured", measured), _readings("default", default)
    if is_minimised(recommendation.property, minimise):
        gain = gain_over(others, readings, coverage=coverage)
    else:
        gain = gain_over(readings, others, coverage=coverage)
    verified = float(np.median(readings))
    is_inside = None
    if recommendation.lower is not None and recommendation.upper is not None:
        is_inside = recommendation.lower <= verified <= recommendation.upper
    return Verification(
        recommendation=recommendation,
        verified=verified,
        default=float(np.median(others)),
        gain=gain,
        error_pct=100.0 * abs(recommendation.predicted - verified) / verified,
        is_inside=is_inside,
    )


def settle(
    recommendations: Sequence[Recommendation],
    measured: Sequence[ArrayLike],
    default: ArrayLike,
    *,
    minimise: bool | None = None,
    coverage: float = 0.9,
) -> tuple[Verification, ...]:
    """Verify several recommendations and return them by what they measured, best first.

    Args:
        recommendations: At least one.
        measured: Readings of each, in the same order; see `verify`.
        default: Readings of the default configuration.
        minimise: Whether less is better; by default what the property says.
        coverage: Of the interval of each gain by itself; of many, some are wrong by chance.

    Raises:
        UsageError: If the numbers of recommendations and of readings differ, or as `verify`.
    """
    if not recommendations or len(measured) != len(recommendations):
        raise UsageError(
            f"{len(recommendations)} recommendations and readings of {len(measured)}: give readings of each, and "
            "at least one"
        )
    found = [
        verify(one, readings, default, minimise=minimise, coverage=coverage)
        for one, readings in zip(recommendations, measured, strict=True)
    ]
    return tuple(sorted(found, key=lambda one: -one.gain.value))


def gain_over(larger: ArrayLike, smaller: ArrayLike, *, coverage: float = 0.9) -> Gain:
    """Return how many times `larger` is `smaller`: the ratio of two sets of readings with its interval.

    Args:
        larger: Readings, shape (r,), positive.
        smaller: Readings, shape (q,), positive.
        coverage: Least probability that the interval holds the ratio of the two distributions, which are
            taken to differ by a factor alone.

    Returns:
        The median of all r q ratios, and the ratios at the ranks the exact distribution of U gives (a normal
        approximation from 400 pairs on). Three readings of each are the least that reach 0.9.

    Raises:
        UsageError: If a reading is not positive and finite, there is none, or the coverage is out of range.
    """
    if not 0.0 < coverage < 1.0:
        raise UsageError(f"coverage is {coverage}: it must lie between 0 and 1, for instance 0.9", coverage=coverage)
    a, b = _readings("larger", larger), _readings("smaller", smaller)
    differences = np.sort(np.subtract.outer(np.log(a), np.log(b)).ravel())
    value = float(np.exp(np.median(differences)))
    cut = _rank_cut(len(a), len(b), (1.0 - coverage) / 2.0)
    if cut == 0:
        return Gain(value, 0.0, float("inf"))
    return Gain(value, float(np.exp(differences[cut - 1])), float(np.exp(differences[-cut])))


def _rank_cut(m: int, n: int, tail: float) -> int:
    """Return the largest c with P(U <= c - 1) <= tail under the null hypothesis; 0 if there is none."""
    if m * n > _MAX_EXACT:
        return max(0, int(np.floor(m * n / 2 + norm.ppf(tail) * np.sqrt(m * n * (m + n + 1) / 12))))
    # The number of orders with U = u is the coefficient of q^u in prod_i (1 - q^(n + i)) / (1 - q^i), i = 1 ... m.
    counts = np.zeros(m * n + 1)
    counts[0] = 1.0
    for i in range(1, m + 1):
        for u in range(m * n, n + i - 1, -1):
            counts[u] -= counts[u - n - i]
        for u in range(i, m * n + 1):
            counts[u] += counts[u - i]
    # Sums of small integers are exact, but their share of the whole may fall a rounding error beyond the tail.
    return int(np.sum(np.cumsum(counts) / counts.sum() <= tail * (1 + 1e-12)))


def _readings(name: str, values: ArrayLike) -> FloatArray:
    readings = np.asarray(values, dtype=np.float64)
    if readings.ndim != 1 or not len(readings):
        raise UsageError(f"'{name}' has shape {readings.shape}: give at least one reading, as a list of numbers")
    if not (np.isfinite(readings).all() and (readings > 0).all()):
        raise UsageError(f"'{name}' holds a reading that is not positive and finite; drop failed measurements first")
    return readings
