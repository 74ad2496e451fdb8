"""ConfigSpace: spaces of this package to those of the AutoML world, and back.

ConfigSpace has the field's semantics of conditions and forbidden clauses, and optimisers such as
SMAC read it, so a space can be handed over whole or not at all: a rule over finite options is
spelt out level by level where ConfigSpace has no word for it (`threads * streams <= 4`), and a rule
that cannot be spelt out is an error, never left out.

Validity, counting and sampling stay with `space.valid`: ConfigSpace knows no arithmetic, checks
one configuration at a time, and its sampling is not uniform over valid configurations (it draws
all hyperparameters and then drops the inactive ones).
"""

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import ConfigSpace
import numpy as np

from perfport.errors import SpaceError
from perfport.space.columns import operand_of_cells
from perfport.space.constraints import Expression, evaluated, logical
from perfport.space.grammar import literal_of, names_in, quoted
from perfport.space.options import Level, Option
from perfport.space.space import Space

__all__ = ["from_configspace", "to_configspace"]

_MAX_CLAUSES = 10_000  # a rule spelt out in more is no longer the same thing to anyone
_META = ("type", "unit", "scale", "group", "owner", "description")
_NEGATED: Mapping[type[ast.cmpop], ast.cmpop] = {
    ast.Lt: ast.GtE(),
    ast.LtE: ast.Gt(),
    ast.Gt: ast.LtE(),
    ast.GtE: ast.Lt(),
    ast.Eq: ast.NotEq(),
    ast.NotEq: ast.Eq(),
}
_MIRRORED: Mapping[type[ast.cmpop], ast.cmpop] = {
    ast.Lt: ast.Gt(),
    ast.LtE: ast.GtE(),
    ast.Gt: ast.Lt(),
    ast.GtE: ast.LtE(),
    ast.Eq: ast.Eq(),
    ast.NotEq: ast.NotEq(),
}
_SIGN: Mapping[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<",),
    ast.LtE: ("<", "=="),
    ast.Gt: (">",),
    ast.GtE: (">", "=="),
    ast.Eq: ("==",),
    ast.NotEq: ("<", ">"),
}


@dataclass(frozen=True, slots=True)
class _Clause:
    """One option at one of some levels ("in"), or before or behind a limit ("<", ">", "==")."""

    name: str
    sign: str
    levels: tuple[Level, ...]


_Clauses = list[tuple[_Clause, ...]]  # a disjunction of conjunctions


def to_configspace(space: Space) -> ConfigSpace.ConfigurationSpace:
    """Return the space as a ConfigSpace space of the same valid configurations.

    What ConfigSpace has no field for (type, unit, scale, group, owner) goes into the `meta` of each
    hyperparameter, where `from_configspace` finds it.

    Raises:
        SpaceError: If a rule cannot be expressed: arithmetic on a float range, or more than 10 000
            clauses.
    """
    default = space.default_configuration()
    parameters = {
        option.name: _parameter(option, default[option.name], position) for position, option in enumerate(space.options)
    }
    rules = space.rules
    writer = _Writer(rules.options)
    configuration_space = ConfigSpace.ConfigurationSpace(name=space.name or None)
    configuration_space.add(list(parameters.values()))
    configuration_space.add(
        [_condition(parameters, child, writer.all_of(conditions)) for child, conditions in rules.conditions.items()]
    )
    forbidden = [clause for rule in rules.forbidden for clause in writer.clauses(rule, negated=False)]
    forbidden += [clause for rule in rules.constraints for clause in writer.clauses(rule, negated=True)]
    configuration_space.add([_forbidden(parameters, clause) for clause in dict.fromkeys(forbidden)])
    return configuration_space


def from_configspace(configuration_space: ConfigSpace.ConfigurationSpace) -> Space:
    """Return the space that a ConfigSpace space describes.

    Distributions and weights are not carried over: levels are what a space is about.

    Raises:
        SpaceError: If a hyperparameter is no option here (an integer range beyond a million levels), or a
            rule has no counterpart.
    """
    parameters = sorted(configuration_space.values(), key=_position)
    return Space(
        [_option(parameter) for parameter in parameters],
        [
            {"option": condition.child.name, "when": _condition_text(condition)}
            for condition in configuration_space.conditions
        ],
        [_forbidden_text(clause) for clause in configuration_space.forbidden_clauses],
        name=configuration_space.name or "",
    )


