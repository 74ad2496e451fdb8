import numpy as np
import pytest
from tests.unit.transfer.samples import FRAME, dataset

from perfport.data.dataset import Dataset
from perfport.errors import NotEnoughDataError
from perfport.model.base import PerformanceModel
from perfport.transfer.learning_curve import Exponent, LearningCurve, exponent, fall, learning_curve

USUAL = Exponent(0.5, 0.3)


class OffBy:
    """A model whose log error is a given number."""

    def __init__(self, log_error: float) -> None:
        self.log_error = log_error
        self.property = dataset(np.ones(len(FRAME)), "any").properties["time_s"]

    def predict(self, configurations: object) -> np.ndarray:
        return np.full(len(configurations), np.exp(self.log_error))  # type: ignore[arg-type]


def power_law(b: float, n: int = 40) -> LearningCurve | None:
    """Return the curve of a strategy whose log error is 0.5 n^-b."""

    def fit(rows: np.ndarray) -> PerformanceModel:
        return OffBy(0.5 * len(rows) ** -b)

    return learning_curve(fit, dataset(np.ones(len(FRAME)), "any").take(range(n)), "time_s")


@pytest.mark.parametrize("b", [0.2, 0.5, 1.0])
def test_many_rows_tell_the_exponent_and_few_leave_the_usual_one(b: float) -> None:
    many, few = (exponent(power_law(b, n), USUAL) for n in (144, 4))
    assert abs(few.mean - USUAL.mean) < 0.05 * abs(b - USUAL.mean) + 0.01
    assert abs(many.mean - b) < 0.8 * abs(b - USUAL.mean) + 0.05
    assert many.sd < few.sd < USUAL.sd


def test_errors_are_those_of_rows_left_out_and_bounded() -> None:
    curve = power_law(0.0, 9)
    assert curve is not None
    assert (curve.half, curve.most) == (4.5, 7.2)
    np.testing.assert_allclose(curve.errors_most, 1.0 - np.exp(-0.5))

    def absurd(rows: np.ndarray) -> PerformanceModel:
        return OffBy(200.0)

    worst = learning_curve(absurd, dataset(np.ones(len(FRAME)), "any").take(range(5)), "time_s")
    assert worst is not None
    assert worst.errors_half.max() <= 1.0


def test_too_few_rows_give_no_curve_and_the_usual_exponent() -> None:
    assert power_law(0.5, 3) is None
    assert exponent(None, USUAL) == USUAL

    def refuses(rows: np.ndarray) -> PerformanceModel:
        raise NotEnoughDataError("needs them all")

    assert learning_curve(refuses, dataset(np.ones(len(FRAME)), "any").take(range(9)), "time_s") is None


def test_a_curve_that_rises_or_is_exact_still_gives_a_sensible_exponent() -> None:
    rising = exponent(power_law(-0.8), USUAL)
    assert 0.05 <= float(rising.quantiles(np.array(0.01))) <= float(rising.quantiles(np.array(0.99))) <= 1.5
    exact = LearningCurve(5.0, 8.0, np.zeros(10), np.zeros(10))
    assert 0.0 < exponent(exact, USUAL).mean < USUAL.mean


def small_error(rows: Dataset) -> PerformanceModel:
    """Return a model whose log error is 0.01 / number of rows."""
    return OffBy(0.01 / len(rows))


def test_the_fall_is_that_of_models_of_some_rows_tested_on_others() -> None:
    environment = dataset(np.ones(len(FRAME)), "known")
    log_rows, fallen = fall(small_error, [environment], "time_s", 8.0)
    np.testing.assert_allclose(np.exp(log_rows), [1, 2, 4, 8])
    np.testing.assert_allclose(fallen, log_rows, atol=1e-3)
    seen: list[int] = []

    def remembers(rows: Dataset) -> PerformanceModel:
        seen.append(len(rows))
        return small_error(rows)

    fall(remembers, [environment], "time_s", 8.0)
    assert seen == [8, 16, 32, 64] * 2


def test_an_error_that_rises_is_no_fall_and_small_environments_tell_nothing() -> None:
    environment = dataset(np.ones(len(FRAME)), "known")
    _, fallen = fall(lambda rows: OffBy(0.001 * len(rows)), [environment], "time_s", 8.0)
    np.testing.assert_array_equal(fallen, 0.0)
    for environments in ([], [environment.take(range(10))]):
        log_rows, fallen = fall(small_error, environments, "time_s", 8.0)
        assert (log_rows.tolist(), fallen.tolist()) == ([0.0], [0.0])
