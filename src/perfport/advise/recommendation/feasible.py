"""Which configurations may be recommended at all, judged by what failed when it was measured."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.data.dataset import Dataset
from perfport.data.measurement import Status
from perfport.errors import NotEnoughDataError

__all__ = ["Allowed", "LeftOut", "allowed_by", "allowed_rows", "not_known_to_fail", "some_allowed_rows"]

# Says of each row of a frame of configurations whether it may be recommended, shape (m,).
Allowed = Callable[[pd.DataFrame], NDArray[np.bool_]]

ENOUGH_FAILURES = 2  # one failure says something about its configuration, not about a level


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Configurations that may not be recommended.

    Attributes:
        n: How many there are.
        of: How many were looked at.
        is_sample: Whether these were drawn at random from a larger space.
    """

    n: int
    of: int
    is_sample: bool = False

    def __str__(self) -> str:
        drawn = " drawn at random" if self.is_sample else ""
        return f"{self.n} of {self.of} configurations{drawn} are left out: they failed, or are like those that did"


def not_known_to_fail(candidates: pd.DataFrame, measured: Dataset) -> NDArray[np.bool_]:
    """Return which candidates neither failed themselves nor have a level that is to blame for failures.

    A number format the device cannot compute, a provider that is not there: one level is to blame, and no
    model of the time of what works knows of it. Levels that never ended well are blamed one by one, the one
    with most failures first, until every failure they can explain is explained.

    Args:
        candidates: One configuration a row, shape (m, d), columns = options.
        measured: Rows of the same environment, failed ones included.

    Returns:
        Shape (m,).
    """
    configurations = measured.configurations[list(candidates.columns)]
    is_open = measured.status != Status.OK.value
    allowed = ~_rows_in(candidates, configurations[is_open])
    while is_open.any():
        failures = {
            (name, level): count
            for name in configurations.columns
            for level, count in configurations.loc[is_open, name].value_counts().items()
            if not (configurations[name] == level)[measured.status == Status.OK.value].any()
        }
        if not failures or max(failures.values()) < ENOUGH_FAILURES:
            break
        name, level = max(failures, key=lambda blamed: failures[blamed])
        allowed &= (candidates[name] != level).to_numpy()
        is_open &= (configurations[name] != level).to_numpy()
    return allowed


def allowed_by(*measured: Dataset) -> Allowed | None:
    """Return what none of these rows of one environment knows to fail; None if no row failed."""
    failing = [rows for rows in measured if (rows.status != Status.OK.value).any()]
    if not failing:
        return None
    return lambda frame: np.all([not_known_to_fail(frame, rows) for rows in failing], axis=0)


def allowed_rows(frame: pd.DataFrame, allowed: Allowed | None) -> pd.DataFrame:
    """Return the rows that may be recommended, numbered anew; all of them without `allowed`."""
    return frame if allowed is None else frame[allowed(frame)].reset_index(drop=True)


def some_allowed_rows(frame: pd.DataFrame, allowed: Allowed | None) -> pd.DataFrame:
    """Return the rows that may be recommended.

    Raises:
        NotEnoughDataError: If there are none.
    """
    rows = allowed_rows(frame, allowed)
    if not len(rows):
        raise NotEnoughDataError(
            f"no configuration is left to choose from: all {len(frame)} that were looked at failed, or are like those "
            "that did; see why, or measure others"
        )
    return rows


def _rows_in(frame: pd.DataFrame, others: pd.DataFrame) -> NDArray[np.bool_]:
    if others.empty:
        return np.zeros(len(frame), dtype=bool)
    keys = set(_rows(others))
    return np.fromiter((row in keys for row in _rows(frame)), dtype=bool, count=len(frame))


def _rows(frame: pd.DataFrame) -> "zip[tuple[object, ...]]":
    """Return the rows as tuples of levels: 4 and 4.0 are one to Python, missing cells are made None."""
    columns = (column.astype(object).where(column.notna(), None).tolist() for _, column in frame.items())
    return zip(*columns, strict=True)
