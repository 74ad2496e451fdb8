"""Covering arrays: everything that can be covered is, in few configurations."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from perfport.errors import UsageError
from perfport.sampling.covering import TWise
from perfport.space.options import Option
from perfport.space.space import Space
from perfport.testing.kits_sampling import SAMPLED_SPACES


def seen(frame: pd.DataFrame, strength: int) -> set[tuple[tuple[str, str], ...]]:
    texts = frame.astype(str)
    return {
        tuple(zip(names, row, strict=True))
        for names in combinations(frame.columns, strength)
        for row in texts[list(names)].itertuples(index=False, name=None)
    }


@pytest.mark.parametrize(("strength", "n"), [(1, 7), (2, 24), (3, 75)])
def test_every_feasible_combination_occurs(strength: int, n: int) -> None:
    space = SAMPLED_SPACES["ruled"]
    everything = seen(next(iter(space.enumerate())), strength)
    proposed = TWise(strength=strength).propose(space, n, rng=np.random.default_rng(0))
    assert seen(proposed, strength) == everything


def test_pairs_of_many_booleans_need_few_configurations() -> None:
    # 15 binary options: the optimum is 7 (Kleitman and Spencer 1973), AETG-like greedy search needs about 10.
    space = Space([Option(name=f"b{i}", type="boolean") for i in range(13)])
    proposed = TWise().propose(space, 11, rng=np.random.default_rng(0))
    assert len(seen(proposed, 2)) == 4 * 13 * 12 // 2


def test_four_options_of_three_levels_are_covered_in_little_more_than_nine() -> None:
    space = Space([Option(name=f"x{i}", type="ordinal", values=(1, 2, 3)) for i in range(4)])
    proposed = TWise().propose(space, 12, rng=np.random.default_rng(0))
    assert len(seen(proposed, 2)) == 6 * 9


def test_cover_starts_anew_when_complete() -> None:
    space = Space([Option(name=f"b{i}", type="boolean") for i in range(4)])
    proposed = TWise(strength=1).propose(space, 8, rng=np.random.default_rng(0))
    assert np.all(proposed.sum() == 4)


def test_ranges_count_by_fifths() -> None:
    space = Space([Option(name=n, type="float", lower=0.0, upper=1.0) for n in "ab"])
    proposed = TWise().propose(space, 25, rng=np.random.default_rng(0))
    cells = np.floor(proposed["a"] * 5) * 5 + np.floor(proposed["b"] * 5)
    assert cells.nunique() == 25


def test_strength_beyond_the_options_is_every_combination() -> None:
    space = Space([Option(name=f"b{i}", type="boolean") for i in range(3)])
    assert len(TWise(strength=5).propose(space, 7, rng=np.random.default_rng(0))) == 7


def test_too_large_a_cover_is_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match="lower the strength"):
        TWise(strength=4).propose(SAMPLED_SPACES["wide"], 5, rng=np.random.default_rng(0))
    with pytest.raises(UsageError, match="strength is 0"):
        TWise(strength=0).propose(SAMPLED_SPACES["plain"], 5, rng=np.random.default_rng(0))
