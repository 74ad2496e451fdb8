"""How good the measurements of a campaign are: grades, replicate error by environment, drift."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perfport.data.measurement import Measurement, Status
from perfport.data.standing import standing
from perfport.measure.blocks import is_replicate
from perfport.measure.properties import PRIMARY
from perfport.measure.quality.drift import Drift, drift_of
from perfport.measure.quality.noise import ReplicateError, replicate_error

__all__ = ["CampaignQuality", "EnvironmentQuality", "quality_of"]


@dataclass(frozen=True, slots=True)
class EnvironmentQuality:
    """How good the measurements of one environment are.

    Attributes:
        environment: Its name.
        outcomes: Status -> number, of the measurements that stand.
        grades: Grade -> number, of those of them that are ok.
        reasons: What kept rows from an A ("other load", "wide interval") -> how many rows; most first.
        n_again: Measurements made again because an earlier one was too disturbed, or failed.
        replicates: How far two measurements of one configuration lie apart.
        n_flagged: Rows measured while drift had taken the machine off its average.
    """

    environment: str
    outcomes: Mapping[Status, int]
    grades: Mapping[str, int]
    reasons: Mapping[str, int]
    n_again: int
    replicates: ReplicateError
    n_flagged: int


@dataclass(frozen=True, slots=True)
class CampaignQuality:
    """How good the measurements of a campaign are.

    Attributes:
        environments: One a environment, in order of first measurement.
        drift: Course of the machine; None if too few sentinels tell of it.
    """

    environments: tuple[EnvironmentQuality, ...]
    drift: Drift | None


def quality_of(measurements: Sequence[Measurement], property: str = PRIMARY) -> CampaignQuality:
    """Return the quality of measurements of one campaign.

    Args:
        measurements: Every attempt and block, of any environments.
        property: Whose replicate error and drift are meant.
    """
    drift = drift_of(measurements, property)
    groups: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        groups.setdefault(measurement.environment.name, []).append(measurement)
    return CampaignQuality(tuple(_environment(name, found, drift, property) for name, found in groups.items()), drift)


def _environment(name: str, found: Sequence[Measurement], drift: Drift | None, property: str) -> EnvironmentQuality:
    counting = [made for made in standing(found) if is_replicate(made.block)]
    ok = [made for made in counting if made.status is Status.OK]
    reasons = Counter(reason.partition(":")[0] for made in ok for reason in made.grade_reasons)
    return EnvironmentQuality(
        environment=name,
        outcomes=Counter(made.status for made in counting),
        grades=dict(sorted(Counter(made.grade or "-" for made in ok).items())),
        reasons=dict(reasons.most_common()),
        n_again=sum(made.attempt > 0 for made in found),
        replicates=replicate_error(found, property),
        n_flagged=len(drift.flagged(counting)) if drift is not None else 0,
    )
