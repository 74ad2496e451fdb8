"""Columns for influences: orthonormal contrasts of every option, and their products for pairs.

Every option gets functions of its level with mean 0 and mean square 1 over the configurations that matter,
uncorrelated with one another: for ordered levels the polynomials of degree 1, 2, ... in the position of
the level, for unordered ones any complete set. A component of a response (a main effect or an interaction)
is a combination of such columns, and its mean square is about the sum of the squared coefficients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from perfport.advise.rendering import plain
from perfport.data.measurement import FloatArray
from perfport.space.options import Level, Option
from perfport.space.space import Space

__all__ = ["ContrastBasis", "Contrasts"]

_MAX_DEGREE = 4  # of long ranges; shorter ones get one degree less than levels, which is complete
_LONG_RANGE = 8
_MAX_PAIR_COLUMNS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Contrasts:
    """The columns of one option.

    Attributes:
        levels: Levels that occur, in order.
        columns: Value of each column at each level, shape (number of levels, r).
        weights: Share of an influence's variance each column is expected to carry, shape (r,), summing to 1.
    """

    levels: tuple[Level, ...]
    columns: FloatArray
    weights: FloatArray

    @classmethod
    def of(cls, option: Option, cells: "pd.Series[Any]") -> "Contrasts":
        """Build the columns of an option from its levels in the configurations that matter."""
        counts = cells.dropna().value_counts(sort=False)
        found = {level: int(n) for level, n in zip(map(plain, counts.index), counts, strict=True) if level is not None}
        is_ordered = option.type != "categorical" and not any(isinstance(level, str) for level in found)
        levels = tuple(sorted(found, key=lambda level: _order(option, level)))
        n = np.array([found[level] for level in levels], dtype=np.float64)
        share = n / max(n.sum(), 1.0)
        if len(levels) < 2:
            return cls(levels, np.empty((len(levels), 0)), np.empty(0))
        if is_ordered or option.type == "ordinal":
            position = (
                2.0 * (np.cumsum(share) - share / 2.0) - 1.0 if len(levels) > _LONG_RANGE else _evenly(len(levels))
            )
            degree = _MAX_DEGREE if len(levels) > _LONG_RANGE else len(levels) - 1
            raw = np.polynomial.legendre.legvander(position, degree)
            weights = 1.0 / np.arange(1, degree + 1) ** 2
        else:
            raw = np.hstack([np.ones((len(levels), 1)), np.eye(len(levels))[:, 1:]])
            weights = np.ones(len(levels) - 1)
        return cls(levels, _orthonormal(raw, share), weights / weights.sum())

    def values(self, cells: "pd.Series[Any]") -> FloatArray:
        """Return the columns at the levels of `cells`, shape (m, r).

        A number that never occurred lies between its neighbours, or at the nearest end; any other unknown
        level, and an inactive option, count as average, 0.
        """
        codes, found = pd.factorize(cells)
        known: dict[Level | None, FloatArray] = dict(zip(self.levels, self.columns, strict=True))
        rows = [known[level] if level in known else self._between(level) for level in map(plain, found)]
        padded = np.vstack([*rows, np.zeros((1, self.columns.shape[1]))])
        return np.asarray(padded[codes])

    def _between(self, level: Level | None) -> FloatArray:
        numbers = [known for known in self.levels if isinstance(known, int | float)]
        are_ascending = len(numbers) == len(self.levels) and bool(np.all(np.diff(numbers) > 0))
        if not isinstance(level, int | float) or isinstance(level, bool) or not are_ascending:
            return np.zeros(self.columns.shape[1])
        return np.array([np.interp(float(level), numbers, column) for column in self.columns.T])


@dataclass(frozen=True, slots=True, eq=False)
class ContrastBasis:
    """The contrasts of all options of a space.

    Attributes:
        contrasts: Option -> its columns; options that do not vary have none and are left out.
    """

    contrasts: Mapping[str, Contrasts]

    @classmethod
    def of(cls, space: Space, configurations: pd.DataFrame) -> "ContrastBasis":
        """Build the contrasts of each option from the configurations that matter."""
        built = {option.name: Contrasts.of(option, configurations[option.name]) for option in space.options}
        return cls({name: contrasts for name, contrasts in built.items() if contrasts.columns.shape[1]})

    def columns(self, options: Sequence[str], configurations: pd.DataFrame) -> FloatArray:
        """Return the columns of a main effect (one option) or an interaction (two), shape (m, r)."""
        return self.many([options], configurations)[0]

    def many(self, terms: Sequence[Sequence[str]], configurations: pd.DataFrame) -> list[FloatArray]:
        """Return the columns of several terms; the levels are looked up once."""
        names = {name for options in terms for name in options}
        known = {name: self.contrasts[name].values(configurations[name]) for name in names}
        return [self._combined([known[name] for name in options], options) for options in terms]

    def weights(self, options: Sequence[str]) -> FloatArray:
        """Return the share of variance each column of a term is expected to carry, shape (r,)."""
        weights = self._product_weights(options)
        kept = weights[self._kept(weights)]
        return np.asarray(kept / kept.sum())

    def _combined(self, values: Sequence[FloatArray], options: Sequence[str]) -> FloatArray:
        if len(options) == 1:
            return values[0]
        first, second = values
        every = (first[:, :, None] * second[:, None, :]).reshape(len(first), -1)
        return np.asarray(every[:, self._kept(self._product_weights(options))])

    def _product_weights(self, options: Sequence[str]) -> FloatArray:
        weights = np.ones(1)
        for name in options:
            weights = np.outer(weights, self.contrasts[name].weights).ravel()
        return weights

    @staticmethod
    def _kept(weights: FloatArray) -> Any:
        """Of an interaction of long options only the columns expected to carry most are kept."""
        return np.sort(np.argsort(-weights, kind="stable")[:_MAX_PAIR_COLUMNS])


def _order(option: Option, level: Level) -> tuple[int, float, str]:
    code = None if option.levels is None else option.code(level)
    if code is not None:
        return (0, float(code), "")
    return (1, 0.0, level) if isinstance(level, str) else (1, float(level), "")


def _evenly(n: int) -> FloatArray:
    return np.linspace(-1.0, 1.0, n)


def _orthonormal(raw: FloatArray, share: FloatArray) -> FloatArray:
    """Make columns orthonormal under level frequencies `share`, in their order, and drop the constant first one."""
    root = np.sqrt(share)[:, None]
    Q, R = np.linalg.qr(raw * root)
    return np.asarray((Q * np.sign(np.diag(R)) / root)[:, 1:])
