"""The forest: the trees scikit-learn's ensembles would grow, and what is asked of them."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from perfport.transfer.forest import grow_forest

N_TREES = 12
X = np.random.default_rng(0).normal(size=(150, 5))
Z = np.where(X[:, 0] > 0, 1.0, -1.0) + X[:, 1]


@pytest.mark.parametrize("max_leaves", [None, 16])
def test_trees_are_those_of_the_ensemble(max_leaves: int | None) -> None:
    ours = grow_forest(X, Z, N_TREES, seed=3, max_leaves=max_leaves)
    theirs = ExtraTreesRegressor(N_TREES, max_features=5, max_leaf_nodes=max_leaves, random_state=3).fit(X, Z)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-12)
    np.testing.assert_allclose(ours.importances, theirs.feature_importances_, rtol=1e-12)
    np.testing.assert_array_equal(ours.leaves(X[:9]), theirs.apply(X[:9]))


def test_held_out_predictions_come_from_trees_that_missed_the_row() -> None:
    ours = grow_forest(X, Z, N_TREES, seed=3, sample_share=0.8)
    theirs = ExtraTreesRegressor(
        N_TREES, max_features=5, bootstrap=True, max_samples=120, oob_score=True, random_state=3
    ).fit(X, Z)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-12)
    np.testing.assert_allclose(ours.held_out, theirs.oob_prediction_, rtol=1e-12)


def test_a_row_no_tree_missed_has_no_held_out_prediction() -> None:
    forest = grow_forest(np.zeros((1, 2)), np.ones(1), N_TREES, seed=0, sample_share=0.8)
    assert np.isnan(forest.held_out).all()
    np.testing.assert_array_equal(forest.predict(np.zeros((3, 2))), np.ones(3))


def test_a_response_that_does_not_vary_makes_no_column_important() -> None:
    forest = grow_forest(np.arange(20.0).reshape(10, 2), np.full(10, 2.0), N_TREES, seed=0, max_leaves=4)
    np.testing.assert_array_equal(forest.importances, np.zeros(2))
    np.testing.assert_array_equal(forest.predict(np.zeros((1, 2))), [2.0])
