"""From datasets as measured to datasets a strategy can rely on.

Rows without a usable response are dropped, units converted, options renamed and aligned, and rows
and sources put into an order that depends on their content alone. What was lost on the way is said
in notes, which end up in the verdict.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.data.dataset import Dataset
from perfport.data.folding import fold_replicates
from perfport.data.measurement import Property, Status
from perfport.errors import NotEnoughDataError, UsageError
from perfport.space.alignment import align
from perfport.space.columns import not_levels, positions_of
from perfport.space.encoding import Encoder
from perfport.space.options import Option
from perfport.space.space import Space
from perfport.transfer.bounds import is_bound
from perfport.transfer.cache import RecentlyUsed
from perfport.units import conversion_factor

__all__ = ["Prepared", "check_datasets", "in_content_order", "prepare_sources", "prepare_target"]

MAX_CACHED = 48


@dataclass(frozen=True, slots=True)
class Prepared:
    """A dataset ready for a strategy.

    Attributes:
        dataset: Usable rows, in the target's options and unit, in content order; of a target one a configuration.
        notes: What was dropped or could not be transferred.
        digest: Of the content, whatever the order of rows and options. It begins with what does not depend on
            the unit of the response, so that another unit does not put sources into another order.
        bounds: Target rows that timed out at a known response, in content order; None if there are none.
    """

    dataset: Dataset
    notes: tuple[str, ...]
    digest: str
    bounds: Dataset | None = None


_PREPARED: RecentlyUsed[Prepared] = RecentlyUsed(MAX_CACHED)


def check_datasets(given: Sequence[Dataset], name: str) -> None:
    """Raise unless what was given under a name are datasets.

    Raises:
        UsageError: Telling what is there instead.
    """
    if isinstance(given, Dataset):
        raise UsageError(f"{name} is one dataset; give a list, also of one: {name}=[dataset]")
    wrong = next((one for one in given if not isinstance(one, Dataset)), None)
    if wrong is not None:
        raise UsageError(
            f"{name}: a {type(wrong).__name__} is no dataset; read tables with perfport.read_tables, or wrap a frame "
            "with perfport.Dataset.from_frame"
        )


def prepare_target(target: Dataset, *, property: str) -> Prepared:
    """Return the usable target rows, each configuration once: the median of its readings.

    Raises:
        UsageError: If the target has no such property.
        NotEnoughDataError: If no row is usable.
    """
    return _finished(target, property, role="target")


def prepare_sources(
    sources: Sequence[Dataset],
    space: Space,
    *,
    property: Property | str,
    rename: Mapping[str, str] | None = None,
) -> list[Prepared]:
    """Return the sources in the options of `space` and the unit of `property`, in content order.

    An option is renamed in the sources that have it under the old name; the others may have the new one already.

    Args:
        sources: As given to `perfport.transfer`.
        space: The target's options.
        property: The target's property, or just its name where the unit does not matter.
        rename: Option in the sources -> the same option in the target.

    Raises:
        UsageError: If a source has no such property, its unit measures something else, or no source has an
            option that is to be renamed.
        NotEnoughDataError: If a source has no usable row.
    """
    name = property if isinstance(property, str) else property.name
    nowhere = [old for old in rename or {} if sources and not any(old in source.space for source in sources)]
    if nowhere:
        known = ", ".join(dict.fromkeys(option for source in sources for option in source.space.names))
        raise UsageError(f"rename: no source has an option '{nowhere[0]}'; they have {known}", option=nowhere[0])
    unit = None if isinstance(property, str) else property.unit
    prepared = []
    for source in sources:
        own = {old: new for old, new in sorted((rename or {}).items()) if old in source.space}
        prepared.append(
            _PREPARED.get(
                (source.environment.name, source.key, space.key, name, unit, *own.items()),
                lambda source=source, own=own: _prepared_source(source, space, name, unit, own),  # type: ignore[misc]  # a bound loop variable
            )
        )
    return _each_once(sorted(prepared, key=lambda one: one.digest))


def _each_once(prepared: list[Prepared]) -> list[Prepared]:
    """Return sorted sources without those that are there already, under the same name: they would count twice."""
    kept: list[Prepared] = []
    for one in prepared:
        name = one.dataset.environment.name
        if kept and (kept[-1].digest, kept[-1].dataset.environment.name) == (one.digest, name):
            note = f"source '{name}' was given more than once and counts once"
            if note not in kept[-1].notes:
                kept[-1] = replace(kept[-1], notes=(*kept[-1].notes, note))
        else:
            kept.append(one)
    return kept


def in_content_order(space: Space, configurations: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return the order that sorts configurations by content, and the content key of every row."""
    keys = Encoder(space, fitted_on=configurations).keys(configurations)
    return np.argsort(keys, kind="stable"), keys


def _prepared_source(
    source: Dataset, space: Space, property: str, unit: str | None, rename: Mapping[str, str]
) -> Prepared:
    name = source.environment.name
    factor = _factor(source, property, unit)
    notes: tuple[str, ...] = ()
    if source.space.key != space.key or rename:
        alignment = align(source.space, space, rename=rename)
        notes = tuple(f"source '{name}': {note}" for note in alignment.notes)
        configurations = alignment.to_target(source.configurations)
        kept, lost = _on_ranges(space, configurations)
        if lost:
            notes += tuple(f"source '{name}': {note}" for note in lost)
            source, configurations = source.take(kept), configurations[kept].reset_index(drop=True)
        widened = _widened(space, configurations)
        for option in space.options:
            if option.kind == "boolean" and widened.option(option.name).is_numeric:
                configurations[option.name] = pd.to_numeric(configurations[option.name])
        source = Dataset(
            space=widened,
            environment=source.environment,
            properties={property: source.properties[property]},
            configurations=configurations,
            responses={property: source.response(property)},
            status=source.status,
            log_se={property: source.log_se[property]},
            cost_s=source.cost_s,
        )
    if factor != 1.0:
        declared = replace(source.properties[property], unit=unit or "")
        source = replace(
            source,
            properties={property: declared},
            responses={property: source.responses[property] * factor},
            log_se={property: source.log_se[property]},
        )
    finished = _finished(source, property, role="source")
    return replace(finished, notes=finished.notes + notes)


