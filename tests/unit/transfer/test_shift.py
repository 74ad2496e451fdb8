import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray
from perfport.errors import NotEnoughDataError
from perfport.model.base import HasNotes, PerformanceModel
from perfport.model.metrics import mape_pct, spearman
from perfport.transfer.base import TransferStrategy
from perfport.transfer.shift import LinearShift, LogLinearShift, NonlinearShift

FRAME = pd.DataFrame([(c, t) for c in range(1, 11) for t in range(1, 7)], columns=["clock", "threads"])
SOURCE_TIME = (0.2 + 4 / FRAME["clock"] / FRAME["threads"] + 0.01 * FRAME["threads"]).to_numpy()
SHIFTS: list[TransferStrategy] = [LinearShift(), LogLinearShift(), NonlinearShift()]

two_rows = st.lists(st.integers(0, 59), min_size=2, max_size=2, unique=True)


def dataset(y: FloatArray, name: str = "target") -> Dataset:
    return Dataset.from_frame(FRAME.assign(time_s=y), properties=["time_s"], environment=name)


SOURCE = dataset(SOURCE_TIME, "source")


def fitted(strategy: TransferStrategy, target: Dataset, *sources: Dataset) -> PerformanceModel:
    return strategy.fit(sources or [SOURCE], target, property="time_s", rng=np.random.default_rng(0))


@settings(deadline=None)
@given(intercept=st.floats(0, 10), slope=st.floats(1e-2, 1e2), rows=two_rows)
def test_an_exact_linear_shift_is_recovered_from_two_rows(intercept: float, slope: float, rows: list[int]) -> None:
    # Two rows that are nearly the same determine no line in floating point.
    assume(abs(SOURCE_TIME[rows[0]] - SOURCE_TIME[rows[1]]) > 1e-2)
    y = intercept + slope * SOURCE_TIME
    assert fitted(LinearShift(), dataset(y).take(rows)).predict(FRAME) == pytest.approx(y, rel=1e-9)


@settings(deadline=None)
@given(intercept=st.floats(-3, 3), power=st.floats(-2, 3), rows=two_rows)
def test_an_exact_power_is_recovered_from_two_rows(intercept: float, power: float, rows: list[int]) -> None:
    assume(abs(SOURCE_TIME[rows[0]] - SOURCE_TIME[rows[1]]) > 1e-2)
    y = np.exp(intercept) * SOURCE_TIME**power
    assert fitted(LogLinearShift(), dataset(y).take(rows)).predict(FRAME) == pytest.approx(y, rel=1e-9)


def test_a_line_is_the_least_squares_one() -> None:
    y = 1 + SOURCE_TIME + 0.1 * np.random.default_rng(0).normal(size=60)
    slope, intercept = np.polyfit(SOURCE_TIME, y, 1)
    assert fitted(LinearShift(), dataset(y)).predict(FRAME) == pytest.approx(intercept + slope * SOURCE_TIME)


def test_a_nonlinear_shift_follows_a_bend_that_a_line_cannot() -> None:
    y = np.maximum(SOURCE_TIME, 0.8)
    rows = dataset(y).take(np.random.default_rng(0).choice(60, 30, replace=False))
    assert mape_pct(y, fitted(NonlinearShift(), rows).predict(FRAME)) < 3
    assert mape_pct(y, fitted(LinearShift(), rows).predict(FRAME)) > 5


@pytest.mark.parametrize("strategy", SHIFTS, ids=lambda s: type(s).__name__)
def test_one_row_scales_the_source_and_says_so(strategy: TransferStrategy) -> None:
    model = fitted(strategy, dataset(3 * SOURCE_TIME).take([5]))
    assert model.predict(FRAME) == pytest.approx(3 * SOURCE_TIME, rel=1e-12)
    assert isinstance(model, HasNotes)
    assert model.notes == ("one target row determines no shift: the source was scaled",)


@pytest.mark.parametrize("strategy", SHIFTS, ids=lambda s: type(s).__name__)
def test_rows_the_source_cannot_tell_apart_scale_it_and_say_so(strategy: TransferStrategy) -> None:
    flat = dataset(np.full(60, 2.0), "source")
    model = fitted(strategy, dataset(SOURCE_TIME).take([1, 30]), flat)
    assert model.predict(FRAME) == pytest.approx(np.full(60, np.sqrt(SOURCE_TIME[1] * SOURCE_TIME[30])))
    assert isinstance(model, HasNotes)
    assert "rows for which the source predicts the same" in model.notes[0]


def test_a_line_that_leaves_the_positive_numbers_stops_at_the_smallest_reading() -> None:
    y = np.maximum(SOURCE_TIME - 0.6, 1e-3)
    slow = np.argsort(-SOURCE_TIME)[:6]
    predicted = fitted(LinearShift(), dataset(y).take(slow)).predict(FRAME)
    below = SOURCE_TIME < 0.6
    assert below.sum() > 10
    assert predicted[below] == pytest.approx(np.full(below.sum(), y[slow].min()))
    assert predicted[~below] == pytest.approx(SOURCE_TIME[~below] - 0.6)


@pytest.mark.parametrize("strategy", SHIFTS, ids=lambda s: type(s).__name__)
def test_the_unit_of_the_target_is_the_unit_of_the_prediction(strategy: TransferStrategy) -> None:
    y = 1 + SOURCE_TIME**1.5
    here = fitted(strategy, dataset(y).take(range(0, 60, 7))).predict(FRAME)
    there = fitted(strategy, dataset(1000 * y).take(range(0, 60, 7))).predict(FRAME)
    assert there == pytest.approx(1000 * here, rel=1e-9)


@pytest.mark.parametrize("strategy", SHIFTS, ids=lambda s: type(s).__name__)
def test_the_source_that_shifts_best_is_taken_and_named(strategy: TransferStrategy) -> None:
    noise = np.exp(np.random.default_rng(0).normal(size=60))
    nearer_but_unlike, alike = dataset(SOURCE_TIME * noise, "unlike"), dataset(50 * SOURCE_TIME, "alike")
    model = fitted(strategy, dataset(SOURCE_TIME).take(range(0, 60, 5)), nearer_but_unlike, alike)
    assert isinstance(model, HasNotes)
    assert "source 'alike' was chosen of 2" in model.notes[0]
    assert spearman(SOURCE_TIME, model.predict(FRAME)) > 0.9


@pytest.mark.parametrize("strategy", SHIFTS, ids=lambda s: type(s).__name__)
def test_configurations_the_source_did_not_measure_are_answered(strategy: TransferStrategy) -> None:
    model = fitted(strategy, dataset(3 * SOURCE_TIME).take([0, 11, 22, 33]), SOURCE.take(range(0, 60, 2)))
    assert np.all(np.isfinite(model.predict(FRAME)))
    assert model.predict(FRAME.head(0)).shape == (0,)


@pytest.mark.parametrize("strategy", SHIFTS, ids=lambda s: type(s).__name__)
def test_a_shift_of_nothing_is_refused(strategy: TransferStrategy) -> None:
    with pytest.raises(NotEnoughDataError, match="none was given"):
        strategy.fit([], dataset(SOURCE_TIME), property="time_s", rng=np.random.default_rng(0))
