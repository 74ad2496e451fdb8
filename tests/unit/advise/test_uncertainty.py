from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from tests.unit.advise.models import TIME, Planted, Sampled, Unsure, Written, booleans, numbers

from perfport.advise.uncertainty import bootstrap, central_response, draw_responses
from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray
from perfport.errors import UsageError

SPACE = booleans("a", "b", "c", "d")
ROWS = pd.concat(SPACE.enumerate(), ignore_index=True)
LAW = Written(lambda frame: np.exp(numbers(frame, "a")))


@dataclass(frozen=True)
class Cautious(Written):
    """Predicts below its median, as models that minimise the relative error do."""

    def predict_median(self, configurations: pd.DataFrame) -> FloatArray:
        return 1.1 * self.predict(configurations)


@dataclass(frozen=True)
class Clueless(Written):
    """Knows nothing about its error."""

    def predict_interval(self, configurations: pd.DataFrame, *, coverage: float = 0.9) -> tuple[FloatArray, FloatArray]:
        n = len(configurations)
        return np.zeros(n), np.full(n, np.inf)


def test_the_median_is_preferred_where_there_is_one() -> None:
    assert central_response(Cautious(LAW.law), ROWS) == pytest.approx(1.1 * LAW.predict(ROWS))
    assert central_response(LAW, ROWS) == pytest.approx(LAW.predict(ROWS))


def test_draws_from_intervals_have_their_width_and_agree_for_like_configurations() -> None:
    model = Unsure(LAW.law, sd_log=0.2)
    draws = draw_responses(model, ROWS, n=4000, rng=np.random.default_rng(0))
    errors = np.log(draws.responses / LAW.predict(ROWS))
    assert errors.std(axis=0) == pytest.approx(np.full(len(ROWS), 0.2), rel=0.1)
    correlation = np.corrcoef(errors.T)
    differing = (ROWS.to_numpy()[:, None, :] != ROWS.to_numpy()[None, :, :]).sum(axis=2)
    means = [correlation[differing == k].mean() for k in range(5)]
    assert means == sorted(means, reverse=True)
    assert means[4] == pytest.approx(np.exp(-2.0), abs=0.05)


def test_a_posterior_is_asked_for_its_own_draws() -> None:
    model = Sampled(LAW.law, option="b", sd=0.3)
    draws = draw_responses(model, ROWS, n=7, rng=np.random.default_rng(1))
    assert draws.responses.shape == (7, len(ROWS)) and model.asked == [7]


def test_refits_see_resampled_rows_and_come_first() -> None:
    dataset = Planted(SPACE, {("a",): 0.5}).measured(ROWS, 0.1, np.random.default_rng(2), "here")
    seen: list[Dataset] = []

    def fit(rows: Dataset) -> Written:
        seen.append(rows)
        return Written(lambda frame: np.full(len(frame), rows.response(TIME.name).mean()))

    model = Unsure(LAW.law, sd_log=9.0)
    draws = draw_responses(model, ROWS, n=3, rng=np.random.default_rng(3), refit=bootstrap(fit, dataset))
    assert len(draws) == len(seen) == 3
    assert all(len(rows) == len(dataset) for rows in seen)
    assert len({rows.key for rows in seen}) == 3


@pytest.mark.parametrize(("model", "reason"), [(LAW, "gives no intervals"), (Clueless(LAW.law), "have no limits")])
def test_a_model_that_cannot_say_gives_no_draws_but_a_reason(model: Written, reason: str) -> None:
    draws = draw_responses(model, ROWS, n=5, rng=np.random.default_rng(4))
    assert len(draws) == 0 and reason in draws.origin


def test_no_draws_cannot_be_asked_for() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        draw_responses(LAW, ROWS, n=0, rng=np.random.default_rng(5))
