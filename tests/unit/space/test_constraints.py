"""The expression language: what it says, what it refuses, and how inactive operands count."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfport.errors import SpaceError
from perfport.space.constraints import Expression
from perfport.space.grammar import quoted

NAMES = ["threads", "streams", "mode", "arena", "vm.swappiness", "if"]
KINDS = {"threads": "number", "streams": "number", "mode": "text", "arena": "boolean"}

FRAME = pd.DataFrame(
    {
        "threads": [1, 2, 4, 4],
        "streams": [1.0, 2.0, 2.0, np.nan],
        "mode": ["seq", "par", "seq", None],
        "arena": [True, False, True, False],
        "vm.swappiness": [10, 60, 60, 100],
        "if": [0, 1, 0, 1],
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("threads * streams <= 4", [1, 1, 0, 1]),
        ("1 < threads <= 4", [0, 1, 1, 1]),
        ("threads + 1 == 3 or threads - 1 == 0", [1, 1, 0, 0]),
        ("threads % 2 == 0 and threads // 4 == 1", [0, 0, 1, 1]),
        ("threads / 2 >= 1.0", [0, 1, 1, 1]),
        ("-threads < -3", [0, 0, 1, 1]),
        ("min(threads, 3) + max(threads, 2, 1) > abs(-4)", [0, 0, 1, 1]),
        ("threads in [1, 4]", [1, 0, 1, 1]),
        ("threads not in (1, cores)", [0, 0, 1, 1]),
        ("mode == 'seq'", [1, 0, 1, 1]),
        ("mode != 'seq'", [0, 1, 0, 1]),
        ("mode in ['par', 'other']", [0, 1, 0, 1]),
        ("arena", [1, 0, 1, 0]),
        ("not arena", [0, 1, 0, 1]),
        ("arena == False", [0, 1, 0, 1]),
        ("arena + threads < 3", [1, 1, 0, 0]),
        ("`vm.swappiness` < 60 or `if` == 1", [1, 1, 0, 1]),
        ("threads <= cores", [1, 1, 0, 0]),
        ("threads == streams", [1, 1, 0, 1]),
        ("  threads\n\t== 1 ", [1, 0, 0, 0]),
    ],
)
def test_expressions_mean_what_they_say(text: str, expected: list[int]) -> None:
    rule = Expression.parse(text, NAMES, {"cores": 2})
    assert rule.holds(FRAME).tolist() == [bool(value) for value in expected]
    assert pickle.loads(pickle.dumps(rule)) == rule  # noqa: S301  # our own bytes


def test_names_are_those_of_options_in_order() -> None:
    rule = Expression.parse("streams > 1 and (threads < cores or `vm.swappiness` == streams)", NAMES, {"cores": 2})
    assert rule.names == ("streams", "threads", "vm.swappiness")
    assert str(rule) == "streams > 1 and (threads < cores or `vm.swappiness` == streams)"


INACTIVE = pd.DataFrame({"a": [None], "b": [1], "c": ["x"]}).astype({"a": float})


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("a == 1", None),
        ("a != 1", None),
        ("not a == 1", None),
        ("a in [1]", None),
        ("a not in [1]", None),
        ("a * b <= 4", None),
        ("min(a, b) == 1", None),
        ("b < a < 0", None),
        ("b > 3 > a", False),  # a chain is an "and"
        ("a == 1 and b == 1", None),
        ("a == 1 and b == 2", False),
        ("a == 1 or b == 1", True),
        ("a == 1 or b == 2", None),
        ("not (a == 1 and b == 2)", True),
        ("(a == 1 or b == 1) and c == 'x'", True),
    ],
)
def test_inactive_operands_leave_open_what_they_would_decide(text: str, truth: bool | None) -> None:
    rule = Expression.parse(text, ["a", "b", "c"])
    if truth is None:
        assert rule.holds(INACTIVE, undecided=True).tolist() == [True]
        assert rule.holds(INACTIVE, undecided=False).tolist() == [False]
    else:
        assert rule.holds(INACTIVE, undecided=True).tolist() == [truth]
        assert rule.holds(INACTIVE, undecided=False).tolist() == [truth]


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">=", "=="])
def test_division_by_zero_satisfies_no_comparison(sign: str) -> None:
    frame = pd.DataFrame({"a": [4.0, 0.0], "b": [0.0, 0.0]})
    for operator in ("/", "//", "%"):
        assert not Expression.parse(f"a {operator} b {sign} 1", ["a", "b"]).holds(frame).any()
    assert Expression.parse("a / b != 1", ["a", "b"]).holds(frame).all()


def test_products_of_large_integers_do_not_wrap() -> None:
    frame = pd.DataFrame({"a": [4_000_000_000], "b": [4_000_000_000]})
    assert Expression.parse("a * b > 1", ["a", "b"]).holds(frame).all()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("threads.real == 1", "attribute access"),
        ("threads.__class__ == 1", "attribute access"),
        ("__import__('os').system('true') == 0", "the call"),
        ("open('/etc/passwd')", "the call open(...)"),
        ("eval('1') == 1", "the call eval(...)"),
        ("min(*[threads]) < 1", "min takes two numbers"),
        ("max(threads, key=abs) < 1", "the call"),
        ("(lambda: threads)() == 1", "the call"),
        ("lambda: threads", "a lambda"),
        ("[x for x in [1]] == 1", "a comprehension"),
        ("threads == {x: 1 for x in [1]}", "a comprehension"),
        ("any(x for x in [1])", "the call"),
        ("threads ** 9 ** 9 ** 9 < 1", "the power **"),
        ("threads << 99 < 1", "'LShift' is not allowed"),
        ("threads @ streams == 1", "'MatMult' is not allowed"),
        ("threads[0] == 1", "indexing"),
        ("__builtins__ == 1", "unknown name '__builtins__'"),
        ("__class__", "unknown name '__class__'"),
        ("(threads := 1) == 1", "an assignment"),
        ("threads if streams else 1", "if ... else"),
        ("f'{threads}' == 'a'", "an f-string"),
        ("threads == 1; import os", "invalid syntax"),
        ("import os", "invalid syntax"),
        ("threads = 1", "invalid syntax"),
        ("threads ==", "invalid syntax"),
        ("threads == None", "None is not allowed"),
        ("threads == 1j", "1j is not allowed"),
        ("threads == b'x'", "b'x' is not allowed"),
        ("threads is 1", "write == or !="),
        ("threads in streams", "needs a list"),
        ("threads in []", "needs a list"),
        ("threads in [streams]", "literals and constants only"),
        ("1 < threads in [1]", "part of a chain"),
        ("abs(threads, 1) == 1", "abs takes one number"),
        ("threads == 1e999", "not within"),
        ("threads == " + "9" * 400, "not within"),
        ("thread == 1", "unknown name 'thread'; did you mean 'threads'?"),
        ("threads", "a number is neither true nor false"),
        ("threads + 1", "a number is neither true nor false"),
        ("not threads", "a number is neither"),
        ("mode < 'seq'", "no number"),
        ("mode + 1 == 2", "no number"),
        ("mode == 1", "never equals"),
        ("mode in ['a', 2]", "never equals"),
        ("arena == 'yes'", "never equals"),
        ("1 == 1", "names no option"),
        ("", "is no expression"),
        ("   ", "is no expression"),
        ("threads == 1 and " * 100 + "arena", "characters, allowed are 1000"),
        ("(" * 150 + "threads" + ")" * 150 + " == 1", ""),
        ("not " * 200 + "arena", "nested deeper than 32"),
        ("threads == 1\x00", "allowed are option names"),
    ],
)
def test_everything_else_is_refused_in_one_line(text: str, problem: str) -> None:
    try:
        Expression.parse(text, KINDS)
    except SpaceError as error:
        assert problem in str(error)
        assert "\n" not in str(error)
    else:
        assert not problem  # redundant parentheses are harmless


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("threads == 1 and thread == 2", 18),
        ("`vm.swappiness` == 1 and thread == 2", 26),
        ("mode == 'größe' and thread == 2", 21),
        ("`if` == 1 and `no such` == 2", 15),
    ],
)
def test_errors_point_at_the_column(text: str, column: int) -> None:
    with pytest.raises(SpaceError, match=f"column {column}: unknown name") as caught:
        Expression.parse(text, NAMES)
    assert caught.value.details["column"] == column
    assert text in str(caught.value)


def test_a_text_where_a_number_is_needed_is_named_when_kinds_were_not_known() -> None:
    rule = Expression.parse("mode < 3", ["mode"])
    with pytest.raises(SpaceError, match=re.escape("'mode < 3' needs numbers")):
        rule.holds(FRAME)


def test_a_frame_without_an_operand_is_an_error() -> None:
    with pytest.raises(SpaceError, match="needs 'streams', but the frame has 'threads'"):
        Expression.parse("threads <= streams", NAMES).holds(FRAME[["threads"]])


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused_politely(text: str) -> None:
    try:
        Expression.parse(text, NAMES)
    except SpaceError as error:
        assert str(error)


@given(st.text(alphabet="threadsmo ()+-*/%<>=!&|.,'[]`0123456789andornti", max_size=40))
def test_near_misses_parse_or_are_refused_politely(text: str) -> None:
    try:
        rule = Expression.parse(text, NAMES)
    except SpaceError:
        return
    try:
        assert rule.holds(FRAME).shape == (4,)
    except SpaceError as error:
        assert "needs numbers" in str(error)


@pytest.mark.parametrize("name", ["threads", "if", "vm.swappiness", "a b", "größe", "min", "1st", "None"])
def test_quoted_names_can_be_used(name: str) -> None:
    rule = Expression.parse(f"{quoted(name)} == 1", [name])
    assert rule.names == (name,)
