"""What the record of a proposal counts: repaired, dropped and added configurations."""

import numpy as np
import pytest

from perfport.sampling.pool import Pool
from perfport.space.options import Option
from perfport.space.space import Space
from perfport.testing.kits_sampling import SAMPLED_SPACES, measured_rows

GRID = Space(
    [Option(name="a", type="integer", lower=0, upper=4), Option(name="b", type="integer", lower=0, upper=4)],
    constraints=["a + b <= 6"],
)


def test_points_are_caught_repaired_and_dropped() -> None:
    pool = Pool.of(GRID, 4, rng=np.random.default_rng(0))
    # (4, 4) breaks the rule: of the nearest, (2, 4), (3, 3) and (4, 2), the first is taken.
    points = np.array([[0.0, 0.0], [4.0, 4.0], [0.0, 0.0], [1.0, 1.0]])
    proposal = pool.catch([points], 4, np.random.default_rng(0))
    assert (proposal.n_points, proposal.n_repaired, proposal.n_dropped, proposal.n_filled) == (4, 1, 1, 1)
    assert proposal.configurations.iloc[:3].to_numpy().tolist() == [[0, 0], [2, 4], [1, 1]]
    assert GRID.is_valid(proposal.configurations).all()


def test_catching_stops_as_soon_as_there_are_enough() -> None:
    pool = Pool.of(GRID, 2, rng=np.random.default_rng(0))
    points = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    proposal = pool.catch(iter([points, points]), 2, np.random.default_rng(0))
    assert (proposal.n_points, len(proposal.configurations)) == (2, 2)


def test_points_move_to_the_nearest_candidate() -> None:
    candidates = GRID.frame([{"a": 0, "b": 0}, {"a": 4, "b": 2}, {"a": 2, "b": 2}])
    pool = Pool.of(GRID, 2, rng=np.random.default_rng(0), candidates=candidates)
    proposal = pool.catch([np.array([[4.0, 1.0], [4.0, 1.0]])], 2, np.random.default_rng(0))
    assert list(proposal.configurations.index) == [1, 2]
    assert proposal.n_repaired == 2


def test_a_large_space_is_sampled_and_takes_in_the_points_of_a_design() -> None:
    space = SAMPLED_SPACES["wide"]
    pool = Pool.of(space, 3, rng=np.random.default_rng(0))
    assert not pool.is_closed
    point = pool.codes[0].copy()
    point[2:-1] = 1 - point[2:-1]
    proposal = pool.catch([np.vstack([point, pool.codes[0]])], 2, np.random.default_rng(0))
    assert (proposal.n_repaired, proposal.n_dropped, proposal.n_filled) == (0, 0, 0)
    assert pool.geometry.codes(proposal.configurations)[0].tolist() == point.tolist()


def test_a_measured_point_gives_way() -> None:
    space = SAMPLED_SPACES["ranges"]
    measured = measured_rows(space, 5, np.random.default_rng(0))
    pool = Pool.of(space, 3, rng=np.random.default_rng(1), measured=measured)
    points = pool.geometry.codes(measured.configurations)
    proposal = pool.catch([points], 3, np.random.default_rng(0))
    assert proposal.n_repaired == 3


def test_invalid_candidates_are_left_out_with_a_note() -> None:
    candidates = GRID.frame([{"a": 0, "b": 0}, {"a": 4, "b": 4}, {"a": 2, "b": 2}])
    pool = Pool.of(GRID, 1, rng=np.random.default_rng(0), candidates=candidates)
    assert pool.filled(np.array([1]), 1, np.random.default_rng(0)).notes == (
        "1 of 3 candidates are not valid in the space",
    )


@pytest.mark.parametrize("n_known", [0, 1, 3])
def test_rows_are_filled_with_others(n_known: int) -> None:
    pool = Pool.of(GRID, 5, rng=np.random.default_rng(0))
    proposal = pool.filled(np.arange(n_known), 5, np.random.default_rng(0))
    assert (proposal.n_points, proposal.n_filled) == (n_known, 5 - n_known)
    assert not proposal.configurations.duplicated().any()
