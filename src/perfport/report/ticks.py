"""Where an axis has its ticks and what they say, so that every tick names its unit."""

import math

import numpy as np

from perfport.data.measurement import FloatArray
from perfport.units import format_quantity

__all__ = ["linear_ticks", "log_ticks", "tick_text", "ticks_between"]


def tick_text(value: float, unit: str) -> str:
    """A round number with its unit and without the zeros that would promise precision: "1.5 ms", "20 ms"."""
    if value == 0:
        return "0"
    number, _, unit_shown = format_quantity(float(value), unit).partition(" ")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number} {unit_shown}".strip()


def log_ticks(lower: float, upper: float) -> list[float]:
    """1-2-5 steps of each decade, or the decades alone where those would be more than seven."""
    decades = range(math.floor(math.log10(lower)), math.ceil(math.log10(upper)) + 1)
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,)):
        ticks = [step * 10.0**decade for decade in decades for step in steps if lower <= step * 10.0**decade <= upper]
        if len(ticks) <= 7:
            return ticks
    return ticks[:: math.ceil(len(ticks) / 7)]


def linear_ticks(top: float) -> FloatArray:
    """About five round steps from 0."""
    return np.arange(0.0, top, _round_step(top / 5))


def ticks_between(lower: float, upper: float) -> FloatArray:
    """About four round steps between two ends that differ.

    Example:
        >>> ticks_between(0.9, 3.1).tolist()
        [1.0, 2.0, 3.0]
    """
    step = _round_step((upper - lower) / 4)
    return np.asarray(step * np.arange(math.ceil(lower / step), math.floor(upper / step) + 1), dtype=np.float64)


def _round_step(least: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(least))
    return float(magnitude * next(factor for factor in (1, 2, 5, 10) if factor * magnitude >= least))
