"""Which configurations to use: the best by a model, over a whole space or a list of candidates.

Ranked by the predictive median: a prediction made to minimise the relative error lies lower where
the model is less certain, and would recommend what is known least. Advice never measures; the doors
have the winner measured (`perfport.verify`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from perfport.data.measurement import FloatArray
from perfport.errors import UsageError
from perfport.model.base import PerformanceModel, PredictsInterval, PredictsMedian
from perfport.seeding import rng_for
from perfport.space.options import Level
from perfport.space.space import Space

__all__ = ["Recommendation", "recommend"]

MAX_ENUMERATED = 2_000_000  # larger spaces are searched
N_DRAWN = 20_000  # drawn at random where a space is searched
N_STARTS = 10  # the best of those, from which the search goes on step by step
MAX_STEPS = 50


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One recommended configuration.

    Attributes:
        configuration: Option -> level; None for an inactive option.
        predicted: Predictive median, in the unit of the property.
        lower: Lower end of the interval of a new measurement; None if the model has none.
        upper: Upper end.
        rank: 1 is best.
    """

    configuration: Mapping[str, Level | None]
    predicted: float
    lower: float | None
    upper: float | None
    rank: int


def recommend(
    model: PerformanceModel,
    *,
    candidates: pd.DataFrame | Space,
    n: int = 1,
    minimise: bool | None = None,
    coverage: float = 0.9,
    seed: int = 0,
) -> tuple[Recommendation, ...]:
    """Return the best configurations, best first.

    Every valid configuration of a finite space is looked at, up to two million; larger and continuous
    spaces are searched: random configurations first, then the neighbours of the best ones for as long as
    one of them is better.

    Args:
        model: Predicts the property.
        candidates: A space, or valid configurations, one a row.
        n: How many; fewer are returned only if there are fewer.
        minimise: Whether small is good; by the direction of the property if None.
        coverage: Of the intervals.
        seed: Of the random start of a search.

    Raises:
        UsageError: If `n` is not positive, there is no candidate, or the property has no better direction
            and `minimise` does not say.
        SpaceError: If the space has no valid configuration.
    """
    if n < 1:
        raise UsageError(f"n is {n}: at least one configuration must be asked for")
    sign = _sign(model, minimise)
    frames = [candidates] if isinstance(candidates, pd.DataFrame) else _looked_at(model, candidates, sign, seed)
    best = _best(model, frames, sign, n)
    if best.empty:
        raise UsageError("there is no candidate to recommend; give at least one configuration")
    predicted = _median(model, best)
    lower, upper = _interval(model, best, coverage)
    return tuple(
        Recommendation(_configuration(best, row), float(predicted[row]), lower[row], upper[row], row + 1)
        for row in range(len(best))
    )


def _sign(model: PerformanceModel, minimise: bool | None) -> float:
    if minimise is None and model.property.direction == "unclear":
        raise UsageError(
            f"property '{model.property.name}' does not say whether small or large is good; give minimise=True or False"
        )
    return 1.0 if (model.property.direction == "minimise" if minimise is None else minimise) else -1.0


def _looked_at(model: PerformanceModel, space: Space, sign: float, seed: int) -> Iterator[pd.DataFrame]:
    size = space.size()
    if size is not None and size <= MAX_ENUMERATED:
        yield from space.enumerate()
        return
    drawn = space.sample(N_DRAWN, rng_for(seed, "recommend"))
    yield drawn
    starts = _best(model, [drawn], sign, N_STARTS)
    for row in range(len(starts)):
        yield from _climbed(model, space, starts.iloc[[row]], sign)


def _climbed(model: PerformanceModel, space: Space, start: pd.DataFrame, sign: float) -> Iterator[pd.DataFrame]:
    """Yield the neighbourhoods on the way from `start` to a configuration none of whose neighbours is better."""
    value = sign * _median(model, start)[0]
    here = _configuration(start, 0)
    for _ in range(MAX_STEPS):
        around = space.neighbours(here)
        if around.empty:
            return
        yield around
        values = sign * _median(model, around)
        step = int(np.argmin(values))
        if values[step] >= value:
            return
        value, here = float(values[step]), _configuration(around, step)


def _best(model: PerformanceModel, frames: Iterable[pd.DataFrame], sign: float, n: int) -> pd.DataFrame:
    """Return the n best distinct rows of all frames, best first; the earlier of two equal ones."""
    kept, values = pd.DataFrame(), np.empty(0)
    for frame in frames:
        if frame.empty:
            continue
        both = pd.concat([kept, frame], ignore_index=True) if len(kept) else frame.reset_index(drop=True)
        scores = np.concatenate([values, sign * _median(model, frame)])
        fresh = ~both.duplicated().to_numpy()
        order = np.flatnonzero(fresh)[np.argsort(scores[fresh], kind="stable")[:n]]
        kept, values = both.iloc[order].reset_index(drop=True), scores[order]
    return kept


def _median(model: PerformanceModel, frame: pd.DataFrame) -> FloatArray:
    predict = model.predict_median if isinstance(model, PredictsMedian) else model.predict
    return np.asarray(predict(frame), dtype=np.float64)


def _interval(
    model: PerformanceModel, frame: pd.DataFrame, coverage: float
) -> tuple[list[float | None], list[float | None]]:
    if not isinstance(model, PredictsInterval):
        return [None] * len(frame), [None] * len(frame)
    lower, upper = model.predict_interval(frame, coverage=coverage)
    return [float(value) for value in lower], [float(value) for value in upper]


def _configuration(frame: pd.DataFrame, row: int) -> dict[str, Level | None]:
    cells = ((str(name), frame[name].iloc[row]) for name in frame.columns)
    return {
        name: None if pd.isna(cell) else cell.item() if isinstance(cell, np.generic) else cell for name, cell in cells
    }
