"""Stepwise selection of columns for least squares, all candidates of a step judged at once.

Add the column, drop the column or swap the pair of columns that lowers a criterion most; stop when
nothing does, nor do a few additions in a row. No candidate is ever refitted. With Q an orthonormal
basis of the selected columns, r the residual and Z = X - QQ'X the part of every candidate that the
selected ones do not explain:

    add column i        RSS - (z_i'r)^2 / z_i'z_i
    drop column j       RSS + (d_j'y)^2                    d_j: unit vector of what only column j spans
    swap j for i        RSS + (d_j'y)^2 - (z_i'r + c e)^2 / (z_i'z_i + c^2),   c = d_j'x_i,  e = d_j'y

The swap needs no new decomposition because d_j is orthogonal to every z_i and to r. It is what
repairs the classic fault of forward selection: taking log x first where 1/x was meant.

Source:
    Miller, "Subset Selection in Regression" (2002), chapters 2 and 3 (forward selection, Efroymson's
    stepwise, sequential replacement); the swap formula is two of its updates in a row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from perfport.data.measurement import FloatArray
from perfport.errors import UsageError

__all__ = ["Criterion", "Direction", "Heredity", "least_squares", "select_columns"]

Criterion = Literal["aic", "bic", "ebic", "cv"]
Direction = Literal["forward", "stepwise"]
BoolArray = NDArray[np.bool_]

# A candidate whose unexplained part is below this share of its length is a copy of selected columns.
_COLLINEAR = 1e-7
# Relative rounding error of a response: a residual below it is an exact fit and cannot be improved.
_ROUNDING = 1e-12
# Additions in a row without improvement after which no larger sets are tried.
_PATIENCE = 5


@dataclass(frozen=True, slots=True)
class Heredity:
    """Which columns may stand beside which: an interaction only with main effects of its options.

    Attributes:
        incidence: Whether column i depends on option o, shape (p, n_options); one True in a row is a
            main effect, more are an interaction.
        kind: "strong": every option of an interaction has a main effect in the model; "weak": one has.
    """

    incidence: BoolArray
    kind: Literal["weak", "strong"]

    def allowed(self, selected: list[int]) -> BoolArray:
        """Return which columns may stand beside `selected`, shape (p,)."""
        is_main = self.incidence.sum(axis=1) == 1
        present = self.incidence[[i for i in selected if is_main[i]]].any(axis=0)
        if self.kind == "strong":
            return np.asarray(is_main | ~(self.incidence & ~present).any(axis=1))
        return np.asarray(is_main | (self.incidence & present).any(axis=1))


def select_columns(
    X: FloatArray,
    y: FloatArray,
    *,
    criterion: Criterion = "ebic",
    direction: Direction = "stepwise",
    max_columns: int | None = None,
    heredity: Heredity | None = None,
) -> list[int]:
    """Return the columns of a least-squares model with intercept, in the order they entered.

    Args:
        X: Candidate columns, shape (n, p), finite; scale and offset of a column do not matter.
        y: Response, shape (n,), finite.
        criterion: What a column must earn. With k columns, n rows, residual sum of squares RSS:
            "aic": n log(RSS/n) + 2k with the correction for few rows (Hurvich and Tsai 1989);
            "bic": n log(RSS/n) + k log n; "ebic": the same plus 2k log p, which charges for
            having had p columns to choose from (Chen and Chen 2008, in the form of Foygel and Drton 2010),
            the first n being n - 2 - k/2 because few rows fit by chance (Bartlett 1938);
            "cv": the smallest number of columns whose squared error in five-fold cross-validation of the
            whole selection is within one standard error of the least (Breiman et al. 1984).
            With many more columns than rows "aic" and "bic" take far too many: they were made for
            models fixed beforehand.
        direction: "stepwise" adds, drops and swaps; "forward" only adds.
        max_columns: Most columns to take; by default half the rows.
        heredity: Which columns may stand beside which; None: any.

    Raises:
        UsageError: If shapes do not fit, a number is not finite, or a name is not known.
    """
    _check(X, y, criterion, direction)
    limit = max(0, len(y) // 2 if max_columns is None else min(max_columns, len(y) - 1))
    floor = len(y) * (_ROUNDING * float(np.abs(y).max())) ** 2
    score = _Score(criterion, len(y), X.shape[1], float(np.sum((y - y.mean()) ** 2)), floor)
    search = _Search(score, direction, heredity)
    if criterion == "cv":
        return search.cross_validated(X, y, limit)
    return search.descend(_State.start(X, y), limit)


@dataclass(frozen=True, slots=True)
class _Search:
    """The moves a search may make and how it judges them."""

    score: "_Score"
    direction: Direction
    heredity: Heredity | None

    def descend(self, state: "_State", limit: int) -> list[int]:
        """Take the best move until none lowers the criterion, nor several additions in a row do.

        Some columns pay only together: the two forms of a U-shaped effect, an interaction and the main
        effects it needs.
        """
        best = self.score.current(state)
        while True:
            moves = [self._addition(state, limit)]
            if self.direction == "stepwise":
                moves.append(_best_removal(state, self.score, self.heredity))
                if min(value for value, _ in moves) >= best:
                    moves = [_best_swap(state, self.score, self.heredity)]
            value, selected = min(moves, key=lambda move: move[0])
            if _is_lower(value, best):
                state, best = state.moved_to(selected), value
                continue
            ahead = (later for later in islice(self.path(state, limit), 1, 1 + _PATIENCE))
            found = next((later for later in ahead if _is_lower(self.score.current(later), best)), None)
            if found is None:
                return state.selected
            state, best = found, self.score.current(found)

    def path(self, state: "_State", limit: int) -> Iterator["_State"]:
        """Yield a good set of columns of every size, from that of `state` to `limit`."""
        while True:
            yield state
            value, selected = self._addition(state, limit)
            if not np.isfinite(value):
                return
            state = state.moved_to(selected)
            while self.direction == "stepwise":
                value, selected = _best_swap(state, self.score, self.heredity)
                if not _is_lower(value, self.score.current(state)):
                    break
                state = state.moved_to(selected)

    def _addition(self, state: "_State", limit: int) -> tuple[float, list[int]]:
        return _best_addition(state, self.score, self.heredity) if len(state.selected) < limit else _NO_MOVE

    def cross_validated(self, X: FloatArray, y: FloatArray, limit: int) -> list[int]:
        """Return the set on the path whose size cross-validation of the whole path asks for."""
        # Every fifth row in the order of the response: folds alike in what they hold, whatever the order of the rows.
        n_folds = min(5, len(y))
        fold = np.empty(len(y), dtype=int)
        fold[np.lexsort((*X.T, y))] = np.arange(len(y)) % n_folds
        if n_folds < 2:
            return []
        curves = [self._curve(X, y, fold == held_out, limit) for held_out in range(n_folds)]
        # A fold that gave up is taken to stay where it was.
        longest = max(map(len, curves))
        table = np.array([curve + curve[-1:] * (longest - len(curve)) for curve in curves])
        mean, se = table.mean(axis=0), table.std(axis=0, ddof=1) / np.sqrt(n_folds)
        least = int(np.argmin(mean))
        size = int(np.flatnonzero(mean <= mean[least] + se[least] + self.score.floor)[0])
        return list(self.path(_State.start(X, y), size))[-1].selected

    def _curve(self, X: FloatArray, y: FloatArray, is_held_out: BoolArray, limit: int) -> list[float]:
        """Return the squared error on the held-out rows for every size of set, until it stops falling."""
        X_train, y_train, X_test, y_test = X[~is_held_out], y[~is_held_out], X[is_held_out], y[is_held_out]
        curve: list[float] = []
        for state in self.path(_State.start(X_train, y_train), min(limit, len(y_train) // 2)):
            columns = state.selected
            intercept, b = least_squares(X_train[:, columns], y_train)
            curve.append(float(np.mean((y_test - intercept - X_test[:, columns] @ b) ** 2)))
            if len(curve) > _PATIENCE + int(np.argmin(curve)):
                break
        return curve


def _is_lower(value: float, best: float) -> bool:
    """Whether it is lower by more than rounding, so that no set is visited twice and every loop ends."""
    return value < best - 1e-9 * max(1.0, abs(best))


def least_squares(X: FloatArray, y: FloatArray) -> tuple[float, FloatArray]:
    """Return intercept and coefficients, shape (p,), of the columns of `X`, shape (n, p).

    Columns are centred and scaled first: clock rates near 1e9 beside 0/1 switches would otherwise
    cost all digits.
    """
    mean, scale = X.mean(axis=0), X.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    b = np.linalg.lstsq((X - mean) / scale, y - y.mean(), rcond=None)[0] / scale
    return float(y.mean() - mean @ b), np.asarray(b, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _State:
    """Everything a step needs to know about the selected columns; see the module's equations."""

    X: FloatArray  # centred columns of length 1, (n, p)
    y: FloatArray  # centred, (n,)
    selected: list[int]
    Z: FloatArray  # (n, p)
    z2: FloatArray  # squared lengths of Z, (p,); 0 where a column adds nothing
    residual: FloatArray  # (n,)
    D: FloatArray  # unit vectors d_j as columns, (n, k)

    @classmethod
    def start(cls, X: FloatArray, y: FloatArray) -> "_State":
        n = len(y)
        centred = X - X.mean(axis=0)
        length = np.linalg.norm(centred, axis=0)
        is_constant = length <= _COLLINEAR * np.sqrt(n) * np.abs(X).max(axis=0, initial=0.0)
        unit = np.where(is_constant, 0.0, centred / np.where(is_constant, 1.0, length))
        y_centred = y - y.mean()
        return cls(unit, y_centred, [], unit, (~is_constant).astype(float), y_centred, np.empty((n, 0)))

    def moved_to(self, selected: list[int]) -> "_State":
        X, y = self.X, self.y
        Q, R = np.linalg.qr(X[:, selected])
        if selected[:-1] == self.selected:
            # OPTIM: an addition needs one rank-one update instead of a product with all of Q.
            q = Q[:, -1:]
            Z = self.Z - q @ (q.T @ self.Z)
        else:
            Z = X - Q @ (Q.T @ X)
        z2 = np.einsum("ij,ij->j", Z, Z)
        z2 = np.where(z2 > _COLLINEAR**2, z2, 0.0)
        z2[selected] = 0.0
        dual = solve_triangular(R, Q.T, lower=False).T if len(selected) else Q
        D = dual / np.linalg.norm(dual, axis=0)
        residual = y - Q @ (Q.T @ y)
        return _State(X, y, selected, Z, z2, residual, D)


