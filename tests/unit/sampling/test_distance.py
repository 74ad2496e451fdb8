"""Distance-based sampling: distances follow the distribution asked for."""

import numpy as np
import pytest

from perfport.errors import UsageError
from perfport.sampling.distance import DistanceBased, distances
from perfport.sampling.pool import Pool
from perfport.space.options import Level, Option
from perfport.space.space import Space

FLAGS = Space([Option(name=f"b{i}", type="boolean") for i in range(10)])


def test_distance_counts_steps() -> None:
    space = Space(
        [
            Option(name="fast", type="boolean"),
            Option(name="threads", type="ordinal", values=(1, 2, 4, 8)),
            Option(name="mode", type="categorical", values=("a", "b", "c")),
            Option(name="share", type="float", lower=0.0, upper=1.0),
        ]
    )
    rows: list[dict[str, Level | None]] = [
        {"fast": False, "threads": 1, "mode": "a", "share": 0.0},
        {"fast": True, "threads": 8, "mode": "c", "share": 0.42},
    ]
    pool = Pool.of(space, 1, rng=np.random.default_rng(0), candidates=space.frame(rows))
    assert distances(pool).tolist() == [0.0, 1 + 3 + 1 + 4]


def test_uniform_distances_reach_the_ends() -> None:
    # Of 1024 configurations 1 has no option on and 252 have five: chance sees the ends hardly ever.
    counts = np.zeros(11)
    for seed in range(60):
        counts[DistanceBased().propose(FLAGS, 8, rng=np.random.default_rng(seed)).sum(axis=1)] += 1
    inner = counts[1:-1]
    assert np.all(np.abs(inner - inner.mean()) < 25)
    assert counts[0] > 20
    assert counts[10] > 20


def test_binomial_distances_stay_in_the_middle() -> None:
    counts = np.zeros(11)
    for seed in range(40):
        sampler = DistanceBased(distribution="binomial", diverse=False)
        counts[sampler.propose(FLAGS, 8, rng=np.random.default_rng(seed)).sum(axis=1)] += 1
    assert counts[4:7].sum() > 0.55 * counts.sum()
    assert counts[[0, 10]].sum() < 0.05 * counts.sum()


def test_diverse_sampling_uses_levels_more_evenly() -> None:
    def unevenness(*, diverse: bool) -> float:
        spreads = [
            DistanceBased(diverse=diverse).propose(FLAGS, 20, rng=np.random.default_rng(seed)).sum().std()
            for seed in range(20)
        ]
        return float(np.mean(spreads))

    assert unevenness(diverse=True) < 0.5 * unevenness(diverse=False)


def test_unknown_distributions_are_refused() -> None:
    with pytest.raises(UsageError, match="'uniform' or 'binomial'"):
        DistanceBased(distribution="normal").propose(FLAGS, 5, rng=np.random.default_rng(0))  # type: ignore[arg-type]
