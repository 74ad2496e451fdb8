"""Levels in data frames: which are wrong, and which options a frame implies."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from perfport.data.cells import number
from perfport.data.measurement import FloatArray
from perfport.errors import UsageError
from perfport.space.columns import INACTIVE, NOT_A_LEVEL, column_of, positions_of
from perfport.space.options import Level, Option

__all__ = [
    "MOST_LISTED_LEVELS",
    "LevelProblem",
    "check_column_names",
    "infer_options",
    "level_column",
    "levels_of",
    "numbers_of",
]

# More numbers than this in one column are a range, not a list of levels (clock tables have up to about 50 steps).
MOST_LISTED_LEVELS = 64


@dataclass(frozen=True, slots=True)
class LevelProblem:
    """The first row of a column that holds no level of its option."""

    row: int
    text: str


def level_column(option: Option, column: "pd.Series[Any]") -> "pd.Series[Any] | LevelProblem":
    """Return the column with the option's own levels, in their dtype (see `space.columns`), or the first wrong cell.

    Inactive cells (None, NaN) are legal.
    """
    column = _without_categories(column)
    cells = positions_of(option, column)
    wrong = np.flatnonzero(cells == NOT_A_LEVEL if cells.dtype == np.int32 else np.isinf(cells))
    if len(wrong) == 0:
        return column_of(option, cells)
    level = column.iloc[wrong[0]]
    level = level.item() if isinstance(level, np.generic) else level
    return LevelProblem(int(wrong[0]), f"option '{option.name}': {level!r} is not a level; {option.allowed}")


def levels_of(option: Option, column: "pd.Series[Any]") -> list[Level | None]:
    """Return the cells as the option spells its levels (a column may hold 2.0 for the level 2), None where inactive."""
    cells = positions_of(option, column)
    if option.levels is None:
        return [None if np.isnan(number) else float(number) for number in cells]
    return [None if code == INACTIVE else option.levels[code] for code in cells]


def check_column_names(frame: pd.DataFrame) -> None:
    """Raise unless the columns can be told apart by text.

    Raises:
        UsageError: If a name is no text, or names two columns.
    """
    unnamed = [name for name in frame.columns if not isinstance(name, str)]
    if unnamed:
        raise UsageError(
            f"column {unnamed[0]!r} has a name of type {type(unnamed[0]).__name__}; names are texts: rename the "
            "columns, for instance with frame.rename(columns=str)"
        )
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise UsageError(f"the frame has two columns '{twice}'; rename or drop one")


def numbers_of(label: str, cells: ArrayLike) -> FloatArray:
    """Return cells as numbers, NaN where missing, of the same shape; texts count as the finite numbers they state.

    Raises:
        UsageError: If a cell is or states no number (a date or a complex number is none); names the row.
    """
    array = np.asarray(cells)
    if array.dtype.kind in "biuf":
        return array.astype(np.float64)
    values = [_number(cell) for cell in array.ravel()]
    if None in values:
        row = values.index(None)
        raise UsageError(
            f"row {row}: {label} is {array.ravel()[row]!r}; values are numbers, or NaN where there is none: convert "
            "the column to numbers",
            row=row,
        )
    return np.array(values, dtype=np.float64).reshape(array.shape)


def infer_options(frame: pd.DataFrame, chosen: Sequence[str | Option]) -> list[Option]:
    """Return an option a chosen column, with the levels found where only a name is given.

    Booleans become boolean options, texts (beside numbers or not) categorical ones, few numbers an ordinal list, many
    a range.

    Raises:
        UsageError: If a column does not exist, is empty, or holds a missing level or what cannot be one.
    """
    return [item if isinstance(item, Option) else _inferred(frame, item) for item in chosen]


def _inferred(frame: pd.DataFrame, name: str) -> Option:
    if name not in frame.columns:
        raise UsageError(f"the frame has no column '{name}'; its columns are {', '.join(map(str, frame.columns))}")
    column = _without_categories(frame[name])
    if column.isna().any():
        row = int(np.flatnonzero(column.isna())[0])
        raise UsageError(
            f"row {row}: option '{name}' has no level; give a space with a condition if it may be inactive"
        )
    kinds = [_kind(cell) for cell in column.array] if column.dtype == object else [_kind(cell) for cell in column[:1]]
    if not kinds:
        raise UsageError(f"column '{name}' has no rows, so its levels are not known; give a space")
    odd = "" if "" in kinds else "boolean"
    if odd in kinds and set(kinds) != {"boolean"}:
        row = kinds.index(odd)
        level = column.iloc[row]
        what = f"of type {type(level).__name__}, which is no level" if odd == "" else "a boolean beside other levels"
        raise UsageError(
            f"row {row}: option '{name}': {level!r} is {what}; give booleans alone, or numbers and texts: convert the "
            "column with astype(str) or to a number",
            row=row,
            option=name,
        )
    found = [_plain(value) for value in pd.unique(column)]
    if kinds[0] == "boolean":
        return Option(name=name, type="boolean")
    if "text" not in kinds:
        if len(found) <= MOST_LISTED_LEVELS:
            return Option(name=name, type="ordinal", values=tuple(sorted(found)))
        whole = all(isinstance(value, int) or value.is_integer() for value in found)
        return Option(name=name, type="integer" if whole else "float", lower=min(found), upper=max(found))
    by_text = sorted(found, key=lambda value: (str(value), isinstance(value, str)))
    return Option(name=name, type="categorical", values=tuple(by_text))


def _without_categories(column: "pd.Series[Any]") -> "pd.Series[Any]":
    return column.astype(column.cat.categories.dtype) if isinstance(column.dtype, pd.CategoricalDtype) else column


def _kind(cell: object) -> str:
    """Return what a cell of a column without missing cells is: "boolean", "number" or "text"; "" for anything else."""
    if isinstance(cell, bool | np.bool_):
        return "boolean"
    if isinstance(cell, np.timedelta64):
        return ""  # NumPy counts spans of time among its integers
    if isinstance(cell, int | float | Decimal | np.integer | np.floating):
        return "number"
    return "text" if isinstance(cell, str) else ""


def _number(cell: Any) -> float | None:
    """Return a cell as a number, NaN if it is missing, None if it is none."""
    if isinstance(cell, str):
        stated = number(cell)
        return None if stated is None else _as_float(stated)
    if _kind(cell) in ("number", "boolean"):
        return _as_float(cell)
    return np.nan if cell is None or cell is pd.NA or cell is pd.NaT else None


def _as_float(cell: Any) -> float | None:
    try:
        return float(cell)
    except OverflowError:  # an integer beyond every float
        return None


def _plain(level: Any) -> Any:
    return float(level) if isinstance(level, Decimal) else level.item() if isinstance(level, np.generic) else level
