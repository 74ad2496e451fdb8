"""The default configuration: valid, and as close to the defaults of the options as the rules allow."""

import numpy as np

from perfport.errors import SpaceError
from perfport.space.columns import Block, Cells, default_cell, levels_of_row
from perfport.space.options import Option
from perfport.space.valid import Component, ValidSet

__all__ = ["default_block"]


def default_block(valid: ValidSet) -> Block:
    """Return the default configuration as a block of one row.

    Inactive options are empty. Where rules exclude the defaults, options without an explicit one move
    to the next levels that are allowed.

    Raises:
        SpaceError: If explicit defaults exclude each other, or no configuration is valid.
    """
    rules = valid.rules
    default = rules.follow_conditions({name: default_cell(option) for name, option in rules.options.items()})
    for component in valid.components:
        if not component.allows({name: default[name] for name in component.names}):
            default |= _nearest(component)
    return {name: default[name] for name in rules.options}


def _nearest(component: Component) -> Block:
    """Return the first allowed row when implied defaults may move and explicit ones may not."""
    found = component.first({option.name: _choice(option) for option in component.options})
    if found is not None:
        return found
    names = ", ".join(component.names)
    if not component.is_finite:
        raise SpaceError(f"the defaults of {names} are not a valid configuration; give others with 'default'")
    example = component.first({})
    if example is None:
        raise SpaceError(f"no valid configuration: the rules exclude every combination of {names}; loosen a rule")
    levels = levels_of_row(component.options, example, 0)
    raise SpaceError(f"the given defaults of {names} are not a valid configuration; valid is for instance {levels}")


def _choice(option: Option) -> Cells:
    cell = default_cell(option)
    if option.levels is None or option.default is not None:
        return cell
    return np.array([cell[0], *(place for place in range(len(option.levels)) if place != cell[0])], dtype=np.int32)
