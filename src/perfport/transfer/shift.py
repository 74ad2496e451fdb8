"""Model shift: the target is a function of what the source predicts, and of nothing else.

This is what the study calls linear and non-linear model shift. One function for all configurations is
all a few rows can pay for; what it cannot say is that *one* option matters more on the target than
on the source.

Source:
    Valov, Petkovich, Guo, Fischmeister, Czarnecki, "Transferring Performance Prediction Models Across
    Different Hardware Platforms", ICPE 2017 (linear). Iqbal, Kotthoff, Jamshidi, "Transfer Learning for
    Performance Modeling of Deep Neural Network Systems", USENIX OpML 2019 (both).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray
from perfport.model.base import Learner
from perfport.model.learners import LogResponse, make_learner
from perfport.transfer.baselines import ReusedModel, Shift, fit_factor, reused

__all__ = ["LinearShift", "LogLinearShift", "NonlinearShift"]

# Predictions of the source that differ by less, relatively, are equal: a slope would be made of rounding errors.
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class LinearShift:
    """Predicts a + b times the source, by least squares on the target rows.

    A straight line may leave the positive numbers below the smallest reading; where it does, the smallest
    reading of the target rows is predicted. One row, or rows the source cannot tell apart, determine no
    line: then the source is scaled, and a note says so.

    Attributes:
        learner: Models the source where it has no reading: a name, or a learner to clone.
    """

    learner: str | Learner = "forest"

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> ReusedModel:
        """Fit; see `TransferStrategy.fit`."""
        return reused(sources, target, property, _fit_line, self.learner)


@dataclass(frozen=True, slots=True)
class LogLinearShift:
    """Predicts exp(a) times the source to the power b, by least squares on logarithms.

    Falls back to the scaled source like `LinearShift`; needs no limit, being positive everywhere.

    Attributes:
        learner: Models the source where it has no reading: a name, or a learner to clone.
    """

    learner: str | Learner = "forest"

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> ReusedModel:
        """Fit; see `TransferStrategy.fit`."""
        return reused(sources, target, property, _fit_power, self.learner)


@dataclass(frozen=True, slots=True)
class NonlinearShift:
    """Predicts a learnt function of the source's prediction alone.

    The source is chosen as for `LogLinearShift`; leaving rows out of a second learner as well would cost more
    than it tells.

    Attributes:
        learner: Learns the function: a name, or a learner to clone.
        source_learner: Models the source where it has no reading.
    """

    learner: str | Learner = "forest"
    source_learner: str | Learner = "forest"

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> ReusedModel:
        """Fit; see `TransferStrategy.fit`."""
        chosen = reused(sources, target, property, _fit_power, self.source_learner)
        f = chosen.surface.predict(target.configurations)
        if _is_constant(f):
            return chosen
        order = np.argsort(f, kind="stable")
        fitted = LogResponse(make_learner(self.learner, rng))
        return replace(chosen, shift=Learnt(fitted.fit(np.log(f[order, None]), target.response(property)[order])))


@dataclass(frozen=True, slots=True)
class Line:
    """The shift intercept + slope * source; `smallest` where that is not positive."""

    intercept: float
    slope: float
    smallest: float

    def __call__(self, predicted_source: FloatArray, configurations: pd.DataFrame, /) -> FloatArray:
        """See `Shift`."""
        line = self.intercept + self.slope * predicted_source
        return np.where(line > 0, line, self.smallest)


@dataclass(frozen=True, slots=True)
class Power:
    """The shift exp(intercept) * source ** slope."""

    intercept: float
    slope: float

    def __call__(self, predicted_source: FloatArray, configurations: pd.DataFrame, /) -> FloatArray:
        """See `Shift`."""
        return np.asarray(np.exp(self.intercept + self.slope * np.log(predicted_source)))


@dataclass(frozen=True, slots=True)
class Learnt:
    """The shift a learner found, from the logarithm of the source's prediction to the response."""

    learner: Learner

    def __call__(self, predicted_source: FloatArray, configurations: pd.DataFrame, /) -> FloatArray:
        """See `Shift`."""
        return self.learner.predict(np.log(predicted_source)[:, None]) if len(predicted_source) else predicted_source


def _fit_line(predicted: FloatArray, y: FloatArray) -> tuple[Shift, tuple[str, ...]]:
    if _is_constant(predicted):
        return _scaled_instead(predicted, y)
    return Line(*_least_squares(predicted, y), smallest=float(y.min())), ()


def _fit_power(predicted: FloatArray, y: FloatArray) -> tuple[Shift, tuple[str, ...]]:
    if _is_constant(predicted):
        return _scaled_instead(predicted, y)
    return Power(*_least_squares(np.log(predicted), np.log(y))), ()


def _is_constant(predicted: FloatArray) -> bool:
    return bool(np.ptp(predicted) <= _SAME * predicted.max())


def _scaled_instead(predicted: FloatArray, y: FloatArray) -> tuple[Shift, tuple[str, ...]]:
    shift, _ = fit_factor(predicted, y)
    why = "one target row determines" if len(y) == 1 else "target rows for which the source predicts the same determine"
    return shift, (f"{why} no shift: the source was scaled",)


def _least_squares(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Return intercept and slope of the line through centred numbers: exact to the last digits on an exact line."""
    dx = x - x.mean()
    slope = float(dx @ (y - y.mean()) / (dx @ dx))
    return float(y.mean() - slope * x.mean()), slope
