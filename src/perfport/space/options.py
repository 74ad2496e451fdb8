"""Options: what can be configured, and which levels each option may take.

An option has two representations: the *level* a person reads (`"all"`, `1.3e9`) and the numbers a
model works on (`space.encoding`). This module knows only the first.

Example:
    >>> clock = Option(name="gpu_freq_hz", type="ordinal", values=(1.1e8, 1.3e9), unit="Hz", scale="log")
    >>> clock.default_level, clock.contains(1.3e9), clock.contains(2e9)
    (110000000.0, True, False)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core.core_schema import ValidationInfo

from perfport.errors import SpaceError
from perfport.space.messages import listing, one_line

__all__ = ["MAX_LEVELS", "Kind", "Level", "Option", "OptionType", "Owner", "Scale", "same_number"]

Level = bool | int | float | str
OptionType = Literal["boolean", "categorical", "ordinal", "integer", "float"]
Scale = Literal["linear", "log", "reciprocal"]
Owner = Literal["system", "actuator"]
Kind = Literal["boolean", "number", "text", "mixed"]

MAX_LEVELS = 1_000_000  # levels are kept as a tuple; wider integer ranges belong into a float option
_TOLERANCE = 1e-9  # relative: levels that went through text or a unit conversion are still the same


def same_number(first: float, second: float) -> bool:
    """Return whether two numbers are the same level, up to the rounding of a text or unit conversion."""
    return math.isclose(first, second, rel_tol=_TOLERANCE)


def _plain(value: object) -> object:
    """Turn a NumPy scalar or decimal, which data frames hand out, into the Python value it stands for."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, np.datetime64 | np.timedelta64):
        return value  # no level, though NumPy would unpack it to its nanoseconds
    return value.item() if hasattr(value, "item") and hasattr(value, "dtype") else value


_PlainLevel = Annotated[Level, BeforeValidator(_plain)]


