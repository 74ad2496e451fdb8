import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from perfport.advise.recommendation.goals import Goal, Objective
from perfport.advise.recommendation.pareto import front, hypervolume
from perfport.advise.recommendation.seeking import MAX_EXACT, MAX_SCREENED
from perfport.advise.recommendation.tradeoff import trade_off
from perfport.data.measurement import FloatArray, Property
from perfport.errors import MissingPackageError, NotEnoughDataError, UsageError
from perfport.space.options import Option
from perfport.space.space import Space

TIME, ENERGY = Property("inference_time_s", "s"), Property("energy_j", "J")


def digits(n: int, levels: int = 4) -> Space:
    return Space([Option(name=f"o{i}", type="ordinal", values=tuple(range(1, levels + 1))) for i in range(n)])


@dataclass(frozen=True)
class Law:
    """A known response, with known uncertainty."""

    property: Property
    law: Callable[[pd.DataFrame], "pd.Series[float]"]
    sd_log: float | Callable[[pd.DataFrame], "pd.Series[float]"] = 0.05

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        return np.asarray(self.law(configurations), dtype=np.float64)

    def predict_interval(self, configurations: pd.DataFrame, *, coverage: float = 0.9) -> tuple[FloatArray, FloatArray]:
        assert coverage == 0.9
        sd = self.sd_log if isinstance(self.sd_log, float) else np.asarray(self.sd_log(configurations))
        centre = self.predict(configurations)
        return np.asarray(centre * np.exp(-1.6449 * sd)), np.asarray(centre * np.exp(1.6449 * sd))


# Fast costs energy, except that o2 costs both: a true front of four configurations of 64.
FAST = Law(TIME, lambda f: 0.08 / f["o0"] + 0.001 * f["o1"] + 0.01 * (f["o2"] - 1))
FRUGAL = Law(ENERGY, lambda f: 1.0 * f["o0"] + 0.01 * f["o1"] + 0.5 * (f["o2"] - 1))


def test_the_front_is_what_no_configuration_beats() -> None:
    found = trade_off([FAST, FRUGAL], candidates=digits(3), goal="minimise latency and energy")
    assert [offer.configuration for offer in found.offers] == [{"o0": o0, "o1": 1, "o2": 1} for o0 in (4, 3, 2, 1)]
    assert found.is_kept
    assert [expected.property.name for expected in found.offers[0].expected] == ["inference_time_s", "energy_j"]
    assert [offer.is_knee for offer in found.offers].count(True) == 1
    assert found.hypervolume_share is not None
    assert 0.0 < found.hypervolume_share < 1.0
    assert found.knee.probability is None


def test_limits_hold_with_the_probability_asked_for() -> None:
    goal = "latency <= 30 ms, minimise energy"
    sure = trade_off([FAST, FRUGAL], candidates=digits(3), goal=goal, n=1)
    (best,) = sure.offers
    # 27.7 ms is 1.6 standard deviations below 30 ms: enough for 0.9, not for 0.99.
    assert best.configuration == {"o0": 3, "o1": 1, "o2": 1}
    assert best.probability == pytest.approx(0.945, abs=0.005)
    surer = trade_off([FAST, FRUGAL], candidates=digits(3), goal=goal, n=1, confidence=0.99)
    assert surer.offers[0].configuration == {"o0": 4, "o1": 1, "o2": 1}


def test_where_the_model_is_unsure_a_limit_is_not_trusted() -> None:
    doubtful = Law(TIME, FAST.law, lambda f: 0.5 * (f["o0"] == 3) + 0.02)
    found = trade_off([doubtful, FRUGAL], candidates=digits(3), goal="latency <= 30 ms, minimise energy", n=1)
    assert found.offers[0].configuration["o0"] == 4


def test_a_range_is_kept_on_both_sides() -> None:
    goal = "latency >= 40 ms and latency <= 60 ms, minimise latency"
    found = trade_off([FAST], candidates=digits(3), goal=goal, n=3, confidence=0.5)
    assert found.is_kept
    assert all(0.04 <= offer.expected[0].predicted <= 0.06 for offer in found.offers)


def test_if_nothing_keeps_the_limits_the_nearest_are_offered_and_it_is_said() -> None:
    found = trade_off([FAST, FRUGAL], candidates=digits(3), goal="latency <= 15 ms, minimise energy", n=2)
    assert not found.is_kept
    assert found.offers[0].configuration == {"o0": 4, "o1": 1, "o2": 1}
    assert "no configuration keeps the limits with probability 0.9" in str(found)


def test_more_may_be_better() -> None:
    rate = Law(Property("images_per_s", "1/s", "maximise"), lambda f: f["o0"] * 10.0)
    found = trade_off([rate, FRUGAL], candidates=digits(3), goal="best images and energy")
    assert {offer.configuration["o0"] for offer in found.offers} == {1, 2, 3, 4}
    assert {offer.configuration["o2"] for offer in found.offers} == {1}
    one = trade_off([rate], candidates=digits(3), goal=Goal((Objective("images_per_s"),)), n=1)
    assert one.offers[0].configuration["o0"] == 4


