"""What keeps rows from being configurations of a space: for whole blocks as a mask, for one configuration in words."""

from collections.abc import Iterable, Mapping

import numpy as np

from perfport.errors import InvalidConfigurationError
from perfport.space.columns import Block, active_rows, n_rows, not_levels
from perfport.space.constraints import BoolArray
from perfport.space.messages import listing, near
from perfport.space.options import Level, Option
from perfport.space.rules import Rules

__all__ = ["check_columns", "valid_rows", "violations_of"]


def valid_rows(rules: Rules, block: Block) -> BoolArray:
    """Return which rows of a block are valid configurations, shape (n,)."""
    n = n_rows(block)
    valid = np.ones(n, dtype=np.bool_)
    for name in rules.options:
        cells = block[name]
        valid &= ~not_levels(cells) & (active_rows(cells) == rules.is_active(name, block, n))
    for rule in rules.constraints:
        valid &= rules.evaluate(rule, block, n, undecided=True)
    for rule in rules.forbidden:
        valid &= ~rules.evaluate(rule, block, n, undecided=False)
    return valid


def violations_of(rules: Rules, configuration: Mapping[str, Level | None], block: Block) -> list[str]:
    """Return in words what makes a configuration invalid; empty if it is valid.

    Args:
        rules: Of the space.
        configuration: As it was given, for the words.
        block: The same as a block of one row.
    """
    names = tuple(rules.options)
    found = [f"unknown option '{name}'{near(name, names)}" for name in configuration if name not in rules.options]
    for name, option in rules.options.items():
        is_active = bool(rules.is_active(name, block, 1)[0])
        found += _cell_violations(rules, option, configuration.get(name), is_active=is_active)
    for rule in rules.constraints:
        if not rules.evaluate(rule, block, 1, undecided=True)[0]:
            found.append(f"constraint '{rule}' does not hold")
    for rule in rules.forbidden:
        if rules.evaluate(rule, block, 1, undecided=False)[0]:
            found.append(f"'{rule}' is forbidden")
    return found


def check_columns(rules: Rules, columns: Iterable[str]) -> None:
    """Raise unless the columns of a frame are the options, each once, in any order.

    Raises:
        InvalidConfigurationError: Naming the first column that is none, or what is twice or missing.
    """
    names = tuple(rules.options)
    given = list(columns)
    for name in given:
        if name not in rules.options:
            raise InvalidConfigurationError(
                f"column '{name}' is no option{near(str(name), names)} (options: {listing(names)})"
            )
    twice = [name for name in names if given.count(name) > 1]
    if twice:
        raise InvalidConfigurationError(f"the frame has {listing(twice)} twice; give one column for every option")
    missing = [name for name in names if name not in given]
    if missing:
        raise InvalidConfigurationError(f"the frame lacks {listing(missing)}; give a column for every option")


def _cell_violations(rules: Rules, option: Option, level: object, *, is_active: bool) -> list[str]:
    is_missing = level is None or (isinstance(level, float) and np.isnan(level))
    if is_missing:
        return [f"option '{option.name}' has no level; {option.allowed}"] if is_active else []
    found = [] if option.contains(level) else [f"option '{option.name}': {level!r} is not a level; {option.allowed}"]
    if not is_active:
        when = "' and '".join(str(condition) for condition in rules.conditions[option.name])
        found.append(f"option '{option.name}' is {level!r} but only active when '{when}'")
    return found
