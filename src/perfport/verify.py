"""From advice to an order and back: the recommended configuration measured beside the default one.

Advice never measures by itself; the doors come here.
"""

import numpy as np
import pandas as pd

from perfport.advise.recommend import recommend
from perfport.data.measurement import Measurement, Status, configuration_key
from perfport.data.store import Store
from perfport.measure.campaign import ProgressCallback
from perfport.measure.protocol import Protocol
from perfport.measure.rig import Rig
from perfport.measure.verify import measure_side_by_side
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
    best, *others = recommend(model, candidates=candidates, n=2)
    rivals = [default] if configuration_key(best.configuration) != configuration_key(default) else others
    if not rivals:
        alone = Missing("the space has no other configuration")
        return Choice(default, default, Estimate(best.predicted, best.lower, best.upper), coverage, alone, alone, 1)
    rival = rivals[0] if isinstance(rivals[0], dict) else rivals[0].configuration
    found = measure_side_by_side(
        rig,
        rig.space.frame([best.configuration, rival]),
        store,
        protocol=protocol,
        rounds=rounds,
        campaign=campaign,
        seed=seed,
        progress=progress,
    )
    name = model.property.name
    if not found.measurements[0] or len(found.measurements[0]) < rounds:
        raise KeyboardInterrupt
    winner, other = (_estimate(measurements, name) for measurements in found.measurements)
    return Choice(
        configuration=best.configuration,
        default=default,
        predicted=Estimate(best.predicted, best.lower, best.upper),
        coverage=coverage,
        verified=winner,
        default_measured=other if rivals == [default] else winner,
        n_candidates=len(candidates),
    )


def _estimate(rounds: tuple[Measurement, ...], property: str) -> Estimate | Missing:
    """Return the median over rounds with the range they span; five span the true median with probability 94 %."""
    medians = [float(np.median(found.repetitions[property])) for found in rounds if found.status is Status.OK]
    if not medians:
        return Missing(f"measuring it ended {rounds[0].status}: {rounds[0].reason}")
    return Estimate(float(np.median(medians)), min(medians), max(medians))
