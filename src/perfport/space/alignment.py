"""Alignment: source configurations in the options of a target space.

Two environments of one system rarely have the same space: clock steps differ between boards, a
runtime has an option more, a table calls it otherwise. `align` pairs the options of two spaces, and
`Alignment.to_target` rewrites a frame of source configurations in the target's options:

- an option both have keeps its level, after renaming, unit conversion and, for ordered options, the
  chosen matching (below); a level the target lacks is kept, models see it as one more level;
- an option only the target has is constant at its default: the source says nothing about it;
- an option only the source has is dropped: rows that differ only in it become repeats;
- an option that the target's conditions make inactive is emptied, whatever the source had.

Ordered options (ordinal, integer, float) can be matched by **value** (1.3 GHz is 1.3 GHz), by
**rank** (the third of five clock steps is the second of three) or by **fraction** (half the maximal
clock is half the maximal clock). Others always go by value.

Example:
    >>> alignment = align(source.space, target.space, match="fraction")  # doctest: +SKIP
    >>> alignment.to_target(source.configurations)                       # doctest: +SKIP
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.errors import InvalidConfigurationError, SpaceError
from perfport.space.columns import INACTIVE, column_of_levels, not_levels, positions_of
from perfport.space.messages import listing, near
from perfport.space.options import Level, Option
from perfport.space.space import Space
from perfport.space.valid import place_on_scale, uniform_on_scale
from perfport.units import conversion_factor

__all__ = ["Alignment", "Match", "align"]

FloatArray = NDArray[np.float64]
_ORDERED = {"ordinal", "integer", "float"}
_SHOWN = 8  # options named in one note
Match = Literal["value", "rank", "fraction"]


@dataclass(frozen=True, slots=True)
class Alignment:
    """How source configurations are written in the options of the target; made by `align`.

    Attributes:
        source: Space of the configurations that are rewritten.
        target: Space they are rewritten in.
        match: How ordered options are matched.
        pairs: Target option -> source option, for options both have, in the target's order.
        only_in_source: Options that are dropped.
        only_in_target: Options that are constant at their default.
        unseen_levels: Target option -> levels that no source level is matched to.
        notes: In words, what is not carried over and what was assumed.
    """

    source: Space
    target: Space
    match: Match
    pairs: Mapping[str, str]
    only_in_source: tuple[str, ...]
    only_in_target: tuple[str, ...]
    unseen_levels: Mapping[str, tuple[Level, ...]]
    notes: tuple[str, ...]

    def to_target(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return source configurations in the options of the target.

        Args:
            frame: Source configurations, n rows, columns the source's options.

        Returns:
            Frame of n rows, the same index, columns the target's options. Levels may be none of the
            target's (a kept level, a fraction between two steps), so rows need not be valid in it.

        Raises:
            InvalidConfigurationError: If a column is missing or holds what is no level of the source.
        """
        missing = [name for name in self.source.names if name not in frame.columns]
        if missing:
            raise InvalidConfigurationError(
                f"the frame lacks {listing(missing)}; give a column for every source option"
            )
        columns: dict[str, pd.Series[Any]] = {}
        for option in self.target.options:
            if option.name in self.pairs:
                from_ = self.source.option(self.pairs[option.name])
                columns[option.name] = _rewritten(from_, option, self.match, frame[from_.name])
            else:
                constant = column_of_levels(option, [option.default_level])
                columns[option.name] = constant.take(np.zeros(len(frame), dtype=np.int64)).reset_index(drop=True)
        return self._follow_conditions(pd.DataFrame(columns)).set_index(frame.index)

    def _follow_conditions(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Empty what is inactive in the target, and give what has become active its default."""
        rules = self.target.rules
        for name in rules.order:
            option, column = self.target.option(name), frame[name]
            active = np.ones(len(frame), dtype=np.bool_)
            for condition in rules.conditions.get(name, ()):
                active &= condition.holds(frame, undecided=False)
            has_level = column.notna().to_numpy(dtype=np.bool_)
            if (active == has_level).all():
                continue
            levels = column.astype(object).to_numpy(copy=True)
            levels[active & ~has_level] = option.default_level
            levels[~active] = None
            frame[name] = column_of_levels(option, list(levels))
        return frame


def align(
    space_source: Space, space_target: Space, *, rename: Mapping[str, str] | None = None, match: Match = "value"
) -> Alignment:
    """Pair the options of two spaces.

    Options are paired by name, after `rename`. Two options that share a name but no level, one of
    texts and one of numbers, count as different options.

    Args:
        space_source: Space of the source.
        space_target: Space of the target.
        rename: Source option -> target option, where names differ.
        match: How levels of ordered options correspond: "value", "rank" or "fraction" (of the maximum).

    Raises:
        SpaceError: If the spaces have no option in common, `rename` names what is not there, or units
            cannot be converted into each other.
    """
    if match not in get_args(Match):
        raise SpaceError(f"match '{match}' is unknown; give one of {listing(get_args(Match))}")
    named = _renamed(space_source, space_target, rename or {})
    notes: list[str] = []
    pairs: dict[str, str] = {}
    unseen: dict[str, tuple[Level, ...]] = {}
    for to in space_target.options:
        if to.name not in named:
            continue
        from_ = space_source.option(named[to.name])
        if not _can_pair(from_, to):
            notes.append(f"'{to.name}' has levels of another kind in the source, so it is taken for another option")
            continue
        pairs[to.name] = from_.name
        never_seen = _never_seen(from_, to, match)
        if never_seen:
            unseen[to.name] = never_seen
        notes += _pair_notes(from_, to, match, never_seen)
    if not pairs:
        raise SpaceError(
            f"the spaces share no option: the source has {listing(space_source.names)}, the target has "
            f"{listing(space_target.names)}; give rename={{source name: target name}} for options that are the same",
            source=space_source,
            target=space_target,
        )
    only_in_source = tuple(name for name in space_source.names if name not in pairs.values())
    only_in_target = tuple(name for name in space_target.names if name not in pairs)
    notes += _lone_notes(space_target, only_in_source, only_in_target)
    return Alignment(space_source, space_target, match, pairs, only_in_source, only_in_target, unseen, tuple(notes))


def _renamed(source: Space, target: Space, rename: Mapping[str, str]) -> dict[str, str]:
    """Return target name -> source name for all options that have the same name after renaming."""
    for old, new in rename.items():
        if old not in source:
            raise SpaceError(
                f"rename: the source has no option '{old}'{near(old, source.names)} (it has {listing(source.names)})"
            )
        if new not in target:
            raise SpaceError(
                f"rename: the target has no option '{new}'{near(new, target.names)} (it has {listing(target.names)})"
            )
    named: dict[str, str] = {}
    for name in source.names:
        new = rename.get(name, name)
        if new in named and (name in rename) == (named[new] in rename):
            raise SpaceError(f"rename: '{named[new]}' and '{name}' would both be '{new}'; rename one of them otherwise")
        if new in target and (new not in named or name in rename):  # an explicit name wins over an equal one
            named[new] = name
    return named


def _can_pair(source: Option, target: Option) -> bool:
    """Return whether two options of one name are the same option: of one kind, or with a level in common."""
    if source.levels is None or source.kind == target.kind:
        return target.kind in (source.kind, "mixed")
    return any(target.contains(_as_kind_of(target, level)) for level in source.levels)


def _is_matched(source: Option, target: Option, match: Match) -> bool:
    """Return whether rank or fraction applies to the pair; by value otherwise."""
    is_ordered = {source.type, target.type} <= _ORDERED
    if match == "fraction":
        return is_ordered and source.is_numeric and target.is_numeric and min(source.bounds[1], target.bounds[1]) > 0
    return match == "rank" and is_ordered and not (source.is_constant or target.is_constant)


def _factor(source: Option, target: Option) -> float:
    """Return what turns a number of the source into the target's unit; one that is not stated is taken as equal."""
    if not source.unit or not target.unit:
        return 1.0
    factor = conversion_factor(source.unit, target.unit)
    if factor is None:
        raise SpaceError(
            f"option '{target.name}': '{source.unit}' (source) cannot be converted into '{target.unit}' (target); "
            "give both options units of one kind",
            source=source,
            target=target,
        )
    return factor


def _rewritten(source: Option, target: Option, match: Match, column: "pd.Series[Any]") -> "pd.Series[Any]":
    cells = positions_of(source, column)
    wrong = np.flatnonzero(not_levels(cells))
    if len(wrong):
        level = column.iloc[int(wrong[0])]
        raise InvalidConfigurationError(
            f"option '{source.name}': {level!r} is not a level of the source; {source.allowed}", option=source
        )
    if source.levels is None:
        return pd.Series(_numbers(source, target, match, np.asarray(cells, dtype=np.float64)))
    present, rows = np.unique(cells, return_inverse=True)
    levels = _levels(source, target, match)
    found = column_of_levels(target, [None if cell == INACTIVE else levels[int(cell)] for cell in present])
    return found.take(rows).reset_index(drop=True)


def _levels(source: Option, target: Option, match: Match) -> list[Level]:
    """Return the target's level for each level of a finite source option."""
    levels = source.levels or ()
    if source.kind == "text" and _is_matched(source, target, match):
        return _at_places(target, np.arange(len(levels)) / (len(levels) - 1))
    if source.is_numeric and target.is_numeric:
        numbers = _numbers(source, target, match, np.array(levels, dtype=np.float64))
        return [_own_level(target, float(number)) for number in numbers]
    return [_own_level(target, _as_kind_of(target, level)) for level in levels]


def _numbers(source: Option, target: Option, match: Match, numbers: FloatArray) -> FloatArray:
    """Return source levels as target levels, NaN where they are NaN (inactive)."""
    factor = _factor(source, target)
    if not _is_matched(source, target, match):
        return numbers * factor
    if match == "fraction":
        return numbers / source.bounds[1] * target.bounds[1]
    if source.levels is None:
        places = place_on_scale(source, numbers)
    else:
        places = np.searchsorted(np.sort(np.array(source.levels, dtype=np.float64)), numbers) / (len(source.levels) - 1)
    moved = np.full(numbers.shape, np.nan)
    active = ~np.isnan(numbers)
    moved[active] = np.array(_at_places(target, places[active]), dtype=np.float64)
    return moved


def _at_places(target: Option, places: FloatArray) -> list[Level]:
    """Return the target's levels at places (0 to 1) along its order, halves rounded up."""
    if target.levels is None:
        return [float(level) for level in uniform_on_scale(target, places)]
    ordered = sorted(target.levels) if target.is_numeric else target.levels
    return [ordered[int(rank)] for rank in np.floor(places * (len(ordered) - 1) + 0.5)]


def _as_kind_of(option: Option, level: Level) -> Level:
    """Return False and True as 0 and 1 for an option that has no booleans."""
    return int(level) if isinstance(level, bool) and option.kind != "boolean" else level


def _own_level(option: Option, level: Level) -> Level:
    """Return the option's own level where it has it (True for 1, a number up to rounding), else what is given."""
    code = None if option.levels is None else option.code(level)
    return level if code is None or option.levels is None else option.levels[code]


def _never_seen(source: Option, target: Option, match: Match) -> tuple[Level, ...]:
    """Return the target levels that no source level becomes."""
    if target.levels is None:
        return ()
    if source.levels is None:
        lower, upper = np.sort(_numbers(source, target, match, np.array(source.bounds)))
        return tuple(level for level in target.levels if isinstance(level, str) or not lower <= level <= upper)
    seen = {target.code(level) for level in _levels(source, target, match)}
    return tuple(level for place, level in enumerate(target.levels) if place not in seen)


def _pair_notes(source: Option, target: Option, match: Match, never_seen: tuple[Level, ...]) -> list[str]:
    name = f"'{target.name}'"
    notes: list[str] = []
    if source.name != target.name:
        notes.append(f"{name} is called '{source.name}' in the source")
    if source.is_numeric and target.is_numeric and source.unit != target.unit:
        stated = source.unit and target.unit
        text = (
            f"converted from {source.unit} to {target.unit}"
            if stated
            else "has a unit in one space only, taken as equal"
        )
        notes.append(f"{name}: {text}")
    can_differ = match != "value" and source.type in _ORDERED and source.levels != target.levels
    if can_differ and not _is_matched(source, target, match):
        notes.append(f"{name} cannot be matched by {match}, so it is by value")
    if source.is_constant and not target.is_constant:
        notes.append(f"{name} never changes in the source, which says nothing about its influence")
    if target.is_constant and not source.is_constant:
        notes.append(f"{name} never changes in the target ({listing(target.levels or ())})")
    elif never_seen:
        notes.append(f"{name}: the source has not seen {listing(never_seen)}")
    kept = (
        []
        if source.levels is None
        else [level for level in _levels(source, target, match) if not target.contains(level)]
    )
    if kept and not target.is_constant:
        notes.append(f"{name}: the target does not have {listing(kept)}; source rows with these are kept")
    return notes


def _lone_notes(target: Space, only_in_source: tuple[str, ...], only_in_target: tuple[str, ...]) -> list[str]:
    notes: list[str] = []
    if only_in_source:
        notes.append(
            f"only in the source, dropped: {listing(only_in_source)}; rows that differ only in these become repeats"
        )
    if only_in_target:
        defaults = ", ".join(f"'{name}' = {target.option(name).default_level!r}" for name in only_in_target[:_SHOWN])
        more = f" and {len(only_in_target) - _SHOWN} more" if len(only_in_target) > _SHOWN else ""
        notes.append(f"only in the target, at their default in all source rows: {defaults}{more}")
    for name in only_in_source:
        close = get_close_matches(name, only_in_target, n=1)
        if close and close[0] != name:
            notes.append(f"if '{name}' of the source is '{close[0]}' of the target, say so with rename")
    return notes
