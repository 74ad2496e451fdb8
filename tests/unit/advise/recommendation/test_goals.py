import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfport.advise.recommendation.goals import Goal, Limit, Objective, parse_goal
from perfport.data.measurement import Property
from perfport.errors import UsageError

TIME, ENERGY, MEMORY = Property("inference_time_s", "s"), Property("energy_j", "J"), Property("peak_rss_bytes", "B")
RATE = Property("throughput_per_s", "1/s", "maximise")
ALL = (TIME, ENERGY, MEMORY, RATE)


def test_a_goal_is_limits_and_what_is_to_be_best() -> None:
    goal = parse_goal("latency <= 30 ms and memory <= 500 MB, minimise energy")
    assert goal == Goal(
        (Objective("energy", "minimise"),), (Limit("latency", "<=", 30, "ms"), Limit("memory", "<=", 500, "MB"))
    )
    assert str(goal) == "latency <= 30 ms and memory <= 500 MB, minimise energy"
    assert parse_goal(str(goal)) == goal


def test_bound_to_properties_names_and_units_are_theirs() -> None:
    bound = parse_goal("latency <= 30 ms and memory <= 500 MB, minimise energy").bound(ALL)
    assert bound.objectives == (Objective("energy_j", "minimise"),)
    assert [(limit.property, limit.unit) for limit in bound.limits] == [
        ("inference_time_s", "s"),
        ("peak_rss_bytes", "B"),
    ]
    assert [limit.value for limit in bound.limits] == pytest.approx([0.03, 5e8])
    assert bound.properties == ("energy_j", "inference_time_s", "peak_rss_bytes")
    assert bound.bound(ALL) == bound


@pytest.mark.parametrize(
    ("text", "objectives"),
    [
        ("minimise energy and latency", [("energy_j", "minimise"), ("inference_time_s", "minimise")]),
        ("minimize energy, maximize throughput", [("energy_j", "minimise"), ("throughput_per_s", "maximise")]),
        ("best throughput; best energy_j", [("throughput_per_s", "maximise"), ("energy_j", "minimise")]),
        ("MINIMISE Energy AND energy <= 2e3 mJ", [("energy_j", "minimise")]),
    ],
)
def test_several_objectives_and_other_spellings(text: str, objectives: list[tuple[str, str]]) -> None:
    bound = parse_goal(text).bound(ALL)
    assert [(one.property, one.direction) for one in bound.objectives] == objectives


def test_a_percentile_is_the_property_that_is_one() -> None:
    p95, p50 = Property("latency_p95_s", "s"), Property("latency_p50_s", "s")
    goal = parse_goal("p95 latency < 30 ms, minimise energy")
    assert goal.bound([p50, p95, ENERGY]).limits[0].property == "latency_p95_s"
    with pytest.raises(UsageError, match="no property goes by 'p95 latency'"):
        goal.bound([TIME, ENERGY])
    with pytest.raises(UsageError, match="'latency' may be latency_p50_s, latency_p95_s"):
        parse_goal("minimise latency").bound([p50, p95])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cannot read ''"),
        ("latency <= 30 ms", "does not say what is to be best"),
        ("latency <= -3 ms, minimise energy", "cannot read 'latency <= -3 ms'"),
        ("latency <= 0 ms, minimise energy", "not positive"),
        ("minimise energy or latency <= 3 ms", "cannot read|no property"),
        ("__import__('os').system('true'), minimise energy", "cannot read"),
        ("minimise " + "x" * 600, "at most 500"),
        ("latency <= 30, minimise energy", "has no unit"),
        ("latency <= 30 W, minimise energy", "is in W, but inference_time_s is given in s"),
        ("minimise power", "no property goes by 'power'; there is a model of inference_time_s"),
        ("minimise energy and energy_j", "twice"),
    ],
)
def test_what_cannot_be_read_or_bound_is_refused_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_goal(text).bound(ALL)


def test_a_property_without_direction_needs_one() -> None:
    score = Property("score", "", "unclear")
    with pytest.raises(UsageError, match="minimise or maximise"):
        parse_goal("best score").bound([score])
    assert parse_goal("maximise score, score >= 3").bound([score]).limits == (Limit("score", ">=", 3.0),)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        goal = parse_goal(text)
    except UsageError:
        return
    assert goal.objectives
