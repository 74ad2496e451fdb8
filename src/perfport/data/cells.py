"""Cells of a CSV file: text in, levels and numbers out, with the row named when that fails.

Everything is read as text first. Guessing types while reading would turn the level `none` into a
missing value and `007` into seven; here the card decides what a text means.
"""

import csv
import gzip
import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from perfport.errors import TableError
from perfport.space.options import Level, Option

__all__ = ["CsvTable", "level_parser", "level_text", "lossless_column", "number", "read_csv"]

# A gzip bomb unpacks a thousandfold; no table of measurements comes near this size.
_LARGEST_TABLE_BYTES = 2**29
_TRUE, _FALSE = frozenset({"1", "true"}), frozenset({"0", "false"})


@dataclass(frozen=True, slots=True)
class CsvTable:
    """The texts of one CSV file.

    Attributes:
        path: Where it was read, for messages.
        columns: Header -> texts, shape (n,), in the order of the file.
        lines: Line of the file on which each row ends, shape (n,).
    """

    path: Path
    columns: dict[str, tuple[str, ...]]
    lines: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str, role: str) -> tuple[str, ...]:
        """Return the texts of one column.

        Raises:
            TableError: If the file has no such column; names the role it should play.
        """
        if name not in self.columns:
            raise TableError(
                f"{self.path}: no column '{name}' ({role}); the columns are {', '.join(self.columns)}",
                file=self.path,
                column=name,
            )
        return self.columns[name]

    def fail(self, row: int, text: str) -> NoReturn:
        """Raise a TableError that names the file and the row (counted from 1) and its line."""
        raise TableError(f"{self.path}: row {row + 1} (line {self.lines[row]}): {text}", file=self.path, row=row)


def read_csv(path: Path) -> CsvTable:
    """Read a CSV file, plain or gzip, UTF-8, comma-separated, with one header line.

    Raises:
        TableError: If it is missing, damaged, empty, not UTF-8, too large, ragged, or repeats a column.
    """
    reader = csv.reader(StringIO(_text(path), newline=""), strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    header: list[str] = []
    try:
        header = next(reader, [])
        for row in reader:
            if row:  # a blank line is no row
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise TableError(f"{path}: line {reader.line_num}: not CSV: {error}", file=path) from error
    _check_shape(path, header, rows, lines)
    columns = zip(*rows, strict=True) if rows else ((),) * len(header)
    return CsvTable(path, dict(zip(header, columns, strict=True)), tuple(lines))


def _text(path: Path) -> str:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            content = stream.read(_LARGEST_TABLE_BYTES + 1)
    except FileNotFoundError:
        raise TableError(f"{path}: no such file; the card names it", file=path) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TableError(f"{path}: damaged gzip file: {error}; fetch it again", file=path) from error
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror or error}", file=path) from error
    if len(content) > _LARGEST_TABLE_BYTES:
        raise TableError(f"{path}: larger than {_LARGEST_TABLE_BYTES // 2**20} MiB; split the table", file=path)
    try:
        # Spreadsheets put a byte-order mark before the first header.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TableError(f"{path}: line {line}: not UTF-8; save the file as UTF-8", file=path) from error


def _check_shape(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], lines: Sequence[int]) -> None:
    if not header:
        raise TableError(f"{path}: no header line; the first line must name the columns", file=path)
    if "" in header:
        raise TableError(f"{path}: column {header.index('') + 1} of the header has no name", file=path)
    if len(set(header)) < len(header):
        repeated = next(name for position, name in enumerate(header) if name in header[:position])
        raise TableError(f"{path}: the header names column '{repeated}' twice; rename one", file=path)
    ragged = next((row for row, cells in enumerate(rows) if len(cells) != len(header)), None)
    if ragged is not None:
        raise TableError(
            f"{path}: row {ragged + 1} (line {lines[ragged]}): {len(rows[ragged])} cells, the header has {len(header)}",
            file=path,
            row=ragged,
        )


def number(text: str) -> int | float | None:
    """Return the finite number a text states, an int if it is whole; None if it states none.

    Example:
        >>> number("1e3"), number("0.5"), number("none"), number("nan")
        (1000, 0.5, None, None)
    """
    try:
        # Exact for integers of any length, which a float is not.
        return int(text) if "_" not in text else None
    except ValueError:
        pass
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() else value


def level_text(option: Option, level: Level) -> str:
    """Return the text a table holds for a level; `level_parser` reads it back."""
    if isinstance(level, bool):
        return str(int(level)) if option.type == "boolean" else str(level).lower()
    return repr(level) if isinstance(level, float) else str(level)


def level_parser(option: Option) -> Callable[[str], Level | None]:
    """Return the function from a cell's text to the level it states, None if it states no level of `option`."""
    if option.type == "boolean":
        return lambda text: _known(option, _truth(text))
    if option.lower is not None or option.levels is None:
        return lambda text: _known(option, number(text))
    by_text = {level_text(option, level): level for level in option.levels}
    return lambda text: by_text[text] if text in by_text else _known(option, number(text))


def _known(option: Option, level: Level | None) -> Level | None:
    return level if level is not None and option.contains(level) else None


def _truth(text: str) -> bool | None:
    if text.lower() in _TRUE:
        return True
    return False if text.lower() in _FALSE else None


def lossless_column(texts: Iterable[str]) -> "pd.Series[Any]":
    """Return texts as integers or floats if all of them can be written back unchanged, else as they are.

    A column `arch_index` becomes numbers, `007` and `1.0e3` stay text.
    """
    listed = list(texts)
    for kind, dtype in ((int, np.int64), (float, np.float64)):
        try:
            values = np.array([kind(text) for text in listed], dtype=dtype)
        except (ValueError, OverflowError):  # not numbers, or too large for 64 bits
            continue
        # NaN would be written back as an empty cell.
        if np.isfinite(values).all() and [repr(value) for value in values.tolist()] == listed:
            return pd.Series(values)
    return pd.Series(listed, dtype="str")
