"""How wrong a performance model is.

All functions compare measured with predicted responses of configurations the model was **not**
fitted on; whoever splits the rows guarantees that, a metric cannot check it. Inputs are checked
strictly: a metric that answers for garbage hides a fault upstream.

Example:
    >>> import numpy as np
    >>> errors(np.array([10.0, 20.0, 40.0]), np.array([11.0, 18.0, 40.0])).mape_pct
    6.666666666666667
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from perfport.data.measurement import FloatArray
from perfport.errors import UsageError

__all__ = ["Errors", "errors", "mape_pct", "median_ape_pct", "nmse", "regret_pct", "spearman", "within_pct"]


@dataclass(frozen=True, slots=True)
class Errors:
    """All metrics of one model on the same rows.

    Attributes:
        n: Number of configurations compared.
        mape_pct: Mean absolute percentage error, in percent.
        median_ape_pct: Median absolute percentage error, in percent.
        nmse: Mean squared error over the variance of the measured responses; NaN if they are constant.
        within_10_pct: Share of predictions at most 10 % off, in percent.
        spearman: Rank correlation; NaN if either side is constant.
        regret_pct: How much worse than the best the configuration predicted best is, in percent.
    """

    n: int
    mape_pct: float
    median_ape_pct: float
    nmse: float
    within_10_pct: float
    spearman: float
    regret_pct: float


def errors(y_true: ArrayLike, y_pred: ArrayLike, *, minimise: bool = True) -> Errors:
    """Return every metric of this module at once.

    Args:
        y_true: Measured responses, shape (n,), positive, any one unit.
        y_pred: Predicted responses, shape (n,), finite, in the unit of `y_true`.
        minimise: Whether less is better; only the regret depends on it.

    Raises:
        UsageError: If shapes differ, n is 0, a measured response is not positive, or a number is not finite.
    """
    y_true, y_pred = _checked(y_true, y_pred)
    return Errors(
        n=len(y_true),
        mape_pct=mape_pct(y_true, y_pred),
        median_ape_pct=median_ape_pct(y_true, y_pred),
        nmse=nmse(y_true, y_pred),
        within_10_pct=within_pct(y_true, y_pred, tolerance_pct=10.0),
        spearman=spearman(y_true, y_pred),
        regret_pct=regret_pct(y_true, y_pred, minimise=minimise),
    )


def mape_pct(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the mean absolute percentage error, in percent.

    Args:
        y_true: Measured responses, shape (n,), positive, any one unit.
        y_pred: Predicted responses, shape (n,), finite, in the unit of `y_true`.

    Returns:
        100 / n * sum(|y_true - y_pred| / y_true). 0 is perfect; there is no upper bound.

    Raises:
        UsageError: If shapes differ, n is 0, a measured response is not positive, or a number is not finite.

    Note:
        Predicting too little costs at most 100 %, predicting too much has no limit, so a model tuned
        for this error predicts low; read `nmse` beside it.

    Example:
        >>> mape_pct([10.0, 20.0], [11.0, 18.0])
        10.0
    """
    return float(np.mean(_ape_pct(y_true, y_pred)))


