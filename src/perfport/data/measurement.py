"""One measurement: what one configuration did in one environment, with every repetition."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from perfport.data.environment import Environment
from perfport.space.options import Level

__all__ = ["Direction", "FloatArray", "Measurement", "Property", "Status", "configuration_key", "unit_of"]

FloatArray = NDArray[np.float64]
Direction = Literal["minimise", "maximise", "unclear"]

_UNIT_OF_ENDING = {unit: unit for unit in ("s", "ms", "us", "ns", "mJ", "kJ", "J", "mW", "W", "Hz", "MHz", "GHz")}
_UNIT_OF_ENDING |= {"j": "J", "w": "W", "hz": "Hz", "bytes": "B", "c": "C", "pct": "%"}


@dataclass(frozen=True, slots=True)
class Property:
    """Something that is measured.

    Attributes:
        name: Ends in its unit where it is in SI units (`inference_time_s`, `energy_j`).
        unit: Unit of the numbers.
        direction: Which way is better.
        description: For people.
    """

    name: str
    unit: str = ""
    direction: Direction = "minimise"
    description: str = ""


def unit_of(property_name: str) -> str:
    """Return the unit that the ending of a property's name states, "" if it states none.

    Example:
        >>> unit_of("inference_time_s"), unit_of("energy_j"), unit_of("accuracy")
        ('s', 'J', '')
    """
    head, _, ending = property_name.rpartition("_")
    return _UNIT_OF_ENDING.get(ending, "") if head else ""


class Status(StrEnum):
    """How a measurement ended."""

    OK = "ok"
    INVALID = "invalid"
    FAILED = "failed"
    TIMED_OUT = "timed_out"


def configuration_key(configuration: Mapping[str, Level | None]) -> str:
    """Return a short stable hash of a configuration; inactive options (None) and order do not matter."""
    active = {name: level for name, level in configuration.items() if level is not None}
    return hashlib.sha256(json.dumps(active, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one configuration did in one environment.

    Attributes:
        configuration: Option -> level as *read back* after actuation; None for an inactive option.
        environment: Where it ran.
        status: OK, INVALID, FAILED or TIMED_OUT; there are no repetitions unless OK.
        repetitions: Property -> all repetitions, shape (r,), in the property's unit.
        absent: Property -> why it was not measured (never a number in its place).
        cost_s: Wall time the measurement took in total, in seconds (charged to budgets on replay).
        conditions: Load, scheduling, clocks, temperature, versions; for diagnosis only.
        reason: Why it is not OK; empty otherwise.
        protocol: Key of the measuring protocol used.
        block: Which repetition block of the campaign this is (replicates differ only in it).
        started_at: UTC start, ISO 8601.
    """

    configuration: Mapping[str, Level | None]
    environment: Environment
    status: Status
    repetitions: Mapping[str, FloatArray] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    cost_s: float = 0.0
    conditions: Mapping[str, object] = field(default_factory=dict)
    reason: str = ""
    protocol: str = ""
    block: int = 0
    started_at: str = ""
