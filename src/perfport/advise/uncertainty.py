"""What a model is unsure of, as draws: whole responses it holds possible, from which anything may be computed.

An interval around each prediction does not say how far a *difference* of predictions may be off; draws
do. They come, in order of preference, from refits the caller offers, from the model's own posterior, or
from its interval around each prediction together with an assumption on how errors go together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from scipy.special import ndtri

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray
from perfport.errors import UsageError
from perfport.model.base import PerformanceModel, PredictsDistribution, PredictsInterval, PredictsMedian
from perfport.model.predictive import Predictive

__all__ = ["Draws", "PredictsSamples", "Refit", "bootstrap", "central_response", "draw_responses", "predictive_of"]

Refit = Callable[[np.random.Generator], PerformanceModel]

# Correlation of the errors of two configurations that differ in every option: exp(-2), or 14 %. Our
# choice, between the two useless extremes: errors that always go together never move an influence, and
# errors that never do leave every influence exact when configurations are many.
_DECAY = 2.0
_INTERVAL_COVERAGE = 0.9


@runtime_checkable
class PredictsSamples(Protocol):
    """Ability: draws from the joint posterior of the responses of many configurations."""

    def predict_samples(self, configurations: pd.DataFrame, n: int, *, rng: np.random.Generator) -> FloatArray:
        """Return `n` draws of all m responses, shape (n, m), positive, in the unit of the property."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Responses a model holds possible.

    Attributes:
        responses: Shape (k, m): k draws for m configurations, in the unit of the property; k is 0 if the
            model cannot say what it is unsure of.
        origin: Where they come from, or why there are none, for people.
    """

    responses: FloatArray
    origin: str

    def __len__(self) -> int:
        return len(self.responses)


def central_response(model: PerformanceModel, configurations: pd.DataFrame) -> FloatArray:
    """Return the model's median where it has one, else its prediction, shape (m,).

    A prediction that minimises the relative error lies the lower the less certain the model is; explained
    as it stands, uncertainty would look like an influence.
    """
    if isinstance(model, PredictsMedian):
        return np.asarray(model.predict_median(configurations), dtype=np.float64)
    return np.asarray(model.predict(configurations), dtype=np.float64)


def predictive_of(model: PerformanceModel, configurations: pd.DataFrame) -> Predictive:
    """Return what the model holds possible for a new reading of each configuration.

    A model that only gives intervals is taken to be log-normal between them.

    Raises:
        UsageError: If the model gives neither.
        NotEnoughDataError: If its intervals have no limits.
    """
    if isinstance(model, PredictsDistribution):
        return model.predict_distribution(configurations)
    name = model.property.name
    if not isinstance(model, PredictsInterval):
        raise UsageError(f"the model of {name} gives no intervals: how probable a limit is kept cannot be said")
    lower, upper = model.predict_interval(configurations, coverage=_INTERVAL_COVERAGE)
    return Predictive.of_interval(lower, upper, coverage=_INTERVAL_COVERAGE)


def bootstrap(fit: Callable[[Dataset], PerformanceModel], dataset: Dataset) -> Refit:
    """Return the refit that fits a resample of the rows (with replacement), for `explain` and `compare`.

    Args:
        fit: Fits a model to a dataset, for instance
            `lambda rows: transfer(sources=[source], target=rows, property=name)`.
        dataset: The rows the model was fitted on.
    """

    def refit(rng: np.random.Generator) -> PerformanceModel:
        return fit(dataset.take(rng.integers(0, len(dataset), len(dataset))))

    return refit


def draw_responses(
    model: PerformanceModel,
    configurations: pd.DataFrame,
    *,
    n: int,
    rng: np.random.Generator,
    refit: Refit | None = None,
) -> Draws:
    """Return responses the model holds possible.

    Args:
        model: A performance model.
        configurations: m configurations; a few hundred are enough, and thousands cost cubic time where
            errors are put together from intervals.
        n: How many draws, at least 1.
        rng: Source of all randomness.
        refit: Returns a model fitted on resampled rows; if given, each draw is the prediction of one.
    """
    if n < 1:
        raise UsageError(f"{n} draws were asked for: at least 1 is needed", n=n)
    if refit is not None:
        return Draws(np.stack([central_response(refit(rng), configurations) for _ in range(n)]), f"{n} refits")
    if isinstance(model, PredictsSamples):
        drawn = np.asarray(model.predict_samples(configurations, n, rng=rng), dtype=np.float64)
        return Draws(drawn, f"{n} draws from the posterior")
    nothing = np.empty((0, len(configurations)))
    if not isinstance(model, PredictsInterval):
        return Draws(nothing, "the model gives no intervals, and no refit was given")
    lower, upper = model.predict_interval(configurations, coverage=_INTERVAL_COVERAGE)
    if not np.all(np.isfinite(upper) & (lower > 0)):
        return Draws(nothing, "the intervals of the model have no limits, and no refit was given")
    drawn = _from_intervals(np.log(lower), np.log(upper), configurations, n, rng)
    return Draws(drawn, "the prediction intervals of the model")


def _from_intervals(
    log_lower: FloatArray, log_upper: FloatArray, configurations: pd.DataFrame, n: int, rng: np.random.Generator
) -> FloatArray:
    sd = (log_upper - log_lower) / (2.0 * float(ndtri(0.5 + _INTERVAL_COVERAGE / 2.0)))
    m = len(configurations)
    differing = np.zeros((m, m))
    for name in configurations.columns:
        codes, _ = pd.factorize(configurations[name])
        differing += codes[:, None] != codes
    correlation = np.exp(-_DECAY * differing / len(configurations.columns)) + 1e-9 * np.eye(m)
    errors = np.linalg.cholesky(correlation) @ rng.standard_normal((m, n))
    return np.asarray(np.exp(0.5 * (log_lower + log_upper) + sd * errors.T))
