"""Multivariate adaptive regression splines: a readable sum of products of hinges.

The forward pass adds mirrored pairs of hinges, max(0, x - t) and max(0, t - x), each times a basis
function that is already there, wherever the residual sum of squares falls most. The backward pass
then drops the functions that generalised cross-validation does not miss. What is left can be read.

Example:
    >>> import numpy as np
    >>> x = np.linspace(0.0, 4.0, 81)
    >>> model = MARS().fit(x[:, None], 1.0 + 2.0 * np.maximum(0.0, x - 3.0))
    >>> model.formula(["threads"])
    '1 + 2*max(0, threads - 3)'

Source:
    Friedman, "Multivariate Adaptive Regression Splines", Annals of Statistics 19(1), 1991: algorithms
    2 and 3, equations 30 (GCV), 43 and 45 (spans). Defaults and stopping rules are those of the R
    package earth (Milborrow), whose printed results the tests reproduce.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import lstsq, qr
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from perfport.data.measurement import FloatArray
from perfport.errors import UsageError
from perfport.model.mars_growth import BasisFunction, Hinge, evaluate, gcv, grow

__all__ = ["MARS", "BasisFunction", "Hinge", "best_subsets"]

IntArray = NDArray[np.intp]


class MARS(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Regression by multivariate adaptive splines, with scikit-learn's conventions.

    Args:
        degree: Largest number of hinges in one product: 1 is additive, 2 allows pairwise interactions.
        max_terms: Most basis functions of the forward pass, intercept included; None for
            min(200, max(20, 2 d)) + 1 with d columns.
        penalty: What a knot costs in GCV, in parameters; None for 2 (additive) or 3 (with interactions).
        threshold: The forward pass ends when R^2 grows by less.
        minspan: Fewest rows between two knots; None for Friedman's equation 43.
        endspan: Fewest rows between a knot and either end; None for Friedman's equation 45. With
            few rows no knot is legal and only straight lines remain.
        prune: Whether the backward pass is run.

    Attributes:
        basis_: The basis functions, intercept first.
        coefficients_: Their coefficients, shape (len(basis_),).
        rss_: Residual sum of squares over the fitted rows.
        gcv_: Generalised cross-validation: estimate of the mean squared error of new rows; infinite
            when the rows cannot carry the terms.
        r2_: Share of the variance explained.
        gr2_: 1 - gcv / gcv of the mean alone, an estimate of R^2 on new rows.
        forward_basis_: All basis functions of the forward pass, in order of entry.
        subset_rss_: Residual sum of squares of the best subset found of each size 1, 2, ...
        subset_gcv_: Their GCV.
        n_features_in_: Number of columns.
    """

    def __init__(
        self,
        degree: int = 1,
        *,
        max_terms: int | None = None,
        penalty: float | None = None,
        threshold: float = 1e-3,
        minspan: int | None = None,
        endspan: int | None = None,
        prune: bool = True,
    ) -> None:
        self.degree = degree
        self.max_terms = max_terms
        self.penalty = penalty
        self.threshold = threshold
        self.minspan = minspan
        self.endspan = endspan
        self.prune = prune

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from `X`, shape (n, d), and `y`, shape (n,), both finite.

        Raises:
            UsageError: If an argument of the constructor is out of range.
            ValueError: If `X` or `y` has a wrong shape or a number that is not finite.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        X, y = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        self._check_arguments()
        penalty = self._penalty()
        self.forward_basis_ = tuple(
            grow(
                X,
                y,
                degree=self.degree,
                max_terms=self.max_terms or min(200, max(20, 2 * X.shape[1])) + 1,
                penalty=penalty,
                threshold=self.threshold,
                minspan=self.minspan,
                endspan=self.endspan,
            )
        )
        B = evaluate(self.forward_basis_, X)
        subsets, self.subset_rss_ = best_subsets(B, y)
        sizes = np.arange(1, len(subsets) + 1)
        self.subset_gcv_ = gcv(self.subset_rss_, len(y), sizes, penalty)
        chosen = int(np.argmin(self.subset_gcv_)) if self.prune else len(subsets) - 1
        self.basis_ = tuple(self.forward_basis_[term] for term in subsets[chosen])
        self.coefficients_ = lstsq(B[:, subsets[chosen]], y)[0]
        self.rss_ = float(np.sum((y - B[:, subsets[chosen]] @ self.coefficients_) ** 2))
        self.gcv_ = float(gcv(np.array([self.rss_]), len(y), np.array([chosen + 1]), penalty)[0])
        self.r2_ = 1.0 - self.rss_ / float(self.subset_rss_[0]) if chosen else 0.0
        self.gr2_ = 1.0 - self.gcv_ / float(self.subset_gcv_[0]) if chosen else 0.0
        return self

    def predict(self, X: ArrayLike) -> FloatArray:
        """Return the predicted response of every row, shape (m,); straight lines beyond the data."""
        check_is_fitted(self)
        X = np.asarray(validate_data(self, X, reset=False, dtype=np.float64), dtype=np.float64)
        return np.asarray(evaluate(self.basis_, X) @ self.coefficients_, dtype=np.float64)

    def formula(self, names: Sequence[str] | None = None, *, digits: int = 4) -> str:
        """Return the model as one line of text.

        Args:
            names: A name for each column; x0, x1, ... if not given and `X` had none.
            digits: Significant digits of the coefficients.
        """
        check_is_fitted(self)
        default = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        names = list(default if names is None else names)
        text = f"{self.coefficients_[0]:.{digits}g}"
        for function, coefficient in zip(self.basis_[1:], self.coefficients_[1:], strict=True):
            product = "*".join(hinge.text(names) for hinge in function)
            text += f" {'-' if coefficient < 0 else '+'} {abs(coefficient):.{digits}g}*{product}"
        return text

    def _penalty(self) -> float:
        if self.penalty is not None:
            return self.penalty
        return 3.0 if self.degree > 1 else 2.0

    def _check_arguments(self) -> None:
        for name, value, least in (
            ("degree", self.degree, 1),
            ("max_terms", self.max_terms, 1),
            ("minspan", self.minspan, 1),
            ("endspan", self.endspan, 0),
            ("penalty", self.penalty, 0),
            ("threshold", self.threshold, 0),
        ):
            if value is not None and not value >= least:
                raise UsageError(f"{name} is {value}: it must be {least} or more", argument=name, value=value)


