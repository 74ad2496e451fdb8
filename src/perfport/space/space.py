"""Space: the options of a system and the rules between them; which configurations are valid.

Takes options, conditions, forbidden combinations and constraints (or the YAML that holds them) and
answers for whole frames of configurations: what is valid, how many there are, all of them, some of
them, what is next to one of them.

Example:
    >>> threads = Option(name="threads", type="integer", lower=1, upper=4)
    >>> streams = Option(name="streams", type="ordinal", values=(1, 2))
    >>> space = Space([threads, streams], constraints=["threads * streams <= cores"], constants={"cores": 4})
    >>> space.size(), space.default_configuration()
    (6, {'threads': 1, 'streams': 1})
    >>> space.violations({"threads": 4, "streams": 2})
    ["constraint 'threads * streams <= cores' does not hold"]
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from perfport.errors import InvalidConfigurationError, SpaceError
from perfport.space.columns import (
    NOT_A_LEVEL,
    Block,
    Cells,
    active_rows,
    column_of,
    column_of_levels,
    n_rows,
    positions_of,
    take_rows,
)
from perfport.space.constraints import BoolArray, Expression
from perfport.space.messages import listing, near
from perfport.space.options import Level, Option
from perfport.space.schema import Condition, SpaceDocument, parse_yaml, read_document, write_document
from perfport.space.valid import Component, Rules, default_cell, place_on_scale, uniform_on_scale

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace

__all__ = ["Configuration", "Space"]

Configuration = Mapping[str, Level | None]

_RANGE_STEPS = (-0.1, 0.1)  # neighbours of a level in a float range, as shares of the range on its scale


class Space:
    """A configuration space. It never changes, and it always has a valid configuration: its default.

    Args:
        options: At least one, with distinct names.
        conditions: `{"option": name, "when": expression}`: the option is active only where the
            expression holds; several for one option must all hold.
        forbidden: Expressions of which none may hold.
        constraints: Expressions that must all hold. In all three, see `space.constraints` for the
            language and for what happens when an operand is inactive.
        name: What people call it.
        constants: Names that expressions may use.

    Raises:
        SpaceError: If names repeat, an expression cannot be read or compares an option with what is
            none of its levels, conditions form a cycle, or there is no valid (default) configuration.
    """

    def __init__(
        self,
        options: Iterable[Option],
        conditions: Iterable[Condition | Mapping[str, str]] = (),
        forbidden: Iterable[str] = (),
        constraints: Iterable[str] = (),
        *,
        name: str = "",
        constants: Mapping[str, Level] | None = None,
    ) -> None:
        data = {"name": name, "options": tuple(options), "conditions": tuple(conditions)}
        data |= {"forbidden": _texts("forbidden", forbidden), "constraints": _texts("constraints", constraints)}
        self._set_up(read_document(data | {"constants": dict(constants or {})}))

    def _set_up(self, document: SpaceDocument) -> None:
        self._document = document
        self._rules = _parsed(document)
        self._default = _default_block(self._rules)

    @classmethod
    def _from_document(cls, document: SpaceDocument, file: str = "") -> "Space":
        space = cls.__new__(cls)
        try:
            space._set_up(document)
        except SpaceError as error:
            raise SpaceError(f"{file}: {error}" if file else str(error), **error.details) from None
        return space

    @classmethod
    def from_yaml(cls, text: str, file: str = "") -> "Space":
        """Read a space from YAML text (or JSON, which is YAML).

        Args:
            text: A document as `to_yaml` writes it.
            file: Where it came from, for messages.

        Raises:
            SpaceError: If the text is not YAML or no space; one line naming file and option.
        """
        return cls._from_document(read_document(parse_yaml(text, file), file), file)

    @classmethod
    def read(cls, path: str | Path) -> "Space":
        """Read a space from a YAML file.

        Raises:
            SpaceError: If the file cannot be read or holds no space.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise SpaceError(f"{path}: cannot be read: {reason}; give a YAML file of a space", path=path) from None
        return cls.from_yaml(text, str(path))

    def to_yaml(self) -> str:
        """Return the space as YAML; `from_yaml` makes an equal space of it."""
        return write_document(self._document)

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema of the YAML document."""
        return SpaceDocument.model_json_schema()

    def to_configspace(self) -> "ConfigurationSpace":
        """Return the same space for ConfigSpace, see `space.configspace.to_configspace`."""
        from perfport.space.configspace import to_configspace  # ConfigSpace loads scipy.stats

        return to_configspace(self)

    @classmethod
    def from_configspace(cls, space: "ConfigurationSpace") -> "Space":
        """Return the space ConfigSpace describes, see `space.configspace.from_configspace`."""
        from perfport.space.configspace import from_configspace  # ConfigSpace loads scipy.stats

        return from_configspace(space)

    @property
    def name(self) -> str:
        """What people call the space."""
        return self._document.name

    @property
    def options(self) -> tuple[Option, ...]:
        """The options, in order."""
        return self._document.options

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the options, in order."""
        return tuple(self._rules.options)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Which options are active when."""
        return self._document.conditions

    @property
    def forbidden(self) -> tuple[str, ...]:
        """Expressions of which none may hold."""
        return self._document.forbidden

    @property
    def constraints(self) -> tuple[str, ...]:
        """Expressions that must all hold."""
        return self._document.constraints

    @property
    def constants(self) -> Mapping[str, Level]:
        """Named constants of the expressions."""
        return MappingProxyType(dict(self._document.constants))

    @property
    def rules(self) -> Rules:
        """Conditions, forbidden combinations and constraints as parsed expressions."""
        return self._rules

    def option(self, name: str) -> Option:
        """Return the option of that name.

        Raises:
            SpaceError: If there is none; names the nearest.
        """
        try:
            return self._rules.options[name]
        except KeyError:
            raise SpaceError(
                f"unknown option '{name}'{near(name, self.names)} (options: {listing(self.names)})"
            ) from None

    def __len__(self) -> int:
        return len(self.options)

    def __contains__(self, name: object) -> bool:
        return name in self._rules.options

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self._document == other._document

    def __hash__(self) -> int:
        return hash((self.name, self.options, self.forbidden, self.constraints))

    def __reduce__(self) -> tuple[Any, ...]:
        return Space._from_document, (self._document,)

    def __repr__(self) -> str:
        rules = len(self.conditions) + len(self.forbidden) + len(self.constraints)
        return f"<Space '{self.name}': {len(self)} options, {rules} rules>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(option.name)}</td><td>{option.type}</td><td>{escape(option.allowed)}</td>"
            f"<td>{escape(str(default))}</td></tr>"
            for option, default in zip(self.options, self.default_configuration().values(), strict=True)
        )
        texts = [f"{condition.option} only when {condition.when}" for condition in self.conditions]
        texts += [f"never {text}" for text in self.forbidden] + [f"always {text}" for text in self.constraints]
        rules = "".join(f"<li>{escape(text)}</li>" for text in texts)
        head = "<tr><th>option</th><th>type</th><th>levels</th><th>default</th></tr>"
        return f"<h4>{escape(self.name)}</h4><table>{head}{rows}</table><ul>{rules}</ul>"

    @property
    def is_finite(self) -> bool:
        """Whether no option is a float range."""
        return self._rules.whole.is_finite

    def size(self) -> int | None:
        """Return the number of valid configurations; None if an option is a float range.

        Configurations that differ only in inactive options are one. The number is exact while each set
        of options linked by rules has at most 10^7 combinations left to try; beyond that it is the raw
        number of combinations times the valid share of 200 000 draws with a fixed seed (`size_is_exact`
        tells).
        """
        return prod(component.size for component in self._rules.components) if self.is_finite else None

    @property
    def size_is_exact(self) -> bool:
        """Whether `size` is counted; if not, it is estimated."""
        return self.is_finite and all(component.is_exact for component in self._rules.components)

    def enumerate(self, chunk_rows: int = 65_536) -> Iterator[pd.DataFrame]:
        """Yield all valid configurations, lazily, in frames of `chunk_rows` (the last one smaller).

        The order is that of counting: the last option changes fastest, and an option comes before
        those that depend on it.

        Raises:
            SpaceError: If an option is a float range.
        """
        if chunk_rows < 1:
            raise SpaceError(f"chunk_rows is {chunk_rows}; give 1 or more")
        waiting: list[Block] = []
        n_waiting = 0
        for block in self._rules.whole.blocks(chunk_rows):
            waiting.append(block)
            n_waiting += n_rows(block)
            if n_waiting < chunk_rows:
                continue
            joined = self._joined(waiting)
            whole = n_waiting - n_waiting % chunk_rows
            for start in range(0, whole, chunk_rows):
                yield self._frame_of(take_rows(joined, slice(start, start + chunk_rows)))
            waiting, n_waiting = [take_rows(joined, slice(whole, None))], n_waiting - whole
        if n_waiting:
            yield self._frame_of(self._joined(waiting))

    def sample(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """Return configurations drawn uniformly from the valid ones.

        Args:
            n: How many; a finite space gives distinct ones, and fewer only if it has no more.
            rng: Where chance comes from.

        Returns:
            Frame of n rows. A float range is uniform on its scale; integers are uniform over their levels.

        Raises:
            SpaceError: If n is negative, or the rules allow so few that five million draws find hardly any.
        """
        if n < 0:
            raise SpaceError(f"cannot sample {n} configurations; give 0 or more")
        size = self.size()
        if size is None:
            return self._frame_of(self._draw(n, rng))
        if 2 * n > size:
            rows = self._joined(list(self._rules.whole.blocks(65_536)))
            return self._frame_of(take_rows(rows, rng.permutation(n_rows(rows))[:n]))
        # Independent draws without those that came before are draws without replacement; as at most half
        # of the space is asked for, at most every second draw is lost.
        drawn = self._draw(0, rng)
        while n_rows(drawn) < n:
            drawn = self._joined([drawn, self._draw(2 * (n - n_rows(drawn)), rng)])
            drawn = take_rows(drawn, ~pd.DataFrame(drawn).duplicated().to_numpy())
        return self._frame_of(take_rows(drawn, slice(n)))

    def default_configuration(self) -> dict[str, Level | None]:
        """Return the valid configuration used when nothing is chosen.

        Every option has its default level, inactive ones None. If rules forbid that, options without
        an explicit default move to the next levels that are allowed.
        """
        return _configuration(self._frame_of(self._default), 0)

    def neighbours(self, configuration: Configuration) -> pd.DataFrame:
        """Return the valid configurations one step away.

        A step changes one active option: to an adjacent level (ordinal and numeric), any other level
        (boolean and categorical), or by a tenth of its range on its scale (float range). Options that
        become active take their default; those that become inactive are emptied.

        Raises:
            InvalidConfigurationError: If the configuration is not valid.
        """
        self.validate(configuration)
        start = self._block_of(self.frame([configuration]))
        steps = [self._stepped(start, option) for option in self.options]
        candidates = self._rules.follow_conditions(self._joined([start, *steps]))
        valid = self._is_valid_block(candidates)
        valid[0] = False
        found = take_rows(candidates, valid)
        return self._frame_of(take_rows(found, ~pd.DataFrame(found).duplicated().to_numpy()))

    def violations(self, configuration: Configuration) -> list[str]:
        """Return in words what makes a configuration invalid; empty if it is valid.

        A missing option counts as inactive.
        """
        found = [f"unknown option '{name}'{near(name, self.names)}" for name in configuration if name not in self]
        frame = self._frame_of_levels([configuration])
        block = self._block_of(frame)
        for option in self.options:
            is_active = bool(self._rules.is_active(option.name, block, 1)[0])
            found += self._cell_violations(option, configuration.get(option.name), is_active=is_active)
        for rule in self._rules.constraints:
            if not self._rules.evaluate(rule, block, 1, undecided=True)[0]:
                found.append(f"constraint '{rule}' does not hold")
        for rule in self._rules.forbidden:
            if self._rules.evaluate(rule, block, 1, undecided=False)[0]:
                found.append(f"'{rule}' is forbidden")
        return found

    def validate(self, configuration: Configuration) -> None:
        """Raise unless the configuration is valid.

        Raises:
            InvalidConfigurationError: Naming everything that is wrong with it.
        """
        found = self.violations(configuration)
        if found:
            raise InvalidConfigurationError(
                f"invalid configuration: {'; '.join(found)}", configuration=dict(configuration)
            )

    def is_valid(self, frame: pd.DataFrame) -> BoolArray:
        """Return which rows are valid configurations, shape (n,).

        Raises:
            InvalidConfigurationError: If the columns are not the options.
        """
        self._check_columns(frame.columns)
        return self._is_valid_block(self._block_of(frame)) if len(frame) else np.zeros(0, dtype=np.bool_)

    def frame(self, configurations: Iterable[Configuration]) -> pd.DataFrame:
        """Return configurations as a typed frame, columns in the order of the space.

        Missing options are inactive. Numbers that match a level up to rounding, and 0 and 1 of
        booleans, become that level; what is no level at all is kept for `is_valid` to find.

        Raises:
            InvalidConfigurationError: If a configuration has an option the space lacks.
        """
        rows = list(configurations)
        for unknown in dict.fromkeys(name for row in rows for name in row if name not in self):
            raise InvalidConfigurationError(
                f"unknown option '{unknown}'{near(unknown, self.names)} (options: {listing(self.names)})",
                option=unknown,
            )
        return self._frame_of_levels(rows)

    def typed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a frame with the columns in the order and the dtypes of the space.

        Raises:
            InvalidConfigurationError: If the columns are not the options.
        """
        self._check_columns(frame.columns)
        return pd.DataFrame({option.name: _typed(option, frame[option.name]) for option in self.options})

    def _frame_of_levels(self, rows: Sequence[Configuration]) -> pd.DataFrame:
        columns = {
            option.name: column_of_levels(option, [row.get(option.name) for row in rows]) for option in self.options
        }
        return pd.DataFrame(columns)

    def _check_columns(self, columns: Iterable[str]) -> None:
        given = list(columns)
        for name in given:
            if name not in self:
                raise InvalidConfigurationError(
                    f"column '{name}' is no option{near(str(name), self.names)} (options: {listing(self.names)})"
                )
        missing = [name for name in self.names if name not in given]
        if missing:
            raise InvalidConfigurationError(f"the frame lacks {listing(missing)}; give a column for every option")

    def _is_valid_block(self, block: Block) -> BoolArray:
        n = n_rows(block)
        valid = np.ones(n, dtype=np.bool_)
        for option in self.options:
            cells = block[option.name]
            is_level = cells != NOT_A_LEVEL if cells.dtype == np.int32 else ~np.isinf(cells)
            valid &= is_level & (active_rows(cells) == self._rules.is_active(option.name, block, n))
        for rule in self._rules.constraints:
            valid &= self._rules.evaluate(rule, block, n, undecided=True)
        for rule in self._rules.forbidden:
            valid &= ~self._rules.evaluate(rule, block, n, undecided=False)
        return valid

    def _cell_violations(self, option: Option, level: object, *, is_active: bool) -> list[str]:
        is_missing = level is None or (isinstance(level, float) and np.isnan(level))
        if is_missing:
            return [f"option '{option.name}' has no level; {option.allowed}"] if is_active else []
        found = (
            [] if option.contains(level) else [f"option '{option.name}': {level!r} is not a level; {option.allowed}"]
        )
        if not is_active:
            when = "' and '".join(str(condition) for condition in self._rules.conditions[option.name])
            found.append(f"option '{option.name}' is {level!r} but only active when '{when}'")
        return found

    def _stepped(self, start: Block, option: Option) -> Block:
        """Return the block of single changes of one option, before conditions and rules."""
        cell = start[option.name][0]
        if option.levels is None:
            levels = [] if np.isnan(cell) else _range_steps(option, float(cell))
            cells: Any = np.array(levels, dtype=np.float64)
        else:
            n_levels = len(option.levels)
            is_ordered = option.type in ("ordinal", "integer", "float")
            around = [cell - 1, cell + 1] if is_ordered else range(n_levels)
            allowed = [place for place in around if 0 <= place < n_levels and place != cell and cell >= 0]
            cells = np.array(allowed, dtype=np.int32)
        return take_rows(start, np.zeros(len(cells), dtype=np.int64)) | {option.name: cells}

    def _draw(self, n: int, rng: np.random.Generator) -> Block:
        drawn: Block = {}
        for component in self._rules.components:
            drawn |= component.draw(n, rng)
        return drawn

    def _joined(self, blocks: Sequence[Block]) -> Block:
        return {name: np.concatenate([block[name] for block in blocks]) for name in self.names}

    def _frame_of(self, block: Block) -> pd.DataFrame:
        return pd.DataFrame({option.name: column_of(option, block[option.name]) for option in self.options})

    def _block_of(self, frame: pd.DataFrame) -> Block:
        return {option.name: positions_of(option, frame[option.name]) for option in self.options}


