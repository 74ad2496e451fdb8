"""An environment: hardware x network x workload x software, with a fingerprint and a readable diff."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FACETS", "Difference", "Environment", "Fact"]

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

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits over the facts of the four facets; the name and the order do not count."""
        facts = {facet: dict(getattr(self, facet)) for facet in FACETS}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def diff(self, other: "Environment") -> list[Difference]:
        """Return every fact in which `other` differs, in the order of the facets, then by name."""
        return [
            Difference(facet, fact, here.get(fact), there.get(fact))
            for facet in FACETS
            for here, there in [(getattr(self, facet), getattr(other, facet))]
            for fact in sorted({*here, *there})
            if here.get(fact) != there.get(fact)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return name and facets as plain JSON data."""
        return {"name": self.name} | {facet: dict(getattr(self, facet)) for facet in FACETS}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Environment":
        """Read what `to_dict` wrote."""
        return cls(str(data["name"]), *(dict(data.get(facet, {})) for facet in FACETS))


def _shown(fact: Fact | None) -> str:
    return "(not stated)" if fact is None else str(fact)
