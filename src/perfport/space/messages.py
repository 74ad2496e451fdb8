"""What the errors of this room share: one line, with the nearest known name where one is unknown."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from perfport.errors import SpaceError

__all__ = ["first_finding", "listing", "near", "one_line"]

_SHOWN = 12  # items of a list
_SHOWN_CHARACTERS = 60  # of a value
_WANTED = {  # in the words of the document, not of Python
    "tuple_type": "input should be a list",
    "mapping_type": "input should be a mapping",
    "dict_type": "input should be a mapping",
    "model_type": "input should be a mapping",
    "string_type": "input should be a text",
    "too_short": "input should have at least one entry",
    "string_too_short": "input should not be empty",
}
_BRANCHES = ("bool", "int", "float", "str")  # how pydantic names the parts of a union of types


def listing(items: Iterable[object]) -> str:
    """Return the items as text, shortened in the middle when there are many."""
    texts = [repr(item) for item in items]
    if len(texts) > _SHOWN:
        texts = [*texts[: _SHOWN - 3], f"... ({len(texts)} in all) ...", texts[-1]]
    return ", ".join(texts)


def near(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the known name most like `name`, or nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def first_finding(error: ValidationError) -> ErrorDetails:
    """Return the finding of a pydantic error that `one_line` tells."""
    return _findings(error)[0]


def one_line(
    error: ValidationError, known_fields: Iterable[str] = (), places: Mapping[str, Sequence[str]] | None = None
) -> str:
    """Return the first finding of a pydantic error as one line, and how many more there are.

    Args:
        error: What pydantic raised.
        known_fields: Names that may stand where an unknown one stood, for the hint.
        places: Name of a list -> what to call its entries, where an index alone says little.
    """
    findings = _findings(error)
    text = _told(findings[0], list(known_fields), places or {})
    return text if len(findings) == 1 else f"{text} (and {len(findings) - 1} more)"


def _findings(error: ValidationError) -> list[ErrorDetails]:
    # A value that fits no branch of a union is one finding, not one for each branch.
    by_place = {_where(finding["loc"], {}): finding for finding in reversed(error.errors(include_url=False))}
    # A misspelt field explains the missing one, so it comes first.
    return sorted(reversed(by_place.values()), key=lambda finding: finding["type"] != "extra_forbidden")


def _told(finding: ErrorDetails, known_fields: list[str], places: Mapping[str, Sequence[str]]) -> str:
    where = _where(finding["loc"], places)
    cause = finding.get("ctx", {}).get("error")
    if isinstance(cause, SpaceError):  # of an inner document, it names its place itself
        return cause.message
    if finding["type"] == "extra_forbidden":
        field, inside = str(finding["loc"][-1]), _where(finding["loc"][:-1], places)
        hint = f"{near(field, known_fields)} (allowed: {', '.join(known_fields)})"
        return f"{inside + ': ' if inside else ''}unknown field '{field}'{hint}"
    if isinstance(cause, Exception):
        message = str(cause)
    elif finding["type"] == "missing":
        message = "required, but not given"
    elif finding["loc"] and finding["loc"][-1] in _BRANCHES:
        message = f"input should be a number, a text or a boolean, not {_shortened(finding['input'])}"
    else:
        wanted = _WANTED.get(finding["type"], f"{finding['msg'][:1].lower()}{finding['msg'][1:]}")
        message = f"{wanted}, not {_shortened(finding['input'])}"
    return f"{where}: {message}" if where else message


def _shortened(given: object) -> str:
    text = repr(given)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _where(location: tuple[int | str, ...], places: Mapping[str, Sequence[str]]) -> str:
    parts: list[str] = []
    for part in location:
        if isinstance(part, str):
            parts += [part] if part not in _BRANCHES else []
            continue
        names = places.get(parts[0], ()) if len(parts) == 1 else ()
        parts[-1:] = [names[part] if part < len(names) and names[part] else f"{parts[-1] if parts else ''}[{part}]"]
    return ".".join(parts)
