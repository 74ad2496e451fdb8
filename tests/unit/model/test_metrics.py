import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perfport.data.measurement import FloatArray
from perfport.errors import UsageError
from perfport.model import metrics

MEASURED = np.array([10.0, 20.0, 40.0, 50.0])
PREDICTED = np.array([11.0, 18.0, 40.0, 75.0])

responses = arrays(
    np.float64,
    st.shared(st.integers(2, 30), key="n"),
    elements=st.integers(1, 10**6).map(lambda thousandths: thousandths / 1000),
)


def test_metrics_equal_hand_computed_values() -> None:
    got = metrics.errors(MEASURED, PREDICTED)
    assert got.n == 4
    assert got.mape_pct == pytest.approx((10 + 10 + 0 + 50) / 4)
    assert got.median_ape_pct == pytest.approx(10)
    assert got.within_10_pct == pytest.approx(75)
    assert got.spearman == pytest.approx(1)
    assert got.regret_pct == 0
    # mean 30, variance (400 + 100 + 100 + 400) / 4, squared errors 1 + 4 + 0 + 625
    assert got.nmse == pytest.approx((630 / 4) / 250)


@settings(max_examples=50, deadline=None)
@given(y_true=responses, y_pred=responses)
def test_metrics_agree_with_scikit_learn_and_scipy(y_true: FloatArray, y_pred: FloatArray) -> None:
    got = metrics.errors(y_true, y_pred)
    assert got.mape_pct == pytest.approx(100 * sklearn.metrics.mean_absolute_percentage_error(y_true, y_pred))
    if np.ptp(y_true) > 1e-6 * y_true.max():
        assert got.nmse == pytest.approx(1 - sklearn.metrics.r2_score(y_true, y_pred), rel=1e-6, abs=1e-9)
    if len(set(y_true)) > 1 and len(set(y_pred)) > 1:
        assert got.spearman == pytest.approx(scipy.stats.spearmanr(y_true, y_pred).statistic, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(y_true=responses, y_pred=responses, seed=st.integers(0, 99), factor=st.floats(0.1, 10))
def test_neither_the_order_of_rows_nor_the_unit_matters(
    y_true: FloatArray, y_pred: FloatArray, seed: int, factor: float
) -> None:
    order = np.random.default_rng(seed).permutation(len(y_true))
    here = metrics.errors(y_true, y_pred)
    there = metrics.errors(factor * y_true[order], factor * y_pred[order])
    for name in ("mape_pct", "median_ape_pct", "spearman"):
        assert getattr(there, name) == pytest.approx(getattr(here, name), rel=1e-6, abs=1e-9, nan_ok=True)
    if np.ptp(y_true) > 1e-6 * y_true.max():
        assert there.nmse == pytest.approx(here.nmse, rel=1e-6)


def test_a_decimal_tolerance_includes_its_limit() -> None:
    assert metrics.within_pct([10.0, 10.0], [9.0, 11.0], tolerance_pct=10) == 100
    assert metrics.within_pct([3.0], [3.3], tolerance_pct=10) == 100


def test_regret_of_the_wrong_choice_is_its_loss() -> None:
    y_true = [10.0, 20.0, 40.0]
    assert metrics.regret_pct(y_true, [3.0, 2.0, 9.0]) == pytest.approx(100)
    assert metrics.regret_pct(y_true, [3.0, 9.0, 2.0], minimise=False) == pytest.approx(50)


def test_regret_of_a_model_that_cannot_choose_is_the_expected_loss() -> None:
    assert metrics.regret_pct([10.0, 20.0, 40.0], [1.0, 1.0, 1.0]) == pytest.approx((0 + 100 + 300) / 3)


def test_what_is_undefined_is_nan_and_not_a_number_that_looks_good() -> None:
    assert math.isnan(metrics.nmse([2.0, 2.0], [2.0, 2.0]))
    assert math.isnan(metrics.spearman([2.0, 3.0], [5.0, 5.0]))
    assert math.isnan(metrics.spearman([2.0], [2.0]))


@pytest.mark.parametrize(
    ("y_true", "y_pred", "says"),
    [
        ([1.0, 2.0], [1.0], "shapes"),
        ([[1.0, 2.0]], [[1.0, 2.0]], "shapes"),
        ([], [], "no rows"),
        ([1.0, 0.0], [1.0, 1.0], "response 0.0 in row 1"),
        ([-1.0], [1.0], "positive"),
        ([math.nan], [1.0], "positive and finite"),
        ([1.0], [math.inf], "predicted response inf"),
    ],
)
def test_garbage_is_refused(y_true: list[float], y_pred: list[float], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        metrics.errors(y_true, y_pred)


def test_a_negative_tolerance_is_refused() -> None:
    with pytest.raises(UsageError, match="0 or more"):
        metrics.within_pct([1.0], [1.0], tolerance_pct=-1)
