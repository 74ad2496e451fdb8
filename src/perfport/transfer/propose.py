"""Which configurations to measure: greedy A-optimality under what is believed before measuring.

Each next row is the one that lowers the predictive variance, averaged over all candidates, most.
The covariance is that of the member around the sources at its prior mean scales, so rows differ in
what the sources show to be influential. One rank-1 update a row.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.transfer.kernels import Prior
from perfport.transfer.members import CONSTANT
from perfport.transfer.priors import MemberPrior

__all__ = ["a_optimal", "prior_covariance"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DESIGN_NOISE = 0.01
SPREAD_CAP = 1.5  # of a scale's prior when its mean is taken: a mean of a wider one is all tail
COVERAGE = 0.02  # of main and iso: no option is left at one level because the source says it is idle
TIE_WIDTH = 0.03  # candidates this close (relatively) are told apart by chance


def prior_covariance(prior: Prior, scales: MemberPrior, configurations: pd.DataFrame) -> FloatArray:
    """Return the prior covariance of the responses of the configurations, noise left out, shape (n, n)."""
    seen = prior.see(configurations)
    stack = prior.kernels(seen, seen).astype(np.float32)
    # r is left out: it is news about single rows, which no other row can tell.
    used = [i for i in scales.usable(prior.names) if prior.names[i] != "r"]
    names = [prior.names[i] for i in used]
    expected = scales.expected(names, cap=SPREAD_CAP) + [COVERAGE * (name in ("main", "iso")) for name in names]
    K = np.tensordot(expected.astype(np.float32), stack[used], axes=1)
    return np.asarray(K + np.float32(CONSTANT))


def a_optimal(K: FloatArray, budget: int, *, rng: np.random.Generator, first: IntArray | None = None) -> IntArray:
    """Return rows that greedily minimise the average variance left over all rows.

    Args:
        K: Prior covariance, shape (n, n); overwritten.
        budget: Rows to choose, at most n minus those of `first`.
        rng: Tells apart rows that are (nearly) equally good.
        first: Rows already measured; they count but are not chosen again.

    Returns:
        Shape (budget,), in the order of choice.
    """
    free = np.ones(len(K), dtype=bool)
    for row in () if first is None else first:
        _observe(K, int(row))
        free[row] = False
    tie = rng.uniform(1.0 - TIE_WIDTH, 1.0, len(K))
    chosen = np.empty(budget, dtype=np.int64)
    for step in range(budget):
        # Reduction of the summed variance by observing row i with noise.
        gain = tie * np.einsum("ij,ij->i", K, K) / (np.maximum(np.diag(K), 0.0) + DESIGN_NOISE)
        chosen[step] = row = int(np.argmax(np.where(free, gain, -1.0)))
        _observe(K, row)
        free[row] = False
    return chosen


def _observe(K: FloatArray, row: int) -> None:
    column = K[:, row].copy()
    K -= np.outer(column, column / (max(float(column[row]), 0.0) + DESIGN_NOISE))
