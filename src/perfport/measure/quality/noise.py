"""The replicate error: how much two measurements of the same configuration differ.

The noise floor beside which every model error must be read: no model can predict a second
measurement better than the first one does.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from perfport.data.measurement import Measurement, Status, configuration_key
from perfport.data.standing import standing
from perfport.measure.blocks import is_replicate
from perfport.measure.properties import PRIMARY

__all__ = ["ReplicateError", "replicate_error"]


@dataclass(frozen=True, slots=True)
class ReplicateError:
    """How far replicates lie apart.

    Attributes:
        mape_pct: Mean over pairs of |second - first| / second, in percent: the error of a model that
            repeats the first measurement. NaN if there are no pairs.
        median_pct: Median of the same.
        n_pairs: Pairs of blocks with a measurement of the same configuration and environment.
    """

    mape_pct: float
    median_pct: float
    n_pairs: int


def replicate_error(measurements: Iterable[Measurement], property: str = PRIMARY) -> ReplicateError:
    """Return the replicate error of one property.

    Args:
        measurements: Of any environments and blocks; left out are those that are not ok or lack the property,
            those graded D beside better ones, and those that are no replicates (sentinels, side by side).
        property: What is compared: the median over the repetitions of each measurement.

    Returns:
        The error over all pairs of consecutive blocks of one configuration in one environment under
        one protocol.
    """
    groups: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    for found in standing([made for made in measurements if is_replicate(made.block)]):
        values = found.repetitions.get(property)
        if found.status is Status.OK and values is not None and len(values):
            key = (found.environment.fingerprint, configuration_key(found.configuration), found.protocol)
            groups.setdefault(key, []).append((found.block, float(np.median(values))))
    errors_pct = [
        100 * abs(second - first) / second
        for medians in groups.values()
        for (_, first), (_, second) in pairwise(sorted(medians))
        if second > 0
    ]
    if not errors_pct:
        return ReplicateError(float("nan"), float("nan"), 0)
    return ReplicateError(float(np.mean(errors_pct)), float(np.median(errors_pct)), len(errors_pct))
