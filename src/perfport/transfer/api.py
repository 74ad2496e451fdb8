"""The two doors of this room: `transfer` and `propose`.

Example:
    >>> rows = propose(sources=[source], candidates=candidates, property="inference_time_s",
    ...                budget=10)                                              # doctest: +SKIP
    >>> model = transfer(sources=[source], target=target.take(rows),
    ...                  property="inference_time_s")                          # doctest: +SKIP
    >>> print(model.verdict)                                                   # doctest: +SKIP
    helped; estimated error 4.1 % (target only 19.6 %, gain 4.78); weights ...
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.data.dataset import Dataset
from perfport.data.frames import infer_options
from perfport.data.measurement import Status
from perfport.errors import SpaceError, UsageError
from perfport.model.threads import one_thread
from perfport.seeding import rng_for
from perfport.space.encoding import Encoder
from perfport.space.space import Space
from perfport.transfer.auto import Auto, combined_source
from perfport.transfer.base import TransferStrategy
from perfport.transfer.kernels import OptionsOnly, Prior
from perfport.transfer.names import BUILTIN, make_strategy
from perfport.transfer.prepare import check_datasets, in_content_order, prepare_sources, prepare_target
from perfport.transfer.propose import a_optimal, prior_covariances
from perfport.transfer.recipe import Recipe
from perfport.transfer.source import cached_sources
from perfport.transfer.transferred import TransferredModel, transferred

__all__ = ["BUILTIN", "propose", "transfer"]

MIN_ROWS_TRUST = 8  # fewer measured rows cannot tell whether a source is to be trusted
MAX_CANDIDATES = 1000  # looked at by the design; more are thinned at random


@one_thread()
def transfer(
    *,
    sources: Sequence[Dataset],
    target: Dataset,
    property: str,
    strategy: str | TransferStrategy = "auto",
    seed: int = 0,
    rename: Mapping[str, str] | None = None,
) -> TransferredModel:
    """Build a performance model of the target environment from sources and a few target rows.

    Args:
        sources: Measured source environments, possibly none. Their options may differ from the
            target's; the verdict names what was not transferred.
        target: The measured target rows. Rows that timed out and have a response are lower bounds. Others
            that failed, or whose response is missing or not positive, are dropped and counted in the verdict.
        property: Name of the response, in all datasets.
        strategy: A strategy object, or the name of one: "auto", "influence", "target_only", "direct", ... (all
            in `perfport.transfer.names`), or a plug-in's; with a learner of choice as "residual:boosting".
        seed: Of all randomness. "auto" and "influence" have none.
        rename: Option in the sources -> the same option in the target, where names differ.

    Raises:
        UsageError: If a dataset has no such property, or units do not measure the same thing.
        NotEnoughDataError: If a dataset has no usable row, or the strategy needs more rows.
        UnknownPluginError: If no strategy has the name.
    """
    check_datasets(sources, "sources")
    check_datasets([target], "target")
    chosen: TransferStrategy = make_strategy(strategy) if isinstance(strategy, str) else strategy
    if not callable(getattr(chosen, "fit", None)):
        raise UsageError(f"strategy is a {type(strategy).__name__}; give a name or an object with a method fit")
    ready = prepare_target(target, property=property)
    prepared = prepare_sources(sources, target.space, property=target.properties[property], rename=rename)
    datasets = [source.dataset for source in prepared]
    notes = (*ready.notes, *(note for source in prepared for note in source.notes))
    if any(source.environment == target.environment for source in sources):
        notes += (f"'{target.environment.name}' is source and target: errors say nothing about another environment",)
    model = transferred(chosen, datasets, ready.dataset, property=property, seed=seed, notes=notes, bounds=ready.bounds)
    return replace(model, recipe=Recipe(tuple(sources), target, property, strategy, seed, rename))


@one_thread()
def propose(
    *,
    sources: Sequence[Dataset],
    candidates: pd.DataFrame,
    property: str,
    budget: int,
    seed: int = 0,
    measured: Dataset | None = None,
    rename: Mapping[str, str] | None = None,
) -> NDArray[np.int64]:
    """Choose the candidate configurations that are worth measuring in the target environment.

    Rows are chosen greedily so that the variance left over all candidates is least, under what the
    sources show to be influential; without sources they cover the options.

    Args:
        sources: Measured source environments, possibly none.
        candidates: Valid target configurations, one a row, columns = options; any number. A configuration
            listed more than once is proposed once, as long as there are others.
        property: Name of the response to be modelled.
        budget: Number of rows to choose, 1 ... number of candidates not yet measured.
        seed: Tells apart candidates that are equally good.
        measured: Target rows that have been measured already, failed ones included: none of them is
            proposed again, and what the others tell is not asked twice. Where eight or more show that the
            sources do not help, the proposal covers the options instead of what the sources find influential.
        rename: Option in the sources -> the same option of the candidates, where names differ.

    Returns:
        Distinct row numbers of `candidates`, most useful first, shape (budget,).

    Raises:
        UsageError: If the budget does not fit the candidates, or a source has no such property.
        NotEnoughDataError: If a source has no usable row.
    """
    check_datasets(sources, "sources")
    if not isinstance(candidates, pd.DataFrame):
        raise UsageError(
            f"candidates are a {type(candidates).__name__}; give a DataFrame of configurations, for instance "
            "space.frame([{...}, {...}])"
        )
    if isinstance(budget, bool) or not isinstance(budget, int | np.integer):
        raise UsageError(f"budget {budget!r} is no whole number; give the number of rows to choose", budget=budget)
    space = _candidate_space(sources, candidates, measured)
    order, keys = in_content_order(space, candidates)
    known = np.zeros(len(candidates), dtype=bool)
    if measured is not None:
        missing = [name for name in candidates.columns if name not in measured.space]
        if missing:
            raise SpaceError(
                f"measured lacks the option {missing[0]!r} of the candidates; its options are "
                f"{', '.join(measured.space.names)}"
            )
        encoder = Encoder(space, fitted_on=candidates)
        known = np.isin(keys, encoder.keys(measured.configurations))
    free = int((~known).sum())
    if free == 0:
        raise UsageError(f"all of the {len(candidates)} candidates are measured already; give more candidates")
    if not 1 <= budget <= free:
        raise UsageError(
            f"budget {budget} does not fit: there are {len(candidates)} candidates, {free} of them not measured yet; "
            f"choose 1 to {free}",
            budget=budget,
        )
    rng = rng_for(seed, "propose")
    open_rows, repeats = _open_rows(order, keys, known)
    distinct = min(budget, len(open_rows))
    if len(open_rows) > max(MAX_CANDIDATES, budget):
        open_rows = open_rows[np.sort(rng.choice(len(open_rows), max(MAX_CANDIDATES, budget), replace=False))]
    told = _told(measured, property)
    pool = candidates.iloc[open_rows]
    if told is not None:
        pool = pd.concat([pool, told.configurations[list(candidates.columns)]], ignore_index=True)
    prior = _prior(sources, space, property=property, told=told, pool=pool, rename=rename)
    chosen = a_optimal(prior_covariances(prior, pool), distinct, rng=rng, first=np.arange(len(open_rows), len(pool)))
    again = rng.choice(len(repeats), budget - distinct, replace=False)
    return np.append(open_rows[chosen], repeats[again])


def _open_rows(
    order: NDArray[np.int64], keys: NDArray[np.uint64], known: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that may be proposed, each configuration once, and those that repeat one of them."""
    rows = order[~known[order]]
    is_first = np.append(True, keys[rows[1:]] != keys[rows[:-1]])
    return rows[is_first], rows[~is_first]


