"""Neighbours: configurations one step away from one.

A step changes one active option: to an adjacent level (ordinal and numeric), any other level
(boolean and categorical), or by a tenth of its range on its scale (float range). Options that become
active take their default; those that become inactive are emptied.
"""

import numpy as np

from perfport.space.columns import Block, Cells, joined, take_rows
from perfport.space.options import Option
from perfport.space.rules import Rules
from perfport.space.valid import place_on_scale, uniform_on_scale

__all__ = ["steps_from"]

_RANGE_STEPS = (-0.1, 0.1)  # shares of a float range on its scale; our choice, because it takes a few steps across


def steps_from(start: Block, rules: Rules) -> Block:
    """Return the configurations one step from `start` (one row), not all of them allowed by the rules."""
    steps = [_stepped(start, option) for option in rules.options.values()]
    return rules.follow_conditions(joined(steps))


def _stepped(start: Block, option: Option) -> Block:
    cells = _other_cells(option, start[option.name])
    return take_rows(start, np.zeros(len(cells), dtype=np.int64)) | {option.name: cells}


def _other_cells(option: Option, cells: Cells) -> Cells:
    if option.levels is None:
        places = np.clip(place_on_scale(option, np.asarray(cells, dtype=np.float64)) + _RANGE_STEPS, 0.0, 1.0)
        moved = uniform_on_scale(option, places)
        return np.asarray(moved[~np.isnan(moved) & (moved != cells[0])])
    place = int(cells[0])
    around = range(len(option.levels)) if option.type in ("boolean", "categorical") else (place - 1, place + 1)
    others = [other for other in around if 0 <= other < len(option.levels) and other != place]
    return np.array(others if place >= 0 else [], dtype=np.int32)
