"""What a model holds possible for a new reading: a mixture of log-normal distributions, one a configuration.

Limits and searches need more than an interval: the probability that a reading stays below a limit, the
gain to be expected over the best seen so far. Both have closed forms here.

Example:
    >>> predictive = Predictive.normal(np.log([1.0, 2.0]), np.array([0.1, 0.1]))
    >>> predictive.probability_at_most(1.0).round(2).tolist()
    [0.5, 0.0]

Source:
    Expected improvement: Jones, Schonlau, Welch, Journal of Global Optimization 13, 1998; on the
    logarithm, so that it is about ratios.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from perfport.data.measurement import FloatArray
from perfport.errors import NotEnoughDataError

__all__ = ["Predictive"]

MIN_SD = 1e-9  # of the log response; an interval of no width is a certain reading


@dataclass(frozen=True, slots=True, eq=False)
class Predictive:
    """The predictive distributions of the logarithm of m responses, k normal components each.

    Attributes:
        weights: Of the components, shape (k, m); columns sum to 1.
        means: Shape (k, m), logarithm of the response in the unit of the property.
        sds: Standard deviations, shape (k, m), positive.
    """

    weights: FloatArray
    means: FloatArray
    sds: FloatArray

    @classmethod
    def normal(cls, mean: FloatArray, sd: FloatArray) -> "Predictive":
        """Return distributions of one component; mean and standard deviation of the log response, each shape (m,)."""
        return cls(np.ones((1, len(mean))), mean[None, :], sd[None, :])

    @classmethod
    def of_interval(cls, lower: FloatArray, upper: FloatArray, *, coverage: float) -> "Predictive":
        """Return log-normal distributions whose central `coverage` lies between the limits.

        Args:
            lower: Lower limits, shape (m,), in the unit of the property.
            upper: Upper limits.
            coverage: Between 0 and 1.

        Raises:
            NotEnoughDataError: If an interval has no limits.
        """
        if not np.all(np.isfinite(upper) & (lower > 0)):
            raise NotEnoughDataError(
                "the model's intervals have no limits, as after a single row, so nothing can be said about "
                "probabilities; measure a few more rows"
            )
        sd = (np.log(upper) - np.log(lower)) / (2.0 * float(ndtri(0.5 + coverage / 2.0)))
        return cls.normal(0.5 * (np.log(lower) + np.log(upper)), np.maximum(sd, MIN_SD))

    @classmethod
    def joined(cls, parts: "Sequence[Predictive]") -> "Predictive":
        """Return the distributions of several parts, one after the other; all of equally many components."""
        columns = ([getattr(part, name) for part in parts] for name in ("weights", "means", "sds"))
        return cls(*(np.concatenate(column, axis=1) for column in columns))

    def __len__(self) -> int:
        return int(self.means.shape[1])

    def widened(self, factor: float) -> "Predictive":
        """Return the distributions with every standard deviation multiplied."""
        return Predictive(self.weights, self.means, factor * self.sds)

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the log response, each shape (m,)."""
        mean = (self.weights * self.means).sum(axis=0)
        variance = (self.weights * (np.square(self.sds) + np.square(self.means - mean))).sum(axis=0)
        return mean, np.sqrt(variance)

    def probability_at_most(self, limit: float) -> FloatArray:
        """Return the probability that a reading is at most `limit`, shape (m,).

        Args:
            limit: In the unit of the property, positive.
        """
        return np.asarray((self.weights * ndtr((np.log(limit) - self.means) / self.sds)).sum(axis=0))

    def expected_gain(self, best: float, *, minimise: bool = True) -> FloatArray:
        """Return the expected improvement over `best` on the log scale, shape (m,); 0.01 is one percent.

        Args:
            best: Best response so far, in the unit of the property, positive.
            minimise: Whether less is better.
        """
        sign = 1.0 if minimise else -1.0
        u = sign * (np.log(best) - self.means) / self.sds
        density = np.exp(-0.5 * np.square(u)) / np.sqrt(2.0 * np.pi)
        # Far from the best the two terms cancel to rounding errors, which may be below zero.
        gain = np.maximum(u * ndtr(u) + density, 0.0)
        return np.asarray((self.weights * self.sds * gain).sum(axis=0))
