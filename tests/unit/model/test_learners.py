import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from perfport.data.dataset import Dataset
from perfport.errors import NotEnoughDataError, UnknownPluginError, UsageError
from perfport.model.base import HasNotes, PerformanceModel
from perfport.model.learners import (
    BUILTIN,
    GaussianProcess,
    LogResponse,
    StepwiseRegression,
    fit_performance_model,
    make_learner,
)
from perfport.model.metrics import errors
from perfport.plugins import known_names

# The sparse network needs PyTorch and takes seconds; it has its own tests.
NAMES = sorted(BUILTIN.keys() - {"sparse_network"})
FRAME = pd.DataFrame(
    [(c, t, m) for c in (400.0, 800.0, 1200.0, 1600.0, 2000.0) for t in (1, 2, 3, 4) for m in ("a", "b", "c")],
    columns=["clock", "threads", "mode"],
)
TIME = (0.2 + 400 / FRAME["clock"] / FRAME["threads"] + 0.3 * (FRAME["mode"] == "b")).to_numpy()


def measured(rows: ArrayLike, factor: float = 1.0) -> Dataset:
    dataset = Dataset.from_frame(FRAME.assign(time_s=factor * TIME), properties=["time_s"])
    return dataset.take(rows)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", NAMES)
def test_every_learner_learns(name: str) -> None:
    train = measured(np.random.default_rng(1).permutation(60)[:45])
    model = fit_performance_model(train, "time_s", name, rng=rng())
    found = errors(TIME, model.predict(FRAME))
    assert found.spearman > 0.9
    assert found.median_ape_pct < 12


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_learner_answers_from_the_first_row_on(name: str, n: int) -> None:
    predicted = fit_performance_model(measured(list(range(n))), "time_s", name, rng=rng()).predict(FRAME)
    assert predicted.shape == (60,)
    assert np.all(np.isfinite(predicted) & (predicted > 0))
    if n == 1:
        assert predicted == pytest.approx(np.full(60, TIME[0]), rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_model_whatever_the_order_of_rows(name: str) -> None:
    rows = np.random.default_rng(2).permutation(60)[:20]
    here = fit_performance_model(measured(rows), "time_s", name, rng=rng()).predict(FRAME)
    assert fit_performance_model(measured(rows), "time_s", name, rng=rng()).predict(FRAME).tolist() == here.tolist()
    other = fit_performance_model(measured(np.sort(rows)), "time_s", name, rng=rng()).predict(FRAME)
    assert other == pytest.approx(here, rel=1e-9)


@settings(max_examples=10, deadline=None)
@given(factor=st.floats(1e-6, 1e6), name=st.sampled_from(["forest", "gp", "ridge", "stepwise", "svr"]))
def test_the_unit_of_the_response_is_the_unit_of_the_prediction(factor: float, name: str) -> None:
    rows = np.random.default_rng(3).permutation(60)[:25]
    here = fit_performance_model(measured(rows), "time_s", name, rng=rng()).predict(FRAME)
    there = fit_performance_model(measured(rows, factor), "time_s", name, rng=rng()).predict(FRAME)
    assert there == pytest.approx(factor * here, rel=1e-6)


def test_a_prediction_depends_on_its_row_alone() -> None:
    model = fit_performance_model(measured(list(range(0, 60, 2))), "time_s", "gp", rng=rng())
    assert model.predict(FRAME.iloc[[7]]) == pytest.approx(model.predict(FRAME)[[7]])
    assert model.predict(FRAME.head(0)).shape == (0,)


def test_an_unmeasured_level_and_a_missing_cell_are_answered() -> None:
    model = fit_performance_model(measured(list(range(40))), "time_s", rng=rng())
    strange = pd.DataFrame({"clock": [5000.0, np.nan], "threads": [9, 1], "mode": ["z", None]})
    assert np.all(model.predict(strange) > 0)


def test_options_that_never_vary_leave_the_mean() -> None:
    frame = pd.DataFrame({"threads": [1, 1, 1], "time_s": [1.0, 10.0, 100.0]})
    model = fit_performance_model(Dataset.from_frame(frame, properties=["time_s"]), "time_s", "forest", rng=rng())
    assert 1 < model.predict(frame)[0] < 100
    exact = fit_performance_model(Dataset.from_frame(frame, properties=["time_s"]), "time_s", "ridge", rng=rng())
    assert exact.predict(frame) == pytest.approx([10.0] * 3)


def test_rows_that_failed_are_dropped_with_a_note() -> None:
    y = TIME.copy()
    y[:4] = 0
    dataset = Dataset.from_frame(FRAME.assign(time_s=y), properties=["time_s"])
    model = fit_performance_model(dataset, "time_s", "tree", rng=rng())
    assert model.notes == ("environment 'unnamed': 4 of 60 rows dropped, their 'time_s' is not positive",)
    assert model.predict(FRAME)[4:] == pytest.approx(TIME[4:])


def test_a_learner_that_is_passed_is_cloned_seeded_and_left_alone() -> None:
    mine = RandomForestRegressor(5)
    model = fit_performance_model(measured(list(range(30))), "time_s", mine, rng=rng())
    assert not hasattr(mine, "estimators_")
    assert mine.random_state is None
    assert model.predict(FRAME).shape == (60,)
    made = make_learner(make_pipeline(StandardScaler(), DecisionTreeRegressor()), rng())
    assert made.get_params()["decisiontreeregressor__random_state"] is not None  # type: ignore[attr-defined]
    kept = make_learner(RandomForestRegressor(5, random_state=7), rng())
    assert kept.random_state == 7  # type: ignore[attr-defined]


def test_learners_can_be_cloned_without_work() -> None:
    for learner in (GaussianProcess(max_fit=9), StepwiseRegression(criterion="bic"), LogResponse(LinearRegression())):
        copy = clone(learner)
        assert copy.get_params().keys() == learner.get_params().keys()


def test_log_response_recovers_a_power_law_exactly() -> None:
    X = np.linspace(1, 3, 10)[:, None]
    fitted = LogResponse(LinearRegression()).fit(X, np.exp(1 - 2 * X[:, 0]))
    assert fitted.predict(np.array([[5.0]])) == pytest.approx(np.exp(-9))


def test_stepwise_regression_finds_a_product_and_a_square() -> None:
    X = np.random.default_rng(0).normal(size=(80, 12))
    fitted = StepwiseRegression().fit(X, 2 + X[:, 3] ** 2 - 0.5 * X[:, 1] * X[:, 7])
    assert sorted(fitted.terms_) == [(1, 7), (3, 3)]
    assert fitted.predict(np.ones((1, 12))) == pytest.approx(2.5)


def test_the_process_uses_no_more_rows_than_it_may() -> None:
    X = np.random.default_rng(0).normal(size=(200, 2))
    y = np.sin(X[:, 0]) + X[:, 1]
    fitted = GaussianProcess(max_fit=50, max_rows=120, random_state=0).fit(X, y)
    assert len(fitted.X_) == 120
    assert np.abs(fitted.predict(X) - y).max() < 0.2


def test_the_model_keeps_the_protocols() -> None:
    model: PerformanceModel = fit_performance_model(measured([0, 30]), "time_s", "tree", rng=rng())
    assert model.property.name == "time_s"
    assert isinstance(model, HasNotes)


def test_a_learner_that_does_not_exist_is_refused_with_those_that_do() -> None:
    assert set(NAMES) <= set(known_names("learner", BUILTIN))
    with pytest.raises(UnknownPluginError, match=r"unknown learner 'forrest'.*did you mean 'forest'"):
        make_learner("forrest", rng())


def test_nothing_to_learn_from_is_refused() -> None:
    dataset = Dataset.from_frame(FRAME.assign(time_s=0.0), properties=["time_s"])
    with pytest.raises(NotEnoughDataError, match="none of 60 rows"):
        fit_performance_model(dataset, "time_s", rng=rng())
    with pytest.raises(UsageError, match="no property 'watts'"):
        fit_performance_model(dataset, "watts", rng=rng())
