"""The pool: distinct valid configurations that samplers choose from, and how points come to lie in it.

It holds the candidates if there are any, all valid configurations of the space while these are few, or
else a uniform sample of them. A sampler either takes rows of it, or lays points over the options and
takes what they fall on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pandas as pd

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray
from perfport.errors import UsageError
from perfport.sampling.geometry import BoolArray, Geometry, IntArray, distinct_rows
from perfport.space.space import Space

__all__ = ["Pool", "Proposal"]

POOL_ROWS = 20_000  # while a space has no more configurations, all of them are the pool
SAMPLED_ROWS = 5_000  # of a larger space, or four times as many as are wanted


@dataclass(frozen=True, eq=False)
class Proposal:
    """Configurations and how they came about.

    Attributes:
        configurations: One row each.
        n_points: Points of the design that were looked at.
        n_repaired: Points that were no valid configuration, no candidate, or measured already, and gave
            way to the nearest free configuration.
        n_dropped: Points that fell on a configuration taken already.
        n_filled: Configurations added at random because the design had too few points.
        notes: What else the user should know, whole sentences without a full stop.
    """

    configurations: pd.DataFrame
    n_points: int
    n_repaired: int = 0
    n_dropped: int = 0
    n_filled: int = 0
    notes: tuple[str, ...] = ()


@dataclass(eq=False)
class Pool:
    """Distinct valid configurations to choose from.

    Attributes:
        geometry: The code of the space.
        configurations: N rows; of the candidates, with their labels, or typed.
        codes: Theirs, shape (N, d).
        is_closed: Whether nothing outside the pool may be proposed.
        are_candidates: Whether `configurations` are rows of a table of candidates.
        measured: Codes of what has been measured, as bytes; none of it is in the pool.
        notes: What was left out.
    """

    geometry: Geometry
    configurations: pd.DataFrame
    codes: FloatArray
    is_closed: bool
    are_candidates: bool = False
    measured: frozenset[bytes] = frozenset()
    notes: tuple[str, ...] = ()
    _rows: dict[bytes, int] = field(init=False)
    _coordinates: FloatArray | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._rows = {code.tobytes(): row for row, code in enumerate(self.codes)}

    @classmethod
    def of(
        cls,
        space: Space,
        n: int,
        *,
        rng: np.random.Generator,
        candidates: pd.DataFrame | None = None,
        measured: Dataset | None = None,
    ) -> Self:
        """Return the pool for n configurations; arguments as for `Sampler.propose`."""
        if candidates is not None:
            table, notes = _valid_candidates(space, candidates)
            return cls.made_of(space, table, is_closed=True, are_candidates=True, measured=measured, notes=notes)
        size = space.size()
        if size is not None and size <= POOL_ROWS:
            table = pd.concat(list(space.enumerate()), ignore_index=True)
            return cls.made_of(space, table, is_closed=True, measured=measured)
        table = space.sample(max(SAMPLED_ROWS, 4 * n) + (0 if measured is None else len(measured)), rng)
        return cls.made_of(space, table, is_closed=False, measured=measured)

    @classmethod
    def made_of(
        cls,
        space: Space,
        table: pd.DataFrame,
        *,
        is_closed: bool,
        are_candidates: bool = False,
        measured: Dataset | None = None,
        notes: tuple[str, ...] = (),
    ) -> Self:
        """Return the pool of the distinct, not yet measured rows of a table of valid configurations."""
        geometry = Geometry(space)
        codes = geometry.codes(table)
        done: frozenset[bytes] = frozenset()
        if measured is not None:
            done = frozenset(code.tobytes() for code in geometry.codes(measured.configurations))
        rows = [row for row in distinct_rows(codes) if codes[row].tobytes() not in done]
        return cls(geometry, table.iloc[rows], codes[rows], is_closed, are_candidates, done, notes)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def coordinates(self) -> FloatArray:
        """Coordinates of the pool, see `sampling.geometry`, shape (N, c)."""
        if self._coordinates is None:
            self._coordinates = self.geometry.coordinates(self.codes)
        return self._coordinates

    def take(
        self,
        rows: IntArray | Sequence[int],
        *,
        n_points: int,
        n_repaired: int = 0,
        n_dropped: int = 0,
        n_filled: int = 0,
    ) -> Proposal:
        """Return these rows as a proposal."""
        table = self.configurations.iloc[np.asarray(rows, dtype=np.intp)]
        return Proposal(
            configurations=table if self.are_candidates else self.geometry.space.typed(table.reset_index(drop=True)),
            n_points=n_points,
            n_repaired=n_repaired,
            n_dropped=n_dropped,
            n_filled=n_filled,
            notes=self.notes,
        )

    def filled(self, rows: IntArray, n: int, rng: np.random.Generator) -> Proposal:
        """Return distinct rows as a proposal, with others at random until there are n."""
        return self.take(self._with_others(rows, n, rng), n_points=len(rows), n_filled=n - len(rows))

    def catch(self, batches: Iterable[FloatArray], n: int, rng: np.random.Generator) -> Proposal:
        """Return the configurations that the points of a design fall on, until there are n.

        Points that are no configuration to be had give way to the nearest free one; those that fall on
        one already taken are dropped; what the design lacks is added at random.

        Args:
            batches: Codes, each shape (m, d).
            n: How many configurations to return; the pool has more.
            rng: For the ones added at random.
        """
        pool = self
        taken: dict[int, None] = {}
        n_points = n_repaired = n_dropped = 0
        for batch in batches:
            codes, valid = pool.geometry.settle(batch)
            pool = pool if pool.is_closed else pool._with(codes[valid])
            for code in codes:
                n_points += 1
                row = pool._rows.get(code.tobytes())
                if row is None:
                    n_repaired += 1
                    row = pool._nearest_free(code, taken)
                elif row in taken:
                    n_dropped += 1
                taken[row] = None
                if len(taken) == n:
                    return pool.take(list(taken), n_points=n_points, n_repaired=n_repaired, n_dropped=n_dropped)
        rows = np.array(list(taken), dtype=np.intp)
        return pool.take(
            pool._with_others(rows, n, rng),
            n_points=n_points,
            n_repaired=n_repaired,
            n_dropped=n_dropped,
            n_filled=n - len(rows),
        )

    def _nearest_free(self, code: FloatArray, taken: Iterable[int]) -> int:
        both = self.geometry.coordinates(np.vstack([code, self.codes]))
        distance = np.abs(both[1:] - both[0]).sum(axis=1)
        distance[list(taken)] = np.inf
        return int(np.argmin(distance))

    def _with(self, codes: FloatArray) -> "Pool":
        """Return a pool that has these valid configurations, too, unless they were measured."""
        known = {*self._rows, *self.measured}
        new = [row for row in distinct_rows(codes) if codes[row].tobytes() not in known] if len(codes) else []
        if not new:
            return self
        table = pd.concat([self.configurations, self.geometry.frame(codes[new])], ignore_index=True)
        codes = np.vstack([self.codes, codes[new]])
        table = self.geometry.space.typed(table)
        return Pool(self.geometry, table, codes, self.is_closed, self.are_candidates, self.measured, self.notes)

    def _with_others(self, rows: IntArray, n: int, rng: np.random.Generator) -> IntArray:
        if len(rows) >= n:
            return rows
        rest = np.setdiff1d(np.arange(len(self)), rows)
        return np.concatenate([rows, rng.permutation(rest)[: n - len(rows)]])


def _valid_candidates(space: Space, candidates: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    valid: BoolArray = np.asarray(space.is_valid(candidates), dtype=np.bool_)
    if not valid.any():
        raise UsageError(
            f"none of the {len(candidates)} candidates is a valid configuration of the space; "
            "see space.violations(configuration)",
            candidates=candidates,
        )
    if valid.all():
        return candidates, ()
    return candidates.loc[valid], (f"{int(np.sum(~valid))} of {len(valid)} candidates are not valid in the space",)
