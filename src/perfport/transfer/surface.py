"""What a source says about any configuration: its own reading, or else a model of its readings.

Every simple strategy starts here. A configuration the source measured is answered by the median of
its readings, as it stands: a shift of the source can then be recovered exactly. All others are
answered by a learner fitted to the source.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Property
from perfport.model.base import Learner
from perfport.model.learners import LearnedModel, fit_performance_model
from perfport.model.rows import usable_rows
from perfport.seeding import rng_for
from perfport.space.encoding import Encoder
from perfport.transfer.cache import RecentlyUsed

__all__ = ["SourceSurface", "source_surface"]

# More rows make a forest slower, but no better than what a shift of it can keep.
_MAX_FIT_ROWS = 5000


@dataclass(frozen=True, eq=False)
class SourceSurface:
    """Readings of one source, completed by a model; made by `source_surface`.

    Attributes:
        environment: Name of the source.
        property: What it answers, in the unit of the source's responses.
        model: Answers what was not measured.
        keys: Content keys of the measured configurations, sorted, shape (n,).
        readings: Median reading of each, shape (n,).
    """

    environment: str
    property: Property
    model: LearnedModel
    keys: NDArray[np.uint64]
    readings: FloatArray

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the reading, or the modelled one, of every configuration, shape (m,), positive."""
        answers, is_measured = self._looked_up(configurations)
        rest = np.flatnonzero(~is_measured)
        if len(rest):
            answers[rest] = self.model.predict(configurations.iloc[rest])
        return answers

    def is_measured(self, configurations: pd.DataFrame) -> NDArray[np.bool_]:
        """Return whether the source measured each configuration, shape (m,)."""
        return self._looked_up(configurations)[1]

    def _looked_up(self, configurations: pd.DataFrame) -> tuple[FloatArray, NDArray[np.bool_]]:
        keys = self.model.encoder.keys(configurations)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return self.readings[place], self.keys[place] == keys


_FITTED: RecentlyUsed[SourceSurface] = RecentlyUsed(48)


def source_surface(source: Dataset, *, property: str, learner: str | Learner = "forest") -> SourceSurface:
    """Return the surface of a source.

    It depends on the rows of the source alone, not on their order, so that sources of equal content are
    fitted once in a process.

    Args:
        source: Its rows; those whose response is not positive are left out.
        property: Name of the response.
        learner: A name, or a learner to clone; answers configurations the source did not measure.

    Raises:
        UsageError: If the source has no such property.
        NotEnoughDataError: If no row has a positive response.
        UnknownPluginError: If the learner's name is not known.
    """
    if not isinstance(learner, str):
        return _fitted(source, property, learner)
    surface = _FITTED.get((source.key, property, learner), lambda: _fitted(source, property, learner))
    # Equal content may go by another name.
    return replace(surface, environment=source.environment.name, property=source.properties[property])


def _fitted(source: Dataset, property: str, learner: str | Learner) -> SourceSurface:
    source, _ = usable_rows(source, property)
    rng = rng_for(0, "surface")
    rows = source
    if len(source) > _MAX_FIT_ROWS:
        # By content, so that the choice does not depend on the order of the rows.
        order = np.argsort(Encoder(source.space, fitted_on=source.configurations).keys(source.configurations))
        rows = source.take(order[:_MAX_FIT_ROWS])
    model = fit_performance_model(rows, property, learner, rng=rng)
    keys = model.encoder.keys(source.configurations)
    median = pd.Series(source.response(property)).groupby(keys).median()
    return SourceSurface(
        environment=source.environment.name,
        property=source.properties[property],
        model=model,
        keys=np.asarray(median.index, dtype=np.uint64),
        readings=np.asarray(median, dtype=np.float64),
    )
