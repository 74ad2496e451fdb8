"""D-optimal designs: the configurations from which a linear model is known best."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from perfport.data.measurement import FloatArray
from perfport.errors import UsageError
from perfport.sampling.base import RecordingSampler
from perfport.sampling.geometry import IntArray
from perfport.sampling.pool import Pool, Proposal

__all__ = ["DOptimal", "d_optimal_rows", "model_matrix"]

RIDGE = 1e-3  # keeps the information matrix regular while there are fewer rows than columns
MAX_CELLS = 40_000_000  # rows times columns of the model matrix


@dataclass(frozen=True)
class DOptimal(RecordingSampler):
    """Maximises the determinant of the information matrix of a linear model over the options.

    The model has an intercept, a straight line for every ordered option, a curve where it has three
    levels or more, a column for every unordered level but one, and products of pairs if asked for.

    Attributes:
        interactions: Whether products of two options are in the model.
        exchanges: How many times each chosen row may be exchanged for a better one after the greedy start.

    Source:
        Fedorov, Theory of Optimal Experiments, 1972; row exchange as in Cook and Nachtsheim, Technometrics
        22(3), 1980.
    """

    interactions: bool = False
    exchanges: int = 3

    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return the n rows of largest determinant found."""
        if self.exchanges < 0:
            raise UsageError(f"exchanges is {self.exchanges}: it must be 0 or more", exchanges=self.exchanges)
        X = model_matrix(pool, interactions=self.interactions)
        order = rng.permutation(len(X))  # equally good rows are met in random order
        return pool.filled(order[d_optimal_rows(X[order], n, exchanges=self.exchanges)], n, rng)


def model_matrix(pool: Pool, *, interactions: bool) -> FloatArray:
    """Return the columns of the linear model for every row of the pool, shape (N, p), centred and scaled.

    Raises:
        UsageError: If it would not fit into memory.
    """
    parts: list[FloatArray] = []
    for column, option in enumerate(pool.geometry.options):
        code = pool.codes[:, column]
        levels = np.unique(code[code >= 0])
        if pool.geometry.is_ordered(option):
            place = np.where(code < 0, levels.mean() if len(levels) else 0.0, code)
            place = 2.0 * (place - place.min()) / max(float(np.ptp(place)), 1e-12) - 1.0
            columns = [place, place**2] if len(levels) > 2 else [place]
        else:
            columns = [(code == level).astype(np.float64) for level in levels[1:]]
        inactive = (code < 0).astype(np.float64)
        parts.append(_varied(np.column_stack([*columns, inactive])))
    n_products = sum(a.shape[1] * b.shape[1] for a, b in combinations(parts, 2)) if interactions else 0
    n_columns = 1 + sum(part.shape[1] for part in parts) + n_products
    if n_columns * len(pool) > MAX_CELLS:
        raise UsageError(
            f"a model of {n_columns} columns over {len(pool)} configurations is too large; "
            "leave out interactions or give fewer candidates",
            n_columns=n_columns,
        )
    pairs = combinations(parts, 2) if interactions else ()
    products = [_varied((a[:, :, None] * b[:, None, :]).reshape(len(pool), -1)) for a, b in pairs]
    return np.column_stack([np.ones(len(pool)), *parts, *products])


def d_optimal_rows(X: FloatArray, n: int, *, exchanges: int = 3) -> IntArray:
    """Return n distinct rows of `X` that make det(X'X + ridge) large.

    Args:
        X: Shape (N, p), N more than n.
        n: How many rows.
        exchanges: Passes in which each row may be exchanged for a better one.

    Returns:
        Row numbers, shape (n,).
    """
    inverse = np.eye(X.shape[1]) / RIDGE
    leverage = np.sum(X**2, axis=1) / RIDGE  # x'(X'X)^-1 x of every row of the pool
    taken = np.zeros(len(X), dtype=np.bool_)
    rows: list[int] = []

    def move(row: int, sign: float) -> None:
        """Add (1) or remove (-1) a row: Sherman and Morrison's update of the inverse and of all leverages."""
        nonlocal inverse, leverage
        direction = inverse @ X[row]
        scale = sign / (1.0 + sign * float(X[row] @ direction))
        inverse = inverse - scale * np.outer(direction, direction)
        leverage = leverage - scale * (X @ direction) ** 2
        taken[row] = sign > 0

    def best() -> int:
        return int(np.argmax(np.where(taken, -np.inf, leverage)))

    while len(rows) < n:
        rows.append(best())
        move(rows[-1], 1.0)
    for _ in range(exchanges):
        before = list(rows)
        for place, row in enumerate(before):
            move(row, -1.0)
            better = best()
            # The determinant grows by 1 + leverage: stay unless another row gains beyond rounding.
            rows[place] = better if leverage[better] > leverage[row] * (1 + 1e-9) + 1e-12 else row
            move(rows[place], 1.0)
        if rows == before:
            break
    return np.array(rows, dtype=np.intp)


def _varied(columns: FloatArray) -> FloatArray:
    """Return the columns that vary, with mean 0 and variance 1."""
    spread = columns.std(axis=0)
    keep = spread > 1e-9
    return np.asarray((columns[:, keep] - columns[:, keep].mean(axis=0)) / spread[keep])
