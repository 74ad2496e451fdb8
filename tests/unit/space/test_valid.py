"""Counting and sampling: exact on what rules leave, uniform over valid configurations."""

from itertools import product
from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tests.unit.space.samples import mixed_space, runtime_space
from tests.unit.space.strategies import spaces

from perfport.errors import SpaceError
from perfport.space import valid
from perfport.space.options import Option
from perfport.space.space import Space
from perfport.space.valid import place_on_scale, uniform_on_scale


def conditional_space() -> Space:
    """Valid are 2 configurations without `inner` and 4 with it, and not 8 of 12 raw ones."""
    return Space(
        [
            Option(name="outer", type="boolean"),
            Option(name="inner", type="ordinal", values=(1, 2, 3)),
            Option(name="other", type="boolean"),
        ],
        conditions=[{"option": "inner", "when": "outer"}],
        constraints=["inner <= 2"],
    )


def chi_square_p(space: Space, draws: pd.DataFrame) -> float:
    """How probable counts as unequal as these are if all valid configurations are equally probable."""
    counts = draws.astype(str).value_counts(dropna=False).to_numpy()
    expected = np.zeros(space.size() or 0)
    expected[: len(counts)] = counts
    return float(stats.chisquare(expected).pvalue)


def test_single_draws_are_uniform_over_valid_configurations() -> None:
    space = conditional_space()
    assert space.size() == 6
    rng = np.random.default_rng(1)
    draws = pd.concat([space.sample(1, rng) for _ in range(1200)])
    assert chi_square_p(space, draws) > 0.01


def test_samples_are_uniform_also_where_rejection_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valid, "_MAX_TABLE", 0)  # no prefix is kept: all but the first option by rejection
    space = runtime_space()
    assert space.size() == 297
    rng = np.random.default_rng(2)
    draws = pd.concat([space.sample(20, rng) for _ in range(200)])
    assert chi_square_p(space, draws) > 0.01


def test_a_part_of_a_space_is_drawn_uniformly() -> None:
    space = conditional_space()
    rng = np.random.default_rng(3)
    draws = pd.concat([space.sample(4, rng) for _ in range(600)])  # more than half: by permutation
    assert chi_square_p(space, draws) > 0.01
    draws = pd.concat([space.sample(3, rng) for _ in range(600)])  # at most half: by draws
    assert chi_square_p(space, draws) > 0.01


@settings(max_examples=40, deadline=None)
@given(spaces(), st.integers(0, 200), st.integers(0, 2**32))
def test_samples_are_distinct_valid_and_as_many_as_asked(space: Space, n: int, seed: int) -> None:
    frame = space.sample(n, np.random.default_rng(seed))
    assert len(frame) == min(n, space.size() or 0)
    assert list(frame.columns) == list(space.names)
    assert space.is_valid(frame).all()
    assert not frame.astype(str).duplicated().any()
    pd.testing.assert_frame_equal(frame, space.sample(n, np.random.default_rng(seed)))


def test_float_ranges_are_uniform_on_their_scale_and_rules_hold() -> None:
    space = mixed_space()
    frame = space.sample(4000, np.random.default_rng(4))
    assert space.is_valid(frame).all()
    assert frame["momentum"].isna().tolist() == (frame["solver"] != "sgd").tolist()
    # `momentum` has no part in the constraint.
    assert stats.kstest(frame["momentum"].dropna() / 0.9, "uniform").pvalue > 0.01
    alone = Space([space.option("rate")]).sample(4000, np.random.default_rng(5))
    assert stats.kstest(np.log10(alone["rate"]) / 4 + 1, "uniform").pvalue > 0.01
    # With one thread the whole scale is allowed, with eight only below 1/8: shares follow.
    shares = frame["threads"].value_counts(normalize=True)
    assert shares[1] / shares[8] == pytest.approx(4 / (4 - np.log10(8)), rel=0.2)


