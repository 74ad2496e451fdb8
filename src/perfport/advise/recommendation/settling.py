"""Settling a recommendation: which of a few candidates is best, with as few measurements as that takes.

A model's best candidates are close to each other, and one reading of each is noisy. `Settling` is asked
and told: it proposes the candidate whose next reading is expected to gain most (by lowering the regret of
the choice), and stops as soon as the best is settled: as probable as wanted, the choice keeps all limits and
no other candidate that does is better by more than a tolerance.

What is believed of each property is in `perfport.advise.recommendation.belief`; properties are taken to be independent.

Example:
    >>> settling = Settling(recommend(model, candidates=space, n=5), budget=20)      # doctest: +SKIP
    >>> while (configuration := settling.ask()) is not None:                         # doctest: +SKIP
    ...     settling.tell(configuration, measure(configuration))
    >>> print(settling.outcome())                                                    # doctest: +SKIP

Source:
    Expected gain: knowledge gradient of one candidate against the best of the others, Frazier, Powell,
    Dayanik, SIAM Journal on Control and Optimization 47, 2008; times the probability that it keeps the limits,
    Gardner et al., ICML 2014.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from perfport.advise.recommendation.belief import Belief, Prediction
from perfport.advise.recommendation.goals import Limit
from perfport.advise.recommendation.recommend import Recommendation, is_minimised
from perfport.advise.recommendation.tradeoff import TradeOff
from perfport.data.measurement import FloatArray, Property, configuration_key
from perfport.errors import UsageError
from perfport.seeding import rng_for
from perfport.space.options import Level
from perfport.units import format_quantity

__all__ = ["Settled", "Settling", "Standing"]

N_DRAWS = 4000

Stopped = Literal["not stopped", "settled", "limits not kept", "budget spent", "nothing left"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one candidate.

    Attributes:
        configuration: Which.
        predicted: By the model, in the unit of the property; None for a candidate that was added.
        readings: In order, in the unit of the property.
        estimate: Of its response, by model and readings.
        lower: Lower limit of its 90 % interval.
        upper: Upper limit.
        probability_best: That it is the best of the candidates that keep the limits.
        failed: Whether it could not be measured.
        probability_kept: That its responses keep all limits; None without limits.
        limited: Limited property -> estimate of the response.
    """

    configuration: Mapping[str, Level | None]
    predicted: float | None
    readings: tuple[float, ...]
    estimate: float
    lower: float
    upper: float
    probability_best: float
    failed: bool
    probability_kept: float | None = None
    limited: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settled:
    """What the measurements settled.

    Attributes:
        property: What was to be best.
        best: The chosen candidate.
        standings: All candidates, best first; those that failed last.
        stopped: Why no more is measured; "limits not kept" if it is settled that no candidate keeps them.
        n_measured: Measurements made, failed ones included.
        expected_regret_pct: How much better the best candidate is expected to be than the chosen one, in percent,
            wherever the chosen one keeps the limits.
        confidence: Probability that was wanted.
        tolerance_pct: Difference that does not matter, in percent.
        limits: What had to be kept.
    """

    property: Property
    best: Standing
    standings: tuple[Standing, ...]
    stopped: Stopped
    n_measured: int
    expected_regret_pct: float
    confidence: float
    tolerance_pct: float
    limits: tuple[Limit, ...] = ()

    def __str__(self) -> str:
        unit, best = self.property.unit, self.best
        levels = ", ".join(f"{name}={level}" for name, level in best.configuration.items() if level is not None)
        kept = "" if best.probability_kept is None else f", limits kept with probability {best.probability_kept:.2f}"
        return (
            f"{self.property.name} {format_quantity(best.estimate, unit)} "
            f"({format_quantity(best.lower, unit)} to {format_quantity(best.upper, unit)}){kept}: {levels}; "
            f"{self.stopped} after {self.n_measured} measurements, expected regret {self.expected_regret_pct:.2g} %"
        )


