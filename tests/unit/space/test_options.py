"""Options: levels, defaults, and one line for what cannot be one."""

import pickle
from typing import Any

import numpy as np
import pytest

from perfport.errors import SpaceError
from perfport.space.options import MAX_LEVELS, Option


def test_levels_follow_from_the_type() -> None:
    assert Option(name="x", type="boolean").levels == (False, True)
    assert Option(name="x", type="integer", lower=2, upper=5).levels == (2, 3, 4, 5)
    assert Option(name="x", type="float", lower=0.0, upper=1.0).levels is None
    assert Option(name="x", type="ordinal", values=("low", "high")).levels == ("low", "high")
    assert Option(name="x", type="boolean", values=(True,)).is_constant


def test_numbers_of_one_option_have_one_type() -> None:
    option = Option(name="clock", type="ordinal", values=(1, 2.5, 4))
    assert [type(level) for level in option.levels or ()] == [float, float, float]
    assert Option(name="x", type="integer", values=(4.0, 2)).levels == (2, 4)  # sorted, too


def test_numpy_scalars_are_taken_as_what_they_stand_for() -> None:
    option = Option(name="x", type="ordinal", values=tuple(np.array([1, 2])), default=np.int64(2))
    assert type(option.default_level) is int
    assert Option(name="b", type="boolean", values=(np.int64(0), np.bool_(True))).levels == (False, True)


def test_yaml_text_of_a_number_is_a_number() -> None:
    assert Option(name="lr", type="float", values=("1e-5", 0.1)).levels == (1e-5, 0.1)


def test_default_is_the_first_level_unless_given() -> None:
    assert Option(name="x", type="boolean").default_level is False
    assert Option(name="x", type="float", lower=0.5, upper=2).default_level == 0.5
    assert Option(name="x", type="categorical", values=("a", "b"), default="b").default_level == "b"
    assert Option(name="x", type="boolean", default=1).default_level is True


@pytest.mark.parametrize(
    ("option", "inside", "outside"),
    [
        (Option(name="x", type="boolean"), [True, 0, 1, np.False_], [2, "True", None, float("nan")]),
        (Option(name="x", type="integer", lower=1, upper=3), [1, 3.0, np.int64(2)], [True, 1.5, "1", 4, None]),
        (Option(name="x", type="float", lower=0, upper=1), [0, 0.3, 1], [True, -1e-9, 1.1, "0.3", float("nan")]),
        (Option(name="x", type="ordinal", values=(0.1, 0.3)), [0.1 + 0.2, 0.3 * (1 + 1e-10)], [0.3001, "0.3"]),
        (Option(name="x", type="categorical", values=("a", 1)), ["a", 1, 1.0], ["1", True, "b"]),
    ],
)
def test_contains_knows_levels_from_what_only_looks_like_one(
    option: Option, inside: list[object], outside: list[object]
) -> None:
    assert [level for level in inside if not option.contains(level)] == []
    assert [level for level in outside if option.contains(level)] == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "bool"}, "type: input should be 'boolean'"),
        ({"type": "integer"}, "needs lower and upper, or values"),
        ({"type": "integer", "lower": 3, "upper": 2}, "lower 3 is not below upper 2"),
        ({"type": "integer", "lower": 3, "upper": 3}, "lower 3 is not below upper 3"),
        ({"type": "integer", "lower": 0, "upper": MAX_LEVELS}, "more than 1,000,000 levels"),
        ({"type": "integer", "values": [1.5]}, "1.5 is not a whole number"),
        ({"type": "integer", "values": [1, 2], "lower": 1}, "either values or lower and upper"),
        ({"type": "integer", "values": ["fast"]}, "'fast' is text"),
        ({"type": "integer", "values": [2**70]}, "does not fit 64 bits"),
        ({"type": "float", "lower": 0, "upper": 1, "scale": "log"}, "'log' needs positive levels"),
        ({"type": "float", "lower": -1, "upper": 1, "scale": "reciprocal"}, "needs positive levels"),
        ({"type": "float", "lower": 0, "upper": float("inf")}, "not finite"),
        ({"type": "float", "lower": 0, "upper": 1, "default": 2}, "default 2 is not a level"),
        ({"type": "float", "lower": 0, "upper": 1, "scale": "cubic"}, "scale: input should be 'linear'"),
        ({"type": "categorical"}, "needs values"),
        ({"type": "categorical", "values": []}, "empty; give at least one level"),
        ({"type": "categorical", "values": ["a", "a"]}, "'a' is given twice"),
        ({"type": "ordinal", "values": [1, 1.0]}, "1.0 is given twice"),
        ({"type": "categorical", "values": [False, "auto"]}, "write words such as 'on' in quotes"),
        ({"type": "categorical", "values": ["a"], "scale": "log"}, "needs numbers as levels"),
        ({"type": "categorical", "values": ["a"], "default": "b"}, "its levels are 'a'"),
        ({"type": "ordinal", "values": [1, None]}, "values[1]: input should be a number, a text or a boolean"),
        ({"type": "boolean", "values": ["yes"]}, "write true or false"),
        ({"type": "boolean", "lower": 0}, "no lower or upper"),
        ({"type": "boolean", "scale": "log"}, "needs numbers"),
        ({"type": "boolean", "defualt": True}, "unknown field 'defualt'; did you mean 'default'?"),
        ({"type": "boolean", "owner": "me"}, "owner: input should be 'system' or 'actuator'"),
        ({"type": "boolean", "name": ""}, "name: "),
        ({"type": "boolean", "name": "a`b"}, "without backticks"),
    ],
)
def test_what_cannot_be_an_option_says_so_in_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        Option(**({"name": "x"} | fields))
    assert message in str(caught.value)
    assert str(caught.value).startswith("option '")
    assert "\n" not in str(caught.value)


def test_asking_for_what_an_option_does_not_have_is_an_error() -> None:
    with pytest.raises(SpaceError, match="not numbers"):
        _ = Option(name="x", type="boolean").bounds
    with pytest.raises(SpaceError, match="is a range"):
        Option(name="x", type="float", lower=0, upper=1).code(0.5)


def test_levels_closer_than_the_tolerance_are_told_apart() -> None:
    option = Option(name="limit_bytes", type="ordinal", values=(4294967296, 4294967295, 1))
    numbers = [4294967295, 4294967296, 4294967295.4, 4294967296 * (1 + 1e-10), 1, 1 + 1e-10, 2, 10**400]
    assert [option.code(number) for number in numbers] == [1, 0, 1, 0, 2, 2, None, None]
    floats = np.array([*numbers[:-1], np.nan, np.inf], dtype=np.float64)
    assert option.codes_of_numbers(floats).tolist() == [1, 0, 1, 0, 2, 2, -1, -1, -1]


def test_neighbours_beyond_the_reach_of_floats_are_told_apart() -> None:
    option = Option(name="mask", type="ordinal", values=(2**60, 2**60 + 1))
    assert [option.code(level) for level in (2**60, 2**60 + 1)] == [0, 1]
    assert option.codes_of_numbers(np.array([2**60 + 1, 2**60])).tolist() == [1, 0]


def test_options_are_values() -> None:
    option = Option(name="x", type="integer", lower=1, upper=9, unit="ms", scale="log")
    twin = Option(**option.model_dump())
    assert option.code(1.5) is twin.code(1.5) is None  # what is kept for looking up does not count
    assert option == twin
    assert pickle.loads(pickle.dumps(option)) == option == Option(**option.model_dump())  # noqa: S301  # our own bytes
    assert hash(option) == hash(Option(**option.model_dump()))
    assert "1 ... 9 ms" in option.allowed
