"""Variances of members are held against their own left-out errors."""

import numpy as np
import pytest

from perfport.model.gp import FloatArray
from perfport.transfer.calibration import EXPECTED_ROWS, MAX_SQUARE, CalibratedMember
from perfport.transfer.kernels import Seen


class Sure:
    """A member that says 0 with variance 1, whatever its errors."""

    def __init__(self, errors: FloatArray) -> None:
        self.loo_error = errors
        self.loo_variance = np.ones(len(errors))
        self.n_effective = 0.0
        self.log_evidence = 0.0

    def predict(self, seen: Seen, cross: FloatArray, diagonals: FloatArray) -> tuple[FloatArray, FloatArray]:
        return np.zeros(3), np.ones(3)


def calibrated(errors: list[float], is_exact: list[bool] | None = None) -> CalibratedMember:
    exact = np.ones(len(errors), dtype=np.bool_) if is_exact is None else np.asarray(is_exact)
    return CalibratedMember.of(Sure(np.asarray(errors)), exact)


def test_a_member_that_is_too_sure_becomes_less_so() -> None:
    member = calibrated([2.0] * 20)
    assert member.factor == pytest.approx((EXPECTED_ROWS + 80) / (EXPECTED_ROWS + 20))
    np.testing.assert_allclose(member.loo_variance, member.factor)
    mean, variance = member.predict(None, np.empty(0), np.empty(0))  # type: ignore[arg-type]  # not looked at
    np.testing.assert_allclose(mean, 0.0)
    np.testing.assert_allclose(variance, member.factor)


def test_a_member_that_is_right_stays_as_it_is() -> None:
    assert calibrated([1.0, -1.0] * 10).factor == pytest.approx(1.0)


def test_one_wild_row_does_not_decide_and_one_row_says_nothing() -> None:
    assert calibrated([1.0] * 19 + [1e6]).factor == pytest.approx(
        (EXPECTED_ROWS + 19 + MAX_SQUARE) / (EXPECTED_ROWS + 20)
    )
    assert calibrated([5.0]).factor == 1.0


def test_rows_that_timed_out_say_nothing() -> None:
    assert calibrated([1.0, -1.0, 9.0], [True, True, False]).factor == pytest.approx(1.0)
