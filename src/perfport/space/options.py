"""Options: what can be configured, and which levels each option may take.

An option has two representations: the *level* a person reads (`"all"`, `1.3e9`) and the numbers a
model works on (`space.encoding`). This module knows only the first.
"""

import math
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from perfport.errors import SpaceError
from perfport.units import format_quantity

__all__ = ["Level", "Option", "OptionType", "Owner", "Scale"]

Level = bool | int | float | str
OptionType = Literal["boolean", "categorical", "ordinal", "integer", "float"]
Scale = Literal["linear", "log", "reciprocal"]
Owner = Literal["system", "actuator"]


class Option(BaseModel):
    """One configuration option.

    Attributes:
        name: Unique within the space.
        type: "boolean"; "categorical" (unordered levels); "ordinal" (ordered levels, often numbers
            such as clock steps); "integer" or "float" (a range, or a list of values on it).
        values: The levels, in order; given for categorical and ordinal, implied for boolean,
            optional for integer and float (a grid).
        lower: Smallest level of an integer or float range.
        upper: Largest level of an integer or float range.
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
    values: tuple[Level, ...] | None = None
    lower: int | float | None = None
    upper: int | float | None = None
    unit: str = ""
    scale: Scale | None = None
    group: str = ""
    default: Level | None = None
    owner: Owner = "system"
    description: str = ""
