"""One reading that cannot be true, and plateaus that can."""

import numpy as np
import pytest
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.model.metrics import mape_pct
from perfport.transfer.api import transfer
from perfport.transfer.outliers import is_wild

ROWS = np.random.default_rng(4).permutation(len(FRAME))[:20]
TRUTH = np.exp(0.7 + log_time(FRAME, mode_b=0.9))
SOURCE = dataset(noisy(log_time(FRAME), 1), "source")


def test_only_a_few_and_far_errors_are_wild() -> None:
    errors = np.random.default_rng(0).normal(0.0, 0.1, 20)
    assert not is_wild(errors, 1.0).any()
    errors[3] = -8.0
    assert np.flatnonzero(is_wild(errors, 1.0)).tolist() == [3]
    assert not is_wild(errors, 0.1).any()  # a factor of two, however unusual
    assert not is_wild(errors[:6], 1.0).any()
    errors[:5] = 8.0
    assert not is_wild(errors, 1.0).any()


@pytest.mark.parametrize("strategy", ["auto", "influence"])
def test_a_broken_reading_hardly_counts_and_is_named(strategy: str) -> None:
    y = TRUTH.copy()
    y[ROWS[5]] /= 1000.0
    broken, whole = (
        transfer(sources=[SOURCE], target=dataset(values, "target").take(ROWS), property="time_s", strategy=strategy)
        for values in (y, TRUTH)
    )
    errors = [mape_pct(TRUTH, model.predict_median(FRAME)) for model in (broken, whole)]
    assert errors[0] < errors[1] + 5.0
    assert any("more than 20 times off" in note for note in broken.verdict.notes)
    assert not whole.verdict.notes


def test_a_plateau_is_not_taken_for_broken_readings() -> None:
    log_y = log_time(FRAME) + 4.0 * (FRAME["mode"] == "b").to_numpy()
    model = transfer(sources=[SOURCE], target=dataset(np.exp(log_y), "target").take(ROWS), property="time_s")
    assert not any("times off" in note for note in model.verdict.notes)
