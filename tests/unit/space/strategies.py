"""Random small spaces with rules, each rule beside a plain Python function that says the same."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from hypothesis import strategies as st

from perfport.errors import SpaceError
from perfport.space.options import Level, Option
from perfport.space.space import Space

Configuration = Mapping[str, Level | None]
Truth = bool | None  # None: undecided, because an operand is inactive


@dataclass(frozen=True)
class Rule:
    """An expression and its meaning for one configuration."""

    text: str
    meaning: Callable[[Configuration], Truth]


@dataclass(frozen=True)
class PlannedSpace:
    """What a space is made of; `space()` may refuse it."""

    options: tuple[Option, ...]
    conditions: tuple[tuple[str, Rule], ...]
    forbidden: tuple[Rule, ...]
    constraints: tuple[Rule, ...]

    def space(self) -> Space:
        return Space(
            self.options,
            [{"option": name, "when": rule.text} for name, rule in self.conditions],
            [rule.text for rule in self.forbidden],
            [rule.text for rule in self.constraints],
            name="planned",
        )

    def valid(self) -> set[tuple[Level | None, ...]]:
        """All valid configurations, found by going through all combinations one by one."""
        found = set()
        for levels in product(*(option.levels or () for option in self.options)):
            configuration: dict[str, Level | None] = dict(
                zip((option.name for option in self.options), levels, strict=True)
            )
            # Conditions only look back (see `_condition`), so one pass in order is enough.
            for name in list(configuration):
                if not all(rule.meaning(configuration) for child, rule in self.conditions if child == name):
                    configuration[name] = None
            is_forbidden = any(rule.meaning(configuration) for rule in self.forbidden)
            if not is_forbidden and all(rule.meaning(configuration) is not False for rule in self.constraints):
                found.add(tuple(configuration.values()))
        return found


_LEVELS: dict[str, list[tuple[Level, ...]]] = {
    "boolean": [(False, True)],
    "categorical": [("a", "b", "c"), ("seq", "par")],
    "ordinal": [(1, 2, 4), ("low", "high"), (0.5, 1.5)],
    "integer": [(1, 2, 3), (0, 5)],
}


@st.composite
def options(draw: st.DrawFn, name: str) -> Option:
    type_: Any = draw(st.sampled_from(sorted(_LEVELS)))
    levels = draw(st.sampled_from(_LEVELS[type_]))
    default = draw(st.none() | st.sampled_from(levels)) if draw(st.booleans()) else None
    return Option(name=name, type=type_, values=levels, default=default)


@st.composite
def planned_spaces(draw: st.DrawFn) -> PlannedSpace:
    n_options = draw(st.integers(2, 5))
    chosen = tuple(draw(options(f"o{number}")) for number in range(n_options))
    conditions = []
    for place in range(1, n_options):
        if draw(st.integers(0, 2)) == 0:
            conditions.append((chosen[place].name, draw(rules(chosen[:place]))))
    return PlannedSpace(
        chosen,
        tuple(conditions),
        tuple(draw(st.lists(rules(chosen), max_size=2))),
        tuple(draw(st.lists(rules(chosen), max_size=2))),
    )


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    try:
        return draw(planned_spaces()).space()
    except SpaceError:  # excludes everything, or its given defaults
        return Space(draw(planned_spaces()).options)


def rules(among: tuple[Option, ...]) -> st.SearchStrategy[Rule]:
    return st.recursive(_comparisons(among), _joined, max_leaves=4)


@st.composite
def _comparisons(draw: st.DrawFn, among: tuple[Option, ...]) -> Rule:
    option = draw(st.sampled_from(among))
    numeric = [other for other in among if other.is_numeric]
    if option.is_numeric and draw(st.booleans()):
        other, limit = draw(st.sampled_from(numeric)), draw(st.integers(0, 9))
        sign, compare = draw(st.sampled_from([("<=", _at_most), (">", _more_than)]))
        return Rule(f"{option.name} * {other.name} {sign} {limit}", partial(compare, option.name, other.name, limit))
    levels = option.levels or ()
    some = tuple(draw(st.lists(st.sampled_from(levels), min_size=1, max_size=len(levels), unique=True)))
    if len(some) == 1:
        return Rule(f"{option.name} == {some[0]!r}", partial(_is_in, option.name, some))
    return Rule(f"{option.name} in [{', '.join(map(repr, some))}]", partial(_is_in, option.name, some))


def _joined(parts: st.SearchStrategy[Rule]) -> st.SearchStrategy[Rule]:
    return st.one_of(
        parts.map(lambda rule: Rule(f"not ({rule.text})", partial(_not, rule))),
        st.tuples(parts, parts).map(lambda two: Rule(f"({two[0].text}) and ({two[1].text})", partial(_and, *two))),
        st.tuples(parts, parts).map(lambda two: Rule(f"({two[0].text}) or ({two[1].text})", partial(_or, *two))),
    )


def _is_in(name: str, levels: tuple[Level, ...], configuration: Configuration) -> Truth:
    return None if configuration[name] is None else configuration[name] in levels


def _at_most(one: str, other: str, limit: int, configuration: Configuration) -> Truth:
    first, second = configuration[one], configuration[other]
    if first is None or second is None:
        return None
    return float(first) * float(second) <= limit


def _more_than(one: str, other: str, limit: int, configuration: Configuration) -> Truth:
    at_most = _at_most(one, other, limit, configuration)
    return None if at_most is None else not at_most


def _not(rule: Rule, configuration: Configuration) -> Truth:
    truth = rule.meaning(configuration)
    return None if truth is None else not truth


def _and(one: Rule, other: Rule, configuration: Configuration) -> Truth:
    truths = (one.meaning(configuration), other.meaning(configuration))
    return False if False in truths else None if None in truths else True


def _or(one: Rule, other: Rule, configuration: Configuration) -> Truth:
    truths = (one.meaning(configuration), other.meaning(configuration))
    return True if True in truths else None if None in truths else False
