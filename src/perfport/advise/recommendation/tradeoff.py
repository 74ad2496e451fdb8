"""Several properties at once: the best configurations that keep limits, or the front between objectives.

Takes one performance model a property, all of one environment, and a goal (`perfport.advise.recommendation.goals`). A
configuration keeps the limits if a new reading of it does so with a stated probability, by the models'
predictive distributions; errors of different properties are taken to be independent. With one objective the
best ones are returned, with several those that no other one beats, with their knee.

Nothing is measured here.

Example:
    >>> found = trade_off([time_model, energy_model], candidates=space,      # doctest: +SKIP
    ...                   goal="latency <= 30 ms, minimise energy")
    >>> print(found)                                                          # doctest: +SKIP
    inference_time_s <= 0.03 s, minimise energy_j:
    energy_j 410 mJ, inference_time_s 24 ms (limits kept with probability 0.97): threads=2, spinning=False
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from perfport.advise.recommendation.feasible import Allowed, some_allowed_rows
from perfport.advise.recommendation.goals import Goal, Limit, parse_goal
from perfport.advise.recommendation.pareto import front, hypervolume, knee
from perfport.advise.recommendation.recommend import intervals, plain_configurations
from perfport.advise.recommendation.seeking import first_distinct, seek_best, seek_front
from perfport.advise.uncertainty import central_response, predictive_of
from perfport.data.measurement import FloatArray, Property
from perfport.errors import NotEnoughDataError, UsageError
from perfport.model.base import PerformanceModel
from perfport.model.predictive import Predictive
from perfport.space.options import Level
from perfport.space.space import Space
from perfport.units import format_quantity

__all__ = ["Expected", "Offer", "TradeOff", "trade_off"]

# What breaks a limit is worse than all that keeps them (by e^20), the worse the less probable it is kept.
_BROKEN = 20.0
_SHORTFALL = 10.0
_MAX_Z = 8.0


@dataclass(frozen=True, slots=True)
class Expected:
    """What a model expects of one property.

    Attributes:
        property: Which.
        predicted: Median where the model knows it, in the unit of the property.
        lower: Lower limit of the prediction interval; None if the model gives none.
        upper: Upper limit.
    """

    property: Property
    predicted: float
    lower: float | None
    upper: float | None

    def __str__(self) -> str:
        return f"{self.property.name} {format_quantity(self.predicted, self.property.unit)}"


@dataclass(frozen=True, slots=True)
class Offer:
    """One configuration on offer.

    Attributes:
        configuration: Option -> level; None for an inactive option.
        expected: Of every property of the goal, objectives first.
        probability: That a new reading keeps all limits; None without limits.
        is_knee: Whether it is the knee of the front.
    """

    configuration: Mapping[str, Level | None]
    expected: tuple[Expected, ...]
    probability: float | None
    is_knee: bool = False

    def __str__(self) -> str:
        text = ", ".join(map(str, self.expected))
        if self.probability is not None:
            text += f" (limits kept with probability {self.probability:.2f})"
        levels = [f"{name}={level}" for name, level in self.configuration.items() if level is not None]
        return f"{text}: {', '.join(levels)}"


@dataclass(frozen=True, slots=True)
class TradeOff:
    """What is on offer.

    Attributes:
        goal: What was wanted, bound to the properties of the models.
        offers: One objective: the best, best first. Several: the front, in the order of the first objective.
        confidence: Probability with which limits had to be kept.
        is_kept: Whether the offers keep the limits with that probability. If no configuration does, the offers
            are those that come nearest.
        hypervolume_share: Of the box between the best and the worst response to each objective on the front
            (on log scales), the share the front covers; None with one objective or fewer than two offers.
    """

    goal: Goal
    offers: tuple[Offer, ...]
    confidence: float
    is_kept: bool
    hypervolume_share: float | None

    @property
    def knee(self) -> Offer:
        """The offer where giving up a little of one objective stops buying much of another; of one, the best."""
        return next((offer for offer in self.offers if offer.is_knee), self.offers[0])

    def __str__(self) -> str:
        lines = [f"{self.goal}:"]
        if not self.is_kept:
            lines.append(f"no configuration keeps the limits with probability {self.confidence:g}; the nearest:")
        marks = ("* " if offer.is_knee else "" for offer in self.offers)
        return "\n".join([*lines, *(f"{mark}{offer}" for mark, offer in zip(marks, self.offers, strict=True))])


def trade_off(
    models: Sequence[PerformanceModel],
    *,
    candidates: pd.DataFrame | Space,
    goal: str | Goal,
    n: int = 5,
    confidence: float = 0.9,
    coverage: float = 0.9,
    seed: int = 0,
    allowed: Allowed | None = None,
) -> TradeOff:
    """Return the configurations that keep the limits and are then best.

    Args:
        models: One a property that the goal names, all of the environment the configuration is for.
        candidates: A frame of valid configurations, one row each, or a space; as for `recommend`. Several objectives
            on a space of more than two million configurations, or with float ranges, need pymoo (extra `moo`).
        goal: A text such as "latency <= 30 ms and memory <= 500 MB, minimise energy", or a `Goal`.
        n: How many are returned with one objective; a front is returned whole.
        confidence: Probability with which a new reading must keep all limits; 0.5 goes by the medians alone.
        coverage: Of the intervals.
        seed: Of the search.
        allowed: Which of them may be offered, as for `recommend`.

    Raises:
        UsageError: If the goal cannot be read, names what no model predicts, or an argument is out of range.
        NotEnoughDataError: If there are no candidates, none is allowed, or a model whose property is limited knows
            nothing of its own error.
        MissingPackageError: If pymoo is needed and not installed.
    """
    if n < 1:
        raise UsageError(f"n is {n}: it must be 1 or more", n=n)
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"confidence is {confidence}: it must lie between 0 and 1, for instance 0.9")
    wanted = (parse_goal(goal) if isinstance(goal, str) else goal).bound([model.property for model in models])
    judge = _Judge({model.property.name: model for model in models}, wanted, confidence)
    best, configurations = _chosen(candidates, judge, n, seed=seed, allowed=allowed)
    kept = judge.probability(best)
    is_kept = not len(wanted.limits) or bool((kept >= confidence).any())
    if is_kept and len(wanted.limits):
        rows = np.flatnonzero(kept >= confidence)
        best, kept, configurations = best.iloc[rows], kept[rows], [configurations[row] for row in rows]
    return _offered(
        judge, best, configurations, kept=kept if wanted.limits else None, is_kept=is_kept, coverage=coverage
    )


def _chosen(
    candidates: pd.DataFrame | Space, judge: "_Judge", n: int, *, seed: int, allowed: Allowed | None
) -> tuple[pd.DataFrame, list[dict[str, Level | None]]]:
    is_front = len(judge.goal.objectives) > 1
    if isinstance(candidates, Space):
        if is_front:
            best = seek_front(candidates, judge.scores, seed=seed, allowed=allowed)
        else:
            best = seek_best(candidates, lambda frame: judge.scores(frame)[:, 0], n, seed=seed, allowed=allowed)
        return best, candidates.configurations(best)
    if not len(candidates):
        raise NotEnoughDataError("there are no candidates to choose from; give at least one configuration")
    candidates = some_allowed_rows(candidates, allowed)
    scores = judge.scores(candidates)
    rows = front(scores) if is_front else np.argsort(scores[:, 0], kind="stable")
    best = candidates.iloc[rows] if is_front else first_distinct(candidates.iloc[rows], n)
    return best, plain_configurations(candidates, best)


@dataclass(frozen=True, slots=True)
class _Judge:
    """Scores configurations by a goal: the lower, the better."""

    models: Mapping[str, PerformanceModel]
    goal: Goal
    confidence: float

    def scores(self, frame: pd.DataFrame) -> FloatArray:
        """Return the log response to every objective, negated where more is better, shape (m, q)."""
        columns, kept = [], np.ones(len(frame))
        limits = self._limits()
        centres: dict[str, FloatArray] = {}
        for name, own in limits.items():
            predictive = predictive_of(self.models[name], frame)
            centres[name] = predictive.moments()[0]
            kept = kept * _within(predictive, own)
        for objective in self.goal.objectives:
            name = objective.property
            centre = centres[name] if name in centres else _log_centre(self.models[name], frame)
            columns.append(centre if objective.direction == "minimise" else -centre)
        scores = np.stack(columns, axis=1)
        return scores if not limits else scores + self._penalty(kept)[:, None]

    def probability(self, frame: pd.DataFrame) -> FloatArray:
        """Return the probability that a new reading keeps all limits, shape (m,)."""
        kept = np.ones(len(frame))
        for name, own in self._limits().items():
            kept = kept * _within(predictive_of(self.models[name], frame), own)
        return kept

    def _limits(self) -> dict[str, list[Limit]]:
        own: dict[str, list[Limit]] = {}
        for limit in self.goal.limits:
            own.setdefault(limit.property, []).append(limit)
        return own

    def _penalty(self, kept: FloatArray) -> FloatArray:
        z = np.clip(ndtri(kept), -_MAX_Z, _MAX_Z)
        return np.where(kept >= self.confidence, 0.0, _BROKEN + _SHORTFALL * (ndtri(self.confidence) - z))


def _within(predictive: Predictive, limits: Sequence[Limit]) -> FloatArray:
    upper = min((limit.value for limit in limits if limit.comparator == "<="), default=None)
    lower = max((limit.value for limit in limits if limit.comparator == ">="), default=None)
    below = np.ones(len(predictive)) if upper is None else predictive.probability_at_most(upper)
    return below if lower is None else np.maximum(below - predictive.probability_at_most(lower), 0.0)


def _log_centre(model: PerformanceModel, frame: pd.DataFrame) -> FloatArray:
    centre = central_response(model, frame)
    wrong = np.flatnonzero(~(np.isfinite(centre) & (centre > 0)))
    if centre.shape != (len(frame),) or len(wrong):
        what = f"{centre[wrong[0]]} for row {wrong[0]}" if len(wrong) else f"shape {centre.shape}"
        raise UsageError(
            f"the model of {model.property.name} answers {what} of {len(frame)} configurations; it must give one "
            "positive number each",
            model=model,
        )
    return np.log(centre)


def _offered(
    judge: _Judge,
    best: pd.DataFrame,
    configurations: Sequence[Mapping[str, Level | None]],
    *,
    kept: FloatArray | None,
    is_kept: bool,
    coverage: float,
) -> TradeOff:
    columns = [_expected(judge.models[name], best, coverage) for name in judge.goal.properties]
    rows = zip(*columns, strict=True)
    probabilities: Sequence[float | None] = [None] * len(best) if kept is None else [float(p) for p in kept]
    share, bend = None, None
    if len(judge.goal.objectives) > 1:
        signs = np.array([1.0 if one.direction == "minimise" else -1.0 for one in judge.goal.objectives])
        points = signs * np.log([[one.predicted for one in row[: len(signs)]] for row in zip(*columns, strict=True)])
        share, bend = _share(points), knee(points)
    offers = tuple(
        Offer(configuration, row, probability, number == bend)
        for number, (configuration, row, probability) in enumerate(
            zip(configurations, rows, probabilities, strict=True)
        )
    )
    return TradeOff(judge.goal, offers, judge.confidence, is_kept, share)


def _expected(model: PerformanceModel, best: pd.DataFrame, coverage: float) -> list[Expected]:
    lower, upper = intervals(model, best, coverage)
    predicted = central_response(model, best)
    return [
        Expected(model.property, float(centre), low, high)
        for centre, low, high in zip(predicted, lower, upper, strict=True)
    ]


def _share(points: FloatArray) -> float | None:
    """Return the share of the box around a front that it covers."""
    low, high = points.min(axis=0), points.max(axis=0)
    if not (high > low).all():
        return None
    return hypervolume((points - low) / (high - low), np.ones(points.shape[1]))