class _Writer:
    """Spells expressions out as clauses; `options` are those of the space."""

    def __init__(self, options: Mapping[str, Option]) -> None:
        self.options = options

    def all_of(self, rules: Sequence[Expression]) -> _Clauses:
        """Return what holds where all rules hold."""
        return self._product([self.clauses(rule, negated=False) for rule in rules], rules[0])

    def clauses(self, rule: Expression, *, negated: bool) -> _Clauses:
        """Return what holds where the rule holds, or, `negated`, where it is violated."""
        return self._spelt(rule.tree, rule, negated=negated)

    def _spelt(self, node: ast.expr, rule: Expression, *, negated: bool) -> _Clauses:
        match node:
            case ast.UnaryOp(op=ast.Not()):
                return self._spelt(node.operand, rule, negated=not negated)
            case ast.BoolOp():
                parts = [self._spelt(part, rule, negated=negated) for part in node.values]
                if isinstance(node.op, ast.And) != negated:
                    return self._product(parts, rule)
                return self._checked(self._any_of(clause for part in parts for clause in part), rule)
            case ast.Compare() if len(node.ops) > 1:
                sides = [node.left, *node.comparators]
                links: list[ast.expr] = [
                    ast.Compare(sides[place], [operator], [sides[place + 1]]) for place, operator in enumerate(node.ops)
                ]
                return self._spelt(ast.BoolOp(ast.And(), links), rule, negated=negated)
        names = names_in(node)
        if all(self.options[name].levels is not None for name in names):
            return self._level_by_level(node, names, rule, negated=negated)
        return [(clause,) for clause in self._limits(node, rule, negated=negated)]

    def _level_by_level(self, node: ast.expr, names: list[str], rule: Expression, *, negated: bool) -> _Clauses:
        """Evaluate a comparison on all levels of its options at once."""
        options = [self.options[name] for name in names]
        shape = [len(option.levels or ()) for option in options]
        if np.prod(shape, dtype=np.float64) > _MAX_CLAUSES:
            raise _inexpressible(
                rule, f"{' x '.join(map(str, shape))} combinations of levels are too many to spell out"
            )
        grid = np.indices(shape, dtype=np.int32).reshape(len(shape), -1)
        operands = {option.name: operand_of_cells(option, cells) for option, cells in zip(options, grid, strict=True)}
        holds = np.broadcast_to(logical(evaluated(node, operands)).values, grid.shape[1:]).reshape(*shape[:-1], -1)
        clauses: _Clauses = []
        # The last option's levels are one "in" for each combination of the others.
        for others in np.ndindex(*holds.shape[:-1]):
            allowed = tuple(
                level for level, fits in zip(options[-1].levels or (), holds[others], strict=True) if fits != negated
            )
            head = [
                _Clause(o.name, "in", ((o.levels or ())[place],)) for o, place in zip(options, others, strict=False)
            ]
            if allowed:
                clauses.append((*head, _Clause(names[-1], "in", allowed)))
        return clauses

    def _limits(self, node: ast.expr, rule: Expression, *, negated: bool) -> list[_Clause]:
        """Return a comparison of a float range with a number as limits, any of which will do."""
        if isinstance(node, ast.Compare) and not isinstance(node.ops[0], ast.In | ast.NotIn):
            operator, left, right = node.ops[0], node.left, node.comparators[0]
            if isinstance(right, ast.Name):
                operator, left, right = _MIRRORED[type(operator)], right, left
            number = literal_of(right)
            if isinstance(left, ast.Name) and number is not None:
                chosen = _NEGATED[type(operator)] if negated else operator
                limits = [_Clause(left.id, sign, (number,)) for sign in _SIGN[type(chosen)]]
                # ConfigSpace refuses limits outside of the range; equality there never holds.
                return [limit for limit in limits if limit.sign != "==" or self.options[left.id].contains(number)]
        raise _inexpressible(rule, "a float range can only be compared with a number")

    def _product(self, parts: Iterable[_Clauses], rule: Expression) -> _Clauses:
        product_: _Clauses = [()]
        for part in parts:
            both = (_conjunction(one + other) for one, other in product(product_, part))
            product_ = self._checked(self._any_of(clause for clause in both if clause is not None), rule)
        return product_

    def _any_of(self, clauses: Iterable[tuple[_Clause, ...]]) -> _Clauses:
        """Return the clauses with those on levels of one option made one.

        ConfigSpace takes conjunctions of two children for the same where a parent occurs in them twice.
        """
        found: dict[object, tuple[_Clause, ...]] = {}
        for clause in clauses:
            head = clause[0] if len(clause) == 1 and clause[0].sign == "in" else None
            key = clause if head is None else head.name
            if head is not None and key in found:
                either = {*found[key][0].levels, *head.levels}
                levels = tuple(level for level in self.options[head.name].levels or () if level in either)
                found[key] = (_Clause(head.name, "in", levels),)
            else:
                found[key] = clause
        return list(found.values())

    def _checked(self, clauses: _Clauses, rule: Expression) -> _Clauses:
        if len(clauses) > _MAX_CLAUSES:
            raise _inexpressible(rule, f"it needs more than {_MAX_CLAUSES} clauses")
        return clauses


