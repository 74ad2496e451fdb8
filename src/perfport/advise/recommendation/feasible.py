"""Which configurations may be recommended at all, judged by what failed when it was measured."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.data.dataset import Dataset
from perfport.data.measurement import Status

__all__ = ["not_known_to_fail"]

ENOUGH_FAILURES = 2  # one failure says something about its configuration, not about a level


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


def _rows_in(frame: pd.DataFrame, others: pd.DataFrame) -> NDArray[np.bool_]:
    keys = set(others.astype(str).itertuples(index=False, name=None))
    return np.array([row in keys for row in frame.astype(str).itertuples(index=False, name=None)], dtype=bool)
