"""How many hyper-parameters of a Gaussian process its rows, not their priors, decided.

Rows that decided p of them flatter the model: the log likelihood of as many new rows is lower by about p
(Akaike, 1974). That is what makes members with two and with forty scales comparable.
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg import solve_triangular

from perfport.model.gp import ArdKernel, ArdPrior, FloatArray, Posterior, ScaleFit, ScalePrior

__all__ = ["effective_lengths", "effective_scales"]

MAX_ROWS = 150  # that are counted on: bounds the memory of the derivatives, and many rows flatter little


def effective_scales(kernels: FloatArray, prior: ScalePrior, fit: ScaleFit) -> float:
    """Return how many of the scales and amplitude that `fit_scales` learned the rows decide; see `_n_effective`.

    Args:
        kernels: As `fit_scales` got them, shape (J, n, n).
        prior: Likewise.
        fit: What it found.
    """
    n = min(kernels.shape[1], MAX_ROWS)
    first = np.empty((len(kernels) + 2, n, n))
    first[1:-1] = fit.scales[:, None, None] * kernels[:, :n, :n]
    first[-1] = fit.noise * np.eye(n)
    first[0] = prior.amplitude_sd * first[1:].sum(axis=0)
    first[1:] *= prior.sd_log[:, None, None]

    def second(G: FloatArray) -> FloatArray:
        # K is a sum of exponentials: the derivative of each summand is the summand, but for a factor.
        by_scale = np.einsum("kij,ij->k", first, G)
        curvature = np.diag(np.append(prior.amplitude_sd, prior.sd_log) * by_scale)
        curvature[0, 1:] = curvature[1:, 0] = prior.amplitude_sd * by_scale[1:]
        return curvature

    return _n_effective(fit.posterior, first, second)


def effective_lengths(X: FloatArray, prior: ArdPrior, kernel: ArdKernel, posterior: Posterior) -> float:
    """Return how many of the parameters that `fit_ard` learned the rows decide; see `_n_effective`.

    Args:
        X: As `fit_ard` got it, shape (n, d).
        prior: Likewise.
        kernel: What it found.
        posterior: Of the rows under that kernel.
    """
    X = X[:MAX_ROWS]
    n, d = X.shape
    similarity = kernel.amplitude * kernel.similarity(X, X)
    slopes = -0.5 * prior.weight_sd * kernel.weights
    gaps = np.square(X.T[:, :, None] - X.T[:, None, :])
    by_head = [prior.amplitude.sd_log * similarity, prior.noise.sd_log * kernel.noise * np.eye(n)]
    sd_head = [prior.amplitude.sd_log, prior.noise.sd_log]
    if prior.linear is not None:
        by_head.append(prior.linear.sd_log * kernel.linear / d * (X @ X.T))
        sd_head.append(prior.linear.sd_log)
    first = np.concatenate([np.stack(by_head), slopes[:, None, None] * similarity * gaps])

    def second(G: FloatArray) -> FloatArray:
        by_each = np.einsum("kij,ij->k", first, G)
        curvature = np.diag(np.concatenate([sd_head, prior.weight_sd]) * by_each)
        weights = slice(len(sd_head), None)
        curvature[0, weights] = curvature[weights, 0] = prior.amplitude.sd_log * by_each[weights]
        flat = gaps.reshape(d, n * n)
        curvature[weights, weights] += np.outer(slopes, slopes) * ((flat * (G * similarity).ravel()) @ flat.T)
        return curvature

    return _n_effective(posterior, first, second)


def _n_effective(posterior: Posterior, first: FloatArray, second: Callable[[FloatArray], FloatArray]) -> float:
    """Return how many whitened parameters of a covariance the rows, not the priors, decide.

    The sum of l / (1 + l) over the eigenvalues l of the Hessian H of the negative log likelihood (where it is negative,
    0), that of the negative log prior being the identity:
    H_kl = alpha' D_k K^-1 D_l alpha - tr(K^-1 D_k K^-1 D_l) / 2 + tr(G D_kl), with G of `negative_log_likelihood`.

    Args:
        posterior: At the parameters.
        first: D, the derivatives of the covariance of the first n rows by each parameter, shape (p, n, n).
        second: G, shape (n, n), -> tr(G D_kl) for the second derivatives D_kl by each two, shape (p, p).

    Source:
        MacKay, "Bayesian Interpolation", Neural Computation 4(3), 1992 (gamma).
    """
    p, n, _ = first.shape
    # The factor of the first rows is the first block of that of all; so is u = L^-1 y.
    inverse_factor = solve_triangular(posterior.chol[:n, :n], np.eye(n), lower=True)
    u = (posterior.chol.T @ posterior.alpha)[:n]
    alpha = inverse_factor.T @ u
    G = 0.5 * (inverse_factor.T @ inverse_factor - np.outer(alpha, alpha))
    # L^-1 D_k L^-T for every k: traces of products are then products of flat matrices.
    whole = inverse_factor @ first @ inverse_factor.T
    flat, pulled = whole.reshape(p, n * n), whole @ u
    hessian = pulled @ pulled.T - 0.5 * flat @ flat.T + second(G)
    decided = np.maximum(np.linalg.eigvalsh(hessian), 0.0)
    return float(np.sum(decided / (1.0 + decided)))
