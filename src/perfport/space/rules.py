"""Rules: which options are active when, and which combinations are allowed.

Takes the document of a space, gives its options and parsed expressions by name, and evaluates them
on blocks of configurations (see `space.columns`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np

from perfport.errors import SpaceError
from perfport.space.columns import (
    Block,
    Cells,
    active_rows,
    default_cell,
    inactive_column,
    n_rows,
    operand_of_cells,
)
from perfport.space.constraints import BoolArray, Expression
from perfport.space.messages import listing, near
from perfport.space.options import Level, Option
from perfport.space.schema import SpaceDocument

__all__ = ["Rules", "is_readable", "parse_rules"]


@dataclass(frozen=True)
class Rules:
    """Everything that makes a configuration valid beyond its levels.

    Attributes:
        options: Option name -> option, in the order of the space.
        conditions: Option name -> expressions that must all hold for it to be active.
        forbidden: Expressions of which none may hold.
        constraints: Expressions that must all hold, unless undecided.
    """

    options: Mapping[str, Option]
    conditions: Mapping[str, tuple[Expression, ...]] = field(default_factory=dict)
    forbidden: tuple[Expression, ...] = ()
    constraints: tuple[Expression, ...] = ()

    @cached_property
    def order(self) -> tuple[str, ...]:
        """All option names, parents before children, otherwise as in the space, ranges as late as possible.

        Raises:
            SpaceError: If conditions form a cycle; the message shows it.
        """
        parents = {
            name: {parent for condition in self.conditions.get(name, ()) for parent in condition.names}
            for name in self.options
        }
        ordered: list[str] = []
        waiting = list(self.options)
        while waiting:
            ready = [name for name in waiting if parents[name] <= set(ordered)]
            if not ready:
                raise SpaceError(
                    f"conditions form a cycle: {_cycle(parents, waiting)}; an option cannot depend on itself"
                )
            chosen = next((name for name in ready if self.options[name].levels is not None), ready[0])
            ordered.append(chosen)
            waiting.remove(chosen)
        return tuple(ordered)

    def is_active(self, name: str, block: Mapping[str, Cells], n: int) -> BoolArray:
        """Return where an option is active, given the cells of its parents, shape (n,)."""
        active = np.ones(n, dtype=np.bool_)
        for condition in self.conditions.get(name, ()):
            active &= self.evaluate(condition, block, n, undecided=False)
        return active

    def evaluate(self, rule: Expression, block: Mapping[str, Cells], n: int, *, undecided: bool) -> BoolArray:
        """Evaluate an expression on a block, shape (n,)."""
        operands = {name: operand_of_cells(self.options[name], block[name]) for name in rule.names}
        return rule.evaluate(operands, n, undecided=undecided)

    def follow_conditions(self, block: Block) -> Block:
        """Empty the cells of inactive options, and give active ones without a level their default."""
        n = n_rows(block)
        followed = dict(block)
        for name in self.order:
            if name not in self.conditions:
                continue
            option, cells = self.options[name], followed[name]
            active = self.is_active(name, followed, n)
            filled = np.where(active_rows(cells), cells, default_cell(option))
            followed[name] = np.where(active, filled, inactive_column(option, n))
        return followed


def parse_rules(document: SpaceDocument) -> Rules:
    """Return the rules of a document of sound shape.

    Raises:
        SpaceError: If names repeat or are unknown, an expression cannot be read or compares an option
            with what is none of its levels, or conditions form a cycle.
    """
    options: dict[str, Option] = {}
    for option in document.options:
        if option.name in options:
            raise SpaceError(f"option '{option.name}' is given twice; names are distinct", option=option)
        if option.name in document.constants:
            raise SpaceError(f"'{option.name}' is both an option and a constant; rename one", option=option)
        options[option.name] = option
    parser = _RuleParser(options, document.constants)
    conditions: dict[str, tuple[Expression, ...]] = {}
    for condition in document.conditions:
        if condition.option not in options:
            hint = f"{near(condition.option, options)} (options: {listing(options)})"
            raise SpaceError(f"condition on unknown option '{condition.option}'{hint}")
        parsed = parser.parse(condition.when, f"condition of option '{condition.option}'")
        conditions[condition.option] = (*conditions.get(condition.option, ()), parsed)
    rules = Rules(
        MappingProxyType(options),
        MappingProxyType(conditions),
        tuple(parser.parse(text, "forbidden") for text in document.forbidden),
        tuple(parser.parse(text, "constraint") for text in document.constraints),
    )
    _ = rules.order  # raises if conditions form a cycle
    return rules


def is_readable(text: str, options: Mapping[str, Option]) -> bool:
    """Return whether a text is a rule of these options: it can be read, and compares them with levels they have."""
    try:
        _RuleParser(options, {}).parse(text, "")
    except SpaceError:
        return False
    return True


class _RuleParser:
    """Parses the rules of one space and checks what they compare options with."""

    def __init__(self, options: Mapping[str, Option], constants: Mapping[str, Level]) -> None:
        self.options, self.constants = options, constants
        self.kinds = {name: option.kind for name, option in options.items()}

    def parse(self, text: str, what: str) -> Expression:
        try:
            rule = Expression.parse(text, self.kinds, self.constants)
        except SpaceError as error:
            raise SpaceError(f"{what}: {error}", **error.details) from None
        for name, literal in rule.comparisons():
            option = self.options[name]
            # A number between the levels may be meant as a limit, a wrong word never is.
            if (isinstance(literal, str) or not option.is_numeric) and not option.contains(literal):
                known = [level for level in option.levels or () if isinstance(level, str)]
                hint = near(literal, known) if isinstance(literal, str) else ""
                raise SpaceError(f"{what}: '{text}': {literal!r} is not a level of '{name}'; {option.allowed}{hint}")
        return rule


def _cycle(parents: Mapping[str, set[str]], waiting: Sequence[str]) -> str:
    path = [waiting[0]]
    while True:
        following = next(name for name in waiting if name in parents[path[-1]])
        if following in path:
            return " <- ".join([*path[path.index(following) :], following])
        path.append(following)
