"""D-optimal designs against designs known to be optimal, and against recomputed determinants."""

from itertools import combinations

import numpy as np
import pytest

from perfport.errors import UsageError
from perfport.sampling.matrices import full_two_level, plackett_burman
from perfport.sampling.optimal import DOptimal, d_optimal_rows, model_matrix
from perfport.sampling.pool import Pool
from perfport.space.options import Option
from perfport.space.space import Space
from perfport.testing.kits_sampling import SAMPLED_SPACES


def log_determinant(X: np.ndarray) -> float:
    return float(np.linalg.slogdet(X.T @ X)[1])


def test_twelve_runs_for_seven_factors_reach_the_determinant_of_plackett_and_burman() -> None:
    # Orthogonal designs are D-optimal for main effects: det = 12^8.
    pool = np.column_stack([np.ones(128), full_two_level(7)])
    rows = d_optimal_rows(np.random.default_rng(0).permutation(pool), 12, exchanges=10)
    chosen = np.random.default_rng(0).permutation(pool)[rows]
    best = np.column_stack([np.ones(12), plackett_burman(11)[:, :7]])
    assert log_determinant(best) == pytest.approx(8 * np.log(12))
    assert log_determinant(chosen) > log_determinant(best) - 0.6


def test_quadratic_in_one_option_is_measured_at_its_ends_and_middle() -> None:
    # The D-optimal design for a parabola: thirds at both ends and the middle (Fedorov 1972).
    space = Space([Option(name="x", type="integer", lower=0, upper=20)])
    proposed = DOptimal().propose(space, 3, rng=np.random.default_rng(0))
    assert sorted(proposed["x"]) == [0, 10, 20]


def test_no_single_exchange_improves_the_design() -> None:
    pool = Pool.of(SAMPLED_SPACES["ruled"], 12, rng=np.random.default_rng(0))
    X = model_matrix(pool, interactions=False)
    rows = d_optimal_rows(X, 14, exchanges=20)
    assert len(set(rows.tolist())) == 14
    ridge = 1e-3 * np.eye(X.shape[1])
    value = np.linalg.slogdet(X[rows].T @ X[rows] + ridge)[1]
    others = np.setdiff1d(np.arange(len(X)), rows)
    for place in range(14):
        for other in others:
            changed = X[np.append(np.delete(rows, place), other)]
            assert np.linalg.slogdet(changed.T @ changed + ridge)[1] <= value + 1e-6


def test_beats_random_designs() -> None:
    pool = Pool.of(SAMPLED_SPACES["plain"], 10, rng=np.random.default_rng(0))
    X = model_matrix(pool, interactions=True)
    chosen = log_determinant(X[d_optimal_rows(X, 18)])
    rng = np.random.default_rng(1)
    assert all(log_determinant(X[rng.choice(len(X), 18, replace=False)]) < chosen for _ in range(50))


def test_model_matrix_has_a_column_for_what_varies() -> None:
    pool = Pool.of(SAMPLED_SPACES["plain"], 10, rng=np.random.default_rng(0))
    # threads x and x^2, two of three modes, arena; the one device is constant.
    assert model_matrix(pool, interactions=False).shape == (len(pool), 1 + 2 + 2 + 1)
    groups = [2, 2, 1]
    assert model_matrix(pool, interactions=True).shape[1] == 6 + sum(a * b for a, b in combinations(groups, 2))


def test_a_model_that_is_too_large_is_refused() -> None:
    space = Space([Option(name=f"x{i}", type="integer", lower=0, upper=9) for i in range(100)])
    with pytest.raises(UsageError, match="leave out interactions"):
        DOptimal(interactions=True).propose(space, 5, rng=np.random.default_rng(0))
    with pytest.raises(UsageError, match="exchanges is -1"):
        DOptimal(exchanges=-1).propose(SAMPLED_SPACES["plain"], 5, rng=np.random.default_rng(0))
