"""Guided learning: a learner of the target rows that looks only at what was influential in a source.

The finding of the study in its plainest form. Stepwise regression on every source names the
influential options and pairs of options; the learner of the target sees these columns and their
products and nothing else, so a handful of rows is not spent on ruling out irrelevant options. With the
sampler of the same name, which varies only these options, it is the study's guided sampling.

Source:
    Iqbal, Kotthoff, Jamshidi, "Transfer Learning for Performance Modeling of Deep Neural Network
    Systems", USENIX OpML 2019.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Property
from perfport.model.base import Learner
from perfport.model.influence import fit_influence_model
from perfport.model.learners import LogResponse, make_learner
from perfport.space.encoding import Encoder
from perfport.transfer.cache import RecentlyUsed

__all__ = ["GuidedLearner", "GuidedModel", "influential"]

MAX_ROWS = 2000  # of a source; stepwise regression finds no other terms on more
Pairs = tuple[tuple[str, ...], ...]

_FOUND: RecentlyUsed[Pairs] = RecentlyUsed(48)


@dataclass(frozen=True, slots=True)
class GuidedLearner:
    """A learner on the options and pairs of options that were influential in some source.

    Where there is no source, or nothing was influential in any, it sees all options.

    Attributes:
        learner: A name, or a learner to clone.
        least_influence: Smallest relative change of a source's response (root mean square over its rows)
            that counts as influential.
    """

    learner: str | Learner = "gp"
    least_influence: float = 0.01

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> "GuidedModel":
        """Fit; see `TransferStrategy.fit`."""
        found = sorted({names for source in sources for names in influential(source, property, self.least_influence)})
        encoder = Encoder(target.space, fitted_on=target.configurations)
        columns = _columns(encoder, found)
        X = _design(encoder.transform(target.configurations), columns)
        fitted = LogResponse(make_learner(self.learner, rng)).fit(X, target.response(property))
        named = ", ".join(" x ".join(names) for names in found) or "nothing, so all options are used"
        return GuidedModel(
            target.properties[property], encoder, fitted, columns, (f"influential in the sources: {named}",)
        )


@dataclass(frozen=True, eq=False)
class GuidedModel:
    """A learner of the influential columns.

    Attributes:
        property: What is predicted.
        encoder: From configurations to columns.
        learner: From the influential columns and their products to responses.
        columns: Which columns are taken, or multiplied.
        notes: What was influential.
    """

    property: Property
    encoder: Encoder
    learner: Learner
    columns: tuple[tuple[int, ...], ...]
    notes: tuple[str, ...]

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the prediction, shape (m,), in the unit of the property."""
        if not len(configurations):
            return np.empty(0)
        return self.learner.predict(_design(self.encoder.transform(configurations), self.columns))


def influential(source: Dataset, property: str, least_influence: float) -> Pairs:
    """Return the influential options (one name) and pairs (two names) of a source.

    Args:
        source: Its rows, responses positive.
        property: Name of the response.
        least_influence: As in `GuidedLearner`.
    """
    return _FOUND.get((source.key, property, least_influence), lambda: _influential(source, property, least_influence))


def _influential(source: Dataset, property: str, least_influence: float) -> Pairs:
    # Rows come in content order, which has nothing to do with the response.
    rows = source.take(np.arange(min(len(source), MAX_ROWS)))
    terms = fit_influence_model(rows, property, scale="log", criterion="aic").terms()
    kept = [tuple(sorted(set(term.options))) for term in terms if term.influence >= least_influence]
    # An option that matters in a pair matters; a term of three options is the pairs it holds.
    singles = {(name,) for names in kept for name in names}
    pairs = {(one, other) for names in kept for at, one in enumerate(names) for other in names[at + 1 :]}
    return tuple(sorted(singles | pairs))


def _columns(encoder: Encoder, found: Iterable[tuple[str, ...]]) -> tuple[tuple[int, ...], ...]:
    of_option: dict[str, list[int]] = {}
    for at, column in enumerate(encoder.columns):
        if column.primary or column.kind == "active":
            of_option.setdefault(column.option, []).append(at)
    chosen: list[tuple[int, ...]] = []
    for names in found:
        first, second = of_option.get(names[0], []), of_option.get(names[-1], [])
        chosen += [(i,) for i in first] if len(names) == 1 else [(i, j) for i in first for j in second]
    # Influential options may all stand still in the target rows; then whatever varies is as good.
    return tuple(chosen) or tuple((i,) for columns in of_option.values() for i in columns)


def _design(X: FloatArray, columns: tuple[tuple[int, ...], ...]) -> FloatArray:
    if not columns:
        return np.zeros((len(X), 1))
    return np.column_stack([X[:, list(factors)].prod(axis=1) for factors in columns])
