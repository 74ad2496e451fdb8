"""From levels to numbers: one fixed matrix encoding of configurations for all numeric models.

Time often goes as a + b / frequency and spans decades in sizes, so a positive numeric option that
spans a wide range enters as logarithm *and* reciprocal; other numeric options enter as x and x^2;
categorical options as one 0/1 column a level. Options of one group (the layers of a network) also
give one column a level: how many options of the group have it. Columns are standardised with the
rows the encoder is fitted on, so that equal distances mean about equally much in every column.

Columns come sorted by option name, whatever the order of the options in the space.

Example:
    >>> encoder = Encoder(space, fitted_on=source.configurations)  # doctest: +SKIP
    >>> X = encoder.transform(target.configurations)               # doctest: +SKIP
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.space.options import Level, Option
from perfport.space.space import Space

__all__ = ["ColumnInfo", "ColumnKind", "Encoder", "level_codes", "numeric_levels"]

FloatArray = NDArray[np.float64]
ColumnKind = Literal["level", "linear", "log", "reciprocal", "log1p", "square", "active", "count", "none"]

MAX_LEVEL_COLUMNS = 40  # more levels than this and the option is an identifier, not a factor
WIDE_RANGE = 4.0  # largest over smallest level from which a positive option is seen on a log scale
MIN_LEVEL_SD = 0.15  # a level that (almost) never occurs must not be blown up by standardising
MIN_SECOND_SD = 0.03  # a second column with less left after the first one says nothing of its own
CLIP = 6.0  # standard deviations; a level far outside what was seen must not dominate everything


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """What one column of the encoded matrix stands for.

    Attributes:
        option: Name of the option; of the group for a count column.
        kind: How the level became a number; "none" for the column of zeros that stands alone where no
            option has a column.
        primary: True for the column that carries the option by itself (the first of a numeric
            option, every level and count column), False for a curvature column beside it.
        level: The level a "level" or "count" column stands for; None otherwise.
    """

    option: str
    kind: ColumnKind
    primary: bool
    level: Level | None = None


@dataclass(frozen=True, slots=True)
class _Column:
    """A column and how to standardise it; a second column is taken relative to its first."""

    info: ColumnInfo
    mean: float
    sd: float
    first: int | None = None  # position of the option's first column
    intercept: float = 0.0  # least-squares line on the first column, subtracted from this one
    slope: float = 0.0


class Encoder:
    """Encodes configurations of one space as a matrix of standardised columns.

    Args:
        space: The options; its levels and those of `fitted_on` together are the known levels.
        fitted_on: Configurations that set location and scale of every column, at least one row.

    Attributes:
        columns: What each column stands for, in order.
    """

    def __init__(self, space: Space, *, fitted_on: pd.DataFrame) -> None:
        self._options = sorted((o for o in space.options if o.name in fitted_on.columns), key=lambda o: o.name)
        self._levels = {option.name: _known_levels(option, fitted_on[option.name]) for option in self._options}
        self._scales = {o.name: _smallest_positive(numeric_levels(o, self._levels[o.name])) for o in self._options}
        self._groups = _count_groups(self._options, self._levels)
        # Odd factors drawn from the names make the sum in `keys` depend on which option has which level.
        names = np.array([option.name for option in self._options], dtype=object)
        self._key_factors = pd.util.hash_array(names, categorize=False) | np.uint64(1)
        self._columns: list[_Column] = []
        for option in self._options:
            self._fit_option(option, fitted_on[option.name])
        for group, (members, levels) in self._groups.items():
            counts = self._counts(fitted_on, members, levels)
            for position, level in enumerate(levels):
                column = counts[:, position]
                if column.std() > 0:
                    self._add(ColumnInfo(group, "count", primary=True, level=level), column, column)
        if not self._columns:
            # Constants and identifiers have none, but a learner needs something to look at: no row differs.
            self._columns.append(_Column(ColumnInfo("", "none", primary=False), mean=0.0, sd=1.0))

    @property
    def columns(self) -> tuple[ColumnInfo, ...]:
        """What each column stands for, in the order of `transform`; at least one."""
        return tuple(column.info for column in self._columns)

    @property
    def options(self) -> tuple[Option, ...]:
        """The options that were in `fitted_on`, sorted by name."""
        return tuple(self._options)

    @property
    def groups(self) -> dict[str, str]:
        """Option -> its group, of the options whose levels are counted."""
        return {option.name: group for group, (members, _) in self._groups.items() for option in members}

    def transform(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the encoded configurations.

        Args:
            configurations: One row each; a missing cell or a missing option is encoded as the
                average of its column, an unknown level of a categorical option as none of the known.

        Returns:
            Shape (n, d), float64, clipped to +-6 standard deviations.
        """
        raw: dict[tuple[str, ColumnKind, Level | None], FloatArray] = {}
        X = np.empty((len(configurations), len(self._columns)))
        for position, column in enumerate(self._columns):
            key = (column.info.option, column.info.kind, column.info.level)
            if key not in raw:
                raw.update(self._raw(column.info, configurations))
            values = raw[key]
            if column.first is not None:
                first = self._columns[column.first].info
                values = values - column.intercept - column.slope * raw[(first.option, first.kind, first.level)]
            X[:, position] = (values - column.mean) / column.sd
        return np.clip(np.nan_to_num(X, nan=0.0), -CLIP, CLIP)

    def keys(self, configurations: pd.DataFrame) -> NDArray[np.uint64]:
        """Return a number for every configuration, equal for equal levels of all options, shape (n,).

        Unlike the encoded matrix this keeps identifiers with many levels apart, so it tells whether
        two tables hold the same configuration. Different configurations agree with chance 2^-64.
        """
        keys = np.zeros(len(configurations), dtype=np.uint64)
        for option, factor in zip(self._options, self._key_factors, strict=True):
            if option.name not in configurations.columns:
                continue
            cells = configurations[option.name]
            if _all_numbers(self._levels[option.name]):
                # -0.0 and 0.0 are one level
                hashes = pd.util.hash_array(_to_float(cells) + 0.0, categorize=False)
            else:
                place, distinct = pd.factorize(cells)
                texts = np.array([*(_key_text(level) for level in distinct), ""], dtype=object)
                hashes = pd.util.hash_array(texts, categorize=False)[place]
            keys += _mix(hashes.astype(np.uint64) * factor)
        return keys

    def _fit_option(self, option: Option, cells: pd.Series) -> None:
        levels = self._levels[option.name]
        if cells.isna().any():
            active = np.asarray(~cells.isna(), dtype=np.float64)
            if active.std() > 0:
                self._add(ColumnInfo(option.name, "active", primary=False), active, active)
        if not _is_ordered(option):
            if len(levels) <= 1 or len(levels) > MAX_LEVEL_COLUMNS:
                return
            codes = level_codes(option, cells, levels)
            # Two levels need one column: the second one is its complement.
            for position in range(1 if len(levels) == 2 else 0, len(levels)):
                info = ColumnInfo(option.name, "level", primary=True, level=levels[position])
                self._add(
                    info, (codes == position).astype(float), (np.arange(len(levels)) == position).astype(np.float64)
                )
            return
        domain = np.asarray(numeric_levels(option, levels))
        if len(domain) < 2:
            return
        values = _numbers(option, cells, levels)
        first_kind, second_kind = _numeric_kinds(option, domain)
        scale = self._scales[option.name]
        first = _as_kind(first_kind, values, scale)
        self._add(ColumnInfo(option.name, first_kind, primary=True), first, _as_kind(first_kind, domain, scale))
        if len(domain) > 2:
            self._add_second(ColumnInfo(option.name, second_kind, primary=False), first, values, domain, scale)

    def _add(self, info: ColumnInfo, values: FloatArray, domain: NDArray[np.generic]) -> None:
        """Add a column standardised by the fitted rows, or by the known levels where those are constant."""
        seen = values[np.isfinite(values)]
        if len(seen) == 0 or seen.std() < 1e-12 * max(1.0, float(np.abs(seen).max())):
            seen = domain.astype(float)
        sd = float(seen.std())
        if info.kind == "level":
            sd = max(sd, MIN_LEVEL_SD)
        self._columns.append(_Column(info, float(seen.mean()), sd if sd > 0 else 1.0))

    def _add_second(
        self, info: ColumnInfo, first: FloatArray, values: FloatArray, domain: FloatArray, scale: float
    ) -> None:
        """Add the option's second column: what is left of it after a least-squares line on the first."""
        second = _as_kind(info.kind, values, scale)
        seen = np.isfinite(first) & np.isfinite(second)
        if not seen.any() or first[seen].std() < 1e-12:
            first_kind = self._columns[-1].info.kind
            first, second = _as_kind(first_kind, domain, scale), _as_kind(info.kind, domain, scale)
            seen = np.ones(len(domain), dtype=bool)
        centred = first[seen] - first[seen].mean()
        slope = float(centred @ second[seen] / (centred @ centred))
        intercept = float(second[seen].mean() - slope * first[seen].mean())
        # Relative to the column's own spread: the reciprocal of a large number is small but not irrelevant.
        spread = float(second[seen].std())
        sd = float((second[seen] - intercept - slope * first[seen]).std())
        if spread > 0 and sd / spread >= MIN_SECOND_SD:
            self._columns.append(_Column(info, 0.0, sd, len(self._columns) - 1, intercept, slope))

    def _raw(
        self, info: ColumnInfo, configurations: pd.DataFrame
    ) -> dict[tuple[str, ColumnKind, Level | None], FloatArray]:
        """Return the columns, not yet standardised, that share the work with `info`."""
        if info.kind == "none":
            return {(info.option, info.kind, info.level): np.zeros(len(configurations))}
        if info.kind == "count":
            members, levels = self._groups[info.option]
            counts = self._counts(configurations, members, levels)
            return {(info.option, "count", level): counts[:, position] for position, level in enumerate(levels)}
        if info.option not in configurations.columns:
            return {(info.option, info.kind, info.level): np.full(len(configurations), np.nan)}
        option = next(o for o in self._options if o.name == info.option)
        cells, levels = configurations[info.option], self._levels[info.option]
        if info.kind == "active":
            return {(info.option, "active", None): np.asarray(~cells.isna(), dtype=np.float64)}
        if info.kind == "level":
            codes = level_codes(option, cells, levels)
            return {(info.option, "level", level): (codes == i).astype(float) for i, level in enumerate(levels)}
        values = _numbers(option, cells, levels)
        return {(info.option, info.kind, None): _as_kind(info.kind, values, self._scales[info.option])}

    def _counts(self, configurations: pd.DataFrame, members: Sequence[Option], levels: Sequence[Level]) -> FloatArray:
        counts = np.zeros((len(configurations), len(levels)))
        for option in members:
            if option.name in configurations.columns:
                codes = level_codes(option, configurations[option.name], levels)
                counts += codes[:, None] == np.arange(len(levels))
        return counts


