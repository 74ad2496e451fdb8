"""Extremely randomised trees: the regression that finds steps and interactions, and a similarity of configurations.

Source:
    Geurts, Ernst, Wehenkel, "Extremely randomized trees", Machine Learning 63, 2006.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.tree import ExtraTreeRegressor

__all__ = ["Forest", "grow_forest"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.integer[Any]]

MAX_SPLIT_COLUMNS = 40  # tried at a split; with hundreds of columns all of them cost seconds and gain nothing


@dataclass(frozen=True, slots=True)
class Forest:
    """Fitted trees.

    Attributes:
        trees: Of scikit-learn, without the estimators around them.
        importances: Share of the variance each column explains, shape (d,); summing to 1 unless no tree has a split.
        held_out: Prediction of every fitted row from the trees that did not grow on it, shape (n,); not a number for
            rows on which every tree did.
    """

    trees: Sequence[Any]
    importances: FloatArray
    held_out: FloatArray

    def predict(self, X: FloatArray) -> FloatArray:
        """Return the mean prediction for encoded rows, shape (m, d), as shape (m,)."""
        inputs = _as_inputs(X)
        return np.asarray(np.mean([tree.predict(inputs)[:, 0] for tree in self.trees], axis=0))

    def leaves(self, X: FloatArray) -> IntArray:
        """Return the leaf of every row in every tree, shape (m, n_trees)."""
        inputs = _as_inputs(X)
        # OPTIM: in the smallest type that holds them: they are compared all with all.
        dtype = np.min_scalar_type(max(tree.node_count for tree in self.trees))
        return np.stack([tree.apply(inputs) for tree in self.trees], axis=1).astype(dtype)


def grow_forest(
    X: FloatArray,
    z: FloatArray,
    n_trees: int,
    *,
    seed: int,
    max_leaves: int | None = None,
    sample_share: float | None = None,
) -> Forest:
    """Grow trees on encoded rows, shape (n, d), and their responses, shape (n,).

    Args:
        X: The rows, n at least 1.
        z: The responses.
        n_trees: How many.
        seed: Of all randomness.
        max_leaves: Of a tree; None for one leaf per distinct row.
        sample_share: Of n, drawn with replacement for every tree; None for all rows in every tree.
    """
    inputs, n = _as_inputs(X), len(z)
    seeds = np.random.RandomState(seed).randint(2**31 - 1, size=n_trees)
    trees, importances = [], []
    total, count = np.zeros(n), np.zeros(n)
    # OPTIM: one tree after the other. The ensemble of scikit-learn grows the same trees, and spends as long on checks
    # and on copies of its settings, with the interpreter locked, so that other threads cannot work meanwhile.
    with config_context(skip_parameter_validation=True):
        for tree_seed in seeds:
            times = None
            if sample_share is not None:
                drawn = np.random.RandomState(tree_seed).randint(0, n, max(1, round(sample_share * n)))
                times = np.bincount(drawn, minlength=n).astype(np.float64)
            estimator = ExtraTreeRegressor(
                max_features=min(X.shape[1], MAX_SPLIT_COLUMNS), max_leaf_nodes=max_leaves, random_state=tree_seed
            ).fit(inputs, z, sample_weight=times, check_input=False)
            tree = estimator.tree_
            trees.append(tree)
            if tree.node_count > 1:
                importances.append(estimator.feature_importances_)
            if times is not None:
                outside = times == 0
                total[outside] += tree.predict(inputs[outside])[:, 0]
                count += outside
    held_out = np.divide(total, count, out=np.full(n, np.nan), where=count > 0)
    return Forest(trees, np.mean(importances, axis=0) if importances else np.zeros(X.shape[1]), held_out)


def _as_inputs(X: FloatArray) -> NDArray[np.float32]:
    # OPTIM: trees asked directly need their own type of number; that skips a check of every tree.
    return np.ascontiguousarray(X, dtype=np.float32)
