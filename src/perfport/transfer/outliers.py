"""Readings that the others speak against: a run that was disturbed, or broke and was recorded as one that went well.

One such reading bends every member of a mixture towards it. Readings far from what the others let expect of them are
suspects. They are given the noise that makes them plausible, as a likelihood with heavy tails would, and the members
are fitted again; but that is kept only where it makes all the rows so much more plausible that it pays for assuming
something rare. What one row alone shows of the system is kept where a member can explain it; a configuration that was
read more than once is never a suspect, how well its readings agree tells how far to believe it.

Source:
    Box and Tiao, "A Bayesian Approach to Some Outlier Problems", Biometrika 55(1), 1968: some readings have a larger
    variance, each with a small probability, and the evidence decides which. They weigh all sets of rows; a few are
    looked at here.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from perfport.transfer.members import FittedMember
from perfport.transfer.mixed import MixedModel
from perfport.transfer.rows import TargetRows

__all__ = ["fit_suspecting", "suspicion"]

FloatArray = NDArray[np.float64]

MIN_ROWS = 8  # fewer do not show what is usual
MAX_SHARE = 0.2  # of the rows: more are a feature of the system
MIN_ERROR = 0.02  # in units of the prior; an exact fit of most rows makes no other one suspect
# Of a suspect, in log evidence. One reading in fifty is too high: whatever disturbs a run slows it. One in three
# thousand is too low; and what is wrongly taken for it may cost hundreds of percent, of the other at most hundred.
PRICE_HIGH, PRICE_LOW = 4.0, 8.0
N_ROUNDS = 3  # of suspecting and fitting: a bad reading makes others look bad, or good
BROKEN_FACTOR = 20.0  # a suspect that far off tells nothing, not even how wrong the model may be


def fit_suspecting(rows: TargetRows, fit: Callable[[TargetRows], MixedModel]) -> MixedModel:
    """Return the model of the rows in which the right ones are suspects, as far as evidence tells; mostly none.

    Args:
        rows: The target rows, none a suspect.
        fit: Returns the model of such rows.
    """
    model = best = fit(rows)
    weights = model.weights
    most_plausible = _log_evidence(model.members, weights)
    suspects = np.zeros(len(rows.z), dtype=np.bool_)
    for _ in range(N_ROUNDS):
        errors = model.left_out_errors()
        variance = np.where(rows.may_be_wrong, suspicion(errors), 0.0)
        if np.array_equal(variance > 0, suspects):
            break
        suspects = variance > 0
        is_broken = suspects & (np.abs(errors) * rows.unit > np.log(BROKEN_FACTOR))
        model = fit(replace(rows, suspicion=variance, is_exact=rows.is_exact & ~is_broken))
        plausible = _log_evidence(model.members, weights) - _prices(errors)[suspects].sum()
        if plausible > most_plausible:
            best, most_plausible = model, plausible
    return best


def suspicion(errors: FloatArray) -> FloatArray:
    """Return the variance that would make each reading plausible, zero for those that are, shape (n,).

    Suspect is an error that could pay its price: t times as far off as usual, explaining it away gains at most t^2 / 2.
    How uncertain the members are of a row is not asked: one bad reading makes them uncertain of all that are like it.

    Args:
        errors: Leave-one-out errors of the mixture in units of the prior, positive for high readings, shape (n,).
    """
    n = len(errors)
    usual = 1.4826 * float(np.median(np.abs(errors))) + MIN_ERROR
    excess = np.maximum(np.square(errors) - 2.0 * _prices(errors) * usual**2, 0.0)
    is_possible = n >= MIN_ROWS and np.count_nonzero(excess) <= max(1.0, MAX_SHARE * n)
    return np.asarray(excess if is_possible else np.zeros(n))


def _prices(errors: FloatArray) -> FloatArray:
    """Return what suspecting each reading costs, in log evidence, shape (n,); errors as for `suspicion`."""
    return np.where(errors > 0, PRICE_HIGH, PRICE_LOW)


def _log_evidence(members: Mapping[str, FittedMember], weights: FloatArray) -> float:
    """Return how plausible members, weighted by `weights`, shape (k,), make the rows they were fitted to."""
    return float(weights @ [member.log_evidence for member in members.values()])
