"""Configurations as points, so that designs can be laid on them and distances measured.

A configuration is coded as one number an option: the position of its level; for a float range how far
along the range it lies, on its scale; -1 where the option is inactive. Codes tell configurations
apart. Coordinates measure them: the city-block distance between two rows is the sum over the options of

- the difference of positions over the number of steps, for ordered levels;
- 1 for different levels, for unordered ones, and where one is active and the other is not.

(Gower's coefficient, Biometrics 27(4), 1971, times the number of options.)
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.data.measurement import FloatArray
from perfport.space.columns import INACTIVE, Block, column_of, positions_of
from perfport.space.options import Option
from perfport.space.space import Space
from perfport.space.valid import place_on_scale, uniform_on_scale

__all__ = ["BoolArray", "Geometry", "IntArray", "distinct_rows"]

IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]


class Geometry:
    """The code of one space.

    Args:
        space: The options and the rules between them.

    Attributes:
        options: The options, in order; d of them.
        n_levels: Number of levels of every option, shape (d,); 0 for a float range.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.options = space.options
        self.n_levels = np.array([0 if o.levels is None else len(o.levels) for o in self.options], dtype=np.intp)

    def is_ordered(self, option: Option) -> bool:
        """Return whether the option's levels have an order; two levels always do."""
        return option.type in ("ordinal", "integer", "float") or len(option.levels or ()) <= 2

    def codes(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the codes of configurations, shape (n, d); below -1 where a level is not one of the space."""
        coded = np.empty((len(configurations), len(self.options)))
        for column, option in enumerate(self.options):
            cells = positions_of(option, configurations[option.name])
            if option.levels is None:
                outside = np.isinf(cells)
                places = place_on_scale(option, np.where(outside, option.bounds[0], cells).astype(np.float64))
                cells = np.where(outside, INACTIVE - 1.0, np.where(np.isnan(places), INACTIVE, places))
            coded[:, column] = cells
        return coded

    def frame(self, codes: FloatArray) -> pd.DataFrame:
        """Return the configurations of codes as a typed frame, whether they are valid or not."""
        return self._frame(self._block(codes))

    def settle(self, codes: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Empty inactive options, give active ones a level, and say which configurations are then valid.

        Args:
            codes: Shape (n, d).

        Returns:
            Codes that follow the conditions of the space, shape (n, d), and validity, shape (n,).
        """
        frame = self._frame(self.space.rules.follow_conditions(self._block(codes)))
        return self.codes(frame), np.asarray(self.space.is_valid(frame), dtype=np.bool_)

    def coordinates(self, codes: FloatArray) -> FloatArray:
        """Return coordinates whose city-block distances are those of the module's docstring, shape (n, c)."""
        return np.column_stack([column for part in self._coordinate_columns(codes) for column in part])

    def _coordinate_columns(self, codes: FloatArray) -> Iterator[list[FloatArray]]:
        for column, option in enumerate(self.options):
            code, n_levels = codes[:, column], int(self.n_levels[column])
            inactive = (code < 0).astype(np.float64)
            if self.is_ordered(option):
                place = np.maximum(code, 0.0) / max(n_levels - 1, 1)
                # An active and an inactive cell are one apart wherever the active one lies.
                parts = [place, 1.0 - place] if np.any(inactive) else [place]
                halves = 0.5 if np.any(inactive) else 1.0
                yield [halves * np.where(inactive > 0, 0.0, part) for part in parts] + [0.5 * inactive]
            else:
                yield [0.5 * (code == level) for level in range(n_levels)] + [0.5 * inactive]

    def shuffled_levels(self, rng: np.random.Generator) -> dict[int, IntArray]:
        """Return a random order of the levels of every option whose levels have none, by column.

        A design of two or three levels would otherwise never see those in between.
        """
        unordered = [column for column, option in enumerate(self.options) if not self.is_ordered(option)]
        return {column: rng.permutation(int(self.n_levels[column])) for column in unordered}

    def nearest_levels(
        self, fractions: FloatArray, shuffled: Mapping[int, IntArray], rng: np.random.Generator
    ) -> FloatArray:
        """Return the codes of the levels nearest to fractions (0 to 1) of the way through every option.

        Args:
            fractions: Shape (m, d).
            shuffled: The order to give unordered levels.
            rng: Decides where a fraction lies half way between two levels, as the middle of a boolean does.

        Returns:
            Shape (m, d).
        """
        codes = fractions.astype(np.float64)
        for column in np.flatnonzero(self.n_levels):
            place = codes[:, column] * (self.n_levels[column] - 1)
            level = np.floor(place)
            beyond = place - level
            level += (beyond > 0.5 + 1e-9) | ((np.abs(beyond - 0.5) <= 1e-9) & (rng.random(len(codes)) < 0.5))
            codes[:, column] = shuffled[int(column)][level.astype(np.intp)] if int(column) in shuffled else level
        return codes

    def even_levels(self, fractions: FloatArray) -> FloatArray:
        """Return the codes of levels, each of which covers an equal share of the fractions from 0 to 1.

        Args:
            fractions: Shape (m, d).

        Returns:
            Shape (m, d).
        """
        levels = np.minimum(np.floor(fractions * self.n_levels), self.n_levels - 1)
        return np.where(self.n_levels > 0, levels, fractions)

    def binned(self, codes: FloatArray, columns: Sequence[int], most: int) -> IntArray:
        """Return ordered levels and ranges in at most `most` equal bins, unordered levels as they are.

        Returns:
            Shape (n, len(columns)), 0 for an inactive option, bins from 1.
        """
        bins = np.empty((len(codes), len(columns)), dtype=np.intp)
        for place, column in enumerate(columns):
            code, n_levels = codes[:, column], int(self.n_levels[column])
            if n_levels == 0:
                level = np.minimum(np.floor(code * most), most - 1)
            elif n_levels > most and self.is_ordered(self.options[column]):
                level = np.floor(code * most / n_levels)
            else:
                level = code
            bins[:, place] = np.where(code < 0, 0, level + 1)
        return bins

    def _block(self, codes: FloatArray) -> Block:
        block: Block = {}
        for column, option in enumerate(self.options):
            code = codes[:, column]
            if option.levels is None:
                levels = uniform_on_scale(option, np.maximum(code, 0.0))
                block[option.name] = np.where(code < 0, np.nan, levels)
            else:
                block[option.name] = code.astype(np.int32)
        return block

    def _frame(self, block: Block) -> pd.DataFrame:
        return pd.DataFrame({option.name: column_of(option, block[option.name]) for option in self.options})


def distinct_rows(codes: FloatArray) -> IntArray:
    """Return the numbers of the rows that no earlier row equals, ascending."""
    return np.flatnonzero(~pd.DataFrame(codes).duplicated().to_numpy())
