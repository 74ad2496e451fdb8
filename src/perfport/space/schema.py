"""The document of a space: what its YAML holds, and its JSON Schema.

A document is checked in two steps: its shape here, its meaning (names in rules, cycles, a valid
default) by `Space`. Every problem is one line that names the file and the option.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from perfport.errors import SpaceError
from perfport.space.messages import first_finding, one_line
from perfport.space.options import Level, Option

__all__ = ["SCHEMA_VERSION", "Condition", "SpaceDocument", "parse_yaml", "read_document", "write_document"]

SCHEMA_VERSION = 1


class Condition(BaseModel):
    """An option that only matters under a condition.

    Attributes:
        option: The option that is inactive (None) unless the condition holds.
        when: An expression on other options.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    option: str
    when: str


def _known_version(version: object) -> object:
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ValueError(f"{version} is newer than {SCHEMA_VERSION}, the newest known here; update perfport")
    return version


def _not_empty(options: tuple[Option, ...]) -> tuple[Option, ...]:
    if not options:
        raise ValueError("empty; give at least one option")
    return options


class SpaceDocument(BaseModel):
    """A configuration space as it is written down.

    Attributes:
        version: Of this format.
        name: What people call the space.
        constants: Numbers and texts that rules may use by name, for instance `cores: 2`.
        options: The options, in order.
        conditions: Which options are active when.
        forbidden: Expressions of which none may hold.
        constraints: Expressions that must all hold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="Configuration space")

    version: Annotated[Literal[1], BeforeValidator(_known_version)] = 1
    name: str = ""
    constants: Mapping[str, Level] = Field(default_factory=dict)
    options: Annotated[tuple[Option, ...], AfterValidator(_not_empty), Field(json_schema_extra={"minItems": 1})]
    conditions: tuple[Condition, ...] = ()
    forbidden: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()


def read_document(data: object, file: str = "") -> SpaceDocument:
    """Check the shape of a document.

    Args:
        data: What YAML or JSON gave.
        file: Where it came from, for messages.

    Raises:
        SpaceError: If a field is missing, unknown or of the wrong type; one line.
    """
    prefix = f"{file}: " if file else ""
    if not isinstance(data, Mapping):
        raise SpaceError(f"{prefix}a space is a mapping with the key 'options', not {_described(data)}", file=file)
    for key in _keys(data):
        if not isinstance(key, str):
            raise SpaceError(f"{prefix}key {key!r} is not a text; write it in quotes", file=file)
    try:
        return SpaceDocument.model_validate(dict(data))
    except ValidationError as error:
        text = one_line(error, _known_fields(first_finding(error)["loc"]), {"options": _option_places(data)})
        raise SpaceError(f"{prefix}{text}", file=file, data=data) from None


def write_document(document: SpaceDocument) -> str:
    """Return the document as YAML that `parse_yaml` and `read_document` turn back into an equal one."""
    content = {"version": document.version} | document.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def parse_yaml(text: str, file: str = "") -> object:
    """Return the data of a YAML text; a key given twice is an error, not a silent overwrite.

    Raises:
        SpaceError: If the text is not YAML; names file, line and column.
    """
    prefix = f"{file}: " if file else ""
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506  # it is a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SpaceError(f"{prefix}not YAML{where}: {error.problem}", file=file) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SpaceError(f"{prefix}not YAML: {' '.join(str(error).split())}", file=file) from None


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe YAML in which a mapping may not give a key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for position, (key, _) in enumerate(node.value):
            if isinstance(key, yaml.ScalarNode) and key.value in keys[:position]:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key.value}' is given twice", key.start_mark)
        return super().construct_mapping(node, deep=deep)


def _described(data: object) -> str:
    return "an empty document" if data is None else f"a {type(data).__name__}"


def _keys(data: Mapping[Any, Any]) -> list[Any]:
    """Return the keys of the document and of the mappings in it."""
    inner = [entries if isinstance(entries, list | tuple) else [entries] for entries in data.values()]
    mappings = [data, *(entry for entries in inner for entry in entries if isinstance(entry, Mapping))]
    return [key for mapping in mappings for key in mapping]


def _option_places(data: Mapping[Any, Any]) -> list[str]:
    """Name the entries of `options` for messages."""
    options = data.get("options")
    entries = options if isinstance(options, list | tuple) else []
    return [f"option {entry['name']!r}" if isinstance(entry, Mapping) and "name" in entry else "" for entry in entries]


def _known_fields(location: tuple[int | str, ...]) -> list[str]:
    """Return the fields that may stand at a place of the document."""
    if len(location) == 1:
        return list(SpaceDocument.model_fields)
    return list(Condition.model_fields if location[0] == "conditions" else Option.model_fields)
