"""Restriction: the space that is left when options keep only some of their levels.

Rules may speak of levels that are gone. Each is worked out over the levels that are left: what always
holds says nothing and goes, an option that can never be active goes with its conditions, and parts
of a rule that are decided go from it. Exactly the configurations of the old space that use only
the levels left are valid in the new one (an option that went was inactive in all of them).

Example:
    >>> mode = Option(name="mode", type="categorical", values=("one", "many"))
    >>> streams = Option(name="streams", type="ordinal", values=(2, 4))
    >>> space = Space([mode, streams], conditions=[{"option": "streams", "when": "mode == 'many'"}])
    >>> restricted(space, {"mode": ("one",)}).names, restricted(space, {"mode": ("many",)}).conditions
    (('mode',), ())
"""

import ast
import math
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy

import numpy as np

from perfport.errors import SpaceError
from perfport.space.columns import INACTIVE, operand_of_cells
from perfport.space.constraints import Expression
from perfport.space.grammar import literal_of, names_in, quoted
from perfport.space.options import Level, Option
from perfport.space.rules import is_readable
from perfport.space.space import Space

__all__ = ["restricted", "with_levels"]

_MOST_COMBINATIONS = 100_000  # of the levels one rule names; a rule with more is kept as it is
_Part = ast.expr | bool


def restricted(space: Space, levels: Mapping[str, Sequence[Level]]) -> Space:
    """Return the space with some options reduced to some of their levels.

    Args:
        space: The space.
        levels: Option -> the levels it keeps, at least one.

    Raises:
        SpaceError: If an option or level is unknown, or no valid configuration is left.
    """
    for name, chosen in levels.items():
        option = space.option(name)
        wrong = [level for level in chosen if not option.contains(level)]
        if wrong or not chosen:
            given = repr(wrong[0]) if wrong else "an empty list"
            raise SpaceError(f"levels of '{name}': {given} is not possible; {option.allowed}", option=option)
    options = {option.name: with_levels(option, levels.get(option.name)) for option in space.options}
    rules = space.rules
    left = _Left(options)
    conditions: dict[str, list[str]] = {}
    for name in rules.order:
        kept = [left.simplified(rule, undecided=False) for rule in rules.conditions.get(name, ())]
        if False in kept:
            left.gone.add(name)
        conditions[name] = [part for part in kept if isinstance(part, str)]
        if conditions[name]:
            left.may_be_inactive.add(name)
    constraints = _undecided_ones(left, rules.constraints, excluded=False, told="constraint '{}' can never hold")
    forbidden = _undecided_ones(left, rules.forbidden, excluded=True, told="'{}' is forbidden and always holds")
    return Space(
        [option for name, option in options.items() if name not in left.gone],
        [
            {"option": name, "when": text}
            for name in rules.conditions
            if name not in left.gone
            for text in conditions[name]
        ],
        forbidden,
        constraints,
        name=space.name,
        constants=space.constants,
    )


def with_levels(option: Option, levels: Sequence[Level] | None) -> Option:
    """Return an option with these levels, at least one, instead of its own; None keeps those."""
    if levels is None:
        return option
    fields = option.model_dump(exclude={"lower", "upper"}) | {"values": tuple(levels)}
    if option.type == "boolean" and len(levels) == 2:
        fields["values"] = None
    # The old default may be gone; the first level takes its place, as for any option without one.
    if option.default not in levels:
        fields["default"] = None
    return Option(**fields)


def _undecided_ones(left: "_Left", rules: Iterable[Expression], *, excluded: bool, told: str) -> list[str]:
    """Return the texts of the rules that still say something; `excluded` is what none of them may be."""
    kept: list[str] = []
    for rule in rules:
        part = left.simplified(rule, undecided=not excluded)
        if part is excluded:
            raise SpaceError(f"{told.format(rule)} with the levels that are left; leave it others", rule=rule)
        kept += [part] if isinstance(part, str) else []
    return kept


