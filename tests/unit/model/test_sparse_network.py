"""The sparse network: what its penalty does, how its settings are chosen, and what it says without PyTorch."""

import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.metrics import r2_score

from perfport.errors import MissingPackageError
from perfport.model.learners import make_learner
from perfport.model.sparse_network import LEAST_ROWS, PENALTIES, SparseNetwork

pytest.importorskip("torch", reason="the sparse network needs PyTorch")

Array = NDArray[np.float64]


def two_of_twenty(n: int, seed: int = 0) -> tuple[Array, Array]:
    """Two columns matter, together; eighteen do not."""
    X = np.random.default_rng(seed).standard_normal((n, 20))
    y = np.maximum(X[:, 0], 0.0) + X[:, 1] + 0.8 * X[:, 0] * X[:, 1]
    return X, (y - y.mean()) / y.std()


def small(**settings: int) -> SparseNetwork:
    return SparseNetwork(**({"width": 16, "steps": 400, "search_steps": 200, "random_state": 0} | settings))


@pytest.mark.slow
def test_it_learns_a_product_and_keeps_to_the_columns_that_matter() -> None:
    X, y = two_of_twenty(80)
    model = small(max_depth=2).fit(X, y)
    held_out, expected = two_of_twenty(500, seed=1)
    assert r2_score(expected, model.predict(held_out)) > 0.8
    entering = np.abs(model.weights_[0][0]).sum(axis=(0, 2))
    assert set(np.argsort(entering)[-2:].tolist()) == {0, 1}
    # Eighteen columns of chance together carry less than the weaker one that matters.
    assert np.sort(entering)[:-2].sum() < np.sort(entering)[-2]


def test_settings_are_chosen_where_rows_suffice_and_fixed_where_not() -> None:
    X, y = two_of_twenty(40)
    chosen = small(max_depth=3, steps=50, search_steps=50).fit(X, y)
    assert chosen.depth_ in (2, 3)
    assert chosen.penalty_ in PENALTIES
    few = small().fit(X[: LEAST_ROWS - 1], y[: LEAST_ROWS - 1])
    assert (few.depth_, few.rate_, few.penalty_) == (2, 0.01, 1e-3)


def test_the_seed_decides_everything_and_a_prediction_depends_on_its_row_alone() -> None:
    X, y = two_of_twenty(12)
    settings = {"steps": 40, "search_steps": 20}
    here, there = (small(**settings).fit(X, y).predict(X) for _ in range(2))
    assert here.tolist() == there.tolist()
    assert small(**settings, random_state=1).fit(X, y).predict(X).tolist() != here.tolist()
    model = small(**settings).fit(X, y)
    assert model.predict(X[:1]) == pytest.approx(here[:1], rel=1e-12)


def test_equal_responses_and_a_single_row_leave_their_value() -> None:
    X, _ = two_of_twenty(12)
    for n in (1, 12):
        assert small().fit(X[:n], np.full(n, 0.5)).predict(X).tolist() == [0.5] * 12


@pytest.mark.slow
def test_a_table_larger_than_a_batch_is_learnt_in_batches() -> None:
    X, y = two_of_twenty(900)
    model = small(max_depth=2, steps=200, search_steps=50).fit(X, y)
    assert r2_score(y, model.predict(X)) > 0.85


def test_it_is_a_learner_by_name_and_can_be_cloned() -> None:
    made = make_learner("sparse_network", np.random.default_rng(0))
    assert isinstance(made, SparseNetwork)
    assert clone(made).get_params() == made.get_params()


def test_without_pytorch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'perfport\[torch\]'") as caught:
        small().fit(*two_of_twenty(5))
    assert caught.value.exit_code == 3