def _conjunction(parts: Iterable[_Clause]) -> tuple[_Clause, ...] | None:
    """Return the parts with those on levels of one option made one; None if they never hold together."""
    found: dict[object, _Clause] = {}
    for part in parts:
        key = part.name if part.sign == "in" else part
        known = found.get(key, part)
        levels = tuple(level for level in known.levels if level in part.levels)
        if not levels:
            return None
        found[key] = _Clause(part.name, part.sign, levels)
    return tuple(found.values())


def _inexpressible(rule: Expression, why: str) -> SpaceError:
    return SpaceError(f"ConfigSpace cannot express '{rule}': {why}; leave the rule out or use levels", rule=rule)


def _parameter(option: Option, default: Level | None, position: int) -> Any:
    meta: dict[Any, Any] = {field: getattr(option, field) for field in _META} | {"position": position}
    level: Any = option.default_level if default is None else default
    if option.levels is None:
        lower, upper = option.bounds
        return ConfigSpace.UniformFloatHyperparameter(
            option.name, lower, upper, level, log=option.scale == "log", meta=meta
        )
    if option.lower is not None:
        lower, upper = option.bounds
        return ConfigSpace.UniformIntegerHyperparameter(
            option.name, lower, upper, level, log=option.scale == "log", meta=meta
        )
    if option.type in ("boolean", "categorical"):
        return ConfigSpace.CategoricalHyperparameter(option.name, list(option.levels), default_value=level, meta=meta)
    return ConfigSpace.OrdinalHyperparameter(option.name, list(option.levels), default_value=level, meta=meta)


def _condition(parameters: Mapping[str, Any], child: str, clauses: _Clauses) -> Any:
    if not clauses:
        raise SpaceError(f"ConfigSpace cannot express that '{child}' is never active; leave the option out")
    alternatives = []
    for clause in clauses:
        parts = [_parent(parameters[child], parameters[part.name], part) for part in clause]
        alternatives.append(parts[0] if len(parts) == 1 else ConfigSpace.AndConjunction(*parts))
    return alternatives[0] if len(alternatives) == 1 else ConfigSpace.OrConjunction(*alternatives)


def _parent(child: Any, parent: Any, clause: _Clause) -> Any:
    if clause.sign == "in" and len(clause.levels) > 1:
        return ConfigSpace.InCondition(child, parent, list(clause.levels))
    kinds = {
        "in": ConfigSpace.EqualsCondition,
        "==": ConfigSpace.EqualsCondition,
        "<": ConfigSpace.LessThanCondition,
        ">": ConfigSpace.GreaterThanCondition,
    }
    return kinds[clause.sign](child, parent, clause.levels[0])


def _forbidden(parameters: Mapping[str, Any], clause: tuple[_Clause, ...]) -> Any:
    parts: list[Any] = []
    for part in clause:
        parameter = parameters[part.name]
        if part.sign == "in" and len(part.levels) > 1:
            parts.append(ConfigSpace.ForbiddenInClause(parameter, list(part.levels)))
            continue
        # NOTE: the clauses for >= and <= print to standard output in ConfigSpace 1.2; `_SIGN` avoids them.
        kinds = {"<": ConfigSpace.ForbiddenLessThanClause, ">": ConfigSpace.ForbiddenGreaterThanClause}
        parts.append(kinds.get(part.sign, ConfigSpace.ForbiddenEqualsClause)(parameter, part.levels[0]))
    return parts[0] if len(parts) == 1 else ConfigSpace.ForbiddenAndConjunction(*parts)


def _position(parameter: Any) -> float:
    return float((parameter.meta or {}).get("position", np.inf))


