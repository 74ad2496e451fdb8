"""Time-outs as lower bounds."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import truncnorm
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.data.dataset import Dataset
from perfport.errors import NotEnoughDataError
from perfport.model.metrics import mape_pct
from perfport.transfer.api import transfer
from perfport.transfer.bounds import truncated_moments
from perfport.transfer.files import load_model, save_model

ROWS = np.random.default_rng(3).permutation(len(FRAME))
TRUTH = np.exp(0.7 + log_time(FRAME, mode_b=4.0))
SOURCE = dataset(noisy(log_time(FRAME), 1), "source")
LIMIT = float(np.quantile(TRUTH, 0.5))


def limited(status: str, response: float = LIMIT) -> Dataset:
    """Return the target; rows that take longer than LIMIT ended with the status and the response."""
    late = TRUTH > LIMIT
    data = dataset(np.where(late, response, TRUTH), "target")
    return replace(data, status=np.where(late, status, "ok"))


def slow_error_pct(target: Dataset, n: int = 20, strategy: str = "auto") -> float:
    model = transfer(sources=[SOURCE], target=target.take(ROWS[:n]), property="time_s", strategy=strategy)
    slow = np.flatnonzero(TRUTH > LIMIT)
    return mape_pct(TRUTH[slow], model.predict_median(FRAME.iloc[slow]))


def test_the_moments_are_those_of_the_truncated_normal() -> None:
    mean, sd, lower = np.array([0.0, 1.0, -2.0, 0.0]), np.array([1.0, 0.5, 2.0, 1.0]), np.array([0.3, -3.0, 4.0, 30.0])
    found, spread = truncated_moments(mean, sd, lower)
    expected = truncnorm((lower - mean) / sd, np.inf, loc=mean, scale=sd)
    np.testing.assert_allclose(found, expected.mean(), rtol=1e-6)
    np.testing.assert_allclose(spread[:3], np.asarray(expected.std())[:3], rtol=1e-6)
    certain, none = truncated_moments(np.array([1.0, 3.0]), np.zeros(2), np.array([2.0, 2.0]))
    np.testing.assert_array_equal(certain, [2.0, 3.0])
    np.testing.assert_array_equal(none, 0.0)


def test_a_bound_tells_more_than_a_dropped_row_and_than_a_reading_at_the_limit() -> None:
    bounded = slow_error_pct(limited("timed_out"))
    assert bounded < slow_error_pct(limited("failed", np.nan))
    assert bounded < slow_error_pct(limited("ok"))


def test_a_bound_below_what_is_foreseen_changes_little() -> None:
    rows = ROWS[:20]
    low = limited("timed_out", response=1e-3 * LIMIT).take(rows)
    model = transfer(sources=[SOURCE], target=low, property="time_s")
    dropped = transfer(sources=[SOURCE], target=limited("failed", np.nan).take(rows), property="time_s")
    np.testing.assert_allclose(model.predict_median(FRAME), dropped.predict_median(FRAME), rtol=0.2)


@pytest.mark.parametrize("strategy", ["influence", "multitask", "target_only", "scaled", "residual"])
def test_every_strategy_takes_bounds_and_says_so(strategy: str) -> None:
    target = limited("timed_out").take(ROWS[:12])
    n_late = int((target.status == "timed_out").sum())
    model = transfer(sources=[SOURCE], target=target, property="time_s", strategy=strategy)
    assert f"target 'target': {n_late} of 12 rows timed out and are lower bounds" in model.verdict.notes
    assert np.all(model.predict(FRAME) > 0)
    assert model.verdict.estimated_error_pct is not None


def test_a_source_that_timed_out_counts_at_its_limit() -> None:
    source = replace(limited("timed_out"), environment=SOURCE.environment)
    model = transfer(sources=[source], target=limited("failed", np.nan).take(ROWS[:12]), property="time_s")
    assert any("rows timed out and count at their limit" in note for note in model.verdict.notes)


def test_bounds_alone_are_not_enough() -> None:
    late = np.flatnonzero(TRUTH > LIMIT)[:4]
    with pytest.raises(NotEnoughDataError, match="4 timed out"):
        transfer(sources=[SOURCE], target=limited("timed_out").take(late), property="time_s")


def test_a_model_with_bounds_is_saved_and_loaded(tmp_path: "pytest.TempPathFactory") -> None:
    model = transfer(sources=[SOURCE], target=limited("timed_out").take(ROWS[:12]), property="time_s")
    again = load_model(save_model(model, f"{tmp_path}/model.perfport"))
    np.testing.assert_allclose(again.predict(FRAME), model.predict(FRAME), rtol=1e-12)
