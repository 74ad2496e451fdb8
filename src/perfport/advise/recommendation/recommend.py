"""Recommend: which configurations a model expects to do best.

Takes any performance model and the configurations to choose from, and gives the best ones with their
predicted responses. Configurations are ranked by the predictive median where the model knows it: a
prediction that minimises the relative error is lowered where the model is uncertain, and would send
the user there. Small spaces are gone through whole, larger ones as `perfport.advise.recommendation.seeking` says.

Nothing is measured here. Whoever has the machine measures the recommendations and the default, and
judges them with `perfport.advise.recommendation.verification`.

Example:
    >>> best, second = recommend(model, candidates=space, n=2)              # doctest: +SKIP
    >>> print(best)                                                         # doctest: +SKIP
    1. inference_time_s 12.1 ms (11.3 ms to 12.9 ms): threads=2, spinning=True
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from perfport.advise.recommendation.feasible import Allowed, some_allowed_rows
from perfport.advise.recommendation.seeking import first_distinct, seek_best
from perfport.data.measurement import FloatArray, Property
from perfport.errors import NotEnoughDataError, UsageError
from perfport.model.base import PerformanceModel, PredictsInterval, PredictsMedian
from perfport.space.options import Level
from perfport.space.space import Space
from perfport.units import format_quantity

__all__ = ["Recommendation", "intervals", "is_minimised", "plain_configurations", "recommend"]


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
    allowed: Allowed | None = None,
) -> tuple[Recommendation, ...]:
    """Return the configurations predicted best, best first.

    Args:
        model: Of the environment the configuration is for.
        candidates: A frame of valid configurations, one row each; or a space. Up to 20 000 valid
            configurations the model is asked about every one; up to two million a stand-in for the model looks
            at every one, and the model is asked about those it finds promising; a larger or infinite space
            is sampled. In the last two cases the best are improved option by option until no change of one
            option helps; the very best may be missed. Equal arguments give equal answers.
        n: How many; fewer are returned only if there are fewer distinct candidates.
        minimise: Whether less is better; by default what the property says.
        coverage: Of the intervals, for models that give them.
        seed: Of the search.
        allowed: Says of each row of a frame whether it may be recommended; all if None. What failed when it was
            measured is left out by `perfport.advise.recommendation.feasible.allowed_by(rows)`.

    Raises:
        UsageError: If n is below 1, the property does not say which way is better and `minimise` is not
            given, or the model answers something that is no number.
        NotEnoughDataError: If there are no candidates, or none is allowed.
    """
    if n < 1:
        raise UsageError(f"n is {n}: it must be 1 or more", n=n)
    sign = 1.0 if is_minimised(model.property, minimise) else -1.0
    ranker = _Ranker(model, sign)
    if isinstance(candidates, Space):
        best = seek_best(candidates, ranker.scores, n, seed=seed, allowed=allowed)
        configurations = candidates.configurations(best)
    else:
        if not len(candidates):
            raise NotEnoughDataError("there are no candidates to choose from; give at least one configuration")
        candidates = some_allowed_rows(candidates, allowed)
        order = np.argsort(ranker.scores(candidates), kind="stable")
        best = first_distinct(candidates.iloc[order], n)
        configurations = plain_configurations(candidates, best)
    predicted = sign * ranker.scores(best)
    lower, upper = intervals(model, best, coverage)
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


def plain_configurations(candidates: pd.DataFrame, best: pd.DataFrame) -> list[dict[str, Level | None]]:
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


def intervals(
    model: PerformanceModel, frame: pd.DataFrame, coverage: float
) -> tuple[Sequence[float | None], Sequence[float | None]]:
    """Return lower and upper limits of the prediction intervals; None where the model gives none."""
    if not isinstance(model, PredictsInterval):
        return [None] * len(frame), [None] * len(frame)
    lower, upper = model.predict_interval(frame, coverage=coverage)
    return [float(limit) for limit in lower], [float(limit) for limit in upper]
