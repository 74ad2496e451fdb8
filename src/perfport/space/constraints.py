"""Expressions: the one small language of conditions, forbidden combinations and constraints.

An expression such as `"threads * streams <= cores"` is parsed by Python's `ast`, checked against a
whitelist (`space.grammar`) and interpreted over whole columns; nothing is ever executed as code. It
may use option names, named constants, numbers, texts, `True` and `False`, comparisons (also
chained), `and`, `or`, `not`, `+ - * / // %`, `min`, `max`, `abs`, and `in` / `not in` with a list of
literals. A name that is no identifier is written in backticks: "`vm.swappiness` < 60". A division
by zero equals nothing and is in no order to anything.

**Inactive operands.** A comparison with an inactive option is *undecided*, and `and`, `or`, `not`
follow Kleene's three-valued logic, so that `a and b` is the same as the two constraints `a`, `b`. An
undecided constraint holds, an undecided forbidden clause forbids nothing, an undecided condition
leaves its option inactive.

Example:
    >>> rule = Expression.parse("threads * streams <= cores", ["threads", "streams"], {"cores": 2})
    >>> rule.holds(pd.DataFrame({"threads": [1, 2, 2], "streams": [2, 2, None]}))
    array([ True, False,  True])
"""

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.errors import SpaceError
from perfport.space.grammar import ARITHMETIC, ORDER, literal_of, parse_tree
from perfport.space.messages import listing
from perfport.space.options import Kind, Level

__all__ = ["BoolArray", "Comparison", "Expression", "Operand", "evaluated", "logical", "operand_of"]

BoolArray = NDArray[np.bool_]

_ACTIVE: BoolArray = np.asarray(True)


class Operand(NamedTuple):
    """The values of one column or part of an expression, and where they are defined.

    Attributes:
        values: float64, bool or object, shape (n,) or (); without meaning where `active` is False.
        active: Where the value is that of active options, shape (n,) or ().
    """

    values: NDArray[Any]
    active: BoolArray


class Comparison(NamedTuple):
    """An option compared with a literal for equality: what can be checked against its levels."""

    name: str
    literal: Level


@dataclass(frozen=True)
class Expression:
    """A checked expression; make one with `Expression.parse`.

    Attributes:
        text: As written, on one line.
        names: Options it names, in order of appearance.
        tree: The checked syntax tree, with constants filled in.
    """

    text: str
    names: tuple[str, ...] = field(repr=False)
    tree: ast.expr = field(compare=False, repr=False)

    @classmethod
    def parse(
        cls, text: str, names: Iterable[str] | Mapping[str, Kind], constants: Mapping[str, Level] | None = None
    ) -> "Expression":
        """Read and check an expression.

        Args:
            text: The expression.
            names: Options it may name; as a mapping to their `Option.kind`, operands are checked too.
            constants: Named constants it may use.

        Raises:
            SpaceError: If the text is no expression of the language; names the text, the column and
                what is allowed.
        """
        kinds: Mapping[str, Kind | None] = dict(names) if isinstance(names, Mapping) else dict.fromkeys(names)
        # Line breaks, which YAML blocks bring along, mean nothing; one line keeps columns and messages simple.
        line = re.sub(r"\s", " ", text).strip() if isinstance(text, str) else text
        tree, used = parse_tree(line, kinds, constants or {})
        return cls(line, used, tree)

    def __str__(self) -> str:
        return self.text

    def holds(self, frame: pd.DataFrame, *, undecided: bool = True) -> BoolArray:
        """Evaluate over many configurations at once.

        Args:
            frame: One row a configuration, n rows; inactive cells are NaN or None.
            undecided: The answer where inactive options leave it open: True for a constraint, False
                for a forbidden clause or a condition.

        Returns:
            Where the expression holds, shape (n,).

        Raises:
            SpaceError: If the frame lacks an option the expression names, or a text stands where the
                expression needs a number.
        """
        missing = [name for name in self.names if name not in frame.columns]
        if missing:
            raise SpaceError(f"'{self.text}' needs {listing(missing)}, but the frame has {listing(frame.columns)}")
        return self.evaluate({name: operand_of(frame[name]) for name in self.names}, len(frame), undecided=undecided)

    def evaluate(self, operands: Mapping[str, Operand], n: int, *, undecided: bool) -> BoolArray:
        """Evaluate on columns that are already split into values and activity, n rows each."""
        try:
            values, known = logical(evaluated(self.tree, operands))
        except TypeError:
            raise SpaceError(f"'{self.text}' needs numbers where there are texts; compare texts by == or in") from None
        return np.array(np.broadcast_to(np.where(known, values, undecided), (n,)), dtype=np.bool_)

    def comparisons(self) -> list[Comparison]:
        """Return every option compared with a literal by `==`, `!=`, `in` or `not in`."""
        found: list[Comparison] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                for place, operator in enumerate(node.ops):
                    if type(operator) not in ORDER:
                        left, right = sides[place], sides[place + 1]
                        found += _literal_comparisons(left, right) + _literal_comparisons(right, left)
        return found


