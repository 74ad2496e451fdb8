"""Samplers that need no design: chance, with more or less order in it."""

import math
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no types

from perfport.errors import UsageError
from perfport.sampling.base import RecordingSampler
from perfport.sampling.geometry import IntArray
from perfport.sampling.pool import Pool, Proposal

__all__ = ["KMeansStages", "SimpleRandom", "Stratified", "Systematic", "WithReplacement"]

FITTED_ROWS = 4000  # cluster centres of more rows are no better
STRATUM_BINS = 3  # ordered levels of one option are put into at most so many strata


@dataclass(frozen=True)
class SimpleRandom(RecordingSampler):
    """Every set of n valid configurations is equally likely."""

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return n rows drawn without replacement."""
        return pool.filled(rng.choice(len(pool), n, replace=False), n, rng)


@dataclass(frozen=True)
class WithReplacement(RecordingSampler):
    """Uniform draws with replacement, repeated until n distinct configurations have been seen.

    The set is as random as that of `SimpleRandom`; the record says how many draws it took.
    """

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return the first n distinct rows drawn."""
        draws = np.empty(0, dtype=np.intp)
        first = draws
        while len(first) < n:
            draws = np.concatenate([draws, rng.integers(len(pool), size=2 * n)])
            first = np.sort(np.unique(draws, return_index=True)[1])
        n_points = int(first[n - 1]) + 1
        return pool.take(draws[first[:n]], n_points=n_points, n_dropped=n_points - n)


@dataclass(frozen=True)
class Systematic(RecordingSampler):
    """Every k-th configuration in the order of counting, from a random start.

    The order is that of the levels (the last option changes fastest), not that of the table, so it
    does not depend on how a table happens to be sorted.

    Source:
        Madow and Madow, Annals of Mathematical Statistics 15(1), 1944; fractional intervals.
    """

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return rows at equal intervals."""
        order = np.lexsort(pool.codes.T[::-1])
        interval = len(pool) / n
        places = np.floor(rng.uniform(0, interval) + interval * np.arange(n)).astype(np.intp)
        return pool.filled(order[np.minimum(places, len(pool) - 1)], n, rng)


@dataclass(frozen=True)
class Stratified(RecordingSampler):
    """Random within strata, which are the combinations of levels of some options.

    Every stratum gets a share of n by its size, at least one configuration while n suffices. Strata
    are never made by the response: it is what the measurement is to find out.

    Attributes:
        options: The options that make the strata; None takes those with the fewest levels as long as
            there are no more strata than configurations to choose. Many ordered levels count as three:
            low, middle, high.
    """

    options: tuple[str, ...] | None = None

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return rows of every stratum."""
        return pool.filled(_rows_of_strata(self._strata(pool, n), n, rng), n, rng)

    def _strata(self, pool: Pool, n: int) -> IntArray:
        names = list(pool.geometry.space.names)
        if self.options is not None:
            for name in self.options:
                pool.geometry.space.option(name)  # an unknown name raises
            return _labels(pool, [names.index(name) for name in self.options])
        n_bins = [len(np.unique(pool.geometry.binned(pool.codes, [c], STRATUM_BINS))) for c in range(len(names))]
        chosen: list[int] = []
        for column in np.argsort(n_bins, kind="stable"):
            if len(np.unique(_labels(pool, [*chosen, int(column)]))) <= n:
                chosen.append(int(column))
        return _labels(pool, chosen)


@dataclass(frozen=True)
class KMeansStages(RecordingSampler):
    """Two stages: configurations are clustered by their levels, then drawn at random from every cluster.

    Attributes:
        n_clusters: Number of clusters; None takes the square root of n, rounded up.
    """

    n_clusters: int | None = None

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return rows of every cluster, in number by its size."""
        if self.n_clusters is not None and self.n_clusters < 1:
            raise UsageError(f"n_clusters is {self.n_clusters}: it must be 1 or more", n_clusters=self.n_clusters)
        n_clusters = min(self.n_clusters or math.ceil(math.sqrt(n)), len(pool))
        model = KMeans(n_clusters, n_init=2, random_state=int(rng.integers(2**31)))
        # OPTIM: on a busy two-core machine, threads that wait for each other take 6.8 s instead of 0.1 s.
        with threadpool_limits(1):
            model.fit(rng.permutation(pool.coordinates)[: max(FITTED_ROWS, n_clusters)])
            labels = np.asarray(model.predict(pool.coordinates), dtype=np.intp)
        return pool.filled(_rows_of_strata(labels, n, rng), n, rng)


def _labels(pool: Pool, columns: list[int]) -> IntArray:
    labels = np.zeros(len(pool), dtype=np.intp)
    for bins in pool.geometry.binned(pool.codes, columns, STRATUM_BINS).T:
        labels = np.unique(labels * (int(bins.max()) + 1) + bins, return_inverse=True)[1].ravel()
    return labels


def _rows_of_strata(labels: IntArray, n: int, rng: np.random.Generator) -> IntArray:
    members = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    shares = allocation(np.array([len(rows) for rows in members]), n, rng)
    return np.concatenate([rows[:share] for rows, share in zip(members, shares, strict=True)])


def allocation(sizes: IntArray, n: int, rng: np.random.Generator) -> IntArray:
    """Return how many of n each stratum gets: by its size, at least one while n suffices, never more than it has.

    Args:
        sizes: Rows of each stratum, each at least 1, n in total or more.
        n: Rows to choose.
        rng: Decides between equal claims.
    """
    quota = n * sizes / sizes.sum() + 1e-9 * rng.random(len(sizes))
    least = 1 if n >= len(sizes) else 0
    share: IntArray = np.clip(np.floor(quota).astype(np.intp), least, sizes)
    while share.sum() < n:
        share[np.argmax(np.where(share < sizes, quota - share, -np.inf))] += 1
    while share.sum() > n:
        share[np.argmin(np.where(share > least, quota - share, np.inf))] -= 1
    return share
