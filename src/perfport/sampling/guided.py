"""Guided sampling: a source environment says which options are worth varying in the target.

Stepwise regression on the source finds the influential options and pairs of options. Only these are
varied, the others stay at their defaults; and what is chosen spreads over the levels of every
influential option and over the combinations of every influential pair, the more influential first.

Source:
    Iqbal, Kotthoff and Jamshidi, "Transfer Learning for Performance Modeling of Deep Neural Network
    Systems", OpML 2019 (guided sampling; stepwise regression with AIC). Its published code varies two
    options at a time around a fixed number of cores; here every influential option is varied, the
    others of its kind included, and all of them together.
"""

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray
from perfport.errors import UsageError
from perfport.model.influence import fit_influence_model
from perfport.sampling.base import RecordingSampler
from perfport.sampling.geometry import Geometry, IntArray
from perfport.sampling.pool import POOL_ROWS, Pool, Proposal
from perfport.space.space import Space

__all__ = ["Guided", "influences"]

RANGE_LEVELS = 8  # levels of a float range that is varied
OPTION_BINS = 8  # parts of an option's levels that are to be met equally often
PAIR_BINS = 3  # low, middle and high: parts whose combinations are to be met equally often


@dataclass(frozen=True)
class Guided(RecordingSampler):
    """Varies what was influential in a source.

    Attributes:
        source: Measured source environment; None until `with_source`.
        property: The property the source is asked about.
        least_influence: Smallest relative change of the response (root mean square over the source) that
            counts as influential; what stepwise regression finds beyond it is not worth a measurement.
    """

    source: Dataset | None = None
    property: str = ""
    least_influence: float = 0.01

    def with_source(self, source: Dataset, property: str) -> "Guided":
        """Return the sampler guided by what `source` says about `property`."""
        return replace(self, source=source, property=property)

    def pool(
        self,
        space: Space,
        n: int,
        *,
        rng: np.random.Generator,
        candidates: pd.DataFrame | None,
        measured: Dataset | None,
    ) -> Pool:
        """Return the candidates, or the configurations in which only influential options are varied."""
        if candidates is not None:
            return Pool.of(space, n, rng=rng, candidates=candidates, measured=measured)
        varied = sorted({name for names in self._influences(space) for name in names})
        table = _varied(Geometry(space), varied, rng)
        pool = Pool.made_of(space, table, is_closed=False, measured=measured)
        # Too few to choose n from: the other options have to be varied after all.
        return pool if len(pool) >= n else Pool.of(space, n, rng=rng, measured=measured)

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return configurations that spread over influential levels and pairs, other options at default."""
        space = pool.geometry.space
        found = self._influences(space)
        allowed = _nearest_default(pool, {name for names in found for name in names}, n)
        rows = _spread(pool, allowed, found, n, rng)
        return pool.take(rows, n_points=n)

    def _influences(self, space: Space) -> dict[tuple[str, ...], float]:
        if self.source is None:
            raise UsageError("guided sampling has no source yet; call with_source(source, property) first")
        found = {
            names: size
            for names, size in influences(self.source, self.property).items()
            if size >= self.least_influence and all(name in space for name in names)
        }
        # A source in which nothing matters guides nobody: then every option is as good as any other.
        return found or {(name,): 1.0 for name in space.names}


def influences(source: Dataset, property: str) -> dict[tuple[str, ...], float]:
    """Return how much every option and pair that stepwise regression finds changes the response.

    The terms of one option (its level, logarithm, reciprocal) and those of overlapping pairs largely
    cancel, so sizes are not taken from single coefficients: they are the effects in an analysis of
    variance of the fitted logarithmic model over the source rows.

    Args:
        source: Measured environment.
        property: Name of the response.

    Returns:
        Names of one or two options -> root mean square effect on the logarithm of the response (0.1 is
        about 10 %), largest first; both options of a pair are there by themselves as well.
    """
    model = fit_influence_model(source, property, scale="log", criterion="aic")
    found = {tuple(sorted(set(term.options))) for term in model.terms()}
    options = {name for names in found for name in names}
    geometry = Geometry(source.space)
    codes = geometry.codes(source.configurations)
    fitted = np.log(model.predict(source.configurations))
    deviation = fitted - fitted.mean()
    main = {name: _group_means(geometry, codes, (name,), deviation) for name in options}
    sizes: dict[tuple[str, ...], float] = {(name,): _root_mean_square(main[name]) for name in options}
    for names in found - sizes.keys():
        rest = deviation - main[names[0]] - main[names[1]]
        sizes[names] = _root_mean_square(_group_means(geometry, codes, names, rest))
    return dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))


def _root_mean_square(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _group_means(geometry: Geometry, codes: FloatArray, names: tuple[str, ...], values: FloatArray) -> FloatArray:
    """Return for every row the mean over the rows with the same levels of the options."""
    group = _cells(geometry, codes, names, OPTION_BINS if len(names) > 1 else POOL_ROWS)
    return np.asarray((np.bincount(group, values) / np.maximum(np.bincount(group), 1))[group])


def _cells(geometry: Geometry, codes: FloatArray, names: tuple[str, ...], bins: int) -> IntArray:
    """Return which combination of (binned) levels of the options every row has, counted from 0."""
    place = list(geometry.space.names)
    cell = np.zeros(len(codes), dtype=np.intp)
    for levels in geometry.binned(codes, [place.index(name) for name in names], bins).T:
        cell = np.unique(cell * (int(levels.max()) + 1) + levels, return_inverse=True)[1].ravel()
    return cell


def _varied(geometry: Geometry, names: list[str], rng: np.random.Generator) -> pd.DataFrame:
    """Return the valid configurations in which only these options leave their defaults, or many of them."""
    space = geometry.space
    default = geometry.codes(space.frame([space.default_configuration()]))
    columns = [list(space.names).index(name) for name in names]
    levels = [
        np.arange(geometry.n_levels[c], dtype=np.float64) if geometry.n_levels[c] else np.linspace(0, 1, RANGE_LEVELS)
        for c in columns
    ]
    if math.prod(len(choice) for choice in levels) <= POOL_ROWS:
        changes = np.array(list(itertools.product(*levels))).reshape(-1, len(columns))
    else:
        changes = np.column_stack([rng.choice(choice, size=POOL_ROWS) for choice in levels])
    codes = np.repeat(default, len(changes), axis=0)
    codes[:, columns] = changes
    codes, valid = geometry.settle(codes)
    return geometry.frame(codes[valid])


def _nearest_default(pool: Pool, varied: set[str], n: int) -> IntArray:
    """Return at least n rows in which as few as possible of the options not varied leave their defaults."""
    geometry = pool.geometry
    default = geometry.codes(geometry.space.frame([geometry.space.default_configuration()]))[0]
    kept = [column for column, name in enumerate(geometry.space.names) if name not in varied]
    departures = np.sum(pool.codes[:, kept] != default[kept], axis=1)
    return np.flatnonzero(departures <= np.sort(departures)[n - 1])


def _spread(
    pool: Pool, allowed: IntArray, found: dict[tuple[str, ...], float], n: int, rng: np.random.Generator
) -> IntArray:
    """Return n of the allowed rows, each chosen to meet the levels and pairs met least so far."""
    allowed = rng.permutation(allowed)  # equally good rows are met in random order
    codes = pool.codes[allowed]
    sets = [(names, OPTION_BINS if len(names) == 1 else PAIR_BINS) for names in found]
    cells = np.column_stack([_cells(pool.geometry, codes, names, bins) for names, bins in sets])
    weights = np.array(list(found.values()))
    met = np.zeros((len(sets), int(cells.max()) + 1))
    taken = np.zeros(len(allowed), dtype=np.bool_)
    rows = np.empty(n, dtype=np.intp)
    for place in range(n):
        gain = (weights / (1.0 + met[np.arange(len(sets)), cells])).sum(axis=1)
        rows[place] = np.argmax(np.where(taken, -np.inf, gain))
        taken[rows[place]] = True
        met[np.arange(len(sets)), cells[rows[place]]] += 1
    return allowed[rows]
