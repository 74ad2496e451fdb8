import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.data import samples

from perfport.data.schema import Card, card_schema, card_text, parse_card, read_card
from perfport.errors import TableError

CARD_PATH = Path("datacard.yaml")


def test_a_small_card_is_enough(tmp_path: Path) -> None:
    card = read_card(samples.table_folder(tmp_path))
    assert card.system == "sample"
    assert [option.name for option in card.options] == ["threads", "mode"]
    assert card.environments[0].rows is None


def test_type_names_of_other_tools_are_understood() -> None:
    card = changed("options", 0, type="bool", values=[0, 1])
    assert Card.model_validate(card).options[0].type == "boolean"
    assert Card.model_validate(changed("options", 0, type="int")).options[0].type == "integer"


def test_plain_texts_stay_texts() -> None:
    text = """
    system: 2024-01-01
    options: [{name: mode, type: categorical, values: [on, off, yes, 16:9, 0x10, 1_000]}]
    objectives: [{name: t_s}]
    environments: [{name: 'null', file: a.csv, hardware: no}]
    """
    card = parse_card(text.encode(), CARD_PATH)
    assert card.system == "2024-01-01"
    assert card.options[0].values == ("on", "off", "yes", "16:9", "0x10", "1_000")
    assert card.environments[0].hardware == "no"


def test_plain_numbers_are_numbers() -> None:
    text = """
    system: a
    options: [{name: f, type: ordinal, values: [010, 1e3, -.5, 2.]}]
    objectives: [{name: t_s}]
    environments: [{name: a, file: a.csv}]
    """
    values = parse_card(text.encode(), CARD_PATH).options[0].values
    assert values == (10, 1000.0, -0.5, 2.0)


def changed(*place: str | int, **fields: Any) -> dict[str, Any]:
    card: dict[str, Any] = copy.deepcopy(samples.CARD)
    part: Any = card
    for step in place:
        part = part[step]
    part.update(fields)
    return card


@pytest.mark.parametrize(
    ("card", "text"),
    [
        (b"", "a card is a mapping"),
        (b"- a\n", "a card is a mapping"),
        (b"system: [a\n", r"not YAML: line 2, column 1: "),
        (b"system: \xff\n", "not UTF-8 at byte 8"),
        (b"system: a\nsystem: b\n", "line 2, column 1: key 'system' is repeated"),
        (b"system: !!python/object:os.system a\n", "not YAML: line 1, column 9: could not determine a constructor"),
        (b"[" * 100_000, "not YAML"),
        (b"system: " + b"9" * 5000, "not YAML: Exceeds the limit"),
        ({}, r"system: required, but not given \(and 3 more\)"),
        (changed(system=""), "system: input should not be empty"),
        (changed(options=[]), "options: input should have at least one entry"),
        (changed(objectives=[]), "objectives: input should have at least one entry"),
        (changed("options", 0, type="bol"), r"options\[0\].type: input should be 'boolean', .* not 'bol'"),
        (changed("options", 0, values=[]), r"options\[0\].values: .*must not be empty|options\[0\]: values must not"),
        (changed("options", 0, values=[1, 1]), r"options\[0\]: values must not repeat"),
        (changed("options", 0, values=[[1]]), r"options\[0\].values"),
        (changed("options", 0, values={"min": 4, "max": 1}), r"min 4 is above max 1"),
        (changed("options", 1, values={"min": 0, "max": 1}), "a categorical option cannot have a range"),
        (changed(repetition_colum="run"), "unknown field 'repetition_colum'; did you mean 'repetition_column'"),
        (changed(objectifs=[]), "unknown field 'objectifs'; did you mean 'objectives'"),
        (changed("options", 0, unt="s"), r"options\[0\]: unknown field 'unt'; did you mean 'unit'"),
        (changed("objectives", 0, unit="ms"), r"objectives\[0\]: the name says its unit is 's', the card says 'ms'"),
        (changed("objectives", 0, unit="W"), "the name says its unit is 's', the card says 'W'"),
        (changed("objectives", 0, direction="down"), r"objectives\[0\].direction: input should be 'minimise'"),
        (changed("objectives", 0, name="threads"), "column 'threads' is named twice"),
        (changed("options", 1, name="threads"), "column 'threads' is named twice"),
        (changed(index_column="mode"), "column 'mode' is named twice"),
        (changed("environments", 0, hardware=[1]), r"environments\[0\].hardware"),
        (changed(environments=[samples.CARD["environments"][0]] * 2), "environment 'board' is named twice"),
        (changed("environments", 0, rows=-1), r"environments\[0\].rows: input should be greater"),
    ],
)
def test_a_wrong_card_is_refused_in_one_line(tmp_path: Path, card: Any, text: str) -> None:
    folder = samples.table_folder(tmp_path, card=card)
    with pytest.raises(TableError, match=text) as caught:
        read_card(folder)
    assert str(caught.value).startswith(str(folder / "datacard.yaml"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_missing_card_or_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"datacard\.yaml: no such file; a table folder needs a card"):
        read_card(tmp_path)
    with pytest.raises(TableError, match="no such folder"):
        read_card(tmp_path / "nowhere")


def test_a_huge_card_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfport.data.schema._LARGEST_CARD_BYTES", 100)
    with pytest.raises(TableError, match="is this a datacard"):
        read_card(samples.table_folder(tmp_path))


def test_units_in_words_are_taken_as_they_are() -> None:
    card = Card.model_validate(changed("objectives", 0, unit="s (not stated in the file)"))
    assert card.objectives[0].unit == "s (not stated in the file)"


def test_the_json_schema_accepts_a_card_and_refuses_a_wrong_one() -> None:
    schema = card_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for card in (samples.CARD, changed("options", 0, type="bool", values=[0, 1]), changed("options", 0, type="int")):
        jsonschema.validate(card, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed("options", 0, unt="s"), schema)


@samples.relaxed
@given(
    st.dictionaries(
        samples.texts, st.one_of(samples.texts, samples.whole_numbers, samples.finite_numbers, st.booleans())
    )
)
def test_what_a_card_says_for_people_survives(metadata: dict[str, Any]) -> None:
    extra = {"notes": metadata}
    card = parse_card(card_text(samples.CARD | extra).encode(), CARD_PATH)
    assert card.metadata == extra


@samples.relaxed
@given(samples.texts)
def test_texts_read_the_same_with_any_yaml_reader(text: str) -> None:
    written = card_text({"notes": [text]})
    assert yaml.safe_load(written) == {"notes": [text]}


def test_metadata_that_yaml_cannot_hold_is_refused() -> None:
    with pytest.raises(TableError, match="a card cannot hold"):
        card_text({"notes": object()})
