"""Time-outs: rows of which only a lower bound is known.

A target row that timed out and carries a response says "at least so much". The model of the exact
rows foresees a distribution of its response; what is known of the row is that distribution above the
bound. Its mean stands in for the response, its standard deviation for the noise of the row, and the
model is fitted again; a few rounds settle. A row that was foreseen well above its bound says nothing
new, and so changes nothing.

Source:
    Schmee and Hahn, "A Simple Method for Regression Analysis with Censored Data", Technometrics
    21(4), 1979. Hutter, Hoos, Leyton-Brown, "Bayesian Optimization With Censored Response Data",
    2011 (the same for surrogate models of run times).
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri

from perfport.data.dataset import Dataset
from perfport.data.measurement import Status
from perfport.model.base import PerformanceModel, PredictsInterval, PredictsMedian

__all__ = ["is_bound", "truncated_moments", "with_expected_bounds"]

FloatArray = NDArray[np.float64]

N_ROUNDS = 3
MAX_SD_LOG = 2.0  # of a foreseen response: no time-out is expected to last a hundred times its limit
MAX_DEVIATION = 1e4  # standard deviations; further out a difference of logarithms is all rounding
QUARTILE = float(ndtri(0.75))


def is_bound(dataset: Dataset, property: str) -> NDArray[np.bool_]:
    """Return which rows timed out and say at which response, shape (n,)."""
    y = dataset.response(property)
    with np.errstate(invalid="ignore"):
        return np.asarray((dataset.status == Status.TIMED_OUT.value) & np.isfinite(y) & (y > 0))


def with_expected_bounds(
    fit: Callable[[Dataset], PerformanceModel], target: Dataset, bounds: Dataset, *, property: str
) -> Dataset:
    """Return the target rows and, below them, the bounded ones at the response that is expected of them.

    Args:
        fit: Makes a model of target rows.
        target: Rows with a response.
        bounds: Rows whose response is a lower bound; their status stays "timed_out".
        property: Name of the response.
    """
    limits = np.log(bounds.responses[property])
    rows = target
    for _ in range(N_ROUNDS):
        mean, sd = _foreseen(fit(rows), bounds.configurations)
        expected, spread = truncated_moments(mean, sd, limits)
        rows = Dataset(
            space=target.space,
            environment=target.environment,
            properties={property: target.properties[property]},
            configurations=pd.concat([target.configurations, bounds.configurations], ignore_index=True),
            responses={property: np.append(target.responses[property], np.exp(expected))},
            status=np.append(target.status, bounds.status),
            log_se={property: np.append(target.log_se[property], spread)},
        )
    return replace(rows, notes=None)


def truncated_moments(mean: FloatArray, sd: FloatArray, lower: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of normal variables above a lower limit, each shape (m,).

    Args:
        mean: Before the limit is known, shape (m,).
        sd: Before the limit is known, not negative, shape (m,); with 0 the answer is max(mean, lower).
        lower: Limits, shape (m,).
    """
    safe = np.where(sd > 0, sd, 1.0)
    a = np.clip((lower - mean) / safe, -MAX_DEVIATION, MAX_DEVIATION)
    # Hazard of the standard normal, in logarithms so that it is exact far above the mean.
    hazard = np.exp(-0.5 * a**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(-a))
    above = np.maximum(mean + safe * hazard, lower)
    variance = np.clip(1.0 + a * hazard - hazard**2, 0.0, 1.0)
    return np.where(sd > 0, above, np.maximum(mean, lower)), np.where(sd > 0, safe * np.sqrt(variance), 0.0)


def _foreseen(model: PerformanceModel, configurations: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of the log response; sd 0 for models without intervals."""
    centre = model.predict_median if isinstance(model, PredictsMedian) else model.predict
    mean = np.log(np.maximum(centre(configurations), np.finfo(float).tiny))
    if not isinstance(model, PredictsInterval):
        return mean, np.zeros(len(mean))
    lower, upper = model.predict_interval(configurations, coverage=0.5)
    return mean, np.minimum((np.log(upper) - np.log(lower)) / (2.0 * QUARTILE), MAX_SD_LOG)
