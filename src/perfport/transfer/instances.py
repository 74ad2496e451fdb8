"""Instance weighting: source rows join the target rows, and those that contradict them lose their weight.

One learner is fitted again and again to all rows, source and target. After every round a source row
that was predicted badly counts less, since it seems to come from another world, and a target row that
was predicted badly counts more, as in boosting.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.validation import has_fit_parameter

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Property
from perfport.errors import UsageError
from perfport.model.base import Learner
from perfport.model.learners import make_learner
from perfport.model.threads import one_thread
from perfport.space.encoding import Encoder
from perfport.transfer.baselines import MAX_POOLED, fit_factor
from perfport.transfer.surface import source_surface

__all__ = ["BoostedModel", "TrAdaBoost", "boost", "weighted_median"]

# Trees break ties by the last bit, which depends on the unit of the response; beyond this nothing is meant.
_DECIMALS = 10
_EXACT = 1e-9  # a largest error below this, in standard deviations, is an exact fit


@dataclass(frozen=True, slots=True)
class TrAdaBoost:
    """TrAdaBoost.R2: boosting of a learner over source and target rows together.

    Sources are multiplied by one factor each before they join (the geometric mean of target over source,
    as in `Scaled`), for a board twice as fast contradicts every row of the other otherwise; that is ours.

    Attributes:
        learner: A name, or a learner to clone. It must be weak: a tree grown to the end fits target rows
            one by one and leaves the rest of the space to the sources (16 instead of 5 % error from 50 rows).
        rounds: Most rounds; the later half of them predicts.
        draws: Whether rows are drawn by weight, which works with any learner (Drucker, ICML 1997), or the weights
            are passed to the learner as `sample_weight`.

    Source:
        Pardoe and Stone, "Boosting for Regression Transfer", ICML 2010, algorithm 2.
    """

    learner: str | Learner = field(default_factory=lambda: DecisionTreeRegressor(max_depth=4))
    rounds: int = 60
    draws: bool = True

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> "BoostedModel":
        """Fit; see `TransferStrategy.fit`. Without sources this is AdaBoost.R2 on the target rows.

        Raises:
            UsageError: If weights are to be passed and the learner takes none, or there is no round.
        """
        if self.rounds < 1:
            raise UsageError(f"rounds is {self.rounds}: boosting needs 1 or more", rounds=self.rounds)
        if not self.draws and not has_fit_parameter(
            make_learner(self.learner, np.random.default_rng(0)), "sample_weight"
        ):
            raise UsageError(
                f"learner '{self.learner}' takes no sample weights; use draws=True, or a learner such as 'tree'"
            )
        most = MAX_POOLED // max(len(sources), 1)
        kept = [source.take(np.arange(min(len(source), most))) for source in sources]
        factors = [_factor(source, target, property) for source in sources]
        datasets = [*kept, target]
        configurations = pd.concat([d.configurations for d in datasets], ignore_index=True)
        encoder = Encoder(target.space, fitted_on=configurations)
        scaled = [f * d.response(property) for f, d in zip([*factors, 1.0], datasets, strict=True)]
        z = np.log(np.concatenate(scaled))
        mean, scale = float(z.mean()), float(z.std()) or 1.0
        X = np.round(encoder.transform(configurations), _DECIMALS)
        with one_thread():
            learners, weights = boost(self, X, np.round((z - mean) / scale, _DECIMALS), len(X) - len(target), rng)
        return BoostedModel(target.properties[property], encoder, tuple(learners), weights, mean, scale)


@dataclass(frozen=True, eq=False)
class BoostedModel:
    """The weighted median of the learners of the later rounds.

    Attributes:
        property: What is predicted.
        encoder: From configurations to columns.
        learners: From columns to the standardised logarithm of the response.
        weights: One a learner, shape (k,), positive.
        mean: Of the logarithm.
        scale: Of the logarithm.
    """

    property: Property
    encoder: Encoder
    learners: tuple[Learner, ...]
    weights: FloatArray
    mean: float
    scale: float

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the prediction for the target, shape (m,), in the unit of the property."""
        if not len(configurations):
            return np.empty(0)
        X = np.round(self.encoder.transform(configurations), _DECIMALS)
        with one_thread():
            z = np.column_stack([learner.predict(X) for learner in self.learners])
        return np.asarray(np.exp(self.mean + self.scale * weighted_median(z, self.weights)))


def boost(
    settings: TrAdaBoost, X: FloatArray, z: FloatArray, n_source: int, rng: np.random.Generator
) -> tuple[list[Learner], FloatArray]:
    """Run the rounds; return the learners that predict and their weights ln(1 / beta_t).

    Args:
        settings: Learner, rounds and weighting.
        X: Rows of the sources, then of the target, shape (n + m, d).
        z: Their responses, shape (n + m,).
        n_source: n.
        rng: Source of all randomness.
    """
    weights = np.full(len(X), 1.0 / len(X))
    is_target = np.arange(len(X)) >= n_source
    beta_source = 1.0 / (1.0 + np.sqrt(2.0 * np.log(max(n_source, 1)) / settings.rounds))
    learners: list[Learner] = []
    betas: list[float] = []
    for _ in range(settings.rounds):
        learner = _fitted(settings, X, z, weights, rng)
        error = np.abs(z - np.asarray(learner.predict(X), dtype=np.float64))
        largest = float(error.max())
        # Only the target rows say how good a round is; sources may be as wrong as they like.
        loss = float(error[is_target] @ weights[is_target] / weights[is_target].sum()) / max(largest, _EXACT)
        if largest <= _EXACT or loss <= 0.0:
            return [learner], np.ones(1)  # every target row is met exactly: nothing is left to weigh
        if loss >= 0.5 and learners:
            break
        learners.append(learner)
        # A first round no better than chance is kept, for something has to predict; it ends the boosting.
        beta = min(loss, 0.499) / (1.0 - min(loss, 0.499))
        betas.append(beta)
        if loss >= 0.5:
            break
        relative = error / largest
        weights = weights * np.where(is_target, beta**-relative, beta_source**relative)
        weights /= weights.sum()
    start = len(learners) // 2
    return learners[start:], np.log(1.0 / np.asarray(betas[start:]))


def weighted_median(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the weighted median of every row: the least value at which half of the weight is reached.

    Args:
        values: Shape (m, k).
        weights: Of the columns, shape (k,), positive.

    Example:
        >>> weighted_median(np.array([[1.0, 2.0, 10.0]]), np.array([1.0, 1.0, 3.0])).tolist()
        [10.0]
    """
    order = np.argsort(values, axis=1, kind="stable")
    reached = np.cumsum(weights[order], axis=1) >= 0.5 * weights.sum()
    return np.asarray(np.take_along_axis(values, order, axis=1)[np.arange(len(values)), reached.argmax(axis=1)])


def _fitted(
    settings: TrAdaBoost, X: FloatArray, z: FloatArray, weights: FloatArray, rng: np.random.Generator
) -> Learner:
    learner = make_learner(settings.learner, rng)
    if settings.draws:
        rows = rng.choice(len(X), len(X), p=weights)
        learner.fit(X[rows], z[rows])
    else:
        learner.fit(X, z, sample_weight=weights * len(X))  # type: ignore[call-arg]  # checked by has_fit_parameter
    return learner


def _factor(source: Dataset, target: Dataset, property: str) -> float:
    predicted = source_surface(source, property=property).predict(target.configurations)
    shift, _ = fit_factor(predicted, target.response(property))
    return float(shift(np.ones(1), target.configurations.head(1))[0])
