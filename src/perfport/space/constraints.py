"""Expressions: the one small language of conditions, forbidden combinations and constraints.

An expression such as `"threads * streams <= cores"` is parsed by Python's `ast`, checked against a
whitelist and interpreted over whole columns; nothing is ever executed as code. It may use option
names, named constants, numbers, texts, `True` and `False`, comparisons (also chained), `and`, `or`,
`not`, `+ - * / // %`, `min`, `max`, `abs`, and `in` / `not in` with a list of literals. A name that
is no identifier is written in backticks: "`vm.swappiness` < 60".

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
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.errors import SpaceError
from perfport.space.messages import listing, near
from perfport.space.options import Kind, Level

__all__ = ["MAX_DEPTH", "MAX_LENGTH", "BoolArray", "Comparison", "Expression", "Operand", "operand_of", "quoted"]

BoolArray = NDArray[np.bool_]

MAX_LENGTH = 1000  # characters; longer rules are several rules
MAX_DEPTH = 32  # nested operators; far beyond what a person writes, far below Python's recursion limit
_MAX_NUMBER = 1e300  # keeps every literal a finite float64
_ALLOWED = (
    "allowed: option names, constants, literals, == != < <= > >=, in, not in, and, or, not, + - * / // %, min, max, abs"
)

_LOGICAL: dict[type[ast.boolop], str] = {ast.And: "and", ast.Or: "or"}
_ARITHMETIC: dict[type[ast.operator], np.ufunc] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
}
_ORDER: dict[type[ast.cmpop], np.ufunc] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"min": np.minimum, "max": np.maximum, "abs": np.abs}
_ACTIVE: BoolArray = np.asarray(True)
# A text, or a name in backticks; texts come first so that a backtick within one stays text.
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`([^`]*)`""")


class Operand(NamedTuple):
    """The values of one column or part of an expression, and where they are defined.

    Attributes:
        values: float64, bool or object, shape (n,) or (); what stands where `active` is False is meaningless.
        active: Where the value is that of an active option, shape (n,) or ().
    """

    values: NDArray[Any]
    active: BoolArray


class Comparison(NamedTuple):
    """An option compared with a literal for equality: what can be checked against its levels."""

    name: str
    literal: Level


@dataclass(frozen=True)
class Expression:
    """A parsed expression; make one with `Expression.parse`.

    Attributes:
        text: As written.
        names: Options it speaks of, in order of appearance.
        tree: The checked syntax tree, with constants filled in.
    """

    text: str
    names: tuple[str, ...] = field(compare=False)
    tree: ast.expr = field(compare=False, repr=False)

    @classmethod
    def parse(
        cls, text: str, names: Iterable[str] | Mapping[str, Kind], constants: Mapping[str, Level] | None = None
    ) -> "Expression":
        """Read and check an expression.

        Args:
            text: The expression.
            names: Options it may speak of; as a mapping to their `Option.kind`, operands are checked too.
            constants: Named constants it may use.

        Raises:
            SpaceError: If the text is no expression of the language; names the text, the column and
                what is allowed.
        """
        kinds: dict[str, Kind | None] = {name: None for name in names} | (
            dict(names) if isinstance(names, Mapping) else {}
        )
        return _Parser(text, kinds, constants or {}).parse()

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
            SpaceError: If the frame lacks an option the expression speaks of.
        """
        missing = [name for name in self.names if name not in frame.columns]
        if missing:
            raise SpaceError(f"'{self.text}' needs {listing(missing)}, but the frame has {listing(frame.columns)}")
        return self.evaluate({name: operand_of(frame[name]) for name in self.names}, len(frame), undecided=undecided)

    def evaluate(self, operands: Mapping[str, Operand], n: int, *, undecided: bool) -> BoolArray:
        """Evaluate on columns that are already split into values and activity, n rows each."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            result = _logical(_evaluate(self.tree, operands))
        answer = np.where(result.active, result.values, undecided)
        return np.array(np.broadcast_to(answer, (n,)), dtype=np.bool_)

    def comparisons(self) -> list[Comparison]:
        """Return every option compared with a literal by `==`, `!=`, `in` or `not in`."""
        found: list[Comparison] = []
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.Compare):
                continue
            sides = [node.left, *node.comparators]
            for operator, left, right in zip(node.ops, sides, sides[1:], strict=False):
                if type(operator) not in _ORDER:
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


