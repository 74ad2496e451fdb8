"""The model `perfport.transfer` returns: the same face whatever the strategy, with a verdict.

Strategies that judge themselves and predict intervals (`auto`, `influence`) are passed through. For
all others both come from refitting without one row at a time (or a few at a time where there are many), so that their
errors can be compared.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student_t

from perfport.data.dataset import Dataset
from perfport.data.measurement import Property, Status
from perfport.errors import NotEnoughDataError, UsageError
from perfport.model.base import HasNotes, PerformanceModel, PredictsDistribution, PredictsInterval, PredictsMedian
from perfport.model.predictive import Predictive
from perfport.model.threads import one_thread
from perfport.seeding import rng_for
from perfport.transfer.auto import target_only_errors_pct
from perfport.transfer.base import HasVerdict, TransferStrategy
from perfport.transfer.bounds import with_expected_bounds
from perfport.transfer.recipe import Recipe
from perfport.transfer.verdict import Verdict, judged

__all__ = ["TransferredModel", "transferred"]

FloatArray = NDArray[np.float64]

MAX_FOLDS = 20
MIN_SD_LOG = 1e-6  # a perfect fit of the rows is no proof of certainty


@dataclass(frozen=True, slots=True, repr=False)
class TransferredModel:
    """A performance model of the target environment.

    Attributes:
        model: The strategy's own model.
        verdict: How the sources were used, and what it bought.
        held_out_log_errors: log(measured) - log(predicted) of rows predicted by a model that was
            fitted without them, shape (n,); empty where the strategy predicts intervals itself.
        recipe: What it was made from; `perfport.save_model` keeps it.
    """

    model: PerformanceModel
    verdict: Verdict
    held_out_log_errors: FloatArray
    recipe: Recipe | None = None

    @property
    def property(self) -> Property:
        """What is predicted."""
        return self.model.property

    def __repr__(self) -> str:
        return f"<{self._title()}: {self.verdict.decision}>"

    def __str__(self) -> str:
        """What it is of and made from, and the verdict."""
        return f"{self._title()}: {self.verdict}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(self._title())}</p>{self.verdict._repr_html_()}"

    def _title(self) -> str:
        text = f"Model of {self.property.name}"
        if self.recipe is None:
            return text
        sources = ", ".join(source.environment.name for source in self.recipe.sources) or "no source"
        return (
            f"{text} in {self.recipe.target.environment.name}, from {len(self.recipe.target)} target rows and {sources}"
        )

    @one_thread()
    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the prediction, shape (m,), in the unit of the property.

        For `auto` and `influence` this is the point of least expected relative error, which lies
        below the median where the model is uncertain; to rank configurations use `predict_median`.

        Args:
            configurations: One row each, columns = options of the target.
        """
        return self.model.predict(self._read(configurations))

    @one_thread()
    def predict_median(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the centre of the prediction, shape (m,), in the unit of the property."""
        configurations = self._read(configurations)
        if isinstance(self.model, PredictsMedian):
            return self.model.predict_median(configurations)
        return self.model.predict(configurations)

    @one_thread()
    def predict_interval(self, configurations: pd.DataFrame, coverage: float = 0.9) -> tuple[FloatArray, FloatArray]:
        """Return limits that hold a new reading with probability `coverage`.

        Args:
            configurations: One row each, columns = options of the target.
            coverage: Between 0 and 1, both excluded.

        Returns:
            Lower and upper limits, each shape (m,), in the unit of the property. (0, infinity) where
            nothing is known about the error, as after a single target row.

        Raises:
            UsageError: If the coverage is not between 0 and 1.
        """
        if not 0.0 < coverage < 1.0:
            raise UsageError(f"coverage is {coverage}: it must lie between 0 and 1, for instance 0.9")
        configurations = self._read(configurations)
        if isinstance(self.model, PredictsInterval):
            return self.model.predict_interval(configurations, coverage=coverage)
        centre = np.asarray(self.model.predict(configurations), dtype=np.float64)
        errors = self.held_out_log_errors
        n = len(errors)
        if n < 2:
            return np.zeros(len(centre)), np.full(len(centre), np.inf)
        sd = max(float(np.sqrt(np.mean(np.square(errors)))), MIN_SD_LOG)
        reach = float(student_t.ppf(0.5 + coverage / 2.0, df=n - 1)) * sd * np.sqrt(1.0 + 1.0 / n)
        with np.errstate(over="ignore"):
            return centre * np.exp(-reach), centre * np.exp(reach)

    @one_thread()
    def predict_distribution(self, configurations: pd.DataFrame) -> Predictive:
        """Return the distribution of a new reading of each configuration, as wide as the 90 % intervals.

        Raises:
            NotEnoughDataError: If nothing is known about the error, as after a single target row.
        """
        if isinstance(self.model, PredictsDistribution):
            return self.model.predict_distribution(self._read(configurations))
        lower, upper = self.predict_interval(configurations, coverage=0.9)
        return Predictive.of_interval(lower, upper, coverage=0.9)

    def _read(self, configurations: pd.DataFrame) -> pd.DataFrame:
        return configurations if self.recipe is None else self.recipe.target.space.read_configurations(configurations)


def transferred(
    strategy: TransferStrategy,
    sources: Sequence[Dataset],
    target: Dataset,
    *,
    property: str,
    seed: int,
    notes: tuple[str, ...],
    bounds: Dataset | None = None,
) -> TransferredModel:
    """Fit the strategy to prepared datasets and judge the result.

    Args:
        strategy: Any strategy.
        sources: As `TransferStrategy` is promised.
        target: Likewise.
        property: Name of the response.
        seed: Of all randomness.
        notes: What preparing the datasets cost.
        bounds: Target rows of which only a lower bound is known; None if there are none.
    """

    def fit(rows: Dataset) -> PerformanceModel:
        return strategy.fit(sources, rows, property=property, rng=rng_for(seed, "transfer"))

    rows = target if bounds is None else with_expected_bounds(fit, target, bounds, property=property)
    model = fit(rows)
    own_notes = model.notes if isinstance(model, HasNotes) else ()
    if isinstance(model, HasVerdict):
        verdict, errors = model.verdict, np.empty(0)
    else:
        errors = _held_out(fit, rows, property)
        verdict = judged(100.0 * np.abs(np.expm1(-errors)), target_only_errors_pct(target, property))
    if not sources:
        verdict = replace(verdict, decision="no source")
    verdict = replace(verdict, notes=(*notes, *own_notes, *verdict.notes))
    return TransferredModel(model, verdict, errors)


def _held_out(fit: Callable[[Dataset], PerformanceModel], target: Dataset, property: str) -> FloatArray:
    """Return log(measured) - log(predicted) of every reading left out in turn, shape (n,); empty if that fails."""
    exact = np.flatnonzero(target.status == Status.OK.value)
    n = len(exact)
    if n < 2:
        return np.empty(0)
    # Rows are in content order, so every k-th row is as good as a random part, and needs no randomness.
    fold = np.arange(n) % min(n, MAX_FOLDS)
    errors = np.empty(n)
    for k in range(fold.max() + 1):
        out = exact[fold == k]
        try:
            model = fit(target.take(np.setdiff1d(np.arange(len(target)), out)))
        except NotEnoughDataError:  # the strategy could just about be fitted to all rows
            return np.empty(0)
        predicted = np.maximum(model.predict(target.configurations.iloc[out]), np.finfo(float).tiny)
        errors[fold == k] = np.log(target.responses[property][out]) - np.log(predicted)
    return errors
