"""Recommend: which configurations a model expects to do best.

Takes any performance model and the configurations to choose from, and gives the best ones with their
predicted responses. Configurations are ranked by the predictive median where the model knows it: a
prediction that minimises the relative error is lowered where the model is uncertain, and would send
the user there. Finite spaces are gone through whole; others are sampled, and the best of the sample
improved step by step.

Nothing is measured here. Whoever has the machine measures the recommendations and the default, and
judges them with `perfport.advise.verification`.

Example:
    >>> best, second = recommend(model, candidates=space, n=2)              # doctest: +SKIP
    >>> print(best)                                                         # doctest: +SKIP
    1. inference_time_s 12.1 ms (11.3 ms to 12.9 ms): threads=2, spinning=True
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from perfport.data.measurement import FloatArray, Property, configuration_key
from perfport.errors import NotEnoughDataError, UsageError
from perfport.model.base import PerformanceModel, PredictsInterval, PredictsMedian
from perfport.seeding import rng_for
from perfport.space.options import Level
from perfport.space.space import Space
from perfport.units import format_quantity

__all__ = ["Recommendation", "is_minimised", "recommend"]

MAX_ENUMERATED = 2_000_000  # configurations gone through one by one; more are searched
N_SAMPLED = 20_000  # configurations a search starts from
N_STARTS = 8  # best of them improved step by step; more find the same optima
MAX_STEPS = 200  # steps of one improvement; each changes one option


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A configuration and what a model expects of it.

    Attributes:
        rank: 1 for the best.
        configuration: Option -> level; None for an inactive option.
        predicted: Predicted response, the median where the model knows it, in the unit of the property.
        lower: Lower limit of the prediction interval; None if the model gives none.
        upper: Upper limit.
        property: What is predicted.
    """

    rank: int
    configuration: Mapping[str, Level | None]
    predicted: float
    lower: float | None
    upper: float | None
    property: Property

    def __str__(self) -> str:
        """One line: rank, prediction with interval, the levels of all active options."""
        unit = self.property.unit
        text = f"{self.rank}. {self.property.name} {format_quantity(self.predicted, unit)}"
        if self.lower is not None and self.upper is not None:
            text += f" ({format_quantity(self.lower, unit)} to {format_quantity(self.upper, unit)})"
        levels = [f"{name}={level}" for name, level in self.configuration.items() if level is not None]
        return f"{text}: {', '.join(levels)}"


def recommend(
    model: PerformanceModel,
    *,
    candidates: pd.DataFrame | Space,
    n: int = 1,
    minimise: bool | None = None,
    coverage: float = 0.9,
    seed: int = 0,
) -> tuple[Recommendation, ...]:
    """Return the configurations predicted best, best first.

    Args:
        model: Of the environment the configuration is for.
        candidates: A frame of valid configurations, one row each; or a space, whose valid
            configurations are all looked at up to two million of them. A larger or infinite space is
            searched: 20 000 are drawn, and the best eight and the default improved option by option
            until no change of one option helps. A search may miss the best configuration; it is
            reproducible.
        n: How many; fewer are returned only if there are fewer distinct candidates.
        minimise: Whether less is better; by default what the property says.
        coverage: Of the intervals, for models that give them.
        seed: Of the search.

    Raises:
        UsageError: If n is below 1, the property does not say which way is better and `minimise` is not
            given, or the model answers something that is no number.
        NotEnoughDataError: If there are no candidates.
    """
    if n < 1:
        raise UsageError(f"n is {n}: it must be 1 or more", n=n)
    sign = 1.0 if is_minimised(model.property, minimise) else -1.0
    ranker = _Ranker(model, sign)
    if isinstance(candidates, Space):
        best = _best_of_space(candidates, ranker, n, seed)
        configurations = candidates.configurations(best)
    else:
        if not len(candidates):
            raise NotEnoughDataError("there are no candidates to choose from; give at least one configuration")
        order = np.argsort(ranker.scores(candidates), kind="stable")
        best = _first_distinct(candidates.iloc[order], n)
        configurations = _plain(candidates, best)
    predicted = sign * ranker.scores(best)
    lower, upper = _interval(model, best, coverage)
    return tuple(
        Recommendation(at + 1, configuration, float(predicted[at]), lower[at], upper[at], model.property)
        for at, configuration in enumerate(configurations)
    )


def is_minimised(property: Property, minimise: bool | None = None) -> bool:
    """Return `minimise`, or what the property says where it is None.

    Raises:
        UsageError: If neither says it.
    """
    if minimise is not None:
        return minimise
    if property.direction == "unclear":
        raise UsageError(
            f"property '{property.name}' does not say which way is better; give minimise=True or minimise=False",
            property=property,
        )
    return property.direction == "minimise"


