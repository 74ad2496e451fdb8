"""What an import of tables does to a store, and where the two say different things of one row."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perfport.data.measurement import Measurement

__all__ = ["ImportedTables", "difference", "differing"]

_STATED = ("status", "repetitions", "log_se", "cost_s", "reason")


@dataclass(frozen=True, slots=True)
class ImportedTables:
    """What became of the rows of tables.

    Attributes:
        n_new: Rows the store did not have.
        differing: What the tables say of the rows that the store had with something else.
        differences: What that is, a line each, in the order of `differing`.
        n_replaced: How many of `differing` took the place of what was stored; the others were left out.
        without_rows: Environments that have no row, and so are not in the store.
    """

    n_new: int = 0
    differing: Sequence[Measurement] = ()
    differences: Sequence[str] = ()
    n_replaced: int = 0
    without_rows: Sequence[str] = ()


def differing(given: Sequence[Measurement], stored: Sequence[Measurement]) -> dict[Measurement, Measurement]:
    """Return given -> stored for the measurements of one key that do not say the same."""
    known = {measurement.key: measurement for measurement in stored}
    pairs = ((measurement, known.get(measurement.key)) for measurement in given)
    return {one: other for one, other in pairs if other is not None and _stated(one) != _stated(other)}


def difference(given: Measurement, stored: Measurement) -> str:
    """Return the first thing in which two measurements of one configuration differ, as a line.

    Example:
        >>> from perfport.data.environment import Environment
        >>> from perfport.data.measurement import Status
        >>> board = Environment("board")
        >>> slow, fast = (Measurement({"threads": 2}, board, Status.OK, {"time_s": [value]}) for value in (0.9, 0.5))
        >>> difference(fast, slow)
        "environment 'board', threads=2: time_s is 0.9 in the store and 0.5 in the table"
    """
    levels = [f"{name}={level}" for name, level in given.configuration.items() if level is not None]
    row = f"environment '{given.environment.name}', {' '.join(levels)}"
    for name, here, there in _differences(given, stored):
        return f"{row}: {name} is {there} in the store and {here} in the table"
    return row


def _differences(given: Measurement, stored: Measurement) -> list[tuple[str, str, str]]:
    found = [("status", str(given.status), str(stored.status))]
    for ending, one, other in (
        ("", _readings(given), _readings(stored)),
        (" (log_se)", given.log_se, stored.log_se),
    ):
        found += [
            (f"{name}{ending}", _shown(one.get(name)), _shown(other.get(name)))
            for name in dict.fromkeys([*one, *other])
        ]
    found += [("cost_s", _shown(given.cost_s), _shown(stored.cost_s)), ("reason", given.reason, stored.reason)]
    return [item for item in found if item[1] != item[2]]


def _readings(measurement: Measurement) -> Mapping[str, list[float]]:
    return {name: values.tolist() for name, values in measurement.repetitions.items()}


def _shown(value: "list[float] | float | None") -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "not there" if value is None or math.isnan(value) else str(value)


def _stated(measurement: Measurement) -> list[object]:
    stated = measurement.to_dict()
    return [stated[name] for name in _STATED]
