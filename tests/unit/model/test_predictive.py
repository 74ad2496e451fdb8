import numpy as np
import pytest
from scipy.stats import lognorm

from perfport.errors import NotEnoughDataError
from perfport.model.predictive import Predictive

TWO = Predictive(np.array([[0.3], [0.7]]), np.log([[1.0], [2.0]]), np.array([[0.1], [0.4]]))


def draws(predictive: Predictive, n: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    rng = np.random.default_rng(0)
    which = (rng.random(n) > predictive.weights[0, 0]).astype(int)
    return np.asarray(np.exp(rng.normal(predictive.means[which, 0], predictive.sds[which, 0])))


def test_probabilities_and_gains_are_those_of_the_mixture() -> None:
    drawn = draws(TWO, 400_000)
    assert TWO.probability_at_most(1.5)[0] == pytest.approx(np.mean(drawn <= 1.5), abs=0.003)
    mean, sd = TWO.moments()
    assert (mean[0], sd[0]) == pytest.approx((np.log(drawn).mean(), np.log(drawn).std()), abs=0.003)
    better = np.maximum(np.log(1.2) - np.log(drawn), 0.0).mean()
    assert TWO.expected_gain(1.2)[0] == pytest.approx(better, abs=0.001)
    more = np.maximum(np.log(drawn) - np.log(1.2), 0.0).mean()
    assert TWO.expected_gain(1.2, minimise=False)[0] == pytest.approx(more, abs=0.002)


def test_a_gain_is_never_negative_however_far_the_best_is() -> None:
    far = Predictive.normal(np.array([0.0, 10.0]), np.array([1e-3, 1e-9]))
    gains = far.expected_gain(1e-6)
    assert (gains >= 0.0).all()
    assert gains[0] == pytest.approx(0.0, abs=1e-12)


def test_an_interval_becomes_the_log_normal_with_that_interval() -> None:
    predictive = Predictive.of_interval(np.array([1.0]), np.array([4.0]), coverage=0.8)
    assert predictive.probability_at_most(2.0)[0] == pytest.approx(0.5)
    assert predictive.probability_at_most(4.0)[0] == pytest.approx(0.9)
    known = lognorm(s=predictive.sds[0, 0], scale=2.0)
    assert predictive.probability_at_most(3.0)[0] == pytest.approx(known.cdf(3.0))
    with pytest.raises(NotEnoughDataError, match="no limits"):
        Predictive.of_interval(np.array([0.0]), np.array([np.inf]), coverage=0.9)


def test_joined_parts_stand_one_after_the_other() -> None:
    both = Predictive.joined([TWO, TWO.widened(2.0)])
    assert len(both) == 2
    assert both.sds[:, 1].tolist() == (2.0 * TWO.sds[:, 0]).tolist()