def _candidate_space(sources: Sequence[Dataset], candidates: pd.DataFrame, measured: Dataset | None) -> Space:
    """Return the space of the candidates: that of a dataset with the same options, else made from all of them."""
    names = list(candidates.columns)
    known = ([measured.space] if measured is not None else []) + [source.space for source in sources]
    for space in known:
        if list(space.names) == names:
            return space
    options = {option.name: option for space in reversed(known) for option in space.options}
    missing = [name for name in names if name not in options]
    # Column by column, because a missing cell is an option that is inactive there.
    inferred = {name: infer_options(candidates[[name]].dropna(), [name])[0] for name in missing}
    return Space(options=[(options | inferred)[name] for name in names])


def _told(measured: Dataset | None, property: str) -> Dataset | None:
    """Return the measured rows that have a response; None if there are none."""
    if measured is None:
        return None
    values = measured.response(property)
    with np.errstate(invalid="ignore"):
        usable = (measured.status == Status.OK.value) & np.isfinite(values) & (values > 0)
    return measured.take(usable) if usable.any() else None


def _prior(
    sources: Sequence[Dataset],
    space: Space,
    *,
    property: str,
    told: Dataset | None,
    pool: pd.DataFrame,
    rename: Mapping[str, str] | None,
) -> Prior:
    encoder = Encoder(space, fitted_on=pool)
    options_only = OptionsOnly(encoder, encoder.transform(pool))
    if not sources:
        return options_only
    wanted = property if told is None else told.properties[property]
    prepared = prepare_sources(sources, space, property=wanted, rename=rename)
    if told is not None and len(told) >= MIN_ROWS_TRUST and not _helped([s.dataset for s in prepared], told, property):
        return options_only
    models = cached_sources([source.dataset for source in prepared], property=property)
    return combined_source(models, told, property)


def _helped(sources: Sequence[Dataset], told: Dataset, property: str) -> bool:
    """Return whether the (prepared) sources clearly help to foretell the measured rows, as the verdict would say."""
    target = prepare_target(told, property=property).dataset
    return Auto().fit(sources, target, property=property, rng=rng_for(0, "trust")).verdict.decision == "helped"
