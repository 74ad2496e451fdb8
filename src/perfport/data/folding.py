"""Several readings of one thing: their median, and how well it is known."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Status

__all__ = ["fold_replicates", "log_standard_error", "row_groups"]

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


def row_groups(configurations: pd.DataFrame) -> list[NDArray[np.intp]]:
    """Return the row numbers of each distinct configuration, in order of first appearance."""
    # Levels become codes first: grouping by a hash of mixed dtypes would treat inactive cells (NaN) as different.
    codes = pd.DataFrame({name: pd.factorize(configurations[name])[0] for name in configurations.columns})
    numbers = codes.groupby(list(codes.columns), sort=False).ngroup().to_numpy()
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1) if len(order) else []


def fold_replicates(dataset: Dataset) -> Dataset:
    """Return one row a configuration: the median of its replicates that are ok, with its standard error.

    A configuration with no replicate that is ok keeps its first outcome. Costs add up; notes are
    those of the first row kept.
    """
    groups = row_groups(dataset.configurations)
    if len(groups) == len(dataset):
        return dataset
    is_ok = dataset.status == Status.OK.value
    kept = [rows[is_ok[rows]] if is_ok[rows].any() else rows[:1] for rows in groups]
    firsts = dataset.take([rows[0] for rows in kept])
    return Dataset(
        space=dataset.space,
        environment=dataset.environment,
        properties=dataset.properties,
        configurations=firsts.configurations,
        responses={name: _medians(values, kept) for name, values in dataset.responses.items()},
        status=firsts.status,
        log_se={name: _errors(dataset, name, kept) for name in dataset.responses},
        cost_s=np.array([dataset.cost_s[rows].sum() for rows in groups]),
        notes=firsts.notes,
    )


def _medians(values: FloatArray, groups: Sequence[NDArray[np.intp]]) -> FloatArray:
    medians = np.full(len(groups), np.nan)
    for place, rows in enumerate(groups):
        present = values[rows][np.isfinite(values[rows])]
        if len(present):
            medians[place] = np.median(present)
    return medians


def _errors(dataset: Dataset, name: str, groups: Sequence[NDArray[np.intp]]) -> FloatArray:
    values, known = dataset.responses[name], dataset.log_se[name]
    return np.array(
        [
            known[rows[0]] if len(rows) == 1 else log_standard_error(values[rows][np.isfinite(values[rows])])
            for rows in groups
        ]
    )
