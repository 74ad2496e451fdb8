"""Finding the best configurations of a space under scores: all of them where that is quick, else by search.

Three ways, by the size of the space:

- up to `MAX_EXACT` valid configurations: every one is scored;
- up to `MAX_SCREENED`: every one is looked at by a stand-in, boosted trees learnt from a sample of scored ones; the
  3000 it finds most promising are scored, and the best of all improved step by step;
- beyond, or with float ranges: a sample is scored, and the best of it improved step by step (`seek_front` searches
  by NSGA-II instead, in `perfport.advise.recommendation.evolution`).

Scores have shape (m, q), every column minimised: one column asks for the best rows, several for the front. What may
not be recommended is left out before it is scored, so that it neither takes a place nor misleads the stand-in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.advise.recommendation.feasible import Allowed, allowed_rows, some_allowed_rows
from perfport.advise.recommendation.pareto import front
from perfport.data.measurement import FloatArray, configuration_key
from perfport.seeding import rng_for
from perfport.space.options import Level
from perfport.space.space import Space

__all__ = ["MAX_EXACT", "MAX_SCREENED", "Score", "first_distinct", "seek_best", "seek_front"]

Score = Callable[[pd.DataFrame], FloatArray]

MAX_EXACT = 20_000  # configurations scored one by one: a few seconds of a transferred model
MAX_SCREENED = 2_000_000  # configurations a stand-in looks at
N_LEARNT = 4000  # random ones it learns from
N_PROMISING = 3000  # those it finds best, which are scored
N_TREES = 40
N_MIXTURES = 30  # of several objectives, each of which is to be best once
N_SAMPLED = 20_000  # configurations a search of a larger space starts from
N_STARTS = 8  # best of them improved step by step; more find the same optima
MAX_ROUNDS = 8  # in which neighbours of a front may join it
MAX_POLISHED = 25  # members of the front whose neighbours are looked at in one round
MAX_STEPS = 200  # steps of one improvement; each changes one option


def seek_best(space: Space, score: Score, n: int, *, seed: int, allowed: Allowed | None = None) -> pd.DataFrame:
    """Return the n best distinct configurations, best first; fewer only if the space has no more.

    Args:
        space: To choose from.
        score: Returns one number a row, shape (m,); less is better.
        n: How many.
        seed: Of sample and search.
        allowed: Which of them may be chosen; all if None.

    Raises:
        NotEnoughDataError: If none may be chosen.
    """
    size = space.size()
    if size is not None and size <= MAX_SCREENED:
        seen, scores = _screened(space, lambda frame: score(frame)[:, None], seed, allowed)
        scores = scores[:, 0]
    else:
        seen = some_allowed_rows(space.sample(N_SAMPLED, rng_for(seed, "recommend")), allowed)
        scores = score(seen)
    # Walks meet and cross, so the list must hold some repeats beside n distinct rows.
    best = _Shortlist(keep=8 * n + 64)
    best.add(seen, scores)
    if size is not None and size <= MAX_EXACT:
        return best.frame.head(n)
    default = allowed_rows(space.frame([space.default_configuration()]), allowed)
    if len(default):
        best.add(default, score(default))
    starts = pd.concat([first_distinct(best.frame, N_STARTS), default], ignore_index=True)
    _improve(space, score, space.configurations(starts), best, allowed)
    return first_distinct(best.frame, n)


def seek_front(space: Space, score: Score, *, seed: int, allowed: Allowed | None = None) -> pd.DataFrame:
    """Return configurations whose scores no other one beats, in the order of the first column.

    Args:
        space: To choose from.
        score: Returns shape (m, q); less is better in every column.
        seed: Of sample and search.
        allowed: Which of them may be chosen; all if None.

    Raises:
        MissingPackageError: If the space is too large to be gone through and pymoo is not installed.
        NotEnoughDataError: If none may be chosen.
    """
    size = space.size()
    if size is not None and size <= MAX_SCREENED:
        seen, scores = _screened(space, score, seed, allowed)
    else:
        from perfport.advise.recommendation.evolution import evolved

        seen, scores = evolved(space, score, seed=seed, allowed=allowed)
    if size is None or size > MAX_EXACT:
        seen, scores = _polished(space, score, seen, scores, allowed)
    return seen.iloc[front(scores)].reset_index(drop=True)


def first_distinct(frame: pd.DataFrame, n: int) -> pd.DataFrame:
    """Return the first n distinct rows, fewer if there are no more."""
    # A few rows hold n distinct ones unless there are many repeats; only then are more looked at.
    for rows in (4 * n, len(frame)):
        distinct = frame.head(rows).drop_duplicates(ignore_index=True)
        if len(distinct) >= n:
            break
    return distinct.head(n)


@dataclass(slots=True)
class _Shortlist:
    """The best rows seen so far, best first, ties in the order they came."""

    keep: int | None = None
    frame: pd.DataFrame = field(default_factory=pd.DataFrame)
    scores: FloatArray = field(default_factory=lambda: np.empty(0))

    def add(self, frame: pd.DataFrame, scores: FloatArray) -> None:
        joined = pd.concat([self.frame, frame], ignore_index=True) if len(self.frame) else frame
        scores = np.concatenate([self.scores, scores])
        order = np.argsort(scores, kind="stable")[: self.keep]
        self.frame, self.scores = joined.iloc[order].reset_index(drop=True), scores[order]


def _screened(space: Space, score: Score, seed: int, allowed: Allowed | None) -> tuple[pd.DataFrame, FloatArray]:
    """Return configurations and their scores: all of a few, of many those that a stand-in finds promising."""
    everything = some_allowed_rows(pd.concat(list(space.enumerate()), ignore_index=True), allowed)
    if len(everything) <= MAX_EXACT:
        return everything, score(everything)
    from sklearn.ensemble import HistGradientBoostingRegressor

    codes = _codes(everything)
    rng = rng_for(seed, "recommend")
    rows = np.sort(rng.choice(len(codes), N_LEARNT, replace=False))
    scores = score(everything.iloc[rows])
    stand_in = HistGradientBoostingRegressor(
        max_iter=N_TREES, learning_rate=0.2, min_samples_leaf=5, early_stopping=False, random_state=0
    )
    guesses = [stand_in.fit(codes[rows], column).predict(codes) for column in scores.T]
    new = _promising(np.stack(guesses, axis=1), rows, rng)
    scores = np.concatenate([scores, score(everything.iloc[new])])
    rows = np.concatenate([rows, new])
    return everything.iloc[rows].reset_index(drop=True), scores


def _codes(frame: pd.DataFrame) -> NDArray[np.float32]:
    """Return every option as the number of its level in order, shape (m, d); missing cells come first."""
    columns = [pd.factorize(frame[name], sort=True)[0] for name in frame.columns]
    return np.stack(columns, axis=1).astype(np.float32)


def _promising(guesses: FloatArray, scored: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return rows that were not scored yet and may be among the best."""
    is_open = np.ones(len(guesses), dtype=bool)
    is_open[scored] = False
    n = min(N_PROMISING, int(is_open.sum()))
    if guesses.shape[1] == 1:
        return _lowest(np.where(is_open, guesses[:, 0], np.inf), n)
    # The best of many mixtures of the objectives; the largest weighted one counts, so that dents are found too.
    bend = guesses[front(guesses)]
    low, span = bend.min(axis=0), np.maximum(np.ptp(bend, axis=0), 1e-9)
    scaled = (guesses - low) / span
    weights = rng.dirichlet(np.ones(guesses.shape[1]), N_MIXTURES)
    chosen = [
        _lowest(np.where(is_open, (weight * scaled).max(axis=1) + 0.01 * scaled.sum(axis=1), np.inf), n // N_MIXTURES)
        for weight in weights
    ]
    return np.unique(np.concatenate(chosen))


def _lowest(values: FloatArray, n: int) -> NDArray[np.int64]:
    return np.argpartition(values, n - 1)[:n]


def _polished(
    space: Space, score: Score, seen: pd.DataFrame, scores: FloatArray, allowed: Allowed | None
) -> tuple[pd.DataFrame, FloatArray]:
    """Return the front, joined by neighbours of its members that belong to it, until there are none new."""
    been: set[str] = set()
    for _ in range(MAX_ROUNDS):
        rows = front(scores)
        seen, scores = seen.iloc[rows], scores[rows]
        members = {configuration_key(member): member for member in space.configurations(seen)}
        new = [member for key, member in members.items() if key not in been][:MAX_POLISHED]
        if not new:
            break
        been.update(map(configuration_key, new))
        around = pd.concat([space.neighbours(member) for member in new], ignore_index=True).drop_duplicates()
        around = allowed_rows(around, allowed)
        if not len(around):
            break
        seen = pd.concat([seen, around], ignore_index=True)
        scores = np.concatenate([scores, score(around)])
    return seen.reset_index(drop=True), scores


def _improve(
    space: Space,
    score: Score,
    starts: Sequence[Mapping[str, Level | None]],
    best: _Shortlist,
    allowed: Allowed | None,
) -> None:
    """Walk from every start to better configurations until no neighbour is better; list all that is seen.

    The walks go side by side: a model is asked about all their neighbours at once.
    """
    scores = score(space.frame(starts))
    walks = [(start, float(value)) for start, value in zip(starts, scores, strict=True)]
    been: set[str] = set()
    for _ in range(MAX_STEPS):
        # A walk that comes where another one was can only follow it.
        walks = [walk for walk in walks if configuration_key(walk[0]) not in been]
        been.update(configuration_key(start) for start, _ in walks)
        around = [allowed_rows(space.neighbours(start), allowed) for start, _ in walks]
        if not any(map(len, around)):
            return
        seen = pd.concat(around, ignore_index=True)
        scores = score(seen)
        best.add(seen, scores)
        ends = np.cumsum([len(part) for part in around])
        steps = [
            _steps(space, start, seen.iloc[part], here - scores[part], allowed)
            for (start, here), part in zip(walks, map(np.arange, ends - [len(p) for p in around], ends), strict=True)
        ]
        tried = space.frame([step for options in steps for step in options])
        if not len(tried):
            return
        scores = score(tried)
        best.add(tried, scores)
        walks = _taken(steps, scores)


def _steps(
    space: Space,
    start: Mapping[str, Level | None],
    around: pd.DataFrame,
    gains: FloatArray,
    allowed: Allowed | None,
) -> list[Mapping[str, Level | None]]:
    """Return the best neighbour, and all options at once at what is best for each; nothing if no neighbour is better.

    The second saves most steps where options hardly interact.
    """
    order = [at for at in np.argsort(-gains, kind="stable") if gains[at] > 0]
    better = space.configurations(around.iloc[order])
    if not better:
        return []
    together = dict(start)
    changed: set[str] = set()
    for neighbour in better:
        differs = {name for name, level in neighbour.items() if level != start[name]}
        if not differs & changed:
            together |= {name: neighbour[name] for name in differs}
            changed |= differs
    is_new = together != better[0] and not space.violations(together)
    is_new = is_new and (allowed is None or bool(allowed(space.frame([together])).all()))
    return [better[0], together] if is_new else [better[0]]


def _taken(
    steps: Sequence[Sequence[Mapping[str, Level | None]]], scores: FloatArray
) -> list[tuple[Mapping[str, Level | None], float]]:
    """Return the better step of every walk that has one, with its score."""
    taken = []
    first = 0
    for options in steps:
        if options:
            at = int(np.argmin(scores[first : first + len(options)]))
            taken.append((options[at], float(scores[first + at])))
        first += len(options)
    return taken
