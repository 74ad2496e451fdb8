"""Which of many groups of columns does a short response need? Bayesian selection of groups.

    y = a + sum over the groups u that are in of X_u w_u + noise,    w_u ~ N(0, I)

Each group is in or out with its own prior odds; the size expected of it is in the scale of its columns. The
noise is unknown (a grid, 5 % by expectation), the intercept has a flat prior. The posterior over (groups,
noise) is explored by a Markov process in continuous time: every single change (a group in or out, one step of
noise) happens at the rate r/(1+r), where r is how much more probable the state would become, so no move is
ever rejected and the chain runs straight to what matters; states count for as long as the process stays there.

The noise may have heavy tails: most rows agree within a few percent, some are off by factors. Such a row is
*astray*; it has a column of its own, which is one more group, so what goes into it widens nothing else. How many
rows are is not known: the share has a prior of its own (Beta), so that the first is believed reluctantly and the
fifth, beside four others, readily.

With 20 rows and hundreds of groups one fit costs about a second.

Source:
    Mitchell, Beauchamp, JASA 83, 1988 (spike and slab); Abraham, Box, Applied Statistics 27, 1978 (rows that are
    shifted, each with a small probability); Zanella, JASA 115, 2020, and Power, Goldman,
    arXiv:1912.04681 (locally balanced rates in continuous time); Wilson et al., ICML 2020 (posterior draws by
    Matheron's rule).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perfport.data.measurement import FloatArray
from perfport.model.gp import safe_cholesky

__all__ = ["Group", "SelectionDraws", "select_groups"]

NOISE_LEVELS = np.geomspace(0.003, 0.5, 12)  # standard deviation of a log response: a third of a percent to 50 %
# Repeated measurements usually agree within 1 to 20 %; without this, few rows and many groups overfit.
_NOISE_MEDIAN, _NOISE_SD_LOG = 0.05, 0.7
_LOG_NOISE_PRIOR = -0.5 * np.square(np.log(NOISE_LEVELS / _NOISE_MEDIAN) / _NOISE_SD_LOG)
_INTERCEPT_VARIANCE = 100.0
_ASTRAY_SD = 1.0  # of a log response: a row that is off is off by a factor of 2, or 5, or 10
_JUMPS = 1200
_WARM_UP = 300


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Columns that are in or out together.

    Attributes:
        columns: Shape (n, r), scaled so that a coefficient of 1 is no surprise.
        probability: That the group is in, before any response is seen; within (0, 1).
    """

    columns: FloatArray
    probability: float


@dataclass(frozen=True, slots=True, eq=False)
class SelectionDraws:
    """Draws from the posterior.

    Attributes:
        coefficients: One array a group, shape (k, r): its coefficients in each draw, 0 where it is out.
        intercepts: Shape (k,).
        noise: Standard deviation of the noise in each draw, shape (k,).
        inclusion: Probability that each group is in, shape (number of groups,).
        astray: By how much each row is off by itself in each draw, shape (k, n); mostly 0.
    """

    coefficients: tuple[FloatArray, ...]
    intercepts: FloatArray
    noise: FloatArray
    inclusion: FloatArray
    astray: FloatArray


def select_groups(
    y: FloatArray,
    groups: Sequence[Group],
    *,
    rng: np.random.Generator,
    known_se: FloatArray | None = None,
    astray: float = 0.0,
    n_draws: int = 400,
) -> SelectionDraws:
    """Draw which groups are in, and their coefficients.

    Args:
        y: Response, shape (n,); differences of logarithms here.
        groups: The candidates.
        rng: Source of all randomness.
        known_se: Standard error of each response, shape (n,), added to the unknown noise; 0 if not given.
        astray: Share of the rows expected to be off by themselves; 0 if none can be.
        n_draws: How many draws to return.
    """
    n_given = len(groups)
    alone = [Group(column[:, None], astray) for column in _ASTRAY_SD * np.eye(len(y)) if astray > 0]
    groups = [*groups, *alone]
    problem = _Problem(y, groups, np.zeros(len(y)) if known_se is None else known_se, n_alone=len(alone))
    is_in = np.zeros(len(groups), dtype=np.bool_)
    level = _first_level(y)
    states: list[tuple[NDArray[np.bool_], int]] = []
    stays: list[float] = []
    known: dict[tuple[bytes, int], FloatArray] = {}  # the chain comes back to most states
    for _ in range(_WARM_UP + _JUMPS):
        key = is_in.tobytes(), level
        if key not in known:
            known[key] = problem.rates(is_in, level)
        rates = known[key]
        states.append((is_in, level))
        stays.append(1.0 / float(rates.sum()))
        move = int(rng.choice(len(rates), p=rates / rates.sum()))
        if move < len(groups):
            is_in = is_in.copy()
            is_in[move] = not is_in[move]
        else:
            level += 1 if move == len(groups) else -1
    weight = np.array(stays[_WARM_UP:]) / sum(stays[_WARM_UP:])
    states = states[_WARM_UP:]
    chosen = rng.choice(len(states), n_draws, p=weight)
    drawn = [problem.draw(states[number][0], states[number][1], rng) for number in chosen.tolist()]
    coefficients = [np.stack([draw[0][u] for draw in drawn]) for u in range(len(groups))]
    inclusion = weight @ np.array([state[0] for state in states], dtype=np.float64)
    return SelectionDraws(
        coefficients=tuple(coefficients[:n_given]),
        intercepts=np.array([draw[1] for draw in drawn]),
        noise=np.array([NOISE_LEVELS[states[number][1]] for number in chosen]),
        inclusion=inclusion[:n_given],
        astray=_ASTRAY_SD * np.hstack(coefficients[n_given:]) if alone else np.zeros((n_draws, len(y))),
    )


