"""Bounds: what is already certain about an expression while some of its options have no level yet.

Enumeration assigns options one by one. With `a + b + c <= 20` and only `a` assigned, rows where `a`
and the smallest `b` and `c` exceed 20 can be dropped at once: interval arithmetic, vectorised over
rows. What it cannot bound (texts, division, options that may be inactive) it leaves open, so a
dropped row is always a dead end.
"""

import ast
from collections.abc import Mapping
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from perfport.space.constraints import BoolArray, Expression, Operand, evaluated, logical
from perfport.space.grammar import names_in

__all__ = ["Certainty", "certainty"]


class Certainty(NamedTuple):
    """Truth that is only partly known.

    Attributes:
        certain: Where the expression holds whatever comes, shape (n,) or ().
        possible: Where it may still hold or be undecided, shape (n,) or ().
    """

    certain: BoolArray
    possible: BoolArray


class _Span(NamedTuple):
    low: NDArray[Any]
    high: NDArray[Any]


_OPEN = Certainty(np.asarray(False), np.asarray(True))
_UNBOUNDED = _Span(np.asarray(-np.inf), np.asarray(np.inf))


def certainty(
    rule: Expression, operands: Mapping[str, Operand], ranges: Mapping[str, tuple[float, float]]
) -> Certainty:
    """Return where a rule is certain to hold and where it is possible that it does.

    Args:
        rule: The expression.
        operands: Options that are assigned, n rows each.
        ranges: Smallest and largest level of numeric options that are not assigned and cannot be inactive.
    """
    return _truth(rule.tree, operands, ranges)


def _truth(node: ast.expr, operands: Mapping[str, Operand], ranges: Mapping[str, tuple[float, float]]) -> Certainty:
    names = set(names_in(node))
    if names <= operands.keys():
        values, known = logical(evaluated(node, operands))
        return Certainty(values, values | ~known)
    match node:
        case ast.BoolOp():
            parts = [_truth(part, operands, ranges) for part in node.values]
            merge = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            certain = reduce(merge, [part.certain for part in parts])
            return Certainty(certain, reduce(merge, [part.possible for part in parts]))
        case ast.UnaryOp(op=ast.Not()):
            inner = _truth(node.operand, operands, ranges)
            return Certainty(~inner.possible, ~inner.certain)
        case ast.Compare() if names <= operands.keys() | ranges.keys():
            return _compared(node, operands, ranges)
    return _OPEN


def _compared(
    node: ast.Compare, operands: Mapping[str, Operand], ranges: Mapping[str, tuple[float, float]]
) -> Certainty:
    if any(isinstance(operator, ast.In | ast.NotIn) for operator in node.ops):
        return _OPEN
    spans = [_span(side, operands, ranges) for side in (node.left, *node.comparators)]
    links = [_linked(operator, spans[place], spans[place + 1]) for place, operator in enumerate(node.ops)]
    certain = reduce(np.logical_and, [link.certain for link in links])
    possible = reduce(np.logical_and, [link.possible for link in links])
    # Undecided where an assigned operand is inactive: not certain, and nothing that would exclude the row.
    used = [operands[name] for name in names_in(node) if name in operands]
    active = reduce(np.logical_and, [operand.active for operand in used], np.asarray(True))
    return Certainty(certain & active, possible | ~active)


def _linked(operator: ast.cmpop, left: _Span, right: _Span) -> Certainty:
    match operator:
        case ast.Lt():
            return Certainty(left.high < right.low, left.low < right.high)
        case ast.LtE():
            return Certainty(left.high <= right.low, left.low <= right.high)
        case ast.Gt() | ast.GtE():
            mirrored = ast.Lt() if isinstance(operator, ast.Gt) else ast.LtE()
            return _linked(mirrored, right, left)
    is_equal = (left.low == left.high) & (right.low == right.high) & (left.low == right.low)
    may_equal = (left.low <= right.high) & (right.low <= left.high)
    return Certainty(is_equal, may_equal) if isinstance(operator, ast.Eq) else Certainty(~may_equal, ~is_equal)


def _span(node: ast.expr, operands: Mapping[str, Operand], ranges: Mapping[str, tuple[float, float]]) -> _Span:
    """Return between which numbers a part lies, row by row; unbounded where that is not worked out."""
    span = _UNBOUNDED
    match node:
        case ast.Constant() if isinstance(node.value, int | float):
            span = _Span(np.asarray(float(node.value)), np.asarray(float(node.value)))
        case ast.Name() if node.id in ranges and node.id not in operands:
            span = _Span(*(np.asarray(float(bound)) for bound in ranges[node.id]))
        case ast.Name() if operands[node.id].values.dtype != object:
            span = _Span(operands[node.id].values, operands[node.id].values)
        case ast.UnaryOp():
            inner = _span(node.operand, operands, ranges)
            span = _Span(-inner.high, -inner.low) if isinstance(node.op, ast.USub) else inner
        case ast.BinOp():
            span = _combined(node.op, _span(node.left, operands, ranges), _span(node.right, operands, ranges))
        case ast.Call(func=ast.Name(id=name)) if not _may_be_undefined(node):
            span = _called(name, [_span(argument, operands, ranges) for argument in node.args])
    # NaN (a difference of infinities, an inactive float) bounds nothing.
    return _Span(np.where(np.isnan(span.low), -np.inf, span.low), np.where(np.isnan(span.high), np.inf, span.high))


def _may_be_undefined(node: ast.expr) -> bool:
    """Whether a part may divide by zero: no comparison with it holds then, wherever its other parts lie."""
    operators = (found.op for found in ast.walk(node) if isinstance(found, ast.BinOp))
    return any(isinstance(operator, ast.Div | ast.FloorDiv | ast.Mod) for operator in operators)


def _combined(operator: ast.operator, left: _Span, right: _Span) -> _Span:
    with np.errstate(invalid="ignore", over="ignore"):
        match operator:
            case ast.Add():
                return _Span(left.low + right.low, left.high + right.high)
            case ast.Sub():
                return _Span(left.low - right.high, left.high - right.low)
            case ast.Mult():
                corners = [one * other for one in left for other in right]
                return _Span(reduce(np.minimum, corners), reduce(np.maximum, corners))
    return _UNBOUNDED


def _called(name: str, arguments: list[_Span]) -> _Span:
    if name == "abs":
        low, high = arguments[0]
        crosses = (low <= 0) & (high >= 0)
        smallest = np.where(crosses, 0.0, np.minimum(np.abs(low), np.abs(high)))
        return _Span(smallest, np.maximum(np.abs(low), np.abs(high)))
    merge = np.minimum if name == "min" else np.maximum
    return _Span(reduce(merge, [span.low for span in arguments]), reduce(merge, [span.high for span in arguments]))
