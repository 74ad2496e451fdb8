"""Actuators: what is set on the machine around the system, read back and restored."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from perfport import plugins
from perfport.errors import ActuationError, UsageError
from perfport.measure.actuators.process import EnvironmentVariables
from perfport.measure.base import Actuator
from perfport.space.options import Level

__all__ = ["BUILTIN", "actuators_for", "applied"]

BUILTIN = {
    "affinity": "perfport.measure.actuators.process:CpuAffinity",
    "environment": "perfport.measure.actuators.process:EnvironmentVariables",
}

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


def actuators_for(names: Iterable[str]) -> list[Actuator]:
    """Return the actuators that set the options named.

    A name that no actuator offers, but that is written as environment variables are (capitals,
    digits, underscores), is an environment variable.

    Raises:
        UsageError: If nothing sets one of the names; the message lists what can be set here.
    """
    wanted = set(names)
    variables = sorted(name for name in wanted if _VARIABLE.fullmatch(name))
    found: list[Actuator] = [EnvironmentVariables(variables)] if variables else []
    wanted -= set(variables)
    known = list(EnvironmentVariables().options)
    for kind in plugins.known_names("actuator", BUILTIN):
        if not wanted or kind == EnvironmentVariables.name:
            continue
        actuator: Actuator = plugins.resolve("actuator", kind, BUILTIN)()
        known += actuator.options
        offered = {option.name for option in actuator.options}
        if offered & wanted:
            found.append(actuator)
            wanted -= offered
    if wanted:
        raise UsageError(
            f"no actuator sets {', '.join(sorted(wanted))}; known are {', '.join(option.name for option in known)} "
            "and any environment variable in capitals",
            options=sorted(wanted),
        )
    return found


@contextmanager
def applied(actuators: Sequence[Actuator], levels: Mapping[str, Level | None]) -> Iterator[dict[str, Level | None]]:
    """Set `levels` for the length of the block, then restore what was found, last set first.

    Args:
        actuators: Each sets those of `levels` that are among its options.
        levels: Option -> level; None unsets.

    Yields:
        The levels as read back.

    Raises:
        ActuationError: If a level is not taken (those already set are restored), or cannot be
            restored afterwards (the others are restored all the same; `details` then has "unrestored").
    """
    undo: list[tuple[Actuator, dict[str, Level | None]]] = []
    back: dict[str, Level | None] = {}
    try:
        for actuator in actuators:
            mine = {option.name: levels[option.name] for option in actuator.options if option.name in levels}
            if not mine:
                continue
            found = actuator.read()
            # Noted before it is changed: an `apply` that fails half-way must be undone as well.
            undo.append((actuator, {name: found[name] for name in mine}))
            back |= actuator.apply(mine)
        yield back
    finally:
        _restore(undo)


def _restore(undo: list[tuple[Actuator, dict[str, Level | None]]]) -> None:
    problems: list[str] = []
    unrestored: dict[str, Level | None] = {}
    for actuator, levels in reversed(undo):
        try:
            actuator.apply(levels)
        except ActuationError as error:
            problems.append(error.message)
            unrestored |= levels
    if problems:
        raise ActuationError(f"not everything could be restored: {'; '.join(problems)}", unrestored=unrestored)
