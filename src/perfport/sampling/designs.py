"""Designs of experiments laid over a configuration space: factorial, screening, response surface, space filling.

A design speaks of factors between -1 and 1; here a factor is an option that has more than one level,
-1 is its first level, 1 its last and 0 the middle one. What falls on an invalid configuration moves to
the nearest valid one; the record of `draw` counts that.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import qmc

from perfport.data.measurement import FloatArray
from perfport.errors import UsageError
from perfport.sampling.base import RecordingSampler
from perfport.sampling.geometry import Geometry, IntArray
from perfport.sampling.matrices import full_two_level, plackett_burman, regular_fraction
from perfport.sampling.pool import Pool, Proposal

__all__ = [
    "BoxBehnken",
    "CentralComposite",
    "FractionalFactorial",
    "FullFactorial",
    "LatinHypercube",
    "OptionWise",
    "PlackettBurman",
    "Sobol",
]

TRIED_NEIGHBOURS = 200  # configurations that are tried for a level the default cannot take
ROUNDS = 6  # further points of a space-filling design while levels coincide; the rest is added at random


@dataclass(frozen=True)
class LatinHypercube(RecordingSampler):
    """Latin hypercube: of n points, every n-th part of every option's levels holds one.

    Source:
        McKay, Beckman and Conover, Technometrics 21(2), 1979; points by scipy.stats.qmc.
    """

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return what the points fall on; further hypercubes follow where points coincide."""
        cube = qmc.LatinHypercube(len(pool.geometry.options), rng=rng)
        return pool.catch((pool.geometry.even_levels(cube.random(n)) for _ in range(ROUNDS)), n, rng)


@dataclass(frozen=True)
class Sobol(RecordingSampler):
    """Scrambled Sobol sequence: even cover of all options and of all small sets of them.

    Source:
        Sobol, USSR Computational Mathematics 7(4), 1967; points by scipy.stats.qmc.
    """

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return what the sequence falls on, continued where points coincide."""
        return pool.catch(self._points(pool.geometry, n, rng), n, rng)

    def _points(self, geometry: Geometry, n: int, rng: np.random.Generator) -> Iterator[FloatArray]:
        sequence = qmc.Sobol(len(geometry.options), scramble=True, rng=rng)
        power = math.ceil(math.log2(n))
        for round_ in range(ROUNDS):
            # The sequence is balanced only in powers of two: as many again, then twice as many, ...
            yield geometry.even_levels(sequence.random_base2(power + max(0, round_ - 1)))


@dataclass(frozen=True)
class FullFactorial(RecordingSampler):
    """All combinations of some levels of every option.

    Attributes:
        levels: How many levels of every option, evenly spread over its range; None takes two of each and
            then more, one option at a time, as long as there are no more than n combinations.
    """

    levels: int | None = None

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return the combinations, or n of them at random if there are more."""
        if self.levels is not None and self.levels < 2:
            raise UsageError(f"levels is {self.levels}: a factorial design needs 2 or more", levels=self.levels)
        geometry = pool.geometry
        counts = self._counts(geometry, n, rng)
        n_combinations = math.prod(int(count) for count in counts)
        if n_combinations <= 4 * n:
            places = np.array(list(itertools.product(*(range(count) for count in counts))), dtype=np.float64)
            batches = [rng.permutation(places)]
        else:
            batches = [rng.integers(counts, size=(2 * n, len(counts))).astype(np.float64) for _ in range(ROUNDS)]
        shuffled = geometry.shuffled_levels(rng)
        fractions = (batch / np.maximum(counts - 1, 1) for batch in batches)
        return pool.catch((geometry.nearest_levels(batch, shuffled, rng) for batch in fractions), n, rng)

    def _counts(self, geometry: Geometry, n: int, rng: np.random.Generator) -> IntArray:
        most = np.where(geometry.n_levels > 0, geometry.n_levels, max(n, 2))
        if self.levels is not None:
            return np.minimum(most, self.levels)
        counts = np.minimum(most, 2)
        while True:
            total = math.prod(int(count) for count in counts)
            can_grow = [
                i for i in range(len(counts)) if counts[i] < most[i] and total // counts[i] * (counts[i] + 1) <= n
            ]
            if not can_grow:
                return counts
            fewest = min(counts[i] for i in can_grow)
            counts[rng.choice([i for i in can_grow if counts[i] == fewest])] += 1


@dataclass(frozen=True)
class FractionalFactorial(RecordingSampler):
    """Regular two-level fraction, of the highest resolution that n runs allow.

    Source:
        Box and Hunter, Technometrics 3(3), 1961.
    """

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return the runs, or n of them at random if even the smallest fraction has more."""
        d = len(_factors(pool.geometry))
        return pool.catch(_laid(pool.geometry, [rng.permutation(_corners(d, n))], rng), n, rng)


@dataclass(frozen=True)
class PlackettBurman(RecordingSampler):
    """Screening design: two levels, orthogonal main effects, little more runs than options.

    Source:
        Plackett and Burman, Biometrika 33(4), 1946.
    """

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return the runs, or n of them at random if there are more."""
        d = len(_factors(pool.geometry))
        return pool.catch(_laid(pool.geometry, [rng.permutation(plackett_burman(d))] if d else [], rng), n, rng)


