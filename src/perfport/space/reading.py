"""Reading the configurations a model is asked about: what is missing or no level at all is told, not guessed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from perfport.errors import InvalidConfigurationError, SpaceError, UsageError
from perfport.space.columns import active_rows, column_of, not_levels, positions_of
from perfport.space.messages import listing, near
from perfport.space.options import Option

__all__ = ["read_configurations"]


def read_configurations(options: Sequence[Option], frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the options, levels written as the options write them, rows from 0.

    A model may be asked about levels its options do not have: another number, another text. They are kept.

    Args:
        options: What the model knows.
        frame: Configurations, one a row; other columns are left out.

    Raises:
        UsageError: If it is no frame.
        SpaceError: If an option has no column.
        InvalidConfigurationError: If an option whose levels are numbers (or true and false) has something else there.
    """
    if not isinstance(frame, pd.DataFrame):
        raise UsageError(
            f"configurations are a {type(frame).__name__}; give a DataFrame with a row for each and a column for every "
            "option, for instance space.frame([{...}, {...}])"
        )
    missing = [option.name for option in options if option.name not in frame.columns]
    if missing:
        others = [str(column) for column in frame.columns]
        raise SpaceError(
            f"the configurations lack {listing(missing)}{near(missing[0], others)}; give a column for every option "
            f"(columns given: {', '.join(others) or 'none'})"
        )
    return pd.DataFrame({option.name: _read(option, frame[option.name]) for option in options})


def _read(option: Option, column: "pd.Series[Any]") -> "pd.Series[Any]":
    cells = positions_of(option, column)
    unknown = not_levels(cells)
    if not unknown.any():
        return column_of(option, cells)
    if option.kind not in ("number", "boolean"):
        return column.reset_index(drop=True).infer_objects()
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    wrong = np.flatnonzero(unknown & (np.isnan(numbers) | (option.kind == "boolean")))
    if len(wrong):
        raise InvalidConfigurationError(
            f"row {wrong[0]}: option '{option.name}': {column.iloc[int(wrong[0])]!r} is not a level; {option.allowed}",
            option=option,
        )
    if option.levels is not None:
        is_level = ~unknown & active_rows(cells)
        numbers[is_level] = np.asarray(option.levels, dtype=np.float64)[cells[is_level].astype(np.int64)]
    return pd.Series(numbers)