class Option(BaseModel):
    """One configuration option.

    Wrong fields raise a `SpaceError` of one line. Levels are made uniform: numbers of one option are
    all `int` or all `float`, the values of an integer or float option are sorted.

    Attributes:
        name: Unique within the space.
        type: "boolean"; "categorical" (unordered levels); "ordinal" (ordered levels, often numbers
            such as clock steps); "integer" or "float" (a range, or a list of values on it).
        values: The levels, in order; given for categorical and ordinal, implied for boolean (a single
            value makes a constant), optional for integer and float (a grid instead of a range).
        lower: Smallest level of an integer or float range.
        upper: Largest level of an integer or float range, itself a level.
        unit: Unit of the levels, "" if they have none.
        scale: How the property is expected to follow the level: a sampler spaces a float range by
            it and the encoder chooses its columns by it; None leaves the choice to the data.
        group: Options of one group share their levels' meaning (layers of a network): models may
            count how often a level occurs in the group.
        default: The level used when nothing is chosen; the first level, or `lower`, if not given.
        owner: "system" options are passed to the system under test, "actuator" options are set on
            the machine around it.
        description: For people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    type: OptionType
    values: tuple[_PlainLevel, ...] | None = None
    lower: Annotated[int | float | None, BeforeValidator(_plain)] = None
    upper: Annotated[int | float | None, BeforeValidator(_plain)] = None
    unit: str = ""
    scale: Scale | None = None
    group: str = ""
    default: _PlainLevel | None = None
    owner: Owner = "system"
    description: str = ""

    if not TYPE_CHECKING:  # the type checker keeps the signature that follows from the fields

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                text = one_line(error, Option.model_fields)
                raise SpaceError(f"option {fields.get('name', '(no name)')!r}: {text}", **fields) from None

    @field_validator("name")
    @classmethod
    def _name_is_one_word_or_line(cls, name: str) -> str:
        if name != name.strip() or "`" in name or not name.isprintable():
            raise ValueError("a name is printable text without backticks, and no spaces at its ends")
        return name

    @field_validator("values")
    @classmethod
    def _uniform_values(cls, values: tuple[Level, ...] | None, info: ValidationInfo) -> tuple[Level, ...] | None:
        if values is None or "type" not in info.data:
            return values
        if not values:
            raise ValueError("empty; give at least one level")
        levels = _uniform(info.data["type"], values)
        return tuple(sorted(levels)) if info.data["type"] in ("integer", "float") else levels

    @field_validator("lower", "upper")
    @classmethod
    def _uniform_bound(cls, bound: float | None, info: ValidationInfo) -> float | None:
        if bound is None or info.data.get("type") not in ("integer", "float"):
            return bound
        return _number(info.data["type"], bound)

    @model_validator(mode="after")
    def _levels_make_sense(self) -> Self:
        if self.values is None:
            self._check_range()
        elif self.lower is not None or self.upper is not None:
            raise ValueError("give either values or lower and upper, not both")
        levels = self.levels or ()
        if len(set(levels)) < len(levels):
            twice = next(level for position, level in enumerate(levels) if level in levels[:position])
            raise ValueError(f"level {twice!r} is given twice; levels are distinct")
        self._check_scale()
        if self.default is not None and not self.contains(self.default):
            raise ValueError(f"default {self.default!r} is not a level; {self.allowed}")
        return self

    def _check_range(self) -> None:
        if self.type in ("categorical", "ordinal"):
            raise ValueError(f"a {self.type} option needs values; give its levels as a list")
        if self.type == "boolean":
            if self.lower is not None or self.upper is not None:
                raise ValueError("a boolean option has no lower or upper")
            return
        if self.lower is None or self.upper is None:
            raise ValueError(f"type {self.type} needs lower and upper, or values")
        if self.lower >= self.upper:
            raise ValueError(f"lower {self.lower} is not below upper {self.upper}; give lower < upper")
        if self.type == "integer" and self.upper - self.lower >= MAX_LEVELS:
            raise ValueError(
                f"the range {self.lower} ... {self.upper} has more than {MAX_LEVELS:,} levels; "
                "use type float, or give values"
            )

    def _check_scale(self) -> None:
        if self.scale is None:
            return
        if not self.is_numeric:
            raise ValueError(f"scale '{self.scale}' needs numbers as levels; leave scale out")
        if self.scale != "linear" and self.bounds[0] <= 0:
            raise ValueError(f"scale '{self.scale}' needs positive levels, the lowest is {self.bounds[0]}")

    @cached_property
    def levels(self) -> tuple[Level, ...] | None:
        """All levels in order; None for a float range, which has no end of them."""
        if self.values is not None:
            return self.values
        if self.type == "boolean":
            return (False, True)
        if self.type == "integer" and self.lower is not None and self.upper is not None:
            return tuple(range(int(self.lower), int(self.upper) + 1))
        return None

    @cached_property
    def kind(self) -> Kind:
        """What the levels are: "boolean", "number", "text", or "mixed" numbers and texts."""
        if self.type == "boolean":
            return "boolean"
        kinds = {"text" if isinstance(level, str) else "number" for level in self.levels or (0.0,)}
        return "mixed" if len(kinds) > 1 else "text" if kinds == {"text"} else "number"

    @property
    def is_numeric(self) -> bool:
        """Whether all levels are numbers (booleans are not)."""
        return self.kind == "number"

    @property
    def is_constant(self) -> bool:
        """Whether there is only one level."""
        return self.levels is not None and len(self.levels) == 1

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest level of a numeric option.

        Raises:
            SpaceError: If the levels are not numbers.
        """
        if not self.is_numeric:
            raise SpaceError(f"option '{self.name}' has no bounds: its levels are not numbers", option=self)
        if self.lower is not None and self.upper is not None:
            return self.lower, self.upper
        numbers = [level for level in self.levels or () if not isinstance(level, str)]
        return min(numbers), max(numbers)

    @property
    def default_level(self) -> Level:
        """The level used when nothing is chosen: `default`, else the first level, else `lower`."""
        if self.levels is None:
            return self.bounds[0] if self.default is None else float(self.default)
        return self.levels[0 if self.default is None else self.code(self.default) or 0]

    @property
    def allowed(self) -> str:
        """What may be given, in words, for messages."""
        if self.levels is None or self.lower is not None:
            return f"allowed are {self.lower} ... {self.upper}{' ' if self.unit else ''}{self.unit}"
        return f"its levels are {listing(self.levels)}{' ' if self.unit else ''}{self.unit}"

    def contains(self, level: object) -> bool:
        """Return whether `level` is one of the levels, or lies within a float range.

        Numbers match the nearest level, up to a relative difference of 1e-9. Booleans are no numbers, but 0
        and 1 are taken for False and True, as tables write them.
        """
        if self.levels is not None:
            return self.code(level) is not None
        number = _as_number(level)
        return number is not None and self.bounds[0] <= number <= self.bounds[1]

    def code(self, level: object) -> int | None:
        """Return the position of `level` among the levels, or None if it is not one of them.

        Raises:
            SpaceError: If the option is a float range, whose levels have no positions.
        """
        if self.levels is None:
            raise SpaceError(f"option '{self.name}' is a range: its levels have no positions", option=self)
        plain = _plain(level)
        if isinstance(plain, str):
            return self._positions.get(plain) if self.kind in ("text", "mixed") else None
        if isinstance(plain, bool):
            return self._positions.get(plain) if self.kind == "boolean" else None
        number = _as_number(plain)
        return None if number is None or self.kind == "text" else self._code_of_number(number)

    def codes_of_numbers(self, numbers: NDArray[Any]) -> NDArray[np.intp]:
        """Return the position of each number among the levels, as `code` has it.

        Args:
            numbers: Integers or floats, shape (n,); NaN is no level.

        Returns:
            Positions, shape (n,), -1 where a number is no level.
        """
        return self._numbers.codes(numbers)

    @cached_property
    def _positions(self) -> dict[Level, int]:
        return {level: position for position, level in enumerate(self.levels or ())}

    @cached_property
    def _numbers(self) -> "_Numbers":
        return _Numbers.of(self.levels or ())

    def _code_of_number(self, number: float) -> int | None:
        exact = self._positions.get(number)
        if exact is not None:
            return exact
        is_long = isinstance(number, int) and -(2**63) <= number < 2**63
        code = int(self._numbers.codes(np.array([number], dtype=np.int64 if is_long else np.float64))[0])
        return None if code < 0 else code


