"""An accurate regression of a source's responses on its options, with honest held-out predictions.

Raw readings are noisy and cover only the rows that were measured, so a source is used through a
smooth prediction f. Three learners that fail in different ways are stacked: a Gaussian process with
learnt relevances (smooth effects of few options), extremely randomised trees (steps and
interactions) and kernel ridge on all columns (many weak effects). At rows the source measured, f is
what the others say about the row (leave-one-out in closed form; the trees that did not grow on it), so that
"measured minus f" is the row's own news and not what the fit left over.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from perfport.model.gp import ArdKernel, ArdPrior, LogNormal, condition, fit_ard, gaussian
from perfport.transfer.forest import Forest, grow_forest

__all__ = ["Smoother", "fit_smoother"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

N_GP_SEARCH = 350  # rows that set the GP's hyper-parameters
N_RIDGE_SEARCH = 600  # rows that set the ridge's
CHUNK_ROWS = 512
N_KERNEL = 900  # rows a kernel method is conditioned on
N_TREES = 60
SAMPLE_SHARE = 0.8  # of the rows, drawn with replacement for a tree; 45 % of the trees miss a row
RIDGE_LENGTHS = (1.0, 4.0)
RIDGE_PENALTIES = (0.001, 0.01, 0.1, 1.0)
STACK_PULL = 0.05  # weight of the equal mixture, in units of sqrt(rows)


@dataclass(frozen=True, slots=True)
class _KernelFit:
    """A kernel method: prediction = k(x, rows) @ alpha on some columns."""

    rows: FloatArray
    alpha: FloatArray
    kernel: "ArdKernel | _RidgeKernel"

    def predict(self, X: FloatArray) -> FloatArray:
        return np.asarray(self.kernel.cross(X, self.rows) @ self.alpha)


@dataclass(frozen=True, slots=True)
class _RidgeKernel:
    """exp(-|x - x'|^2 / (2 c d)) + 0.3 x.x' / d + 4: smooth in all columns at once."""

    length: float

    def cross(self, A: FloatArray, B: FloatArray) -> FloatArray:
        d = max(A.shape[1], 1)
        root = np.sqrt(self.length * d)
        K = gaussian(A / root, B / root)
        K += (0.3 / d * A) @ B.T
        K += 4.0
        return K


@dataclass(frozen=True, slots=True)
class Smoother:
    """The stacked regression.

    Attributes:
        held_out: Prediction of every fitted row from the others, shape (n,).
        weights: Share of GP, trees and kernel ridge; sums to 1.
        relevance: The GP's kernel, over `relevant`.
        relevant: Positions of the columns the GP sees.
    """

    held_out: FloatArray
    weights: FloatArray
    relevance: ArdKernel
    relevant: IntArray
    _gp: _KernelFit
    _trees: Forest
    _ridge: _KernelFit

    def predict(self, X: FloatArray) -> FloatArray:
        """Return the prediction for encoded rows, shape (m, d), as shape (m,)."""
        # OPTIM: a few hundred rows at a time, so that the kernels stay in the processor's cache.
        chunks = np.array_split(X, -(-len(X) // CHUNK_ROWS)) if len(X) else [X]
        return np.concatenate([self._predict(chunk) for chunk in chunks])

    def _predict(self, X: FloatArray) -> FloatArray:
        parts = [self._gp.predict(X[:, self.relevant]), self._trees.predict(X), self._ridge.predict(X)]
        return np.asarray(self.weights @ np.stack(parts))


def fit_smoother(X: FloatArray, z: FloatArray, relevant: IntArray, rng: np.random.Generator) -> Smoother:
    """Fit the stack.

    Args:
        X: Encoded rows, shape (n, d), n at least 1.
        z: Standardised log responses, shape (n,).
        relevant: Positions of the (few) columns worth a relevance of their own.
        rng: Source of all randomness.
    """
    relevance, gp, gp_held_out = _fit_gp(X[:, relevant], z, rng)
    ridge, ridge_held_out = _fit_ridge(X, z, rng)
    trees, trees_held_out = _fit_trees(X, z, rng)
    held_out = np.stack([gp_held_out, trees_held_out, ridge_held_out])  # (3, n)
    weights = _stack(held_out, z)
    return Smoother(weights @ held_out, weights, relevance, relevant, gp, trees, ridge)


def _fit_gp(X: FloatArray, z: FloatArray, rng: np.random.Generator) -> tuple[ArdKernel, _KernelFit, FloatArray]:
    d = max(X.shape[1], 1)
    prior = ArdPrior(
        amplitude=LogNormal(1.0, 2.0),
        noise=LogNormal(0.01, 2.5),
        log_weight=np.full(X.shape[1], np.log(0.3 / np.sqrt(d))),
        weight_sd=np.full(X.shape[1], 1.5),
        linear=LogNormal(1.0, 2.0),
    )
    search = _subset(len(z), N_GP_SEARCH, rng)
    kernel = fit_ard(X[search], z[search], prior)
    fit, held_out = _condition(X, z, kernel, kernel.noise, rng)
    return kernel, fit, held_out


def _fit_ridge(X: FloatArray, z: FloatArray, rng: np.random.Generator) -> tuple[_KernelFit, FloatArray]:
    search = _subset(len(z), N_RIDGE_SEARCH, rng)
    best = (np.inf, RIDGE_LENGTHS[0], RIDGE_PENALTIES[0])
    for length in RIDGE_LENGTHS:
        values, vectors = np.linalg.eigh(_RidgeKernel(length).cross(X[search], X[search]))
        rotated = vectors.T @ z[search]
        for penalty in RIDGE_PENALTIES:
            shrunk = 1.0 / (np.maximum(values, 0.0) + penalty)
            inverse_diagonal = np.square(vectors) @ shrunk
            errors = (vectors @ (shrunk * rotated)) / inverse_diagonal
            best = min(best, (float(np.mean(np.square(errors))), length, penalty))
    _, length, penalty = best
    return _condition(X, z, _RidgeKernel(length), penalty, rng)


def _condition(
    X: FloatArray, z: FloatArray, kernel: ArdKernel | _RidgeKernel, noise: float, rng: np.random.Generator
) -> tuple[_KernelFit, FloatArray]:
    """Condition a kernel method on at most N_KERNEL rows; held out: closed form there, prediction elsewhere."""
    rows = _subset(len(z), N_KERNEL, rng)
    K = kernel.cross(X[rows], X[rows])
    K[np.diag_indices(len(rows))] += noise
    posterior = condition(K, z[rows])
    fit = _KernelFit(X[rows], posterior.alpha, kernel)
    held_out = np.empty(len(z))
    held_out[rows] = z[rows] - posterior.loo_error
    others = np.setdiff1d(np.arange(len(z)), rows)
    if len(others):
        held_out[others] = fit.predict(X[others])
    return fit, held_out


def _fit_trees(X: FloatArray, z: FloatArray, rng: np.random.Generator) -> tuple[Forest, FloatArray]:
    # Trees grow on samples of the rows, so that the trees that missed a row foretell it: no folds needed.
    forest = grow_forest(X, z, N_TREES, seed=int(rng.integers(2**31)), sample_share=SAMPLE_SHARE)
    return forest, np.where(np.isnan(forest.held_out), z.mean(), forest.held_out)


def _stack(held_out: FloatArray, z: FloatArray) -> FloatArray:
    """Return non-negative weights of the learners, shape (k,), pulled to equal ones, summing to 1."""
    k = len(held_out)
    pull = np.sqrt(STACK_PULL * np.sqrt(len(z)))
    A = np.vstack([held_out.T, pull * np.eye(k)])
    weights, _ = nnls(A, np.append(z, np.full(k, pull / k)))
    total = weights.sum()
    return np.asarray(weights / total) if total > 0 else np.full(k, 1.0 / k)


def _subset(n: int, most: int, rng: np.random.Generator) -> IntArray:
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))
