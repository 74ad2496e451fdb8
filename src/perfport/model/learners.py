"""Learners by name, and the performance model a learner becomes when it is given a dataset.

Responses span decades and their noise is relative, so every learner works on the standardised
logarithm of the response (`LogResponse`), on columns encoded as `perfport.space.encoding` says.

Example:
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"threads": [1, 2, 3, 4] * 5, "time_s": [1.0, 0.5, 0.4, 0.3] * 5})
    >>> model = fit_performance_model(Dataset.from_frame(frame, properties=["time_s"]), "time_s", "forest", rng=rng)
    >>> bool(model.predict(pd.DataFrame({"threads": [1]}))[0] > 0.8)
    True
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Property
from perfport.model.base import Learner
from perfport.model.gp import ArdKernel, ArdPrior, LogNormal, condition, fit_ard
from perfport.model.mars import MARS
from perfport.model.rows import usable_rows
from perfport.model.sparse_network import SparseNetwork
from perfport.model.stepwise import Criterion, least_squares, select_columns
from perfport.model.threads import one_thread
from perfport.plugins import resolve
from perfport.space.encoding import Encoder
from perfport.space.reading import read_configurations

__all__ = [
    "BUILTIN",
    "GaussianProcess",
    "LearnedModel",
    "LogResponse",
    "StepwiseRegression",
    "fit_performance_model",
    "make_learner",
]

# A plug-in is a function of `random_state` that returns a learner, as those below.
BUILTIN: Mapping[str, str] = {
    name: f"perfport.model.learners:{name}"
    for name in (
        "boosting",
        "extra_trees",
        "forest",
        "gp",
        "mars",
        "neural_network",
        "ridge",
        "sparse_network",
        "stepwise",
        "svr",
        "tree",
    )
}

# Trees and networks break ties by the last bit, which depends on the unit of the response and on the
# order in which means were summed. Standardised numbers mean nothing beyond this many decimals.
_DECIMALS = 10


def tree(random_state: int) -> Learner:
    """Return a regression tree."""
    return DecisionTreeRegressor(random_state=random_state)  # type: ignore[no-any-return]  # sklearn ships no types


def forest(random_state: int) -> Learner:
    """Return a random forest of 100 trees (Breiman 2001)."""
    return RandomForestRegressor(100, random_state=random_state)  # type: ignore[no-any-return]  # sklearn ships no types


def extra_trees(random_state: int) -> Learner:
    """Return 100 extremely randomised trees (Geurts et al. 2006): smoother than a forest, as no row is left out."""
    return ExtraTreesRegressor(100, random_state=random_state)  # type: ignore[no-any-return]  # sklearn ships no types


def boosting(random_state: int) -> Learner:
    """Return gradient-boosted trees (Friedman 2001), slow and shallow enough for small tables."""
    return GradientBoostingRegressor(  # type: ignore[no-any-return]  # sklearn ships no types
        n_estimators=300, learning_rate=0.05, max_depth=4, random_state=random_state
    )


def svr(random_state: int) -> Learner:
    """Return support vector regression with a radial kernel; its tube is 2 % of the response's deviation."""
    return SVR(C=10.0, epsilon=0.02)  # type: ignore[no-any-return]  # sklearn ships no types


def neural_network(random_state: int) -> Learner:
    """Return a small multi-layer perceptron, trained to the end: tables of this size need no batches."""
    return MLPRegressor(hidden_layer_sizes=(32, 32), solver="lbfgs", alpha=0.1, max_iter=500, random_state=random_state)  # type: ignore[no-any-return]  # sklearn ships no types


def sparse_network(random_state: int) -> Learner:
    """Return a deep network that is sparse in its first layer (Ha and Zhang 2019, DeepPerf); needs PyTorch."""
    return SparseNetwork(random_state=random_state)


def ridge(random_state: int) -> Learner:
    """Return a linear model of the encoded columns, shrunk as if one more row said that nothing matters."""
    return Ridge(alpha=1.0)  # type: ignore[no-any-return]  # sklearn ships no types


def stepwise(random_state: int) -> Learner:
    """Return stepwise regression on columns and their products."""
    return StepwiseRegression()


def gp(random_state: int) -> Learner:
    """Return a Gaussian process that learns how much every column matters."""
    return GaussianProcess(random_state=random_state)


