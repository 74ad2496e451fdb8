import numpy as np
import pytest
from scipy.stats import norm

from perfport.transfer.stacking import LOCAL, Mixture, stack_weights

PRIOR = np.array([0.5, 0.3, 0.2])
NONE = np.zeros(3)


def test_a_member_that_predicts_better_earns_weight() -> None:
    errors = np.array([[0.1], [1.0], [1.0]]) * np.ones((3, 20))
    weights = stack_weights(errors, np.full((3, 20), 0.05), NONE, PRIOR)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] > 0.8
    assert weights[1] / weights[2] == pytest.approx(1.5, rel=0.05)


def test_equal_members_keep_their_prior_weights() -> None:
    weights = stack_weights(np.ones((3, 7)), np.ones((3, 7)), NONE, PRIOR)
    np.testing.assert_allclose(weights, PRIOR, rtol=1e-6)


def test_one_bad_row_does_not_decide() -> None:
    errors = np.array([[0.1] * 19 + [30.0], [0.5] * 20])
    assert stack_weights(errors, np.full((2, 20), 0.05), np.zeros(2), np.array([0.5, 0.5]))[0] > 0.6


def test_parameters_that_the_rows_chose_cost_as_much_as_they_flatter() -> None:
    # Five parameters are worth a log likelihood of five: two members that differ by as much in it are equals.
    n, prior = 20, np.array([0.5, 0.5])
    flattered = np.full((2, n), 0.05) * np.exp([[0.0], [-2.0 * 5.0 / n]])
    weights = stack_weights(np.zeros((2, n)), flattered, np.array([0.0, 5.0]), prior)
    np.testing.assert_allclose(weights, prior, rtol=1e-9)
    assert stack_weights(np.zeros((2, n)), flattered, np.zeros(2), prior)[1] > 0.55


def test_an_uncertain_vote_counts_less_where_it_is_uncertain() -> None:
    mixture = Mixture.of(np.array([0.5, 0.5]), np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 1.0], [1.0, 100.0]]))
    sure = 1 / (1 + 100**-LOCAL)
    np.testing.assert_allclose(mixture.weights, [[0.5, sure], [0.5, 1 - sure]])
    np.testing.assert_allclose(mixture.moments()[0], [0.5, 1 - sure])


def test_quantiles_are_those_of_the_normal_and_of_the_mixture() -> None:
    one = Mixture.of(np.ones(1), np.array([[2.0, 0.0]]), np.array([[4.0, 1.0]]))
    np.testing.assert_allclose(one.quantile(0.95), [norm.ppf(0.95, 2, 2), norm.ppf(0.95)], rtol=1e-6)
    np.testing.assert_allclose(one.quantile(0.95, widen=2.0), [norm.ppf(0.95, 2, 4), norm.ppf(0.95, 0, 2)], rtol=1e-6)
    two = Mixture.of(np.array([0.5, 0.5]), np.array([[-10.0], [10.0]]), np.ones((2, 1)))
    assert two.quantile(0.25)[0] == pytest.approx(-10.0, abs=1e-6)


def test_diluting_pulls_towards_the_mean() -> None:
    mixture = Mixture.of(np.ones(1), np.array([[4.0]]), np.array([[0.5]]))
    mean, variance = mixture.diluted(0.25, 0.0, 0.5).moments()
    assert mean[0] == pytest.approx(3.0)
    assert variance[0] == pytest.approx(0.5 + 0.25 * 9 + 0.75 * 1)
    assert mixture.diluted(0.0, 9.0, 9.0) is mixture


def test_left_out_errors_widen_as_far_as_covers_them() -> None:
    errors = np.arange(1.0, 20.0)  # 19 errors: a further one is below the 18th with probability 0.9
    mixture = Mixture.of(np.ones(1), errors[None, :], np.full((1, 19), 4.0))
    assert mixture.conformal_widening(0.9) == pytest.approx(18.0 / 2.0 / norm.ppf(0.95))
    assert mixture.conformal_widening(0.99) == 0.0