def _option(parameter: Any) -> Option:
    meta = {field: value for field, value in (parameter.meta or {}).items() if field in _META}
    fields: dict[str, Any] = {"name": parameter.name} | meta
    match parameter:
        case ConfigSpace.Constant():
            levels: tuple[Any, ...] | None = (parameter.value,)
        case ConfigSpace.CategoricalHyperparameter():
            levels = tuple(parameter.choices)
        case ConfigSpace.OrdinalHyperparameter():
            levels = tuple(parameter.sequence)
        case _:
            levels = None
    if levels is not None:
        ordered = isinstance(parameter, ConfigSpace.OrdinalHyperparameter)
        is_boolean = all(isinstance(level, bool | np.bool_) for level in levels)
        fields = {"type": "boolean" if is_boolean else "ordinal" if ordered else "categorical"} | fields
        return Option(**fields, values=levels, default=parameter.default_value)
    is_integer = isinstance(parameter, ConfigSpace.hyperparameters.IntegerHyperparameter)
    fields = {
        "type": "integer" if is_integer else "float",
        "scale": "log" if getattr(parameter, "log", False) else None,
    } | fields
    return Option(**fields, lower=parameter.lower, upper=parameter.upper, default=parameter.default_value)


def _condition_text(condition: Any) -> str:
    match condition:
        case ConfigSpace.AndConjunction() | ConfigSpace.OrConjunction():
            word = " and " if isinstance(condition, ConfigSpace.AndConjunction) else " or "
            return word.join(f"({_condition_text(part)})" for part in condition.components)
        case ConfigSpace.InCondition():
            return _in_text(condition.parent, condition.values)
        case ConfigSpace.EqualsCondition():
            return f"{quoted(condition.parent.name)} == {_literal_text(condition.value)}"
        case ConfigSpace.NotEqualsCondition():
            return f"{quoted(condition.parent.name)} != {_literal_text(condition.value)}"
        case ConfigSpace.LessThanCondition() | ConfigSpace.GreaterThanCondition():
            return _order_text(
                condition.parent, "<" if isinstance(condition, ConfigSpace.LessThanCondition) else ">", condition.value
            )
    raise SpaceError(f"the ConfigSpace condition {condition} has no counterpart here; write it with ==, in, < or >")


def _forbidden_text(clause: Any) -> str:
    signs = {
        ConfigSpace.ForbiddenEqualsClause: "==",
        ConfigSpace.ForbiddenLessThanClause: "<",
        ConfigSpace.ForbiddenLessThanEqualsClause: "<=",
        ConfigSpace.ForbiddenGreaterThanClause: ">",
        ConfigSpace.ForbiddenGreaterThanEqualsClause: ">=",
        ConfigSpace.ForbiddenEqualsRelation: "==",
        ConfigSpace.ForbiddenLessThanRelation: "<",
        ConfigSpace.ForbiddenLessThanEqualsRelation: "<=",
        ConfigSpace.ForbiddenGreaterThanRelation: ">",
        ConfigSpace.ForbiddenGreaterThanEqualsRelation: ">=",
    }
    if isinstance(clause, ConfigSpace.ForbiddenAndConjunction | ConfigSpace.ForbiddenOrConjunction):
        word = " and " if isinstance(clause, ConfigSpace.ForbiddenAndConjunction) else " or "
        return word.join(f"({_forbidden_text(part)})" for part in clause.components)
    if isinstance(clause, ConfigSpace.ForbiddenInClause):
        return _in_text(clause.hyperparameter, clause.values)
    if type(clause) not in signs:
        raise SpaceError(f"the ConfigSpace clause {clause} has no counterpart here; write it with ==, in or < and >")
    sign = signs[type(clause)]
    if hasattr(clause, "left"):
        return f"{quoted(clause.left.name)} {sign} {quoted(clause.right.name)}"
    if sign == "==":
        return f"{quoted(clause.hyperparameter.name)} == {_literal_text(clause.value)}"
    return _order_text(clause.hyperparameter, sign, clause.value)


def _order_text(parameter: Any, sign: str, value: Any) -> str:
    """Write an order of levels; ordered texts have no < here, so their levels are listed."""
    if isinstance(parameter, ConfigSpace.OrdinalHyperparameter):
        place = parameter.sequence.index(value)
        keep = {"<": range(place), "<=": range(place + 1)}
        behind = {">": range(place + 1, len(parameter.sequence)), ">=": range(place, len(parameter.sequence))}
        return _in_text(parameter, [parameter.sequence[position] for position in (keep | behind)[sign]])
    return f"{quoted(parameter.name)} {sign} {_literal_text(value)}"


def _in_text(parameter: Any, values: Iterable[Any]) -> str:
    levels = [_literal_text(value) for value in values]
    if not levels:
        raise SpaceError(f"a ConfigSpace rule on '{parameter.name}' never holds; leave it out")
    return f"{quoted(parameter.name)} in [{', '.join(levels)}]"


def _literal_text(value: Any) -> str:
    return repr(cast("object", value.item() if hasattr(value, "item") else value))