@dataclass(frozen=True)
class BoxBehnken(RecordingSampler):
    """Response-surface design on three levels: two options at their ends, all others in the middle.

    For 3, 4 and 5 options that is the published design; for more it keeps to pairs. With fewer than
    three options, all combinations of three levels.

    Source:
        Box and Behnken, Technometrics 2(4), 1960, table 4.
    """

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return the centre and the pairs, in random order."""
        d = len(_factors(pool.geometry))
        return pool.catch(_laid(pool.geometry, self._runs(d, rng), rng), n, rng)

    def _runs(self, d: int, rng: np.random.Generator) -> Iterator[FloatArray]:
        if d < 3:
            yield rng.permutation(np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=d))).reshape(-1, d))
            return
        yield np.zeros((1, d))
        for pair in rng.permutation(np.array(list(itertools.combinations(range(d), 2)))):
            runs = np.zeros((4, d))
            runs[:, pair] = full_two_level(2)
            yield rng.permutation(runs)


@dataclass(frozen=True)
class CentralComposite(RecordingSampler):
    """Response-surface design: corners, face centres and the centre.

    Face-centred, because an option has no levels beyond its ends. The corners are a fraction of the
    highest resolution that n allows beside the 2 d + 1 other points.

    Source:
        Box and Wilson, Journal of the Royal Statistical Society B 13(1), 1951.
    """

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return the centre, then the other points in random order."""
        d = len(_factors(pool.geometry))
        faces = np.vstack([np.eye(d), -np.eye(d)])
        others = np.vstack([faces, _corners(d, n - 2 * d - 1)])
        return pool.catch(_laid(pool.geometry, [np.zeros((1, d)), rng.permutation(others)], rng), n, rng)


@dataclass(frozen=True)
class OptionWise(RecordingSampler):
    """One option at a time: the default configuration, and every other level with all else at default.

    Every option is changed once, to the level farthest from its default, before any is changed again.

    Source:
        Option-wise heuristic of Siegmund et al., ICSE 2012, for options of any number of levels.
    """

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return the default and its single changes."""
        changes = _SingleChanges(pool, n, rng)
        proposal = pool.catch(changes.batches(), n, rng)
        return replace(proposal, n_repaired=proposal.n_repaired + changes.n_lost)


class _SingleChanges:
    """The default configuration with one level changed, and whatever else that level needs."""

    def __init__(self, pool: Pool, n: int, rng: np.random.Generator) -> None:
        self.pool, self.n, self.rng = pool, n, rng
        space = pool.geometry.space
        self.default = pool.geometry.codes(space.frame([space.default_configuration()]))
        self.n_lost = 0

    def batches(self) -> Iterator[FloatArray]:
        """Yield the default, then one change of every option, then a second one, ..."""
        yield self.default
        columns = range(self.default.shape[1])
        levels = [_others_first(self.pool.geometry, c, self.default[0, c], self.n, self.rng) for c in columns]
        for turn in range(max(len(others) for others in levels)):
            left = [column for column in columns if turn < len(levels[column])]
            yield np.array([self._changed(c, levels[c][turn]) for c in self.rng.permutation(left)])

    def _changed(self, column: int, level: float) -> FloatArray:
        changed = self.default.copy()
        changed[0, column] = level
        settled, valid = self.pool.geometry.settle(changed)
        if valid[0] and settled[0, column] == level:
            return np.asarray(settled[0])
        # The level is not allowed beside the defaults, or its option is inactive there. The configuration
        # nearest to the default that can take it shows its effect with the fewest others.
        active = self.pool.codes[self.pool.codes[:, column] >= 0]
        both = self.pool.geometry.coordinates(np.vstack([self.default, active]))
        near = active[np.argsort(np.abs(both[1:] - both[0]).sum(axis=1), kind="stable")[:TRIED_NEIGHBOURS]]
        near[:, column] = level
        codes, valid = self.pool.geometry.settle(near)
        fits = np.flatnonzero(valid & (codes[:, column] == level))
        if not len(fits):
            return np.asarray(settled[0])
        self.n_lost += 1
        return np.asarray(codes[fits[0]])


def _others_first(geometry: Geometry, column: int, default: float, n: int, rng: np.random.Generator) -> FloatArray:
    """Return the other levels of an option, the farthest from its default first, unordered ones shuffled."""
    n_levels = int(geometry.n_levels[column])
    codes = np.arange(n_levels, dtype=np.float64) if n_levels else np.linspace(0.0, 1.0, max(2, min(n, 5)))
    others = rng.permutation(codes[codes != default])
    if default < 0 or not geometry.is_ordered(geometry.options[column]):
        return others
    return others[np.argsort(-np.abs(others - default), kind="stable")]


def _factors(geometry: Geometry) -> IntArray:
    return np.flatnonzero(geometry.n_levels != 1)


def _corners(d: int, n: int) -> FloatArray:
    """Return the largest regular fraction of at most n runs, or the smallest that d factors fit into."""
    smallest = d.bit_length()  # 2^p runs hold at most 2^p - 1 factors
    p = min(d, max(smallest, max(n, 1).bit_length() - 1))
    return regular_fraction(d, p) if d else np.zeros((1, 0))


def _laid(geometry: Geometry, runs: Iterable[FloatArray], rng: np.random.Generator) -> Iterator[FloatArray]:
    """Yield the codes of runs of -1, 0 and 1, shape (m, number of factors) each."""
    factors, shuffled = _factors(geometry), geometry.shuffled_levels(rng)
    for batch in runs:
        fractions = np.zeros((len(batch), len(geometry.options)))
        fractions[:, factors] = (batch + 1.0) / 2.0
        yield geometry.nearest_levels(fractions, shuffled, rng)