def median_ape_pct(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the median absolute percentage error, in percent; arguments as for `mape_pct`.

    Example:
        >>> median_ape_pct([10.0, 10.0, 10.0], [10.5, 12.0, 90.0])
        20.0
    """
    return float(np.median(_ape_pct(y_true, y_pred)))


def within_pct(y_true: ArrayLike, y_pred: ArrayLike, *, tolerance_pct: float = 10.0) -> float:
    """Return the share of predictions at most `tolerance_pct` off, in percent of the rows.

    Args:
        y_true: Measured responses, shape (n,), positive, any one unit.
        y_pred: Predicted responses, shape (n,), finite, in the unit of `y_true`.
        tolerance_pct: Largest error that still counts, in percent; not negative.

    Raises:
        UsageError: As `mape_pct`, and if the tolerance is negative.

    Example:
        >>> within_pct([10.0, 10.0, 10.0, 10.0], [10.5, 9.0, 12.0, 10.0])
        75.0
    """
    if not tolerance_pct >= 0:
        raise UsageError(f"tolerance_pct is {tolerance_pct}: it must be 0 or more", tolerance_pct=tolerance_pct)
    # 9.0 is 10 % below 10.0 although the division says 10.000000000000009: a decimal limit means the decimal.
    return float(100.0 * np.mean(_ape_pct(y_true, y_pred) <= tolerance_pct * (1 + 1e-12) + 1e-12))


def nmse(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the mean squared error in units of the variance of the measured responses.

    0 is perfect, 1 is as good as always answering the mean; equal to 1 - R^2.

    Args:
        y_true: Measured responses, shape (n,), positive, any one unit.
        y_pred: Predicted responses, shape (n,), finite, in the unit of `y_true`.

    Returns:
        mean((y_true - y_pred)^2) / var(y_true); NaN if all measured responses are equal.

    Raises:
        UsageError: As `mape_pct`.

    Example:
        >>> nmse([1.0, 3.0], [2.0, 2.0])
        1.0
    """
    y_true, y_pred = _checked(y_true, y_pred)
    # Responses that differ in the last bits only are equal: dividing by rounding errors tells nothing.
    if np.ptp(y_true) <= 1e-12 * y_true.max():
        return float("nan")
    return float(np.mean((y_true - y_pred) ** 2) / np.var(y_true))


def spearman(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return Spearman's rank correlation between measured and predicted responses.

    Ties share the mean of their ranks.

    Args:
        y_true: Measured responses, shape (n,), positive, any one unit.
        y_pred: Predicted responses, shape (n,), finite, in any unit.

    Returns:
        A number in [-1, 1]; NaN if either side is constant (one row included), for then no order can
        be right or wrong.

    Raises:
        UsageError: As `mape_pct`.

    Example:
        >>> spearman([1.0, 2.0, 3.0], [10.0, 30.0, 20.0])
        0.5
    """
    y_true, y_pred = _checked(y_true, y_pred)
    if np.all(y_true == y_true[0]) or np.all(y_pred == y_pred[0]):
        return float("nan")
    a, b = rankdata(y_true), rankdata(y_pred)
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def regret_pct(y_true: ArrayLike, y_pred: ArrayLike, *, minimise: bool = True) -> float:
    """Return how much worse than the best configuration the one predicted best is, in percent.

    This is what a user who follows the model's advice loses. Where several rows are predicted equally
    best, the expected loss of choosing one at random is returned, so the order of rows does not matter.

    Args:
        y_true: Measured responses, shape (n,), positive, any one unit.
        y_pred: Predicted responses, shape (n,), finite, in any unit.
        minimise: Whether less is better.

    Returns:
        100 * |chosen - best| / best, the responses being measured ones. 0 is perfect.

    Raises:
        UsageError: As `mape_pct`.

    Example:
        >>> regret_pct([10.0, 20.0, 12.0], [15.0, 16.0, 14.0])
        20.0
    """
    y_true, y_pred = _checked(y_true, y_pred)
    chosen = y_true[y_pred == (y_pred.min() if minimise else y_pred.max())]
    best = y_true.min() if minimise else y_true.max()
    return float(100.0 * np.mean(np.abs(chosen - best)) / best)


def _ape_pct(y_true: ArrayLike, y_pred: ArrayLike) -> FloatArray:
    y_true, y_pred = _checked(y_true, y_pred)
    return np.asarray(100.0 * np.abs(y_true - y_pred) / y_true, dtype=np.float64)


def _checked(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[FloatArray, FloatArray]:
    measured, predicted = np.asarray(y_true, dtype=np.float64), np.asarray(y_pred, dtype=np.float64)
    if measured.ndim != 1 or measured.shape != predicted.shape:
        raise UsageError(
            f"measured and predicted responses have the shapes {measured.shape} and {predicted.shape}: "
            "both must be (n,) with one number a configuration",
            y_true=measured,
            y_pred=predicted,
        )
    if not len(measured):
        raise UsageError("no rows to compare: an error needs at least one measured configuration")
    bad = np.flatnonzero(~(np.isfinite(measured) & (measured > 0)))
    if len(bad):
        raise UsageError(
            f"measured response {measured[bad[0]]} in row {bad[0]} ({len(bad)} such rows): responses must be "
            "positive and finite; drop failed measurements first",
            rows=bad,
        )
    bad = np.flatnonzero(~np.isfinite(predicted))
    if len(bad):
        raise UsageError(
            f"predicted response {predicted[bad[0]]} in row {bad[0]} ({len(bad)} such rows): a model must "
            "answer finite numbers",
            rows=bad,
        )
    return measured, predicted
