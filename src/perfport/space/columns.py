"""Columns of configurations: from levels to positions among an option's levels, and back.

Inside this room many configurations are a *block*: option name -> array, shape (n,), with level
positions (int32, -1 where inactive) for finite options and the level itself (float64, NaN where
inactive) for ranges. Outside they are a `DataFrame`. The dtypes of its columns:

========  =================  ==================================
levels    no row inactive    some rows inactive
========  =================  ==================================
boolean   bool               object: True, False, None
int       int64              float64 with NaN
float     float64            float64 with NaN
text      str                str with NaN
mixed     object             object with None
========  =================  ==================================
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.space.constraints import Operand
from perfport.space.options import Level, Option

__all__ = [
    "INACTIVE",
    "NOT_A_LEVEL",
    "Block",
    "Cells",
    "active_rows",
    "cell_of",
    "column_of",
    "column_of_levels",
    "default_cell",
    "inactive_column",
    "joined",
    "levels_of_row",
    "n_rows",
    "not_levels",
    "operand_of_cells",
    "positions_of",
    "take_rows",
    "typed_column",
]

Cells = NDArray[np.int32] | NDArray[np.float64]
Block = dict[str, Cells]

INACTIVE = -1
NOT_A_LEVEL = -2
_NO_LEVEL = object()
_PLAIN = frozenset({str, int, float, type(None)})


def n_rows(block: Mapping[str, Cells]) -> int:
    """Return the number of configurations in a block of at least one option."""
    return len(next(iter(block.values())))


def take_rows(block: Mapping[str, Cells], rows: NDArray[Any] | slice) -> Block:
    """Return the block of the given rows (numbers, a mask or a slice)."""
    return {name: cells[rows] for name, cells in block.items()}


def joined(blocks: Sequence[Mapping[str, Cells]]) -> Block:
    """Return the rows of all blocks, of which there is at least one, as one block."""
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def active_rows(cells: Cells) -> NDArray[np.bool_]:
    """Return where an option has one of its levels, shape (n,)."""
    return np.asarray(cells >= 0) if cells.dtype == np.int32 else np.isfinite(cells)


def not_levels(cells: Cells) -> NDArray[np.bool_]:
    """Return where a column held what is no level of its option, shape (n,)."""
    return np.asarray(cells == NOT_A_LEVEL) if cells.dtype == np.int32 else np.isinf(cells)


def inactive_column(option: Option, n: int) -> Cells:
    """Return the cells of an option that is inactive in all n rows."""
    return np.full(n, np.nan) if option.levels is None else np.full(n, INACTIVE, dtype=np.int32)


def positions_of(option: Option, column: "pd.Series[Any]") -> Cells:
    """Return the cells a column of a frame stands for.

    Args:
        option: The option.
        column: Levels, any dtype; NaN and None are inactive.

    Returns:
        Positions, int32, `INACTIVE` or `NOT_A_LEVEL` where there is none; for a range the numbers
        themselves, float64, NaN where inactive and infinite where they are outside of it.
    """
    # Booleans and complex numbers are numeric as well, but no numbers here.
    is_number = pd.api.types.is_numeric_dtype(column) and column.dtype.kind not in "bc"
    if is_number and option.is_numeric:
        if option.levels is not None:
            return _positions_of_numbers(option, column)
        return _numbers_in_range(option, column.to_numpy(dtype=np.float64, na_value=np.nan))
    codes, uniques = _factorised(option, column)
    if option.levels is None:
        known = [float(level) if option.contains(level) else np.inf for level in uniques]
        return np.array([*known, np.nan], dtype=np.float64)[codes]
    positions = [option.code(level) for level in uniques]
    table = [NOT_A_LEVEL if position is None else position for position in positions]
    return np.array([*table, INACTIVE], dtype=np.int32)[codes]


def _factorised(option: Option, column: "pd.Series[Any]") -> tuple[NDArray[np.intp], Any]:
    """Return the position of every cell among the distinct cells, -1 for a missing one, and these cells."""
    known = _PLAIN | {bool} if option.kind == "boolean" else _PLAIN
    if column.dtype == object and not known.issuperset(map(type, column.array)):
        # Pandas takes True for 1, and cannot look up a list; both become an object that is no level.
        column = pd.Series([cell if _may_be_level(option, cell) else _NO_LEVEL for cell in column.array], dtype=object)
    return pd.factorize(column)


def _may_be_level(option: Option, cell: object) -> bool:
    if isinstance(cell, bool | np.bool_):
        return option.kind == "boolean"
    return cell is None or cell is pd.NA or cell is pd.NaT or isinstance(cell, str | int | float | Decimal | np.number)


def column_of(option: Option, cells: Cells) -> "pd.Series[Any]":
    """Return the column of a frame for cells without `NOT_A_LEVEL`, in the dtype of the table above."""
    if option.levels is None:
        return pd.Series(cells, dtype=np.float64)
    if option.kind == "text":
        return pd.Series(pd.Series(_table(option), dtype="str").array.take(cells, allow_fill=True))
    if (cells == INACTIVE).any():
        return pd.Series(_table(option, None if option.kind in ("boolean", "mixed") else np.nan)[cells])
    return pd.Series(_table(option)[cells])


def typed_column(option: Option, column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return a column in the dtype of the table above, rows from 0; what is no level of the option is kept."""
    cells = positions_of(option, column)
    return column.reset_index(drop=True).infer_objects() if not_levels(cells).any() else column_of(option, cells)


