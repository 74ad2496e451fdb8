"""Bounds: a row is dropped early only if no level of the missing options could save it."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perfport.errors import SpaceError
from perfport.space.bounds import certainty
from perfport.space.constraints import Expression, Operand
from perfport.space.options import Option
from perfport.space.space import Space

LEVELS = {"a": (-2, 0, 3), "b": (1, 2, 5), "c": (-1.5, 0.5, 4.0)}


@st.composite
def numbers(draw: st.DrawFn, depth: int = 0) -> str:
    if depth == 2 or draw(st.booleans()):
        return draw(st.sampled_from(["a", "b", "c", "1", "-2", "3.5"]))
    left, right = draw(numbers(depth=depth + 1)), draw(numbers(depth=depth + 1))
    form = draw(
        st.sampled_from(["({} + {})", "({} - {})", "({} * {})", "({} / {})", "min({}, {})", "max({}, {})", "abs({})"])
    )
    return form.format(left, right)


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    signs = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    text = f"{draw(numbers())} {draw(signs)} {draw(numbers())}"
    if draw(st.booleans()):
        text += f" {draw(signs)} {draw(numbers())}"
    return f"not ({text})" if draw(st.booleans()) else text


rules = st.one_of(comparisons(), st.tuples(comparisons(), st.sampled_from(["and", "or"]), comparisons()).map(" ".join))


@settings(max_examples=150, deadline=None)
@given(rules, st.booleans(), st.booleans())
def test_pruned_enumeration_finds_what_filtering_everything_finds(text: str, forbid: bool, conditional: bool) -> None:
    options = [Option(name=name, type="ordinal", values=levels) for name, levels in LEVELS.items()]
    conditions = [{"option": "b", "when": "a > 0"}] if conditional else []
    everything = next(Space(options, conditions).enumerate())
    try:
        rule = Expression.parse(text, LEVELS)
        holds = rule.holds(everything, undecided=not forbid)
        space = Space(options, conditions, [text] if forbid else [], [] if forbid else [text])
    except SpaceError as error:  # names no option, or leaves nothing
        if "names no option" not in str(error):
            assert "no valid configuration" in str(error)
            assert (holds == forbid).all()
        return
    expected = everything[holds != forbid].reset_index(drop=True)
    pd.testing.assert_frame_equal(next(space.enumerate()), expected, check_dtype=False)


@settings(max_examples=150, deadline=None)
@example("b > min(a + a, a / a)")
@example("abs(a / a) > -1")
@given(rules)
def test_certain_and_possible_enclose_every_completion(text: str) -> None:
    try:
        rule = Expression.parse(text, LEVELS)
    except SpaceError:
        return
    ranges = {name: (min(levels), max(levels)) for name, levels in LEVELS.items()}
    values = np.array(LEVELS["a"], dtype=np.float64)
    operands = {"a": Operand(values, np.ones(3, dtype=np.bool_))} if "a" in rule.names else {}
    certain, possible = certainty(rule, operands, ranges)
    grid = pd.DataFrame(list(product(*LEVELS.values())), columns=list(LEVELS))
    for place, level in enumerate(LEVELS["a"]):
        truths = rule.holds(grid[grid["a"] == level])
        assert truths.all() or not np.broadcast_to(certain, 3)[place]
        assert not truths.any() or np.broadcast_to(possible, 3)[place]


@pytest.mark.parametrize(
    ("text", "possible"),
    [
        ("a + b <= 4", [True, True, True]),
        ("a + b <= 3", [True, True, False]),
        ("a - b >= 2", [False, False, True]),
        ("a * b < -9", [True, False, False]),
        ("-a >= b", [True, False, False]),
        ("abs(a) + min(b, 1) <= 1", [False, True, False]),
        ("max(a, b) == 1", [True, True, False]),
        ("a == b", [False, False, True]),
        ("a > 5 or b > 9", [False, False, False]),
        ("not a == 3", [True, True, False]),
        ("a / b > 99", [True, True, True]),  # not worked out
    ],
)
def test_rows_without_a_chance_are_seen_while_an_option_is_missing(text: str, possible: list[bool]) -> None:
    operands = {"a": Operand(np.array([-2.0, 0.0, 3.0]), np.ones(3, dtype=np.bool_))}
    found = certainty(Expression.parse(text, ["a", "b"]), operands, {"b": (1.0, 5.0)}).possible
    assert np.broadcast_to(found, 3).tolist() == possible


def test_an_option_that_may_be_inactive_leaves_its_comparison_open() -> None:
    operands = {"a": Operand(np.array([3.0]), np.ones(1, dtype=np.bool_))}
    found = certainty(Expression.parse("min(a, b) > 9", ["a", "b"]), operands, {})
    assert (bool(found.certain), bool(found.possible)) == (False, True)
