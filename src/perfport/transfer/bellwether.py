"""Bellwether: of many sources, the one that foretells the others best is the one to learn from.

Choosing the source costs no target measurement: the sources judge each other. That is also its
weakness, since what speaks for all old environments need not speak for the new one; strategies that
let the target rows choose (`perfport.transfer.baselines.reused`) are its counterpart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perfport.data.dataset import Dataset
from perfport.errors import NotEnoughDataError
from perfport.model.base import Learner
from perfport.transfer.baselines import ReusedModel, fit_factor
from perfport.transfer.surface import SourceSurface, source_surface

__all__ = ["Bellwether", "median_log_errors"]

MAX_JUDGED = 500  # rows of an environment that others are judged on; more do not move a median


@dataclass(frozen=True, slots=True)
class Bellwether:
    """Predicts what the bellwether among the sources says, times one factor from the target rows.

    Every source predicts every other one, up to a factor; the source with the least average error is the
    bellwether. A single source is its own bellwether.

    Attributes:
        learner: Models every source where it has no reading: a name, or a learner to clone.

    Source:
        Krishna, Nair, Jamshidi and Menzies, "Whence to Learn? Transferring Knowledge in Configurable
        Systems using BEETLE", IEEE Transactions on Software Engineering 47(12), 2021. Theirs measures the sources
        little by little and drops the worst; here all readings are there already, so all are used. The
        factor is ours: without it a source of another speed is useless whatever it knows.
    """

    learner: str | Learner = "forest"

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> ReusedModel:
        """Fit; see `TransferStrategy.fit`. Deterministic: `rng` is not used."""
        if not sources:
            raise NotEnoughDataError(
                "a bellwether is found among sources and none was given; give at least one, or use 'target_only'"
            )
        surfaces = [source_surface(source, property=property, learner=self.learner) for source in sources]
        errors = [median_log_errors(surface, sources, at, property) for at, surface in enumerate(surfaces)]
        best = surfaces[int(np.argmin(errors))]
        notes: tuple[str, ...] = ()
        if len(surfaces) > 1:
            listed = ", ".join(f"'{s.environment}' {e:.3g}" for s, e in zip(surfaces, errors, strict=True))
            notes = (
                f"source '{best.environment}' is the bellwether of {len(surfaces)}: it predicts the others best "
                f"(median absolute log error: {listed})",
            )
        shift, _ = fit_factor(best.predict(target.configurations), target.response(property))
        return ReusedModel(target.properties[property], best, shift, notes)


def median_log_errors(surface: SourceSurface, sources: Sequence[Dataset], own: int, property: str) -> float:
    """Return how well a source predicts the other sources up to a factor; 0 if there are no others.

    Args:
        surface: Of the source that is judged.
        sources: All sources.
        own: Place of the judged one among them.
        property: Name of the response.

    Returns:
        Mean over the other sources of the median absolute deviation of log(reading / prediction) from its median.
    """
    found = []
    for at, other in enumerate(sources):
        if at == own:
            continue
        # Rows come in an order that has nothing to do with their responses: the first are as good as random ones.
        rows = other.take(np.arange(min(len(other), MAX_JUDGED)))
        rest = np.log(rows.response(property) / surface.predict(rows.configurations))
        found.append(float(np.median(np.abs(rest - np.median(rest)))))
    return float(np.mean(found)) if found else 0.0
