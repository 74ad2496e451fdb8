"""Setting for the length of a block: noted, set, read back, restored to what was found, whatever happens."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from perfport.errors import ActuationError, PerfError
from perfport.measure.actuators.journal import Entry, Journal
from perfport.measure.base import Actuator, RestoresState
from perfport.space.options import Level

__all__ = ["Restored", "applied", "restore_entries"]


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of one abandoned journal entry.

    Attributes:
        actuator: Name of the actuator.
        options: The options it had set.
        problem: Why it could not be restored; "" if it was.
    """

    actuator: str
    options: tuple[str, ...]
    problem: str = ""


@contextmanager
def applied(
    actuators: Sequence[Actuator], levels: Mapping[str, Level | None], *, journal: Journal | None = None
) -> Iterator[dict[str, Level | None]]:
    """Set `levels` for the length of the block, then restore what was found, last set first.

    Args:
        actuators: Each sets those of `levels` that are among its options.
        levels: Option -> level; None unsets.
        journal: Where what is found is noted before it is changed, for everything that outlives this
            process; None notes nothing.

    Yields:
        The levels as read back.

    Raises:
        ActuationError: If a level is not taken (those already set are restored), or cannot be
            restored afterwards (the others are restored all the same; `details` then has "unrestored").
    """
    undo: list[tuple[Actuator, Mapping[str, Any], Entry | None]] = []
    back: dict[str, Level | None] = {}
    try:
        for actuator in actuators:
            mine = {option.name: levels[option.name] for option in actuator.options if option.name in levels}
            if not mine:
                continue
            state = _state(actuator, mine)
            outlives = actuator.scope == "machine" or isinstance(actuator, RestoresState)
            entry = journal.note(actuator.name, mine, state) if journal is not None and outlives else None
            # Listed before it is changed: an `apply` that fails half-way must be undone as well.
            undo.append((actuator, state, entry))
            back |= actuator.apply(mine)
        yield back
    finally:
        _undo(undo, journal)


def restore_entries(
    journal: Journal, entries: Sequence[Entry], make: Callable[[str], Actuator]
) -> tuple[Restored, ...]:
    """Put back what `entries` say was found, in the order given, and remove those that are back.

    Args:
        journal: Whose entries they are.
        entries: The latest first.
        make: Returns the actuator of a name.
    """
    results = []
    for entry in entries:
        try:
            _restore(make(entry.actuator), entry.state)
        except PerfError as error:
            results.append(Restored(entry.actuator, tuple(entry.asked), error.message))
        else:
            journal.forget(entry)
            results.append(Restored(entry.actuator, tuple(entry.asked)))
    return tuple(results)


def _state(actuator: Actuator, levels: Mapping[str, Level | None]) -> Mapping[str, Any]:
    if isinstance(actuator, RestoresState):
        return actuator.state(tuple(levels))
    found = actuator.read()
    return {"levels": {name: found[name] for name in levels}}


def _restore(actuator: Actuator, state: Mapping[str, Any]) -> None:
    if isinstance(actuator, RestoresState):
        actuator.restore(state)
    else:
        actuator.apply(state["levels"])


def _undo(undo: list[tuple[Actuator, Mapping[str, Any], Entry | None]], journal: Journal | None) -> None:
    problems: list[str] = []
    unrestored: dict[str, Any] = {}
    for actuator, state, entry in reversed(undo):
        try:
            _restore(actuator, state)
        except ActuationError as error:
            problems.append(error.message)
            unrestored |= state.get("levels", {actuator.name: dict(state)})
        else:
            if journal is not None and entry is not None:
                journal.forget(entry)
    if problems:
        raise ActuationError(f"not everything could be restored: {'; '.join(problems)}", unrestored=unrestored)
