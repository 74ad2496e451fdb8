"""What is wanted of a configuration: limits it must keep, and what is then to be best.

As text:

    p95 latency <= 30 ms and memory <= 500 MB, minimise energy

Clauses are joined by `and` or a comma:

- a limit: a name, `<=` or `>=` (`<` and `>` mean the same), a number and its unit;
- what is to be best: `minimise` or `maximise` (or `best`: what the property says) and a name; further
  names after `and` take the same direction.

A name is that of a property, or words that only one property goes by: its own ("energy" for `energy_j`)
or a usual one ("latency" for `inference_time_s`, "memory" for `peak_rss_bytes`). Nothing of a text is ever
executed.

Example:
    >>> goal = parse_goal("latency <= 30 ms and energy <= 2 J, minimise energy")
    >>> print(goal)
    latency <= 30 ms and energy <= 2 J, minimise energy
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from perfport.data.measurement import Property
from perfport.errors import UsageError
from perfport.units import conversion_factor

__all__ = ["Goal", "Limit", "Objective", "parse_goal"]

Comparator = Literal["<=", ">="]
Direction = Literal["minimise", "maximise", "best"]

_MAX_LENGTH = 500
_NAME = r"[A-Za-z][A-Za-z0-9_.]*(?:\s+[A-Za-z][A-Za-z0-9_.]*){0,4}"
_LIMIT = re.compile(
    rf"(?P<name>{_NAME})\s*(?P<comparator><=|>=|<|>|≤|≥)\s*"
    r"(?P<number>[0-9]{1,12}(?:\.[0-9]{1,12})?(?:[eE][+-]?[0-9]{1,2})?)\s*(?P<unit>[A-Za-zµ%/]{0,12})",
    re.ASCII,
)
_OBJECTIVE = re.compile(
    rf"(?P<direction>minimise|minimize|maximise|maximize|best)\s+(?P<name>{_NAME})", re.ASCII | re.IGNORECASE
)
_BARE = re.compile(_NAME, re.ASCII)
# By the first four letters, in which the two spellings agree.
_DIRECTIONS: dict[str, Direction] = {"mini": "minimise", "maxi": "maximise", "best": "best"}
_ALLOWED = (
    "a goal is limits such as 'latency <= 30 ms' and what is to be best, such as 'minimise energy', "
    "joined by 'and' or commas"
)
# Words that belong to no name; a clause may only begin with them.
_RESERVED = {"minimise", "minimize", "maximise", "maximize", "best", "or", "not", "subject", "to"}
# Word people say -> words of property names that mean it.
_MEANS = {
    "latency": ("latency", "time"),
    "time": ("time", "latency"),
    "memory": ("memory", "rss", "ram"),
    "throughput": ("throughput", "rate"),
}


@dataclass(frozen=True, slots=True)
class Limit:
    """What a property must keep to.

    Attributes:
        property: Its name, or words for it until the goal is bound.
        comparator: "<=" or ">=".
        value: In `unit`.
        unit: Of the value; "" only where the property has none.
    """

    property: str
    comparator: Comparator
    value: float
    unit: str = ""

    def __post_init__(self) -> None:
        if self.comparator not in ("<=", ">="):
            raise UsageError(f"limit of {self.property}: comparator '{self.comparator}' is neither '<=' nor '>='")
        if not (np.isfinite(self.value) and self.value > 0):
            raise UsageError(f"limit of {self.property}: {self.value} is not positive and finite", limit=self)

    def is_kept_by(self, value: float) -> bool:
        """Return whether a response, in the unit of the limit, keeps to it."""
        return value <= self.value if self.comparator == "<=" else value >= self.value

    def __str__(self) -> str:
        return f"{self.property} {self.comparator} {self.value:g} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Objective:
    """What is to be best.

    Attributes:
        property: Its name, or words for it until the goal is bound.
        direction: Which way; "best" for what the property says.
    """

    property: str
    direction: Direction = "best"

    def __str__(self) -> str:
        return f"{self.direction} {self.property}"


@dataclass(frozen=True, slots=True)
class Goal:
    """Objectives under limits.

    Attributes:
        objectives: At least one; several are traded off.
        limits: Possibly none; all must hold.
    """

    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...] = ()

    def __post_init__(self) -> None:
        if not self.objectives:
            raise UsageError("the goal does not say what is to be best; add for instance 'minimise energy'", goal=self)

    def __str__(self) -> str:
        limits = " and ".join(map(str, self.limits))
        return ", ".join(filter(None, [limits, " and ".join(map(str, self.objectives))]))

    @property
    def properties(self) -> tuple[str, ...]:
        """Every property that is named, once, in order: objectives first."""
        named = [objective.property for objective in self.objectives] + [limit.property for limit in self.limits]
        return tuple(dict.fromkeys(named))

    def bound(self, properties: Sequence[Property]) -> "Goal":
        """Return the goal with the names, units and directions of known properties.

        Raises:
            UsageError: If a name fits none of them or several, a unit measures something else or is missing, a
                property is to be best twice, or does not say which way is better.
        """
        known = {found.name: found for found in properties}
        objectives = []
        for wanted in self.objectives:
            found = _property_named(wanted.property, properties)
            direction = found.direction if wanted.direction == "best" else wanted.direction
            if direction == "unclear":
                raise UsageError(f"property '{found.name}' does not say which way is better; say minimise or maximise")
            objectives.append(Objective(found.name, direction))
        names = [objective.property for objective in objectives]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"the goal names '{twice}' twice as what is to be best; once is enough", goal=self)
        limits = tuple(
            _in_unit_of(limit, known[_property_named(limit.property, properties).name]) for limit in self.limits
        )
        return Goal(tuple(objectives), limits)


def parse_goal(text: str) -> Goal:
    """Read a goal.

    Raises:
        UsageError: If the text is no goal; says where, and what is allowed.
    """
    if len(text) > _MAX_LENGTH:
        raise UsageError(f"a goal of {len(text)} characters: at most {_MAX_LENGTH} are read", goal=text)
    objectives: list[Objective] = []
    limits: list[Limit] = []
    for part in re.split(r",|;|\band\b", text, flags=re.IGNORECASE):
        clause = part.strip()
        if _RESERVED & set(clause.lower().split()[1:]):
            raise UsageError(f"cannot read '{clause}' in the goal '{text}': {_ALLOWED}", goal=text)
        if (match := _LIMIT.fullmatch(clause)) is not None:
            comparator: Comparator = "<=" if match["comparator"] in ("<=", "<", "≤") else ">="
            limits.append(Limit(match["name"], comparator, float(match["number"]), match["unit"]))
        elif (match := _OBJECTIVE.fullmatch(clause)) is not None:
            objectives.append(Objective(match["name"], _DIRECTIONS[match["direction"].lower()[:4]]))
        elif objectives and _BARE.fullmatch(clause):
            objectives.append(replace(objectives[-1], property=clause))
        elif clause or not text.strip():
            raise UsageError(f"cannot read '{clause}' in the goal '{text}': {_ALLOWED}", goal=text)
    if not objectives:
        raise UsageError(f"the goal '{text}' does not say what is to be best; add for instance ', minimise energy'")
    return Goal(tuple(objectives), tuple(limits))


def _property_named(words: str, properties: Sequence[Property]) -> Property:
    """Return the one property that goes by the words."""
    exact = [found for found in properties if found.name == words]
    if exact:
        return exact[0]
    wanted = words.lower().split()
    fitting = [found for found in properties if all(_goes_by(found.name, word) for word in wanted)]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(found.name for found in (fitting or properties)) or "none"
    if fitting:
        raise UsageError(f"'{words}' may be {names}; give the name of one", name=words)
    raise UsageError(f"no property goes by '{words}'; there is a model of {names}", name=words)


def _goes_by(name: str, word: str) -> bool:
    parts = name.lower().split("_")
    return any(alias in parts for alias in _MEANS.get(word, (word,)))


def _in_unit_of(limit: Limit, found: Property) -> Limit:
    factor = 1.0 if limit.unit == found.unit else conversion_factor(limit.unit, found.unit) if limit.unit else None
    if factor is None:
        problem = f"is in {limit.unit}" if limit.unit else "has no unit"
        wanted = f"in {found.unit} or a multiple of it" if found.unit else "without a unit"
        raise UsageError(f"the limit {limit} {problem}, but {found.name} is given {wanted}", limit=limit)
    return Limit(found.name, limit.comparator, limit.value * factor, found.unit)
