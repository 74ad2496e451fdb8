from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from perfport.advise.recommendation.recommend import recommend
from perfport.advise.recommendation.seeking import MAX_SCREENED
from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Property
from perfport.errors import NotEnoughDataError, UsageError
from perfport.model.influence import fit_influence_model
from perfport.space.options import Option
from perfport.space.space import Space

TIME = Property("time_s", "s")
SPACE = Space(
    [
        Option(name="threads", type="integer", lower=1, upper=4),
        Option(name="streams", type="integer", lower=1, upper=4),
        Option(name="mode", type="categorical", values=("sequential", "parallel")),
        Option(name="inter", type="integer", lower=1, upper=8),
    ],
    conditions=[{"option": "inter", "when": "mode == 'parallel'"}],
    constraints=["threads * streams <= 8"],
)


@dataclass(frozen=True)
class Planted:
    """A model that is a function of the configurations."""

    function: Callable[[pd.DataFrame], pd.Series]
    property: Property = TIME

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        return np.asarray(self.function(configurations), dtype=np.float64)


def time_of(frame: pd.DataFrame) -> "pd.Series[float]":
    inter = frame["inter"].astype(float).fillna(0.0)
    return 1 / frame["threads"] + 0.5 / frame["streams"] + 0.1 * (inter - 3) ** 2 * (frame["mode"] == "parallel")


def test_the_best_valid_configurations_come_first() -> None:
    everything = pd.concat(SPACE.enumerate(), ignore_index=True)
    best = recommend(Planted(time_of), candidates=SPACE, n=5)
    assert [one.rank for one in best] == [1, 2, 3, 4, 5]
    assert [one.predicted for one in best] == np.sort(time_of(everything))[:5].tolist()
    for one in best:
        SPACE.validate(one.configuration)
    assert {(b.configuration["threads"], b.configuration["streams"]) for b in best[:2]} == {(4, 2)}


def test_the_best_configuration_of_a_planted_model_is_recommended() -> None:
    frame = SPACE.sample(80, np.random.default_rng(0))
    dataset = Dataset.from_frame(frame.assign(time_s=time_of(frame)), properties=["time_s"], space=SPACE)
    model = fit_influence_model(dataset, "time_s")
    (best,) = recommend(model, candidates=SPACE)
    measured = float(time_of(SPACE.frame([best.configuration])).iloc[0])
    assert measured == pytest.approx(float(time_of(pd.concat(SPACE.enumerate(), ignore_index=True)).min()), rel=0.02)


def test_inactive_options_are_none_and_whole_numbers_stay_whole() -> None:
    wanted = {"threads": 4, "streams": 2, "mode": "sequential", "inter": None}
    (best,) = recommend(Planted(time_of), candidates=SPACE)
    assert best.configuration == wanted
    (same,) = recommend(Planted(time_of), candidates=pd.concat(SPACE.enumerate(), ignore_index=True))
    assert same == best
    floats = pd.DataFrame({"inter": [np.nan, 3.0], "share": [0.5, np.nan]})
    found = recommend(Planted(lambda f: f["inter"].fillna(9.0)), candidates=floats, n=2)
    assert [one.configuration for one in found] == [{"inter": 3, "share": None}, {"inter": None, "share": 0.5}]
    assert type(found[0].configuration["inter"]) is int


def test_what_is_better_is_what_the_property_says_unless_told() -> None:
    rate = Planted(lambda f: f["threads"], Property("images_per_s", "1/s", "maximise"))
    assert recommend(rate, candidates=SPACE)[0].configuration["threads"] == 4
    assert recommend(rate, candidates=SPACE, minimise=True)[0].configuration["threads"] == 1
    unclear = Planted(lambda f: f["threads"], Property("score", "", "unclear"))
    assert recommend(unclear, candidates=SPACE, minimise=False)[0].predicted == 4
    with pytest.raises(UsageError, match="'score' does not say which way is better"):
        recommend(unclear, candidates=SPACE)


@dataclass(frozen=True)
class Uncertain(Planted):
    """Predicts low where it is uncertain, and knows its median and its interval."""

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        return super().predict(configurations) / np.where(configurations["threads"] == 1, 100.0, 1.0)

    def predict_median(self, configurations: pd.DataFrame) -> FloatArray:
        return super().predict(configurations)

    def predict_interval(self, configurations: pd.DataFrame, *, coverage: float = 0.9) -> tuple[FloatArray, FloatArray]:
        median = self.predict_median(configurations)
        return median * (1 - coverage), median * (1 + coverage)