def test_candidates_may_be_a_frame() -> None:
    frame = pd.DataFrame({"o0": [1, 2, 2, 3], "o1": [1, 1, 1, 1], "o2": [1, 1, 3, 4]})
    found = trade_off([FAST, FRUGAL], candidates=frame, goal="minimise latency and energy")
    assert [offer.configuration["o0"] for offer in found.offers] == [2, 1]
    assert type(found.offers[0].configuration["o0"]) is int


def test_what_is_not_allowed_is_not_offered() -> None:
    for candidates in (digits(3), digits(8), pd.concat(list(digits(3).enumerate()), ignore_index=True)):
        for goal in ("minimise latency", "minimise latency and energy"):
            found = trade_off(
                [FAST, FRUGAL][: goal.count("latency") + goal.count("energy")],
                candidates=candidates,
                goal=goal,
                allowed=lambda frame: (frame["o0"] < 3).to_numpy(),
            )
            assert {offer.configuration["o0"] for offer in found.offers} <= {1, 2}


@pytest.mark.slow
def test_a_screened_front_is_nearly_the_exact_one() -> None:
    space = digits(8)
    size = space.size()
    assert size is not None
    assert MAX_EXACT < size <= MAX_SCREENED
    rng = np.random.default_rng(0)
    tables = rng.normal(0.0, 0.3, (2, 8, 4))
    pairs = rng.normal(0.0, 0.2, (2, 4, 4))

    def law(k: int) -> Callable[[pd.DataFrame], "pd.Series[float]"]:
        def response(frame: pd.DataFrame) -> "pd.Series[float]":
            codes = frame.to_numpy(int) - 1
            log = sum(tables[k, i][codes[:, i]] for i in range(8)) + pairs[k][codes[:, 0], codes[:, 5 - k]]
            return pd.Series(np.exp(log))

        return response

    models = [Law(TIME, law(0)), Law(ENERGY, law(1))]
    found = trade_off(models, candidates=space, goal="minimise latency and energy")
    everything = pd.concat(list(space.enumerate()), ignore_index=True)
    exact = np.log(np.stack([model.predict(everything) for model in models], axis=1))
    offered = np.log([[expected.predicted for expected in offer.expected] for offer in found.offers])
    worst = exact[front(exact)].max(axis=0) + 0.1
    assert hypervolume(offered, worst) >= 0.995 * hypervolume(exact, worst)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("pymoo") is None, reason="the extra 'moo' is not installed")
def test_an_infinite_space_is_searched_for_its_front() -> None:
    space = Space(
        [Option(name="clock", type="float", lower=1.0, upper=2.0), Option(name="o0", type="integer", lower=1, upper=8)]
    )
    fast = Law(TIME, lambda f: 1.0 / (f["clock"] * f["o0"]))
    frugal = Law(ENERGY, lambda f: f["clock"] ** 2 * f["o0"] ** 1.5)
    goal = "minimise latency and energy"
    found = trade_off([fast, frugal], candidates=space, goal=goal)
    assert trade_off([fast, frugal], candidates=space, goal=goal) == found
    # A slower clock on more threads is always more frugal, until there are no more threads.
    assert {offer.configuration["o0"] for offer in found.offers if offer.expected[0].predicted < 0.12} == {8}
    times = [offer.expected[0].predicted for offer in found.offers]
    assert min(times) == pytest.approx(1 / 16, rel=0.01)


def test_without_pymoo_an_infinite_front_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pymoo", None)
    monkeypatch.setitem(__import__("sys").modules, "pymoo.algorithms.moo.nsga2", None)
    space = Space([Option(name="clock", type="float", lower=1.0, upper=2.0)])
    models = [Law(TIME, lambda f: f["clock"]), Law(ENERGY, lambda f: 1 / f["clock"])]
    with pytest.raises(MissingPackageError, match=r"perfport\[moo\]"):
        trade_off(models, candidates=space, goal="minimise latency and energy")


@dataclass(frozen=True)
class Certain:
    """Knows nothing of its own error."""

    property: Property = TIME

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        return np.ones(len(configurations))


def test_what_cannot_be_judged_is_refused() -> None:
    space = digits(3)
    with pytest.raises(UsageError, match="gives no intervals"):
        trade_off([Certain()], candidates=space, goal="latency <= 2 s, minimise latency")
    unlimited = Law(TIME, FAST.law, np.inf)
    with pytest.raises(NotEnoughDataError, match="no limits"):
        trade_off([unlimited], candidates=space, goal="latency <= 2 s, minimise latency")
    with pytest.raises(UsageError, match="it must give one positive number each"):
        trade_off([Law(TIME, lambda f: f["o0"] * 0.0)], candidates=space, goal="minimise latency")
    with pytest.raises(UsageError, match=r"confidence is 1\.5"):
        trade_off([FAST], candidates=space, goal="minimise latency", confidence=1.5)
    with pytest.raises(UsageError, match="n is 0"):
        trade_off([FAST], candidates=space, goal="minimise latency", n=0)
    with pytest.raises(NotEnoughDataError, match="no candidates"):
        trade_off([FAST], candidates=pd.DataFrame({"o0": []}), goal="minimise latency")
