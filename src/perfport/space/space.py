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

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from perfport.errors import InvalidConfigurationError, SpaceError
from perfport.space.columns import (
    Block,
    cell_of,
    column_of,
    column_of_levels,
    joined,
    levels_of_row,
    not_levels,
    positions_of,
    take_rows,
    typed_column,
)
from perfport.space.constraints import BoolArray
from perfport.space.defaults import default_block
from perfport.space.messages import listing, near
from perfport.space.neighbours import steps_from
from perfport.space.options import Level, Option
from perfport.space.reading import read_configurations
from perfport.space.rules import Rules, parse_rules
from perfport.space.schema import Condition, SpaceDocument, parse_yaml, read_document, write_document
from perfport.space.valid import ValidSet
from perfport.space.violations import check_columns, valid_rows, violations_of

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace

__all__ = ["Configuration", "Space"]

Configuration = Mapping[str, Level | None]


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
        self._rules = parse_rules(document)
        self._valid = ValidSet(self._rules)
        self._default = default_block(self._valid)

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

    @cached_property
    def key(self) -> str:
        """Sixteen hex digits over the options in their order, the rules and the constants.

        The name of the space and the descriptions of the options do not count.
        """
        for_people: dict[str, Any] = {"name": True, "options": {"__all__": {"description"}}}
        content = self._document.model_dump(mode="json", exclude=for_people)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

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
        return self._valid.is_finite

    def size(self) -> int | None:
        """Return the number of valid configurations; None if an option is a float range.

        Configurations that differ only in inactive options are one. The number is exact while each set
        of options linked by rules has at most 10^7 combinations left to try; beyond that it is the raw
        number of combinations times the valid share of 200 000 draws with a fixed seed (`size_is_exact`
        tells).
        """
        return self._valid.size if self.is_finite else None

    @property
    def size_is_exact(self) -> bool:
        """Whether `size` is counted; if not, it is estimated."""
        return self.is_finite and self._valid.is_exact

    def enumerate(self, chunk_rows: int = 65_536) -> Iterator[pd.DataFrame]:
        """Yield all valid configurations, lazily, in frames of `chunk_rows` (the last one smaller).

        The order is that of counting: the last option changes fastest, and an option comes before
        those that depend on it.

        Raises:
            SpaceError: If an option is a float range.
        """
        if chunk_rows < 1:
            raise SpaceError(f"chunk_rows is {chunk_rows}; give 1 or more")
        return map(self._frame_of, self._valid.blocks(chunk_rows))

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
        return self._frame_of(self._valid.sample(n, rng))

    def default_configuration(self) -> dict[str, Level | None]:
        """Return the valid configuration used when nothing is chosen.

        Every option has its default level, inactive ones None. If rules forbid that, options without
        an explicit default move to the next levels that are allowed.
        """
        return levels_of_row(self.options, self._default, 0)

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
        candidates = steps_from(start, self._rules)
        valid = valid_rows(self._rules, candidates)
        # Different steps may end in the same place, or in none, when conditions empty what was changed.
        together = pd.DataFrame(joined([start, candidates]))
        return self._frame_of(take_rows(candidates, valid & ~together.duplicated().to_numpy()[1:]))

    def violations(self, configuration: Configuration) -> list[str]:
        """Return in words what makes a configuration invalid; empty if it is valid.

        A missing option counts as inactive.
        """
        # OPTIM: one row needs no frame; making one of 20 options takes 50 times as long (8.5 ms) as looking at it.
        block = {option.name: cell_of(option, configuration.get(option.name)) for option in self.options}
        return violations_of(self._rules, configuration, block)

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
        check_columns(self._rules, frame.columns)
        return valid_rows(self._rules, self._block_of(frame)) if len(frame) else np.zeros(0, dtype=np.bool_)

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
        """Return a frame with the columns in the order and the dtypes of the space, the index as it was.

        As in `frame`, what is no level is kept.

        Raises:
            InvalidConfigurationError: If the columns are not the options.
        """
        check_columns(self._rules, frame.columns)
        columns = {option.name: typed_column(option, frame[option.name]) for option in self.options}
        return pd.DataFrame(columns).set_index(frame.index)

    def read_configurations(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the configurations a model is asked about; see `perfport.space.reading`."""
        return read_configurations(self.options, frame)

    def configurations(self, frame: pd.DataFrame) -> list[dict[str, Level | None]]:
        """Return the rows of a frame as configurations of plain Python levels; the opposite of `frame`.

        Raises:
            InvalidConfigurationError: If the columns are not the options, or a cell is not a level.
        """
        check_columns(self._rules, frame.columns)
        block = self._block_of(frame)
        for option in self.options:
            wrong = np.flatnonzero(not_levels(block[option.name]))
            if len(wrong):
                level = frame[option.name].iloc[int(wrong[0])]
                raise InvalidConfigurationError(
                    f"row {wrong[0]}: option '{option.name}': {level!r} is not a level; {option.allowed}", option=option
                )
        return [levels_of_row(self.options, block, row) for row in range(len(frame))]

    def _frame_of_levels(self, rows: Sequence[Configuration]) -> pd.DataFrame:
        columns = {
            option.name: column_of_levels(option, [row.get(option.name) for row in rows]) for option in self.options
        }
        return pd.DataFrame(columns)

    def _frame_of(self, block: Block) -> pd.DataFrame:
        return pd.DataFrame({option.name: column_of(option, block[option.name]) for option in self.options})

    def _block_of(self, frame: pd.DataFrame) -> Block:
        return {option.name: positions_of(option, frame[option.name]) for option in self.options}


def _texts(field: str, expressions: Iterable[str]) -> tuple[str, ...]:
    if isinstance(expressions, str):
        raise SpaceError(f"{field} is the text '{expressions}'; give a list of expressions")
    return tuple(expressions)