@dataclass(frozen=True, slots=True, eq=False)
class _Numbers:
    """The levels that are numbers, ascending, and the position of each among all levels.

    They are kept as floats as well: turning a million levels into floats for each number looked up would take 3 ms.
    """

    levels: NDArray[Any]
    floats: NDArray[np.float64]
    positions: NDArray[np.intp]

    @classmethod
    def of(cls, levels: Sequence[Level]) -> "_Numbers":
        positions = np.array([at for at, level in enumerate(levels) if not isinstance(level, str)], dtype=np.intp)
        numbers = np.array([level for level in levels if not isinstance(level, str)])
        order = np.argsort(numbers, kind="stable")
        return cls(numbers[order], numbers[order].astype(np.float64), positions[order])

    def codes(self, numbers: NDArray[Any]) -> NDArray[np.intp]:
        """Return positions, -1 for no level: of an exact hit, else of the nearest level within the tolerance.

        Limits of 4294967295 and 4294967296 bytes are closer than the tolerance, and two levels all the same.
        """
        levels = self.floats if numbers.dtype.kind == "f" else self.levels
        right = np.minimum(np.searchsorted(levels, numbers), len(levels) - 1)
        left = np.maximum(right - 1, 0)
        below, above = np.abs(numbers - self.floats[left]), np.abs(numbers - self.floats[right])
        nearest = np.where((below <= above) & (levels[right] != numbers), left, right)
        is_level = np.minimum(below, above) <= _TOLERANCE * np.abs(self.floats[nearest])
        codes: NDArray[np.intp] = np.where(is_level, self.positions[nearest], -1)
        return codes


def _uniform(type_: OptionType, values: Sequence[Level]) -> tuple[Level, ...]:
    """Return the levels with one Python type for all numbers, or raise `ValueError`."""
    if type_ in ("integer", "float"):
        return tuple(_number(type_, value) for value in values)
    if type_ == "boolean":
        return tuple(_boolean(value) for value in values)
    for value in values:
        if isinstance(value, bool):
            # YAML reads the bare words on, off, yes and no as booleans.
            raise ValueError(f"level {value!r} is a boolean; write words such as 'on' in quotes, or use type boolean")
        if not isinstance(value, str):
            _check_number(value)
    numbers = [value for value in values if not isinstance(value, str)]
    if any(isinstance(value, float) for value in numbers):
        return tuple(value if isinstance(value, str) else float(value) for value in values)
    return tuple(values)


def _number(type_: OptionType, value: Level) -> int | float:
    if isinstance(value, str):
        # YAML 1.1 reads 1e-5 (without a point) as text.
        try:
            value = float(value)
        except ValueError:
            raise ValueError(f"level {value!r} is text; levels of type {type_} are numbers") from None
    if isinstance(value, bool):
        raise ValueError(f"level {value!r} is a boolean; levels of type {type_} are numbers")
    _check_number(value)
    if type_ == "float":
        return float(value)
    if value != int(value):
        raise ValueError(f"level {value!r} is not a whole number; use type float")
    return int(value)


def _check_number(value: float) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"level {value!r} is not finite; levels are finite numbers")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"level {value!r} does not fit 64 bits; use type float")


def _boolean(value: Level) -> bool:
    if value in (0, 1):  # covers False and True, and the 0 and 1 of tables
        return bool(value)
    raise ValueError(f"level {value!r} is not a boolean; write true or false")


def _as_number(level: object) -> float | None:
    plain = _plain(level)
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        return None
    try:
        return plain if math.isfinite(plain) else None
    except OverflowError:  # an integer beyond every float
        return None
