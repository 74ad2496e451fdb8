"""The grammar of expressions: what may be written, checked on Python's syntax tree against a whitelist.

Takes a text, the names it may use and named constants; gives a tree that holds only the nodes
`space.constraints` interprets, with option names as they are and constants filled in. Everything
else is an error that names the text, the column and what is allowed.
"""

import ast
import re
import warnings
from collections.abc import Mapping

import numpy as np

from perfport.errors import SpaceError
from perfport.space.messages import listing, near
from perfport.space.options import Kind, Level

__all__ = ["ARITHMETIC", "MAX_DEPTH", "MAX_LENGTH", "ORDER", "literal_of", "names_in", "parse_tree", "quoted"]

MAX_LENGTH = 1000  # characters; longer rules are several rules
MAX_DEPTH = 32  # nested operators; far beyond what a person writes, far below Python's recursion limit
_MAX_NUMBER = 1e300  # keeps every literal a finite float64
_ALLOWED = (
    "allowed are option names, constants, literals, "
    "== != < <= > >=, in, not in, and, or, not, + - * / // %, min, max, abs"
)

ARITHMETIC: Mapping[type[ast.operator], np.ufunc] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
}
ORDER: Mapping[type[ast.cmpop], np.ufunc] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}
_RESERVED = {"min", "max", "abs"}  # always functions in an expression; an option of that name needs backticks
_REFUSED: Mapping[type[ast.AST], str] = {
    ast.Attribute: "attribute access",
    ast.Subscript: "indexing",
    ast.Lambda: "a lambda",
    ast.IfExp: "if ... else",
    ast.JoinedStr: "an f-string",
    ast.NamedExpr: "an assignment",
    ast.Starred: "unpacking",
    ast.Dict: "a dictionary",
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.List: "a list outside 'in'",
    ast.Tuple: "a list outside 'in'",
    ast.Set: "a list outside 'in'",
    ast.Pow: "the power **",
}
# A text, or a name in backticks; texts come first so that a backtick within one stays text.
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`([^`]*)`""")


def parse_tree(
    text: str, kinds: Mapping[str, Kind | None], constants: Mapping[str, Level]
) -> tuple[ast.expr, tuple[str, ...]]:
    """Return the checked tree of an expression of one line and the options it names, in order of appearance.

    Args:
        text: The expression.
        kinds: Options it may name, and what their levels are (None: not known, and not checked).
        constants: Named constants it may use.

    Raises:
        SpaceError: If the text is not an expression of the language.
    """
    if not isinstance(text, str) or not text.strip():
        raise SpaceError(f"{text!r} is no expression; {_ALLOWED}", text=text)
    if len(text) > MAX_LENGTH:
        raise SpaceError(
            f"'{text[:40]}...' has {len(text)} characters, allowed are {MAX_LENGTH}; write several rules", text=text
        )
    return _Checker(text, kinds, constants).checked()


def quoted(name: str) -> str:
    """Return an option name as it is written in an expression, in backticks where needed."""
    try:
        is_plain = isinstance(ast.parse(name, mode="eval").body, ast.Name) and name not in _RESERVED
    except (SyntaxError, ValueError):
        is_plain = False
    return name if is_plain else f"`{name}`"


def names_in(node: ast.expr) -> list[str]:
    """Return the options a part of a checked tree names, each once; functions are none."""
    functions = {id(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)}
    return list(
        dict.fromkeys(part.id for part in ast.walk(node) if isinstance(part, ast.Name) and id(part) not in functions)
    )


def literal_of(node: ast.expr) -> Level | None:
    """Return the value of a literal (also with a sign), or None if the node is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = literal_of(node.operand)
        if isinstance(value, int | float):
            return -value if isinstance(node.op, ast.USub) else value
    return None


class _Checker:
    """Checks one text; the kinds of operands are inferred on the way up."""

    def __init__(self, text: str, kinds: Mapping[str, Kind | None], constants: Mapping[str, Level]) -> None:
        self.text, self.kinds, self.constants = text, kinds, constants
        self.backticked: dict[str, str] = {}
        self.names: dict[str, None] = {}
        self.source = _QUOTED.sub(self._placeholder, text)

    def checked(self) -> tuple[ast.expr, tuple[str, ...]]:
        tree = self._syntax()
        checked = self._logical(tree, 0)
        if not self.names:
            raise SpaceError(f"'{self.text}' names no option; known are {listing(self.kinds)}", text=self.text)
        return checked, tuple(self.names)

    def _syntax(self) -> ast.expr:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python comments on odd escapes in texts; Space finds unknown levels
                return ast.parse(self.source, mode="eval").body
        except SyntaxError as error:
            column = error.offset or 1
            raise SpaceError(
                f"'{self.text}', column {column}: {error.msg}; {_ALLOWED}", text=self.text, column=column
            ) from None
        except (ValueError, RecursionError, MemoryError):
            raise SpaceError(f"'{self.text}' cannot be parsed; {_ALLOWED}", text=self.text) from None

    def _placeholder(self, match: re.Match[str]) -> str:
        if match.group(1) is None:
            return match.group()
        # Of the same length, so that columns in messages stay true; the first letter numbers the placeholders.
        name = chr(0x4E00 + len(self.backticked)) + "_" * (len(match.group()) - 1)
        self.backticked[name] = match.group(1)
        return name

    def _error(self, node: ast.expr, problem: str) -> SpaceError:
        column = len(self.source.encode()[: node.col_offset].decode()) + 1  # Python counts in bytes
        return SpaceError(f"'{self.text}', column {column}: {problem}", text=self.text, column=column)

    def _check(self, node: ast.expr, depth: int) -> tuple[ast.expr, Kind | None]:
        """Return the node with names resolved, and what its values are (None: not known)."""
        if depth > MAX_DEPTH:
            raise self._error(node, f"nested deeper than {MAX_DEPTH} levels; write several rules")
        kind: Kind | None = "number"
        new: ast.expr
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name():
                return self._name(node)
            case ast.BoolOp():
                new, kind = ast.BoolOp(node.op, [self._logical(part, depth + 1) for part in node.values]), "boolean"
            case ast.UnaryOp(op=ast.Not()):
                new, kind = ast.UnaryOp(node.op, self._logical(node.operand, depth + 1)), "boolean"
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                new = ast.UnaryOp(node.op, self._number(node.operand, depth + 1))
            case ast.BinOp() if type(node.op) in ARITHMETIC:
                new = ast.BinOp(self._number(node.left, depth + 1), node.op, self._number(node.right, depth + 1))
            case ast.Compare():
                new, kind = self._compare(node, depth + 1), "boolean"
            case ast.Call(func=ast.Name(id="min" | "max" | "abs"), keywords=[]):
                new = self._call(node, depth + 1)
            case _:
                raise self._error(node, f"{_described(node)} is not allowed; {_ALLOWED}")
        return ast.copy_location(new, node), kind

    def _constant(self, node: ast.Constant) -> tuple[ast.expr, Kind]:
        value = node.value
        if isinstance(value, bool):
            return node, "boolean"
        if isinstance(value, str):
            return node, "text"
        if not isinstance(value, int | float):
            hint = " (what an inactive option decides is fixed)" if value is None else ""
            raise self._error(node, f"{value!r} is not allowed{hint}; {_ALLOWED}")
        if not abs(value) <= _MAX_NUMBER:
            raise self._error(node, f"the number is not within +-{_MAX_NUMBER:g}")
        return node, "number"

    def _name(self, node: ast.Name) -> tuple[ast.expr, Kind | None]:
        name = self.backticked.get(node.id, node.id)
        if name in self.kinds:
            self.names[name] = None
            return ast.copy_location(ast.Name(name, ast.Load()), node), self.kinds[name]
        if name in self.constants:
            return self._constant(ast.copy_location(ast.Constant(self.constants[name]), node))
        known = [*self.kinds, *self.constants]
        raise self._error(node, f"unknown name '{name}'{near(name, known)} (known: {listing(known)})")

    def _logical(self, node: ast.expr, depth: int) -> ast.expr:
        checked, kind = self._check(node, depth)
        if kind not in ("boolean", None):
            raise self._error(node, f"a {kind} is neither true nor false; compare it with something")
        return checked

    def _number(self, node: ast.expr, depth: int) -> ast.expr:
        checked, kind = self._check(node, depth)
        if kind in ("text", "mixed"):
            what = self.text if not isinstance(node, ast.Name) else self.backticked.get(node.id, node.id)
            what = repr(node.value) if isinstance(node, ast.Constant) else f"'{what}'"
            raise self._error(
                node, f"{what} is no number; arithmetic and < <= > >= need numbers, for texts use == or in"
            )
        return checked

    def _call(self, node: ast.Call, depth: int) -> ast.expr:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        fits = len(node.args) == 1 if name == "abs" else len(node.args) > 1
        if not fits:
            raise self._error(node, f"{name} takes {'one number' if name == 'abs' else 'two numbers or more'}")
        return ast.Call(node.func, [self._number(argument, depth) for argument in node.args], [])

    def _compare(self, node: ast.Compare, depth: int) -> ast.expr:
        if isinstance(node.ops[0], ast.In | ast.NotIn) and len(node.ops) == 1:
            left, kind = self._check(node.left, depth)
            return ast.Compare(left, node.ops, [self._list(node.comparators[0], kind, depth)])
        if any(isinstance(operator, ast.In | ast.NotIn) for operator in node.ops):
            raise self._error(node, "'in' cannot be part of a chain; join comparisons with 'and'")
        if any(isinstance(operator, ast.Is | ast.IsNot) for operator in node.ops):
            raise self._error(node, "'is' is not allowed; write == or !=")
        sides = [self._check(side, depth) for side in (node.left, *node.comparators)]
        for place, operator in enumerate(node.ops):
            left_node, right_node = [node.left, *node.comparators][place : place + 2]
            if type(operator) in ORDER:
                self._number(left_node, depth)
                self._number(right_node, depth)
            else:
                self._check_comparable(right_node, sides[place][1], sides[place + 1][1])
        return ast.Compare(sides[0][0], node.ops, [checked for checked, _ in sides[1:]])

    def _list(self, node: ast.expr, kind: Kind | None, depth: int) -> ast.expr:
        if not isinstance(node, ast.List | ast.Tuple) or not node.elts:
            raise self._error(node, "'in' needs a list of literals, for instance [1, 2]")
        literals: list[ast.expr] = []
        for element in node.elts:
            checked, element_kind = self._check(element, depth)
            if literal_of(checked) is None:
                raise self._error(element, "the list after 'in' holds literals and constants only")
            self._check_comparable(element, kind, element_kind)
            literals.append(checked)
        return ast.copy_location(ast.List(literals, ast.Load()), node)

    def _check_comparable(self, node: ast.expr, left: Kind | None, right: Kind | None) -> None:
        if "text" in (left, right) and {left, right} & {"number", "boolean"}:
            raise self._error(node, f"a {left} never equals a {right}; compare like with like")


def _described(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return f"the call {ast.unparse(node.func)[:30]}(...)"
    kind: ast.AST = node.op if isinstance(node, ast.BinOp | ast.UnaryOp) else node
    return _REFUSED.get(type(kind), f"'{type(kind).__name__}'")
