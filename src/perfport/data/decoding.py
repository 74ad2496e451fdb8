"""Rows of the store read back: a cell that is not what was written is named, with its table and row.

SQLite keeps whatever bytes are in its file; that the file is a database does not say that its cells
are whole. JSON is decoded cell by cell while rows are fetched, where nobody knows the row: what cannot
be decoded becomes an `Unreadable`, and whoever makes a row into something asks `whole_row` first.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from perfport.errors import PerfError, StoreError

__all__ = ["Unreadable", "json_cell", "naming_the_row", "whole_row"]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """In place of a cell that holds no JSON; `reason` says why."""

    reason: str


def json_cell(text: str | bytes) -> Any:
    """Return what a cell of JSON states, or an `Unreadable`."""
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        return Unreadable(str(error))


@contextmanager
def naming_the_row(where: str, table: sa.Table, row: sa.RowMapping) -> Iterator[None]:
    """Turn what goes wrong with a row into a `StoreError` that names it; `where` names the store."""
    try:
        yield
    except StoreError:
        raise
    except (PerfError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise StoreError(
            f"{where}: row {row.get('id')} of table '{table.name}' is damaged: {_one_line(error)}; "
            "restore the store from a copy",
            where=where,
            table=table.name,
            row=row.get("id"),
        ) from error


def whole_row(where: str, table: sa.Table, row: sa.RowMapping) -> sa.RowMapping:
    """Return the row if every cell of it is of the kind its column holds.

    Args:
        where: Names the store.
        table: Whose row it is.
        row: Column -> value, as many columns as were asked for.

    Raises:
        StoreError: If a cell is not; names table, row and column.
    """
    with naming_the_row(where, table, row):
        for name, value in row.items():
            kinds = _kinds(table.c[name])
            if isinstance(value, Unreadable):
                raise ValueError(f"'{name}' is no JSON ({value.reason})")
            if not isinstance(value, kinds) and not (value is None and table.c[name].nullable):
                raise ValueError(f"'{name}' is {_short(value)}, not of the kind {kinds[0].__name__}")
    return row


def _kinds(column: "sa.Column[Any]") -> tuple[type, ...]:
    if isinstance(column.type, sa.JSON):
        return (list,) if column.name == "grade_reasons" else (dict,)
    if isinstance(column.type, sa.Double):
        return float, int
    return (int,) if isinstance(column.type, sa.Integer) else (str,)


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
