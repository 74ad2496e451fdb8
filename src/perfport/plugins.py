"""Names to objects, for files and the command line; in Python an object is simply passed.

Each room that can be extended keeps a `BUILTIN` dict, name -> "module:attribute", so that nothing
heavy is imported before it is asked for. Other packages add names through the entry-point group
`perfport.<kinds>` (for instance `perfport.meters`, `perfport.strategies`).
"""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from perfport.errors import UnknownPluginError

__all__ = ["known_names", "resolve"]


def known_names(kind: str, builtin: Mapping[str, str]) -> list[str]:
    """Return every name `resolve` accepts for `kind`, sorted."""
    return sorted({*builtin, *(point.name for point in _installed(_group(kind)))})


def resolve(kind: str, name: str, builtin: Mapping[str, str]) -> Any:
    """Return the object that `name` stands for.

    Args:
        kind: The extension point in the singular: "system", "meter", "actuator", "learner", ...
        name: A built-in name or that of an installed plug-in.
        builtin: Name -> "module:attribute" of the room that asks.

    Raises:
        UnknownPluginError: If no built-in and no plug-in has the name; the message lists those that exist.
    """
    if name in builtin:
        module, _, attribute = builtin[name].partition(":")
        return getattr(import_module(module), attribute)
    for point in _installed(_group(kind)):
        if point.name == name:
            return point.load()
    names = known_names(kind, builtin)
    close = get_close_matches(name, names, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    raise UnknownPluginError(f"unknown {kind} '{name}': known are {', '.join(names)}{hint}", kind=kind, name=name)


@cache
def _installed(group: str) -> tuple[EntryPoint, ...]:
    # OPTIM: looking through every installed distribution takes 10 ms, and a campaign asks at each measurement.
    return tuple(entry_points(group=group))


def _group(kind: str) -> str:
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    return f"perfport.{plural}"
