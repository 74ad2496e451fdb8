"""Which configurations to measure: greedy A-optimality under what is believed before measuring.

Each next row is the one that lowers the predictive variance, averaged over all candidates, most.
The covariance mixes those of the members around the sources and around zero at their prior mean
scales, so rows differ in what the sources show to be influential. One rank-1 update a row.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.transfer.basis import centred_variance
from perfport.transfer.kernels import OptionsOnly, Prior
from perfport.transfer.members import CONSTANT
from perfport.transfer.priors import MemberPrior, load_priors

__all__ = ["a_optimal", "prior_covariance"]

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]

DESIGN_NOISE = 0.01
SPREAD_CAP = 1.5  # of a scale's prior when its mean is taken: a mean of a wider one is all tail
COVERAGE = 0.02  # of main and iso: no option is left at one level because the source says it is idle
DOUBT = 0.3  # share of the variance that is expected as if the sources told only what matters, not how much
TIE_WIDTH = 0.03  # candidates this close (relatively) are told apart by chance


def prior_covariance(
    prior: Prior,
    configurations: pd.DataFrame,
    *,
    priors: Mapping[str, MemberPrior] | None = None,
    doubt: float = DOUBT,
) -> Float32Array:
    """Return the prior covariance of the responses of the configurations, noise left out, shape (n, n).

    Args:
        prior: What the sources say, or that there are none.
        configurations: One row each.
        priors: Member -> prior of its scales; those the package ships if not given.
        doubt: Share of the variance expected as by the member around zero.
    """
    seen = prior.see(configurations)
    stack = prior.kernels(seen, seen)
    priors = priors or load_priors()
    if isinstance(prior, OptionsOnly):
        K = _expected_covariance(stack, prior.names, priors["without_sources"])
    else:
        K = _expected_covariance(stack, prior.names, priors["around_source"])
        other = _expected_covariance(stack, prior.names, priors["around_zero"])
        # The members differ in size by orders of magnitude; what is mixed is where they expect variance.
        K = (1.0 - doubt) * K + doubt * (centred_variance(K) / centred_variance(other)) * other
    # OPTIM: half the memory to stream, and the updates of the design do little else.
    return (K + CONSTANT).astype(np.float32)


def _expected_covariance(stack: FloatArray, names: Sequence[str], prior: MemberPrior) -> FloatArray:
    # r is left out: it is news about single rows, which no other row can tell.
    used = [i for i in prior.usable(names) if names[i] != "r"]
    scales = prior.expected([names[i] for i in used], cap=SPREAD_CAP)
    scales += [COVERAGE * (names[i] in ("main", "iso")) for i in used]
    return np.asarray(np.tensordot(scales, stack[used], axes=1))


def a_optimal(K: Float32Array, budget: int, *, rng: np.random.Generator, first: IntArray | None = None) -> IntArray:
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


def _observe(K: Float32Array, row: int) -> None:
    column = K[:, row].copy()
    K -= np.outer(column, column / (max(float(column[row]), 0.0) + DESIGN_NOISE))
