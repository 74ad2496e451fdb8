"""The forward pass of multivariate adaptive regression splines: which hinges, and where they bend.

Everything is kept orthogonal to what has entered, so a step costs little. Of a candidate column c only
c'c, r'c and its products with the columns that entered are needed. Sums over the rows right of a knot
are running sums along each sorted column of X, so all knots of a parent are judged at once. When a
unit column q enters, every candidate's numbers are corrected by its product with q alone.

Source:
    Friedman, "Multivariate Adaptive Regression Splines", Annals of Statistics 19(1), 1991: algorithm
    2, equations 30 (GCV), 43 and 45 (spans), 52 and 53 (updating).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perfport.data.measurement import FloatArray

__all__ = ["BasisFunction", "Hinge", "evaluate", "gcv", "grow"]

IntArray = NDArray[np.intp]

SPAN_ALPHA = 0.05  # Friedman's chance that a run of noise fools a knot (text after equation 43)
TOLERANCE = 0.01  # smallest 1 - R^2 of a new column on those in the model; keeps knots of one column apart
ROUNDING = 1e-10  # sums of squares of columns scaled to 1 below this are rounding
DEPENDENT = 1e-6  # a column of which less than this length is left is a combination of the others
HOPELESS_GRSQ = -10.0  # GCV this far beyond that of the mean: the rows cannot carry more terms


@dataclass(frozen=True, slots=True)
class Hinge:
    """One factor of a basis function.

    Attributes:
        column: Which column of `X`.
        knot: Where the hinge bends, in the unit of the column; unused when `sign` is 0.
        sign: 1 for max(0, x - knot), -1 for max(0, knot - x), 0 for x itself.
    """

    column: int
    knot: float
    sign: int

    def __call__(self, X: FloatArray) -> FloatArray:
        """Return the factor's value in every row of `X`, shape (n,)."""
        x = X[:, self.column]
        return x if self.sign == 0 else np.maximum(0.0, self.sign * (x - self.knot))

    def text(self, names: Sequence[str]) -> str:
        """Return the factor as it is written in a formula."""
        name = names[self.column]
        if self.sign == 0:
            return name
        # All digits: a knot is a level, and neighbours such as 1300031000 and 1300032000 Hz differ late.
        knot = repr(float(abs(self.knot))).removesuffix(".0")
        if self.sign > 0:
            return f"max(0, {name} {'-' if self.knot >= 0 else '+'} {knot})"
        return f"max(0, {'' if self.knot >= 0 else '-'}{knot} - {name})"


BasisFunction = tuple[Hinge, ...]
"""A product of hinges; the empty product is the intercept."""


def evaluate(basis: Sequence[BasisFunction], X: FloatArray) -> FloatArray:
    """Return the basis functions at every row of `X`, shape (n, len(basis))."""
    B = np.ones((len(X), len(basis)))
    for column, function in enumerate(basis):
        for hinge in function:
            B[:, column] *= hinge(X)
    return B


def gcv(rss: FloatArray, n_rows: int, n_terms: IntArray, penalty: float) -> FloatArray:
    """Return the generalised cross-validation of models with `n_terms` functions, intercept included.

    A pair of hinges shares one knot, so there are (n_terms - 1) / 2 knots, each of which costs `penalty`
    parameters beside the coefficients (Friedman 1991, equations 30 and 32).

    Returns:
        rss / n / (1 - parameters / n)^2; infinite when there are as many parameters as rows.
    """
    parameters = n_terms + penalty * (n_terms - 1) / 2.0
    free = np.maximum(1.0 - parameters / n_rows, 0.0)
    gcv: FloatArray = np.full(len(rss), np.inf)
    np.divide(rss / n_rows, free**2, out=gcv, where=free > 0)
    return gcv


def grow(
    X: FloatArray,
    y: FloatArray,
    *,
    degree: int,
    max_terms: int,
    penalty: float,
    threshold: float,
    minspan: int | None,
    endspan: int | None,
) -> list[BasisFunction]:
    """Return basis functions in order of entry, the intercept first.

    Args:
        X: Shape (n, d), finite.
        y: Shape (n,), finite.
        degree: Most hinges in a product.
        max_terms: Most basis functions.
        penalty: What a knot costs in GCV, in parameters.
        threshold: Stop when R^2 grows by less, or is nearer to 1 than this.
        minspan: Fewest rows between two knots of a column; None for Friedman's equation 43.
        endspan: Fewest rows beyond a knot; None for Friedman's equation 45.
    """
    forward = _ForwardPass(X, y, penalty, minspan=minspan, endspan=endspan)
    forward.run(degree=degree, max_terms=max_terms, threshold=threshold)
    return forward.basis


