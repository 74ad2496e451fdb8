"""The strategies everybody tries first, and what any better one must beat.

- `TargetOnly`: forget the sources.
- `DirectReuse`: believe a source as it is.
- `Scaled`: believe its proportions; one factor takes care of a faster or slower device.
- `Residual`: believe its proportions, and learn from the target rows what they leave unexplained.
- `Pooled`: one learner for all environments, which sees where a row comes from.

`TargetOnly` uses no source, `Pooled` all; the others use one, that which predicts the target rows best (`reused`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pandas as pd

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Property
from perfport.errors import NotEnoughDataError
from perfport.model.base import Learner
from perfport.model.learners import LearnedModel, LogResponse, fit_performance_model, make_learner
from perfport.space.encoding import Encoder
from perfport.transfer.surface import SourceSurface, source_surface

__all__ = ["DirectReuse", "Pooled", "PooledModel", "Residual", "ReusedModel", "Scaled", "Shift", "TargetOnly", "reused"]

MAX_POOLED = 5000  # source rows in a pool; more cost time and change little


class Shift(Protocol):
    """Turns what a source predicts into what the target is expected to do."""

    def __call__(self, predicted_source: FloatArray, configurations: pd.DataFrame, /) -> FloatArray:
        """Return predictions for the target, shape (m,).

        Args:
            predicted_source: The source's predictions, shape (m,), positive.
            configurations: The configurations they belong to, m rows.
        """
        ...


@dataclass(frozen=True, slots=True)
class Factor:
    """The shift that multiplies by a number."""

    factor: float

    def __call__(self, predicted_source: FloatArray, configurations: pd.DataFrame, /) -> FloatArray:
        """See `Shift`."""
        return self.factor * predicted_source


@dataclass(frozen=True, slots=True)
class LearntFactor:
    """The shift that multiplies by what a model says of the configuration."""

    model: LearnedModel

    def __call__(self, predicted_source: FloatArray, configurations: pd.DataFrame, /) -> FloatArray:
        """See `Shift`."""
        return predicted_source * self.model.predict(configurations)


# Fits a shift to predictions of a source and readings of the target, both shape (n,); texts are notes.
FitShift = Callable[[FloatArray, FloatArray], tuple[Shift, tuple[str, ...]]]


@dataclass(frozen=True, eq=False)
class ReusedModel:
    """A model that is a source and a shift.

    Attributes:
        property: What is predicted.
        surface: The source.
        shift: From the source to the target.
        notes: Which source was chosen, and fallbacks taken.
    """

    property: Property
    surface: SourceSurface
    shift: Shift
    notes: tuple[str, ...]

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the shifted prediction of the source, shape (m,), in the unit of the property."""
        return self.shift(self.surface.predict(configurations), configurations)


@dataclass(frozen=True, slots=True)
class TargetOnly:
    """Learns from the target rows alone.

    Attributes:
        learner: A name, or a learner to clone.
    """

    learner: str | Learner = "gp"

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> LearnedModel:
        """Fit; see `TransferStrategy.fit`."""
        return fit_performance_model(target, property, self.learner, rng=rng)


@dataclass(frozen=True, slots=True)
class DirectReuse:
    """Predicts what the source says, unchanged.

    Attributes:
        learner: Models the source where it has no reading: a name, or a learner to clone.
    """

    learner: str | Learner = "forest"

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> ReusedModel:
        """Fit; see `TransferStrategy.fit`."""
        return reused(sources, target, property, fit_identity, self.learner)


@dataclass(frozen=True, slots=True)
class Scaled:
    """Predicts the source times one factor: the geometric mean of target over source on the target rows.

    Attributes:
        learner: Models the source where it has no reading: a name, or a learner to clone.
    """

    learner: str | Learner = "forest"

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> ReusedModel:
        """Fit; see `TransferStrategy.fit`."""
        return reused(sources, target, property, fit_factor, self.learner)


@dataclass(frozen=True, slots=True)
class Residual:
    """Predicts the source times a factor that a learner predicts from the configuration.

    The source is chosen as for `Scaled`; leaving rows out of the second learner as well would cost more than
    it tells.

    Attributes:
        learner: Learns the factor from the target rows: a name, or a learner to clone.
        source_learner: Models the source where it has no reading.
    """

    learner: str | Learner = "forest"
    source_learner: str | Learner = "forest"

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> ReusedModel:
        """Fit; see `TransferStrategy.fit`."""
        scaled = reused(sources, target, property, fit_factor, self.source_learner)
        factor = target.response(property) / scaled.surface.predict(target.configurations)
        rest = fit_performance_model(
            replace(
                target,
                properties={property: target.properties[property]},
                responses={property: factor},
                log_se={},
            ),
            property,
            self.learner,
            rng=rng,
        )
        return replace(scaled, shift=LearntFactor(rest))