def quoted(name: str) -> str:
    """Return an option name as it is written in an expression, in backticks where needed."""
    words = {"and", "or", "not", "in", "min", "max", "abs"}
    try:
        is_name = isinstance(ast.parse(name, mode="eval").body, ast.Name)
    except (SyntaxError, ValueError):
        is_name = False
    return name if is_name and name not in words else f"`{name}`"


class _Parser:
    """Checks one text against the whitelist; the kinds of operands are inferred on the way up."""

    def __init__(self, text: str, kinds: Mapping[str, Kind | None], constants: Mapping[str, Level]) -> None:
        self.text, self.kinds, self.constants = text, kinds, constants
        self.backticked: dict[str, str] = {}
        self.names: dict[str, None] = {}

    def parse(self) -> Expression:
        if not isinstance(self.text, str) or not self.text.strip():
            raise SpaceError(f"{self.text!r} is no expression; {_ALLOWED}", text=self.text)
        if len(self.text) > MAX_LENGTH:
            raise SpaceError(
                f"an expression of {len(self.text)} characters ('{self.text[:40]}...'); allowed are {MAX_LENGTH}: "
                "write several rules",
                text=self.text,
            )
        # Leading space would be an indentation error; columns are counted from what is left.
        source = _QUOTED.sub(self._placeholder, self.text.strip())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python comments on odd escapes; unknown levels are found later
                tree = ast.parse(source, mode="eval").body
        except SyntaxError as error:
            raise SpaceError(
                f"'{self.text}' is no expression: {error.msg} at column {error.offset or 1}; {_ALLOWED}", text=self.text
            ) from None
        except (ValueError, RecursionError, MemoryError):
            raise SpaceError(
                f"'{self.text}' is no expression: it cannot be parsed; {_ALLOWED}", text=self.text
            ) from None
        checked, kind = self._check(tree, 0)
        if kind not in ("boolean", None):
            raise self._error(tree, f"the whole is a {kind}, not a comparison; compare it with something")
        if not self.names:
            raise SpaceError(f"'{self.text}' names no option; known are {listing(self.kinds)}", text=self.text)
        return Expression(self.text, tuple(self.names), checked)

    def _placeholder(self, match: re.Match[str]) -> str:
        if match.group(1) is None:
            return match.group()
        # Of the same length, so that columns in messages stay true; the letter is the placeholder's number.
        name = chr(0x4E00 + len(self.backticked)) + "_" * (len(match.group()) - 1)
        self.backticked[name] = match.group(1)
        return name

    def _error(self, node: ast.expr, problem: str) -> SpaceError:
        lines = self.text.strip().splitlines()
        line = lines[node.lineno - 1] if node.lineno <= len(lines) else ""
        column = len(line.encode()[: node.col_offset].decode(errors="ignore")) + 1
        return SpaceError(f"'{self.text}', column {column}: {problem}", text=self.text, column=column)

    def _check(self, node: ast.expr, depth: int) -> tuple[ast.expr, Kind | None]:
        """Return the node with names resolved, and what its values are (None: not known)."""
        if depth > MAX_DEPTH:
            raise self._error(node, f"nested deeper than {MAX_DEPTH} levels; write several rules")
        match node:
            case ast.Constant():
                return self._check_constant(node)
            case ast.Name():
                return self._check_name(node)
            case ast.BoolOp():
                parts = [self._check_logical(part, depth + 1) for part in node.values]
                return ast.copy_location(ast.BoolOp(node.op, parts), node), "boolean"
            case ast.UnaryOp(op=ast.Not()):
                return ast.copy_location(
                    ast.UnaryOp(node.op, self._check_logical(node.operand, depth + 1)), node
                ), "boolean"
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                return ast.copy_location(
                    ast.UnaryOp(node.op, self._check_number(node.operand, depth + 1)), node
                ), "number"
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                left, right = (self._check_number(side, depth + 1) for side in (node.left, node.right))
                return ast.copy_location(ast.BinOp(left, node.op, right), node), "number"
            case ast.Compare():
                return self._check_compare(node, depth), "boolean"
            case ast.Call(func=ast.Name(id="min" | "max" | "abs"), keywords=[]):
                return self._check_call(node, depth), "number"
        raise self._error(node, f"{_described(node)} is not allowed; {_ALLOWED}")

    def _check_constant(self, node: ast.Constant) -> tuple[ast.expr, Kind]:
        value = node.value
        if isinstance(value, bool):
            return node, "boolean"
        if isinstance(value, str):
            return node, "text"
        if isinstance(value, int | float):
            if not abs(value) <= _MAX_NUMBER:
                raise self._error(node, f"the number is beyond {_MAX_NUMBER:g}")
            return node, "number"
        hint = " (inactive options need no test: see the rules for them)" if value is None else ""
        raise self._error(node, f"{value!r} is not allowed{hint}; {_ALLOWED}")

    def _check_name(self, node: ast.Name) -> tuple[ast.expr, Kind | None]:
        name = self.backticked.get(node.id, node.id)
        if name in self.kinds:
            self.names[name] = None
            return ast.copy_location(ast.Name(name, ast.Load()), node), self.kinds[name]
        if name in self.constants:
            return self._check_constant(ast.copy_location(ast.Constant(self.constants[name]), node))
        known = [*self.kinds, *self.constants]
        raise self._error(node, f"unknown name '{name}'{near(name, known)} (known: {listing(known)})")

    def _check_logical(self, node: ast.expr, depth: int) -> ast.expr:
        checked, kind = self._check(node, depth)
        if kind not in ("boolean", None):
            raise self._error(node, f"a {kind} is neither true nor false; compare it with something")
        return checked

    def _check_number(self, node: ast.expr, depth: int) -> ast.expr:
        checked, kind = self._check(node, depth)
        if kind in ("text", "mixed"):
            raise self._error(node, f"{_described(node)} is not a number; arithmetic and < <= > >= need numbers")
        return checked

    def _check_call(self, node: ast.Call, depth: int) -> ast.expr:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if (name == "abs") != (len(node.args) == 1) or not node.args:
            raise self._error(node, f"{name} takes {'one number' if name == 'abs' else 'two numbers or more'}")
        arguments = [self._check_number(argument, depth + 1) for argument in node.args]
        return ast.copy_location(ast.Call(node.func, arguments, []), node)

    def _check_compare(self, node: ast.Compare, depth: int) -> ast.expr:
        sides = [node.left, *node.comparators]
        checked = [
            self._check_list(side, depth + 1) if index and isinstance(node.ops[index - 1], ast.In | ast.NotIn) else side
            for index, side in enumerate(sides)
        ]
        for index, operator in enumerate(node.ops):
            if isinstance(operator, ast.Is | ast.IsNot):
                raise self._error(node, f"'is' is not allowed; write == or !=; {_ALLOWED}")
            if isinstance(operator, ast.In | ast.NotIn) and len(node.ops) > 1:
                raise self._error(node, "'in' cannot be part of a chain; join comparisons with 'and'")
            for place in (index, index + 1):
                if isinstance(operator, ast.In | ast.NotIn) and place:
                    continue  # the list, checked above
                side = sides[place]
                is_order = type(operator) in _ORDER
                checked[place] = self._check_number(side, depth + 1) if is_order else self._check(side, depth + 1)[0]
        return ast.copy_location(ast.Compare(checked[0], node.ops, checked[1:]), node)

    def _check_list(self, node: ast.expr, depth: int) -> ast.expr:
        if not isinstance(node, ast.List | ast.Tuple) or not node.elts:
            raise self._error(node, "'in' needs a list of literals, for instance in [1, 2]")
        literals = [self._check(element, depth + 1)[0] for element in node.elts]
        for element, literal in zip(node.elts, literals, strict=True):
            if _literal(literal) is None:
                raise self._error(element, "the list after 'in' holds literals and constants only")
        return ast.copy_location(ast.List(literals, ast.Load()), node)


