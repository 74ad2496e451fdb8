"""Functional analysis of variance: which options, alone and in pairs, carry the variance of a response.

On a full factorial with equal weights this is the classical decomposition: the component of an option is
the mean response at each of its levels, the component of a pair what the two means leave of the mean at
each pair of levels, and the variances of all components add up.

Constraints make options dependent, and then the classical definition finds interactions in purely
additive responses. The definition used here, equal to the classical one on full factorials, is by nested
best approximations, in the mean square over the rows, each of which counts the same:

1. main effects are the components f_i of the best additive approximation;
2. interactions are the components f_ij that the best approximation by pairs adds to it; f_ij is orthogonal
   to every function of i alone and of j alone;
3. what is left belongs to interactions of three and more options.

What step 1 (and likewise step 2) explains is shared among its components in proportion to their
variances. Shares are therefore never negative and add up to at most 1, an additive response has no
interactions, an option without influence has share 0 even when it is tied to influential ones by a
constraint, and options that play the same part get the same share (of all equally good approximations
the one of least norm is taken).

An inactive option contributes nothing: what its being active changes belongs to the options that
activate it.

Source:
    Sobol' 1993 and Hutter, Hoos, Leyton-Brown, ICML 2014 (functional ANOVA over configurations); Hooker,
    J. Comput. Graph. Stat. 16(3), 2007 (dependent inputs, hierarchical orthogonality). Sharing the explained
    variance in proportion to the components' variances is our choice: covariance shares, the usual
    alternative, can be negative.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from perfport.data.measurement import FloatArray

__all__ = ["Anova", "Decomposition"]

IntArray = NDArray[np.int64]
Pair = tuple[int, int]

_TOLERANCE = 1e-8  # of the gradient, relative to its start; shares are then exact to about six digits
_MAX_STEPS = 500
_RANK_TOLERANCE = 1e-9
# A sampled table can only tell as many interactions as a quarter of its rows has degrees of freedom.
_ROWS_PER_FREEDOM = 4
_FEW_LEVELS = 40  # so many describe a row however few rows there are


@dataclass(frozen=True, slots=True, eq=False)
class Decomposition:
    """The variance of k responses over the same n configurations, decomposed.

    Attributes:
        variance: Of each response, shape (k,).
        factors: The factors that were decomposed: those that vary, and do not just number the rows.
        main: Share of each factor's main effect, shape (d, k), each in 0 .. 1.
        pairs: The pairs of factors that were fitted.
        interactions: Share of each such pair, shape (number of pairs, k).
        levels: Factor -> its main effect at each level, shape (its levels, k), in the unit of the response.
        remainder: Share of what mains and pairs do not explain, shape (k,).
    """

    variance: FloatArray
    factors: tuple[int, ...]
    main: FloatArray
    pairs: tuple[Pair, ...]
    interactions: FloatArray
    levels: tuple[FloatArray, ...]
    remainder: FloatArray


class Anova:
    """Decomposes responses over one table of configurations.

    Args:
        codes: Level number of each factor in each row, shape (n, d), -1 where it is inactive; the numbers
            of a factor are 0 .. its levels - 1, all of which occur.
        is_sample: Whether the rows are a random sample of the configurations that matter. Chance then
            explains some variance; its expectation is subtracted. Pairs are left out where the rows are too
            few to tell all of them, and so are factors with so many levels that they number the rows.
    """

    def __init__(self, codes: IntArray, *, is_sample: bool = False) -> None:
        self._codes = codes
        self._is_sample = is_sample
        self._limit = len(codes) // _ROWS_PER_FREEDOM
        n_levels = codes.max(axis=0, initial=-1) + 1
        self._n_levels = [int(count) for count in n_levels]
        most = max(_FEW_LEVELS, self._limit) if is_sample else len(codes)
        self._factors = tuple(i for i, count in enumerate(self._n_levels) if 1 < count <= most)
        self._main = _Operator.of([_main_block(codes[:, i]) for i in self._factors], len(codes))

    @cached_property
    def _pair_blocks(self) -> dict[Pair, "_Block"]:
        """The pairs that have anything of their own, and of a sample those the rows can tell."""
        most = self._limit if self._is_sample else len(self._codes)
        built = {}
        for i, j in combinations(self._factors, 2):
            block = _pair_block(self._codes[:, i], self._codes[:, j], most)
            if block is not None and block.freedom > 0:
                built[i, j] = block
        return built

    def decompose(self, responses: FloatArray) -> Decomposition:
        """Return the decomposition of responses of shape (n, k)."""
        n, k = responses.shape
        centred = responses - responses.mean(axis=0)
        total = np.square(centred).sum(axis=0)
        # Rounding of a constant response is no variance.
        total = np.where(total > n * (1e-12 * np.abs(responses).max(axis=0, initial=0.0)) ** 2, total, 0.0)
        additive, rest = self._main.fit(centred)
        main = self._shares(self._main, additive, total, centred, rest)
        chosen = self._told_apart(rest)
        pairs = _Operator.of([self._pair_blocks[pair] for pair in chosen], n)
        both = self._main.beside(pairs)
        joint, left = both.fit(rest)
        interactions = self._shares(pairs, joint[self._main.size :], total, rest, left, beside=self._main.freedom)
        every = np.zeros((len(self._n_levels), k))
        every[list(self._factors)] = main
        components = self._main.components(additive)
        levels = [np.zeros((count, k)) for count in self._n_levels]
        for factor, component in zip(self._factors, components, strict=True):
            levels[factor] = component
        explained = every.sum(axis=0) + interactions.sum(axis=0)
        return Decomposition(
            variance=total / n,
            factors=self._factors,
            main=every,
            pairs=tuple(chosen),
            interactions=interactions,
            levels=tuple(levels),
            remainder=np.where(total > 0, np.maximum(1.0 - explained, 0.0), 0.0),
        )

    def _shares(
        self,
        operator: "_Operator",
        coefficients: FloatArray,
        total: FloatArray,
        before: FloatArray,
        after: FloatArray,
        *,
        beside: int = 0,
    ) -> FloatArray:
        """Share what a fit explains (the squares it takes from `before` to `after`) among its components."""
        sizes = operator.squares(coefficients)
        unexplained = np.square(after).sum(axis=0)
        explained = np.maximum(np.square(before).sum(axis=0) - unexplained, 0.0)
        if self._is_sample:
            freedom = np.asarray([block.freedom for block in operator.blocks], dtype=np.float64)
            spare = max(len(self._codes) - 1 - beside - int(freedom.sum()), 1)
            by_chance = freedom[:, None] * unexplained / spare
            explained = np.maximum(explained - by_chance.sum(axis=0), 0.0)
            sizes = np.maximum(sizes - by_chance, 0.0)
        parts = np.divide(sizes, sizes.sum(axis=0), out=np.zeros_like(sizes), where=sizes.sum(axis=0) > 0)
        share = np.divide(explained, total, out=np.zeros_like(explained), where=total > 0)
        return np.asarray(parts * np.minimum(share, 1.0))

    def _told_apart(self, rest: FloatArray) -> list[Pair]:
        """Return the pairs to fit: all, or of a sample those that by themselves explain most per degree of freedom."""
        every = list(self._pair_blocks)
        freedom = np.asarray([self._pair_blocks[pair].freedom for pair in every])
        if not self._is_sample or freedom.sum() <= self._limit:
            return every
        alone = _Operator.of(list(self._pair_blocks.values()), len(self._codes))
        squares = alone.squares(alone.adjoint(rest)).sum(axis=1)
        ranking = np.argsort(-squares / freedom, kind="stable")
        fits = np.cumsum(freedom[ranking]) <= self._limit
        return [every[position] for position in np.sort(ranking[fits]).tolist()]


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """The functions of one factor or one pair of factors, as a scaled indicator of the cells that occur.

    A coefficient stands for one cell; a function is centred by removing its part along `lower`, the
    functions that belong to lower orders. Both are orthonormal, so coefficients measure variance.

    Attributes:
        cells: Cell of each row, shape (n,), -1 where a factor is inactive.
        counts: Rows of each cell, shape (m,).
        lower: Scaled indicators of the lower orders, shape (m, q).
        gram_inverse: Pseudo-inverse of lower' lower, shape (q, q).
        freedom: Dimension of what is left after centring.
    """

    cells: IntArray
    counts: FloatArray
    lower: sparse.csr_array
    gram_inverse: FloatArray
    freedom: int


def _main_block(codes: IntArray) -> _Block:
    counts = np.bincount(codes[codes >= 0]).astype(np.float64)
    constant = sparse.csr_array(np.sqrt(counts / counts.sum())[:, None])
    return _Block(codes, counts, constant, np.ones((1, 1)), len(counts) - 1)


def _pair_block(first: IntArray, second: IntArray, most: int) -> _Block | None:
    """Return the functions of a pair; None if they have more than `most` degrees of freedom."""
    is_active = (first >= 0) & (second >= 0)
    combined = np.where(is_active, first * (second.max(initial=0) + 1) + second, -1)
    found, cells = np.unique(combined, return_inverse=True)
    if len(found) and found[0] == -1:
        found, cells = found[1:], cells - 1
    # Below the exact number, and known before the costly part.
    if len(found) - (int(first.max()) + 1) - (int(second.max()) + 1) > most:
        return None
    counts = np.bincount(cells[cells >= 0], minlength=len(found)).astype(np.float64)
    columns = []
    for level in np.divmod(found, second.max(initial=0) + 1):
        _, number = np.unique(level, return_inverse=True)
        in_level = np.bincount(number, weights=counts)
        columns.append(
            sparse.csr_array((np.sqrt(counts / in_level[number]), (np.arange(len(found)), number)))
            if len(found)
            else sparse.csr_array((0, 0))
        )
    lower = sparse.csr_array(sparse.hstack(columns, format="csr"))
    gram = (lower.T @ lower).toarray()
    values, vectors = np.linalg.eigh(gram)
    is_real = values > _RANK_TOLERANCE
    inverse = (vectors[:, is_real] / values[is_real]) @ vectors[:, is_real].T
    return _Block(cells, counts, lower, inverse, len(found) - int(is_real.sum()))


class _Operator:
    """Maps the coefficients of several blocks to rows: sparse, and for many responses at once."""

    def __init__(
        self, blocks: list[_Block], indicator: sparse.csr_array, lower: sparse.csr_array, inverse: sparse.csr_array
    ) -> None:
        self.blocks = blocks
        self._indicator, self._lower, self._inverse = indicator, lower, inverse
        # OPTIM: a transposed sparse matrix is stored the wrong way round; converting it once halves the time.
        self._indicator_t = sparse.csr_array(indicator.T)
        self._lower_t = sparse.csr_array(lower.T)
        self._offsets = np.concatenate([[0], np.cumsum([len(block.counts) for block in blocks])]).astype(np.int64)

    @classmethod
    def of(cls, blocks: list[_Block], n: int) -> "_Operator":
        if not blocks:
            empty = sparse.csr_array((0, 0))
            return cls([], sparse.csr_array((n, 0)), empty, empty)
        rows, columns, values, offset = [], [], [], 0
        for block in blocks:
            active = np.flatnonzero(block.cells >= 0)
            rows.append(active)
            columns.append(block.cells[active] + offset)
            values.append(1.0 / np.sqrt(block.counts[block.cells[active]]))
            offset += len(block.counts)
        where = (np.concatenate(rows), np.concatenate(columns))
        indicator = sparse.csr_array((np.concatenate(values), where), shape=(n, offset))
        lower = sparse.csr_array(sparse.block_diag([block.lower for block in blocks], format="csr"))
        inverse = sparse.csr_array(sparse.block_diag([block.gram_inverse for block in blocks], format="csr"))
        return cls(blocks, indicator, lower, inverse)

    def beside(self, other: "_Operator") -> "_Operator":
        """Return the operator of both sets of blocks, these first."""
        return _Operator.of([*self.blocks, *other.blocks], self._indicator.shape[0])

    @property
    def size(self) -> int:
        return int(self._offsets[-1])

    @property
    def freedom(self) -> int:
        return sum(block.freedom for block in self.blocks)

    def _centred(self, coefficients: FloatArray) -> FloatArray:
        return np.asarray(coefficients - self._lower @ (self._inverse @ (self._lower_t @ coefficients)))

    def forward(self, coefficients: FloatArray) -> FloatArray:
        """Return the sum of the blocks' functions at each row, shape (n, k)."""
        return np.asarray(self._indicator @ self._centred(coefficients))

    def adjoint(self, rows: FloatArray) -> FloatArray:
        """Return the transpose of `forward` applied to `rows`, shape (size, k)."""
        return self._centred(np.asarray(self._indicator_t @ rows))

    def squares(self, coefficients: FloatArray) -> FloatArray:
        """Return the sum of squares of each block's function over the rows, shape (blocks, k)."""
        squares = np.square(self._centred(coefficients))
        parts = zip(self._offsets[:-1], self._offsets[1:], strict=True)
        sums = [squares[a:b].sum(axis=0) for a, b in parts]
        return np.array(sums).reshape(len(self.blocks), coefficients.shape[1])

    def components(self, coefficients: FloatArray) -> list[FloatArray]:
        """Return each block's function at each of its cells, shape (m, k)."""
        centred = self._centred(coefficients)
        parts = zip(self.blocks, self._offsets[:-1], self._offsets[1:], strict=True)
        return [centred[a:b] / np.sqrt(block.counts)[:, None] for block, a, b in parts]

    def fit(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the least-squares coefficients of least norm, and what they leave of `rows`.

        Conjugate gradients from zero, which stay in the range of the adjoint: that is why the norm is
        least. Full factorials take one step, since all blocks are orthogonal there.
        """
        x = np.zeros((self.size, rows.shape[1]))
        left = rows.copy()
        gradient = self.adjoint(left)
        direction = gradient.copy()
        length = np.square(gradient).sum(axis=0)
        enough = _TOLERANCE**2 * length
        for _ in range(_MAX_STEPS):
            is_open = length > enough
            if not is_open.any():
                break
            moved = self.forward(direction)
            along = np.square(moved).sum(axis=0)
            step = np.divide(length, along, out=np.zeros_like(length), where=is_open & (along > 0))
            x += step * direction
            left -= step * moved
            gradient = self.adjoint(left)
            before, length = length, np.square(gradient).sum(axis=0)
            turn = np.divide(length, before, out=np.zeros_like(length), where=is_open & (before > 0))
            direction = gradient + turn * direction
        return x, left
