"""Rows of a frame as configurations, with the levels of their space."""

from typing import Any

import numpy as np
import pandas as pd

from perfport.space.options import Level
from perfport.space.space import Space

__all__ = ["configurations_of"]


def configurations_of(space: Space, frame: pd.DataFrame) -> list[dict[str, Level | None]]:
    """Return the rows of a frame as configurations with the levels of `space`; inactive options are None.

    Numbers become the level they equal (2.0 becomes 2), so that keys do not depend on how a frame
    stores them. What is no level is kept as it is, for the space to name.
    """
    columns = {option.name: [_level(option.levels, cell) for cell in frame[option.name]] for option in space.options}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _level(levels: tuple[Level, ...] | None, cell: Any) -> Level | None:
    if cell is None or cell is pd.NA or (isinstance(cell, float) and np.isnan(cell)):
        return None
    plain: Level = cell.item() if isinstance(cell, np.generic) else cell
    return next((level for level in levels or () if level == plain), plain)
