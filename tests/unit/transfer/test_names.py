import numpy as np
import pytest
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.errors import UnknownPluginError, UsageError
from perfport.model.learners import BUILTIN as LEARNERS
from perfport.model.metrics import mape_pct
from perfport.transfer.api import transfer
from perfport.transfer.names import BUILTIN, make_strategy, split_name, takes_learner

SOURCE = dataset(noisy(log_time(FRAME), 0), "old")
TARGET = dataset(noisy(1.0 + log_time(FRAME, threads=-0.4), 1), "new")
ROWS = np.arange(0, len(FRAME), 6)
WITH_LEARNER = sorted(name for name in BUILTIN if takes_learner(name))


@pytest.mark.parametrize("name", sorted(BUILTIN))
def test_every_strategy_is_a_good_guess_at_an_easy_target(name: str) -> None:
    model = make_strategy(name).fit([SOURCE], TARGET.take(ROWS), property="time_s", rng=np.random.default_rng(0))
    rest = np.setdiff1d(np.arange(len(FRAME)), ROWS)
    error = mape_pct(TARGET.response("time_s")[rest], model.predict(FRAME.iloc[rest]))
    assert error < (70 if name == "direct" else 30)
    assert model.predict(FRAME.head(0)).shape == (0,)


@pytest.mark.parametrize("learner", sorted(set(LEARNERS) - {"gp", "sparse_network"}))
@pytest.mark.parametrize("strategy", ["residual", "pooled", "guided", "nonlinear_shift"])
def test_any_learner_goes_into_any_strategy(strategy: str, learner: str) -> None:
    made = make_strategy(f"{strategy}:{learner}")
    model = made.fit([SOURCE], TARGET.take(ROWS[::3]), property="time_s", rng=np.random.default_rng(0))
    assert np.all(model.predict(FRAME.head(5)) > 0)


def test_the_public_function_takes_a_learner_in_the_name() -> None:
    model = transfer(sources=[SOURCE], target=TARGET.take(ROWS[:6]), property="time_s", strategy="residual:tree")
    assert model.verdict.estimated_error_pct is not None
    assert np.all(model.predict(FRAME) > 0)


def test_a_name_says_strategy_and_learner() -> None:
    assert split_name("residual:gp") == ("residual", "gp")
    assert split_name("auto") == ("auto", None)
    assert not takes_learner("auto")
    assert {"target_only", "residual", "pooled", "guided", "tradaboost"} <= set(WITH_LEARNER)


def test_settings_are_arguments_of_the_strategy() -> None:
    assert make_strategy("tradaboost", learner="tree", settings={"rounds": 3}).rounds == 3


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("auto:gp", {}, "strategy 'auto' has no setting 'learner'; it takes no settings"),
        ("tradaboost", {"round": 3}, "has no setting 'round'; it takes learner, rounds, draws; did you mean 'rounds'?"),
    ],
)
def test_what_a_strategy_does_not_take_is_told(name: str, settings: dict[str, int], said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        make_strategy(name, settings=settings)


def test_an_unknown_strategy_is_told_with_the_nearest_one() -> None:
    with pytest.raises(UnknownPluginError, match="did you mean 'bellwether'"):
        make_strategy("belwether")