def _evaluate(node: ast.expr, operands: Mapping[str, Operand]) -> Operand:
    """Interpret a checked tree; numbers and booleans are float64, so that products of clocks cannot wrap."""
    match node:
        case ast.Constant():
            if isinstance(node.value, int | float):
                return Operand(np.asarray(float(node.value)), _ACTIVE)
            return Operand(np.asarray(node.value, dtype=object), _ACTIVE)
        case ast.Name():
            return operands[node.id]
        case ast.UnaryOp(op=ast.Not()):
            inner = _logical(_evaluate(node.operand, operands))
            return Operand(~inner.values, inner.active)
        case ast.UnaryOp():
            inner = _evaluate(node.operand, operands)
            return Operand(-inner.values if isinstance(node.op, ast.USub) else inner.values, inner.active)
        case ast.BoolOp():
            parts = [_logical(_evaluate(part, operands)) for part in node.values]
            return _kleene(parts, is_and=isinstance(node.op, ast.And))
        case ast.BinOp():
            left, right = _evaluate(node.left, operands), _evaluate(node.right, operands)
            return Operand(_arithmetic(node.op, left.values, right.values), left.active & right.active)
        case ast.Call(func=ast.Name(id=name)):
            return _call(name, [_evaluate(argument, operands) for argument in node.args])
        case ast.Compare():
            return _compare(node, operands)
    raise AssertionError(f"unchecked node {node!r}")  # unreachable: the parser lets nothing else through


