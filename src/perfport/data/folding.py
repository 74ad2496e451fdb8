"""Several readings of one thing: their median, and how well it is known."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Status

__all__ = ["configuration_numbers", "counting_rows", "fold_replicates", "folded_reading", "log_standard_error"]

# The median of many normal readings scatters sqrt(pi / 2) times as much as their mean; that of one or two is the mean.
_MEDIAN_OVER_MEAN = float(np.sqrt(np.pi / 2))


def log_standard_error(values: FloatArray) -> float:
    """Return the standard error of the logarithm of the median of `values`.

    Args:
        values: Repetitions of one configuration, shape (r,).

    Returns:
        s / sqrt(r), with s the standard deviation of log(values), times sqrt(pi / 2) from three
        values on; NaN for fewer than two values, or if one is not positive and finite.
    """
    if len(values) < 2 or not np.all(np.isfinite(values)) or np.any(values <= 0):
        return float("nan")
    error = float(np.std(np.log(values), ddof=1) / np.sqrt(len(values)))
    return error if len(values) == 2 else error * _MEDIAN_OVER_MEAN


def folded_reading(values: FloatArray, errors: FloatArray) -> tuple[float, float]:
    """Return the median of independent readings of one thing, and the standard error of its logarithm.

    Args:
        values: Readings, shape (r,), r at least 1; NaN where there is none.
        errors: Standard error of the logarithm of each, shape (r,), NaN where it is not known.

    Returns:
        NaN and NaN where there is no reading. The error of one reading is its own; that of several comes from their
        scatter, but is never smaller than they say of themselves: two equal readings are not known exactly.
    """
    present = np.isfinite(values)
    if not present.any():
        return float("nan"), float("nan")
    values, errors = values[present], errors[present]
    if len(values) == 1:
        return float(values[0]), float(errors[0])
    # Independent errors of r readings average to 1/r of the root of their sum of squares.
    known = errors[np.isfinite(errors)]
    floor = float(np.sqrt(np.sum(known**2))) / len(values) if len(known) else 0.0
    return float(np.median(values)), float(np.maximum(log_standard_error(values), floor))


def configuration_numbers(configurations: pd.DataFrame) -> NDArray[np.intp]:
    """Return the number of each row's configuration, counted from 0 in order of first appearance, shape (n,)."""
    # Levels become codes first: grouping by a hash of mixed dtypes would treat inactive cells (NaN) as different.
    codes = pd.DataFrame({name: pd.factorize(configurations[name])[0] for name in configurations.columns})
    return np.asarray(codes.groupby(list(codes.columns), sort=False).ngroup(), dtype=np.intp)


def counting_rows(dataset: Dataset) -> list[NDArray[np.intp]]:
    """Return the rows that count of each configuration, in order of first appearance: those that are ok, or the first.

    Each has shape (r,), r at least 1.
    """
    is_ok = dataset.status == Status.OK.value
    return [rows[is_ok[rows]] if is_ok[rows].any() else rows[:1] for rows in _groups(dataset)]


def fold_replicates(dataset: Dataset) -> Dataset:
    """Return one row a configuration: the median of its replicates that are ok, with its standard error.

    A configuration with no replicate that is ok keeps its first outcome. Costs add up; notes are
    those of the first row kept.
    """
    # OPTIM: told before rows are grouped one by one; most datasets have no replicates.
    if int(configuration_numbers(dataset.configurations).max(initial=-1)) + 1 == len(dataset):
        return dataset
    kept = counting_rows(dataset)
    firsts = dataset.take([rows[0] for rows in kept])
    folded = {
        name: np.array([folded_reading(values[rows], dataset.log_se[name][rows]) for rows in kept])
        for name, values in dataset.responses.items()
    }
    return Dataset(
        space=dataset.space,
        environment=dataset.environment,
        properties=dataset.properties,
        configurations=firsts.configurations,
        responses={name: found[:, 0] for name, found in folded.items()},
        status=firsts.status,
        log_se={name: found[:, 1] for name, found in folded.items()},
        cost_s=np.array([dataset.cost_s[rows].sum() for rows in _groups(dataset)]),
        notes=firsts.notes,
    )


def _groups(dataset: Dataset) -> list[NDArray[np.intp]]:
    """Return the rows of each configuration, in order of first appearance."""
    numbers = configuration_numbers(dataset.configurations)
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.cumsum(np.bincount(numbers))[:-1]) if len(order) else []
