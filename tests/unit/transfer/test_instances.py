import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.tree import DecisionTreeRegressor
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.data.dataset import Dataset
from perfport.errors import UsageError
from perfport.model.metrics import mape_pct
from perfport.transfer.instances import BoostedModel, TrAdaBoost, boost, weighted_median

SOURCE = dataset(noisy(log_time(FRAME), 0), "old")
TARGET = dataset(noisy(1.0 + log_time(FRAME, threads=-0.2, mode_b=0.0), 1), "new")
ROWS = np.random.default_rng(3).choice(len(FRAME), 40, replace=False)
REST = np.setdiff1d(np.arange(len(FRAME)), ROWS)


def fitted(strategy: TrAdaBoost, *sources: Dataset, seed: int = 0) -> BoostedModel:
    return strategy.fit(sources, TARGET.take(ROWS), property="time_s", rng=np.random.default_rng(seed))


def error(model: BoostedModel) -> float:
    return mape_pct(TARGET.response("time_s")[REST], model.predict(FRAME.iloc[REST]))


@pytest.mark.parametrize("draws", [True, False])
def test_boosting_beats_the_same_learner_on_all_rows_at_once(draws: bool) -> None:
    once, boosted = (fitted(TrAdaBoost(rounds=rounds, draws=draws), SOURCE) for rounds in (1, 60))
    assert len(once.learners) == 1
    assert error(boosted) < 0.7 * error(once)


def test_source_rows_that_contradict_the_target_lose_their_weight() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(180, 1))
    is_source, is_right = np.arange(180) < 100, X[:, 0] > 0.5
    z = X[:, 0] + 5.0 * (is_source & is_right)  # on the right half the source is of another world
    at = np.array([[0.75]])
    once, boosted = (boost(TrAdaBoost(rounds=rounds), X, z, 100, np.random.default_rng(0))[0] for rounds in (1, 60))
    assert float(once[0].predict(at)[0]) > 2.0
    assert float(np.median([learner.predict(at)[0] for learner in boosted])) == pytest.approx(0.75, abs=0.2)


def test_without_sources_it_is_plain_boosting() -> None:
    assert error(fitted(TrAdaBoost())) < 25


def test_equal_generators_give_equal_models() -> None:
    first, again, other = (fitted(TrAdaBoost(), SOURCE, seed=seed).predict(FRAME) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_an_exact_fit_ends_the_boosting() -> None:
    model = fitted(TrAdaBoost(learner=DecisionTreeRegressor(), draws=False))
    assert len(model.learners) == 1


def test_the_unit_of_the_target_is_the_unit_of_the_prediction() -> None:
    rows = TARGET.take(ROWS)
    scaled = dataset(1000 * TARGET.response("time_s"), "new").take(ROWS)
    here, there = (
        TrAdaBoost().fit([SOURCE], each, property="time_s", rng=np.random.default_rng(0)).predict(FRAME)
        for each in (rows, scaled)
    )
    assert there == pytest.approx(1000 * here, rel=1e-6)


def test_a_learner_without_weights_cannot_be_given_them() -> None:
    with pytest.raises(UsageError, match="'gp' takes no sample weights; use draws=True"):
        fitted(TrAdaBoost(learner="gp", draws=False), SOURCE)


def test_no_round_is_refused() -> None:
    with pytest.raises(UsageError, match="boosting needs 1 or more"):
        fitted(TrAdaBoost(rounds=0), SOURCE)


@given(values=arrays(float, (4, 7), elements=st.floats(-1e3, 1e3)))
def test_with_equal_weights_the_weighted_median_is_the_median(
    values: "np.ndarray[tuple[int, int], np.dtype[np.float64]]",
) -> None:
    assert weighted_median(values, np.ones(7)).tolist() == np.median(values, axis=1).tolist()


def test_weight_moves_the_median() -> None:
    values = np.array([[3.0, 1.0, 2.0]])
    assert weighted_median(values, np.array([9.0, 1.0, 1.0])).tolist() == [3.0]
    assert weighted_median(values, np.array([1.0, 9.0, 1.0])).tolist() == [1.0]