def column_of_levels(option: Option, levels: list[Level | None]) -> "pd.Series[Any]":
    """Return the column of a frame for given levels; what is no level of the option is kept."""
    return typed_column(option, pd.Series(levels, dtype=object))


def cell_of(option: Option, level: Any) -> Cells:
    """Return the cell of one level, shape (1,), as `positions_of` has it; None and NaN are inactive."""
    is_missing = level is None or (isinstance(level, float) and np.isnan(level))
    if option.levels is None:
        number = np.nan if is_missing else float(level) if option.contains(level) else np.inf
        return np.array([number], dtype=np.float64)
    code = option.code(level)
    return np.array([INACTIVE if is_missing else NOT_A_LEVEL if code is None else code], dtype=np.int32)


def default_cell(option: Option) -> Cells:
    """Return the cell of the option's default level, shape (1,)."""
    return cell_of(option, option.default_level)


def levels_of_row(options: Iterable[Option], block: Mapping[str, Cells], row: int) -> dict[str, Level | None]:
    """Return one row as a configuration of plain Python levels, None where inactive."""
    return {option.name: _level_of(option, block[option.name][row]) for option in options}


def _level_of(option: Option, cell: np.int32 | np.float64) -> Level | None:
    if option.levels is None:
        return None if np.isnan(cell) else float(cell)
    return None if cell < 0 else option.levels[int(cell)]


def operand_of_cells(option: Option, cells: Cells) -> Operand:
    """Return what an expression sees of the cells; what is no level decides nothing."""
    if option.levels is None:
        return Operand(cells, active_rows(cells))
    places = np.maximum(cells, 0).astype(np.int32)
    if option.kind in ("boolean", "number"):
        return Operand(np.array(option.levels, dtype=np.float64)[places], active_rows(cells))
    return Operand(_table(option)[places], active_rows(cells))


def _table(option: Option, *inactive: object) -> NDArray[Any]:
    """Return the levels as an array, with what stands for an inactive cell at the end (position -1)."""
    levels = [*(option.levels or ()), *inactive]
    if option.kind == "mixed" or (option.kind == "text" or (option.kind == "boolean" and inactive)):
        table = np.empty(len(levels), dtype=object)
        table[:] = levels
        return table
    return np.array(levels)


def _positions_of_numbers(option: Option, column: "pd.Series[Any]") -> NDArray[np.int32]:
    has_missing = bool(column.isna().any())
    # Integers stay integers: beyond 2^53 a float cannot tell neighbours apart.
    is_whole = column.dtype.kind == "i" and not has_missing
    numbers = column.to_numpy(dtype=np.int64) if is_whole else column.to_numpy(dtype=np.float64, na_value=np.nan)
    codes = option.codes_of_numbers(numbers)
    positions = np.where(codes < 0, NOT_A_LEVEL, codes)
    return (np.where(np.isnan(numbers), INACTIVE, positions) if has_missing else positions).astype(np.int32)


def _numbers_in_range(option: Option, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    lower, upper = option.bounds
    outside = (numbers < lower) | (numbers > upper)
    return np.where(outside, np.inf, numbers)
