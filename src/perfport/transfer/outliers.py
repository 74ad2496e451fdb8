"""Readings too far off to be believed: a run that broke and was recorded as one that went well.

One such reading bends every member of a mixture towards it. It is found by what the others let expect of it,
gets the noise that makes it plausible, and the members are fitted again; it is not dropped, since it may
be true. The limits are wide: a plateau that two readings show is none of it.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from perfport.transfer.members import TargetRows

__all__ = ["WILD_FACTOR", "believed_less", "is_wild"]

FloatArray = NDArray[np.float64]

MIN_ROWS = 8  # fewer do not show what is usual
WILD_FACTOR = 20.0  # off by
WILD_DEVIATIONS = 10.0  # of the usual error (median absolute one, as a standard deviation)
MAX_SHARE = 0.1  # of the rows: more are a feature of the system
MIN_ERROR = 0.02  # in units of the prior; an exact fit of most rows makes no other one wild


def is_wild(errors: FloatArray, unit: float) -> NDArray[np.bool_]:
    """Return which rows are too far from what the others let expect, shape (n,).

    Args:
        errors: Leave-one-out errors of the mixture in units of the prior, shape (n,).
        unit: Of the prior, on the log scale.
    """
    usual = 1.4826 * float(np.median(np.abs(errors - np.median(errors)))) + MIN_ERROR
    wild = (np.abs(errors) > WILD_DEVIATIONS * usual) & (np.abs(errors) * unit > np.log(WILD_FACTOR))
    too_few_or_many = len(errors) < MIN_ROWS or wild.sum() > max(1.0, MAX_SHARE * len(errors))
    return np.zeros(len(errors), dtype=bool) if too_few_or_many else wild


def believed_less(rows: TargetRows, wild: NDArray[np.bool_], errors: FloatArray) -> TargetRows:
    """Return the rows with noise that makes the wild ones plausible; they no longer vote nor count as exact."""
    return replace(rows, noise=rows.noise + np.where(wild, np.square(errors), 0.0), is_exact=rows.is_exact & ~wild)