@dataclass(frozen=True, slots=True)
class _Ranker:
    """Scores configurations: the lower, the better."""

    model: PerformanceModel
    sign: float

    def scores(self, frame: pd.DataFrame) -> FloatArray:
        predict = self.model.predict_median if isinstance(self.model, PredictsMedian) else self.model.predict
        scores = self.sign * np.asarray(predict(frame), dtype=np.float64)
        wrong = np.flatnonzero(~np.isfinite(scores))
        if scores.shape != (len(frame),) or len(wrong):
            what = f"{scores[wrong[0]]} for row {wrong[0]}" if len(wrong) else f"shape {scores.shape}"
            raise UsageError(
                f"the model answers {what} of {len(frame)} configurations; it must give one finite number each",
                model=self.model,
            )
        return scores


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


def _best_of_space(space: Space, ranker: _Ranker, n: int, seed: int) -> pd.DataFrame:
    size = space.size()
    if size is not None and size <= MAX_ENUMERATED:
        best = _Shortlist(keep=n)
        for chunk in space.enumerate():
            best.add(chunk, ranker.scores(chunk))
        return best.frame
    # Walks meet and cross, so the list must hold some repeats beside n distinct rows.
    best = _Shortlist(keep=8 * n + 64)
    default = space.frame([space.default_configuration()])
    sample = space.sample(N_SAMPLED, rng_for(seed, "recommend"))
    for chunk in (default, sample):
        best.add(chunk, ranker.scores(chunk))
    starts = pd.concat([_first_distinct(best.frame, N_STARTS), default], ignore_index=True)
    _improve(space, ranker, space.configurations(starts), best)
    return _first_distinct(best.frame, n)


def _improve(space: Space, ranker: _Ranker, starts: Sequence[Mapping[str, Level | None]], best: _Shortlist) -> None:
    """Walk from every start to better configurations until no neighbour is better; list all that is seen.

    The walks go side by side: a model is asked about all their neighbours at once.
    """
    scores = ranker.scores(space.frame(starts))
    walks = [(start, float(score)) for start, score in zip(starts, scores, strict=True)]
    been: set[str] = set()
    for _ in range(MAX_STEPS):
        # A walk that comes where another one was can only follow it.
        walks = [walk for walk in walks if configuration_key(walk[0]) not in been]
        been.update(configuration_key(start) for start, _ in walks)
        around = [space.neighbours(start) for start, _ in walks]
        if not any(map(len, around)):
            return
        seen = pd.concat(around, ignore_index=True)
        scores = ranker.scores(seen)
        best.add(seen, scores)
        ends = np.cumsum([len(part) for part in around])
        steps = [
            _steps(space, start, seen.iloc[part], here - scores[part])
            for (start, here), part in zip(walks, map(np.arange, ends - [len(p) for p in around], ends), strict=True)
        ]
        tried = space.frame([step for options in steps for step in options])
        if not len(tried):
            return
        scores = ranker.scores(tried)
        best.add(tried, scores)
        walks = _taken(steps, scores)


def _steps(
    space: Space, start: Mapping[str, Level | None], around: pd.DataFrame, gains: FloatArray
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


def _first_distinct(frame: pd.DataFrame, n: int) -> pd.DataFrame:
    # A few rows hold n distinct ones unless there are many repeats; only then are more looked at.
    for rows in (4 * n, len(frame)):
        distinct = frame.head(rows).drop_duplicates(ignore_index=True)
        if len(distinct) >= n:
            break
    return distinct.head(n)


def _plain(candidates: pd.DataFrame, best: pd.DataFrame) -> list[dict[str, Level | None]]:
    """Return rows as configurations of plain Python levels.

    A column of whole numbers with missing cells is held as floats; its levels are whole numbers.
    """
    columns: dict[str, list[Level | None]] = {}
    for name in best.columns:
        cells = candidates[name]
        is_whole = cells.dtype.kind == "f" and bool(cells.isna().any()) and bool((cells.dropna() % 1 == 0).all())
        columns[str(name)] = [_level(cell, is_whole=is_whole) for cell in best[name].astype(object)]
    return [{name: levels[row] for name, levels in columns.items()} for row in range(len(best))]


def _level(cell: object, *, is_whole: bool) -> Level | None:
    if pd.isna(cell):  # type: ignore[call-overload]  # any cell is a scalar
        return None
    plain = cell.item() if isinstance(cell, np.generic) else cell
    if not isinstance(plain, bool | int | float | str):
        raise UsageError(f"{plain!r} is not a level: levels are booleans, numbers and texts", level=plain)
    return int(plain) if is_whole and not isinstance(plain, str) else plain


def _interval(
    model: PerformanceModel, frame: pd.DataFrame, coverage: float
) -> tuple[Sequence[float | None], Sequence[float | None]]:
    if not isinstance(model, PredictsInterval):
        return [None] * len(frame), [None] * len(frame)
    lower, upper = model.predict_interval(frame, coverage=coverage)
    return [float(limit) for limit in lower], [float(limit) for limit in upper]
