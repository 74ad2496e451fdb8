"""Readings that the others speak against: a run that was disturbed, or broke and was recorded as one that went well.

One such reading bends every member of a mixture towards it. Readings far from what the others let expect of them are
suspects. They are given the noise that makes them plausible, as a likelihood with heavy tails would, and the members
are fitted again; but that is kept only where it makes all the rows so much more plausible that it pays for assuming
something rare. What one row alone shows of the system is no mishap: a member explains it, or loses little by it.

Source:
    Box and Tiao, "A Bayesian Approach to Some Outlier Problems", Biometrika 55(1), 1968: some readings have a larger
    variance, each with a small probability, and the evidence decides which. They weigh all sets of rows; a few are
    looked at here.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from perfport.transfer.members import FittedMember, TargetRows
from perfport.transfer.mixed import MixedModel

__all__ = ["fit_suspecting", "plausibility", "suspicion"]

FloatArray = NDArray[np.float64]

MIN_ROWS = 8  # fewer do not show what is usual
SUSPECT = 3.0  # times the usual error (median absolute one, as a standard deviation)
MAX_SHARE = 0.2  # of the rows: more are a feature of the system
MIN_ERROR = 0.02  # in units of the prior; an exact fit of most rows makes no other one suspect
PRICE = 3.0  # of a suspect, in log evidence: one reading in twenty is bad, before any is seen
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
    most_plausible = plausibility(model.members, weights, n_suspects=0)
    suspects = np.zeros(len(rows.z), dtype=np.bool_)
    for _ in range(N_ROUNDS):
        errors = model.left_out_errors()
        variance = np.where(rows.is_exact, suspicion(errors), 0.0)
        if np.array_equal(variance > 0, suspects):
            break
        suspects = variance > 0
        is_broken = suspects & (np.abs(errors) * rows.unit > np.log(BROKEN_FACTOR))
        model = fit(replace(rows, suspicion=variance, is_exact=rows.is_exact & ~is_broken))
        plausible = plausibility(model.members, weights, n_suspects=int(suspects.sum()))
        if plausible > most_plausible:
            best, most_plausible = model, plausible
    return best


def suspicion(errors: FloatArray) -> FloatArray:
    """Return the variance that would make each reading plausible, zero for those that are, shape (n,).

    How uncertain the members are of a row is not asked: one bad reading makes them uncertain of all that are like it.

    Args:
        errors: Leave-one-out errors of the mixture, in units of the prior, shape (n,).
    """
    n = len(errors)
    usual = 1.4826 * float(np.median(np.abs(errors))) + MIN_ERROR
    excess = np.maximum(np.square(errors) - np.square(SUSPECT * usual), 0.0)
    is_possible = n >= MIN_ROWS and np.count_nonzero(excess) <= max(1.0, MAX_SHARE * n)
    return np.asarray(excess if is_possible else np.zeros(n))


def plausibility(members: Mapping[str, FittedMember], weights: FloatArray, *, n_suspects: int) -> float:
    """Return how plausible the rows are, as a log density without constants.

    Args:
        members: Fitted to them.
        weights: Of the members, the same for all that is compared, shape (k,).
        n_suspects: How many of the rows they were told not to believe.
    """
    return float(weights @ [member.log_evidence for member in members.values()]) - PRICE * n_suspects
