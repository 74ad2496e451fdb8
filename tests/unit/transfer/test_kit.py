"""The kit for strategies notices what it is there to notice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Property
from perfport.testing.kits_transfer import StrategyKit
from perfport.transfer.base import TransferStrategy

Answer = Callable[[pd.DataFrame], FloatArray]


@dataclass(frozen=True)
class Answers:
    """A model that answers what it is told to."""

    property: Property
    answer: Answer

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        return self.answer(configurations)


@dataclass(frozen=True)
class Wrong:
    """A strategy made of one line."""

    made: Callable[[Sequence[Dataset], Dataset, np.random.Generator], Answer]

    def fit(self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator) -> Answers:
        return Answers(target.properties[property], self.made(sources, target, rng))


def kit(strategy: TransferStrategy) -> StrategyKit:
    class Kit(StrategyKit):
        def make(self) -> TransferStrategy:
            return strategy

    return Kit()


def constant(value: float) -> Answer:
    return lambda configurations: np.full(len(configurations), value)


def mean_of(target: Dataset) -> float:
    return float(np.exp(np.log(target.responses["response_s"]).mean()))


def test_a_strategy_that_keeps_the_rules_passes() -> None:
    right = kit(Wrong(lambda sources, target, rng: constant(mean_of(target))))
    right.test_predicts_finite_and_positive_from_the_first_row_on(5, 1)
    right.test_another_unit_gives_the_same_predictions_in_it(1e6)
    right.test_a_prediction_depends_on_its_row_alone()
    right.test_all_randomness_comes_from_the_seed()
    right.test_rows_that_failed_do_no_harm()


def test_predictions_that_are_not_finite_or_far_off_are_noticed() -> None:
    for value in (np.nan, -1.0, 1e9):
        with pytest.raises(AssertionError):
            wrong = kit(Wrong(lambda sources, target, rng, value=value: constant(value)))  # type: ignore[misc]
            wrong.test_predicts_finite_and_positive_from_the_first_row_on(5, 1)


def test_a_unit_that_is_taken_for_granted_is_noticed() -> None:
    with pytest.raises(AssertionError):
        kit(Wrong(lambda sources, target, rng: constant(1.0))).test_another_unit_gives_the_same_predictions_in_it(1e6)


def test_predictions_that_depend_on_their_neighbours_are_noticed() -> None:
    def by_rank(configurations: pd.DataFrame) -> FloatArray:
        return np.linspace(1.0, 2.0, max(len(configurations), 1))[: len(configurations)]

    with pytest.raises(AssertionError):
        kit(Wrong(lambda sources, target, rng: by_rank)).test_a_prediction_depends_on_its_row_alone()


def test_randomness_from_elsewhere_is_noticed() -> None:
    unseeded = np.random.default_rng()
    with pytest.raises(AssertionError):
        kit(
            Wrong(lambda sources, target, rng: constant(float(unseeded.uniform(1.0, 2.0))))
        ).test_all_randomness_comes_from_the_seed()


def test_sources_that_are_not_used_are_noticed() -> None:
    with pytest.raises(AssertionError):
        kit(Wrong(lambda sources, target, rng: constant(mean_of(target)))).test_declares_truly_whether_it_uses_sources()


def test_a_strategy_that_must_refuse_and_does_not_is_noticed() -> None:
    class Needs(StrategyKit):
        needs_source = True

        def make(self) -> TransferStrategy:
            return Wrong(lambda sources, target, rng: constant(1.0))

    with pytest.raises(pytest.fail.Exception):
        Needs().test_predicts_finite_and_positive_from_the_first_row_on(5, 0)