def _texts(field: str, expressions: Iterable[str]) -> tuple[str, ...]:
    if isinstance(expressions, str):
        raise SpaceError(f"{field} is the text '{expressions}'; give a list of expressions")
    return tuple(expressions)


def _parsed(document: SpaceDocument) -> Rules:
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
            raise SpaceError(f"condition on unknown option '{condition.option}'{near(condition.option, options)}")
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
                raise SpaceError(f"{what}: '{text}': {literal!r} is not a level of '{name}'{hint}; {option.allowed}")
        return rule


def _default_block(rules: Rules) -> Block:
    """Return the one-row block of the default, moved to the nearest valid levels where rules ask for it."""
    default = rules.follow_conditions({name: default_cell(option) for name, option in rules.options.items()})
    for component in rules.components:
        if not component.allows({name: default[name] for name in component.names}):
            default |= _nearest_default(component)
    return default


def _nearest_default(component: Component) -> Block:
    """Return the first allowed row when implied defaults may move and explicit ones may not."""
    choices = {option.name: _default_choice(option) for option in component.options}
    found = component.first(choices)
    if found is not None:
        return found
    names = ", ".join(component.names)
    if not component.is_finite:
        raise SpaceError(
            f"the defaults of {names} are not a valid configuration; give other defaults", names=component.names
        )
    example = component.first({})
    if example is None:
        raise SpaceError(f"no valid configuration: the rules exclude every combination of {names}; loosen one")
    levels = _configuration(pd.DataFrame({o.name: column_of(o, example[o.name]) for o in component.options}), 0)
    raise SpaceError(f"the given defaults of {names} are not a valid configuration; valid is for instance {levels}")


def _default_choice(option: Option) -> Cells:
    cell = default_cell(option)
    if option.levels is None or option.default is not None:
        return cell
    return np.array([cell[0], *(place for place in range(len(option.levels)) if place != cell[0])], dtype=np.int32)


def _configuration(frame: pd.DataFrame, row: int) -> dict[str, Level | None]:
    """Return a row as a configuration of plain Python levels."""
    cells = {str(name): frame[name].iloc[row] for name in frame.columns}
    return {
        name: None if pd.isna(cell) else getattr(cell, "item", lambda cell=cell: cell)() for name, cell in cells.items()
    }


def _typed(option: Option, column: "pd.Series[Any]") -> "pd.Series[Any]":
    cells = positions_of(option, column)
    outside = cells == NOT_A_LEVEL if cells.dtype == np.int32 else np.isinf(cells)
    return column.reset_index(drop=True) if outside.any() else column_of(option, cells)


def _range_steps(option: Option, level: float) -> list[float]:
    place = place_on_scale(option, np.array([level]))
    steps = np.clip(place + np.array(_RANGE_STEPS), 0.0, 1.0)
    return [float(moved) for moved in uniform_on_scale(option, steps) if moved != level]
