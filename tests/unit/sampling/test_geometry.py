"""Codes and coordinates: what tells configurations apart, and how far apart they are."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfport.sampling.geometry import Geometry, distinct_rows
from perfport.space.options import Option
from perfport.space.space import Space
from perfport.testing.kits_sampling import SAMPLED_SPACES

SPACE = Space(
    [
        Option(name="threads", type="ordinal", values=(1, 2, 4, 8, 16)),
        Option(name="mode", type="categorical", values=("a", "b", "c")),
        Option(name="clock", type="float", lower=1.0, upper=100.0, scale="log"),
        Option(name="fast", type="boolean"),
    ]
)


@pytest.mark.parametrize("name", list(SAMPLED_SPACES))
def test_codes_and_frames_are_two_ways_to_say_the_same(name: str) -> None:
    space = SAMPLED_SPACES[name]
    geometry = Geometry(space)
    sampled = space.sample(50, np.random.default_rng(0))
    codes = geometry.codes(sampled)
    pd.testing.assert_frame_equal(geometry.frame(codes), sampled, check_exact=False, rtol=1e-12)
    settled, valid = geometry.settle(codes)
    assert valid.all()
    assert settled == pytest.approx(codes)


def test_a_level_that_is_none_of_the_option_has_a_code_below_inactive() -> None:
    frame = pd.DataFrame({"threads": [3], "mode": ["z"], "clock": [1000.0], "fast": [True]})
    assert np.all(Geometry(SPACE).codes(frame)[0, :3] < -1)


def test_distance_adds_up_option_by_option() -> None:
    geometry = Geometry(SPACE)
    frame = SPACE.frame(
        [
            {"threads": 1, "mode": "a", "clock": 1.0, "fast": False},
            {"threads": 4, "mode": "a", "clock": 10.0, "fast": False},
            {"threads": 1, "mode": "c", "clock": 1.0, "fast": True},
        ]
    )
    coordinates = geometry.coordinates(geometry.codes(frame))
    distance = np.abs(coordinates[:, None] - coordinates).sum(axis=2)
    assert distance[0, 1] == pytest.approx(2 / 4 + 0.5)
    assert distance[0, 2] == pytest.approx(1 + 1)
    assert distance[1, 2] == pytest.approx(0.5 + 1 + 0.5 + 1)


def test_active_and_inactive_are_one_apart_wherever_the_active_one_lies() -> None:
    space = SAMPLED_SPACES["ruled"]
    base = {"cores": 1, "streams": 1, "pattern": False}
    frame = space.frame(
        [
            {**base, "mode": "sequential"},
            {**base, "mode": "parallel", "inter_threads": 1},
            {**base, "mode": "parallel", "inter_threads": 4},
        ]
    )
    geometry = Geometry(space)
    coordinates = geometry.coordinates(geometry.codes(frame))
    distance = np.abs(coordinates[:, None] - coordinates).sum(axis=2)
    assert distance[0, 1] == pytest.approx(2.0)  # another mode, and active instead of not
    assert distance[0, 2] == pytest.approx(2.0)
    assert distance[1, 2] == pytest.approx(1.0)


def test_settling_empties_inactive_options_and_fills_active_ones() -> None:
    space = SAMPLED_SPACES["ruled"]
    codes = np.array([[0.0, 0.0, 0.0, 3.0, 0.0], [0.0, 0.0, 1.0, -1.0, 0.0], [0.0, 2.0, 0.0, -1.0, 0.0]])
    settled, valid = Geometry(space).settle(codes)
    assert settled[0, 3] == -1
    assert settled[1, 3] == 1  # the default, 2 threads
    assert valid.tolist() == [True, True, False]


def test_even_levels_share_the_cube_equally() -> None:
    geometry = Geometry(SPACE)
    codes = geometry.even_levels(np.repeat((np.arange(30.0)[:, None] + 0.5) / 30, 4, axis=1))
    assert np.bincount(codes[:, 0].astype(int)).tolist() == [6] * 5
    assert np.bincount(codes[:, 1].astype(int)).tolist() == [10] * 3
    assert geometry.even_levels(np.ones((1, 4)))[0].tolist() == [4, 2, 1, 1]


def test_nearest_levels_reach_both_ends_and_shuffle_what_has_no_order() -> None:
    geometry = Geometry(SPACE)
    rng = np.random.default_rng(0)
    shuffled = {1: np.array([2, 0, 1])}
    ends = geometry.nearest_levels(np.array([[0.0] * 4, [1.0] * 4]), shuffled, rng)
    assert ends.tolist() == [[0, 2, 0, 0], [4, 1, 1, 1]]
    middle = geometry.nearest_levels(np.full((200, 4), 0.5), shuffled, rng)
    assert set(middle[:, 0]) == {2}
    assert set(middle[:, 3]) == {0, 1}  # a boolean has no middle


def test_bins_keep_unordered_levels_and_group_ordered_ones() -> None:
    geometry = Geometry(SPACE)
    codes = np.array([[0, 0, 0.0, 0], [2, 1, 0.5, 1], [4, 2, 1.0, 1], [-1, -1, -1, -1]])
    assert geometry.binned(codes, [0, 1, 2, 3], 3).T.tolist() == [
        [1, 2, 3, 0],
        [1, 2, 3, 0],
        [1, 2, 3, 0],
        [1, 2, 2, 0],
    ]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), min_size=1, max_size=20))
def test_distinct_rows_are_the_first_of_their_kind(rows: list[tuple[int, int]]) -> None:
    kept = distinct_rows(np.array(rows, dtype=float))
    assert [rows[i] for i in kept] == list(dict.fromkeys(rows))
