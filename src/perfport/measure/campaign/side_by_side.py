"""Side by side: configurations measured in turn, so that what disturbs one disturbs the other.

For the question a recommendation ends with: is it really faster than the default, and by how much?
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from perfport.data.measurement import Measurement, Status, configuration_key
from perfport.data.store import Store
from perfport.errors import UsageError
from perfport.measure.base import Configuration
from perfport.measure.blocks import SIDE_BY_SIDE_BLOCK
from perfport.measure.campaign.plan import measurements_of, task_of
from perfport.measure.campaign.progress import ProgressCallback
from perfport.measure.campaign.requeue import Remeasure
from perfport.measure.campaign.run import measure_tasks
from perfport.measure.campaign.spec import EnvironmentSpec, rig_of
from perfport.measure.meters import DEFAULT_METERS
from perfport.measure.properties import PRIMARY
from perfport.measure.protocol import Protocol
from perfport.measure.rows import configurations_of
from perfport.measure.runner.rig import Rig
from perfport.measure.runner.timing import interval_ranks
from perfport.seeding import rng_for

__all__ = ["SideBySide", "measure_side_by_side"]

MAX_ROUNDS = 1000


@dataclass(frozen=True)
class SideBySide:
    """Configurations compared round by round.

    Attributes:
        measurements: One tuple a configuration, in the order given: its measurements, one a round.
        property: What is compared.
    """

    measurements: tuple[tuple[Measurement, ...], ...]
    property: str = PRIMARY

    def medians(self) -> list[float]:
        """Return for each configuration the median over rounds of the median of a round; NaN if none was ok."""
        return [median(found) if (found := _values(row, self.property)) else float("nan") for row in self.measurements]

    def ratio(self, first: int = 0, second: int = 1, *, confidence: float = 0.9) -> tuple[float, float, float]:
        """Return second / first as (median, lower, upper) over the rounds in which both were ok.

        The interval is that of the order statistics of the rounds' ratios; where there are too few
        rounds for `confidence` (fewer than five for 0.9), it is their full range.

        Args:
            first: Number of the configuration that is compared with.
            second: Number of the configuration compared.
            confidence: Coverage of the interval.

        Returns:
            Ratio and interval; all NaN if there is no such round.
        """
        pairs = zip(self.measurements[first], self.measurements[second], strict=True)
        found = [_values(pair, self.property) for pair in pairs]
        ratios = sorted(values[1] / values[0] for values in found if len(values) == 2 and values[0] > 0)
        if not ratios:
            return (float("nan"),) * 3
        lower, upper = interval_ranks(len(ratios), confidence) or (1, len(ratios))
        return median(ratios), ratios[lower - 1], ratios[upper - 1]


def measure_side_by_side(
    environment: EnvironmentSpec | Rig,
    configurations: pd.DataFrame,
    store: Store,
    *,
    protocol: Protocol | None = None,
    rounds: int = 5,
    campaign: str | None = None,
    meters: Sequence[str] = DEFAULT_METERS,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    lease: Path | None = None,
) -> SideBySide:
    """Measure a few configurations in turn, `rounds` times, in random order within each round.

    The measurements are kept apart from those of campaigns by the numbers of their blocks; calling
    again with the same arguments measures only what is missing.

    Args:
        environment: Where; a specification or a rig.
        configurations: What, two rows at least.
        store: Where measurements are kept and looked up.
        protocol: How; the default protocol if None.
        rounds: How often each is measured.
        campaign: Name under which they are stored.
        meters: Read beside the clock, as in a campaign.
        seed: Decides the order.
        progress: Called before and after each measurement.
        lease: Lock file of the device; that of this machine if None.

    Raises:
        UsageError: If there are fewer than two distinct configurations or no rounds.
    """
    rig = environment if isinstance(environment, Rig) else rig_of(environment)
    rows = configurations_of(rig.space, configurations)
    protocol = protocol or Protocol()
    first = SIDE_BY_SIDE_BLOCK + MAX_ROUNDS * _company(rows, seed)
    blocks = range(first, first + rounds)
    tasks = [[task_of(rig, row, block, seed) for block in blocks] for row in rows]
    if not 1 <= rounds <= MAX_ROUNDS or len({task.key for turns in tasks for task in turns[:1]}) < 2:
        raise UsageError(
            f"side by side needs two distinct configurations and a round, got {len(rows)} rows and {rounds} rounds"
        )
    ordered = [
        tasks[index][place]
        for place in range(rounds)
        for index in rng_for(seed, "side by side", place).permutation(len(rows))
    ]
    measure_tasks(
        ordered,
        store,
        protocol,
        campaign=campaign,
        meters=meters,
        progress=progress,
        lease=lease,
        keep_children=True,
        remeasure=Remeasure(times=0),  # later, it would no longer be beside the other
    )
    made = measurements_of([rig], store, protocol)
    # Stopped early, the last rounds are missing, for every configuration alike.
    whole = [place for place in range(rounds) if all(turns[place].key in made for turns in tasks)]
    return SideBySide(tuple(tuple(made[turns[place].key] for place in whole) for turns in tasks))


def _company(rows: Sequence[Configuration], seed: int) -> int:
    """Return a number for these configurations together: one of them beside others is measured anew."""
    keys = sorted(configuration_key(row) for row in rows)
    return int(rng_for(seed, "company", *keys).integers(1_000_000))


def _values(measurements: Sequence[Measurement], property: str) -> list[float]:
    return [
        float(np.median(found.repetitions[property]))
        for found in measurements
        if found.status is Status.OK and property in found.repetitions
    ]
