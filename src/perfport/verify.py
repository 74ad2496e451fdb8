"""From advice to an order and back: the recommended configuration measured beside the default one.

Advice never measures by itself; the doors come here.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from perfport.advise.recommend import is_minimised, recommend
from perfport.advise.verification import gain_over
from perfport.data.measurement import FloatArray, Measurement, Property, Status, configuration_key
from perfport.data.store import Store
from perfport.measure.campaign import ProgressCallback
from perfport.measure.protocol import Protocol
from perfport.measure.rig import Rig
from perfport.measure.side_by_side import measure_side_by_side
from perfport.report.content import Choice, Estimate, Missing
from perfport.transfer.transferred import TransferredModel

__all__ = ["verified_choice"]


def verified_choice(
    model: TransferredModel,
    rig: Rig,
    candidates: pd.DataFrame,
    store: Store,
    *,
    protocol: Protocol,
    campaign: str,
    coverage: float = 0.9,
    rounds: int = 5,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Choice:
    """Recommend the best of `candidates`, and measure it and the default in turns.

    Where the default itself is predicted best, it is measured beside the runner-up.

    Args:
        model: Of the target.
        rig: The target, ready to be measured.
        candidates: Valid configurations to choose from.
        store: Where measurements are kept; what is there is not measured again.
        protocol: How one configuration is measured.
        campaign: Name under which measurements are stored.
        coverage: Of the predicted interval.
        rounds: How often each of the two is measured.
        seed: Decides the order.
        progress: Called before and after each measurement.

    Raises:
        KeyboardInterrupt: If stopped by Ctrl-C; what was measured is stored.
    """
    default = rig.space.default_configuration()
    best, *others = recommend(model, candidates=candidates, n=2, coverage=coverage, seed=seed)
    choice = Choice(
        configuration=best.configuration,
        default=default,
        predicted=Estimate(best.predicted, best.lower, best.upper),
        coverage=coverage,
        n_candidates=len(candidates),
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
        seed=seed,
        progress=progress,
    )
    winner, rival = found.measurements
    if len(winner) < rounds:
        raise KeyboardInterrupt
    verified = _estimate(winner, model.property)
    if is_default:
        return replace(choice, verified=verified, default_measured=verified)
    gain = _gain(winner, rival, model.property, coverage)
    return replace(choice, verified=verified, default_measured=_estimate(rival, model.property), gain=gain)


def _readings(rounds: Sequence[Measurement], property: Property) -> FloatArray:
    """Return the median of each round that was ok: independent readings, unlike the repetitions within one."""
    ok = [found.repetitions[property.name] for found in rounds if found.status is Status.OK]
    return np.array([np.median(repetitions) for repetitions in ok], dtype=np.float64)


def _estimate(rounds: Sequence[Measurement], property: Property) -> Estimate | Missing:
    """Return the median over rounds with the range they span; five span the true median with probability 94 %."""
    readings = _readings(rounds, property)
    if not len(readings):
        return Missing(f"measuring it ended {rounds[0].status}: {rounds[0].reason}")
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