@dataclass(frozen=True, slots=True)
class _Score:
    """The criterion as a function of the residual sum of squares; for "cv", which only compares like sizes, its log."""

    criterion: Criterion
    n: int
    p: int
    total: float  # sum of squares around the mean
    floor: float  # no residual sum of squares below it is real

    def of_rss(self, rss: FloatArray, k: int) -> FloatArray:
        if self.total <= self.floor:
            return np.full_like(rss, float(k))  # nothing to explain
        n, fit = self.n, np.log(np.maximum(rss, self.floor) / self.total)
        if self.criterion == "cv":
            return np.asarray(fit)
        if self.criterion == "bic":
            return np.asarray(n * fit + k * np.log(n))
        # Few rows: what remains of them must be positive.
        rows = n - k - 3 if self.criterion == "aic" else n - 2 - k / 2
        if k and rows <= 0:
            return np.full_like(rss, np.inf)
        if self.criterion == "aic":
            # The variance is a parameter too: k + 2 with the intercept.
            return np.asarray(n * fit + 2 * (k + 2) * (1 + (k + 3) / rows)) if rows > 0 else fit
        return np.asarray(rows * fit + k * (np.log(n) + 2 * np.log(max(self.p, 1))))

    def current(self, state: _State) -> float:
        return float(self.of_rss(np.array([state.residual @ state.residual]), len(state.selected))[0])


