"""Intervals, paired tests and effect sizes against published worked examples and scipy."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from perfport.errors import UsageError
from perfport.study import stats
from perfport.study.stats import (
    a12,
    a12_magnitude,
    bootstrap_interval,
    cliffs_delta,
    delta_magnitude,
    holm,
    wilcoxon_signed_rank,
)

# Spatial test of 26 children. Efron and Tibshirani, An Introduction to the Bootstrap, 1993, table 14.1, A.
SPATIAL = np.fromstring("48 36 20 29 42 42 20 42 22 41 45 14 6 0 33 28 34 4 32 24 47 41 24 26 30 41", sep=" ")

# Areas under the curve of C4.5 without and with tuning on 14 data sets. Demsar, JMLR 7, 2006, table 2.
C45 = np.array([0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.0, 0.940, 0.619, 0.972, 0.957])
C45_M = np.array([0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.0, 0.962, 0.666, 0.981, 0.978])

finite = st.floats(-1e6, 1e6, allow_nan=False)
samples = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=30)


def test_bootstrap_agrees_with_efron_and_tibshirani() -> None:
    # Section 14.2 and 14.3: variance 171.5, 90 % intervals (100.8, 233.9) and (115.8, 259.6) from 2000
    # resamples; ours are many, so what differs is the book's own resampling error.
    rng = np.random.default_rng(0)
    percentile = bootstrap_interval(SPATIAL, np.var, rng=rng, coverage=0.9, method="percentile", n_resamples=20_000)
    bca = bootstrap_interval(SPATIAL, np.var, rng=rng, coverage=0.9, n_resamples=20_000)
    assert bca.estimate == pytest.approx(171.5, abs=0.05)
    assert (percentile.lower, percentile.upper) == pytest.approx((100.8, 233.9), abs=4)
    assert (bca.lower, bca.upper) == pytest.approx((115.8, 259.6), abs=4)


def test_acceleration_agrees_with_efron_and_tibshirani() -> None:
    assert stats._acceleration(stats._jackknife(SPATIAL, np.var)) == pytest.approx(0.061, abs=5e-4)


@pytest.mark.parametrize(("method", "scipy_method"), [("bca", "BCa"), ("percentile", "percentile")])
def test_bootstrap_agrees_with_scipy(
    method: Literal["bca", "percentile"], scipy_method: Literal["BCa", "percentile"]
) -> None:
    values = np.random.default_rng(1).lognormal(size=40)
    ours = bootstrap_interval(values, rng=np.random.default_rng(2), method=method, n_resamples=40_000)
    theirs = scipy_stats.bootstrap(
        (values,), np.mean, method=scipy_method, n_resamples=40_000, rng=np.random.default_rng(3)
    ).confidence_interval
    assert (ours.lower, ours.upper) == pytest.approx((theirs.low, theirs.high), rel=0.02)


def test_bootstrap_interval_covers_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        interval = bootstrap_interval(rng.exponential(size=40), rng=rng, coverage=0.9, n_resamples=500)
        hits += interval.lower <= 1.0 <= interval.upper
    assert 0.82 <= hits / 200 <= 0.96


def test_bootstrap_of_equal_values_is_a_point() -> None:
    interval = bootstrap_interval([3.0, 3.0, 3.0], rng=np.random.default_rng(0))
    assert (interval.lower, interval.estimate, interval.upper) == (3.0, 3.0, 3.0)
    assert str(interval) == "3 [3, 3]"
    assert bootstrap_interval([3.0], rng=np.random.default_rng(0)).upper == 3.0


def test_bootstrap_does_not_depend_on_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bootstrap_interval(SPATIAL, rng=np.random.default_rng(5), n_resamples=300)
    monkeypatch.setattr(stats, "BOOTSTRAP_CELLS", 1000)
    assert bootstrap_interval(SPATIAL, rng=np.random.default_rng(5), n_resamples=300) == whole


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0]]])
def test_bootstrap_refuses_what_it_cannot_resample(values: list[float]) -> None:
    with pytest.raises(UsageError, match="at least one finite number"):
        bootstrap_interval(values, rng=np.random.default_rng(0))


def test_signed_rank_agrees_with_demsar() -> None:
    # Section 3.1.3: the rank sums are 93 and 12, and the difference is significant at 0.05.
    result = wilcoxon_signed_rank(C45_M, C45)
    assert (result.rank_sum_positive, result.rank_sum_negative) == (93.0, 12.0)
    assert result.p_value < 0.05


def test_signed_rank_agrees_with_scipy_without_ties() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(20), rng.random(20) + 0.2
    assert wilcoxon_signed_rank(a, b).p_value == pytest.approx(scipy_stats.wilcoxon(a, b).pvalue)


def test_signed_rank_is_exact_with_ties() -> None:
    # All four ranks are 2.5; 10 of the 16 sign patterns have at most one sign unlike the others.
    assert wilcoxon_signed_rank([1, 1, 1, 0], [0, 0, 0, 1]).p_value == pytest.approx(10 / 16)


def test_many_pairs_use_the_normal_approximation(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(150), rng.random(150) + 0.05
    exact = wilcoxon_signed_rank(a, b).p_value
    monkeypatch.setattr(stats, "EXACT_PAIRS", 100)
    assert wilcoxon_signed_rank(a, b).p_value == pytest.approx(exact, rel=0.02)


def test_signed_rank_of_equal_scores_is_one() -> None:
    assert wilcoxon_signed_rank([1.0, 2.0], [1.0, 2.0]).p_value == 1.0


def test_signed_rank_refuses_scores_that_are_not_paired() -> None:
    with pytest.raises(UsageError, match="2 and 1 scores"):
        wilcoxon_signed_rank([1.0, 2.0], [1.0])


def test_holm_agrees_with_hand_computation() -> None:
    # The smallest of four is multiplied by 4, the next by 3, ...; none may fall below its predecessor.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert len(holm([])) == 0


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_lies_between_raw_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    raw = np.asarray(p_values, dtype=float)
    assert np.all(adjusted >= raw - 1e-15)
    assert np.all(adjusted <= np.minimum(1.0, raw * len(raw)) + 1e-15)
    assert list(np.argsort(raw, kind="stable")) == list(np.lexsort((np.arange(len(raw)), raw, adjusted)))


def test_cliffs_delta_agrees_with_effsize() -> None:
    # cliff.delta of the R package effsize 0.8, its first example: -0.25 (small).
    delta = cliffs_delta([10, 10, 20, 20, 20, 30, 30, 30, 40, 50], [10, 20, 30, 40, 40, 50])
    assert delta == -0.25
    assert delta_magnitude(delta) == "small"


@settings(deadline=None)
@given(samples, samples)
def test_effect_sizes_agree_with_all_pairs_and_the_u_statistic(a: list[float], b: list[float]) -> None:
    pairs = np.sign(np.subtract.outer(a, b))
    assert cliffs_delta(a, b) == pytest.approx(pairs.mean())
    assert cliffs_delta(b, a) == pytest.approx(-cliffs_delta(a, b))
    u = (
        scipy_stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=False).statistic
        if len(set(a + b)) > 1
        else 0
    )
    if len(set(a + b)) > 1:
        assert a12(a, b) == pytest.approx(u / (len(a) * len(b)))


@pytest.mark.parametrize(
    ("delta", "word"),
    [
        (0.0, "negligible"),
        (-0.146, "negligible"),
        (0.147, "small"),
        (0.33, "medium"),
        (-0.474, "large"),
        (1.0, "large"),
    ],
)
def test_delta_words(delta: float, word: str) -> None:
    assert delta_magnitude(delta) == word


@pytest.mark.parametrize(
    ("value", "word"), [(0.5, "negligible"), (0.56, "small"), (0.36, "medium"), (0.71, "large"), (0.0, "large")]
)
def test_a12_words(value: float, word: str) -> None:
    assert a12_magnitude(value) == word


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=20), st.floats(0.01, 100))
def test_signed_rank_does_not_depend_on_sides_or_scale(pairs: list[tuple[float, float]], factor: float) -> None:
    a, b = np.round(np.array(pairs).T, 3)
    one, other = wilcoxon_signed_rank(a, b), wilcoxon_signed_rank(-factor * a, -factor * b)
    assert one.p_value == pytest.approx(wilcoxon_signed_rank(b, a).p_value)
    assert one.rank_sum_positive + one.rank_sum_negative == pytest.approx(len(a) * (len(a) + 1) / 2)
    if len(np.unique(np.abs(a - b))) == len(a):
        assert other.p_value == pytest.approx(one.p_value)
