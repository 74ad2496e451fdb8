"""Samplers by chance: uniformity, equal intervals, shares of strata."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfport.errors import SpaceError, UsageError
from perfport.sampling.random import (
    KMeansStages,
    SimpleRandom,
    Stratified,
    Systematic,
    WithReplacement,
    allocation,
)
from perfport.space.options import Option
from perfport.space.space import Space

LINE = Space([Option(name="x", type="integer", lower=0, upper=9)])
SKEWED = Space(
    [
        Option(name="mode", type="categorical", values=("plain", "tuned")),
        Option(name="level", type="integer", lower=1, upper=30),
        Option(name="depth", type="integer", lower=1, upper=30),
    ],
    constraints=["level == 1 or mode == 'tuned'"],
)


@pytest.mark.parametrize("sampler", [SimpleRandom(), WithReplacement(), Systematic()])
def test_every_configuration_is_equally_likely(sampler: SimpleRandom | WithReplacement | Systematic) -> None:
    counts = np.zeros(10)
    for seed in range(600):
        counts[sampler.propose(LINE, 3, rng=np.random.default_rng(seed))["x"].to_numpy()] += 1
    # 180 expected, standard deviation 11.
    assert np.all(np.abs(counts - 180) < 50)


def test_draws_with_replacement_are_counted() -> None:
    proposal = WithReplacement().draw(LINE, 9, rng=np.random.default_rng(0))
    assert len(proposal.configurations) == 9
    assert proposal.n_points == 9 + proposal.n_dropped
    # The coupon collector needs 10 (1/10 + ... + 1/2) = 19.3 draws for nine of ten.
    mean = np.mean([WithReplacement().draw(LINE, 9, rng=np.random.default_rng(s)).n_points for s in range(300)])
    assert mean == pytest.approx(19.3, abs=1.5)


def test_systematic_takes_equal_steps_in_the_order_of_counting() -> None:
    space = Space(
        [Option(name="a", type="integer", lower=0, upper=4), Option(name="b", type="integer", lower=0, upper=7)]
    )
    proposed = Systematic().propose(space, 10, rng=np.random.default_rng(3))
    places = (proposed["a"] * 8 + proposed["b"]).to_numpy()
    assert np.diff(places).tolist() == [4] * 9


def test_systematic_does_not_depend_on_the_order_of_a_table() -> None:
    candidates = LINE.sample(10, np.random.default_rng(0))
    shuffled = candidates.iloc[np.random.default_rng(1).permutation(10)]
    one, other = (
        Systematic().propose(LINE, 4, rng=np.random.default_rng(2), candidates=c) for c in (candidates, shuffled)
    )
    assert one["x"].tolist() == other["x"].tolist()


def test_strata_get_their_share_and_rare_ones_at_least_one() -> None:
    # 30 plain configurations (level 1) beside 900 tuned ones.
    proposed = Stratified(options=("mode",)).propose(SKEWED, 20, rng=np.random.default_rng(0))
    assert proposed["mode"].value_counts().to_dict() == {"tuned": 19, "plain": 1}


def test_strata_are_made_of_the_options_with_fewest_levels() -> None:
    space = Space(
        [
            Option(name="clock", type="integer", lower=1, upper=12),
            Option(name="fast", type="boolean"),
            Option(name="arena", type="boolean"),
        ]
    )
    proposed = Stratified().propose(space, 12, rng=np.random.default_rng(0))
    assert proposed.groupby(["fast", "arena"]).size().tolist() == [3, 3, 3, 3]
    thirds = (proposed["clock"] - 1) // 4
    assert proposed.groupby([thirds, "fast", "arena"]).size().tolist() == [1] * 12


def test_an_unknown_stratum_is_named() -> None:
    with pytest.raises(SpaceError, match="mod"):
        Stratified(options=("mod",)).propose(SKEWED, 5, rng=np.random.default_rng(0))


def test_every_cluster_is_sampled() -> None:
    # Two far groups of configurations, one of them small.
    space = Space([Option(name=f"x{i}", type="integer", lower=0, upper=100) for i in range(3)])
    rng = np.random.default_rng(0)
    near, far = rng.integers(0, 5, (90, 3)), rng.integers(95, 100, (10, 3))
    candidates = space.frame([dict(zip(space.names, map(int, row), strict=True)) for row in np.vstack([near, far])])
    for seed in range(5):
        chosen = KMeansStages(n_clusters=2).propose(space, 6, rng=np.random.default_rng(seed), candidates=candidates)
        assert 1 <= int((chosen["x0"] > 50).sum()) <= 2
    with pytest.raises(UsageError, match="n_clusters is 0"):
        KMeansStages(n_clusters=0).propose(space, 6, rng=rng, candidates=candidates)


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.data())
def test_allocation_is_complete_and_proportional(sizes: list[int], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, sum(sizes)))
    share = allocation(np.array(sizes), n, np.random.default_rng(0))
    assert share.sum() == n
    assert np.all((share >= 0) & (share <= sizes))
    if n >= len(sizes):
        assert np.all(share >= 1)
