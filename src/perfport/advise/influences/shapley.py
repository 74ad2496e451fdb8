"""Sharing a difference fairly among those who caused it: Shapley values and Shapley-Taylor pairs.

A *game* gives every coalition (a set of n players) a worth. The Shapley value of a player is what it adds
to those who came before it, averaged over all orders; the values add up to the worth of all players less
that of none. The Shapley-Taylor index of order two splits the same total into what each player does
alone and what each pair does together.

Up to `MOST_EXACT` players every coalition is asked for its worth once; beyond that orders are drawn at
random, in which the sums stay exact because every order telescopes.

Source:
    Shapley 1953; Castro, Gomez, Tejada, Comput. Oper. Res. 36(5), 2009 (orders drawn at random); Sundararajan,
    Dhamdhere, Agarwal, "The Shapley Taylor Interaction Index", ICML 2020, definition 1 and section 2.3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import comb, factorial

import numpy as np
from numpy.typing import NDArray

from perfport.data.measurement import FloatArray

__all__ = ["MOST_EXACT", "Game", "Split", "split"]

BoolArray = NDArray[np.bool_]
Game = Callable[[BoolArray], FloatArray]

MOST_EXACT = 12
_WORTHS = 60_000  # about how many coalitions are asked for when orders are drawn
_MIN_ORDERS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """A total, shared among n players.

    Attributes:
        total: Worth of all players less that of none.
        values: Shapley value of each player, shape (n,); they sum to `total`.
        alone: What each player does alone, shape (n,).
        together: What each pair does beyond that, shape (n, n), symmetric, zero on the diagonal; the pairs
            (each counted once) and `alone` sum to `total`.
        standard_errors: Of `values`, shape (n,); zero when exact.
        n_orders: How many orders were drawn; None when exact.
    """

    total: float
    values: FloatArray
    alone: FloatArray
    together: FloatArray
    standard_errors: FloatArray
    n_orders: int | None


def split(game: Game, n: int, *, rng: np.random.Generator) -> Split:
    """Share the worth of all players.

    Args:
        game: Returns the worths, shape (m,), of m coalitions, shape (m, n).
        n: Number of players, possibly 0.
        rng: Draws the orders where there are more than `MOST_EXACT` players.
    """
    return _exact(game, n) if n <= MOST_EXACT else _sampled(game, n, rng)


def _exact(game: Game, n: int) -> Split:
    numbers = np.arange(2**n)
    members = (numbers[:, None] >> np.arange(n)) & 1 == 1
    worth = game(members)
    size = members.sum(axis=1)
    weight = np.array([factorial(s) * factorial(n - s - 1) / factorial(n) for s in range(n)])
    values = np.empty(n)
    for i in range(n):
        without = numbers[~members[:, i]]
        values[i] = weight[size[without]] @ (worth[without | 1 << i] - worth[without])
    together = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            rest = numbers[~(members[:, i] | members[:, j])]
            both = worth[rest | 1 << i | 1 << j] - worth[rest | 1 << i] - worth[rest | 1 << j] + worth[rest]
            pair_weight = np.array([2.0 / (n * comb(n - 1, s)) for s in range(n - 1)])
            together[i, j] = together[j, i] = pair_weight[size[rest]] @ both
    alone = worth[1 << np.arange(n)] - worth[0]
    return Split(float(worth[-1] - worth[0]), values, alone, together, np.zeros(n), None)


def _sampled(game: Game, n: int, rng: np.random.Generator) -> Split:
    n_pairs = max(_MIN_ORDERS, _WORTHS // (n * (n + 1) // 2)) // 2
    forward = [rng.permutation(n) for _ in range(n_pairs)]
    # An order and its reverse: what one order owes to going first, the other owes to going last.
    orders = [order for drawn in forward for order in (drawn, drawn[::-1])]
    none, everyone = game(np.array([np.zeros(n), np.ones(n)], dtype=np.bool_))
    values = np.zeros((len(orders), n))
    together = np.zeros((n, n))
    alone = np.zeros(n)
    for number, order in enumerate(orders):
        grown = _grown(game, order)
        first = np.concatenate([[none], np.diagonal(grown)])  # worth of the first k, k = 0 .. n
        values[number, order] = np.diff(first)
        for k in range(n - 1):
            # Of the first k: their worth with i = order[k] and j, less with i, less with j, plus without.
            both = grown[k + 1, k + 1 :] - first[k + 1] - grown[k, k + 1 :] + first[k]
            together[order[k], order[k + 1 :]] += both
        alone[order] = grown[0] - none
    together = (together + together.T) / len(orders)
    pairs = values.reshape(n_pairs, 2, n).mean(axis=1)
    errors = pairs.std(axis=0, ddof=1) / np.sqrt(n_pairs)
    return Split(float(everyone - none), values.mean(axis=0), alone, together, errors, len(orders))


def _grown(game: Game, order: NDArray[np.int64]) -> FloatArray:
    """Return the worth of "the first k of the order, and the one at place l" at [k, l], shape (n, n); NaN for l < k."""
    n = len(order)
    first, place = np.triu_indices(n)
    members = np.zeros((len(first), n), dtype=np.bool_)
    members[:, order] = np.arange(n) < first[:, None]
    members[np.arange(len(first)), order[place]] = True
    grown = np.full((n, n), np.nan)
    grown[first, place] = game(members)
    return grown
