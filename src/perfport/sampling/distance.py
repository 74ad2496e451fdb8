"""Distance-based sampling: the distances of configurations from the origin follow a given distribution."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from perfport.data.measurement import FloatArray
from perfport.errors import UsageError
from perfport.sampling.base import RecordingSampler
from perfport.sampling.geometry import IntArray
from perfport.sampling.pool import Pool, Proposal

__all__ = ["DistanceBased", "distances"]

RANGE_STEPS = 10  # a float range counts as so many steps


@dataclass(frozen=True)
class DistanceBased(RecordingSampler):
    """Draws a distance from a distribution, then a configuration at that distance.

    The distance is the number of steps from the origin, where every option has its first level: for
    boolean options the number that are on. Uniform draws differ from configurations without distances
    in mind, most of which lie in the middle.

    Attributes:
        distribution: Of the distances: "uniform" over those that occur, or "binomial" around the middle.
        diverse: Whether, among configurations at the drawn distance, the one whose levels have been
            chosen least often so far is taken instead of any.

    Source:
        Kaltenecker, Grebhahn, Siegmund, Guo and Apel, ICSE 2019, section III (distance-based and
        diversified distance-based sampling). Steps of ordered levels and unordered ones are ours; the
        paper has boolean options.
    """

    distribution: Literal["uniform", "binomial"] = "uniform"
    diverse: bool = True

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return n configurations at drawn distances."""
        if self.distribution not in ("uniform", "binomial"):
            raise UsageError(f"distribution is '{self.distribution}': it must be 'uniform' or 'binomial'")
        distance = distances(pool)
        values, group = np.unique(distance, return_inverse=True)
        chance = self._chance(values)
        members = [list(rng.permutation(np.flatnonzero(group.ravel() == place))) for place in range(len(values))]
        bins = pool.geometry.binned(pool.codes, range(pool.codes.shape[1]), RANGE_STEPS)
        counts = np.zeros((bins.shape[1], int(bins.max()) + 1))
        rows: list[int] = []
        while len(rows) < n:
            left = np.array([len(rest) > 0 for rest in members]) * chance
            rest = members[rng.choice(len(values), p=left / left.sum())]
            row = rest.pop(self._least_used(bins[rest], counts) if self.diverse else 0)
            counts[np.arange(bins.shape[1]), bins[row]] += 1
            rows.append(int(row))
        return pool.filled(np.array(rows, dtype=np.intp), n, rng)

    def _chance(self, values: FloatArray) -> FloatArray:
        if self.distribution == "uniform":
            return np.full(len(values), 1.0)
        span = int(values.max() - values.min())
        # Not exactly zero, or a distance that occurs could never be reached.
        return np.asarray(stats.binom.pmf(values - values.min(), max(span, 1), 0.5)) + 1e-12

    @staticmethod
    def _least_used(bins: IntArray, counts: FloatArray) -> int:
        return int(np.argmin(counts[np.arange(bins.shape[1]), bins].sum(axis=1)))


def distances(pool: Pool) -> FloatArray:
    """Return the number of steps of every configuration from the origin, shape (N,), whole numbers.

    An ordered level is as many steps away as its position, a float range up to ten, an unordered level
    one unless it is the first; an inactive option does not count.
    """
    total = np.zeros(len(pool))
    for column, option in enumerate(pool.geometry.options):
        code = np.maximum(pool.codes[:, column], 0.0)
        if option.levels is None:
            code = np.rint(code * RANGE_STEPS)
        elif not pool.geometry.is_ordered(option):
            code = np.minimum(code, 1.0)
        total += code
    return total
