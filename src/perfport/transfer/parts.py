"""The response as a sum of parts, each of which may change by a factor of its own.

Work is done one thing after another: rows are read, a processor prepares them, an accelerator computes.
Where the accelerator alone becomes four times slower, the response is not multiplied by anything, but one of its
summands is. A source's predictions are therefore split into what each option adds to the least, a constant,
and a rest that no such sum explains; a target may scale every one of them. Options of one group (the layers of a
network) hold the same kinds of work in different places: what a level adds is scaled by its kind's factor as well.

Source:
    Amdahl, "Validity of the Single Processor Approach to Achieving Large Scale Computing Capabilities", AFIPS 1967:
    a time is the sum of parts, and speeding up one leaves the others as they are.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from perfport.space.encoding import ColumnInfo
from perfport.space.options import Level

__all__ = ["PartOf", "Parts", "fit_parts", "loadings_of", "rescaled"]

FloatArray = NDArray[np.float64]

MAX_KNOTS = 12  # levels a curve bends at; more are thinned to quantiles
N_QUANTILES = 8
PENALTY = 0.03  # of what options add, in units of the sum's own scale: what may be constant is constant
NEGLIGIBLE = 1e-6  # of the mean response: what an option adds at most to count as adding nothing
PLACE_SPREAD = 0.5  # of the log factor of an option's place in its group, relative to that of what it holds there
REST_SPREAD = 2.0  # of the rest's log factor, relative to the others': what no sum explains carries over least
LEAST_TOTAL = 0.1  # of the sum of the parts' sizes: negative rests must not eat up what is there


@dataclass(frozen=True, slots=True)
class _Curve:
    """What the level in one encoded column adds: linear between knots, constant beyond them."""

    column: int
    knots: FloatArray
    added: FloatArray

    def __call__(self, X: FloatArray) -> FloatArray:
        return np.interp(X[:, self.column], self.knots, self.added)


@dataclass(frozen=True, slots=True)
class PartOf:
    """What adds a part.

    Attributes:
        option: Name of the option.
        kind: Group and level of which this is one place; the level is None where all levels of an option are one part.
            None for options that are in no group.
    """

    option: str
    kind: tuple[str, Level | None] | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """A positive response as a sum over options, or levels of options in groups, and a constant.

    Attributes:
        names: What adds something.
        constant: What is there whatever the options are.
    """

    names: tuple[PartOf, ...]
    constant: float
    _curves: tuple[tuple[_Curve, ...], ...]

    def of(self, X: FloatArray) -> FloatArray:
        """Return the parts at encoded rows, then the constant, shape (n_parts + 1, n); none negative."""
        added = [np.sum([curve(X) for curve in curves], axis=0) for curves in self._curves]
        return np.stack([*added, np.full(len(X), self.constant)])


def fit_parts(columns: Sequence[ColumnInfo], groups: Mapping[str, str], X: FloatArray, y: FloatArray) -> Parts:
    """Split a response by non-negative least squares of its relative error.

    Args:
        columns: What the columns of X stand for.
        groups: Option -> its group, of the options that are in one.
        X: Encoded rows, shape (n, d).
        y: Positive responses, in any unit, shape (n,).

    Returns:
        The parts, in the unit of `y`; what no sum of options explains is in none of them.
    """
    n_level_columns = Counter(info.option for info in columns if info.kind == "level")
    hats: list[tuple[int, FloatArray, int]] = []  # column, its knots, the knot at which the hat is 1
    for position, info in enumerate(columns):
        knots = _knots(X[:, position])
        if info.primary and info.kind != "count" and len(knots) > 1:
            # One of many levels adds where it is on; what it adds elsewhere is said by the other levels.
            is_one_of_many = n_level_columns[info.option] > 1
            hats += [(position, knots, at) for at in range(len(knots) - 1 if is_one_of_many else 0, len(knots))]
    basis = [np.ones(len(y)), *(np.interp(X[:, column], knots, np.eye(len(knots))[at]) for column, knots, at in hats)]
    A = np.stack(basis, axis=1) / y[:, None]
    penalty = PENALTY * float(np.sqrt(np.mean(np.square(1.0 / y)))) * np.eye(len(basis))[1:]
    # The triangle of a QR decomposition has the same solution and as many rows as columns.
    Q, R = np.linalg.qr(np.vstack([A, penalty]))
    found, _ = nnls(R, Q[: len(y)].sum(axis=0))
    curves: dict[PartOf, dict[int, _Curve]] = {}
    for (column, knots, at), added in zip(hats, found[1:], strict=True):
        info = columns[column]
        level = info.level if n_level_columns[info.option] > 1 else None
        kind = (groups[info.option], level) if info.option in groups else None
        of_part = curves.setdefault(PartOf(info.option, kind), {})
        of_part.setdefault(column, _Curve(column, knots, np.zeros(len(knots)))).added[at] = added
    least = NEGLIGIBLE * float(y.mean())
    used = {name: tuple(of.values()) for name, of in curves.items() if max(c.added.max() for c in of.values()) > least}
    return Parts(tuple(used), float(found[0]), tuple(used.values()))


def loadings_of(names: Sequence[PartOf]) -> FloatArray:
    """Return how far each change scales each part, shape (n_parts + 2, n_changes); a constant and the rest come last.

    One change for every option, one for every kind of work in a group, one for the constant and one for the rest.
    """
    labels = dict.fromkeys(label for name in names for label in (name.option, name.kind) if label is not None)
    changes = {label: i for i, label in enumerate(labels)}
    loadings = np.zeros((len(names) + 2, len(changes) + 2))
    for part, name in enumerate(names):
        loadings[part, changes[name.option]] = 1.0 if name.kind is None else PLACE_SPREAD
        if name.kind is not None:
            loadings[part, changes[name.kind]] = 1.0
    loadings[-2:, -2:] = np.diag([1.0, REST_SPREAD])
    return loadings


def rescaled(
    parts: FloatArray, loadings: FloatArray, changes: FloatArray, unit: float
) -> tuple[FloatArray, FloatArray]:
    """Return what the log response gains, shape (n,), where the parts change by factors, and the derivatives.

    Args:
        parts: What each adds to the response, shape (k, n); their sum is positive.
        loadings: Log factor of each part for a change of one, shape (k, p).
        changes: Each over how far it is expected to stray, shape (p,).
        unit: Of the log response.

    Returns:
        The gain, zero where nothing changes, and its derivative by each change, shape (p, n); both over `unit`.
    """
    scaled = np.exp(loadings @ changes)[:, None] * parts
    total = _total(scaled)
    return np.log(total / _total(parts)) / unit, loadings.T @ (scaled / total) / unit


def _total(parts: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(parts.sum(axis=0), LEAST_TOTAL * np.abs(parts).sum(axis=0)))


def _knots(values: FloatArray) -> FloatArray:
    knots = np.unique(np.round(values, 9))
    return knots if len(knots) <= MAX_KNOTS else np.unique(np.quantile(values, np.linspace(0.0, 1.0, N_QUANTILES)))
