"""How the results of this room look in a notebook, and how levels read in a sentence."""

from html import escape
from typing import Any

import numpy as np
import pandas as pd

from perfport.space.options import Level
from perfport.units import format_quantity

__all__ = ["change_text", "html_block", "level_text", "plain", "setting_text"]


def plain(level: object) -> Level | None:
    """Return a level as the Python value it stands for; None for a missing one.

    Example:
        >>> plain(np.int64(4)), plain(float("nan"))
        (4, None)
    """
    value: Any = level.item() if isinstance(level, np.generic) else level
    return None if value is None or pd.isna(value) else value


def level_text(level: object, unit: str = "") -> str:
    """Return a level for people: booleans read on and off, a missing one inactive.

    Example:
        >>> level_text(True), level_text(1.3e9, "Hz"), level_text(None)
        ('on', '1.30 GHz', 'inactive')
    """
    value = plain(level)
    if value is None:
        return "inactive"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        return value
    if unit in ("Hz", "s"):
        return format_quantity(float(value), unit)
    return f"{value:g} {unit}".strip() if isinstance(value, float) else f"{value} {unit}".strip()


def setting_text(name: str, level: object, unit: str = "") -> str:
    """Return "option=level" for people.

    Example:
        >>> setting_text("spinning", False)
        'spinning=off'
    """
    return f"{name}={level_text(level, unit)}"


def change_text(change: float, unit: str) -> str:
    """Return a difference with its sign: "+38.0 ms".

    Example:
        >>> change_text(-0.038, "s")
        '-38.0 ms'
    """
    return ("-" if change < 0 else "+") + format_quantity(abs(change), unit)


def html_block(title: str, *tables: pd.DataFrame) -> str:
    """Return a title and tables as HTML; everything in them is escaped."""
    body = "".join(table.to_html(index=False, escape=True, float_format="{:.3g}".format) for table in tables)
    return f"<div><p><b>{escape(title)}</b></p>{body}</div>"
