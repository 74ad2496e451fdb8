"""Mixing members: weights by stacked leave-one-out densities, predictions and quantiles of the mixture.

A member earns weight by how well it predicts each target row from the others. The densities are
heavy-tailed (Student-t with 4 degrees of freedom), so that one bad row does not decide; each parameter that
the rows decided costs as much as it is expected to flatter (Akaike's price); and a Dirichlet prior keeps few rows
from deciding at all. Where a member is uncertain about a row, its
vote on that row counts less: a GP far from all it has seen says the mean of its prior, and says so.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

__all__ = ["Mixture", "stack_weights"]

FloatArray = NDArray[np.float64]

PRIOR_COUNTS = 2.5  # Dirichlet counts per root of the number of target rows
N_EM_STEPS = 100
LOCAL = 0.75  # votes are divided by the member's variance at the row to this power: half way is 0.5, precision 1
N_BISECTIONS = 45  # leaves 2^-45 of an interval of a few dozen standard deviations


def stack_weights(
    loo_errors: FloatArray, loo_variances: FloatArray, n_effective: FloatArray, prior: FloatArray
) -> FloatArray:
    """Return the weight of every member, shape (k,), summing to 1.

    Args:
        loo_errors: Shape (k, n).
        loo_variances: Shape (k, n), positive.
        n_effective: Parameters of each member that the same rows decided, shape (k,).
        prior: Prior weights, shape (k,), summing to 1.

    Source:
        Akaike, "A new look at the statistical model identification", IEEE TAC 19(6), 1974: the log likelihood of rows
        that chose p parameters exceeds that of new rows by p; here p / n a row.
    """
    n = loo_errors.shape[1]
    log_density = -0.5 * np.log(loo_variances) - 2.5 * np.log1p(np.square(loo_errors) / (4.0 * loo_variances))
    log_density -= n_effective[:, None] / n
    density = np.exp(log_density - log_density.max(axis=0))
    weights = prior
    for _ in range(N_EM_STEPS):
        responsibility = weights[:, None] * density
        counts = PRIOR_COUNTS * np.sqrt(n) * prior + (responsibility / responsibility.sum(axis=0)).sum(axis=1)
        weights = counts / counts.sum()
    return weights


@dataclass(frozen=True, slots=True)
class Mixture:
    """A Gaussian mixture at each of m rows.

    Attributes:
        weights: Shape (k, m), columns summing to 1.
        means: Shape (k, m).
        variances: Shape (k, m), positive.
    """

    weights: FloatArray
    means: FloatArray
    variances: FloatArray

    @classmethod
    def of(cls, weights: FloatArray, means: FloatArray, variances: FloatArray) -> "Mixture":
        """Return the mixture of members with weights of shape (k,), each row's votes scaled by certainty.

        Args:
            weights: Of the members, shape (k,), summing to 1.
            means: Shape (k, m).
            variances: Shape (k, m), positive.
        """
        votes = weights[:, None] * variances**-LOCAL
        return cls(votes / votes.sum(axis=0), means, variances)

    def diluted(self, share: float, mean: float, variance: float) -> "Mixture":
        """Return the mixture in which one more member, the same for all rows, has a share of the votes."""
        if share == 0.0:
            return self
        m = self.means.shape[1]
        return Mixture(
            np.vstack([(1.0 - share) * self.weights, np.full(m, share)]),
            np.vstack([self.means, np.full(m, mean)]),
            np.vstack([self.variances, np.full(m, variance)]),
        )

    def conformal_widening(self, coverage: float) -> float:
        """Return the factor on standard deviations at which left-out errors, of which this is the mixture, are covered.

        Of m errors as many as (m + 1) `coverage`, rounded up, have to lie inside, so that a further one
        does with that probability; 0 where m is too small for that.

        Source:
            Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, "Distribution-Free Predictive Inference for
            Regression", JASA 113, 2018, with errors divided by their own standard deviation.
        """
        error, variance = self.moments()
        wanted = int(np.ceil((len(error) + 1) * coverage))
        if wanted > len(error):
            return 0.0
        return float(np.sort(np.abs(error) / np.sqrt(variance))[wanted - 1] / ndtri(0.5 + coverage / 2.0))

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of the mixture, each of shape (m,)."""
        mean = np.einsum("km,km->m", self.weights, self.means)
        return mean, np.einsum("km,km->m", self.weights, self.variances + np.square(self.means - mean))

    def quantile(self, probability: float, *, widen: float = 1.0) -> FloatArray:
        """Return the quantile of the mixture at every row, shape (m,), by bisection.

        Args:
            probability: Between 0 and 1.
            widen: Factor on every member's standard deviation.
        """
        sd = widen * np.sqrt(self.variances)
        # The quantile of a mixture lies between those of its members; normal ones beyond 12 sd do not exist.
        low, high = (self.means - 12.0 * sd).min(axis=0), (self.means + 12.0 * sd).max(axis=0)
        for _ in range(N_BISECTIONS):
            middle = 0.5 * (low + high)
            below = np.einsum("km,km->m", self.weights, ndtr((middle - self.means) / sd)) < probability
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(0.5 * (low + high))
