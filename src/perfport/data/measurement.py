"""One measurement: what one configuration did in one environment, with every repetition."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from perfport.data.environment import Environment, canonical, is_finite
from perfport.errors import UsageError
from perfport.space.options import Level

__all__ = [
    "GRADES",
    "Direction",
    "FloatArray",
    "Measurement",
    "Property",
    "Status",
    "configuration_key",
    "plain_configuration",
    "plain_json",
    "unit_of",
]

FloatArray = NDArray[np.float64]
Direction = Literal["minimise", "maximise", "unclear"]

# Best first; what they mean is said where they are given, in `perfport.measure.quality.grading`.
GRADES = ("A", "B", "C", "D")

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
    """Return a short stable hash of a configuration, sixteen hex digits.

    Order and inactive options (None, NaN) do not matter, and a number counts by its value: a frame
    turns the level 2 into 2.0 when another row is inactive.

    Raises:
        UsageError: If a level is neither text, boolean nor a finite number.
    """
    active = {name: canonical(level) for name, level in plain_configuration(configuration).items() if level is not None}
    return hashlib.sha256(json.dumps(active, sort_keys=True).encode()).hexdigest()[:16]


def plain_configuration(configuration: Mapping[str, Level | None]) -> dict[str, Level | None]:
    """Return the configuration with Python's own types: NumPy scalars unpacked, NaN as None.

    Raises:
        UsageError: If a level is neither text, boolean nor a finite number.
    """
    return {name: _plain_level(name, level) for name, level in configuration.items()}


def _plain_level(name: str, level: object) -> Level | None:
    plain = level.item() if isinstance(level, np.generic) else level
    # pandas.NA is told by its type's name: the process that measures has no other need of pandas.
    if plain is None or type(plain).__name__ == "NAType" or (isinstance(plain, float) and math.isnan(plain)):
        return None
    if isinstance(plain, str) or (isinstance(plain, int | float) and is_finite(plain)):
        return plain
    raise UsageError(f"option '{name}': {level!r} cannot be a level; levels are text, booleans and finite numbers")


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """What one configuration did in one environment.

    An illegal measurement cannot be made: numbers are finite and not negative, an outcome that is not
    OK has a reason, and no numbers unless it timed out: then they are lower bounds. Two measurements are
    equal if all they state is equal.

    Attributes:
        configuration: Option -> level as *read back* after actuation; None for an inactive option.
        environment: Where it ran.
        status: OK, INVALID, FAILED or TIMED_OUT.
        repetitions: Property -> all repetitions, shape (r,), in the property's unit, read-only. Of a
            measurement that timed out, how far each had come: lower bounds; it may have none.
        absent: Property -> why it was not measured (never a number in its place).
        cost_s: Wall time the measurement took in total, in seconds (charged to budgets on replay); NaN
            where it was not recorded.
        conditions: Load, scheduling, clocks, temperature, versions; for diagnosis only.
        reason: Why it is not OK; empty otherwise.
        protocol: Key of the measuring protocol used.
        block: Which repetition block of the campaign this is (replicates differ only in it).
        started_at: UTC start, ISO 8601.
        attempt: Which attempt at this block; above 0 where an earlier one was too disturbed to count.
        grade: How far the numbers can be trusted, A (best) to D; empty if nobody judged.
        grade_reasons: What kept it from a better grade, the worst first.
        log_se: Property -> standard error of the logarithm of its median, for properties about which more is
            known than their repetitions tell (interference, dependence between repetitions).
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
    attempt: int = 0
    grade: str = ""
    grade_reasons: tuple[str, ...] = ()
    log_se: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "configuration", plain_configuration(self.configuration))
        if self.status not in list(Status):
            raise UsageError(f"status is {self.status!r}; it is one of {', '.join(Status)}", status=self.status)
        object.__setattr__(self, "status", Status(self.status))
        repetitions = {name: _checked_repetitions(name, values) for name, values in self.repetitions.items()}
        object.__setattr__(self, "repetitions", repetitions)
        is_ok = self.status is Status.OK
        if is_ok != bool(repetitions) and self.status is not Status.TIMED_OUT:
            raise UsageError(f"a measurement that is '{self.status}' must {'' if is_ok else 'not '}have repetitions")
        if is_ok == bool(self.reason):
            raise UsageError(f"a measurement that is '{self.status}' must {'not ' if is_ok else ''}have a reason")
        both = sorted(set(repetitions) & set(self.absent))
        if both:
            raise UsageError(f"property '{both[0]}' is measured and absent; it can only be one of them")
        is_recorded = self.cost_s == self.cost_s  # not NaN
        if is_recorded and not (is_finite(self.cost_s) and self.cost_s >= 0):
            raise UsageError(f"cost_s is {self.cost_s}; a cost is finite and not negative, or NaN if not recorded")
        for name in ("block", "attempt"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is {getattr(self, name)}; {name}s are counted from 0")
        reasons: object = self.grade_reasons
        if isinstance(reasons, str):
            raise UsageError(f"grade_reasons is the text '{reasons}'; give a list of reasons")
        object.__setattr__(self, "grade_reasons", tuple(self.grade_reasons))
        self._check_judgement()

    def _check_judgement(self) -> None:
        if self.grade not in ("", *GRADES) or (self.grade and self.status is not Status.OK):
            raise UsageError(
                f"grade is '{self.grade}' and status '{self.status}'; a measurement that is ok has one of "
                f"{', '.join(GRADES)} or none, any other has none"
            )
        for name, error in self.log_se.items():
            if name not in self.repetitions or not (is_finite(error) and error >= 0):
                raise UsageError(
                    f"log_se of '{name}' is {error}; give a finite number, not negative, "
                    "for a property that was measured"
                )

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        """What makes it unique in a store: environment fingerprint, configuration key, protocol, block, attempt."""
        configuration = configuration_key(self.configuration)
        return self.environment.fingerprint, configuration, self.protocol, self.block, self.attempt

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Measurement) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.key)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data; `from_dict` reads it back exactly."""
        return {
            "configuration": dict(self.configuration),
            "environment": self.environment.to_dict(),
            "status": str(self.status),
            "repetitions": {name: values.tolist() for name, values in self.repetitions.items()},
            "absent": dict(self.absent),
            "cost_s": None if math.isnan(self.cost_s) else float(self.cost_s),
            "conditions": plain_json(self.conditions),
            "reason": self.reason,
            "protocol": self.protocol,
            "block": int(self.block),
            "started_at": self.started_at,
            "attempt": int(self.attempt),
            "grade": self.grade,
            "grade_reasons": list(self.grade_reasons),
            "log_se": {name: float(error) for name, error in self.log_se.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Measurement":
        """Read what `to_dict` wrote."""
        fields = dict(data) | {
            "environment": Environment.from_dict(data["environment"]),
            "repetitions": {name: np.array(values) for name, values in data["repetitions"].items()},
        }
        if fields.get("cost_s", 0.0) is None:
            fields["cost_s"] = math.nan
        return cls(**fields)


def plain_json(value: object) -> Any:
    """Return `value` as JSON can hold it: tuples as lists, NumPy unpacked, what JSON has no word for as text.

    A number that is not finite becomes None: JSON has no NaN, and a diagnosis must not stop a measurement
    from being kept.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_json(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _checked_repetitions(name: str, values: ArrayLike) -> FloatArray:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"property '{name}': repetitions are {values!r}; give one or more numbers in a list") from None
    if array.ndim != 1 or len(array) == 0:
        raise UsageError(f"property '{name}': repetitions have shape {array.shape}; give one or more in a list")
    wrong = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if len(wrong):
        raise UsageError(
            f"property '{name}': repetition {wrong[0]} is {array[wrong[0]]}; numbers are finite and not negative, "
            "and a property that could not be read belongs in `absent`"
        )
    array.setflags(write=False)
    return array