class _ForwardPass:
    """The model as it grows: basis functions, their orthonormal columns and the residual."""

    def __init__(
        self, X: FloatArray, y: FloatArray, penalty: float, *, minspan: int | None, endspan: int | None
    ) -> None:
        self.X, self.y, self.penalty = X, y, penalty
        low, high = X.min(axis=0), X.max(axis=0)
        self.low, self.scale = low, np.where(high > low, high - low, 1.0)
        Z = ((X - low) / self.scale).T  # (d, n), between 0 and 1: running sums lose no digits
        self.order = np.argsort(-Z, axis=1, kind="stable")
        self.sorted = np.take_along_axis(Z, self.order, axis=1)
        self.values = np.take_along_axis(X.T, self.order, axis=1)
        self.minspan, self.endspan = minspan, endspan
        self.basis: list[BasisFunction] = [()]
        self.Q: list[FloatArray] = [np.full(len(y), 1.0 / math.sqrt(len(y)))]
        self.residual = y - y.mean()

    def run(self, *, degree: int, max_terms: int, threshold: float) -> None:
        """Add hinges until nothing helps, the terms are used up or the rows cannot carry more."""
        total = float(self.residual @ self.residual)
        parents = [_Parent(self, ())]
        n = len(self.y)
        null_gcv = gcv(np.array([total]), n, np.array([1]), self.penalty)[0]
        # Rounding of the mean leaves a constant response a tiny sum of squares.
        if total <= n * (n * np.finfo(float).eps * np.abs(self.y).max()) ** 2:
            return
        while len(self.basis) + 2 <= max_terms:
            best = max(parents, key=lambda parent: parent.gain)
            if best.gain <= 0:
                return
            functions, columns = best.children()
            if not columns:
                return
            before = float(self.residual @ self.residual)
            residual = self.residual.copy()
            for q in columns:
                residual -= (q @ residual) * q
            after = float(residual @ residual)
            size = np.array([len(self.basis) + len(columns)])
            grsq = 1.0 - gcv(np.array([after]), n, size, self.penalty)[0] / null_gcv
            if before - after < threshold * total or not grsq > HOPELESS_GRSQ:
                return
            for q in columns:
                for parent in parents:
                    parent.enter(q)
            self.residual = residual
            self.Q.extend(columns)
            self.basis.extend(functions)
            parents.extend(_Parent(self, function) for function in functions if len(function) < degree)
            if after < threshold * total:
                return

    def orthonormal(self, column: FloatArray, others: Sequence[FloatArray]) -> FloatArray | None:
        """Return the part of `column` orthogonal to all that entered, of length 1; None if none is left."""
        length = float(np.linalg.norm(column))
        if length == 0:
            return None
        # The second pass removes what rounding left of the first.
        for _ in range(2):
            for q in (*self.Q, *others):
                column = column - (q @ column) * q
        left = float(np.linalg.norm(column))
        return column / left if left > DEPENDENT * length else None


