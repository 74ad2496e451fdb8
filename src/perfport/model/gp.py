"""Exact Gaussian processes for small data: one Cholesky factor, analytic gradients, closed forms.

Two kinds are enough for the whole project. Both have zero mean and find their hyper-parameters by
maximum a posteriori under log-normal priors, with L-BFGS on *whitened* parameters q (log theta =
log median + sd q, so that the prior of every q is standard normal):

- `fit_scales`: the kernel is a sum of given Gram matrices, K = exp(a) (sum_j s_j K_j + s_noise I) + F;
  learned are the scales s and the common amplitude a;
- `fit_ard`: a squared-exponential kernel with one inverse squared length a column, an optional
  linear kernel, a constant and noise.

Leave-one-out predictions come in closed form from the inverse of K (Rasmussen and Williams 2006,
section 5.4.2); hyper-parameters are not refitted, so they flatter flexible kernels: `effective` tells by how much.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.optimize import minimize

from perfport.errors import PerfError

__all__ = [
    "ArdKernel",
    "ArdPrior",
    "FloatArray",
    "LogNormal",
    "Objective",
    "Posterior",
    "ScaleFit",
    "ScalePrior",
    "ard_objective",
    "condition",
    "fit_ard",
    "fit_scales",
    "gaussian",
    "minimise_whitened",
    "negative_log_likelihood",
    "safe_cholesky",
    "scale_objective",
    "squared_distances",
]

FloatArray = NDArray[np.float64]

MAX_BLOCK_ROWS = 64  # of a triangle that LAPACK inverts in one piece
MAX_DEVIATION = 4.0  # bound on whitened parameters: four prior standard deviations
JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2)  # relative to the mean of the diagonal


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A prior on a positive number: its logarithm is normal around log `median` with `sd_log`."""

    median: float
    sd_log: float


