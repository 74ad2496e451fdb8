"""Units: SI inside, readable outside.

Stored numbers are in the unit their name says (`_s`, `_j`, `_w`, `_hz`, `_bytes`); only what a
person reads is scaled to milliseconds or megahertz, and only here.
"""

import math

__all__ = ["conversion_factor", "format_quantity"]

_PREFIXES = {"G": 1e9, "M": 1e6, "k": 1e3, "": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_BASE_UNITS = ("s", "J", "W", "Hz", "B", "V", "A")
_TO_BASE = {prefix + unit: (unit, factor) for unit in _BASE_UNITS for prefix, factor in _PREFIXES.items()}
_TO_BASE |= {"us": ("s", 1e-6), "µs": ("s", 1e-6), "min": ("s", 60.0), "h": ("s", 3600.0), "kWh": ("J", 3.6e6)}


def conversion_factor(unit_from: str, unit_to: str) -> float | None:
    """Return the factor that turns a number in `unit_from` into `unit_to`.

    Returns:
        The factor; 1.0 for equal texts; None when the units do not measure the same thing or one
        of them is not known.

    Example:
        >>> conversion_factor("ms", "s")
        0.001
    """
    if unit_from == unit_to:
        return 1.0
    base_from, base_to = _TO_BASE.get(unit_from), _TO_BASE.get(unit_to)
    if base_from is None or base_to is None or base_from[0] != base_to[0]:
        return None
    return base_from[1] / base_to[1]


def format_quantity(value: float, unit: str, *, digits: int = 3) -> str:
    """Return `value` with `digits` significant digits and the prefix a reader expects.

    Args:
        value: A number in `unit`.
        unit: Its unit; SI base units get a prefix (0.0123 s becomes "12.3 ms"), others are kept.
        digits: Significant digits.

    Example:
        >>> format_quantity(0.01234, "s")
        '12.3 ms'
    """
    if not math.isfinite(value):
        return f"{value} {unit}".strip()
    if unit in _BASE_UNITS and value != 0:
        for prefix, factor in _PREFIXES.items():
            # Units of time stop at the second: nobody reads kiloseconds.
            if unit == "s" and factor > 1:
                continue
            if abs(value) >= factor * (1 - 0.5 * 10**-digits):
                return f"{_significant(value / factor, digits)} {prefix}{unit}"
        return f"{_significant(value * 1e9, digits)} n{unit}"
    return f"{_significant(value, digits)} {unit}".strip()


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    # Rounded first: 0.9996 has three significant digits as 1.00, not as 1.000.
    rounded = float(f"{value:.{digits - 1}e}")
    return f"{rounded:,.{max(0, digits - 1 - math.floor(math.log10(abs(rounded))))}f}"
