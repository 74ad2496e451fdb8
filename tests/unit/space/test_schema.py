"""Spaces as YAML: exact round trips, a JSON Schema that fits, and one line for each mistake."""

from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from tests.unit.space.samples import mixed_space, runtime_space
from tests.unit.space.strategies import spaces

from perfport.errors import SpaceError
from perfport.space.options import Option
from perfport.space.space import Space

SCHEMA = Space.json_schema()


@settings(max_examples=40, deadline=None)
@given(spaces())
def test_yaml_round_trips_are_exact(space: Space) -> None:
    text = space.to_yaml()
    again = Space.from_yaml(text)
    assert again == space
    assert again.to_yaml() == text
    assert again.options == space.options


@settings(max_examples=40, deadline=None)
@given(spaces())
def test_documents_fit_the_json_schema(space: Space) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(yaml.safe_load(space.to_yaml()))


def test_every_field_survives_yaml() -> None:
    option = Option(
        name="größe: `no`".replace("`", "'"),
        type="ordinal",
        values=(1e-5, 0.1, 3.0),
        unit="s",
        scale="log",
        group="layers",
        default=0.1,
        owner="actuator",
        description="colons: and\nlines",
    )
    words = Option(name="yes", type="categorical", values=("on", "no", "1", "1e3", "null", "", "~", "2020-01-01"))
    space = Space([option, words], name="x: y", constants={"k": 0.5, "word": "no", "flag": True, "n": 3})
    assert Space.from_yaml(space.to_yaml()) == space
    assert all(type(level) is str for level in Space.from_yaml(space.to_yaml()).option("yes").levels or ())


@pytest.mark.parametrize("space", [runtime_space(), mixed_space()])
def test_a_space_is_read_from_a_file(space: Space, tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(space.to_yaml(), encoding="utf-8")
    assert Space.read(file) == space
    jsonschema.validate(yaml.safe_load(space.to_yaml()), Space.json_schema())


def test_json_is_yaml_too() -> None:
    assert Space.from_yaml('{"options": [{"name": "a", "type": "boolean"}]}').size() == 2


A = "options: [{name: a, type: boolean}]\n"
B = "options: [{name: a, type: boolean}, {name: b, type: integer, lower: 1, upper: 4}]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not an empty document"),
        ("[1, 2]", "not a list"),
        ("just text", "not a str"),
        ("a: b: c", "not YAML at line 1, column 5"),
        ("options: [", "not YAML at line"),
        ("\x00", "not YAML"),
        ("!!python/object:os.system x", "not YAML at line 1, column 1: could not determine a constructor"),
        ("name: x", "options: required, but not given"),
        ("options: []", "options: empty; give at least one option"),
        ("options: 3", "options: input should be a list, not 3"),
        ("options: [a]", "options[0]: input should be a mapping, not 'a'"),
        ("options: &a [*a]", "options[0]: input should be a mapping"),
        ("optoins: [{name: a, type: boolean}]", "unknown field 'optoins'; did you mean 'options'?"),
        (A + "name: x\nname: y", "line 3, column 1: key 'name' is given twice"),
        (A + "version: 7", "version: 7 is newer than 1"),
        (A + "version: one", "version: input should be 1"),
        ("1: 2\n" + A, "key 1 is not a text"),
        ("options: [{on: 1, name: a, type: boolean}]", "key True is not a text"),
        ("options: [{type: boolean}]", "name: required, but not given"),
        ("options: [{name: a, tpye: boolean}]", "option 'a': unknown field 'tpye'; did you mean 'type'?"),
        ("options: [{name: a, type: bool}]", "option 'a': type: input should be 'boolean'"),
        ("options: [{name: 3, type: boolean}]", "option 3: name: input should be a text"),
        ("options: [{name: a, type: integer, lower: 5, upper: 2}]", "option 'a': lower 5 is not below upper 2"),
        ("options: [{name: a, type: categorical, values: [on, off, auto]}]", "in quotes, or use type boolean"),
        ("options: [{name: a, type: ordinal, values: [2020-01-01]}]", "option 'a': values[0]: input should be"),
        ("options: [{name: a, type: float, lower: 0, upper: .inf}]", "option 'a': upper: level inf is not finite"),
        ("options: [{name: a, type: boolean}, {name: a, type: boolean}]", "option 'a' is given twice"),
        (A + "conditions: [{option: a, wen: a}]", "conditions[0]: unknown field 'wen'; did you mean 'when'?"),
        (A + "conditions: [{option: c, when: a}]", "condition on unknown option 'c' (options: 'a')"),
        (A + "conditions: [{option: a, when: a}]", "cycle: a <- a"),
        (A + "forbidden: a", "forbidden: input should be a list, not 'a'"),
        (A + "forbidden: [c]", "forbidden: 'c', column 1: unknown name 'c'"),
        (A + "forbidden: [a, not a]", "no valid configuration: the rules exclude every combination of a"),
        (A + "constraints: ['__import__(\"os\")']", "the call __import__(...) is not allowed"),
        (A + "constants: {k: [1]}", "constants.k: input should be a number, a text or a boolean"),
        (B + "constraints: [b * cores <= 4]", "unknown name 'cores'"),
        (B + "constraints: [b <= 0]", "no valid configuration"),
    ],
)
def test_malformed_spaces_are_refused_in_one_line_that_names_the_file(text: str, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        Space.from_yaml(text, file="space.yaml")
    assert str(caught.value).startswith("space.yaml: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"absent\.yaml: cannot be read: No such file"):
        Space.read(tmp_path / "absent.yaml")
    with pytest.raises(SpaceError, match="cannot be read"):
        Space.read(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpaceError, match=r"binary\.yaml: cannot be read: it is not UTF-8 text"):
        Space.read(tmp_path / "binary.yaml")


def test_the_schema_refuses_what_the_reader_refuses() -> None:
    for text in ("options: []", "optoins: []", A + "version: 7", "options: [{name: a, type: bool}]"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(text), Space.json_schema())


def test_numpy_levels_are_written_as_plain_ones() -> None:
    space = Space([Option(name="a", type="ordinal", values=tuple(np.array([1.5, 2.5])))])
    assert "numpy" not in space.to_yaml()
    assert Space.from_yaml(space.to_yaml()) == space