@dataclass(frozen=True, slots=True)
class Posterior:
    """A GP conditioned on n rows.

    Attributes:
        chol: Lower Cholesky factor of K, shape (n, n).
        alpha: K^-1 y, shape (n,).
        loo_error: y minus its leave-one-out mean, shape (n,).
        loo_variance: Leave-one-out predictive variance, noise included, shape (n,).
    """

    chol: FloatArray
    alpha: FloatArray
    loo_error: FloatArray
    loo_variance: FloatArray

    @property
    def log_likelihood(self) -> float:
        """Log density of y under the GP, without its constant."""
        half = self.chol.T @ self.alpha
        return -0.5 * float(half @ half) - float(np.log(np.diag(self.chol)).sum())

    def predict(self, cross: FloatArray, prior_variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance at m new rows.

        Args:
            cross: Kernel between new and known rows, shape (m, n).
            prior_variance: Prior variance of what is predicted, shape (m,); add the noise to predict readings.

        Returns:
            Mean and variance, each of shape (m,); the variance is never negative.
        """
        solved, _ = lapack.dtrtrs(self.chol, cross.T, lower=1)
        variance = prior_variance - np.einsum("ij,ij->j", solved, solved)
        return cross @ self.alpha, np.maximum(variance, 1e-12)


def safe_cholesky(K: FloatArray) -> FloatArray:
    """Return the lower Cholesky factor of K, with as little jitter on the diagonal as is needed.

    Raises:
        PerfError: If K is not finite, or not positive definite even with the largest jitter.
    """
    for jitter in JITTERS:
        shifted = K if jitter == 0 else K + jitter * np.mean(np.diag(K)) * np.eye(len(K))
        chol, info = lapack.dpotrf(shifted, lower=1, clean=1)
        if info == 0 and np.all(np.isfinite(np.diag(chol))):
            return np.asarray(chol)
    raise PerfError(
        f"a {len(K)} x {len(K)} covariance matrix is not positive definite (diagonal mean {np.mean(np.diag(K)):.3g}); "
        "check the responses and options for non-finite values",
        matrix=K,
    )


def condition(K: FloatArray, y: FloatArray) -> Posterior:
    """Condition a zero-mean GP with covariance K (noise included), shape (n, n), on y, shape (n,)."""
    chol = safe_cholesky(K)
    inverse, alpha = _solve(chol, y)
    variance = 1.0 / np.diag(inverse)
    return Posterior(chol, alpha, alpha * variance, variance)


def _solve(chol: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return K^-1 (full) and K^-1 y from the Cholesky factor of K."""
    root = _inverse_of_triangle(chol)
    inverse = root.T @ root
    return inverse, inverse @ y


def _inverse_of_triangle(lower: FloatArray) -> FloatArray:
    """Return the inverse of a lower triangle, shape (n, n)."""
    # OPTIM: by halves, so that products of matrices do the work: twice as fast as LAPACK's routine for the inverse of K
    # from a few hundred rows, and other threads run meanwhile; SciPy locks the interpreter while LAPACK works.
    n = len(lower)
    if n <= MAX_BLOCK_ROWS:
        return np.asarray(lapack.dtrtri(lower, lower=1)[0])
    half = n // 2
    first, second = _inverse_of_triangle(lower[:half, :half]), _inverse_of_triangle(lower[half:, half:])
    inverse = np.zeros((n, n))
    inverse[:half, :half] = first
    inverse[half:, half:] = second
    inverse[half:, :half] = -second @ (lower[half:, :half] @ first)
    return inverse


def negative_log_likelihood(K: FloatArray, y: FloatArray) -> tuple[float, FloatArray]:
    """Return -log N(y; 0, K) without its constant, and G = dNLL/dK = (K^-1 - alpha alpha') / 2."""
    chol = safe_cholesky(K)
    inverse, alpha = _solve(chol, y)
    value = 0.5 * float(y @ alpha) + float(np.log(np.diag(chol)).sum())
    return value, 0.5 * (inverse - np.outer(alpha, alpha))


Objective = Callable[[FloatArray], tuple[float, FloatArray]]


def minimise_whitened(objective: Objective, n_parameters: int, max_iterations: int) -> FloatArray:
    """Return the q, shape (n_parameters,), that minimises the objective near its prior, by L-BFGS from q = 0."""
    found = minimize(
        objective,
        np.zeros(n_parameters),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-MAX_DEVIATION, MAX_DEVIATION)] * n_parameters,
        options={"maxiter": max_iterations},
    )
    return np.asarray(found.x, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class ScalePrior:
    """Prior of `fit_scales`: one log-normal a kernel, then the noise; and the common log amplitude.

    Attributes:
        log_median: Logarithm of the prior medians, shape (J + 1,), noise last.
        sd_log: Standard deviations of the logarithms, shape (J + 1,).
        amplitude: Mean of a.
        amplitude_sd: Standard deviation of a.
    """

    log_median: FloatArray
    sd_log: FloatArray
    amplitude: float
    amplitude_sd: float


@dataclass(frozen=True, slots=True)
class ScaleFit:
    """What `fit_scales` found.

    Attributes:
        scales: exp(a) s_j, shape (J,).
        noise: exp(a) s_noise.
        whitened: The parameters in units of their priors' standard deviations: a, then log s.
        posterior: The GP at these scales, conditioned on the rows.
    """

    scales: FloatArray
    noise: float
    whitened: FloatArray
    posterior: Posterior

    @property
    def log_evidence(self) -> float:
        """Log density of the rows and of what was learned, without constants: what the fit made as large as it can."""
        return self.posterior.log_likelihood - 0.5 * float(self.whitened @ self.whitened)


def scale_objective(kernels: FloatArray, fixed: FloatArray, y: FloatArray, prior: ScalePrior) -> Objective:
    """Return q -> (negative log posterior, gradient) of the sum-of-kernels GP.

    Args:
        kernels: Gram matrices, shape (J, n, n).
        fixed: Part of the covariance that is not learned, shape (n, n).
        y: Shape (n,).
        prior: Medians and spreads.
    """
    n_kernels, n, _ = kernels.shape
    flat = kernels.reshape(n_kernels, n * n)
    diagonal = np.arange(n)

    def objective(q: FloatArray) -> tuple[float, FloatArray]:
        amplitude = prior.amplitude + prior.amplitude_sd * q[0]
        scales = np.exp(amplitude + prior.log_median + prior.sd_log * q[1:])
        K = (scales[:-1] @ flat).reshape(n, n) + fixed
        K[diagonal, diagonal] += scales[-1]
        value, G = negative_log_likelihood(K, y)
        by_scale = scales * np.append(flat @ G.ravel(), np.trace(G))
        gradient = np.concatenate([[prior.amplitude_sd * by_scale.sum()], prior.sd_log * by_scale])
        return value + 0.5 * float(q @ q), gradient + q

    return objective


def fit_scales(
    kernels: FloatArray, fixed: FloatArray, y: FloatArray, prior: ScalePrior, *, max_iterations: int = 30
) -> ScaleFit:
    """Fit scales and amplitude of K = exp(a) (sum_j s_j K_j + s_noise I) + fixed to y by MAP.

    Args:
        kernels: Gram matrices, shape (J, n, n).
        fixed: Part of the covariance that is not learned, shape (n, n).
        y: Shape (n,), mean already subtracted.
        prior: Medians and spreads.
        max_iterations: Of L-BFGS.
    """
    q = minimise_whitened(scale_objective(kernels, fixed, y, prior), len(prior.log_median) + 1, max_iterations)
    scales = np.exp(prior.amplitude + prior.amplitude_sd * q[0] + prior.log_median + prior.sd_log * q[1:])
    K = np.tensordot(scales[:-1], kernels, axes=1) + fixed
    K[np.diag_indices(len(y))] += scales[-1]
    return ScaleFit(scales[:-1], float(scales[-1]), q, condition(K, y))


@dataclass(frozen=True, slots=True)
class ArdPrior:
    """Prior of `fit_ard`.

    Attributes:
        amplitude: Variance of the squared-exponential part.
        noise: Variance of the noise.
        log_weight: Logarithm of the prior median of each column's inverse squared length, shape (d,).
        weight_sd: Standard deviations of those logarithms, shape (d,).
        linear: Variance of the linear part x x' / d; None for no linear part.
        constant: Variance of the constant, fixed.
    """

    amplitude: LogNormal
    noise: LogNormal
    log_weight: FloatArray
    weight_sd: FloatArray
    linear: LogNormal | None = None
    constant: float = 4.0

    def log_density(self, kernel: "ArdKernel") -> float:
        """Return the log density of a kernel's whitened parameters, without its constant."""
        learned = [(self.amplitude, kernel.amplitude), (self.noise, kernel.noise)]
        learned += [(self.linear, kernel.linear)] if self.linear is not None else []
        heads = [np.log(value / scale.median) / scale.sd_log for scale, value in learned]
        weights = (np.log(kernel.weights) - self.log_weight) / self.weight_sd
        return -0.5 * float(np.square(heads).sum() + np.square(weights).sum())


@dataclass(frozen=True, slots=True)
class ArdKernel:
    """k(x, x') = amplitude exp(-1/2 sum_d w_d (x_d - x'_d)^2) + linear x.x'/d + constant (+ noise on the diagonal)."""

    amplitude: float
    noise: float
    weights: FloatArray
    linear: float
    constant: float

    def similarity(self, A: FloatArray, B: FloatArray) -> FloatArray:
        """Return the squared-exponential part without its amplitude, shape (len(A), len(B))."""
        root = np.sqrt(self.weights)
        return gaussian(A * root, B * root)

    def cross(self, A: FloatArray, B: FloatArray) -> FloatArray:
        """Return the kernel without noise, shape (len(A), len(B))."""
        K = self.amplitude * self.similarity(A, B) + self.constant
        if self.linear:
            K += (self.linear / max(A.shape[1], 1)) * (A @ B.T)
        return K

    def gram(self, X: FloatArray) -> FloatArray:
        """Return the kernel of X with itself, noise included, shape (n, n)."""
        K = self.cross(X, X)
        K[np.diag_indices(len(X))] += self.noise
        return K

    def variance(self, X: FloatArray) -> FloatArray:
        """Return the prior variance of a reading at each row, noise included, shape (n,)."""
        linear = self.linear / max(X.shape[1], 1) * np.einsum("ij,ij->i", X, X) if self.linear else 0.0
        return np.asarray(self.amplitude + self.constant + self.noise + linear + np.zeros(len(X)))


def ard_objective(X: FloatArray, y: FloatArray, prior: ArdPrior, known_noise: FloatArray | float = 0.0) -> Objective:
    """Return q -> (negative log posterior, gradient) of the ARD GP; q = amplitude, noise, [linear], weights."""
    n, d = X.shape
    squares = np.square(X)
    linear_gram = X @ X.T / max(d, 1) if prior.linear else None
    diagonal = np.arange(n)

    def objective(q: FloatArray) -> tuple[float, FloatArray]:
        kernel = _ard_kernel(q, prior)
        similarity = kernel.amplitude * kernel.similarity(X, X)
        K = similarity + kernel.constant
        if linear_gram is not None:
            K += kernel.linear * linear_gram
        K[diagonal, diagonal] += kernel.noise + known_noise
        value, G = negative_log_likelihood(K, y)
        W = G * similarity
        # sum_ij W_ij (x_i - x_j)^2 = 2 (W 1)' x^2 - 2 x' W x, for every column at once
        spread = 2.0 * (W.sum(axis=1) @ squares) - 2.0 * np.einsum("id,id->d", X, W @ X)
        head = [prior.amplitude.sd_log * W.sum(), prior.noise.sd_log * kernel.noise * np.trace(G)]
        if linear_gram is not None and prior.linear is not None:
            head.append(prior.linear.sd_log * kernel.linear * float((G * linear_gram).sum()))
        gradient = np.concatenate([head, prior.weight_sd * (-0.5 * kernel.weights * spread)])
        return value + 0.5 * float(q @ q), gradient + q

    return objective


def fit_ard(
    X: FloatArray, y: FloatArray, prior: ArdPrior, *, known_noise: FloatArray | float = 0.0, max_iterations: int = 40
) -> ArdKernel:
    """Fit the ARD GP by MAP; condition it with `condition`.

    Args:
        X: Shape (n, d).
        y: Centred, shape (n,).
        prior: Medians and spreads.
        known_noise: Variance of each row beside the learned one, shape (n,).
        max_iterations: Of L-BFGS.
    """
    objective = ard_objective(X, y, prior, known_noise)
    n_parameters = 2 + (prior.linear is not None) + X.shape[1]
    return _ard_kernel(minimise_whitened(objective, n_parameters, max_iterations), prior)


def _ard_kernel(q: FloatArray, prior: ArdPrior) -> ArdKernel:
    def value(scale: LogNormal, deviation: float) -> float:
        return float(scale.median * np.exp(scale.sd_log * deviation))

    first_weight = 2 if prior.linear is None else 3
    return ArdKernel(
        amplitude=value(prior.amplitude, q[0]),
        noise=value(prior.noise, q[1]),
        weights=np.exp(prior.log_weight + prior.weight_sd * q[first_weight:]),
        linear=0.0 if prior.linear is None else value(prior.linear, q[2]),
        constant=prior.constant,
    )


def gaussian(A: FloatArray, B: FloatArray) -> FloatArray:
    """Return exp(-|a - b|^2 / 2) for every row a of A, shape (n, d), and b of B, shape (m, d): (n, m)."""
    # OPTIM: in place; the passes over an (n, m) matrix, not the arithmetic, are what takes the time.
    exponent = A @ B.T
    exponent -= 0.5 * np.einsum("ij,ij->i", A, A)[:, None]
    exponent -= 0.5 * np.einsum("ij,ij->i", B, B)[None, :]
    np.minimum(exponent, 0.0, out=exponent)
    return np.asarray(np.exp(exponent, out=exponent))


def squared_distances(A: FloatArray, B: FloatArray) -> FloatArray:
    """Return the squared distance of every row of A, shape (n, d), to every row of B, shape (m, d): (n, m)."""
    squares = np.einsum("ij,ij->i", A, A)[:, None] + np.einsum("ij,ij->i", B, B)[None, :]
    return np.asarray(np.maximum(squares - 2.0 * (A @ B.T), 0.0))
