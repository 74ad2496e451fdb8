from itertools import product

import numpy as np
import pytest
from scipy.special import betaln, logsumexp

from perfport.advise.comparison import spike_slab
from perfport.advise.comparison.spike_slab import Group, select_groups


def test_the_groups_that_made_the_response_are_found() -> None:
    rng = np.random.default_rng(0)
    X = rng.choice([-1.0, 1.0], (20, 40))
    y = 3.0 + 0.3 * X[:, 4] - 0.2 * X[:, 17] + 0.05 * rng.standard_normal(20)
    drawn = select_groups(y, [Group(0.2 * X[:, [j]], 0.05) for j in range(40)], rng=rng)
    assert set(np.flatnonzero(drawn.inclusion > 0.5)) == {4, 17}
    assert 0.2 * drawn.coefficients[4].mean() == pytest.approx(0.3, abs=0.05)
    assert drawn.intercepts.mean() == pytest.approx(3.0, abs=0.05)
    assert 0.02 < np.median(drawn.noise) < 0.1


def test_wide_groups_are_judged_as_a_whole() -> None:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((30, 6))
    wide, narrow = X[:, :4], X[:, 4:]
    y = wide @ np.array([0.3, -0.2, 0.2, 0.3]) + 0.05 * rng.standard_normal(30)
    drawn = select_groups(y, [Group(0.2 * wide, 0.1), Group(0.2 * narrow, 0.1)], rng=rng)
    assert drawn.inclusion[0] > 0.95 and drawn.inclusion[1] < 0.5
    assert 0.2 * drawn.coefficients[0].mean(axis=0) == pytest.approx([0.3, -0.2, 0.2, 0.3], abs=0.08)


def test_the_chain_agrees_with_all_states_counted() -> None:
    """Two groups and a known noise leave four states, whose probabilities are the evidence times the prior."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((8, 2))
    y = 0.06 * X[:, 0] + 0.05 * rng.standard_normal(8)
    known = np.full(8, 0.5)  # so large that the unknown noise, at most as large, hardly matters
    y *= 10
    drawn = select_groups(y, [Group(X[:, [0]], 0.3), Group(X[:, [1]], 0.3)], rng=rng, known_se=known)
    weights = []
    for first in (False, True):
        for second in (False, True):
            for level, sd in enumerate(spike_slab.NOISE_LEVELS):
                K = 100.0 + first * np.outer(X[:, 0], X[:, 0]) + second * np.outer(X[:, 1], X[:, 1])
                K = K + np.diag(sd**2 + known**2)
                z = y - y.mean()
                evidence = -0.5 * np.linalg.slogdet(K)[1] - 0.5 * z @ np.linalg.solve(K, z)
                prior = np.log(0.3 if first else 0.7) + np.log(0.3 if second else 0.7)
                weights.append((first, second, evidence + prior + spike_slab._LOG_NOISE_PRIOR[level]))
    p = np.exp([w - max(w for *_, w in weights) for *_, w in weights])
    p /= p.sum()
    wanted = [sum(p[i] for i, state in enumerate(weights) if state[j]) for j in (0, 1)]
    assert drawn.inclusion == pytest.approx(wanted, abs=0.08)


def test_noise_alone_selects_nothing() -> None:
    rng = np.random.default_rng(3)
    X = rng.choice([-1.0, 1.0], (20, 60))
    drawn = select_groups(0.05 * rng.standard_normal(20), [Group(0.2 * X[:, [j]], 0.02) for j in range(60)], rng=rng)
    assert drawn.inclusion.max() < 0.5


def test_without_groups_only_the_intercept_is_drawn() -> None:
    rng = np.random.default_rng(4)
    drawn = select_groups(np.array([1.0, 1.1, 0.9]), [], rng=rng)
    assert drawn.coefficients == ()
    assert drawn.intercepts.mean() == pytest.approx(1.0, abs=0.05)


def test_a_single_row_is_no_problem() -> None:
    rng = np.random.default_rng(5)
    drawn = select_groups(np.array([0.4]), [Group(np.ones((1, 1)), 0.1)], rng=rng)
    assert np.isfinite(drawn.intercepts).all()


def test_rows_that_are_off_by_themselves_widen_nothing() -> None:
    rng = np.random.default_rng(6)
    X = rng.choice([-1.0, 1.0], (20, 10))
    y = 1.0 + 0.2 * X[:, 3] + 0.03 * rng.standard_normal(20)
    y[[2, 8, 11]] += (2.0, -1.5, 0.7)
    drawn = select_groups(y, [Group(0.2 * X[:, [j]], 0.05) for j in range(10)], rng=rng, astray=0.1)
    assert set(np.flatnonzero(drawn.inclusion > 0.5)) == {3}
    assert np.median(drawn.noise) < 0.06
    assert set(np.flatnonzero(np.mean(drawn.astray != 0.0, axis=0) > 0.5)) == {2, 8, 11}
    assert drawn.astray.mean(axis=0)[[2, 8, 11]] == pytest.approx([2.0, -1.5, 0.7], abs=0.1)
    assert drawn.intercepts.mean() == pytest.approx(1.0, abs=0.05)


def test_the_share_of_rows_that_are_off_is_learnt() -> None:
    """Four rows and no group leave 16 states; the prior of a state depends on how many rows it holds to be off."""
    y = np.array([0.0, 0.03, 0.4, -0.5])
    drawn = select_groups(y, [], rng=np.random.default_rng(7), astray=0.2)
    states = list(product((0, 1), repeat=4))
    weights = []
    for state in states:
        k = sum(state)
        prior = betaln(1 + k, 4 + 4 - k)  # Beta(1, 4) has the mean 0.2
        z = y - y.mean()
        each = []
        for level, sd in enumerate(spike_slab.NOISE_LEVELS):
            K = 100.0 + np.diag(sd**2 + np.array(state, dtype=float))
            evidence = -0.5 * np.linalg.slogdet(K)[1] - 0.5 * z @ np.linalg.solve(K, z)
            each.append(evidence + spike_slab._LOG_NOISE_PRIOR[level])
        weights.append(prior + logsumexp(each))
    p = np.exp(np.array(weights) - logsumexp(weights))
    assert np.mean(drawn.astray != 0.0, axis=0) == pytest.approx(p @ np.array(states), abs=0.1)
