"""One Gaussian process for several environments: the intrinsic coregionalisation model.

Two rows are alike if their configurations are alike *and* their environments are:

    cov(z_e(x), z_e'(x')) = B[e, e'] k(x, x') + [e = e'] c + [same row] noise_e
    k(x, x') = exp(-1/2 sum_d w_d (x_d - x'_d)^2)        B = W W' + diag(kappa)

W has one row an environment. kappa_e is what an environment has for itself, noise_e what even it
cannot repeat, c the (wide, fixed) variance of its own mean. All of W, kappa, w and the noises are
found together by maximum a posteriori.

Source:
    Jamshidi, Velez, Kaestner, Siegmund, Kawthekar, "Transfer Learning for Improving Model Predictions
    in Highly Configurable Software", SEAMS 2017 (the product of an environment and a configuration
    kernel, with ARD). Bonilla, Chai, Williams, "Multi-task Gaussian Process Prediction", NIPS 2007
    (the free-form B). The priors and the diagonal of B are ours.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perfport.model.gp import (
    FloatArray,
    LogNormal,
    Objective,
    Posterior,
    condition,
    minimise_whitened,
    negative_log_likelihood,
    squared_distances,
)

__all__ = ["CoregionalPrior", "Coregionalised", "IntArray", "coregional_objective", "fit_coregionalised"]

IntArray = NDArray[np.int64]

OWN = LogNormal(0.1, 1.5)
NOISE = LogNormal(0.01, 1.5)
WEIGHT = LogNormal(0.3, 1.5)


@dataclass(frozen=True, slots=True)
class CoregionalPrior:
    """Prior of `fit_coregionalised`, for responses standardised in every environment.

    Attributes:
        loading: Mean of the first column of W: environments are expected to be alike.
        loading_sd: Standard deviation of every entry of W, wide enough for an environment that is the
            other way round.
        own: kappa, the part of every environment that no other shares.
        noise: Of every environment.
        weight: Inverse squared length of a column, times the square root of the number of columns.
        constant: Variance of the mean of every environment, fixed.
    """

    loading: float = 1.0
    loading_sd: float = 0.7
    own: LogNormal = OWN
    noise: LogNormal = NOISE
    weight: LogNormal = WEIGHT
    constant: float = 25.0


@dataclass(frozen=True, slots=True)
class Coregionalised:
    """The kernel `fit_coregionalised` found.

    Attributes:
        loadings: W, shape (E, R).
        own: kappa, shape (E,).
        noise: Shape (E,).
        weights: w, shape (d,).
        constant: c.
    """

    loadings: FloatArray
    own: FloatArray
    noise: FloatArray
    weights: FloatArray
    constant: float

    @property
    def between(self) -> FloatArray:
        """B, the covariance of the environments, shape (E, E)."""
        return self.loadings @ self.loadings.T + np.diag(self.own)

    def correlations(self) -> FloatArray:
        """Return B as correlations, shape (E, E)."""
        sd = np.sqrt(np.diag(self.between))
        return np.asarray(self.between / np.outer(sd, sd))

    def cross(self, X: FloatArray, e: IntArray, Y: FloatArray, f: IntArray) -> FloatArray:
        """Return the covariance, without noise, of rows X of environments e with rows Y of f, shape (n, m)."""
        K = self.between[np.ix_(e, f)] * _similarity(X, Y, self.weights)
        return np.asarray(K + self.constant * (e[:, None] == f[None, :]))

    def gram(self, X: FloatArray, e: IntArray) -> FloatArray:
        """Return the covariance of the rows with themselves, noise included, shape (n, n)."""
        K = self.cross(X, e, X, e)
        K[np.diag_indices(len(X))] += self.noise[e]
        return K

    def variance(self, environment: int) -> float:
        """Return the prior variance of a reading in an environment, noise included."""
        return float(self.between[environment, environment] + self.constant + self.noise[environment])

    def condition(self, X: FloatArray, e: IntArray, z: FloatArray, extra: FloatArray) -> Posterior:
        """Return the process conditioned on rows; `extra` is known noise variance of each, shape (n,)."""
        K = self.gram(X, e)
        K[np.diag_indices(len(X))] += extra
        return condition(K, z)


def coregional_objective(
    X: FloatArray, e: IntArray, z: FloatArray, extra: FloatArray, prior: CoregionalPrior, *, rank: int = 1
) -> Objective:
    """Return q -> (negative log posterior, gradient); q = W row by row, kappa, noise, w.

    With G = dNLL/dK and k the similarity, S[e, e'] = sum of (G k) over the rows of e and e' is
    dNLL/dB, so dNLL/dW = 2 S W and dNLL/dkappa = diag S.

    Args:
        X: Encoded rows of all environments, shape (n, d).
        e: Environment of each row, 0 ... E-1, shape (n,).
        z: Responses, shape (n,).
        extra: Known noise variance of each row, shape (n,).
        prior: Medians and spreads.
        rank: R, columns of W.
    """
    n_environments, d = int(e.max()) + 1, X.shape[1]
    member = (e[:, None] == np.arange(n_environments)).astype(np.float64)  # (n, E)
    same = member @ member.T
    squares = np.square(X)
    diagonal = np.arange(len(z))

    def objective(q: FloatArray) -> tuple[float, FloatArray]:
        kernel = _kernel(q, n_environments, d, prior, rank)
        similarity = _similarity(X, X, kernel.weights)
        between = kernel.between[np.ix_(e, e)]
        K = between * similarity + kernel.constant * same
        K[diagonal, diagonal] += kernel.noise[e] + extra
        value, G = negative_log_likelihood(K, z)
        S = member.T @ ((G * similarity) @ member)
        M = G * between * similarity
        # sum_ij M_ij (x_i - x_j)^2 = 2 (M 1)' x^2 - 2 x' M x, for every column at once
        spread = 2.0 * (M.sum(axis=1) @ squares) - 2.0 * np.einsum("id,id->d", X, M @ X)
        gradient = np.concatenate(
            [
                prior.loading_sd * (2.0 * S @ kernel.loadings).ravel(),
                prior.own.sd_log * kernel.own * np.diag(S),
                prior.noise.sd_log * kernel.noise * (member.T @ np.diag(G)),
                prior.weight.sd_log * (-0.5 * kernel.weights * spread),
            ]
        )
        return value + 0.5 * float(q @ q), gradient + q

    return objective


def fit_coregionalised(
    X: FloatArray,
    e: IntArray,
    z: FloatArray,
    extra: FloatArray,
    *,
    prior: CoregionalPrior | None = None,
    rank: int = 1,
    max_iterations: int = 40,
) -> Coregionalised:
    """Fit the model by MAP with L-BFGS; arguments as for `coregional_objective`. One step costs O(n^3)."""
    prior = prior or CoregionalPrior()
    n_environments, d = int(e.max()) + 1, X.shape[1]
    objective = coregional_objective(X, e, z, extra, prior, rank=rank)
    q = minimise_whitened(objective, n_environments * (rank + 2) + d, max_iterations)
    return _kernel(q, n_environments, d, prior, rank)


def _kernel(q: FloatArray, n_environments: int, d: int, prior: CoregionalPrior, rank: int) -> Coregionalised:
    def positive(scale: LogNormal, deviation: FloatArray) -> FloatArray:
        return np.asarray(scale.median * np.exp(scale.sd_log * deviation))

    loadings, own, noise, weights = np.split(q, np.cumsum([n_environments * rank, n_environments, n_environments]))
    weight = LogNormal(prior.weight.median / np.sqrt(max(d, 1)), prior.weight.sd_log)
    return Coregionalised(
        loadings=_start(n_environments, rank, prior) + prior.loading_sd * loadings.reshape(n_environments, rank),
        own=positive(prior.own, own),
        noise=positive(prior.noise, noise),
        weights=positive(weight, weights),
        constant=prior.constant,
    )


def _start(n_environments: int, rank: int, prior: CoregionalPrior) -> FloatArray:
    """Return the prior mean of W: one common column; others differ a little, or they could never part."""
    e, r = np.arange(n_environments)[:, None], np.arange(rank)[None, :]
    return np.asarray(np.where(r == 0, prior.loading, 0.2 * np.cos(np.pi * r * (e + 0.5) / n_environments)))


def _similarity(X: FloatArray, Y: FloatArray, weights: FloatArray) -> FloatArray:
    root = np.sqrt(weights)
    return np.exp(-0.5 * squared_distances(X * root, Y * root))