def _logical(operand: Operand) -> Operand:
    return Operand(operand.values.astype(np.bool_) & operand.active, operand.active)


def _kleene(parts: list[Operand], *, is_and: bool) -> Operand:
    values, known = parts[0]
    for part in parts[1:]:
        # One False decides an "and", one True an "or", whatever is open on the other side.
        decided = (known & ~values) | (part.active & ~part.values) if is_and else (values | part.values)
        known = (known & part.active) | decided
        values = (values & part.values) if is_and else (values | part.values)
    return Operand(values, known)


def _arithmetic(operator: ast.operator, left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    result = _ARITHMETIC[type(operator)](left, right)
    if isinstance(operator, ast.Div | ast.FloorDiv | ast.Mod):
        # Division by zero gives NaN, never infinity: then no comparison holds but !=.
        result = np.where(right == 0, np.nan, result)
    return np.asarray(result)


def _call(name: str, arguments: list[Operand]) -> Operand:
    values, active = arguments[0]
    if name == "abs":
        return Operand(np.abs(values), active)
    for argument in arguments[1:]:
        values, active = _FUNCTIONS[name](values, argument.values), active & argument.active
    return Operand(values, active)


def _compare(node: ast.Compare, operands: Mapping[str, Operand]) -> Operand:
    left = _evaluate(node.left, operands)
    links = []
    for operator, comparator in zip(node.ops, node.comparators, strict=True):
        if isinstance(operator, ast.In | ast.NotIn):
            found = _contained(left.values, comparator)
            return Operand(found if isinstance(operator, ast.In) else ~found, left.active)
        right = _evaluate(comparator, operands)
        active = left.active & right.active
        if type(operator) in _ORDER:
            values = _ORDER[type(operator)](left.values, right.values)
        else:
            values = np.asarray(left.values == right.values, dtype=np.bool_)
            values = values if isinstance(operator, ast.Eq) else ~values
        links.append(_logical(Operand(np.asarray(values), active)))
        left = right
    return _kleene(links, is_and=True)


def _contained(values: NDArray[Any], literals: ast.expr) -> BoolArray:
    found = np.zeros(values.shape, dtype=np.bool_)
    for element in literals.elts if isinstance(literals, ast.List) else []:
        found |= np.asarray(values == _literal(element), dtype=np.bool_)
    return found


def _literal(node: ast.expr) -> Level | None:
    """Return the value of a literal (also with a sign), or None if the node is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _literal(node.operand)
        if isinstance(value, int | float):
            return -value if isinstance(node.op, ast.USub) else value
    return None


def _literal_comparisons(side: ast.expr, other: ast.expr) -> list[Comparison]:
    if not isinstance(side, ast.Name):
        return []
    literals = other.elts if isinstance(other, ast.List) else [other]
    found = [_literal(element) for element in literals]
    return [Comparison(side.id, literal) for literal in found if literal is not None]


def _described(node: ast.expr) -> str:
    names: dict[type[ast.AST], str] = {
        ast.Attribute: "attribute access",
        ast.Subscript: "indexing",
        ast.Lambda: "a lambda",
        ast.IfExp: "if ... else",
        ast.JoinedStr: "an f-string",
        ast.NamedExpr: "an assignment",
        ast.Starred: "unpacking",
        ast.Dict: "a dictionary",
        ast.Name: "the text",
        ast.Constant: "the text",
    }
    match node:
        case ast.Call():
            return f"the call {ast.unparse(node.func)[:30]}(...)"
        case ast.BinOp(op=ast.Pow()):
            return "the power **"
        case ast.BinOp() | ast.UnaryOp():
            return f"the operator {type(node.op).__name__}"
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return "a comprehension"
        case ast.List() | ast.Tuple() | ast.Set():
            return "a list outside 'in'"
        case ast.Name() | ast.Constant():
            return f"{names[type(node)]} {ast.unparse(node)}"
    return names.get(type(node), type(node).__name__)
