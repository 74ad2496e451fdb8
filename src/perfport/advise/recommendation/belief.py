"""What is believed of one property of a few candidates, and how readings change that.

A joint normal distribution of the candidates' log responses. It starts at a model's predictions, whose errors
are taken to be half common to all candidates and half their own, and is updated by every reading. The noise of
a reading is learnt from repeated readings, starting from 2 %.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy.special import ndtri

from perfport.data.measurement import FloatArray

__all__ = ["Belief", "Prediction"]

COMMON = 0.5  # correlation of the errors of two predictions; our choice, between none and a mere offset
UNKNOWN_SD = 0.5  # of the log response, where the model gives no interval
NOISE_SD, NOISE_WEIGHT = 0.02, 2.0  # prior of the noise of a reading, and the repeated readings it is worth


class Prediction(Protocol):
    """A response that a model expects, with its interval if it gives one; in the unit of the property."""

    @property
    def predicted(self) -> float:
        """The median where the model knows it."""

    @property
    def lower(self) -> float | None:
        """Lower limit of the interval."""

    @property
    def upper(self) -> float | None:
        """Upper limit of the interval."""


class Belief:
    """One property of m candidates.

    Args:
        predictions: Of the first candidates, at least one.
        n_added: Further candidates, of which nothing is predicted but that they are like the others.
        coverage: Of the intervals of the predictions.

    Attributes:
        readings: Of each candidate, in order, in the unit of the property.
    """

    def __init__(self, predictions: Sequence[Prediction], *, n_added: int, coverage: float) -> None:
        means = [float(np.log(one.predicted)) for one in predictions]
        self._mean = np.array([*means, *([float(np.mean(means))] * n_added)])
        sd = np.array([*(_sd_log(one, coverage) for one in predictions), *([UNKNOWN_SD] * n_added)])
        self._covariance = np.outer(sd, sd) * (COMMON + (1.0 - COMMON) * np.eye(len(sd)))
        self.readings: list[list[float]] = [[] for _ in sd]

    def noise_variance(self) -> float:
        """Return the variance of a log reading, from the scatter of repeated ones."""
        repeated = [np.log(readings) for readings in self.readings if len(readings) > 1]
        squares = sum(float(np.square(logs - logs.mean()).sum()) for logs in repeated)
        freedom = sum(len(logs) - 1 for logs in repeated)
        return (NOISE_WEIGHT * NOISE_SD**2 + squares) / (NOISE_WEIGHT + freedom)

    def posterior(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and covariance of the log responses, given the model and all readings: shapes (m,), (m, m)."""
        counts = np.array([len(readings) for readings in self.readings])
        read = np.flatnonzero(counts)
        if not len(read):
            return self._mean, self._covariance
        means = np.array([np.mean(np.log(self.readings[place])) for place in read])
        K = self._covariance[np.ix_(read, read)] + np.diag(self.noise_variance() / counts[read])
        gain = np.linalg.solve(K, self._covariance[read]).T
        mean = self._mean + gain @ (means - self._mean[read])
        return mean, self._covariance - gain @ self._covariance[read]

    def draws(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Return draws of the log responses, shape (n, m)."""
        mean, covariance = self.posterior()
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return np.asarray(mean + rng.standard_normal((n, len(mean))) @ root.T)


def _sd_log(prediction: Prediction, coverage: float) -> float:
    lower, upper = prediction.lower, prediction.upper
    if lower is None or upper is None or not (lower > 0 and np.isfinite(upper)):
        return UNKNOWN_SD
    return max(float(np.log(upper / lower) / (2.0 * ndtri(0.5 + coverage / 2.0))), 1e-4)
