"""Covering arrays: every combination of levels of any two (or t) options occurs in some configuration."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from perfport.errors import UsageError
from perfport.sampling.base import RecordingSampler
from perfport.sampling.geometry import IntArray
from perfport.sampling.pool import Pool, Proposal

__all__ = ["TWise"]

RANGE_BINS = 5  # parts of a float range, or of more ordered levels than MANY_LEVELS, that count as levels
MANY_LEVELS = 12
MAX_CELLS = 20_000_000  # combinations times configurations held at a time


@dataclass(frozen=True)
class TWise(RecordingSampler):
    """Greedy t-wise cover: each configuration holds as many combinations not yet seen as any could.

    Only combinations that some valid configuration of the pool has need covering. When all are covered,
    the cover starts anew, so further configurations see each combination again. Ordered options with
    more than a dozen levels count by fifths.

    Attributes:
        strength: t, the number of options in a combination.

    Source:
        Cohen, Dalal, Fredman and Patton, IEEE Transactions on Software Engineering 23(7), 1997 (AETG); theirs
        builds each test level by level, this one takes the best of the pool, so rules are always kept.
    """

    strength: int = 2

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return the n configurations that cover most."""
        if self.strength < 1:
            raise UsageError(f"strength is {self.strength}: it must be 1 or more", strength=self.strength)
        return pool.filled(self._rows(pool, n, rng), n, rng)

    def _rows(self, pool: Pool, n: int, rng: np.random.Generator) -> IntArray:
        order = rng.permutation(len(pool))  # argmax takes the first of equally good ones: make that a random one
        cells = combination_cells(pool, self.strength)[order]
        is_open = np.ones(int(cells.max(initial=0)) + 1, dtype=np.bool_)
        gain = np.full(len(order), cells.shape[1])
        chosen: list[int] = []
        taken = np.zeros(len(order), dtype=np.bool_)
        while len(chosen) < n:
            best = int(np.argmax(np.where(taken, -1, gain)))
            if gain[best] == 0:
                is_open[:] = True
                gain[:] = cells.shape[1]
                continue
            chosen.append(best)
            taken[best] = True
            newly = cells[best][is_open[cells[best]]]
            is_open[newly] = False
            # Cells of one column are met in that column only, so the comparison is column by column.
            columns = np.flatnonzero(np.isin(cells[best], newly))
            gain -= np.sum(cells[:, columns] == cells[best, columns], axis=1)
        return order[chosen]


def combination_cells(pool: Pool, strength: int) -> NDArray[np.int32]:
    """Return which combination of levels every configuration has for every set of `strength` options.

    Returns:
        Shape (N, number of sets); equal numbers stand for the same combination of the same options.

    Raises:
        UsageError: If the table would not fit into memory.
    """
    geometry = pool.geometry
    varied = [column for column in range(len(geometry.options)) if len(np.unique(pool.codes[:, column])) > 1]
    strength = min(strength, max(len(varied), 1))
    levels = np.column_stack(
        [
            geometry.binned(pool.codes, [column], MANY_LEVELS if 0 < n_levels <= MANY_LEVELS else RANGE_BINS)
            for column, n_levels in enumerate(geometry.n_levels)
        ]
    )
    sets = list(combinations(varied, strength)) or [()]
    if len(sets) * len(pool) > MAX_CELLS:
        raise UsageError(
            f"{len(sets)} sets of {strength} options times {len(pool)} configurations are too many to cover; "
            "lower the strength or give fewer candidates",
            sets=len(sets),
        )
    cells = np.empty((len(pool), len(sets)), dtype=np.int32)
    offset = 0
    for place, options in enumerate(sets):
        number = np.zeros(len(pool), dtype=np.int64)
        for column in options:
            number = number * (int(levels[:, column].max()) + 1) + levels[:, column]
        known, cell = np.unique(number, return_inverse=True)
        cells[:, place] = offset + cell.ravel()
        offset += len(known)
    return cells
