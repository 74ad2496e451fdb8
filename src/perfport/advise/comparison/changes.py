"""How the influences of a source changed in a target, from a few measured target rows.

The log response of the target less what the source predicts for the same configurations is a sum of
*changes*: of the size of each influence the source has, of its shape, and influences the source does not
have. Each is a group of columns that is most probably not needed (see `perfport.advise.comparison.spike_slab`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from perfport.advise.comparison.components import Term
from perfport.advise.comparison.contrasts import ContrastBasis
from perfport.advise.comparison.spike_slab import Group, SelectionDraws, select_groups
from perfport.data.measurement import FloatArray

__all__ = ["InferredChanges", "infer_changes"]

_FACTOR_SD = 1.5  # expected change of a factor that does change: from 1 to anything between -2 and 4
_P_CHANGE = 0.5  # that the size of an influence changes
_P_RESHAPE = 0.1
_MAX_P_APPEAR = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class InferredChanges:
    """Influences in the source and, as draws, in the target.

    Attributes:
        source: Term -> its coefficients on the basis, shape (1, r).
        target: Term -> its coefficients in each draw, shape (k, r).
        probability: Term -> probability that it changed in any way.
        draws: The selection they come from; its intercepts are changes of the level common to all rows.
    """

    source: Mapping[Term, FloatArray]
    target: Mapping[Term, FloatArray]
    probability: Mapping[Term, float]
    draws: SelectionDraws

    def change_draws(self, basis: ContrastBasis, configurations: pd.DataFrame) -> FloatArray:
        """Return draws of the change of the log response, noise excluded, shape (k, m)."""
        total = np.repeat(self.draws.intercepts[:, None], len(configurations), axis=1)
        terms = self.changed
        for term, X in zip(terms, basis.many(terms, configurations), strict=True):
            total += (self.target[term] - self.source[term]) @ X.T
        return total

    def mean_change(self, basis: ContrastBasis, configurations: pd.DataFrame) -> FloatArray:
        """Return the expected change of the log response, shape (m,)."""
        total = np.full(len(configurations), float(self.draws.intercepts.mean()))
        terms = self.changed
        for term, X in zip(terms, basis.many(terms, configurations), strict=True):
            total += X @ (self.target[term] - self.source[term]).mean(axis=0)
        return total

    @property
    def changed(self) -> list[Term]:
        """Terms that changed in some draw."""
        return [term for term, probability in self.probability.items() if probability > 0]


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """A group of columns, and what its coefficients add to those of its term: shape (r of the group, r of the term)."""

    term: Term
    group: Group
    effect: FloatArray


def infer_changes(
    basis: ContrastBasis,
    own: Mapping[Term, FloatArray],
    configurations: pd.DataFrame,
    difference: FloatArray,
    *,
    smallest: float,
    rng: np.random.Generator,
    n_new: float = 1.0,
    new_size: float = 0.1,
    astray: float = 0.0,
    known_se: FloatArray | None = None,
) -> InferredChanges:
    """Infer what became of every influence.

    Args:
        basis: Contrasts of the options.
        own: Term -> its coefficients in the source, shape (r,); interactions that are not given are none.
        configurations: The target rows, n of them.
        difference: Log response measured in the target less that of the source, shape (n,).
        smallest: Influences of the source below this size are none.
        rng: Source of all randomness.
        n_new: Expected number of main effects that appear, and of interactions.
        new_size: Least size expected of an influence that appears, on the log scale.
        astray: Share of the rows expected to be off by themselves, by factors; 0 if none can be.
        known_se: Standard error of each difference, shape (n,), as far as it is known.
    """
    pairs: list[Term] = list(combinations(basis.contrasts, 2))
    terms: list[Term] = [*((name,) for name in basis.contrasts), *pairs]
    own = {tuple(sorted(term)): b for term, b in own.items()}
    source = {term: own.get(tuple(sorted(term)), np.zeros(len(basis.weights(term)))) for term in terms}
    size = {term: float(np.linalg.norm(b)) for term, b in source.items()}
    material = {term for term in terms if size[term] >= smallest}
    expected = _expected_new({term: term in material for term in terms}, n_new)
    typical = float(np.sqrt(np.mean([size[term] ** 2 for term in material]))) if material else 0.0
    columns = dict(zip(terms, basis.many(terms, configurations), strict=True))
    steps: list[_Step] = []
    for term in terms:
        spread = np.diag(np.sqrt(basis.weights(term)))
        if term not in material:
            steps.append(_step(term, columns[term], max(typical, new_size) * spread, expected[term]))
            continue
        steps.append(_step(term, columns[term], _FACTOR_SD * source[term][None, :], _P_CHANGE))
        if len(spread) > 1:
            unit = source[term] / size[term]
            bent = spread @ (np.eye(len(unit)) - np.outer(unit, unit))
            steps.append(_step(term, columns[term], size[term] * bent, _P_RESHAPE))
    drawn = select_groups(difference, [step.group for step in steps], rng=rng, known_se=known_se, astray=astray)
    target = {term: np.repeat(b[None, :], len(drawn.noise), axis=0) for term, b in source.items()}
    for step, coefficients in zip(steps, drawn.coefficients, strict=True):
        target[step.term] = target[step.term] + coefficients @ step.effect
    changed = {term: float(np.mean(np.any(target[term] != b, axis=1))) for term, b in source.items()}
    return InferredChanges({term: b[None, :] for term, b in source.items()}, target, changed, drawn)


def _step(term: Term, columns: FloatArray, effect: FloatArray, probability: float) -> _Step:
    return _Step(term, Group(columns @ effect.T, probability), effect)


def _expected_new(is_material: Mapping[Term, bool], n_new: float) -> dict[Term, float]:
    """Return the probability that an influence appears; an interaction likes the company of main effects."""

    def weight(term: Term) -> float:
        return float(2 ** sum(is_material[name,] for name in term)) if len(term) > 1 else 1.0

    probability: dict[Term, float] = {}
    for order in (1, 2):
        missing: Sequence[Term] = [term for term, known in is_material.items() if len(term) == order and not known]
        total = sum(weight(term) for term in missing)
        probability |= {term: min(n_new * weight(term) / total, _MAX_P_APPEAR) for term in missing}
    return probability