def test_the_median_ranks_and_the_interval_comes_with_it() -> None:
    (best,) = recommend(Uncertain(time_of), candidates=SPACE, coverage=0.5)
    assert best.configuration["threads"] == 4
    assert (best.lower, best.upper) == pytest.approx((0.5 * best.predicted, 1.5 * best.predicted))
    assert str(best) == "1. time_s 500 ms (250 ms to 750 ms): threads=4, streams=2, mode=sequential"


def test_without_an_interval_none_is_claimed() -> None:
    (best,) = recommend(Planted(time_of), candidates=SPACE)
    assert (best.lower, best.upper) == (None, None)
    assert str(best) == "1. time_s 500 ms: threads=4, streams=2, mode=sequential"


def test_repeats_among_the_candidates_count_once() -> None:
    frame = pd.DataFrame({"threads": [2] * 50 + [1, 3]})
    found = recommend(Planted(lambda f: -f["threads"].clip(upper=2)), candidates=frame, n=3)
    assert sorted(int(str(one.configuration["threads"])) for one in found) == [1, 2, 3]
    assert len(recommend(Planted(lambda f: f["threads"]), candidates=frame, n=10)) == 3


def test_equal_predictions_keep_the_order_of_the_candidates() -> None:
    frame = pd.DataFrame({"threads": [3, 1, 2]})
    found = recommend(Planted(lambda f: 0.0 * f["threads"]), candidates=frame, n=3)
    assert [one.configuration["threads"] for one in found] == [3, 1, 2]


def test_a_space_too_large_to_enumerate_is_searched() -> None:
    space = Space([Option(name=f"o{i}", type="ordinal", values=(1, 2, 3, 4, 5)) for i in range(12)])
    size = space.size()
    assert size is not None
    assert size > MAX_SCREENED
    model = Planted(lambda f: sum(abs(f[f"o{i}"] - 1 - i % 5) * (1 + i) for i in range(12)) + 1.0)  # type: ignore[arg-type,return-value]
    found = recommend(model, candidates=space, n=3)
    assert found[0].configuration == {f"o{i}": 1 + i % 5 for i in range(12)}
    assert found[0].predicted == 1
    assert [one.predicted for one in found] == sorted(one.predicted for one in found)
    assert recommend(model, candidates=space, n=3) == found


@pytest.mark.parametrize("n_options", [4, 7, 12])
def test_what_is_not_allowed_is_left_out_of_spaces_of_any_size(n_options: int) -> None:
    space = Space([Option(name=f"o{i}", type="ordinal", values=(1, 2, 3, 4, 5)) for i in range(n_options)])
    model = Planted(lambda f: f.sum(axis=1))

    def allowed(frame: pd.DataFrame) -> NDArray[np.bool_]:
        return np.asarray((frame["o0"] > 2) & (frame.drop(columns="o0") > 1).any(axis=1))

    found = recommend(model, candidates=space, n=3, allowed=allowed)
    assert [one.predicted for one in found] == [n_options + 3] * 3
    assert allowed(space.frame([one.configuration for one in found])).all()
    frame = space.sample(200, np.random.default_rng(0))
    (best,) = recommend(model, candidates=frame, allowed=allowed)
    assert best.predicted == frame[allowed(frame)].sum(axis=1).min()
    with pytest.raises(NotEnoughDataError, match="no configuration is left to choose from"):
        recommend(model, candidates=space, allowed=lambda frame: np.zeros(len(frame), dtype=bool))


def test_a_continuous_option_is_searched() -> None:
    space = Space(
        [
            Option(name="clock", type="float", lower=1.0, upper=2.0),
            Option(name="threads", type="integer", lower=1, upper=4),
        ]
    )
    (best,) = recommend(Planted(lambda f: (f["clock"] - 1.37) ** 2 + (f["threads"] - 3) ** 2), candidates=space)
    assert best.configuration["threads"] == 3
    assert best.configuration["clock"] == pytest.approx(1.37, abs=1e-3)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Planted(lambda f: f["threads"] * np.nan), "nan for row 0 of 3"),
        (Planted(lambda f: f["threads"].head(1)), "shape"),
    ],
)
def test_a_model_that_answers_no_numbers_is_refused(model: Planted, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        recommend(model, candidates=pd.DataFrame({"threads": [1, 2, 3]}))


def test_no_candidates_and_no_wish_are_refused() -> None:
    with pytest.raises(NotEnoughDataError, match="no candidates"):
        recommend(Planted(time_of), candidates=SPACE.sample(0, np.random.default_rng(0)))
    with pytest.raises(UsageError, match="n is 0"):
        recommend(Planted(time_of), candidates=SPACE, n=0)
