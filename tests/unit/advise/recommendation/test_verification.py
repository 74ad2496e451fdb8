import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from perfport.advise.recommendation.recommend import Recommendation
from perfport.advise.recommendation.verification import gain_over, settle, verify
from perfport.data.measurement import Property
from perfport.errors import UsageError

TIME = Property("time_s", "s")
PROMISE = Recommendation(1, {"threads": 2}, predicted=1.0, lower=0.8, upper=1.2, property=TIME)


def test_a_verification_sets_promise_reading_and_default_side_by_side() -> None:
    found = verify(PROMISE, [1.1, 1.0, 1.3, 1.1, 1.1], [2.2, 2.2, 2.0, 2.4, 2.2])
    assert (found.verified, found.default) == (1.1, 2.2)
    assert found.gain.value == pytest.approx(2.0)
    assert found.error_pct == pytest.approx(100 * 0.1 / 1.1)
    assert found.is_inside is True
    assert found.gain.is_settled
    assert str(found).startswith("predicted 1.00 s, verified 1.10 s (9.09 % off), default 2.20 s: 2x [")


def test_more_is_better_where_the_property_says_so() -> None:
    rate = Recommendation(1, {}, 10.0, None, None, Property("images_per_s", "1/s", "maximise"))
    found = verify(rate, [20.0] * 4, [10.0] * 4)
    assert found.gain.value == pytest.approx(2.0)
    assert found.is_inside is None
    assert verify(rate, [20.0] * 4, [10.0] * 4, minimise=True).gain.value == pytest.approx(0.5)


def test_noise_that_covers_the_difference_settles_nothing() -> None:
    found = verify(PROMISE, [1.0, 1.4, 0.9, 1.2], [1.1, 1.0, 1.3, 1.2])
    assert found.gain.lower < 1 < found.gain.upper
    assert not found.gain.is_settled


def test_a_loss_is_settled_as_well() -> None:
    found = verify(PROMISE, [4.0, 4.1, 3.9, 4.0], [1.0, 1.1, 0.9, 1.0])
    assert found.gain.is_settled
    assert found.gain.value == pytest.approx(0.25, rel=0.05)
    assert found.is_inside is False


def test_two_readings_of_each_settle_nothing() -> None:
    gain = gain_over([2.0, 2.1], [1.0, 1.1])
    assert (gain.lower, gain.upper) == (0.0, float("inf"))
    assert not gain.is_settled
    assert gain_over([2.0, 2.1, 2.2], [1.0, 1.1, 1.2]).is_settled


def test_one_wild_reading_moves_little() -> None:
    calm, wild = [2.0, 2.01, 1.99, 2.0, 2.02], [2.0, 2.01, 1.99, 2.0, 24.0]
    others = [1.0, 1.01, 0.99, 1.0, 1.02]
    assert gain_over(wild, others).value == pytest.approx(gain_over(calm, others).value, rel=0.02)


@pytest.mark.parametrize(("m", "n"), [(3, 3), (4, 6), (5, 5), (12, 9), (25, 30)])
@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_the_interval_holds_just_the_ratios_a_rank_test_does_not_reject(m: int, n: int, coverage: float) -> None:
    rng = np.random.default_rng(m * 100 + n)
    a, b = np.exp(rng.normal(size=m) + 0.5), np.exp(rng.normal(size=n))
    gain = gain_over(a, b, coverage=coverage)

    def p_value(ratio: float) -> float:
        exact = mannwhitneyu(a / ratio, b, method="exact")
        return float(exact.pvalue)

    if gain.lower == 0:
        assert p_value(float(np.min(np.divide.outer(a, b))) * 0.999) > 1 - coverage
        return
    for limit, outwards in ((gain.lower, 1 - 1e-9), (gain.upper, 1 + 1e-9)):
        # The normal approximation for many readings is a per cent off.
        about = 0.03 if m * n > 400 else 1e-9
        assert p_value(limit * outwards) <= (1 - coverage) * (1 + about)
        assert p_value(limit / outwards**2) > (1 - coverage) * (1 - about)


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = [
        gain.lower <= 1.5 <= gain.upper
        for gain in (gain_over(1.5 * np.exp(rng.normal(size=6)), np.exp(rng.normal(size=5))) for _ in range(400))
    ]
    assert 0.88 <= np.mean(hits) <= 0.97


def test_swapping_the_sides_inverts_the_gain() -> None:
    a, b = [1.0, 1.5, 2.0, 1.2], [0.7, 0.9, 0.8, 1.1, 0.6]
    here, there = gain_over(a, b), gain_over(b, a)
    assert (there.value, there.lower, there.upper) == pytest.approx((1 / here.value, 1 / here.upper, 1 / here.lower))


def test_recommendations_are_settled_by_what_they_measured() -> None:
    second = Recommendation(2, {"threads": 1}, 1.2, None, None, TIME)
    found = settle([PROMISE, second], [[1.5, 1.5, 1.6], [1.1, 1.0, 1.1]], [2.0, 2.1, 2.0])
    assert [one.recommendation.rank for one in found] == [2, 1]


def test_readings_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match="'measured' has shape"):
        verify(PROMISE, [], [1.0])
    with pytest.raises(UsageError, match="'default' holds a reading that is not positive"):
        verify(PROMISE, [1.0], [0.0])
    with pytest.raises(UsageError, match="between 0 and 1"):
        gain_over([1.0], [1.0], coverage=90)
    with pytest.raises(UsageError, match="2 recommendations and readings of 1"):
        settle([PROMISE, PROMISE], [[1.0]], [1.0])
    unclear = Recommendation(1, {}, 1.0, None, None, Property("score", "", "unclear"))
    with pytest.raises(UsageError, match="which way is better"):
        verify(unclear, [1.0], [1.0])