@pytest.mark.parametrize("scale", ["linear", "log", "reciprocal", None])
def test_places_on_a_scale_are_found_again(scale: str | None) -> None:
    option = Option.model_validate({"name": "x", "type": "float", "lower": 0.5, "upper": 8.0, "scale": scale})
    fractions = np.linspace(0, 1, 11)
    levels = uniform_on_scale(option, fractions)
    assert levels[0] == 0.5
    assert levels[-1] == 8.0
    np.testing.assert_allclose(place_on_scale(option, levels), fractions, atol=1e-12)


def test_options_without_rules_multiply_up_without_being_enumerated() -> None:
    layers = [Option(name=f"layer{number}", type="categorical", values=tuple("abcdefghi")) for number in range(22)]
    space = Space(layers)
    assert space.size() == 9**22
    assert space.size_is_exact
    assert len(space.sample(1000, np.random.default_rng(0)).drop_duplicates()) == 1000
    assert len(next(space.enumerate(100))) == 100


def test_rules_prune_before_all_options_are_there() -> None:
    # 50^6 raw combinations; the number of ways to write at most 20 as six positive numbers is known.
    parts = [Option(name=f"n{number}", type="integer", lower=1, upper=50) for number in range(6)]
    space = Space(parts, constraints=["n0 + n1 + n2 + n3 + n4 + n5 <= 20"])
    assert space.size() == comb(20, 6)
    assert space.size_is_exact
    assert len(space.sample(500, np.random.default_rng(0)).drop_duplicates()) == 500


def test_options_called_like_functions_are_options() -> None:
    parts = [Option(name=name, type="integer", lower=1, upper=9) for name in ("a", "min", "b", "max")]
    space = Space(parts, constraints=["`min` <= min(a, b)", "max(a, `min`) + abs(b) <= `max`"])
    frame = next(space.enumerate())
    a, low, b, high = (frame[name] for name in space.names)
    assert ((low <= np.minimum(a, b)) & (np.maximum(a, low) + b <= high)).all()
    assert len(frame) == sum(
        low <= min(a, b) and max(a, low) + b <= high for a, low, b, high in product(range(1, 10), repeat=4)
    )


def test_too_large_a_count_is_estimated() -> None:
    parts = [Option(name=f"n{number}", type="integer", lower=1, upper=100) for number in range(6)]
    space = Space(parts, constraints=["n0 + n1 + n2 <= n3 + n4 + n5"])
    exact = (100**6 + sum_coincidences(3, 100)) // 2
    assert not space.size_is_exact
    assert space.size() == pytest.approx(exact, rel=0.01)
    assert space.is_valid(space.sample(2000, np.random.default_rng(0))).all()


def sum_coincidences(n: int, levels: int) -> int:
    """How many pairs of n numbers of 1 ... levels have the same sum."""
    counts = np.array([1], dtype=object)
    for _ in range(n):
        counts = np.convolve(counts, np.ones(levels, dtype=object))
    return int((counts**2).sum())


def test_sampling_gives_up_where_hardly_anything_is_valid() -> None:
    ranges = [Option(name=name, type="float", lower=0, upper=1) for name in ("x", "y")]
    space = Space(ranges, constraints=["abs(x - y) <= 1e-9"])
    with pytest.raises(SpaceError, match="too few to find them by chance"):
        space.sample(5, np.random.default_rng(0))


def test_senseless_numbers_are_refused() -> None:
    with pytest.raises(SpaceError, match="cannot sample -1"):
        runtime_space().sample(-1, np.random.default_rng(0))
    with pytest.raises(SpaceError, match="chunk_rows is 0"):
        next(runtime_space().enumerate(0))


def test_a_million_raw_combinations_are_handled_as_columns() -> None:
    options = [Option(name=f"o{number}", type="ordinal", values=tuple(range(1, 11))) for number in range(5)]
    options.append(Option(name="mode", type="categorical", values=tuple("abcdefghij")))
    space = Space(
        options,
        conditions=[{"option": "o4", "when": "mode in ['a', 'b']"}],
        forbidden=["o4 == 3 and o0 == 1"],
        constraints=["o0 * o1 * o2 <= 200"],
    )
    frames = list(space.enumerate())
    frame = pd.concat(frames, ignore_index=True)
    assert len(frame) == space.size()
    assert space.is_valid(frame).all()
    assert not frame.duplicated().any()