class _Parent:
    """All candidates that multiply one basis function, with their inner products."""

    def __init__(self, forward: _ForwardPass, function: BasisFunction) -> None:
        self.forward, self.function = forward, function
        self.b = evaluate([function], forward.X)[:, 0]
        self.b /= np.abs(self.b).max()
        used = [hinge.column for hinge in function]
        self.column, self.position = self._knots(used)
        self.z = forward.sorted[self.column, self.position]
        squares = self._sums(self.b, powers=3)
        right = [sums[self.column, self.position] for sums in squares]
        self.linear_left = squares[2][:, -1].copy()
        self.hinge_left = right[2] - 2.0 * self.z * right[1] + self.z**2 * right[0]
        self.cross = right[2] - self.z * right[1]
        self.linear_r, self.hinge_r = self._products(forward.residual)
        self._remove(forward.Q[0])
        # Beside the intercept alone: a column's sum of squares around its mean.
        self.linear_least = TOLERANCE * self.linear_left
        self.linear_least[used] = np.inf
        self.hinge_least = np.maximum(TOLERANCE * self.hinge_left, ROUNDING)
        for q in forward.Q[1:]:
            self._remove(q)
        self._choose()

    def enter(self, q: FloatArray) -> None:
        """Account for the unit column `q`, orthogonal to those before it, having entered the model."""
        along = float(q @ self.forward.residual)
        linear, hinge = self._remove(q)
        self.linear_r -= along * linear
        self.hinge_r -= along * hinge
        self._choose()

    def children(self) -> tuple[list[BasisFunction], list[FloatArray]]:
        """Return the functions of the best candidate, and orthonormal columns that span them."""
        forward, column = self.forward, self.best_column
        # Where the parent is, the straight line spans the same from any origin; this one loses no digits.
        line = (forward.X[:, column] - forward.low[column]) / forward.scale[column]
        if self.best_position < 0:
            hinges, spanning = [Hinge(column, 0.0, 0)], [line]
        else:
            knot = float(forward.values[column, self.best_position])
            right, left = Hinge(column, knot, 1), Hinge(column, knot, -1)
            bend = right(forward.X) / forward.scale[column]
            # The pair spans what the straight line and one hinge span. With the line in the model
            # already, the mirror image would add nothing.
            is_new = self.linear_left[column] > self.linear_least[column]
            hinges, spanning = ([right, left], [line, bend]) if is_new else ([right], [bend])
        columns: list[FloatArray] = []
        for factor in spanning:
            q = forward.orthonormal(self.b * factor, columns)
            if q is None:
                return [], []
            columns.append(q)
        return [(*self.function, hinge) for hinge in hinges], columns

    def _knots(self, used: list[int]) -> tuple[IntArray, IntArray]:
        """Return column and sorted position of every legal knot."""
        forward = self.forward
        d = len(forward.sorted)
        active = self.b[forward.order] != 0  # (d, n)
        n_active = int(np.count_nonzero(self.b))
        # Friedman 1991, equations 43 and 45; d columns, n_active rows where the parent is not zero.
        runs = -math.log2(-math.log1p(-SPAN_ALPHA) / (d * n_active)) / 2.5
        minspan = max(1, int(runs)) if forward.minspan is None else forward.minspan
        endspan = int(3.0 - math.log2(SPAN_ALPHA / d)) if forward.endspan is None else forward.endspan
        count = np.cumsum(active, axis=1) - 1  # from the largest value down, 0 for the first
        first, last = endspan + 1, n_active - endspan - 1
        start = first + (max(0, last - first) % minspan) // 2  # what does not fill a span is shared by both ends
        legal = active & (count >= start) & (count <= last) & ((count - start) % minspan == 0)
        # A knot at the smallest value is the straight line, one at the largest is nothing.
        legal &= (forward.sorted > forward.sorted[:, -1:]) & (forward.sorted < forward.sorted[:, :1])
        legal[used] = False
        column, position = np.nonzero(legal)
        return column, position

    def _sums(self, w: FloatArray, *, powers: int) -> list[FloatArray]:
        """Return running sums of b w, b w z, ... from the largest z down, each shape (d, n)."""
        forward = self.forward
        weights = (self.b * w)[forward.order]
        sums = []
        for power in range(powers):
            if power:
                weights = weights * forward.sorted
            sums.append(np.cumsum(weights, axis=1))
        return sums

    def _products(self, w: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the inner products of `w` with the linear and the hinge candidates."""
        zeroth, first = self._sums(w, powers=2)
        where = (self.column, self.position)
        return first[:, -1].copy(), first[where] - self.z * zeroth[where]

    def _remove(self, q: FloatArray) -> tuple[FloatArray, FloatArray]:
        linear, hinge = self._products(q)
        self.linear_left -= linear**2
        self.hinge_left -= hinge**2
        self.cross -= linear[self.column] * hinge
        return linear, hinge

    def _choose(self) -> None:
        """Find the candidate that lowers the residual sum of squares most."""
        free = self.linear_left > self.linear_least
        left = np.where(free, self.linear_left, 1.0)
        linear_gain = np.where(free, self.linear_r**2 / left, 0.0)
        # The hinge beside its own straight line, unless that is in the model already.
        slope = np.where(free, 1.0 / left, 0.0)[self.column] * self.cross
        hinge_left = self.hinge_left - slope * self.cross
        hinge_r = self.hinge_r - slope * self.linear_r[self.column]
        bends = hinge_left > self.hinge_least
        extra = np.where(bends, hinge_r**2 / np.where(bends, hinge_left, 1.0), 0.0)
        gain = linear_gain[self.column] + extra
        line = int(np.argmax(linear_gain))
        self.gain, self.best_column, self.best_position = float(linear_gain[line]), line, -1
        if len(gain):
            knot = int(np.argmax(gain))
            if gain[knot] > self.gain * (1 + 1e-9):
                self.gain = float(gain[knot])
                self.best_column, self.best_position = int(self.column[knot]), int(self.position[knot])
