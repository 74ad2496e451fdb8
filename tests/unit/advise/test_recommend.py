"""Recommending: the true best of a planted model, whatever the kind of space."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from perfport.advise.recommend import recommend
from perfport.data.measurement import FloatArray, Property
from perfport.errors import UsageError
from perfport.space.options import Option
from perfport.space.space import Space

TIME = Property("time_s", "s")


@dataclass(frozen=True)
class Planted:
    """A model that is a formula."""

    formula: Callable[[pd.DataFrame], FloatArray]
    property: Property = TIME

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        return np.asarray(self.formula(configurations), dtype=np.float64)


@dataclass(frozen=True)
class Uncertain(Planted):
    """One whose error-minimising prediction is lowest where it knows least."""

    def predict_median(self, configurations: pd.DataFrame) -> FloatArray:
        return np.asarray(configurations["threads"], dtype=np.float64)

    def predict_interval(self, configurations: pd.DataFrame, *, coverage: float = 0.9) -> tuple[FloatArray, FloatArray]:
        median = self.predict_median(configurations)
        return median * (1 - coverage / 2), median * (1 + coverage / 2)


def threads_and_streams(constraints: tuple[str, ...] = ()) -> Space:
    options = [Option(name=name, type="integer", lower=1, upper=8) for name in ("threads", "streams")]
    return Space(options=options, constraints=constraints)


def test_the_best_valid_configuration_of_a_finite_space_is_found() -> None:
    model = Planted(lambda frame: 1.0 / (frame["threads"] * frame["streams"]))
    best = recommend(model, candidates=threads_and_streams(("threads * streams <= 12",)), n=3)
    assert [item.configuration["threads"] * item.configuration["streams"] for item in best] == [12, 12, 12]  # type: ignore[operator]
    assert [item.rank for item in best] == [1, 2, 3]
    assert best[0].predicted == pytest.approx(1 / 12)
    assert best[0].lower is None


def test_a_property_to_be_maximised_is() -> None:
    model = Planted(lambda frame: frame["threads"] * 1.0, Property("throughput_hz", "Hz", "maximise"))
    assert recommend(model, candidates=threads_and_streams())[0].configuration["threads"] == 8
    assert recommend(model, candidates=threads_and_streams(), minimise=True)[0].configuration["threads"] == 1


def test_the_median_ranks_and_the_interval_comes_along() -> None:
    model = Uncertain(lambda frame: -frame["threads"].to_numpy(dtype=float))
    best = recommend(model, candidates=threads_and_streams(), coverage=0.5)[0]
    assert best.configuration["threads"] == 1
    assert (best.lower, best.predicted, best.upper) == (0.75, 1.0, 1.25)


def test_a_continuous_space_is_searched() -> None:
    options = [Option(name=name, type="float", lower=0.0, upper=1.0) for name in ("a", "b")]
    model = Planted(lambda frame: 1.0 + (frame["a"] - 0.3) ** 2 + (frame["b"] - 0.8) ** 2)
    best = recommend(model, candidates=Space(options=options))[0]
    assert best.predicted == pytest.approx(1.0, abs=1e-3)


def test_equal_candidates_are_recommended_once_in_their_order() -> None:
    frame = pd.DataFrame({"threads": [4, 2, 2, 1], "streams": [1, 1, 1, 1]})
    best = recommend(Planted(lambda rows: np.ones(len(rows))), candidates=frame, n=10)
    assert [item.configuration["threads"] for item in best] == [4, 2, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": 0}, "n is 0"),
        ({"candidates": pd.DataFrame({"threads": [], "streams": []})}, "no candidate"),
        ({"model": Planted(lambda frame: frame["threads"], Property("score", direction="unclear"))}, "minimise"),
    ],
)
def test_what_cannot_be_answered_is_refused(given: dict[str, object], message: str) -> None:
    arguments = {"model": Planted(lambda frame: frame["threads"]), "candidates": threads_and_streams()} | given
    with pytest.raises(UsageError, match=message):
        recommend(**arguments)  # type: ignore[arg-type]
