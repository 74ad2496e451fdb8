"""Templates: how a program that is not ours is told its configuration."""

import pytest

from perfport.errors import UsageError
from perfport.measure.systems.templates import fill, fill_document, names_in

VALUES = {"threads": 4, "spin": True, "idle": None, "level": "a;b $(x)"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("--threads=${threads}", "--threads=4"),
        ("${spin}", "true"),
        ("${spin?--spin:--no-spin}", "--spin"),
        ("${spin?:off}", ""),
        ("a ${level} b", "a a;b $(x) b"),
        ("$${threads} for 5 $$", "${threads} for 5 $"),
        ('{"n": ${threads}}', '{"n": 4}'),
        ("--idle=${idle}", None),
        ("${idle?a:b}", None),
    ],
)
def test_places_are_filled_and_nothing_else_is_read(text: str, filled: str | None) -> None:
    assert fill(text, VALUES) == filled


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("${thread}", "'thread' is neither option nor workload fact; there are threads, spin"),
        ("$HOME", "a dollar stands alone"),
        ("${threads?a:b}", "chooses by true or false"),
        ("${threads!r}", "a dollar stands alone"),
    ],
)
def test_what_cannot_be_filled_is_told(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        fill(text, VALUES)


def test_a_document_keeps_numbers_and_leaves_out_what_is_inactive() -> None:
    document = {
        "n": "${threads}",
        "spin": "${spin}",
        "x": "${idle}",
        "of": ["${idle}", "t${threads}", 1],
        "null": None,
    }
    assert fill_document(document, VALUES) == {"n": 4, "spin": True, "of": ["t4", 1], "null": None}


def test_names_are_found_wherever_they_stand() -> None:
    assert names_in([{"a": "${x} ${y?b:c}"}, ["$${z}", 3, None]]) == {"x", "y"}
