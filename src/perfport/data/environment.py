"""An environment: hardware x network x workload x software, with a fingerprint and a readable diff.

A fact is one statement about a facet (`hardware.cores = 2`). What was measured in one environment is
evidence about another only after transfer, so the fingerprint of the facts decides which
measurements belong together; the name is for people.

Example:
    >>> here = Environment("laptop", hardware={"cores": 2}, network={"name": "resnet"})
    >>> there = Environment("board", hardware={"cores": 4}, network={"name": "resnet"})
    >>> [str(difference) for difference in here.diff(there)]
    ['hardware.cores: 2 -> 4']
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from perfport.errors import UsageError

__all__ = ["FACETS", "Difference", "Environment", "Fact", "canonical", "is_finite"]

Fact = str | int | float | bool
FACETS = ("hardware", "network", "workload", "software")


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact in which two environments differ; None where one of them does not state it."""

    facet: str
    fact: str
    here: Fact | None
    there: Fact | None

    def __str__(self) -> str:
        return f"{self.facet}.{self.fact}: {_shown(self.here)} -> {_shown(self.there)}"


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a configuration is measured. A performance model is valid for one environment only.

    Facts are text, finite numbers or booleans; anything else raises a `UsageError`.

    Attributes:
        name: What people call it; not part of the fingerprint.
        hardware: Facts about the device (processor, cores, memory, accelerator).
        network: Facts about the network under test (name, content hash, precision).
        workload: Facts about the input (batch, image side, sequence length).
        software: Runtime and system versions.
    """

    name: str
    hardware: Mapping[str, Fact] = field(default_factory=dict)
    network: Mapping[str, Fact] = field(default_factory=dict)
    workload: Mapping[str, Fact] = field(default_factory=dict)
    software: Mapping[str, Fact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise UsageError(f"an environment needs a name, a text that is not empty; given {self.name!r}")
        for facet in FACETS:
            object.__setattr__(self, facet, _checked_facts(self.name, facet, getattr(self, facet)))

    def __hash__(self) -> int:
        return hash((self.name, self.fingerprint))

    def __str__(self) -> str:
        stated = [f"{facet} {_joined(getattr(self, facet))}" for facet in FACETS if getattr(self, facet)]
        return f"{self.name} ({'; '.join(stated) or 'no facts stated'})"

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits over the facts of the four facets; the name and the order do not count.

        A number counts by its value: 4 and 4.0 are the same fact.
        """
        facts = {facet: {name: canonical(fact) for name, fact in getattr(self, facet).items()} for facet in FACETS}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def diff(self, other: "Environment") -> list[Difference]:
        """Return every fact in which `other` differs, in the order of the facets, then by name."""
        return [
            Difference(facet, fact, here.get(fact), there.get(fact))
            for facet in FACETS
            for here, there in [(getattr(self, facet), getattr(other, facet))]
            for fact in sorted({*here, *there})
            # True == 1 in Python, but one is an answer and the other a number.
            if here.get(fact) != there.get(fact)
            or isinstance(here.get(fact), bool) != isinstance(there.get(fact), bool)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return name and facets as plain JSON data."""
        return {"name": self.name} | {facet: dict(getattr(self, facet)) for facet in FACETS}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Environment":
        """Read what `to_dict` wrote; facets may be left out.

        Raises:
            UsageError: If the name is missing, or a key is neither the name nor a facet.
        """
        unknown = sorted(set(data) - {"name", *FACETS})
        if unknown or "name" not in data:
            wrong = f"has the unknown key '{unknown[0]}'" if unknown else "has no name"
            raise UsageError(f"an environment {wrong}; its keys are name, {', '.join(FACETS)}")
        return cls(**data)


def canonical(value: Fact) -> Fact:
    """Return the one representation of a fact or level that is hashed: whole numbers as int."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def is_finite(value: object) -> bool:
    """Return whether a value is a finite number, within the reach of a float."""
    try:
        return math.isfinite(value)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, OverflowError):
        return False


def _checked_facts(name: str, facet: str, facts: object) -> dict[str, Fact]:
    if not isinstance(facts, Mapping):
        raise UsageError(f"environment '{name}': {facet} must be a mapping of facts, not {type(facts).__name__}")
    checked: dict[str, Fact] = {}
    for fact, stated in facts.items():
        # NumPy scalars come out of data frames; JSON knows only the Python ones.
        value = stated.item() if hasattr(stated, "item") else stated
        is_number = isinstance(value, int | float) and is_finite(value)
        if not isinstance(fact, str) or not (is_number or isinstance(value, str)):
            raise UsageError(
                f"environment '{name}': {facet}.{fact} is {stated!r}; a fact is text, a finite number or a boolean, "
                "under a name that is text"
            )
        checked[fact] = value
    return checked


def _joined(facts: Mapping[str, Fact]) -> str:
    return ", ".join(f"{name}={fact}" for name, fact in facts.items())


def _shown(fact: Fact | None) -> str:
    return "(not stated)" if fact is None else str(fact)