class _Problem:
    """The rows, and groups of equal width stacked so that all flips are judged at once.

    The last `n_alone` groups are single rows, whose probability is the mean of an unknown share.
    """

    def __init__(self, y: FloatArray, groups: Sequence[Group], known_se: FloatArray, *, n_alone: int) -> None:
        self._y = y - y.mean()
        self._mean = float(y.mean())
        self._groups = groups
        self._known = np.square(known_se)
        self._log_odds = np.array([np.log(group.probability / (1.0 - group.probability)) for group in groups])
        self._alone = slice(len(groups) - n_alone, len(groups))
        short = [_compressed(group.columns) for group in groups]
        self._kernels = [columns @ columns.T for columns in short]
        widths = np.array([columns.shape[1] for columns in short], dtype=np.int64)
        self._stacks = [
            (np.flatnonzero(widths == width), np.stack([c for c in short if c.shape[1] == width]))
            for width in np.unique(widths)
        ]

    def covariance(self, is_in: NDArray[np.bool_], level: int) -> FloatArray:
        K = np.full((len(self._y), len(self._y)), _INTERCEPT_VARIANCE)
        for u in np.flatnonzero(is_in):
            K += self._kernels[u]
        K[np.diag_indices_from(K)] += NOISE_LEVELS[level] ** 2 + self._known
        return K

    def log_odds(self, is_in: NDArray[np.bool_]) -> FloatArray:
        """Return the prior log odds of every group, given all the others."""
        rows = is_in[self._alone]
        if not len(rows):
            return self._log_odds
        # The share of such rows is Beta(1, b) with mean 1 / (1 + b).
        b = np.exp(-self._log_odds[-1])
        others = rows.sum() - rows
        log_odds = self._log_odds.copy()
        log_odds[self._alone] = np.log((1.0 + others) / (b + len(rows) - 1.0 - others))
        return log_odds

    def rates(self, is_in: NDArray[np.bool_], level: int) -> FloatArray:
        """Return the rate of every flip, of one step more noise and of one step less."""
        K = self.covariance(is_in, level)
        chol = safe_cholesky(K)
        inverse = np.linalg.inv(K)
        solved = inverse @ self._y
        gain = np.empty(len(is_in))
        sign = np.where(is_in, -1.0, 1.0)
        for members, stack in self._stacks:
            s = sign[members]
            transposed = stack.transpose(0, 2, 1)
            along = transposed @ solved
            M = np.eye(stack.shape[2]) + s[:, None, None] * (transposed @ (inverse @ stack))
            log_det = np.linalg.slogdet(M)[1]
            quadratic = np.einsum("ur,ur->u", along, np.linalg.solve(M, along[:, :, None])[:, :, 0])
            gain[members] = -0.5 * log_det + 0.5 * s * quadratic
        here = self._log_density(chol, solved) + _LOG_NOISE_PRIOR[level]
        noise = np.full(2, -np.inf)
        for position, step in enumerate((1, -1)):
            if 0 <= level + step < len(NOISE_LEVELS):
                other = self.covariance(is_in, level + step)
                density = self._log_density(safe_cholesky(other), np.linalg.solve(other, self._y))
                noise[position] = density + _LOG_NOISE_PRIOR[level + step] - here
        log_ratio = np.concatenate([gain + sign * self.log_odds(is_in), noise])
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(log_ratio, -700.0, 700.0))))

    def _log_density(self, chol: FloatArray, solved: FloatArray) -> float:
        return float(-np.log(np.diag(chol)).sum() - 0.5 * self._y @ solved)

    def draw(self, is_in: NDArray[np.bool_], level: int, rng: np.random.Generator) -> tuple[list[FloatArray], float]:
        """Draw coefficients and intercept given the groups and the noise (a draw from the prior, corrected)."""
        intercept = float(np.sqrt(_INTERCEPT_VARIANCE) * rng.standard_normal())
        simulated = intercept + np.sqrt(NOISE_LEVELS[level] ** 2 + self._known) * rng.standard_normal(len(self._y))
        coefficients = [np.zeros(group.columns.shape[1]) for group in self._groups]
        members = np.flatnonzero(is_in).tolist()
        for u in members:
            coefficients[u] = rng.standard_normal((self._groups[u].columns.shape[1],))
            simulated += self._groups[u].columns @ coefficients[u]
        missing = np.linalg.solve(self.covariance(is_in, level), self._y - simulated)
        for u in members:
            coefficients[u] += self._groups[u].columns.T @ missing
        return coefficients, self._mean + intercept + _INTERCEPT_VARIANCE * float(missing.sum())


def _first_level(y: FloatArray) -> int:
    """Return the noise level nearest to the scatter of the middle rows: from there a few wild ones are seen as such."""
    scatter = 1.4826 * float(np.median(np.abs(y - np.median(y))))
    return int(np.argmin(np.abs(NOISE_LEVELS - scatter)))


def _compressed(columns: FloatArray) -> FloatArray:
    """Return no more columns than rows with the same products."""
    if columns.shape[1] <= columns.shape[0]:
        return columns
    U, s, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(U * s)
