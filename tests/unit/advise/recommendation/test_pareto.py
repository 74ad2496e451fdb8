import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perfport.advise.recommendation.pareto import first_fronts, front, hypervolume, knee
from perfport.data.measurement import FloatArray
from perfport.errors import UsageError

POINTS = arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(0, 6).map(float))


def beaten(points: FloatArray, row: int) -> bool:
    return any((other <= points[row]).all() and (other < points[row]).any() for other in points)


@given(POINTS)
def test_the_front_is_what_no_point_beats_each_value_once(points: FloatArray) -> None:
    rows = front(points)
    wanted = {tuple(points[row]) for row in range(len(points)) if not beaten(points, row)}
    assert {tuple(points[row]) for row in rows} == wanted
    assert len(rows) == len(wanted)
    assert points[rows].tolist() == sorted(points[rows].tolist())


def test_a_large_front_of_three_objectives_is_found_chunk_by_chunk() -> None:
    points = np.random.default_rng(0).uniform(size=(3000, 3))
    rows = front(points)
    assert all(not beaten(points, int(row)) for row in rows)
    assert len(rows) == len({tuple(p) for i, p in enumerate(points) if not beaten(points, i)})


def test_fronts_follow_one_another() -> None:
    points = np.array([[3.0, 3.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0]])
    assert first_fronts(points, 2).tolist() == [1, 2]
    assert first_fronts(points, 10).tolist() == [1, 2, 3, 0]


def test_hypervolume_known_answers() -> None:
    assert hypervolume(np.array([[1.0, 1.0, 1.0]]), np.array([2.0, 3.0, 4.0])) == 6.0
    assert hypervolume(np.array([[3.0, 1.0]]), np.array([2.0, 2.0])) == 0.0
    with pytest.raises(UsageError, match="shape"):
        hypervolume(np.zeros((2, 2)), np.zeros(3))


@pytest.mark.parametrize("q", [2, 3, 4])
def test_hypervolume_agrees_with_moocore(q: int) -> None:
    moocore = pytest.importorskip("moocore", reason="installed with pymoo, the extra 'moo'")
    points = np.random.default_rng(q).uniform(size=(40, q))
    reference = np.full(q, 1.1)
    assert hypervolume(points, reference) == pytest.approx(moocore.hypervolume(points, ref=reference), rel=1e-9)


def test_the_knee_is_where_the_front_bends() -> None:
    assert knee(np.array([[0.0, 10.0], [1.0, 2.0], [5.0, 1.0], [10.0, 0.0]])) == 1
    assert knee(np.array([[4.0, 4.0]])) == 0
