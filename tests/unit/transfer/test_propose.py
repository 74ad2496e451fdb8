from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.data.dataset import Dataset
from perfport.errors import UsageError
from perfport.transfer.api import propose, transfer
from perfport.transfer.propose import DESIGN_NOISE, a_optimal

SOURCE = dataset(noisy(log_time(FRAME), 1), "source")


def variance_left(K: np.ndarray, rows: tuple[int, ...]) -> float:
    chosen = list(rows)
    inner = K[np.ix_(chosen, chosen)] + DESIGN_NOISE * np.eye(len(chosen))
    return float(np.trace(K - K[:, chosen] @ np.linalg.solve(inner, K[chosen])))


def test_each_row_is_the_one_that_lowers_the_variance_most() -> None:
    X = np.random.default_rng(0).normal(size=(7, 3))
    K = X @ X.T + 0.1 * np.eye(7)

    class NoTies:
        def uniform(self, low: float, high: float, size: int) -> np.ndarray:
            return np.ones(size)

    chosen = a_optimal([K.astype(np.float32)], 3, rng=NoTies())  # type: ignore[arg-type]
    for step in range(3):
        before = tuple(chosen[:step])
        left = {row: variance_left(K, (*before, row)) for row in range(7) if row not in before}
        assert chosen[step] == min(left, key=lambda row: left[row])
    # Greedy choice takes away nearly as much as the best of all choices.
    best = min(variance_left(K, rows) for rows in combinations(range(7), 3))
    assert np.trace(K) - variance_left(K, tuple(chosen)) >= 0.9 * (np.trace(K) - best)


def test_rows_serve_every_belief() -> None:
    X = np.random.default_rng(1).normal(size=(30, 16))

    def beliefs() -> list[np.ndarray]:
        return [(part @ part.T).astype(np.float32) for part in (X[:, :8], X[:, 8:])]

    def chosen(covariances: list[np.ndarray]) -> list[int]:
        return [int(row) for row in a_optimal(covariances, 12, rng=np.random.default_rng(0))]

    def left(rows: list[int], K: np.ndarray) -> float:
        return variance_left(K, tuple(rows)) / float(np.trace(K))

    both = chosen(beliefs())
    for own, other in (beliefs(), beliefs()[::-1]):
        alone = chosen([own.copy()])
        assert left(alone, own) < left(both, own) < left(chosen([other.copy()]), own)
        assert left(both, other) < left(alone, other)


@pytest.mark.parametrize("sources", [[], [SOURCE]])
@pytest.mark.parametrize("budget", [1, 20, len(FRAME)])
def test_proposals_are_distinct_and_repeatable(sources: list[object], budget: int) -> None:
    arguments = {"sources": sources, "candidates": FRAME, "property": "time_s", "budget": budget, "seed": 3}
    rows = propose(**arguments)  # type: ignore[arg-type]
    assert len(set(rows.tolist())) == budget
    assert rows.min() >= 0
    assert rows.max() < len(FRAME)
    np.testing.assert_array_equal(propose(**arguments), rows)  # type: ignore[arg-type]


@pytest.mark.parametrize("budget", [0, -1, len(FRAME) + 1])
def test_a_budget_that_does_not_fit_is_refused(budget: int) -> None:
    with pytest.raises(UsageError, match="choose 1 to"):
        propose(sources=[], candidates=FRAME, property="time_s", budget=budget)


def test_influential_options_are_varied_and_the_order_of_candidates_does_not_matter() -> None:
    rows = propose(sources=[SOURCE], candidates=FRAME, property="time_s", budget=6)
    chosen = FRAME.iloc[rows]
    assert chosen["clock_hz"].nunique() > 1
    assert chosen["threads"].nunique() > 1
    assert chosen["mode"].nunique() > 1
    shuffle = np.random.default_rng(2).permutation(len(FRAME))
    again = propose(sources=[SOURCE], candidates=FRAME.iloc[shuffle], property="time_s", budget=6)
    assert shuffle[again].tolist() == rows.tolist()


def test_measured_and_failed_rows_are_not_proposed_again() -> None:
    first = propose(sources=[SOURCE], candidates=FRAME, property="time_s", budget=5)
    y = np.exp(log_time(FRAME))
    y[first[0]] = np.nan
    measured = dataset(y, "target").take(first)
    second = propose(sources=[SOURCE], candidates=FRAME, property="time_s", budget=5, measured=measured)
    assert not set(first.tolist()) & set(second.tolist())
    with pytest.raises(UsageError, match="are measured already"):
        propose(sources=[SOURCE], candidates=FRAME.iloc[first], property="time_s", budget=1, measured=measured)


def test_where_the_rows_show_that_no_source_helps_the_options_are_covered() -> None:
    log_y = log_time(FRAME)
    target = dataset(noisy(log_y, 3), "target").take(np.random.default_rng(1).choice(len(FRAME), 12, replace=False))
    unrelated = dataset(np.exp(np.random.default_rng(2).permutation(log_y)), "unrelated")

    def proposed(*sources: Dataset) -> list[int]:
        rows = propose(sources=sources, candidates=FRAME, property="time_s", budget=6, measured=target)
        return [int(row) for row in rows]

    decisions = [transfer(sources=[s], target=target, property="time_s").verdict.decision for s in (unrelated, SOURCE)]
    assert decisions == ["no help", "helped"]
    assert proposed(unrelated) == proposed()
    assert proposed(SOURCE) != proposed()


def test_a_hundred_thousand_candidates_are_no_problem() -> None:
    many = pd.concat([FRAME] * 700, ignore_index=True)
    many["clock_hz"] = np.linspace(4e8, 2e9, len(many))
    rows = propose(sources=[SOURCE], candidates=many, property="time_s", budget=10)
    assert len(set(rows.tolist())) == 10