def mars(random_state: int) -> Learner:
    """Return multivariate adaptive regression splines with interactions of two columns (Friedman 1991)."""
    return MARS(degree=2)


def make_learner(learner: str | Learner, rng: np.random.Generator) -> Learner:
    """Return a fresh learner.

    Args:
        learner: A name, or a learner to clone; it is not changed itself.
        rng: Seeds it, unless it was given its own `random_state`.

    Raises:
        UnknownPluginError: If no built-in and no plug-in has the name.
    """
    seed = int(rng.integers(2**31 - 1))
    if isinstance(learner, str):
        made: Learner = resolve("learner", learner, BUILTIN)(seed)
        return made
    fresh: Any = clone(learner)
    unset = {
        name: seed
        for name, value in fresh.get_params().items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    fresh.set_params(**unset)
    return fresh  # type: ignore[no-any-return]  # sklearn ships no types


class LogResponse(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Fits a learner to the standardised logarithm of a positive response.

    Attributes:
        learner: What is fitted; a clone of it, the argument stays as it is.
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    def fit(self, X: FloatArray, y: FloatArray) -> Self:
        """Learn from `X`, shape (n, d), and positive `y`, shape (n,)."""
        z = np.log(y)
        reach = 2.0 * float(np.ptp(z)) + 2.0
        self.limits_ = float(z.min()) - reach, float(z.max()) + reach
        self.mean_ = float(z.mean())
        # Responses that are all equal, up to noise far below any reading's: nothing to scale.
        self.scale_ = float(z.std()) if z.std() > 1e-9 else 1.0
        self.learner_ = clone(self.learner)
        with one_thread(), warnings.catch_warnings():
            # A network that has not quite converged predicts well enough, and the user can do nothing about it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.learner_.fit(X, np.round((z - self.mean_) / self.scale_, _DECIMALS))
        return self

    def predict(self, X: FloatArray) -> FloatArray:
        """Return predicted responses, shape (m,), positive, finite and not beyond belief.

        A line fitted to a few rows may predict nanoseconds or years. The logarithm leaves the range seen
        by at most twice its width and 2.
        """
        with one_thread():
            z = self.mean_ + self.scale_ * np.asarray(self.learner_.predict(X), dtype=np.float64)
        return np.asarray(np.exp(np.clip(z, *self.limits_)))


class StepwiseRegression(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Least squares on columns, their squares and the products of pairs of them, chosen stepwise.

    The readable model of the same kind, with options in their own units, is
    `perfport.model.influence.PerformanceInfluenceModel`.

    Attributes:
        criterion: What a column must earn; see `perfport.model.stepwise.select_columns`.
        max_crossed: Squares and products are made of this many columns, those most correlated with the response.
    """

    def __init__(self, criterion: Criterion = "ebic", max_crossed: int = 32) -> None:
        self.criterion = criterion
        self.max_crossed = max_crossed

    def fit(self, X: FloatArray, y: FloatArray) -> Self:
        """Learn from `X`, shape (n, d), and `y`, shape (n,)."""
        centred = X - X.mean(axis=0)
        length = np.linalg.norm(centred, axis=0)
        strength = np.abs(centred.T @ (y - y.mean())) / np.where(length > 0, length, np.inf)
        crossed = sorted(np.argsort(-strength, kind="stable")[: self.max_crossed].tolist())
        self.terms_: list[tuple[int, ...]] = [(i,) for i in range(X.shape[1])] + list(
            combinations_with_replacement(crossed, 2)
        )
        columns = select_columns(self._products(X), y, criterion=self.criterion)
        self.terms_ = [self.terms_[i] for i in columns]
        self.intercept_, self.coef_ = least_squares(self._products(X), y)
        return self

    def predict(self, X: FloatArray) -> FloatArray:
        """Return the sum of the chosen columns, shape (m,)."""
        return np.asarray(self.intercept_ + self._products(X) @ self.coef_)

    def _products(self, X: FloatArray) -> FloatArray:
        columns = [X[:, term].prod(axis=1) for term in self.terms_]
        return np.column_stack(columns) if columns else np.empty((len(X), 0))


class GaussianProcess(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Exact Gaussian process, squared-exponential with one length a column, plus a linear part.

    Attributes:
        max_fit: Hyper-parameters are learnt on at most this many rows, drawn at random.
        max_rows: Predictions rest on at most this many rows; the cost grows with the cube.
        random_state: Seeds the draws.
    """

    def __init__(self, max_fit: int = 350, max_rows: int = 1500, random_state: int | None = None) -> None:
        self.max_fit = max_fit
        self.max_rows = max_rows
        self.random_state = random_state

    def fit(self, X: FloatArray, y: FloatArray) -> Self:
        """Learn from `X`, shape (n, d), columns standardised, and `y`, shape (n,)."""
        order = np.random.default_rng(self.random_state).permutation(len(y))
        self.X_, kept = X[order[: self.max_rows]], y[order[: self.max_rows]]
        self.mean_ = float(kept.mean())
        scale = float(kept.std())
        self.scale_ = scale if scale > 0 else 1.0
        z = (kept - self.mean_) / self.scale_
        d = X.shape[1]
        # Weak priors on standardised data: amplitudes near 1, little noise, lengths that grow with the
        # number of columns, as distances do.
        prior = ArdPrior(
            amplitude=LogNormal(1.0, 1.5),
            noise=LogNormal(0.01, 2.0),
            log_weight=np.full(d, np.log(0.3 / np.sqrt(d))),
            weight_sd=np.full(d, 1.5),
            linear=LogNormal(0.3, 1.5),
        )
        self.kernel_: ArdKernel = fit_ard(self.X_[: self.max_fit], z[: self.max_fit], prior)
        self.alpha_ = condition(self.kernel_.gram(self.X_), z).alpha
        return self

    def predict(self, X: FloatArray) -> FloatArray:
        """Return the posterior mean, shape (m,)."""
        return np.asarray(self.mean_ + self.scale_ * (self.kernel_.cross(X, self.X_) @ self.alpha_))


@dataclass(frozen=True, eq=False)
class LearnedModel:
    """A performance model made of an encoder and a fitted learner.

    Attributes:
        property: What is predicted.
        encoder: From configurations to columns.
        learner: From columns to responses in the unit of the property.
        notes: Rows dropped.
    """

    property: Property
    encoder: Encoder
    learner: Learner
    notes: tuple[str, ...] = ()

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the predicted response, shape (m,), positive, in the unit of the property."""
        configurations = read_configurations(self.encoder.options, configurations)
        if not len(configurations):
            return np.empty(0)
        return np.asarray(self.learner.predict(_encoded(self.encoder, configurations)), dtype=np.float64)


def fit_performance_model(
    dataset: Dataset,
    property: str,
    learner: str | Learner = "forest",
    *,
    rng: np.random.Generator,
    encoder: Encoder | None = None,
) -> LearnedModel:
    """Fit a learner to a dataset.

    Args:
        dataset: Measured rows, in any order; those whose response is not positive are dropped, with a note.
        property: Name of the response.
        learner: A name, or a learner to clone.
        rng: Source of all randomness.
        encoder: How to turn configurations into columns; by default one fitted on the rows.

    Raises:
        UsageError: If the dataset has no such property.
        NotEnoughDataError: If no row has a positive response.
        UnknownPluginError: If the learner's name is not known.
    """
    rows, notes = usable_rows(dataset, property)
    encoder = encoder or Encoder(dataset.space, fitted_on=rows.configurations)
    X, y = _encoded(encoder, rows.configurations), rows.response(property)
    # A table has no order, but a bootstrap sees one: sorted rows make the same table the same model.
    order = np.lexsort((y, *X.T))
    fitted = LogResponse(make_learner(learner, rng)).fit(X[order], y[order])
    return LearnedModel(rows.properties[property], encoder, fitted, tuple(notes))


def _encoded(encoder: Encoder, configurations: pd.DataFrame) -> FloatArray:
    """Return the columns a learner sees: those that carry an option by themselves.

    The second column of a numeric option, what is left of its reciprocal or square, is made from the
    rows; of 5 to 20 rows it is mostly chance, and a learner bends by itself (over 66 published
    environments 40 instead of 62 % error for the process from 5 rows, 16 instead of 18 from 20).
    """
    kept = [at for at, column in enumerate(encoder.columns) if column.primary or column.kind in ("active", "none")]
    return np.round(encoder.transform(configurations)[:, kept], _DECIMALS)
