"""What the errors of this room share: one line, with the nearest known name where one is unknown."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_core import ErrorDetails

__all__ = ["listing", "near", "one_line"]

_SHOWN = 12
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


def one_line(error: ValidationError, known_fields: Iterable[str] = (), places: Sequence[str] = ()) -> str:
    """Return the first finding of a pydantic error as one line, and how many more there are.

    Args:
        error: What pydantic raised.
        known_fields: Names that may stand where an unknown one stood, for the hint.
        places: What to say instead of a bare index for each entry of a list, by index.
    """
    findings = error.errors(include_url=False)
    # A value that fits no branch of a union is one finding, not one for each branch.
    findings = list({_where(finding["loc"], ()): finding for finding in reversed(findings)}.values())[::-1]
    text = _finding(findings[0], list(known_fields), places)
    return text if len(findings) == 1 else f"{text} (and {len(findings) - 1} more)"


def _finding(finding: ErrorDetails, known_fields: list[str], places: Sequence[str]) -> str:
    cause = finding.get("ctx", {}).get("error")
    where = _where(finding["loc"], places)
    if isinstance(cause, Exception):
        return f"{where}: {cause}" if where and not places else str(cause)
    if finding["type"] == "extra_forbidden":
        field = str(finding["loc"][-1])
        inside = _where(finding["loc"][:-1], places)
        prefix = f"{inside}: " if inside else ""
        return f"{prefix}unknown field '{field}'{near(field, known_fields)} (allowed: {', '.join(known_fields)})"
    message = finding["msg"][:1].lower() + finding["msg"][1:]
    if finding["type"] == "missing":
        return f"{where}: {message}"
    if finding["loc"] and finding["loc"][-1] in _BRANCHES:
        message = "input should be a number, a text or a boolean"
    given = repr(finding["input"])
    return f"{where}: {message} (given {given[:60]})" if where else f"{message} (given {given[:60]})"


def _where(location: tuple[int | str, ...], places: Sequence[str]) -> str:
    parts: list[str] = []
    for part in location:
        if isinstance(part, int):
            known = places[part] if len(parts) == 1 and part < len(places) else ""
            parts[-1:] = [known or f"{parts[-1] if parts else ''}[{part}]"]
        elif part not in _BRANCHES:
            parts.append(part)
    return ".".join(parts)
