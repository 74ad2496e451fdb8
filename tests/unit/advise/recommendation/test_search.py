import numpy as np
import pandas as pd
import pytest

from perfport.advise.recommendation.search import MIN_READINGS, Search
from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Property
from perfport.errors import InvalidConfigurationError, NotEnoughDataError, UsageError
from perfport.space.options import Level, Option
from perfport.space.space import Space

TIME = Property("inference_time_s", "s")
SPACE = Space(
    [
        Option(name="threads", type="ordinal", values=(1, 2, 4, 8)),
        Option(name="mode", type="categorical", values=("a", "b", "c")),
        Option(name="batch", type="ordinal", values=(1, 2, 4, 8)),
        Option(name="pinned", type="boolean"),
    ]
)
EVERYTHING = pd.concat(list(SPACE.enumerate()), ignore_index=True)


def law(frame: pd.DataFrame, *, moved: float = 0.0) -> FloatArray:
    mode = frame["mode"].map({"a": 0.0, "b": 0.4, "c": -0.2 + moved}).astype(float)
    log = 1.0 / frame["threads"] + mode + 0.1 * np.log2(frame["batch"]) * (frame["mode"] == "b") - 0.1 * frame["pinned"]
    return np.exp(np.asarray(log, dtype=np.float64))


def dataset(frame: pd.DataFrame, values: FloatArray) -> Dataset:
    return Dataset.from_frame(frame.assign(inference_time_s=values), properties=[TIME], space=SPACE)


SOURCE = dataset(EVERYTHING, law(EVERYTHING))


def time_of(configuration: dict[str, Level | None], *, moved: float = 0.0) -> float:
    return float(law(SPACE.frame([configuration]), moved=moved)[0])


def searched(search: Search, *, moved: float = 0.0) -> Search:
    while (configuration := search.ask()) is not None:
        search.tell(configuration, time_of(configuration, moved=moved))
    return search


def test_the_first_proposal_is_what_the_source_says_is_best() -> None:
    search = Search(sources=[SOURCE], candidates=SPACE, property="inference_time_s", budget=5)
    first = search.ask()
    assert first is not None
    assert time_of(first) == pytest.approx(law(EVERYTHING).min())
    assert search.ask() == first


def test_where_the_target_differs_the_search_finds_its_own_best() -> None:
    # What is best in the source is worse than every other mode in the target.
    search = Search(sources=[SOURCE], candidates=SPACE, property=TIME, budget=15, tolerance_pct=0.0)
    found = searched(search, moved=1.0).outcome()
    assert found.response == pytest.approx(law(EVERYTHING, moved=1.0).min(), rel=0.02)
    assert found.stopped == "budget spent"
    responses = [reading.response for reading in found.readings]
    assert len(responses) == 15
    assert len({tuple(reading.configuration.values()) for reading in found.readings}) == 15


def test_it_stops_when_no_gain_is_expected() -> None:
    found = searched(Search(sources=[SOURCE], candidates=SPACE, property=TIME, budget=30)).outcome()
    assert found.stopped == "no gain expected"
    assert MIN_READINGS <= len(found.readings) < 15
    assert found.expected_gain_pct is not None
    assert found.expected_gain_pct < 1.0
    assert found.response == pytest.approx(law(EVERYTHING).min())
    assert "no gain expected" in str(found)


def test_without_sources_it_looks_around_first() -> None:
    search = Search(sources=[], candidates=SPACE, property=TIME, budget=16, tolerance_pct=0.0)
    found = searched(search).outcome()
    assert found.readings[0].expected_gain_pct is None
    assert found.readings[-1].expected_gain_pct is not None
    assert found.response == pytest.approx(law(EVERYTHING).min(), rel=0.05)


def test_the_same_arguments_propose_the_same() -> None:
    both = [searched(Search(sources=[SOURCE], candidates=SPACE, property=TIME, budget=5), moved=1.0) for _ in range(2)]
    assert both[0].outcome() == both[1].outcome()


def test_more_may_be_better() -> None:
    rate = Property("images_per_s", "1/s", "maximise")
    frame = EVERYTHING.assign(images_per_s=1.0 / law(EVERYTHING))
    source = Dataset.from_frame(frame, properties=[rate], space=SPACE)
    search = Search(sources=[source], candidates=EVERYTHING, property="images_per_s", budget=4)
    first = search.ask()
    assert first is not None
    assert time_of(first) == pytest.approx(law(EVERYTHING).min())


def test_what_is_known_already_is_neither_asked_nor_charged() -> None:
    best = EVERYTHING.iloc[[int(np.argmin(law(EVERYTHING)))]].reset_index(drop=True)
    known = dataset(best, law(best))
    search = Search(sources=[SOURCE], candidates=SPACE, property=TIME, budget=3, measured=known, tolerance_pct=0.0)
    found = searched(search).outcome()
    assert len(found.readings) == 3
    assert SPACE.configurations(best)[0] not in [reading.configuration for reading in found.readings]
    rows = search.rows()
    assert rows is not None
    assert len(rows) == 4


def test_failures_are_told_and_their_level_avoided() -> None:
    search = Search(sources=[SOURCE], candidates=SPACE, property=TIME, budget=10, tolerance_pct=0.0)
    while (configuration := search.ask()) is not None:
        search.tell(configuration, None if configuration["mode"] == "c" else time_of(configuration))
    found = search.outcome()
    # Two failures are enough to blame the level, unless one of them can be blamed on another one.
    assert 2 <= sum(reading.response is None for reading in found.readings) <= 4
    assert found.best is not None
    assert found.best["mode"] != "c"


def test_nothing_left_ends_a_search() -> None:
    few = EVERYTHING.iloc[:3].reset_index(drop=True)
    search = Search(sources=[SOURCE], candidates=few, property=TIME, budget=9, tolerance_pct=0.0)
    assert searched(search).outcome().stopped == "nothing left"
    failing = Search(sources=[], candidates=few, space=SPACE, property=TIME, budget=2)
    while (configuration := failing.ask()) is not None:
        failing.tell(configuration, None)
    assert failing.outcome().best is None
    assert "none of 2 measurements ended well" in str(failing.outcome())


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match="budget is 0"):
        Search(sources=[SOURCE], candidates=SPACE, property=TIME, budget=0)
    with pytest.raises(UsageError, match="no dataset has a property 'power_w'; they have inference_time_s"):
        Search(sources=[SOURCE], candidates=SPACE, property="power_w", budget=3)
    with pytest.raises(NotEnoughDataError, match="no candidates"):
        Search(sources=[SOURCE], candidates=EVERYTHING.head(0), property=TIME, budget=3)
    with pytest.raises(UsageError, match="give space="):
        Search(sources=[SOURCE], candidates=pd.DataFrame({"x": [1]}), property=TIME, budget=3)
    search = Search(sources=[SOURCE], candidates=SPACE, property=TIME, budget=3)
    first = search.ask()
    assert first is not None
    with pytest.raises(UsageError, match="tell None for a failure"):
        search.tell(first, -1.0)
    with pytest.raises(InvalidConfigurationError):
        search.tell({"threads": 3}, 1.0)