@dataclass(frozen=True, slots=True)
class Pooled:
    """One learner for the rows of all environments, with a column for each environment.

    Target rows are repeated until they are as many as those of an average source (at most 50 times): a few
    rows among thousands would not be heard.

    Attributes:
        learner: A name, or a learner to clone.
    """

    learner: str | Learner = "forest"

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> "PooledModel":
        """Fit; see `TransferStrategy.fit`."""
        most = MAX_POOLED // max(len(sources), 1)
        # Rows come in an order that has nothing to do with them: the first ones are as good as random ones.
        datasets = [*(source.take(np.arange(min(len(source), most))) for source in sources), target]
        configurations = pd.concat([d.configurations for d in datasets], ignore_index=True)
        encoder = Encoder(target.space, fitted_on=configurations)
        environment = np.repeat(np.arange(len(datasets)), [len(d) for d in datasets])
        X = np.hstack([encoder.transform(configurations), environment[:, None] == np.arange(len(datasets))])
        y = np.concatenate([d.response(property) for d in datasets])
        mean_source = (len(X) - len(target)) / max(len(sources), 1)
        times = int(np.clip(round(mean_source / len(target)), 1, 50))
        rows = np.repeat(np.arange(len(X)), np.where(environment == len(sources), times, 1))
        fitted = LogResponse(make_learner(self.learner, rng)).fit(X[rows], y[rows])
        return PooledModel(target.properties[property], encoder, fitted, len(sources))


@dataclass(frozen=True, eq=False)
class PooledModel:
    """A learner of all environments, asked about the target.

    Attributes:
        property: What is predicted.
        encoder: From configurations to columns.
        learner: From columns, those of the environments last, to responses.
        n_sources: Number of environments beside the target.
    """

    property: Property
    encoder: Encoder
    learner: Learner
    n_sources: int

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the prediction for the target, shape (m,), in the unit of the property."""
        if not len(configurations):
            return np.empty(0)
        environment = np.tile(np.arange(self.n_sources + 1) == self.n_sources, (len(configurations), 1))
        return self.learner.predict(np.hstack([self.encoder.transform(configurations), environment]))


def reused(
    sources: Sequence[Dataset], target: Dataset, property: str, fit_shift: FitShift, learner: str | Learner
) -> ReusedModel:
    """Return the source that predicts the target rows best, shifted.

    Of several sources the one with the least mean absolute log error is taken, every target row being
    predicted by a shift fitted to the others. A single row leaves nothing to fit, so there the source whose
    own prediction is nearest is taken.

    Args:
        sources: At least one.
        target: The measured target rows.
        property: Name of the response.
        fit_shift: Fits a shift to predictions of a source and readings of the target.
        learner: Models a source where it has no reading.

    Raises:
        NotEnoughDataError: If there is no source.
    """
    if not sources:
        raise NotEnoughDataError(
            "this strategy reuses a source and none was given; give at least one, or use strategy 'target_only'"
        )
    surfaces = [source_surface(source, property=property, learner=learner) for source in sources]
    predicted = [surface.predict(target.configurations) for surface in surfaces]
    y = target.response(property)
    best = 0
    notes: tuple[str, ...] = ()
    if len(surfaces) > 1:
        errors = [_left_out_error(f, y, target.configurations, fit_shift) for f in predicted]
        best = int(np.argmin(errors))
        others = ", ".join(f"'{s.environment}' {e:.3g}" for s, e in zip(surfaces, errors, strict=True))
        notes = (
            f"source '{surfaces[best].environment}' was chosen of {len(surfaces)}: it predicts target rows left out "
            f"best (mean absolute log error: {others})",
        )
    shift, said = fit_shift(predicted[best], y)
    return ReusedModel(target.properties[property], surfaces[best], shift, (*notes, *said))


def fit_identity(predicted: FloatArray, y: FloatArray) -> tuple[Shift, tuple[str, ...]]:
    """Return the shift that changes nothing."""
    return Factor(1.0), ()


def fit_factor(predicted: FloatArray, y: FloatArray) -> tuple[Shift, tuple[str, ...]]:
    """Return the multiplication by the geometric mean of `y` / `predicted`."""
    return Factor(float(np.exp(np.mean(np.log(y / predicted))))), ()


def _left_out_error(f: FloatArray, y: FloatArray, configurations: pd.DataFrame, fit_shift: FitShift) -> float:
    n = len(y)
    if n == 1:
        return float(abs(np.log(y[0] / f[0])))
    error = 0.0
    for i in range(n):
        rest = np.arange(n) != i
        shift, _ = fit_shift(f[rest], y[rest])
        error += abs(float(np.log(y[i] / shift(f[[i]], configurations.iloc[[i]])[0])))
    return error / n
