"""Which configurations to measure: greedy A-optimality under what is believed before measuring.

Each next row is the one that lowers the predictive variance, averaged over all candidates, most. With sources
there are two beliefs about what varies: that of the member around zero (they tell what matters, not how much)
and that of the parts (what each option adds may be scaled). Every row serves both alike. The scales are those
the priors expect, so rows differ in what the sources show to be influential. One rank-1 update a row and belief.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import blas

from perfport.transfer.basis import centred_variance
from perfport.transfer.kernels import OptionsOnly, Prior
from perfport.transfer.priors import MemberPrior, load_priors

__all__ = ["BELIEFS", "a_optimal", "prior_covariances"]

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]

BELIEFS = ("around_zero", "parts")
# As shares of the variance that is expected of the responses around their mean:
DESIGN_NOISE = 0.03  # variance of a reading's noise
CONSTANT = 75.0  # variance of that mean: nothing is known of it
COVERAGE = 0.02  # added of main and of iso: no option stays at one level because the source says it is idle
SPREAD_CAP = 1.5  # of a scale's prior when its mean is taken: a mean of a wider one is all tail
TIE_WIDTH = 0.05  # candidates this close (relatively) are told apart by chance


def prior_covariances(
    prior: Prior,
    configurations: pd.DataFrame,
    *,
    priors: Mapping[str, MemberPrior] | None = None,
    beliefs: Sequence[str] = BELIEFS,
) -> list[Float32Array]:
    """Return prior covariances of the responses of the configurations, noise left out, each of shape (n, n).

    In units of the variance they expect of the responses around their mean.

    Args:
        prior: What the sources say, or that there are none.
        configurations: One row each.
        priors: Member -> prior of its scales; those the package ships if not given.
        beliefs: Members whose expectations these are; without sources there is just one.
    """
    seen = prior.see(configurations)
    stack = prior.kernels(seen, seen)
    priors = priors or load_priors()
    members = ("without_sources",) if isinstance(prior, OptionsOnly) else beliefs
    expected = (_expected_covariance(stack, prior.names, priors[member]) for member in members)
    covered = COVERAGE * (stack[prior.names.index("main")] + stack[prior.names.index("iso")]) + CONSTANT
    # OPTIM: half the memory to stream, and the updates of the design do little else.
    return [(K / centred_variance(K) + covered).astype(np.float32) for K in expected]


def _expected_covariance(stack: FloatArray, names: Sequence[str], prior: MemberPrior) -> FloatArray:
    # r is left out: it is news about single rows, which no other row can tell.
    used = [i for i in prior.usable(names) if names[i] != "r"]
    scales = prior.expected([names[i] for i in used], cap=SPREAD_CAP)
    return np.asarray(np.tensordot(scales, stack[used], axes=1))


def a_optimal(
    covariances: Sequence[Float32Array], budget: int, *, rng: np.random.Generator, first: IntArray | None = None
) -> IntArray:
    """Return rows that greedily take away the largest share of the average variance left over all rows.

    Args:
        covariances: Of one belief or two, each of shape (n, n), float32 and C-contiguous; overwritten.
        budget: Rows to choose, at most n minus those of `first`.
        rng: Tells apart rows that are (nearly) equally good.
        first: Rows already measured; they count but are not chosen again.

    Returns:
        Shape (budget,), in the order of choice.
    """
    n = len(covariances[0])
    known = np.empty(0, dtype=np.int64) if first is None else first
    free = np.ones(n, dtype=bool)

    def observe(row: int) -> None:
        for K in covariances:
            _observe(K, row)
        free[row] = False

    for row in known.tolist():
        observe(row)
    tie = rng.uniform(1.0 - TIE_WIDTH, 1.0, n)
    chosen = np.empty(budget, dtype=np.int64)
    for step in range(budget):
        gain = np.sum([_share_gained(K) for K in covariances], axis=0)
        chosen[step] = np.argmax(np.where(free, tie * gain, -1.0))
        observe(int(chosen[step]))
    return chosen


def _share_gained(K: Float32Array) -> Float32Array:
    """Return by which share the summed variance falls if each row is read, shape (n,)."""
    diagonal = np.diag(K)
    gain = np.einsum("ij,ij->i", K, K) / (np.maximum(diagonal, 0.0) + DESIGN_NOISE)
    return np.asarray(gain / max(float(diagonal.sum()), 1e-9))


def _observe(K: Float32Array, row: int) -> None:
    column = K[row].copy()
    # OPTIM: in place and in one pass; K is symmetric, so that its transpose is what BLAS calls contiguous.
    blas.sger(-1.0 / (max(float(column[row]), 0.0) + DESIGN_NOISE), column, column, a=K.T, overwrite_a=True)
