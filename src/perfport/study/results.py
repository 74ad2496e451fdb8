"""Results of a study: a folder of Parquet files, one a finished task, which is also what makes it resumable.

A file appears whole or not at all, so whatever kills a study, the rows that are there are right, and
the same command computes the others. `pandas.read_parquet(folder)` reads them all.
"""

import hashlib
import os
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from perfport.errors import StoreError
from perfport.study.cells import Row

__all__ = ["COLUMNS", "Results"]

_TEXTS = ("key", "system", "sources", "target", "property", "sampler", "method", "strategy", "learner")
_NUMBERS = (
    "cost_s", "mape_pct", "median_ape_pct", "nmse", "within_10_pct", "spearman", "regret_pct", "elapsed_s",
)  # fmt: skip
_TYPES = (
    dict.fromkeys(_TEXTS, "str")
    | {"budget": "int64", "seed": "int64", "status": "str", "reason": "str", "n_measured": "int64", "n_test": "int64"}
    | dict.fromkeys(_NUMBERS, "float64")
    | {"version": "str"}
)
COLUMNS = tuple(_TYPES)


class Results:
    """The rows of a study on disk.

    Args:
        folder: Made if it does not exist.

    Raises:
        StoreError: If it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make the folder '{folder}' for results: {error.strerror or error}") from error

    def append(self, rows: Sequence[Row]) -> None:
        """Keep the rows of a finished task.

        Raises:
            StoreError: If they cannot be written.
        """
        table = _typed(pd.DataFrame(list(rows)))
        # Named by content: a task that is computed twice replaces its own file.
        name = hashlib.sha256("".join(table["key"]).encode()).hexdigest()[:16]
        temporary = self.folder / f".{name}.{os.getpid()}.tmp"
        try:
            table.to_parquet(temporary, index=False)
            temporary.replace(self.folder / f"{name}.parquet")
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StoreError(f"cannot write results to '{self.folder}': {error.strerror or error}") from error

    def read(self) -> pd.DataFrame:
        """Return all rows, each cell once, columns as `COLUMNS`.

        Raises:
            StoreError: If a file is damaged; the message names it.
        """
        parts = [_read(path) for path in sorted(self.folder.glob("*.parquet"))]
        if not parts:
            return _typed(pd.DataFrame(columns=list(COLUMNS)))
        return pd.concat(parts, ignore_index=True).drop_duplicates("key", keep="last", ignore_index=True)

    def of(self, keys: Collection[str]) -> pd.DataFrame:
        """Return the rows of these cells, in this order; cells not yet computed are left out."""
        rows = self.read().set_index("key", drop=False)
        return rows.loc[[key for key in keys if key in rows.index]].reset_index(drop=True)


def _read(path: Path) -> pd.DataFrame:
    try:
        return _typed(pd.read_parquet(path))
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(
            f"{path} is no file of results: {' '.join(str(error).split())}; delete it, its cells are computed again"
        ) from error


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    return table[list(COLUMNS)].astype(_TYPES)
