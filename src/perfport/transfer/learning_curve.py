"""How the error of a strategy falls with the number of target rows, learned from those rows alone.

The rows at hand are predicted twice by models that have not seen them: once from half of the rows,
once from most of them. Two points of a power law, error = a n^-b, are little, and both are noisy; so
the exponent is the usual one, moved by what they say only where rows are many.

Errors of single rows are 1 - exp(-|log predicted - log measured|): the relative error where it is
small, never above 1 where it is not, since one absurd prediction from three rows must not decide.

Source:
    The power law: Hestness et al., "Deep Learning Scaling is Predictable, Empirically", arXiv 2017;
    for performance models of configurable systems: Sarkar, Guo, Siegmund, Apel, Czarnecki,
    "Cost-Efficient Sampling for Performance Prediction of Configurable Systems", ASE 2015. Both fit
    many points; the prior that makes two enough is ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray
from perfport.errors import NotEnoughDataError
from perfport.model.base import PerformanceModel, PredictsMedian
from perfport.seeding import rng_for

__all__ = ["MIN_ROWS", "Exponent", "LearningCurve", "exponent", "fall", "learning_curve", "left_out_errors"]

MIN_ROWS = 4  # with fewer, half of the rows are a single one
N_FOLDS = 5
SENSIBLE = (0.05, 1.5)  # exponents: noise makes them look negative, a lucky split arbitrarily steep
MAX_ENVIRONMENTS, N_REPEATS = 2, 2  # of `fall`, which is the slow part: a second or two each
MAX_FALL_ROWS, MAX_TEST_ROWS = 200, 200
LEAST_ERROR = 1e-6  # an exact fit still has a logarithm
# How far the logarithm of the ratio of the two errors is from what becomes of the error, times sqrt(n).
# Rows at hand say little about that: on 13 published pairs of environments the exponent seen in 5 to 20 rows
# did not correlate with the one that followed (-0.02), so that it takes some hundred rows to be believed.
RATIO_SD = 2.5


@dataclass(frozen=True, slots=True)
class Exponent:
    """What is believed of b in error = a n^-b: normal, cut off where it makes no sense.

    Attributes:
        mean: Of the normal distribution.
        sd: Likewise.
    """

    mean: float
    sd: float

    def quantiles(self, probabilities: FloatArray) -> FloatArray:
        """Return quantiles of b, shape of `probabilities`."""
        return np.asarray(np.clip(self.mean + self.sd * ndtri(probabilities), *SENSIBLE))


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Left-out errors of the same n rows with half of them and with most of them.

    Attributes:
        half: Number of rows the first models were fitted to, on average.
        most: The same of the second.
        errors_half: Error of every row, between 0 and 1, shape (n,).
        errors_most: Likewise, shape (n,).
    """

    half: float
    most: float
    errors_half: FloatArray
    errors_most: FloatArray


def learning_curve(
    fit: Callable[[NDArray[np.int64]], PerformanceModel], target: Dataset, property: str
) -> LearningCurve | None:
    """Return the curve of a strategy; None if rows are too few for it. Takes nine fits.

    Args:
        fit: Fits the strategy to the given rows of `target`.
        target: The rows, at least `MIN_ROWS` for a curve, all usable, in an order that has nothing to
            do with their responses.
        property: Name of the response.
    """
    most = left_out_errors(fit, target, property)
    if most is None:
        return None
    n = len(target)
    row = np.arange(n)
    try:
        halves = [_left_out(fit, target, property, fold) for fold in (row % 2, row // 2 % 2)]
    except NotEnoughDataError:  # the strategy could just about be fitted to most rows
        return None
    return LearningCurve(n / 2.0, n - n / min(N_FOLDS, n), np.mean(halves, axis=0), most)


def left_out_errors(
    fit: Callable[[NDArray[np.int64]], PerformanceModel], target: Dataset, property: str
) -> FloatArray | None:
    """Return the error of every row, predicted from four fifths of the rows, shape (n,); None if rows are too few.

    Args:
        fit: As for `learning_curve`.
        target: Likewise.
        property: Name of the response.
    """
    n = len(target)
    if n < MIN_ROWS:
        return None
    try:
        return _left_out(fit, target, property, np.arange(n) % min(N_FOLDS, n))
    except NotEnoughDataError:
        return None


def exponent(curve: LearningCurve | None, usual: Exponent) -> Exponent:
    """Return the exponent after seeing the curve.

    Args:
        curve: None if there is none; then the usual exponent is all there is to say.
        usual: Before seeing it.
    """
    if curve is None:
        return usual
    first, second = (max(float(errors.mean()), LEAST_ERROR) for errors in (curve.errors_half, curve.errors_most))
    span = np.log(curve.most / curve.half)
    seen = float(np.clip(np.log(first / second) / span, *SENSIBLE))
    precision = len(curve.errors_half) * (span / RATIO_SD) ** 2
    total = precision + usual.sd**-2
    return Exponent((precision * seen + usual.mean * usual.sd**-2) / total, total**-0.5)


def fall(
    fit: Callable[[Dataset], PerformanceModel], environments: Sequence[Dataset], property: str, start: float
) -> tuple[FloatArray, FloatArray]:
    """Return how far the error falls, on average over environments that are known well, as rows are added.

    The rows of a model double from `start` on; its error is taken on others. What the environments are too
    small for is not told.

    Args:
        fit: Fits a strategy to rows.
        environments: Each with many usable rows in content order; the first `MAX_ENVIRONMENTS` are used.
        property: Name of the response.
        start: Number of rows to begin with, at least 2.

    Returns:
        log(rows / start), ascending from 0, and log(error at start / error) there, never falling; both shape (k,),
        k = 1 where nothing is told.
    """
    found = []
    for environment in environments[:MAX_ENVIRONMENTS]:
        n, n_test = len(environment), min(len(environment) // 3, MAX_TEST_ROWS)
        sizes = [size for size in (round(start * 2**k) for k in range(8)) if size <= min(n - n_test, MAX_FALL_ROWS)]
        for repeat in range(N_REPEATS if len(sizes) > 1 and n_test else 0):
            rows = rng_for(0, "fall", repeat).permutation(n)
            test = environment.take(rows[-n_test:])
            errors = [_errors(fit(environment.take(np.sort(rows[:size]))), test, property).mean() for size in sizes]
            found.append(np.log(np.maximum(errors, LEAST_ERROR)))
    if not found:
        return np.zeros(1), np.zeros(1)
    length = min(len(errors) for errors in found)
    mean = np.mean([errors[:length] for errors in found], axis=0)
    return np.log(2.0) * np.arange(length), np.maximum.accumulate(mean[0] - mean)


def _left_out(
    fit: Callable[[NDArray[np.int64]], PerformanceModel], target: Dataset, property: str, fold: NDArray[np.int64]
) -> FloatArray:
    """Return the error of every row, predicted without the rows of its fold, shape (n,)."""
    errors = np.empty(len(target))
    for k in np.unique(fold):
        out = np.flatnonzero(fold == k)
        errors[out] = _errors(fit(np.flatnonzero(fold != k)), target.take(out), property)
    return errors


def _errors(model: PerformanceModel, rows: Dataset, property: str) -> FloatArray:
    """Return the bounded error of the model at every row, shape (n,)."""
    centre = model.predict_median if isinstance(model, PredictsMedian) else model.predict
    predicted = np.maximum(centre(rows.configurations), np.finfo(float).tiny)
    return np.asarray(-np.expm1(-np.abs(np.log(predicted) - np.log(rows.responses[property]))))