def _mix(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the keys with their bits stirred (the finaliser of SplitMix64), so that sums do not collide."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def level_codes(option: Option, cells: pd.Series, levels: Sequence[Level]) -> NDArray[np.int64]:
    """Return the position of every cell among `levels`, -1 for another level or a missing cell, shape (n,)."""
    if _all_numbers(levels):
        values = _to_float(cells)
        numbers = np.asarray([float(level) for level in levels])
        order = np.argsort(numbers)
        place = np.clip(np.searchsorted(numbers[order], values), 0, len(numbers) - 1)
        codes: NDArray[np.int64] = np.where(numbers[order][place] == values, order[place], -1)
        return codes
    # Looked up once a distinct level, not once a row: tables have many rows and few levels. 1 is not "1".
    place, distinct = pd.factorize(cells)
    known = {level: position for position, level in enumerate(levels)}
    positions = [known.get(level, -1) for level in distinct]
    return np.asarray([*positions, -1], dtype=np.int64)[place]


def numeric_levels(option: Option, levels: Iterable[Level]) -> list[float]:
    """Return the levels as sorted numbers; ordered levels that are texts count as 0, 1, 2, ..."""
    known = list(levels)
    if _all_numbers(known):
        return sorted(float(level) for level in known)
    return [float(position) for position in range(len(known))] if option.type == "ordinal" else []


def _known_levels(option: Option, cells: pd.Series) -> list[Level]:
    """Return the space's levels and those seen, numbers sorted, texts sorted unless their order has a meaning."""
    seen = [level.item() if isinstance(level, np.generic) else level for level in cells.dropna().unique()]
    declared: list[Level] = list(option.values or ((False, True) if option.type == "boolean" else ()))
    if option.lower is not None and option.upper is not None:
        # A few levels stand for a range, which may have millions.
        declared = [float(level) for level in np.linspace(option.lower, option.upper, 5)]
    known: dict[object, Level] = {}
    for level in [*declared, *seen]:
        known.setdefault(level, level)
    levels = list(known.values())
    if _all_numbers(levels):
        return sorted(levels, key=float)
    return (
        levels if option.type == "ordinal" else sorted(levels, key=lambda level: (str(level), isinstance(level, str)))
    )


def _is_ordered(option: Option) -> bool:
    return option.type in ("ordinal", "integer", "float", "boolean")


def _all_numbers(levels: Iterable[Level]) -> bool:
    return all(isinstance(level, bool | int | float) for level in levels)


def _key_text(level: Level) -> str:
    """Return a text of its own for every level; "" stands for a missing one."""
    if isinstance(level, str):
        return level or "\0"
    return f"\0{float(level)!r}"


def _to_float(cells: pd.Series) -> FloatArray:
    return np.asarray(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)


def _numbers(option: Option, cells: pd.Series, levels: Sequence[Level]) -> FloatArray:
    if _all_numbers(levels):
        return _to_float(cells)
    codes = level_codes(option, cells, levels)
    return np.where(codes >= 0, codes, np.nan).astype(np.float64)


def _smallest_positive(levels: Sequence[float]) -> float:
    return min((level for level in levels if level > 0), default=1.0)


def _numeric_kinds(option: Option, domain: FloatArray) -> tuple[ColumnKind, ColumnKind]:
    """Return the kinds of the first and the second column of a numeric option."""
    if len(domain) == 2:
        return "linear", "square"
    low, high = domain.min(), domain.max()
    positive = domain[domain > 0]
    if low > 0 and (option.scale in ("log", "reciprocal") or (option.scale is None and high / low >= WIDE_RANGE)):
        return "log", "reciprocal"
    if option.scale is None and low >= 0 and len(positive) and high / np.median(positive) >= WIDE_RANGE:
        return "log1p", "square"
    return "linear", "square"


def _as_kind(kind: ColumnKind, values: FloatArray, smallest: float) -> FloatArray:
    """Return the values as numbers of a kind; `smallest` is the smallest positive known level."""
    if kind == "log":
        return np.log(np.where(values > 0, values, np.nan))
    if kind == "reciprocal":
        return smallest / np.where(values > 0, values, np.nan)
    if kind == "log1p":
        return np.log1p(np.maximum(values, 0.0) / smallest)
    if kind == "square":
        return np.square(values)
    return values


def _count_groups(
    options: Sequence[Option], levels: dict[str, list[Level]]
) -> dict[str, tuple[list[Option], list[Level]]]:
    """Return group -> (its options, their common levels) for groups of two or more options alike."""
    members: dict[str, list[Option]] = defaultdict(list)
    for option in options:
        if option.group:
            members[option.group].append(option)
    return {
        group: (alike, levels[alike[0].name])
        for group, alike in sorted(members.items())
        if len(alike) >= 2
        and len(levels[alike[0].name]) <= MAX_LEVEL_COLUMNS
        and all(set(levels[o.name]) == set(levels[alike[0].name]) for o in alike)
    }
