"""Was the transfer worth it, and are more rows worth measuring?

Two questions a model of a few target rows leaves open, both answered from those rows alone:

- `break_even`: how many target rows would a model without sources need for the same error?
- `advise_budget`: how wrong is the model over all candidates, and what would more rows give?

Both are extrapolations and say how far they may be off.

Example:
    >>> model = transfer(sources=[source], target=rows, property="inference_time_s")  # doctest: +SKIP
    >>> print(break_even(model))                                                      # doctest: +SKIP
    about 45 rows without transfer would reach the same error; 30 to 90
    >>> print(advise_budget(model, space_of_the_target))                              # doctest: +SKIP
    estimated error 4.1 % (2.6 to 6.4); 5 more rows would give about 3.6 %, 10 about 3.2 %, 20 about 2.8 %
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray
from perfport.errors import UsageError
from perfport.model.base import PerformanceModel
from perfport.model.threads import one_thread
from perfport.seeding import rng_for
from perfport.space.encoding import Encoder
from perfport.transfer.auto import Auto
from perfport.transfer.base import TransferStrategy
from perfport.transfer.learning_curve import (
    LEAST_ERROR,
    Exponent,
    LearningCurve,
    exponent,
    fall,
    learning_curve,
    left_out_errors,
)
from perfport.transfer.names import make_strategy
from perfport.transfer.prepare import in_content_order, prepare_sources, prepare_target
from perfport.transfer.recipe import Recipe
from perfport.transfer.transferred import TransferredModel

__all__ = ["BreakEven", "BudgetAdvice", "Forecast", "advise_budget", "break_even"]

RANGE = 0.8  # probability the ranges aim at
N_QUANTILES = 41
FURTHEST = 30.0  # times the measured rows; beyond that a power law from so few rows says nothing
# The constants below were read off 13 published pairs of environments, of other systems than those that the
# figures of `advise_budget` and `break_even` are from.
WITH_SOURCES = Exponent(0.42, 0.5)
ALONE = Exponent(0.6, 0.45)
LOO_ROWS = 30.0  # rows at which left-out errors and the model's own uncertainty count alike
LEVEL_SD = 1.3  # of the logarithm of estimated over true error, times sqrt(n)
GAP_SD = 0.3  # of the logarithm of the gain, because the measured rows do not stand for all candidates
MAX_CANDIDATES = 1000  # whose uncertainty is averaged; more do not move a mean
QUARTILE = float(ndtri(0.75))


@dataclass(frozen=True, slots=True)
class BreakEven:
    """How many target rows a model without sources would need.

    Attributes:
        n: Rows that were measured.
        rows: Rows that would reach the same error without sources; infinite if that is beyond what can
            be extrapolated to (30 n).
        lower: Lower limit of the range that holds it with a probability of 80 %.
        upper: Upper limit; infinite likewise.
    """

    n: int
    rows: float
    lower: float
    upper: float

    def __str__(self) -> str:
        """One sentence."""
        furthest = _round(FURTHEST * self.n)
        if not np.isfinite(self.rows):
            return (
                f"more than {furthest} rows without transfer would be needed for the same error; "
                f"at least {_round(self.lower)}"
            )
        upper = f"to {_round(self.upper)}" if np.isfinite(self.upper) else f"to more than {furthest}"
        said = f"{_round(self.lower)} {upper}"
        if self.rows <= self.n:
            return f"the same rows without transfer would reach the same error; {said}"
        return f"about {_round(self.rows)} rows without transfer would reach the same error; {said}"


@dataclass(frozen=True, slots=True)
class Forecast:
    """The error with so many more rows.

    Attributes:
        more: Rows beside those measured.
        error_pct: Estimated mean absolute percentage error over all candidates.
        lower_pct: Lower limit of the range that holds it with a probability of 80 %.
        upper_pct: Upper limit.
    """

    more: int
    error_pct: float
    lower_pct: float
    upper_pct: float


@dataclass(frozen=True, slots=True)
class BudgetAdvice:
    """What the error is, and what measuring more would make of it.

    Attributes:
        now: With the rows that were measured.
        later: With more of them, in ascending order; empty where no candidate is left.
    """

    now: Forecast
    later: tuple[Forecast, ...]

    def __str__(self) -> str:
        """One sentence."""
        now = self.now
        text = f"estimated error {now.error_pct:.2g} % ({now.lower_pct:.2g} to {now.upper_pct:.2g})"
        if not self.later:
            return f"{text}; no candidate is left to measure"
        first, *others = self.later
        rows = "row" if first.more == 1 else "rows"
        steps = [f"{first.more} more {rows} would give about {first.error_pct:.2g} %"]
        return f"{text}; " + ", ".join([*steps, *(f"{step.more} about {step.error_pct:.2g} %" for step in others)])


@one_thread()
def break_even(model: TransferredModel) -> BreakEven | None:
    """Return how many target rows would reach the error of a transferred model without any source.

    The rows of the model are predicted by models, with and without sources, that have not seen them.
    How many rows more it takes to close the gap between the two is read off the sources: each is known
    well, so a model of some of its rows can be tested on the others. Where the sources are too small to
    tell, a power law goes on. Takes some thirty fits, five of them with the model's strategy.

    Args:
        model: What `perfport.transfer` returned.

    Returns:
        None where nothing can be said: fewer than four usable rows, no source, or a strategy that
        cannot be fitted to half of the rows.

    Raises:
        UsageError: If the model does not know what it was made from.
    """
    recipe = _recipe(model)
    if not recipe.sources:
        return None
    refit = _Refit.of(recipe)
    alone = replace(refit, strategy=Auto(), sources=())
    errors, without = left_out_errors(refit.fit, refit.target, recipe.property), alone.curve()
    if errors is None or without is None:
        return None
    n = len(refit.target)
    gap, gap_sd = _log_gap(without.errors_most, errors)
    probabilities = (np.arange(N_QUANTILES) + 0.5) / N_QUANTILES
    gaps = gap + float(np.hypot(gap_sd, GAP_SD)) * ndtri(probabilities)
    known = fall(alone.fit_rows, refit.sources, recipe.property, without.most)
    slopes = exponent(without, ALONE).quantiles(probabilities)
    times = np.exp(np.minimum(_log_times(gaps[:, None], known, slopes[None, :]), 50.0))
    tail = (1.0 - RANGE) / 2.0
    lower, rows, upper = (
        float(n * found) if found <= FURTHEST else np.inf for found in np.quantile(times, [tail, 0.5, 1.0 - tail])
    )
    return BreakEven(n, max(rows, 1.0), min(max(lower, 1.0), FURTHEST * n), max(upper, 1.0))


@one_thread()
def advise_budget(
    model: TransferredModel, candidates: pd.DataFrame, *, more: Sequence[int] = (5, 10, 20)
) -> BudgetAdvice | None:
    """Estimate the error of a model over all candidates, and what more rows would make of it.

    The error now is a weighted geometric mean of two estimates: the left-out error of the measured
    rows (which were chosen for being far from the others, and are few) and the error the model itself
    expects at the candidates: a response that is log-normal with sigma has a least expected relative
    error of 2 Phi(sigma) - 1. The more rows, the more weight the first has. The error then falls by
    a power law, whose exponent is a compromise between the usual one and what the rows show.

    Checked on eight published transfers of four systems with 5, 10, 20 and 40 proposed rows, none of them used
    to choose a constant. Estimated over true error now: median 1.03, half of the estimates within a factor of
    1.24, true error in the range 75 % of the time. Forecast over true error with twice the rows: median
    1.03, half within 1.37 (taking the error now for it: 1.49), in the range 92 %. What the model expects to
    learn from the next rows (the fall of its variance) was tried as a forecast and told nothing: it did not
    correlate with what followed.

    Args:
        model: What `perfport.transfer` returned.
        candidates: Configurations the model is for, at least one; measured ones are left out.
        more: How many more rows to forecast for, each at least 1; more than there are candidates left
            are not forecast.

    Returns:
        None where nothing can be said, which is so after a single row for strategies that predict no
        intervals of their own.

    Raises:
        UsageError: If the model does not know what it was made from, there is no candidate, or a number of
            rows is not positive.
    """
    recipe = _recipe(model)
    if not len(candidates):
        raise UsageError("there is no candidate; give the configurations the model is for, one a row")
    if any(rows < 1 for rows in more):
        raise UsageError(f"more={list(more)}: numbers of further rows must be 1 or more")
    refit = _Refit.of(recipe)
    n = len(refit.target)
    free = _unmeasured(refit.target, candidates)
    error_pct = _error_now(model, candidates.iloc[free[:MAX_CANDIDATES]], n)
    if error_pct is None:
        return None
    steps = sorted({int(rows) for rows in more if rows <= len(free)})
    curve = refit.curve() if steps else None
    usual = WITH_SOURCES if recipe.sources else ALONE
    slope = exponent(curve, usual)
    return BudgetAdvice(
        _forecast(error_pct, n, 0, slope),
        tuple(_forecast(error_pct, n, step, slope) for step in steps),
    )


@dataclass(frozen=True, slots=True)
class _Refit:
    """A recipe ready to be fitted again and again to parts of its target rows."""

    strategy: TransferStrategy
    sources: tuple[Dataset, ...]
    target: Dataset
    property: str
    seed: int

    @classmethod
    def of(cls, recipe: Recipe) -> "_Refit":
        target = prepare_target(recipe.target, property=recipe.property).dataset
        declared = recipe.target.properties[recipe.property]
        prepared = prepare_sources(recipe.sources, recipe.target.space, property=declared, rename=recipe.rename)
        strategy = make_strategy(recipe.strategy) if isinstance(recipe.strategy, str) else recipe.strategy
        return cls(strategy, tuple(source.dataset for source in prepared), target, recipe.property, recipe.seed)

    def curve(self) -> LearningCurve | None:
        return learning_curve(self.fit, self.target, self.property)

    def fit(self, rows: NDArray[np.int64]) -> PerformanceModel:
        return self.fit_rows(self.target.take(rows))

    def fit_rows(self, rows: Dataset) -> PerformanceModel:
        return self.strategy.fit(self.sources, rows, property=self.property, rng=rng_for(self.seed, "transfer"))


def _recipe(model: TransferredModel) -> Recipe:
    if model.recipe is None:
        raise UsageError("the model does not know what it was made from; make it with perfport.transfer")
    return model.recipe


def _log_gap(errors_alone: FloatArray, errors: FloatArray) -> tuple[float, float]:
    """Return log(mean error alone / mean error) and its standard error, by the delta method on paired rows."""
    means = [max(float(found.mean()), LEAST_ERROR) for found in (errors_alone, errors)]
    each = errors_alone / means[0] - errors / means[1]
    return float(np.log(means[0] / means[1])), float(each.std(ddof=1) / np.sqrt(len(each)))


def _log_times(gap: FloatArray, known: tuple[FloatArray, FloatArray], slope: FloatArray) -> FloatArray:
    """Return log(rows needed / rows) to lower the log error by `gap`, along a known fall and a power law around it."""
    log_rows, fallen = known
    # Where the fall stands still its end counts: the error is lower only from there on.
    within = np.interp(gap, fallen + 1e-9 * np.arange(len(fallen)), log_rows)
    return np.asarray(within + np.minimum(gap, 0.0) / slope + np.maximum(gap - fallen[-1], 0.0) / slope)


def _unmeasured(target: Dataset, candidates: pd.DataFrame) -> NDArray[np.int64]:
    """Return the rows of the distinct candidates that were not measured, in content order."""
    order, keys = in_content_order(target.space, candidates)
    _, first = np.unique(keys, return_index=True)
    known = Encoder(target.space, fitted_on=candidates).keys(target.configurations)
    is_free = np.zeros(len(keys), dtype=bool)
    is_free[first] = ~np.isin(keys[first], known)
    return order[is_free[order]]


def _error_now(model: TransferredModel, candidates: pd.DataFrame, n: int) -> float | None:
    left_out = model.verdict.estimated_error_pct
    expected = _expected_error_pct(model, candidates) if len(candidates) else None
    if left_out is None or expected is None:
        return left_out if expected is None else expected
    share = n / (n + LOO_ROWS)
    floor = 100.0 * LEAST_ERROR
    return float(np.exp(share * np.log(max(left_out, floor)) + (1.0 - share) * np.log(max(expected, floor))))


def _expected_error_pct(model: TransferredModel, candidates: pd.DataFrame) -> float | None:
    """Return the mean error the model expects of itself, in percent; None if it expects anything."""
    lower, upper = model.predict_interval(candidates, coverage=0.5)
    with np.errstate(divide="ignore"):
        sd = (np.log(upper) - np.log(lower)) / (2.0 * QUARTILE)
    if not np.all(np.isfinite(sd)):
        return None
    return float(100.0 * np.mean(2.0 * ndtr(sd) - 1.0))


def _forecast(error_pct: float, n: int, more: int, slope: Exponent) -> Forecast:
    growth = np.log1p(more / n)
    fall = float(slope.quantiles(np.array(0.5))) * growth
    reach = float(ndtri(0.5 + RANGE / 2.0)) * float(np.hypot(LEVEL_SD / np.sqrt(n), slope.sd * growth))
    error = error_pct * float(np.exp(-fall))
    return Forecast(more, error, error * float(np.exp(-reach)), error * float(np.exp(reach)))


def _round(rows: float) -> int:
    """Return a number of rows to two digits; more would be a claim."""
    return int(float(f"{rows:.2g}"))
