"""The datacard: what `datacard.yaml` beside the CSV files of a system says about them.

A card names the system, its options, objectives and environments. A hand-made card may be small:

    system: my_board
    options:
    - {name: threads, type: ordinal, values: [1, 2, 4]}
    objectives:
    - {name: inference_time_s, unit: s}
    environments:
    - {name: laptop, file: laptop.csv, hardware: 4-core laptop}

What a card says for people at its top level (source, licence, known defects, notes) is kept and written
back, but never read by perfport; any other key is an error, since it is most likely misspelt.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from perfport.data.environment import Fact
from perfport.data.measurement import Direction, unit_of
from perfport.errors import TableError
from perfport.space.messages import first_finding, one_line
from perfport.space.options import OptionType, Owner, Scale
from perfport.units import conversion_factor

__all__ = [
    "CARD_FILE",
    "Card",
    "EnvironmentCard",
    "ObjectiveCard",
    "OptionCard",
    "RangeCard",
    "card_schema",
    "card_text",
    "check_metadata",
    "read_card",
]

CARD_FILE = "datacard.yaml"
# A card is written by people; one of this size is not a card, and reading it could fill the memory.
_LARGEST_CARD_BYTES = 16 * 2**20

CellLevel = StrictBool | StrictInt | StrictFloat | StrictStr
_TYPE_ALIASES: dict[str, OptionType] = {"bool": "boolean", "int": "integer"}
# Top-level keys that speak to people, whatever they hold; all are in use in published cards.
_FOR_PEOPLE = (
    *("source", "licence", "domain", "repeats", "known_defects", "notes", "read_note"),
    *("fingerprints", "replicate_error_pct"),
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RangeCard(_Part):
    """Levels given by their smallest and largest number; an ordinal option has those found in the files."""

    min: StrictInt | StrictFloat
    max: StrictInt | StrictFloat

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.min <= self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


def _kind_of_values(given: object) -> str:
    # Told apart before they are checked, so that an error speaks of what was meant.
    if isinstance(given, dict | RangeCard):
        return "range"
    return "text" if isinstance(given, str) else "list"


_Values = Annotated[
    Annotated[tuple[CellLevel, ...], Tag("list")]
    | Annotated[RangeCard, Tag("range")]
    | Annotated[Literal["see CSV"], Tag("text")],
    Discriminator(_kind_of_values),
]


class OptionCard(_Part):
    """One option.

    Attributes:
        name: The column that holds its levels.
        type: boolean (or bool), categorical, ordinal, integer (or int), float.
        values: The legal levels, in order; a range; "see CSV" or nothing for the levels found in the files.
        n_levels: For people.
        constant: For people: one level in all files.
        constant_in: For people: environments in which only one level occurs.
    """

    name: str = Field(min_length=1)
    # An editor must take what `_alias` takes.
    type: Annotated[OptionType, WithJsonSchema({"type": "string", "enum": [*get_args(OptionType), *_TYPE_ALIASES]})]
    description: str = ""
    unit: str = ""
    group: str = ""
    scale: Scale | None = None
    owner: Owner = "system"
    default: CellLevel | None = None
    values: _Values | None = None
    n_levels: int | None = None
    constant: bool = False
    constant_in: tuple[str, ...] = ()

    @field_validator("type", mode="before")
    @classmethod
    def _alias(cls, given: object) -> object:
        return _TYPE_ALIASES.get(given, given) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _has_levels(self) -> Self:
        if isinstance(self.values, RangeCard) and self.type in ("boolean", "categorical"):
            raise ValueError(f"a {self.type} option cannot have a range of values; list them")
        if isinstance(self.values, tuple):
            if not self.values:
                raise ValueError("values must not be empty; leave them out to take the levels found in the files")
            if len(set(self.values)) < len(self.values):
                raise ValueError("values must not repeat")
        return self


class ObjectiveCard(_Part):
    """One property.

    Attributes:
        name: The column that holds its responses.
        unit: Unit of the numbers; must not contradict an ending of the name such as `_s` or `_ms`.
        log_se_column: The column that holds the standard error of the logarithm, if there is one.
        may_be_absent: Whether a row that is ok may have no value (an empty cell).
    """

    name: str = Field(min_length=1)
    unit: str | None = None
    direction: Direction = "minimise"
    description: str = ""
    log_se_column: str | None = None
    may_be_absent: bool = False

    @model_validator(mode="after")
    def _unit_fits_name(self) -> Self:
        stated = unit_of(self.name)
        # A unit in words ("images/s", "s (not stated in the file)") is taken as it is; only two plain units can clash.
        if stated and self.unit and self.unit != stated and _is_plain(stated) and _is_plain(self.unit):
            raise ValueError(f"the name says its unit is '{stated}', the card says '{self.unit}'; correct one of them")
        return self


class EnvironmentCard(_Part):
    """One environment.

    Attributes:
        name: Unique within the card.
        file: CSV file (or .csv.gz) in the folder of the card.
        rows: Number of rows of the file, checked when it is read.
        hardware: Facts by name, or a text that describes it; so for the other facets.
        network: The network under test.
        workload: Its input.
        software: Runtime and system versions.
    """

    name: str = Field(min_length=1)
    file: str = Field(min_length=1)
    rows: int | None = Field(default=None, ge=0)
    hardware: str | dict[str, Fact] | None = None
    network: str | dict[str, Fact] | None = None
    workload: str | dict[str, Fact] | None = None
    software: str | dict[str, Fact] | None = None


class ConditionCard(_Part):
    """An option that is active only when an expression over other options holds."""

    option: str
    when: str


class Card(BaseModel):
    """The whole datacard.

    Attributes:
        system: Name of the system under test.
        index_column: A column that identifies a row and is no option.
        repetition_column: A column that numbers the repetitions of a configuration: rows that differ
            only in it (and in their responses) are folded to their median and its standard error.
        outcome_column: A column that says how the row ended: ok, invalid, failed or timed_out.
        reason_column: A column that says why it is not ok.
        cost_column: A column with the seconds it took to measure the row.
        conditions, forbidden, constraints, constants: As in a space file.
        source, licence, domain, repeats, known_defects, notes, read_note, fingerprints, replicate_error_pct:
            For people; anything.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str = Field(min_length=1)
    title: str = ""
    options: tuple[OptionCard, ...] = Field(min_length=1)
    objectives: tuple[ObjectiveCard, ...] = Field(min_length=1)
    environments: tuple[EnvironmentCard, ...] = Field(min_length=1)
    index_column: str | None = None
    repetition_column: str | None = None
    outcome_column: str | None = None
    reason_column: str | None = None
    cost_column: str | None = None
    conditions: tuple[ConditionCard, ...] = ()
    forbidden: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    constants: dict[str, CellLevel] = Field(default_factory=dict)
    source: Any = None
    licence: Any = None
    domain: Any = None
    repeats: Any = None
    known_defects: Any = None
    notes: Any = None
    read_note: Any = None
    fingerprints: Any = None
    replicate_error_pct: Any = None

    @property
    def special_columns(self) -> dict[str, str]:
        """Role -> column, for the columns that are neither option nor objective and mean something."""
        roles = ("index", "repetition", "outcome", "reason", "cost")
        named = {role: getattr(self, f"{role}_column") for role in roles}
        return {role: column for role, column in named.items() if column is not None}

    @property
    def metadata(self) -> dict[str, Any]:
        """What the card says for people."""
        return {name: getattr(self, name) for name in _FOR_PEOPLE if name in self.model_fields_set}

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        columns = [
            *(option.name for option in self.options),
            *(objective.name for objective in self.objectives),
            *(objective.log_se_column for objective in self.objectives if objective.log_se_column),
            *self.special_columns.values(),
        ]
        for kind, names in (("column", columns), ("environment", [item.name for item in self.environments])):
            repeated = [name for position, name in enumerate(names) if name in names[:position]]
            if repeated:
                raise ValueError(f"{kind} '{repeated[0]}' is named twice; names must be unique")
        return self


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Refuse metadata that a card has no key for.

    Raises:
        TableError: If a key is a field that perfport reads, or unknown.
    """
    for name in metadata:
        if name not in _FOR_PEOPLE:
            is_field = name in Card.model_fields
            why = "is a field of the card itself; give it another name" if is_field else "is no key of a card"
            raise TableError(f"metadata '{name}' {why}; it may hold {', '.join(_FOR_PEOPLE)}", name=name)


def card_schema() -> dict[str, Any]:
    """Return the JSON Schema of a datacard."""
    return Card.model_json_schema()


def read_card(folder: Path) -> Card:
    """Read and check `datacard.yaml` of a folder.

    Raises:
        TableError: If it is missing, not UTF-8, not YAML or not a card; names the file and the place.
    """
    path = folder / CARD_FILE
    if not folder.is_dir():
        raise TableError(f"{folder}: no such folder; give the folder that holds {CARD_FILE}", file=path)
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_CARD_BYTES + 1)
    except FileNotFoundError:
        raise TableError(
            f"{path}: no such file; a table folder needs a card, see perfport.data.schema", file=path
        ) from None
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror}", file=path) from error
    if len(content) > _LARGEST_CARD_BYTES:
        raise TableError(f"{path}: larger than {_LARGEST_CARD_BYTES // 2**20} MiB; is this a datacard?", file=path)
    return parse_card(content, path)


def parse_card(content: bytes, path: Path) -> Card:
    """Read a card from its bytes; `path` names it in errors."""
    try:
        data = yaml.load(content.decode("utf-8"), Loader=_CardLoader)  # noqa: S506  # a safe loader, see below
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8", file=path) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise TableError(f"{path}: not YAML: {_yaml_problem(error)}", file=path) from error
    if not isinstance(data, dict):
        raise TableError(f"{path}: a card is a mapping with system, options, objectives, environments", file=path)
    try:
        return Card.model_validate(data)
    except ValidationError as error:
        raise TableError(f"{path}: {one_line(error, _fields_at(first_finding(error)['loc']))}", file=path) from error


def card_text(card: Mapping[str, Any]) -> str:
    """Return a card as YAML that every YAML reader, of version 1.1 or 1.2, reads back alike.

    Raises:
        TableError: If it holds something other than text, numbers, lists and mappings.
    """
    try:
        return yaml.dump(dict(card), Dumper=_CardDumper, sort_keys=False, allow_unicode=True, width=120)
    except yaml.representer.RepresenterError as error:
        raise TableError(f"a card cannot hold {error.args[-1]!r}; give texts, numbers, lists and mappings") from error


def _is_plain(unit: str) -> bool:
    return any(conversion_factor(unit, base) is not None for base in ("s", "J", "W", "Hz", "B"))


def _yaml_problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return where + " ".join(str(getattr(error, "problem", None) or error).split())


def _fields_at(place: tuple[int | str, ...]) -> Iterable[str]:
    parts: dict[str, type[BaseModel]] = {
        "options": OptionCard,
        "objectives": ObjectiveCard,
        "environments": EnvironmentCard,
    }
    return parts.get(str(place[0]), Card).model_fields if place else ()


class _CardLoader(yaml.SafeLoader):
    """A safe loader that reads plain scalars as YAML 1.2 does, and refuses repeated keys.

    YAML 1.1 turns the levels `on` and `off` into booleans, `16:9` into 969 and a date into an object;
    a card means the text. The loader is Python's: the one in C is faster, but crashes the process on
    a file of a hundred thousand brackets.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # as PyYAML declares it

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [child.value for child, _ in node.value if isinstance(child, yaml.ScalarNode)]
        for position, (child, _) in enumerate(node.value):
            if isinstance(child, yaml.ScalarNode) and child.value in keys[:position]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{child.value}' is repeated", child.start_mark
                )
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


class _CardDumper(yaml.SafeDumper):
    """Quotes every text that either version of YAML would take for something else."""

    def ignore_aliases(self, data: object) -> bool:
        return True  # references to repeated lists are hard to read and to edit

    def represent_text(self, text: str) -> yaml.ScalarNode:
        # Line breaks that only Unicode knows are folded into spaces unless they are escaped.
        style = '"' if {"\x85", "\u2028", "\u2029"} & set(text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_CardDumper.add_representer(str, _CardDumper.represent_text)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    for _class in (_CardLoader, _CardDumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))

# YAML 1.1 would read 010 as eight.
_CardLoader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))
