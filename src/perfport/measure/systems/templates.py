"""Texts with places for options: how a program that is not ours is told its configuration.

`${threads}` stands for the level of the option `threads`, or for a workload fact; `${spin?--spin:--no-spin}` for one of
two texts, by a boolean; `$$` for a dollar. Nothing is evaluated, and no shell is involved: a level is text, whatever
is in it. What mentions an inactive option is left out as a whole: the argument, the variable, the key.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from perfport.errors import UsageError
from perfport.space.options import Level

__all__ = ["fill", "fill_document", "names_in"]

_PLACE = re.compile(r"\$(?:(\$)|\{([A-Za-z_]\w*)(?:\?([^{}:]*):([^{}]*))?\}|)")


class _LeftOutError(Exception):
    """The text mentions an option that is inactive."""


def fill(text: str, values: Mapping[str, Level | None]) -> str | None:
    """Return `text` with every place filled, None if it mentions what is inactive.

    Raises:
        UsageError: If a name is not known, a dollar stands alone, or a choice is made by what is no boolean.

    Example:
        >>> fill("--threads=${threads}", {"threads": 4}), fill("${spin?--spin:}", {"spin": True})
        ('--threads=4', '--spin')
    """
    try:
        return _PLACE.sub(lambda match: _filled(match, text, values), text)
    except _LeftOutError:
        return None


def _filled(match: re.Match[str], text: str, values: Mapping[str, Level | None]) -> str:
    dollar, name, yes, no = match.groups()
    if dollar:
        return "$"
    if name is None:
        raise UsageError(f"template '{text}': a dollar stands alone; write ${{name}}, or $$ for a dollar")
    if name not in values:
        known = ", ".join(values) or "none"
        raise UsageError(f"template '{text}': '{name}' is neither option nor workload fact; there are {known}")
    level = values[name]
    if level is None:
        raise _LeftOutError
    if yes is None:
        return str(level).lower() if isinstance(level, bool) else str(level)
    if not isinstance(level, bool):
        raise UsageError(f"template '{text}': '{name}' is {level!r}, but ?: chooses by true or false")
    return yes if level else no


def fill_document(document: Any, values: Mapping[str, Level | None]) -> Any:
    """Return a JSON document with every text in it filled.

    A text that is one place and nothing else becomes the level itself, so that numbers stay numbers. Keys and entries
    that mention what is inactive are left out.

    Raises:
        UsageError: As `fill` does.
    """
    if isinstance(document, str):
        match = _PLACE.fullmatch(document)
        if match and match.group(2) in values and match.group(3) is None:
            return values[match.group(2)]
        return fill(document, values)
    if isinstance(document, Mapping):
        filled = {key: fill_document(value, values) for key, value in document.items()}
        return {key: value for key, value in filled.items() if value is not None or document[key] is None}
    if isinstance(document, Sequence):
        pairs = [(value, fill_document(value, values)) for value in document]
        return [filled for value, filled in pairs if filled is not None or value is None]
    return document


def names_in(document: Any) -> set[str]:
    """Return the names that stand in places anywhere in a document."""
    return {name for text in _texts(document) for _, name, _, _ in _PLACE.findall(text) if name}


def _texts(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, Mapping):
        for value in document.values():
            yield from _texts(value)
    elif isinstance(document, Sequence):
        for value in document:
            yield from _texts(value)
