"""Readings that the others speak against, and plateaus that nothing speaks against."""

import numpy as np
import pytest
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.data.dataset import Dataset
from perfport.model.metrics import mape_pct
from perfport.transfer.api import transfer
from perfport.transfer.outliers import MIN_ERROR, suspicion

ROWS = np.random.default_rng(4).permutation(len(FRAME))[:20]
TRUTH = noisy(0.7 + log_time(FRAME, mode_b=0.9), 2, sd=0.05)
SOURCE = dataset(noisy(log_time(FRAME), 1), "source")
CALM = np.random.default_rng(0).normal(0.0, 0.1, 20)


def test_a_far_error_asks_for_the_variance_that_explains_it() -> None:
    assert not suspicion(CALM).any()
    errors = CALM.copy()
    errors[3] = 2.0
    variance = suspicion(errors)
    assert np.flatnonzero(variance).tolist() == [3]
    assert 3.0 < variance[3] < 4.0


def test_few_rows_show_nothing_and_many_far_ones_are_a_feature() -> None:
    errors = CALM.copy()
    errors[3] = 2.0
    assert not suspicion(errors[:7]).any()
    errors[:5] = 2.0
    assert not suspicion(errors).any()


def test_a_reading_that_is_too_low_is_suspected_less() -> None:
    errors = CALM.copy()
    errors[3] = 3.5 * (1.4826 * np.median(np.abs(CALM)) + MIN_ERROR)
    assert np.flatnonzero(suspicion(errors)).tolist() == [3]
    assert not suspicion(-errors).any()


@pytest.mark.parametrize(
    ("strategy", "sources", "factor"),
    [
        ("auto", [SOURCE], 2.5),
        ("auto", [SOURCE], 1e-3),
        ("influence", [SOURCE], 2.5),
        ("influence", [SOURCE], 1e-3),
        ("auto", [], 1e-3),
    ],
)
def test_a_bad_reading_hardly_counts_and_is_named(strategy: str, sources: list[Dataset], factor: float) -> None:
    y = TRUTH.copy()
    y[ROWS[5]] *= factor
    bad, good = (
        transfer(sources=sources, target=dataset(values, "target").take(ROWS), property="time_s", strategy=strategy)
        for values in (y, TRUTH)
    )
    errors = [mape_pct(TRUTH, model.predict_median(FRAME)) for model in (bad, good)]
    assert errors[0] < errors[1] + 5.0
    notes = [note for note in bad.verdict.notes if "off by a factor" in note]
    assert len(notes) == 1
    cells = ", ".join(f"{name}={FRAME[name].iloc[ROWS[5]]}" for name in FRAME)
    assert f"target: the reading {y[ROWS[5]]:.3g} s of {cells} is off" in notes[0]
    assert not any("off by a factor" in note for note in good.verdict.notes)
    assert bad.verdict.estimated_error_pct is not None
    assert bad.verdict.estimated_error_pct < 50.0


@pytest.mark.parametrize("height", [4.0, -4.0])
def test_a_plateau_is_not_taken_for_bad_readings(height: float) -> None:
    log_y = log_time(FRAME) + height * (FRAME["mode"] == "b").to_numpy()
    model = transfer(sources=[SOURCE], target=dataset(np.exp(log_y), "target").take(ROWS), property="time_s")
    assert not any("off by a factor" in note for note in model.verdict.notes)


def test_two_readings_of_one_configuration_that_agree_are_believed() -> None:
    y = TRUTH.copy()
    y[ROWS[5]] *= 5.0
    model = transfer(sources=[SOURCE], target=dataset(y, "target").take([*ROWS, ROWS[5]]), property="time_s")
    assert not any("off by a factor" in note for note in model.verdict.notes)
    told = model.predict_median(FRAME.iloc[[ROWS[5]]])
    assert told[0] == pytest.approx(y[ROWS[5]], rel=0.5)