def best_subsets(B: FloatArray, y: FloatArray) -> tuple[list[IntArray], FloatArray]:
    """Return the best subset of the columns of `B` found for every size, and its residual sum of squares.

    Columns leave one at a time, the least missed first (Friedman 1991, algorithm 3); the first column
    stays. As the order of entry is a good path too, the first k columns are taken where they fit better.

    Args:
        B: Basis functions, shape (n, m), the first of them the intercept.
        y: Responses, shape (n,).

    Returns:
        Sorted column numbers for the sizes 1 ... k, and the residual sums of squares, shape (k,), where
        k is m unless columns are linearly dependent.
    """
    scale = np.linalg.norm(B, axis=0)
    Q, R = qr(B / scale, mode="economic")
    z = Q.T @ y
    rest = float(np.sum((y - Q @ z) ** 2))
    keep = np.arange(B.shape[1])
    entered = rest + np.append(np.cumsum(z[::-1] ** 2)[::-1][1:], 0.0)  # of the first 1, 2, ... columns
    subsets: list[IntArray] = []
    rss: list[float] = []
    while len(keep):
        q, r = qr(R[:, keep], mode="economic")
        inverse = np.linalg.inv(r)
        projected = q.T @ z
        coefficients = inverse @ projected
        left = rest + float(np.sum((z - q @ projected) ** 2))
        prefix = entered[len(keep) - 1]
        subsets.append(np.arange(len(keep)) if prefix < left * (1 - 1e-12) else keep)
        rss.append(min(left, float(prefix)))
        # What leaving costs: beta_j^2 / (R'R)^-1_jj.
        cost = coefficients**2 / np.sum(inverse**2, axis=1)
        cost[0] = np.inf
        keep = np.delete(keep, np.argmin(cost)) if len(keep) > 1 else keep[:0]
    return subsets[::-1], np.array(rss[::-1])