def _widened(space: Space, configurations: pd.DataFrame) -> Space:
    """Return the space with every level the configurations have; rules are those of another environment."""
    foreign = {
        option.name: configurations[option.name][not_levels(positions_of(option, configurations[option.name]))]
        for option in space.options
    }
    if all(len(levels) == 0 for levels in foreign.values()):
        return space
    return Space(options=[_with_levels(option, foreign[option.name].unique()) for option in space.options])


def _is_range(option: Option) -> bool:
    return option.values is None and option.type in ("integer", "float")


def _on_ranges(space: Space, configurations: pd.DataFrame) -> tuple[NDArray[np.bool_], list[str]]:
    """Return which rows have no text where the target has a range of numbers, shape (n,), and what is lost."""
    kept, notes = np.ones(len(configurations), dtype=np.bool_), []
    for option in space.options:
        column = configurations[option.name]
        if _is_range(option) and not pd.api.types.is_numeric_dtype(column):
            is_text = np.asarray(pd.to_numeric(column, errors="coerce").isna() & column.notna(), dtype=np.bool_)
            if is_text.any():
                level = column[is_text].iloc[0]
                notes.append(
                    f"{is_text.sum()} of {len(kept)} rows dropped, '{option.name}' is {level!r} there and a number in "
                    "the target"
                )
            kept &= ~is_text
    return kept, notes


def _with_levels(option: Option, levels: Iterable[object]) -> Option:
    added = [level.item() if isinstance(level, np.generic) else level for level in levels]
    if not added:
        return option
    if _is_range(option):
        numbers = [*option.bounds, *(float(str(level)) for level in added)]
        return Option(name=option.name, type="float", lower=min(numbers), upper=max(numbers), scale=option.scale)
    # A truth that has more than two levels elsewhere is a number.
    known = [int(level) if isinstance(level, bool) else level for level in (*(option.levels or ()), *added)]
    is_number = all(isinstance(level, int | float) for level in known)
    return Option(
        name=option.name,
        type="ordinal" if is_number else option.type if option.type in ("categorical", "ordinal") else "categorical",
        values=sorted(known) if is_number else known,
        scale=option.scale,
        group=option.group,
    )


def _factor(source: Dataset, property: str, unit: str | None) -> float:
    source.response(property)  # says which properties there are if this is none
    here = source.properties[property].unit
    if unit is None or not unit or not here:
        return 1.0
    factor = conversion_factor(here, unit)
    if factor is None:
        raise UsageError(
            f"source '{source.environment.name}' gives '{property}' in {here}, the target in {unit}: the units do not "
            "measure the same thing; correct the unit in the card of one of them",
            source=source,
        )
    return factor


def _finished(dataset: Dataset, property: str, *, role: str) -> Prepared:
    values = dataset.response(property)
    bound = is_bound(dataset, property)
    failed = (dataset.status != Status.OK.value) & ~bound
    with np.errstate(invalid="ignore"):
        unusable = ~failed & ~(np.isfinite(values) & (values > 0))
    # What a source gives up on is slow there, however slow: its limit is a better reading than none.
    usable = ~failed & ~unusable & (role == "source" or ~bound)
    name = dataset.environment.name
    if not usable.any():
        timed_out = f", {bound.sum()} timed out" if bound.any() else ""
        raise NotEnoughDataError(
            f"{role} '{name}' has no usable row of '{property}': of {len(dataset)} rows {failed.sum()} failed"
            f"{timed_out} and {unusable.sum()} have no positive finite value; measure at least one that runs",
            dataset=dataset,
        )
    notes = []
    if failed.any():
        notes.append(f"{role} '{name}': {failed.sum()} of {len(dataset)} rows dropped, they did not end well")
    if bound.any():
        meaning = "count at their limit" if role == "source" else "are lower bounds"
        notes.append(f"{role} '{name}': {bound.sum()} of {len(dataset)} rows timed out and {meaning}")
    if unusable.any():
        notes.append(
            f"{role} '{name}': {unusable.sum()} of {len(dataset)} rows dropped, '{property}' is missing or not positive"
        )
    kept = dataset if usable.all() else dataset.take(usable)
    if role == "source":
        if bound.any():
            kept = replace(kept, status=np.full(len(kept), Status.OK.value))
        rows, digest = _in_order(kept, property)
        return Prepared(rows, tuple(notes), digest)
    # A configuration that is there twice would be foretold from itself whenever a row is left out.
    rows, digest = _in_order(fold_replicates(kept), property)
    if len(rows) < len(kept):
        notes.append(f"{role} '{name}': {len(kept)} readings of {len(rows)} configurations count as their medians")
    bounds = _in_order(dataset.take(bound), property)[0] if bound.any() else None
    return Prepared(rows, tuple(notes), digest, bounds)


def _in_order(dataset: Dataset, property: str) -> tuple[Dataset, str]:
    """Return the rows in content order, and a digest of them."""
    values = dataset.response(property)
    _, keys = in_content_order(dataset.space, dataset.configurations)
    order = np.lexsort((values, keys))
    y = values[order]
    _, ranks = np.unique(y, return_inverse=True)
    return dataset.take(order), _digest(keys[order], ranks.astype(np.int64)) + _digest(y)


def _digest(*arrays: NDArray[np.generic]) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
