"""The components of a response on a basis of contrasts, and what became of each between two environments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.advise.comparison.contrasts import ContrastBasis
from perfport.advise.comparison.result import KINDS, InfluenceChange, Kind
from perfport.advise.influences.anova import Anova
from perfport.advise.influences.coding import CodedRows
from perfport.data.measurement import FloatArray

__all__ = ["Judge", "Term", "components", "strongest_pairs"]

Term = tuple[str, ...]

# An interaction beyond the 40 strongest is none, and of a sample coefficients need four rows each to be told apart.
_MAX_PAIRS = 40
_ROWS_PER_COLUMN = 4

_SAME_SHAPE = 0.7  # correlation of two patterns below which one is no multiple of the other
_VANISHED = 0.15  # factor below which an influence is gone, however large it was


def strongest_pairs(basis: ContrastBasis, coded: CodedRows, responses: FloatArray, *, is_sample: bool) -> list[Term]:
    """Return the pairs of options that interact most in any of the responses, shape (n, k)."""
    found = Anova(coded.codes, is_sample=is_sample).decompose(responses)
    strength = found.interactions.max(axis=1, initial=0.0)
    room = len(coded.codes) // (_ROWS_PER_COLUMN if is_sample else 1)
    room -= 1 + sum(len(basis.weights([name])) for name in basis.contrasts)
    pairs: list[Term] = []
    for position in np.argsort(-strength, kind="stable")[:_MAX_PAIRS]:
        i, j = found.pairs[position]
        pair = (coded.names[i], coded.names[j])
        room -= len(basis.weights(pair))
        if strength[position] <= 0 or room < 0:
            break
        pairs.append(pair)
    return pairs


def components(
    basis: ContrastBasis, rows: pd.DataFrame, responses: FloatArray, pairs: Sequence[Term]
) -> dict[Term, FloatArray]:
    """Return the coefficients, shape (r, k), of every main effect and the given pairs in k responses, shape (n, k).

    All are fitted together: in a sample, main effects fitted alone would pick up chance from interactions.
    """
    terms: list[Term] = [*((name,) for name in basis.contrasts), *pairs]
    columns = basis.many(terms, rows)
    X = np.hstack([*columns, np.ones((len(rows), 1))])
    b = np.asarray(np.linalg.lstsq(X, responses, rcond=None)[0], dtype=np.float64)
    found, start = {}, 0
    for term, part in zip(terms, columns, strict=True):
        found[term] = b[start : start + part.shape[1]]
        start += part.shape[1]
    return found


@dataclass(frozen=True, slots=True)
class Judge:
    """Puts a name to what became of an influence.

    Attributes:
        smallest: Root mean square, on the log scale, below which there is no influence.
        tolerance: A factor within 1 - this and 1 + this stays.
        tail: Probability beyond each end of an interval.
    """

    smallest: float
    tolerance: float
    tail: float

    def all(self, source: Mapping[Term, FloatArray], target: Mapping[Term, FloatArray]) -> tuple[InfluenceChange, ...]:
        """Judge every influence, largest first.

        Args:
            source: Term -> coefficients in the source, shape (k, r) for k draws, or (1, r).
            target: The same terms in the target.
        """
        found = [self.one(term, source[term], target[term]) for term in source]
        return tuple(
            sorted(
                (change for change in found if change), key=lambda change: -max(change.source_pct, change.target_pct)
            )
        )

    def one(self, term: Term, source: FloatArray, target: FloatArray) -> InfluenceChange | None:
        """Return what most probably became of one influence; None if that is: nothing, in both."""
        k = max(len(source), len(target))
        of_source, of_target = _repeated(source, k), _repeated(target, k)
        source_size, target_size = _along_mean(of_source), _along_mean(of_target)
        norms = np.linalg.norm(of_source, axis=1), np.linalg.norm(of_target, axis=1)
        inner = np.einsum("kr,kr->k", of_source, of_target)
        factor = np.divide(inner, norms[0] ** 2, out=np.full(k, np.nan), where=norms[0] > 0)
        alike = np.divide(np.abs(inner), norms[0] * norms[1], out=np.zeros(k), where=norms[0] * norms[1] > 0)
        kinds = self._kinds(source_size, target_size, factor, alike)
        shares = [float(np.mean(kinds == number)) for number in range(len(KINDS))]
        if 1.0 - sum(shares) >= 0.5:
            return None
        kind = KINDS[int(np.argmax(shares))]
        has_factor, has_draws = kind != "appears", k > 1
        ends = [self.tail, 1.0 - self.tail]
        lower, upper = np.quantile(factor, ends).tolist() if has_factor and has_draws else (None, None)
        sizes = np.quantile(target_size, ends).tolist()
        return InfluenceChange(
            options=term,
            kind=kind,
            probability=max(shares) / sum(shares),
            factor=float(np.median(factor)) if has_factor else None,
            lower=lower,
            upper=upper,
            source_pct=_pct(float(np.median(source_size))),
            target_pct=_pct(float(np.median(target_size))),
            target_interval_pct=(_pct(sizes[0]), _pct(sizes[1])) if has_draws else None,
        )

    def _kinds(
        self, source_size: FloatArray, target_size: FloatArray, factor: FloatArray, alike: FloatArray
    ) -> NDArray[np.int64]:
        """Return the position in KINDS of every draw, -1 for no influence in either environment."""
        number: Mapping[Kind, int] = {kind: position for position, kind in enumerate(KINDS)}
        had, has = source_size >= self.smallest, target_size >= self.smallest
        with np.errstate(invalid="ignore"):
            kept = np.select(
                [
                    ~has | (target_size < _VANISHED * source_size),
                    alike < _SAME_SHAPE,
                    factor < 0,
                    np.abs(factor - 1.0) <= self.tolerance,
                ],
                [number["vanishes"], number["reshapes"], number["flips"], number["stays"]],
                default=number["scales"],
            )
        return np.asarray(np.where(had, kept, np.where(has, number["appears"], -1)))


def _repeated(draws: FloatArray, k: int) -> FloatArray:
    """Return k draws: those given, over and over."""
    return draws[np.arange(k) % len(draws)]


def _along_mean(draws: FloatArray) -> FloatArray:
    """Return the size of every draw along the mean pattern, shape (k,).

    The length of a draw would be positive even where an influence is nothing but uncertainty.
    """
    mean = draws.mean(axis=0)
    length = float(np.linalg.norm(mean))
    return np.asarray(draws @ (mean / length)) if length > 0 else np.zeros(len(draws))


def _pct(size: float) -> float:
    return 100.0 * float(np.expm1(size))