class Settling:
    """The best of a few candidates, by measuring; asked and told.

    Args:
        recommendations: The candidates, at least one; of one property.
        budget: Measurements at most.
        others: Further configurations to be measured against, for instance the default: each is measured at
            least once. Nothing is predicted of them but that they are like the candidates.
        minimise: Whether less is better; by default what the property says.
        confidence: Probability with which the choice must be no worse than any other by more than the tolerance.
        tolerance_pct: Difference that does not matter, in percent.
        coverage: Of the intervals of the recommendations.
        limits: What a choice must keep, in the unit of the property; see `of_offers`.
        limited: Limited property -> what is predicted of it for each candidate.
        seed: Of the draws.

    Raises:
        UsageError: If there is no candidate, the budget is below 1, or a probability is out of range.
    """

    def __init__(
        self,
        recommendations: Sequence[Recommendation],
        *,
        budget: int,
        others: Sequence[Mapping[str, Level | None]] = (),
        minimise: bool | None = None,
        confidence: float = 0.9,
        tolerance_pct: float = 1.0,
        coverage: float = 0.9,
        limits: Sequence[Limit] = (),
        limited: Mapping[str, Sequence[Prediction]] | None = None,
        seed: int = 0,
    ) -> None:
        if not recommendations or budget < 1:
            raise UsageError(f"{len(recommendations)} candidates, budget {budget}: give at least one of each")
        if not (0.0 < confidence < 1.0 and tolerance_pct >= 0.0):
            raise UsageError(f"confidence {confidence} must lie between 0 and 1, tolerance {tolerance_pct} not below 0")
        self.property = recommendations[0].property
        self._sign = 1.0 if is_minimised(self.property, minimise) else -1.0
        self.budget, self.confidence, self.tolerance_pct, self.seed = budget, confidence, tolerance_pct, seed
        configurations = {configuration_key(one.configuration): one.configuration for one in recommendations}
        added = {key: other for other in others if (key := configuration_key(other)) not in configurations}
        self._configurations = [*configurations.values(), *added.values()]
        self._places = {key: place for place, key in enumerate([*configurations, *added])}
        self._predicted = [*(one.predicted for one in recommendations), *([None] * len(added))]
        self._against = [self._places[key] for key in added]
        predicted: dict[str, Sequence[Prediction]] = {self.property.name: recommendations}
        predicted = {**(limited or {}), **predicted}
        self._beliefs = {name: Belief(own, n_added=len(added), coverage=coverage) for name, own in predicted.items()}
        self.limits = tuple(limits)
        self._failed = np.zeros(len(self._configurations), dtype=bool)
        self._n_told = 0
        self._stopped: Stopped = "not stopped"

    @classmethod
    def of_offers(
        cls,
        found: TradeOff,
        *,
        budget: int,
        others: Sequence[Mapping[str, Level | None]] = (),
        tolerance_pct: float = 1.0,
        coverage: float = 0.9,
        seed: int = 0,
    ) -> "Settling":
        """Settle which offer is best and keeps the limits, both with the confidence of the trade-off.

        Args:
            found: Offers of one objective; those that probably keep the limits, or come nearest.
            budget: Measurements at most.
            others: Further configurations to be measured against.
            tolerance_pct: Difference that does not matter, in percent.
            coverage: Of the intervals of the offers.
            seed: Of the draws.

        Raises:
            UsageError: If there are several objectives: of a front nothing is best.
        """
        if len(found.goal.objectives) != 1:
            raise UsageError(
                f"the goal '{found.goal}' has {len(found.goal.objectives)} objectives: what is settled is the best of "
                "one; give the others limits",
                goal=found.goal,
            )
        columns = {own[0].property.name: own for own in zip(*(offer.expected for offer in found.offers), strict=True)}
        objective = found.goal.objectives[0]
        return cls(
            [
                Recommendation(rank, offer.configuration, one.predicted, one.lower, one.upper, one.property)
                for rank, (offer, one) in enumerate(
                    zip(found.offers, columns[objective.property], strict=True), start=1
                )
            ],
            budget=budget,
            others=others,
            minimise=objective.direction == "minimise",
            confidence=found.confidence,
            tolerance_pct=tolerance_pct,
            coverage=coverage,
            limits=found.goal.limits,
            limited={limit.property: columns[limit.property] for limit in found.goal.limits},
            seed=seed,
        )

    @property
    def properties(self) -> tuple[str, ...]:
        """What every reading has to tell of: what is to be best first, then what is limited."""
        return tuple(self._beliefs)

    def ask(self) -> dict[str, Level | None] | None:
        """Return the candidate to measure next; None when it is settled, or the budget spent."""
        if self._stopped == "not stopped":
            self._stopped = self._reason_to_stop()
        if self._stopped != "not stopped":
            return None
        # What the candidates are measured against is measured once, however unlikely it is to be best.
        place = self._owed()[0] if self._n_told and self._owed() else self._most_telling()
        return dict(self._configurations[place])

    def tell(self, configuration: Mapping[str, Level | None], reading: float | Mapping[str, float] | None) -> None:
        """Hear a reading of a candidate.

        Args:
            configuration: One of the candidates.
            reading: Independent of the others: the median of a separate run, in the unit of the property; with
                limits of other properties one of each of `properties`. None if it could not be measured, and
                will not be asked for again.

        Raises:
            UsageError: If the configuration is no candidate, a property is missing, or a reading is not positive
                and finite.
        """
        place = self._places.get(configuration_key(configuration))
        if place is None:
            raise UsageError("told of a configuration that is no candidate", configuration=configuration)
        readings = reading if isinstance(reading, Mapping) else {self.property.name: reading}
        if reading is not None:
            missing = [name for name in self._beliefs if name not in readings]
            if missing:
                raise UsageError(f"told nothing of {missing[0]}; a reading tells of {', '.join(self._beliefs)}")
            for name in self._beliefs:
                value = readings[name]
                if value is None or not (np.isfinite(value) and value > 0):
                    raise UsageError(f"{name} is {value}: a reading is positive and finite; None is a failure")
                self._beliefs[name].readings[place].append(float(value))
        self._failed[place] |= reading is None
        self._n_told += 1

    def outcome(self) -> Settled:
        """Return what is known by now; may be asked for at any time."""
        view = self._view()
        own = self._beliefs[self.property.name]
        mean, covariance = own.posterior()
        reach = float(ndtri(0.95)) * np.sqrt(np.diag(covariance))
        others = {limit.property for limit in self.limits} - {self.property.name}
        limited = {name: np.exp(self._beliefs[name].posterior()[0]) for name in self._beliefs if name in others}
        standings = [
            Standing(
                configuration=configuration,
                predicted=self._predicted[place],
                readings=tuple(own.readings[place]),
                estimate=float(np.exp(mean[place])),
                lower=float(np.exp(mean[place] - reach[place])),
                upper=float(np.exp(mean[place] + reach[place])),
                probability_best=float(view.shares[place]),
                failed=bool(self._failed[place]),
                probability_kept=float(view.kept[place]) if self.limits else None,
                limited={name: float(values[place]) for name, values in limited.items()},
            )
            for place, configuration in enumerate(self._configurations)
        ]
        is_chosen = np.arange(len(mean)) == view.chosen
        order = np.lexsort((self._sign * mean, view.kept < self.confidence, ~is_chosen, self._failed))
        regrets = view.regrets[np.isfinite(view.regrets)]
        return Settled(
            property=self.property,
            best=standings[order[0]],
            standings=tuple(standings[place] for place in order),
            stopped=self._stopped,
            n_measured=self._n_told,
            expected_regret_pct=float(100.0 * np.mean(np.expm1(regrets))) if len(regrets) else 0.0,
            confidence=self.confidence,
            tolerance_pct=self.tolerance_pct,
            limits=self.limits,
        )

    def _reason_to_stop(self) -> Stopped:
        if self._failed.all():
            return "nothing left"
        if self._n_told and not self._owed():
            view = self._view()
            if view.is_settled >= self.confidence:
                return "settled"
            if view.none_kept >= self.confidence:
                return "limits not kept"
        return "budget spent" if self._n_told >= self.budget else "not stopped"

    def _owed(self) -> list[int]:
        """Return what was to be measured against and has no reading yet."""
        return [place for place in self._against if not self._failed[place] and not self._is_measured()[place]]

    def _most_telling(self) -> int:
        """Return the candidate whose next reading is expected to gain most; the choice while its limits are unsure."""
        view = self._view()
        if view.doubt > view.challenge:
            return view.chosen
        return int(np.argmax(np.where(self._failed, -np.inf, self._gains(view))))

    def _is_measured(self) -> NDArray[np.bool_]:
        return np.array([bool(readings) for readings in self._beliefs[self.property.name].readings])

    def _gains(self, view: "_View") -> FloatArray:
        """Return how much one more reading of each candidate is expected to lower the regret."""
        own = self._beliefs[self.property.name]
        mean, covariance = own.posterior()
        better = np.where(self._failed, -np.inf, -self._sign * mean)
        # How far one reading of a candidate is expected to move the belief about it.
        variance = np.maximum(np.diag(covariance), 0.0)
        moves = variance / np.sqrt(variance + own.noise_variance())
        rivals = np.where(view.kept >= 0.5, better, -np.inf)
        gains = np.zeros(len(mean))
        for place in np.flatnonzero(~self._failed):
            rival = float(np.delete(rivals, place).max(initial=-np.inf))
            if moves[place] > 0 and np.isfinite(rival):
                u = -abs(better[place] - rival) / moves[place]
                gains[place] = moves[place] * (u * ndtr(u) + np.exp(-0.5 * u * u) / np.sqrt(2.0 * np.pi))
        return gains * view.kept

    def _view(self) -> "_View":
        """Return what follows from all beliefs together."""
        logs = {
            name: belief.draws(N_DRAWS, rng_for(self.seed, "settling", name)) for name, belief in self._beliefs.items()
        }
        is_kept = np.broadcast_to(~self._failed, (N_DRAWS, len(self._failed))).copy()
        for limit in self.limits:
            above = logs[limit.property] > np.log(limit.value)
            is_kept &= ~above if limit.comparator == "<=" else above
        kept = is_kept.mean(axis=0)
        chosen = self._choice(kept)
        better = np.where(is_kept, -self._sign * logs[self.property.name], -np.inf)
        is_any = is_kept.any(axis=1)
        wins = np.bincount(better.argmax(axis=1)[is_any], minlength=len(kept))
        regrets = np.full(N_DRAWS, np.inf)
        known = is_kept[:, chosen]
        regrets[known] = better[known].max(axis=1) - better[known, chosen]
        tolerance = np.log1p(self.tolerance_pct / 100.0)
        return _View(
            kept=kept,
            chosen=chosen,
            shares=wins / N_DRAWS,
            regrets=regrets,
            is_settled=float(np.mean(regrets <= tolerance)),
            doubt=float(np.mean(~known)),
            challenge=float(np.mean(known & (regrets > tolerance))),
            none_kept=float(np.mean(~is_any)),
        )

    def _choice(self, kept: FloatArray) -> int:
        """Return the best of what keeps the limits, of what was measured if possible; else what comes nearest."""
        mean, _ = self._beliefs[self.property.name].posterior()
        keeps = ~self._failed & (kept >= self.confidence)
        if not keeps.any():
            return int(np.argmax(np.where(self._failed, -1.0, kept)))
        # What was never measured is not chosen over what was.
        among = keeps & self._is_measured() if (keeps & self._is_measured()).any() else keeps
        return int(np.argmax(np.where(among, -self._sign * mean, -np.inf)))


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What the beliefs say at one moment.

    Attributes:
        kept: Probability that each candidate keeps the limits, shape (m,); 0 of one that failed.
        chosen: The candidate that would be chosen now.
        shares: How often each is the best that keeps them, shape (m,).
        regrets: Draws of the regret of the choice, on the log scale; infinite where it breaks a limit.
        is_settled: Probability that the choice is right.
        doubt: Probability that it breaks a limit.
        challenge: Probability that it keeps them, but another one is better.
        none_kept: Probability that no candidate keeps them.
    """

    kept: FloatArray
    chosen: int
    shares: FloatArray
    regrets: FloatArray
    is_settled: float
    doubt: float
    challenge: float
    none_kept: float
