from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfport.data.measurement import FloatArray
from perfport.errors import UsageError
from perfport.model.stepwise import Criterion, Heredity, least_squares, select_columns


def planted(
    seed: int, *, n: int = 100, p: int = 150, k: int = 6, noise: float = 0.0
) -> tuple[FloatArray, FloatArray, set[int]]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    columns = rng.choice(p, k, replace=False)
    b = rng.choice([-1, 1], k) * rng.uniform(0.5, 2, k)
    return X, 3.0 + X[:, columns] @ b + noise * rng.normal(size=n), set(columns.tolist())


def ebic(X: FloatArray, y: FloatArray, columns: set[int]) -> float:
    """The criterion written out, from a plain refit."""
    n, k = len(y), len(columns)
    A = np.column_stack([np.ones(n), X[:, sorted(columns)]])
    rss = float(np.sum((y - A @ np.linalg.lstsq(A, y, rcond=None)[0]) ** 2))
    total = float(np.sum((y - y.mean()) ** 2))
    return float((n - 2 - k / 2) * np.log(rss / total) + k * np.log(n) + 2 * k * np.log(X.shape[1]))


@pytest.mark.parametrize("criterion", ["aic", "bic", "ebic", "cv"])
@pytest.mark.parametrize("seed", range(3))
def test_planted_columns_are_found_exactly_without_noise(criterion: Criterion, seed: int) -> None:
    X, y, columns = planted(seed)
    assert set(select_columns(X, y, criterion=criterion)) == columns


@pytest.mark.parametrize("criterion", ["ebic", "cv"])
@pytest.mark.parametrize("seed", range(5))
def test_planted_columns_are_found_exactly_under_noise(criterion: Criterion, seed: int) -> None:
    X, y, columns = planted(seed, noise=0.2)
    assert set(select_columns(X, y, criterion=criterion)) == columns


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_single_addition_removal_or_swap_improves_the_result(seed: int) -> None:
    X, y, _ = planted(seed, n=30, p=9, k=3, noise=1.0)
    chosen = set(select_columns(X, y))
    best = ebic(X, y, chosen)
    rest = set(range(9)) - chosen
    neighbours = (
        [chosen | {i} for i in rest]
        + [chosen - {j} for j in chosen]
        + [chosen - {j} | {i} for i in rest for j in chosen]
    )
    assert min(ebic(X, y, other) for other in neighbours) >= best - 1e-6


def test_scale_and_offset_of_a_column_do_not_matter() -> None:
    X, y, columns = planted(0)
    scales = 10.0 ** np.random.default_rng(1).uniform(-9, 9, X.shape[1])
    assert set(select_columns(X * scales + scales, y)) == columns


def test_the_right_form_of_an_option_replaces_the_one_that_looked_best_first() -> None:
    x = np.linspace(1, 4, 24)
    X = np.column_stack([x, np.log(x), 1 / x, 1 / x**2])
    y = 1 + 2 / x + 0.5 * x
    assert set(select_columns(X, y)) == {0, 2}


def test_forward_selection_only_adds() -> None:
    X = np.array([[1.0, 0, 1], [0, 1, 1], [1, 1, 2.1], [0, 0, 0], [2, 1, 3], [1, 2, 3], [3, 1, 4.1], [1, 4, 5]])
    y = X[:, 0] + X[:, 1]
    assert 2 in select_columns(X, y, direction="forward")
    assert set(select_columns(X, y, direction="stepwise")) == {0, 1}


def test_a_copy_of_a_column_is_not_taken_twice() -> None:
    X, y, columns = planted(2, noise=0.3)
    chosen = select_columns(np.hstack([X, 2 * X]), y, criterion="aic", max_columns=12)
    assert len({i % X.shape[1] for i in chosen}) == len(chosen)
    assert columns <= {i % X.shape[1] for i in chosen}


@pytest.mark.parametrize(("kind", "expected"), [("strong", {0, 1, 2}), ("weak", {0, 2})])
def test_heredity_brings_main_effects_with_an_interaction(kind: Literal["weak", "strong"], expected: set[int]) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40))
    X = np.column_stack([a, b, a * b])
    y = a + 0.1 * b + 3 * a * b if kind == "strong" else a + 3 * a * b
    incidence = np.array([[True, False], [False, True], [True, True]])
    assert set(select_columns(X, y, heredity=Heredity(incidence, kind))) == expected
    # The interaction alone explains nearly everything, but may not stand alone.
    alone = select_columns(X, y, heredity=Heredity(incidence, "strong"), max_columns=1)
    assert alone in ([0], [1])


@pytest.mark.parametrize("criterion", ["aic", "bic", "ebic", "cv"])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_few_rows_and_constant_data_end_in_the_intercept_alone(criterion: Criterion, n: int) -> None:
    X = np.arange(3.0 * n).reshape(n, 3)
    assert select_columns(X, np.full(n, 7.0), criterion=criterion) == []
    assert select_columns(np.ones((n, 3)), np.arange(float(n)), criterion=criterion) == []
    assert select_columns(np.empty((n, 0)), np.arange(float(n)), criterion=criterion) == []


def test_never_more_columns_than_asked_for() -> None:
    X, y, _ = planted(0)
    assert len(select_columns(X, y, max_columns=2)) == 2
    assert select_columns(X, y, max_columns=0) == []
    assert len(select_columns(*planted(1, n=20, noise=1.0)[:2], criterion="bic")) <= 10


def test_least_squares_survives_columns_of_very_different_size() -> None:
    rng = np.random.default_rng(0)
    clock, switch = rng.uniform(1e8, 2e9, 50), rng.integers(0, 2, 50)
    intercept, b = least_squares(
        np.column_stack([clock, switch, 1 / clock]), 2 + 3e-9 * clock + 4 * switch + 5e8 / clock
    )
    assert [intercept, *b] == pytest.approx([2, 3e-9, 4, 5e8], rel=1e-9)


@pytest.mark.parametrize(
    ("X", "y", "settings", "says"),
    [
        (np.ones((3, 2)), np.ones(4), {}, "shapes"),
        (np.ones((0, 2)), np.ones(0), {}, "n >= 1"),
        (np.full((3, 2), np.nan), np.ones(3), {}, "finite"),
        (np.ones((3, 2)), np.ones(3), {"criterion": "r2"}, "known are aic, bic, ebic, cv"),
        (np.ones((3, 2)), np.ones(3), {"direction": "up"}, "known are forward, stepwise"),
    ],
)
def test_what_cannot_be_selected_from_is_refused(
    X: FloatArray, y: FloatArray, settings: dict[str, str], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        select_columns(X, y, **settings)  # type: ignore[arg-type]  # wrong on purpose