class _Left:
    """What is left of the options, and what that makes of rules.

    Attributes:
        options: Name -> option with the levels it keeps.
        gone: Options that can never be active.
        may_be_inactive: Options that are active only sometimes.
    """

    def __init__(self, options: Mapping[str, Option]) -> None:
        self.options = options
        self.gone: set[str] = set()
        self.may_be_inactive: set[str] = set()

    def simplified(self, rule: Expression, *, undecided: bool) -> str | bool:
        """Return what is left of a rule: its truth where that is certain, else its text.

        Args:
            rule: A rule whose options are known to be left, gone or sometimes inactive.
            undecided: What the rule counts as where inactive options leave it open.
        """
        part = self._part(rule.tree, undecided)
        if isinstance(part, bool):
            return part
        return rule.text if part is rule.tree else _written(part)

    def _part(self, node: ast.expr, undecided: bool) -> _Part:
        """Return a part of a rule, simplified; the very same node if nothing of it changes.

        In Kleene's logic False < undecided < True, `and` is the smaller, `or` the larger one and `not` turns the
        order round. So undecided parts may be taken for what the whole would count as, turned round by each `not`.
        """
        truth = self._truth(node, undecided)
        if truth is not None:
            return truth
        match node:
            case ast.BoolOp():
                return self._joined(node, [self._part(part, undecided) for part in node.values])
            case ast.UnaryOp(op=ast.Not()):
                inner = self._part(node.operand, not undecided)
                if isinstance(inner, bool):
                    return not inner
                return node if inner is node.operand else ast.UnaryOp(node.op, inner)
            case ast.Compare() if len(node.ops) > 1 and not self._is_readable(node):
                sides = [node.left, *node.comparators]
                links = [ast.Compare(sides[at], [node.ops[at]], [sides[at + 1]]) for at in range(len(node.ops))]
                return self._part(ast.BoolOp(ast.And(), list(links)), undecided)
        return node if self._is_readable(node) else self._readable(node)

    def _truth(self, node: ast.expr, undecided: bool) -> bool | None:
        """Return the truth of a part if it is the same for all levels that are left."""
        names = names_in(node)
        if not isinstance(node, ast.BoolOp) and not isinstance(node, ast.UnaryOp) and self.gone.intersection(names):
            return undecided
        truths = self._truths(node, undecided, inactive=self.may_be_inactive | self.gone)
        return truths.pop() if len(truths) == 1 else None

    def _truths(self, node: ast.expr, undecided: bool, *, inactive: set[str]) -> set[bool]:
        """Return every truth a part may have; both if there are too many combinations to look at."""
        names = names_in(node)
        cells: list[np.ndarray[tuple[int], np.dtype[np.int32]]] = []
        for name in names:
            levels = self.options[name].levels
            if levels is None:
                return {False, True}
            places = [] if name in self.gone else list(range(len(levels)))
            cells.append(np.array(places + [INACTIVE] * (name in inactive), dtype=np.int32))
        n = math.prod(map(len, cells))
        if n > _MOST_COMBINATIONS:
            return {False, True}
        grids = np.meshgrid(*cells, indexing="ij")
        operands = {
            name: operand_of_cells(self.options[name], grid.ravel()) for name, grid in zip(names, grids, strict=True)
        }
        found = Expression("", tuple(names), node).evaluate(operands, n, undecided=undecided)
        return {bool(truth) for truth in np.unique(found)}

    def _joined(self, node: ast.BoolOp, parts: Sequence[_Part]) -> _Part:
        decisive = isinstance(node.op, ast.Or)
        if any(part is decisive for part in parts):
            return decisive
        kept = [part for part in parts if not isinstance(part, bool)]
        if len(kept) < 2:
            return kept[0] if kept else not decisive
        is_same = len(kept) == len(node.values) and all(map(lambda a, b: a is b, kept, node.values))
        return node if is_same else ast.BoolOp(node.op, kept)

    def _is_readable(self, node: ast.expr) -> bool:
        return is_readable(_written(node), self.options)

    def _readable(self, node: ast.expr) -> ast.expr:
        """Return a comparison with levels that are gone in words of those that are left."""
        match node:
            case ast.Compare(left=ast.Name(id=name), comparators=[ast.List(elts=elements)]):
                option = self.options[name]
                kept = [element for element in elements if option.contains(literal_of(element))]
                if kept:
                    return ast.Compare(node.left, node.ops, [ast.List(kept, ast.Load())])
        # No level that is left is equal to one that is gone: only whether the options are active stays open.
        is_true = True in self._truths(node, False, inactive=set())
        links: list[ast.expr] = [
            ast.Compare(
                ast.Name(name, ast.Load()),
                [ast.In() if is_true else ast.NotIn()],
                [ast.List([ast.Constant(level) for level in self.options[name].levels or ()], ast.Load())],
            )
            for name in names_in(node)
        ]
        return links[0] if len(links) == 1 else ast.BoolOp(ast.And() if is_true else ast.Or(), links)


def _written(node: ast.expr) -> str:
    """Return a part of a checked tree as the text of an expression."""
    copy = deepcopy(node)
    functions = {id(part.func) for part in ast.walk(copy) if isinstance(part, ast.Call)}
    for part in ast.walk(copy):
        if isinstance(part, ast.Name) and id(part) not in functions:
            part.id = quoted(part.id)
    return ast.unparse(copy)
