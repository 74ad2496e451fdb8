"""From advice to an order and back: what was recommended is measured, and what was measured is told.

Advice never measures by itself; the doors come here. A choice is verified beside the default, a few
candidates are settled, a search goes on until more does not pay.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from perfport.advise.recommendation.recommend import Recommendation, is_minimised
from perfport.advise.recommendation.search import Search, SearchOutcome
from perfport.advise.recommendation.settling import Settled, Settling
from perfport.advise.recommendation.tradeoff import TradeOff
from perfport.advise.recommendation.verification import gain_over
from perfport.data.measurement import FloatArray, Measurement, Property, Status, configuration_key
from perfport.data.store import Store
from perfport.errors import MeasurementError, UsageError
from perfport.measure.campaign import ProgressCallback, measure_configurations
from perfport.measure.campaign.side_by_side import measure_side_by_side
from perfport.measure.meters import DEFAULT_METERS
from perfport.measure.protocol import Protocol
from perfport.measure.runner.rig import Rig
from perfport.report.content import Choice, Estimate, Missing, VerifiedOffer

__all__ = ["Watcher", "searched", "settled", "verified_choice", "verified_offer"]

# Readings that settle are new ones, apart from those of campaigns (0, 1, ...) and from those made side by side.
SETTLING_BLOCK = 1_500_000_000

# Told before each measurement: how many were made, and how many there are at most.
Watcher = Callable[[int, int], None]


def verified_choice(
    ranked: Sequence[Recommendation],
    rig: Rig,
    store: Store,
    *,
    protocol: Protocol,
    campaign: str,
    meters: Sequence[str] = DEFAULT_METERS,
    coverage: float = 0.9,
    rounds: int = 5,
    seed: int = 0,
    n_candidates: int | None = None,
    progress: ProgressCallback | None = None,
) -> Choice:
    """Measure the best recommendation and the default in turns.

    Where the default itself is predicted best, it is measured beside the runner-up.

    Args:
        ranked: What is recommended, best first; the first two count.
        rig: The target, ready to be measured.
        store: Where measurements are kept; what is there is not measured again.
        protocol: How one configuration is measured.
        campaign: Name under which measurements are stored.
        meters: Read beside the clock, as in a campaign.
        coverage: Of the predicted interval, and of that of the gain.
        rounds: How often each of the two is measured.
        seed: Decides the order.
        n_candidates: Configurations the recommendations were chosen from, if they are counted.
        progress: Called before and after each measurement.

    Raises:
        KeyboardInterrupt: If stopped by Ctrl-C; what was measured is stored.
    """
    default = rig.space.default_configuration()
    best, *others = ranked
    choice = Choice(
        configuration=best.configuration,
        default=default,
        predicted=Estimate(best.predicted, best.lower, best.upper),
        coverage=coverage,
        n_candidates=n_candidates,
    )
    is_default = configuration_key(best.configuration) == configuration_key(default)
    rivals = [other.configuration for other in others] if is_default else [default]
    if not rivals:
        return choice
    found = measure_side_by_side(
        rig,
        rig.space.frame([best.configuration, rivals[0]]),
        store,
        protocol=protocol,
        rounds=rounds,
        campaign=campaign,
        meters=meters,
        seed=seed,
        progress=progress,
    )
    winner, rival = found.measurements
    if len(winner) < rounds:
        raise KeyboardInterrupt
    verified = _estimate(winner, best.property)
    if is_default:
        return replace(choice, verified=verified, default_measured=verified)
    gain = _gain(winner, rival, best.property, coverage)
    return replace(choice, verified=verified, default_measured=_estimate(rival, best.property), gain=gain)


def settled(
    settling: Settling,
    rig: Rig,
    store: Store,
    *,
    protocol: Protocol,
    campaign: str,
    meters: Sequence[str] = DEFAULT_METERS,
    seed: int = 0,
    watcher: Watcher | None = None,
) -> Settled:
    """Measure candidates in the order of their expected gain until the best is settled or the budget spent.

    Started again with the same candidates, what the store holds is not measured again.

    Args:
        settling: The candidates; told of every reading.
        rig: The target, ready to be measured.
        store: Where measurements are kept.
        protocol: How one configuration is measured.
        campaign: Name under which measurements are stored.
        meters: Read beside the clock, as in a campaign.
        seed: Of the measurements.
        watcher: Told before each measurement.

    Raises:
        KeyboardInterrupt: If stopped by Ctrl-C; what was measured is stored.
        MeasurementError: If what is to be best or limited is not measured here.
    """
    counts: dict[str, int] = {}
    while (configuration := settling.ask()) is not None:
        if watcher is not None:
            watcher(sum(counts.values()), settling.budget)
        key = configuration_key(configuration)
        counts[key] = counts.get(key, 0) + 1
        found = measure_configurations(
            rig,
            rig.space.frame([configuration]),
            store,
            protocol=protocol,
            block=SETTLING_BLOCK + counts[key],
            campaign=campaign,
            meters=meters,
            seed=seed,
        )
        settling.tell(configuration, _told(found, settling.properties))
    return settling.outcome()


def searched(
    search: Search,
    rig: Rig,
    store: Store,
    *,
    protocol: Protocol,
    campaign: str,
    meters: Sequence[str] = DEFAULT_METERS,
    seed: int = 0,
    watcher: Watcher | None = None,
) -> SearchOutcome:
    """Measure what a search proposes until it ends; arguments as for `settled`.

    Raises:
        KeyboardInterrupt: If stopped by Ctrl-C; what was measured is stored.
        MeasurementError: If what is to be best is not measured here.
    """
    n_made = 0
    while (configuration := search.ask()) is not None:
        if watcher is not None:
            watcher(n_made, search.budget)
        n_made += 1
        found = measure_configurations(
            rig, rig.space.frame([configuration]), store, protocol=protocol, campaign=campaign, meters=meters, seed=seed
        )
        told = _told(found, [search.property.name])
        search.tell(configuration, None if told is None else told[search.property.name])
    return search.outcome()


def verified_offer(
    found: TradeOff,
    rig: Rig,
    store: Store,
    *,
    protocol: Protocol,
    campaign: str,
    meters: Sequence[str] = DEFAULT_METERS,
    coverage: float = 0.9,
    rounds: int = 5,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> VerifiedOffer:
    """Measure the knee of a trade-off (of one objective: the best) and the default in turns, in every property.

    Args:
        found: What is on offer.
        rig: The target, ready to be measured.
        store: Where measurements are kept; what is there is not measured again.
        protocol: How one configuration is measured.
        campaign: Name under which measurements are stored.
        meters: Read beside the clock, as in a campaign.
        coverage: Of the intervals of the gains.
        rounds: How often each of the two is measured.
        seed: Decides the order.
        progress: Called before and after each measurement.

    Raises:
        KeyboardInterrupt: If stopped by Ctrl-C; what was measured is stored.
        UsageError: If the default itself is on offer: there is nothing to measure it beside.
    """
    offer, default = found.knee, rig.space.default_configuration()
    if configuration_key(offer.configuration) == configuration_key(default):
        raise UsageError("the default configuration is what is on offer: there is nothing to measure it beside")
    frame = rig.space.frame([offer.configuration, default])
    winner, rival = measure_side_by_side(
        rig,
        frame,
        store,
        protocol=protocol,
        rounds=rounds,
        campaign=campaign,
        meters=meters,
        seed=seed,
        progress=progress,
    ).measurements
    if len(winner) < rounds:
        raise KeyboardInterrupt
    properties = {expected.property.name: expected.property for expected in offer.expected}
    measured = {name: _estimate(winner, prop) for name, prop in properties.items()}
    gains = {
        objective.property: _gain(
            winner,
            rival,
            # The goal may want the other way than the property says.
            replace(
                properties[objective.property],
                direction="maximise" if objective.direction == "maximise" else "minimise",
            ),
            coverage,
        )
        for objective in found.goal.objectives
    }
    kept = [
        None if isinstance(value := measured[limit.property], Missing) else limit.is_kept_by(value.value)
        for limit in found.goal.limits
    ]
    return VerifiedOffer(
        offer=offer,
        measured=measured,
        default={name: _estimate(rival, prop) for name, prop in properties.items()},
        gains=gains,
        keeps_limits=None if not kept or None in kept else all(kept),
    )


def _told(found: Sequence[Measurement], properties: Sequence[str]) -> dict[str, float] | None:
    """Return the readings of the one measurement asked for; None if it did not end well."""
    if not found:
        raise KeyboardInterrupt
    measurement = found[0]
    if measurement.status is not Status.OK:
        return None
    missing = next((name for name in properties if name not in measurement.repetitions), None)
    if missing is not None:
        reason = measurement.absent.get(missing, f"it gives {', '.join(measurement.repetitions)}")
        raise MeasurementError(f"{missing} is not measured here: {reason}", measurement=measurement)
    return {name: float(np.median(measurement.repetitions[name])) for name in properties}


def _readings(rounds: Sequence[Measurement], property: Property) -> FloatArray:
    """Return the median of each round that was ok: independent readings, unlike the repetitions within one."""
    ok = [
        found.repetitions[property.name]
        for found in rounds
        if found.status is Status.OK and property.name in found.repetitions
    ]
    return np.array([np.median(repetitions) for repetitions in ok], dtype=np.float64)


def _estimate(rounds: Sequence[Measurement], property: Property) -> Estimate | Missing:
    """Return the median over rounds with the range they span; five span the true median with probability 94 %."""
    readings = _readings(rounds, property)
    if not len(readings):
        is_ok = any(found.status is Status.OK for found in rounds)
        ended = "it is not measured here" if is_ok else f"measuring it ended {rounds[0].status}: {rounds[0].reason}"
        return Missing(ended)
    return Estimate(float(np.median(readings)), float(readings.min()), float(readings.max()))


def _gain(
    winner: Sequence[Measurement], default: Sequence[Measurement], property: Property, coverage: float
) -> Estimate | None:
    """Return how many times better the winner measured; None if one of them never ended well."""
    readings, others = _readings(winner, property), _readings(default, property)
    if not len(readings) or not len(others):
        return None
    worse, better = (others, readings) if is_minimised(property) else (readings, others)
    gain = gain_over(worse, better, coverage=coverage)
    return Estimate(gain.value, gain.lower, gain.upper)
