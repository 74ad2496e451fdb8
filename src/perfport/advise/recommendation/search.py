"""Search: propose a configuration, hear what it measured, propose the next, until more does not pay.

The first proposal is what the sources say is best; every next one has the largest expected improvement
over the best reading so far, under strategy `auto` fitted to the sources and all readings. A search
does not measure: it is asked and told (`ask`, `tell`), by a program or by the door that has the machine.

Example:
    >>> search = Search(sources=[source], candidates=space, property="inference_time_s", budget=20)  # doctest: +SKIP
    >>> while (configuration := search.ask()) is not None:                                           # doctest: +SKIP
    ...     search.tell(configuration, measure(configuration))
    >>> print(search.outcome())                                                                      # doctest: +SKIP

Source:
    Efficient global optimisation: Jones, Schonlau, Welch, Journal of Global Optimization 13, 1998. Expected
    improvement on the logarithm: our choice, because improvements are ratios. The stop rule is theirs: the
    largest expected improvement falls below a share of the best reading.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.advise.recommendation.feasible import not_known_to_fail
from perfport.advise.recommendation.recommend import is_minimised
from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.measurement import FloatArray, Property, Status, configuration_key, unit_of
from perfport.errors import NotEnoughDataError, UsageError
from perfport.seeding import rng_for
from perfport.space.options import Level
from perfport.space.space import Space
from perfport.transfer.api import propose
from perfport.transfer.mixed import MixedModel
from perfport.transfer.repeated import RepeatedTransfer
from perfport.units import format_quantity

__all__ = ["Reading", "Search", "SearchOutcome", "StopReason"]

StopReason = Literal["not stopped", "budget spent", "no gain expected", "nothing left"]

MAX_POOL = 20_000  # candidates looked at after every reading; a larger space is sampled
N_FIRST_ALONE = 5  # rows of a search without sources that only look around
MIN_READINGS = 4  # of the target before the expected gain may end a search: fewer say little about its own error
PATIENCE = 2  # proposals in a row whose expected gain must be too small


@dataclass(frozen=True, slots=True)
class Reading:
    """One configuration a search was told about.

    Attributes:
        configuration: What was measured.
        response: In the unit of the property; None if it failed.
        expected_gain_pct: Improvement over the best reading expected when it was proposed, in percent; None
            where nothing could be said yet.
    """

    configuration: Mapping[str, Level | None]
    response: float | None
    expected_gain_pct: float | None


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """What a search came to.

    Attributes:
        property: What was looked at.
        best: Best configuration measured; None if none ended well.
        response: Its reading.
        readings: All readings, in order.
        stopped: Why no more is proposed.
        expected_gain_pct: What the best next measurement would still be expected to bring, in percent; None
            if that is not known.
    """

    property: Property
    best: Mapping[str, Level | None] | None
    response: float | None
    readings: tuple[Reading, ...]
    stopped: StopReason
    expected_gain_pct: float | None

    def __str__(self) -> str:
        """One line: the best reading, how many there were, why it ended."""
        if self.best is None or self.response is None:
            return f"none of {len(self.readings)} measurements ended well; {self.stopped}"
        levels = ", ".join(f"{name}={level}" for name, level in self.best.items() if level is not None)
        text = f"{self.property.name} {format_quantity(self.response, self.property.unit)}: {levels}"
        text += f"; best of {len(self.readings)} measurements; {self.stopped}"
        if self.expected_gain_pct is not None:
            text += f" (one more is expected to gain {self.expected_gain_pct:.2g} %)"
        return text


class Search:
    """A search for the best configuration of a target, guided by sources; asked and told.

    Args:
        sources: Measured source environments, possibly none: then a few rows only look around first.
        candidates: Configurations to choose from: a frame, one row each, or a space, of which at most 20 000
            configurations are looked at.
        property: What is to be best; a name takes unit and direction from `measured` or the sources.
        budget: Measurements at most, those of `measured` not counted.
        space: Of the candidates where they are a frame; by default that of a dataset with the same options.
        measured: Target rows that are known already.
        minimise: Whether less is better; by default what the property says.
        tolerance_pct: The search ends when two proposals in a row are expected to gain less than this, in
            percent of the best reading; 0 spends the whole budget.
        seed: Decides what is sampled of a large space, and between equals.
        rename: Option in the sources -> the same option of the candidates, where names differ.

    Raises:
        UsageError: If the budget is below 1, nothing says which way is better, or a source has no such property.
        NotEnoughDataError: If there are no candidates, or a source has no usable row.
    """

    def __init__(
        self,
        *,
        sources: Sequence[Dataset],
        candidates: pd.DataFrame | Space,
        property: str | Property,
        budget: int,
        space: Space | None = None,
        measured: Dataset | None = None,
        minimise: bool | None = None,
        tolerance_pct: float = 1.0,
        seed: int = 0,
        rename: Mapping[str, str] | None = None,
    ) -> None:
        if budget < 1:
            raise UsageError(f"budget is {budget}: it must be 1 or more", budget=budget)
        datasets = [*([measured] if measured is not None else []), *sources]
        self.property = property if isinstance(property, Property) else _property_of(property, datasets)
        self.minimise = is_minimised(self.property, minimise)
        self.budget, self.tolerance_pct, self.seed = budget, tolerance_pct, seed
        self.space, self._pool = _pool(candidates, space, datasets, seed)
        self._sources, self._rename = tuple(sources), rename
        self._keys = [configuration_key(row) for row in self.space.configurations(self._pool)]
        self._places = {key: place for place, key in reversed(list(enumerate(self._keys)))}
        self._transfer = RepeatedTransfer(sources, self._pool, space=self.space, property=self.property, rename=rename)
        self._known = None if measured is None else _only(measured, self.property)
        self._environment = Environment("target") if measured is None else measured.environment
        self._readings: list[Reading] = []
        self._model: MixedModel | None = None
        self._asked: tuple[str, float | None] | None = None
        self._fruitless = 0
        self._stopped: StopReason = "not stopped"

    def ask(self) -> dict[str, Level | None] | None:
        """Return the configuration to measure next; None when the search is over."""
        if self._stopped == "not stopped" and len(self._readings) >= self.budget:
            self._stopped = "budget spent"
        if self._stopped != "not stopped":
            return None
        free = self._free()
        if not free.any():
            self._stopped = "nothing left"
            return None
        place, gain = self._next(free)
        is_small = gain is not None and gain < self.tolerance_pct and self._n_usable() >= MIN_READINGS
        self._fruitless = self._fruitless + 1 if is_small else 0
        self._asked = (self._keys[place], gain)
        if self._fruitless >= PATIENCE:
            self._stopped = "no gain expected"
            return None
        return self.space.configurations(self._pool.iloc[[place]])[0]

    def tell(self, configuration: Mapping[str, Level | None], response: float | None) -> None:
        """Hear what a configuration measured.

        Args:
            configuration: The one asked for, or any other valid one.
            response: In the unit of the property; None if it could not be measured.

        Raises:
            InvalidConfigurationError: If the configuration is not valid.
            UsageError: If the response is not positive and finite.
        """
        self.space.validate(configuration)
        if response is not None and not (np.isfinite(response) and response > 0):
            raise UsageError(
                f"{self.property.name} is {response}: a reading is positive and finite; tell None for a failure",
                response=response,
            )
        is_asked = self._asked is not None and self._asked[0] == configuration_key(configuration)
        gain = self._asked[1] if is_asked and self._asked is not None else None
        self._readings.append(Reading(dict(configuration), None if response is None else float(response), gain))

    def outcome(self) -> SearchOutcome:
        """Return what is known by now; may be asked for at any time."""
        ok = [reading for reading in self._readings if reading.response is not None]
        sign = 1.0 if self.minimise else -1.0
        best = min(ok, key=lambda reading: sign * (reading.response or 0.0), default=None)
        return SearchOutcome(
            property=self.property,
            best=None if best is None else best.configuration,
            response=None if best is None else best.response,
            readings=tuple(self._readings),
            stopped=self._stopped,
            expected_gain_pct=self._asked[1] if self._asked is not None else None,
        )

    def rows(self) -> Dataset | None:
        """Return all target rows known by now, failures included; None if there are none."""
        told = self._told()
        if self._known is None or told is None:
            return told if self._known is None else self._known
        return self._known.concat(told)

    def _next(self, free: NDArray[np.bool_]) -> tuple[int, float | None]:
        """Return the most promising free candidate, and the gain expected of it in percent."""
        rows = self.rows()
        best = self._best_reading(rows)
        expected = self._transfer.expected_by_sources()
        if rows is None or best is None:
            if expected is None:
                return self._look_around(free, rows), None
            return _argbest(expected if self.minimise else -expected, free), None
        if expected is None and self._n_usable() < N_FIRST_ALONE:
            return self._look_around(free, rows), None
        self._model, predictive = self._transfer.after(rows)
        gains = predictive.expected_gain(best, minimise=self.minimise)
        place = _argbest(-gains, free)
        return place, float(100.0 * np.expm1(gains[place]))

    def _look_around(self, free: NDArray[np.bool_], rows: Dataset | None) -> int:
        """Return the candidate that tells most about all others."""
        open_rows = np.flatnonzero(free)
        chosen = propose(
            sources=[],
            candidates=self._pool.iloc[open_rows].reset_index(drop=True),
            property=self.property.name,
            budget=1,
            seed=self.seed,
            measured=rows,
        )
        return int(open_rows[chosen[0]])

    def _free(self) -> NDArray[np.bool_]:
        """Return which candidates are neither measured nor known to fail."""
        rows = self.rows()
        if rows is None:
            return np.ones(len(self._pool), dtype=bool)
        free = not_known_to_fail(self._pool, rows) if (rows.status != Status.OK.value).any() else None
        free = np.ones(len(self._pool), dtype=bool) if free is None else free
        for key in map(configuration_key, self.space.configurations(rows.configurations)):
            if key in self._places:
                free[self._places[key]] = False
        return free

    def _n_usable(self) -> int:
        rows = self.rows()
        return 0 if rows is None else int(np.isfinite(_usable(rows, self.property.name)).sum())

    def _best_reading(self, rows: Dataset | None) -> float | None:
        values = np.empty(0) if rows is None else _usable(rows, self.property.name)
        values = values[np.isfinite(values)]
        if not len(values):
            return None
        return float(values.min() if self.minimise else values.max())

    def _told(self) -> Dataset | None:
        if not self._readings:
            return None
        responses = [np.nan if reading.response is None else reading.response for reading in self._readings]
        status = [(Status.FAILED if reading.response is None else Status.OK).value for reading in self._readings]
        return Dataset(
            space=self.space,
            properties={self.property.name: self.property},
            configurations=self.space.frame([reading.configuration for reading in self._readings]),
            responses={self.property.name: np.array(responses, dtype=np.float64)},
            status=np.array(status),
            environment=self._environment,
        )


def _only(dataset: Dataset, property: Property) -> Dataset:
    """Return the dataset with no other property."""
    return Dataset(
        space=dataset.space,
        environment=dataset.environment,
        properties={property.name: property},
        configurations=dataset.configurations,
        responses={property.name: dataset.response(property.name)},
        status=dataset.status,
        log_se={property.name: dataset.log_se[property.name]},
    )


def _argbest(scores: FloatArray, free: NDArray[np.bool_]) -> int:
    return int(np.argmin(np.where(free, scores, np.inf)))


def _usable(rows: Dataset, property: str) -> FloatArray:
    """Return the responses, NaN where a row has no usable one."""
    values = rows.response(property)
    with np.errstate(invalid="ignore"):
        return np.where((rows.status == Status.OK.value) & (values > 0), values, np.nan)


def _property_of(name: str, datasets: Sequence[Dataset]) -> Property:
    for dataset in datasets:
        if name in dataset.properties:
            return dataset.properties[name]
    if datasets:
        known = ", ".join(dict.fromkeys(found for dataset in datasets for found in dataset.properties))
        raise UsageError(f"no dataset has a property '{name}'; they have {known}", property=name)
    return Property(name, unit_of(name))


def _pool(
    candidates: pd.DataFrame | Space, space: Space | None, datasets: Sequence[Dataset], seed: int
) -> tuple[Space, pd.DataFrame]:
    """Return the space and the configurations looked at, one row each."""
    if isinstance(candidates, Space):
        size = candidates.size()
        if size is not None and size <= MAX_POOL:
            return candidates, pd.concat(list(candidates.enumerate()), ignore_index=True)
        return candidates, candidates.sample(MAX_POOL, rng_for(seed, "search"))
    if not len(candidates):
        raise NotEnoughDataError("there are no candidates to choose from; give at least one configuration")
    names = list(candidates.columns)
    fitting = [known for known in (space, *(dataset.space for dataset in datasets)) if known is not None]
    chosen = next((known for known in fitting if list(known.names) == names), None)
    if chosen is None:
        raise UsageError(f"the options of the candidates ({', '.join(names)}) are those of no dataset; give space=")
    if len(candidates) > MAX_POOL:
        rows = np.sort(rng_for(seed, "search").choice(len(candidates), MAX_POOL, replace=False))
        candidates = candidates.iloc[rows]
    return chosen, candidates.reset_index(drop=True)
