"""Configurations as level numbers: which rows to look at, and what number stands for which level."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.advise.rendering import plain
from perfport.errors import NotEnoughDataError
from perfport.seeding import rng_for
from perfport.space.options import Level, Option
from perfport.space.space import Space

__all__ = ["MANY_LEVELS", "CodedRows", "sample_configurations"]

MANY_LEVELS = 16  # numeric options of a sample are cut into as many parts of equal size


def sample_configurations(
    space: Space, configurations: pd.DataFrame | None, *, max_rows: int, seed: int
) -> tuple[pd.DataFrame, bool]:
    """Return the configurations to look at, and whether they are all that are valid.

    Args:
        space: The space.
        configurations: Those to choose from; all of the space if not given.
        max_rows: Most rows to return; a uniform sample is drawn beyond.
        seed: Of the sample.

    Raises:
        NotEnoughDataError: If there are fewer than two.
    """
    rng = rng_for(seed, "advise", "configurations")
    if configurations is not None:
        rows = configurations[list(space.names)].drop_duplicates().reset_index(drop=True)
        if len(rows) > max_rows:
            rows = rows.iloc[np.sort(rng.choice(len(rows), max_rows, replace=False))].reset_index(drop=True)
        is_all = len(rows) == space.size()
    else:
        size = space.size()
        is_all = size is not None and size <= max_rows
        rows = pd.concat(space.enumerate(), ignore_index=True) if is_all else space.sample(max_rows, rng)
    if len(rows) < 2:
        raise NotEnoughDataError(
            f"{len(rows)} distinct configuration(s): an influence needs at least two; give more configurations",
            n=len(rows),
        )
    return rows, is_all


@dataclass(frozen=True, slots=True, eq=False)
class CodedRows:
    """Configurations as level numbers, and what the numbers stand for.

    Attributes:
        names: The options.
        codes: Level number of each option in each row, shape (n, d), -1 where it is inactive.
        levels: Of each option the levels that occur, by number; where binned, the median of each part.
        is_binned: Of each option whether the numbers stand for parts of its range.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int64]
    levels: tuple[tuple[Level, ...], ...]
    is_binned: tuple[bool, ...]

    @classmethod
    def of(cls, space: Space, rows: pd.DataFrame, *, keep_levels: bool) -> "CodedRows":
        """Number the levels that occur; with `keep_levels` all of them, else those of long ranges are binned."""
        parts = [_code_option(option, rows[option.name], keep_levels) for option in space.options]
        return cls(
            space.names,
            np.column_stack([codes for codes, _, _ in parts]),
            tuple(levels for _, levels, _ in parts),
            tuple(is_binned for _, _, is_binned in parts),
        )

    @property
    def varies(self) -> tuple[bool, ...]:
        """Of each option whether more than one level occurs."""
        return tuple(len(levels) > 1 for levels in self.levels)

    def some(self, n: int, factors: Sequence[int], rng: np.random.Generator) -> NDArray[np.int64]:
        """Return about `n` random rows in which every level of the given options occurs, or all rows if few."""
        if len(self.codes) <= n:
            return np.arange(len(self.codes))
        firsts = [np.unique(self.codes[:, factor], return_index=True)[1] for factor in factors]
        return np.unique(np.concatenate([rng.choice(len(self.codes), n, replace=False), *firsts]))

    def part(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
        """Return the codes of some rows, numbered anew without gaps, and each option's old number by new one."""
        codes, old = [], []
        for column in self.codes[rows].T:
            present, number = np.unique(column, return_inverse=True)
            has_inactive = int(present[0] == -1)
            codes.append(number - has_inactive)
            old.append(present[has_inactive:])
        return np.column_stack(codes), old


def _code_option(
    option: Option, cells: "pd.Series[Any]", keep_levels: bool
) -> tuple[NDArray[np.int64], tuple[Level, ...], bool]:
    codes, found = pd.factorize(cells)
    levels = [_own_level(option, level) for level in map(plain, found) if level is not None]
    order = sorted(range(len(levels)), key=lambda i: _position(option, levels[i]))
    rank = np.empty(len(levels) + 1, dtype=np.int64)
    rank[order] = np.arange(len(levels))
    rank[-1] = -1  # what factorize numbers -1: inactive
    codes = rank[codes]
    ordered = tuple(levels[i] for i in order)
    if keep_levels or not option.is_numeric or len(levels) <= MANY_LEVELS:
        return codes, ordered, False
    counts = np.bincount(codes[codes >= 0], minlength=len(levels))
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    _, part = np.unique(np.floor(middle * MANY_LEVELS), return_inverse=True)
    medians = []
    for number in range(part.max() + 1):
        inside = np.flatnonzero(part == number)
        medians.append(ordered[inside[np.searchsorted(np.cumsum(counts[inside]), counts[inside].sum() / 2)]])
    return np.where(codes >= 0, part[codes], -1), tuple(medians), True


def _own_level(option: Option, level: Level) -> Level:
    """Return the option's own level: a column with inactive cells holds 2 as 2.0."""
    code = None if option.levels is None else option.code(level)
    return level if code is None or option.levels is None else option.levels[code]


def _position(option: Option, level: Level) -> tuple[int, float, str]:
    """Sort levels as the option does; those it does not know come last."""
    code = None if option.levels is None else option.code(level)
    if code is not None:
        return (0, code, "")
    return (1, float(level), "") if not isinstance(level, str) else (2, 0.0, level)