_NO_MOVE: tuple[float, list[int]] = (np.inf, [])


def _best_addition(state: _State, score: _Score, heredity: Heredity | None) -> tuple[float, list[int]]:
    usable = state.z2 > 0
    if heredity is not None:
        usable &= heredity.allowed(state.selected)
    i = np.flatnonzero(usable)
    if not len(i):
        return _NO_MOVE
    U = state.Z[:, i] / np.sqrt(state.z2[i])
    along = U.T @ state.residual
    values = score.of_rss(state.residual @ state.residual - along**2, len(state.selected) + 1)
    at = int(np.argmin(values))
    return float(values[at]), [*state.selected, int(i[at])]


def _best_removal(state: _State, score: _Score, heredity: Heredity | None) -> tuple[float, list[int]]:
    j = [j for j in range(len(state.selected)) if _is_legal(_without(state.selected, j), heredity)]
    if not j:
        return _NO_MOVE
    D = state.D[:, j]
    along = D.T @ state.y
    values = score.of_rss(state.residual @ state.residual + along**2, len(state.selected) - 1)
    at = int(np.argmin(values))
    return float(values[at]), _without(state.selected, j[at])


def _best_swap(state: _State, score: _Score, heredity: Heredity | None) -> tuple[float, list[int]]:
    j = [j for j in range(len(state.selected)) if _is_legal(_without(state.selected, j), heredity)]
    if not j:
        return _NO_MOVE
    e = state.D[:, j].T @ state.y  # (k,)
    C = state.D[:, j].T @ state.X  # (k, p)
    length2 = state.z2 + C**2
    usable = (length2 > _COLLINEAR**2) & (state.z2 > 0)
    if heredity is not None:
        usable &= np.array([heredity.allowed(_without(state.selected, at)) for at in j])
    gain = np.where(usable, (state.Z.T @ state.residual + C * e[:, None]) ** 2 / np.where(usable, length2, 1.0), 0.0)
    rss = np.where(usable, state.residual @ state.residual + e[:, None] ** 2 - gain, np.inf)
    drop, add = np.unravel_index(int(np.argmin(rss)), rss.shape)
    if not np.isfinite(rss[drop, add]):
        return _NO_MOVE
    selected = [*_without(state.selected, j[drop]), int(add)]
    return float(score.of_rss(rss[drop, add : add + 1], len(selected))[0]), selected


def _without(selected: list[int], at: int) -> list[int]:
    return [*selected[:at], *selected[at + 1 :]]


def _is_legal(selected: list[int], heredity: Heredity | None) -> bool:
    return heredity is None or bool(heredity.allowed(selected)[selected].all())


def _check(X: FloatArray, y: FloatArray, criterion: str, direction: str) -> None:
    if X.ndim != 2 or y.shape != X.shape[:1] or not len(y):
        raise UsageError(
            f"candidates and response have the shapes {X.shape} and {y.shape}: they must be (n, p) and (n,), n >= 1"
        )
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise UsageError("candidates and response must be finite: drop failed measurements and fill inactive options")
    if criterion not in ("aic", "bic", "ebic", "cv"):
        raise UsageError(f"unknown criterion '{criterion}': known are aic, bic, ebic, cv", criterion=criterion)
    if direction not in ("forward", "stepwise"):
        raise UsageError(f"unknown direction '{direction}': known are forward, stepwise", direction=direction)
