"""Numbers out of what a program or a server answered: one JSON object, found by paths such as `results.p50_ms`."""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perfport.data.measurement import Property, unit_of
from perfport.errors import MeasurementError, UsageError
from perfport.units import conversion_factor

__all__ = ["array_at", "described", "number_at", "value_at"]


def value_at(document: Any, path: str) -> Any:
    """Return what stands at `path`: keys and positions, joined by dots.

    Raises:
        MeasurementError: If there is nothing; the message names the keys there are.
    """
    found = document
    for part in path.split("."):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            there = ", ".join(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
            raise MeasurementError(f"the answer has no '{path}'; at '{part}' there is {there or 'nothing'}")
    return found


def number_at(document: Any, path: str, property_name: str) -> float:
    """Return the number at `path` in the unit of the property; of a list its median.

    Units are told by the endings of names: `p50_ms` read as `latency_s` is divided by 1000.

    Raises:
        MeasurementError: If there is no finite number.
    """
    found = value_at(document, path)
    values = found if isinstance(found, list) else [found]
    if not values or any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        raise MeasurementError(f"the answer's '{path}' is {str(found)[:80]!r}, not a number")
    number = float(median(values))
    if not math.isfinite(number):
        raise MeasurementError(f"the answer's '{path}' is {number}, not a finite number")
    name = path.rpartition(".")[2]
    factor = conversion_factor(unit_of(f"x_{name}"), unit_of(property_name))
    return number * (1.0 if factor is None else factor)


def array_at(document: Any, path: str) -> NDArray[Any]:
    """Return what stands at `path` as an array, for comparison with the default configuration's.

    Raises:
        MeasurementError: If it is no array of numbers or texts.
    """
    try:
        return np.asarray(value_at(document, path))
    except ValueError as error:
        raise MeasurementError(f"the answer's '{path}' is no array: {error}") from error


def described(names: Mapping[str, str], maximise: Sequence[str]) -> tuple[Property, ...]:
    """Return the properties of these names, with the unit each name ends in.

    Raises:
        UsageError: If one is to be maximised that is not read.
    """
    unknown = [name for name in maximise if name not in names]
    if unknown:
        raise UsageError(f"maximise: '{unknown[0]}' is not among the properties {', '.join(names)}")
    return tuple(
        Property(name, unit_of(name), "maximise" if name in maximise else "minimise", f"'{path}' of the answer")
        for name, path in names.items()
    )
