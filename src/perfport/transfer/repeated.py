"""The same sources and candidates, fitted anew after every reading: what a search does.

What the sources know about the candidates does not change when one more of them is measured, and
costs most of a prediction. It is computed once here; every fit after a reading then takes a fraction
of a second.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.data.dataset import Dataset
from perfport.data.measurement import Property
from perfport.model.predictive import Predictive
from perfport.model.threads import one_thread
from perfport.seeding import rng_for
from perfport.space.space import Space
from perfport.transfer.auto import Auto, combined_source
from perfport.transfer.kernels import CombinedSource, Seen
from perfport.transfer.mixed import CHUNK_ROWS, MixedModel
from perfport.transfer.prepare import prepare_sources, prepare_target
from perfport.transfer.source import cached_sources, views_of

__all__ = ["RepeatedTransfer"]

FloatArray = NDArray[np.float64]


class RepeatedTransfer:
    """Strategy `auto` for one set of candidates, ready to be fitted again and again.

    Args:
        sources: Measured source environments, possibly none.
        candidates: Configurations to be predicted, shape (m, d), columns = options of `space`.
        space: The target's options.
        property: What is predicted.
        rename: Option in the sources -> the same option of the candidates, where names differ.

    Raises:
        UsageError: If a source has no such property, or its unit measures something else.
        NotEnoughDataError: If a source has no usable row.
    """

    @one_thread()
    def __init__(
        self,
        sources: Sequence[Dataset],
        candidates: pd.DataFrame,
        *,
        space: Space,
        property: Property,
        rename: Mapping[str, str] | None = None,
    ) -> None:
        self.property = property
        self._parts = [candidates.iloc[start : start + CHUNK_ROWS] for start in range(0, len(candidates), CHUNK_ROWS)]
        self._sources = [source.dataset for source in prepare_sources(sources, space, property=property, rename=rename)]
        self._models = cached_sources(self._sources, property=property.name)
        self._views = [views_of(self._models, part) for part in self._parts]

    def expected_by_sources(self) -> FloatArray | None:
        """Return the log response the sources expect before any target row, shape (m,); None without sources."""
        if not self._models:
            return None
        prior = combined_source(self._models, None, self.property.name)
        seen = [prior.combine(views) for views in self._views]
        return np.concatenate([prior.mean + prior.sd * (part.f + part.r) for part in seen])

    @one_thread()
    def after(self, told: Dataset) -> tuple[MixedModel, Predictive]:
        """Return the model fitted to target rows, and the distributions of a reading of every candidate.

        Args:
            told: Measured target rows; those without a usable response are left out.

        Raises:
            NotEnoughDataError: If no row is usable.
        """
        ready = prepare_target(told, property=self.property.name).dataset
        model = Auto().fit(self._sources, ready, property=self.property.name, rng=rng_for(0, "repeated"))
        seen = [self._seen(model, number) for number in range(len(self._parts))]
        return model, Predictive.joined([model.predictive_of(part) for part in seen])

    def _seen(self, model: MixedModel, number: int) -> Seen:
        if isinstance(model.prior, CombinedSource):
            return model.prior.combine(self._views[number])
        # The sources were given up, or there are none: options alone are quickly seen.
        return model.prior.see(self._parts[number])
