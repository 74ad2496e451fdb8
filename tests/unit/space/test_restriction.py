"""Restriction: what is valid in the space that is left is what was valid before and uses only the levels left."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.space.samples import mixed_space, runtime_space
from tests.unit.space.strategies import PlannedSpace, planned_spaces

from perfport.errors import SpaceError
from perfport.space.options import Level, Option
from perfport.space.restriction import restricted
from perfport.space.space import Space

MODE = Option(name="the mode", type="categorical", values=("one", "two", "many"))
STREAMS = Option(name="streams", type="ordinal", values=(2, 4))
ORDER = Option(name="order", type="categorical", values=("in", "out", "any"))
PIN = Option(name="pin", type="boolean")


@st.composite
def restrictions(draw: st.DrawFn) -> tuple[PlannedSpace, dict[str, list[Level]]]:
    drawn = draw(planned_spaces())
    # Given defaults may exclude each other, which is not what this is about.
    options = tuple(option.model_copy(update={"default": None}) for option in drawn.options)
    planned = replace(drawn, options=options)
    levels: dict[str, list[Level]] = {}
    for option in planned.options:
        if draw(st.booleans()):
            some = draw(st.lists(st.sampled_from(option.levels or ()), min_size=1, unique=True))
            levels[option.name] = [level for level in option.levels or () if level in some]
    return planned, levels


@settings(max_examples=60, deadline=None)
@given(restrictions())
def test_valid_is_what_was_valid_and_uses_only_the_levels_left(
    case: tuple[PlannedSpace, dict[str, list[Level]]],
) -> None:
    planned, levels = case
    try:
        space = planned.space()
    except SpaceError as error:
        assert "no valid configuration" in str(error)
        return
    names = space.names
    expected = {
        found
        for found in planned.valid()
        if all(level is None or level in levels.get(name, (level,)) for name, level in zip(names, found, strict=True))
    }
    if not expected:
        with pytest.raises(SpaceError):
            restricted(space, levels)
        return
    left = restricted(space, levels)
    rows = [row for frame in left.enumerate() for row in left.configurations(frame)]
    assert len(rows) == len(expected)
    assert {tuple(row.get(name) for name in names) for row in rows} == expected


@pytest.mark.parametrize(
    ("levels", "names", "conditions"),
    [
        ({"the mode": ["one"]}, ("the mode", "pin"), []),
        ({"the mode": ["many"]}, ("the mode", "streams", "order", "pin"), []),
        ({"the mode": ["two"]}, ("the mode", "streams", "order", "pin"), []),
        (
            {"the mode": ["one", "two"]},
            ("the mode", "streams", "order", "pin"),
            [("streams", "`the mode` in ['two']"), ("order", "streams > 1")],
        ),
        (
            {"streams": [4]},
            ("the mode", "streams", "order", "pin"),
            [("streams", "`the mode` in ['two', 'many']"), ("order", "streams > 1")],
        ),
    ],
)
def test_conditions_go_with_what_they_speak_of(
    levels: Mapping[str, Sequence[Level]], names: tuple[str, ...], conditions: list[tuple[str, str]]
) -> None:
    when = {"streams": "`the mode` in ['two', 'many']", "order": "streams > 1"}
    space = Space(
        [MODE, STREAMS, ORDER, PIN], conditions=[{"option": name, "when": text} for name, text in when.items()]
    )
    left = restricted(space, levels)
    assert left.names == names
    assert [(condition.option, condition.when) for condition in left.conditions] == conditions


@pytest.mark.parametrize(
    ("rule", "levels", "left"),
    [
        ("order == 'out' and pin", {"order": ["in", "any"]}, ()),
        ("order == 'out' and pin", {"order": ["out"]}, ("pin",)),
        ("pin and (order == 'in' or order == 'out')", {"order": ["in", "any"]}, ("pin and order == 'in'",)),
        ("order in ['out', 'any'] and pin", {"order": ["in", "any"]}, ("order in ['any'] and pin",)),
        ("not (order != 'out') and pin", {"order": ["in", "any"]}, ()),
        # `streams` may be inactive, and then the comparison is open: that must stay so.
        (
            "pin and not (order == 'out' and streams == 2)",
            {"order": ["out"], "streams": [4]},
            ("pin and (not streams == 2)",),
        ),
        ("pin and not (order == 'out' and streams == 4)", {"order": ["out"], "streams": [4]}, ()),
    ],
)
def test_of_rules_stays_what_is_not_decided(
    rule: str, levels: Mapping[str, Sequence[Level]], left: tuple[str, ...]
) -> None:
    conditions = [{"option": "streams", "when": "`the mode` == 'many'"}]
    space = Space([MODE, STREAMS, ORDER, PIN], conditions, forbidden=[rule])
    assert restricted(space, levels).forbidden == left


def test_a_comparison_that_only_asks_for_activity_says_so() -> None:
    conditions = [
        {"option": "order", "when": "pin"},
        {"option": "streams", "when": "order != 'out'"},
    ]
    left = restricted(Space([PIN, ORDER, STREAMS], conditions), {"order": ["in", "any"]})
    assert [condition.when for condition in left.conditions] == ["pin", "order in ['in', 'any']"]


def test_levels_of_mixed_kind_may_become_one_kind() -> None:
    threads = Option(name="threads", type="ordinal", values=("auto", 1, 2))
    space = Space([threads, STREAMS], constraints=["threads in ['auto', 1] or streams == 2"])
    assert restricted(space, {"threads": [1, 2]}).constraints == ("threads in [1] or streams == 2",)
    assert restricted(space, {"threads": ["auto"]}).constraints == ()


def test_without_levels_the_space_stays_as_it_is() -> None:
    assert restricted(runtime_space(), {}) == runtime_space()
    assert restricted(mixed_space(), {}) == mixed_space()


def test_a_range_may_keep_some_values() -> None:
    left = restricted(mixed_space(), {"momentum": [0.0, 0.5], "solver": ["sgd"]})
    assert left.option("momentum").levels == (0.0, 0.5)
    assert left.conditions == ()
    assert "momentum" not in restricted(mixed_space(), {"solver": ["adam"]})


@pytest.mark.parametrize(
    ("levels", "told"),
    [
        ({"modus": ["one"]}, "unknown option 'modus'"),
        ({"order": ["on"]}, "levels of 'order': 'on' is not possible"),
        ({"order": []}, "levels of 'order': an empty list is not possible"),
        ({"order": ["out"], "pin": [True]}, "'order == 'out' and pin' is forbidden and always holds with the levels"),
        ({"streams": [4]}, "constraint 'streams < 3' can never hold with the levels that are left"),
    ],
)
def test_what_leaves_nothing_is_told(levels: Mapping[str, Sequence[Level]], told: str) -> None:
    space = Space([MODE, STREAMS, ORDER, PIN], forbidden=["order == 'out' and pin"], constraints=["streams < 3"])
    with pytest.raises(SpaceError, match=told):
        restricted(space, levels)