def operand_of(column: "pd.Series[Any]") -> Operand:
    """Split a column of a frame into values (float64 or object) and where they are active."""
    active = column.notna().to_numpy(dtype=np.bool_)
    if column.dtype != object and (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        return Operand(column.to_numpy(dtype=np.float64, na_value=np.nan), active)
    values = column.to_numpy(dtype=object)
    if pd.api.types.infer_dtype(column, skipna=True) in ("boolean", "integer", "floating", "mixed-integer-float"):
        return Operand(np.where(active, values, np.nan).astype(np.float64), active)
    return Operand(values, active)


def logical(operand: Operand) -> Operand:
    """Return the operand as truth values, False where it is inactive."""
    return Operand(operand.values.astype(np.bool_) & operand.active, operand.active)


def evaluated(node: ast.expr, operands: Mapping[str, Operand]) -> Operand:
    """Interpret a checked tree; numbers and booleans are float64, so that a product of clocks cannot wrap."""
    match node:
        case ast.Constant():
            is_number = isinstance(node.value, int | float)
            result = Operand(np.asarray(node.value, dtype=np.float64 if is_number else object), _ACTIVE)
        case ast.Name():
            result = operands[node.id]
        case ast.UnaryOp(op=ast.Not()):
            inner = logical(evaluated(node.operand, operands))
            result = Operand(~inner.values & inner.active, inner.active)
        case ast.UnaryOp():
            inner = evaluated(node.operand, operands)
            result = Operand(-inner.values if isinstance(node.op, ast.USub) else inner.values, inner.active)
        case ast.BoolOp():
            parts = [logical(evaluated(part, operands)) for part in node.values]
            result = _kleene(parts, is_and=isinstance(node.op, ast.And))
        case ast.BinOp():
            left, right = evaluated(node.left, operands), evaluated(node.right, operands)
            result = Operand(_arithmetic(node.op, left.values, right.values), left.active & right.active)
        case ast.Call(func=ast.Name(id=name)):
            result = _called(name, [evaluated(argument, operands) for argument in node.args])
        case ast.Compare():
            result = _compared(node, operands)
        case _:  # the grammar lets nothing else through
            raise AssertionError(f"unchecked node {ast.dump(node)}")
    return result


def _kleene(parts: list[Operand], *, is_and: bool) -> Operand:
    values, known = parts[0]
    for part in parts[1:]:
        # One False decides an "and", one True an "or", whatever is open on the other side.
        decided = (known & ~values) | (part.active & ~part.values) if is_and else values | part.values
        known = (known & part.active) | decided
        values = values & part.values if is_and else values | part.values
    return Operand(values, known)


def _arithmetic(operator: ast.operator, left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        result = ARITHMETIC[type(operator)](left, right)
    if isinstance(operator, ast.Div | ast.FloorDiv | ast.Mod):
        result = np.where(right == 0, np.nan, result)  # never infinity: then no comparison holds but !=
    return np.asarray(result)


def _called(name: str, arguments: list[Operand]) -> Operand:
    values, active = arguments[0]
    if name == "abs":
        return Operand(np.abs(values), active)
    for argument in arguments[1:]:
        merge = np.minimum if name == "min" else np.maximum
        values, active = merge(values, argument.values), active & argument.active
    return Operand(values, active)


def _compared(node: ast.Compare, operands: Mapping[str, Operand]) -> Operand:
    left = evaluated(node.left, operands)
    links: list[Operand] = []
    for operator, comparator in zip(node.ops, node.comparators, strict=True):
        if isinstance(operator, ast.In | ast.NotIn):
            found = _contained(left.values, comparator)
            return logical(Operand(found if isinstance(operator, ast.In) else ~found, left.active))
        right = evaluated(comparator, operands)
        if type(operator) in ORDER:
            values = ORDER[type(operator)](left.values, right.values)
        else:
            equal = np.asarray(left.values == right.values, dtype=np.bool_)
            values = equal if isinstance(operator, ast.Eq) else ~equal
        links.append(logical(Operand(np.asarray(values), left.active & right.active)))
        left = right
    return _kleene(links, is_and=True)


def _contained(values: NDArray[Any], literals: ast.expr) -> BoolArray:
    found = np.zeros(values.shape, dtype=np.bool_)
    for element in literals.elts if isinstance(literals, ast.List) else []:
        found |= np.asarray(values == literal_of(element), dtype=np.bool_)
    return found


def _literal_comparisons(side: ast.expr, other: ast.expr) -> list[Comparison]:
    if not isinstance(side, ast.Name):
        return []
    literals = [literal_of(element) for element in (other.elts if isinstance(other, ast.List) else [other])]
    return [Comparison(side.id, literal) for literal in literals if literal is not None]
