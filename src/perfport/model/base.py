"""What a learner and a performance model are, and which abilities a model may have beside predicting.

A *learner* knows only numbers: a matrix and a vector. A *performance model* knows configurations: it
is a fitted learner together with the encoding of one space, valid for one environment and one
property. Whoever needs more than a prediction (an interval, readable terms) says so by asking for
the small protocol of that ability, and any object with those methods fits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from perfport.data.measurement import FloatArray, Property
from perfport.model.predictive import Predictive

__all__ = [
    "HasNotes",
    "HasTerms",
    "Learner",
    "PerformanceModel",
    "PredictsDistribution",
    "PredictsInterval",
    "PredictsMedian",
    "PredictsStd",
    "Term",
]


class Learner(Protocol):
    """Learns a response from a matrix, by the conventions of scikit-learn.

    A learner must meet these requirements:

    - it can be cloned (`sklearn.base.clone`): `__init__` stores its arguments and does no work;
    - `fit` forgets whatever was learnt before, works from one row on, and returns itself;
    - `predict` answers finite numbers for every finite matrix with the columns it was fitted on;
    - all randomness comes from its argument `random_state`.

    It is given `X`, shape (n, d), finite, and `y`, shape (n,), finite, of any sign and scale.
    """

    def fit(self, X: FloatArray, y: FloatArray, /) -> Any:
        """Learn from `X`, shape (n, d), and `y`, shape (n,); return the learner itself."""
        ...

    def predict(self, X: FloatArray, /) -> FloatArray:
        """Return the predicted response of every row of `X`, shape (m,)."""
        ...


class PerformanceModel(Protocol):
    """Predicts one property of one environment from configurations.

    A model must meet these requirements:

    - it never changes once it exists, and may be asked from several threads;
    - a prediction depends on the row alone: not on its neighbours, their number or their order;
    - configurations may hold levels the model has never seen, and inactive (missing) cells.
    """

    @property
    def property(self) -> Property:
        """What is predicted."""
        ...

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        """Return one finite number a row, shape (m,), in the unit of the property.

        Args:
            configurations: One configuration a row; columns are options. Columns the model does not
                know are ignored.

        Raises:
            SpaceError: If a column the model needs is missing.
        """
        ...


@runtime_checkable
class PredictsInterval(Protocol):
    """Ability: a range that holds the response of a new measurement with a stated probability."""

    def predict_interval(self, configurations: pd.DataFrame, *, coverage: float = 0.9) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper limits, each shape (m,), in the unit of the property."""
        ...


@runtime_checkable
class PredictsDistribution(Protocol):
    """Ability: all that is held possible for a new measurement, not only a range."""

    def predict_distribution(self, configurations: pd.DataFrame) -> Predictive:
        """Return the predictive distributions of the responses, one a row."""
        ...


@runtime_checkable
class PredictsMedian(Protocol):
    """Ability: the predictive median, where `predict` answers something else.

    A prediction that minimises the relative error lies below the median, further where the model is
    less certain. Only the median is fit for ranking configurations.
    """

    def predict_median(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the median of the predictive distribution, shape (m,), in the unit of the property."""
        ...


@runtime_checkable
class PredictsStd(Protocol):
    """Ability: how uncertain a prediction is."""

    def predict_std(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the predictive standard deviation, shape (m,), in the unit of the property."""
        ...


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of an additive model.

    Attributes:
        options: Names of the options it depends on: one for a main effect, two or more for an
            interaction.
        expression: What is multiplied by the coefficient, e.g. "1/core_freq" or
            "threads * [mode == 'parallel']"; options stand for their levels in their own unit.
        coefficient: In the unit of the response (of its logarithm: none) divided by the expression's.
        influence: Root mean square of the summand around its mean over the rows it was fitted on, in
            the unit of the response (of its logarithm: none). Compares terms of different units.
    """

    options: tuple[str, ...]
    expression: str
    coefficient: float
    influence: float


@runtime_checkable
class HasTerms(Protocol):
    """Ability: an additive model whose terms can be read (guided sampling, explanation)."""

    def terms(self) -> Sequence[Term]:
        """Return the terms, most influential first; the intercept is not among them."""
        ...


@runtime_checkable
class HasNotes(Protocol):
    """Ability: says what its user should know (rows dropped, a fallback taken, a source chosen)."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Whole sentences without a full stop, in order of occurrence."""
        ...
