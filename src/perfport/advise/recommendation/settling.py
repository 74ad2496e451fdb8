"""Settling a recommendation: which of a few candidates is best, with as few measurements as that takes.

A model's best candidates are close to each other, and one reading of each is noisy. `Settling` is asked
and told: it proposes the candidate whose next reading is expected to gain most (by lowering the regret of
the choice), and stops as soon as the best is settled: as probable as wanted, no other candidate is better
than the choice by more than a tolerance.

Beliefs are a joint normal distribution of the candidates' log responses. It starts at the model's
predictions, whose errors are taken to be half common to all candidates and half their own, and is updated
by every reading. The noise of a reading is learnt from repeated readings, starting from 2 %.

Example:
    >>> settling = Settling(recommend(model, candidates=space, n=5), budget=20)      # doctest: +SKIP
    >>> while (configuration := settling.ask()) is not None:                         # doctest: +SKIP
    ...     settling.tell(configuration, measure(configuration))
    >>> print(settling.outcome())                                                    # doctest: +SKIP

Source:
    Expected gain: knowledge gradient of one candidate against the best of the others, Frazier, Powell,
    Dayanik, SIAM Journal on Control and Optimization 47, 2008.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri

from perfport.advise.recommendation.recommend import Recommendation, is_minimised
from perfport.data.measurement import FloatArray, Property, configuration_key
from perfport.errors import UsageError
from perfport.seeding import rng_for
from perfport.space.options import Level
from perfport.units import format_quantity

__all__ = ["Settled", "Settling", "Standing"]

COMMON = 0.5  # correlation of the errors of two predictions; our choice, between none and a mere offset
UNKNOWN_SD = 0.5  # of the log response, where the model gives no interval
NOISE_SD, NOISE_WEIGHT = 0.02, 2.0  # prior of the noise of a reading, and the repeated readings it is worth
N_DRAWS = 4000

Stopped = Literal["not stopped", "settled", "budget spent", "nothing left"]


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
        probability_best: That it is the best of the candidates.
        failed: Whether it could not be measured.
    """

    configuration: Mapping[str, Level | None]
    predicted: float | None
    readings: tuple[float, ...]
    estimate: float
    lower: float
    upper: float
    probability_best: float
    failed: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """What the measurements settled.

    Attributes:
        property: What was measured.
        best: The chosen candidate.
        standings: All candidates, best first; those that failed last.
        stopped: Why no more is measured.
        n_measured: Measurements made, failed ones included.
        expected_regret_pct: How much better the best candidate is expected to be than the chosen one, in percent.
        confidence: Probability that was wanted.
        tolerance_pct: Difference that does not matter, in percent.
    """

    property: Property
    best: Standing
    standings: tuple[Standing, ...]
    stopped: Stopped
    n_measured: int
    expected_regret_pct: float
    confidence: float
    tolerance_pct: float

    def __str__(self) -> str:
        unit = self.property.unit
        levels = ", ".join(f"{name}={level}" for name, level in self.best.configuration.items() if level is not None)
        return (
            f"{self.property.name} {format_quantity(self.best.estimate, unit)} "
            f"({format_quantity(self.best.lower, unit)} to {format_quantity(self.best.upper, unit)}): {levels}; "
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
        seed: int = 0,
    ) -> None:
        if not recommendations or budget < 1:
            raise UsageError(f"{len(recommendations)} candidates, budget {budget}: give at least one of each")
        if not (0.0 < confidence < 1.0 and tolerance_pct >= 0.0):
            raise UsageError(f"confidence {confidence} must lie between 0 and 1, tolerance {tolerance_pct} not below 0")
        self.property = recommendations[0].property
        self._sign = 1.0 if is_minimised(self.property, minimise) else -1.0
        self.budget, self.confidence, self.tolerance_pct, self.seed = budget, confidence, tolerance_pct, seed
        means = [np.log(one.predicted) for one in recommendations]
        sds = [_sd_log(one, coverage) for one in recommendations]
        configurations = {configuration_key(one.configuration): one.configuration for one in recommendations}
        added = {key: other for other in others if (key := configuration_key(other)) not in configurations}
        self._configurations = [*configurations.values(), *added.values()]
        self._places = {key: place for place, key in enumerate([*configurations, *added])}
        self._predicted = [*(one.predicted for one in recommendations), *([None] * len(added))]
        self._against = [self._places[key] for key in added]
        self._mean = np.array([*means, *([float(np.mean(means))] * len(added))])
        sd = np.array([*sds, *([UNKNOWN_SD] * len(added))])
        self._covariance = np.outer(sd, sd) * (COMMON + (1.0 - COMMON) * np.eye(len(sd)))
        self._readings: list[list[float]] = [[] for _ in self._configurations]
        self._failed = np.zeros(len(sd), dtype=bool)
        self._n_told = 0
        self._stopped: Stopped = "not stopped"

    def ask(self) -> dict[str, Level | None] | None:
        """Return the candidate to measure next; None when it is settled, or the budget spent."""
        if self._stopped != "not stopped":
            return None
        open_places = np.flatnonzero(~self._failed)
        if not len(open_places):
            self._stopped = "nothing left"
        elif self._n_told and not self._is_owed() and self._is_settled():
            self._stopped = "settled"
        elif self._n_told >= self.budget:
            self._stopped = "budget spent"
        if self._stopped != "not stopped":
            return None
        gains = self._gains()
        # What the candidates are measured against is measured once, however unlikely it is to be best.
        if self._n_told:
            gains[[place for place in self._against if not self._readings[place]]] = np.inf
        return dict(self._configurations[int(open_places[np.argmax(gains[open_places])])])

    def tell(self, configuration: Mapping[str, Level | None], reading: float | None) -> None:
        """Hear a reading of a candidate.

        Args:
            configuration: One of the candidates.
            reading: Independent of the others: the median of a separate run, in the unit of the property; None
                if it could not be measured, and will not be asked for again.

        Raises:
            UsageError: If the configuration is no candidate, or the reading is not positive and finite.
        """
        place = self._places.get(configuration_key(configuration))
        if place is None:
            raise UsageError("told of a configuration that is no candidate", configuration=configuration)
        self._n_told += 1
        if reading is None:
            self._failed[place] = True
            return
        if not (np.isfinite(reading) and reading > 0):
            raise UsageError(f"{self.property.name} is {reading}: a reading is positive and finite; None is a failure")
        self._readings[place].append(float(reading))

    def outcome(self) -> Settled:
        """Return what is known by now; may be asked for at any time."""
        mean, covariance = self._posterior()
        sd = np.sqrt(np.diag(covariance))
        best, regrets, shares = self._drawn(mean, covariance)
        reach = float(ndtri(0.95)) * sd
        standings = [
            Standing(
                configuration=configuration,
                predicted=self._predicted[place],
                readings=tuple(self._readings[place]),
                estimate=float(np.exp(mean[place])),
                lower=float(np.exp(mean[place] - reach[place])),
                upper=float(np.exp(mean[place] + reach[place])),
                probability_best=float(shares[place]),
                failed=bool(self._failed[place]),
            )
            for place, configuration in enumerate(self._configurations)
        ]
        order = np.lexsort((self._sign * mean, np.arange(len(mean)) != best, self._failed))
        return Settled(
            property=self.property,
            best=standings[order[0]],
            standings=tuple(standings[place] for place in order),
            stopped=self._stopped,
            n_measured=self._n_told,
            expected_regret_pct=float(100.0 * np.mean(np.expm1(regrets))),
            confidence=self.confidence,
            tolerance_pct=self.tolerance_pct,
        )

    def _is_owed(self) -> bool:
        """Return whether something that was to be measured against has no reading yet."""
        return any(not self._readings[place] and not self._failed[place] for place in self._against)

    def _is_settled(self) -> bool:
        mean, covariance = self._posterior()
        _, regrets, _ = self._drawn(mean, covariance)
        return bool(np.mean(regrets <= np.log1p(self.tolerance_pct / 100.0)) >= self.confidence)

    def _noise_variance(self) -> float:
        """Return the variance of a log reading, from the scatter of repeated ones."""
        repeated = [np.log(readings) for readings in self._readings if len(readings) > 1]
        squares = sum(float(np.square(logs - logs.mean()).sum()) for logs in repeated)
        freedom = sum(len(logs) - 1 for logs in repeated)
        return (NOISE_WEIGHT * NOISE_SD**2 + squares) / (NOISE_WEIGHT + freedom)

    def _posterior(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and covariance of the log responses, given the model and all readings."""
        counts = np.array([len(readings) for readings in self._readings])
        read = np.flatnonzero(counts)
        if not len(read):
            return self._mean, self._covariance
        means = np.array([np.mean(np.log(self._readings[place])) for place in read])
        K = self._covariance[np.ix_(read, read)] + np.diag(self._noise_variance() / counts[read])
        gain = np.linalg.solve(K, self._covariance[read]).T
        mean = self._mean + gain @ (means - self._mean[read])
        return mean, self._covariance - gain @ self._covariance[read]

    def _gains(self) -> FloatArray:
        """Return how much one more reading of each candidate is expected to lower the regret."""
        mean, covariance = self._posterior()
        better = np.where(self._failed, -np.inf, -self._sign * mean)
        noise = self._noise_variance()
        # How far one reading of a candidate is expected to move the belief about it.
        variance = np.maximum(np.diag(covariance), 0.0)
        moves = variance / np.sqrt(variance + noise)
        gains = np.zeros(len(mean))
        for place in np.flatnonzero(~self._failed):
            others = np.delete(better, place)
            rival = float(others.max(initial=-np.inf))
            if moves[place] > 0 and np.isfinite(rival):
                u = -abs(better[place] - rival) / moves[place]
                gains[place] = moves[place] * (u * ndtr(u) + np.exp(-0.5 * u * u) / np.sqrt(2.0 * np.pi))
        return gains

    def _drawn(self, mean: FloatArray, covariance: FloatArray) -> tuple[int, FloatArray, FloatArray]:
        """Return the chosen candidate, draws of its regret on the log scale, and how often each is the best."""
        better = np.where(self._failed, -np.inf, -self._sign * mean)
        measured = np.array([bool(readings) for readings in self._readings])
        # What was never measured is not chosen over what was.
        chosen = int(np.argmax(np.where(measured, better, -np.inf) if (measured & ~self._failed).any() else better))
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        draws = -self._sign * mean - rng_for(self.seed, "settling").standard_normal((N_DRAWS, len(mean))) @ root.T
        draws[:, self._failed] = -np.inf
        if self._failed[chosen]:
            return chosen, np.zeros(1), np.zeros(len(mean))
        shares = np.bincount(draws.argmax(axis=1), minlength=len(mean)) / N_DRAWS
        return chosen, draws.max(axis=1) - draws[:, chosen], shares


def _sd_log(recommendation: Recommendation, coverage: float) -> float:
    lower, upper = recommendation.lower, recommendation.upper
    if lower is None or upper is None or not (lower > 0 and np.isfinite(upper)):
        return UNKNOWN_SD
    return max(float(np.log(upper / lower) / (2.0 * ndtri(0.5 + coverage / 2.0))), 1e-4)
