"""The same configurations before and after: which rows of two versions can be held against each other."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.advise.rendering import level_text
from perfport.advise.uncertainty import central_response
from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Status, configuration_key
from perfport.errors import NotEnoughDataError, UsageError
from perfport.model.base import PerformanceModel
from perfport.seeding import rng_for
from perfport.transfer.api import transfer

__all__ = ["MIN_ROWS", "Pairs", "Runs", "configuration_text"]

MIN_ROWS = 4
_MAX_ROWS = 150  # more rows say nothing new, and the cost of what follows is cubic


@dataclass(frozen=True, slots=True)
class _Reading:
    """One configuration in one version: mean log response, its standard error as far as known, how often it ran."""

    log_response: float
    se: float
    n: int


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """What ran in which version.

    Attributes:
        old: Configurations that ran in the old version; None where a model stands for it.
        new: Those that ran in the new one.
        row_of: Every configuration tried in the new version -> its first row.
        failures: Configurations that used to run and no longer do, as text.
        n_baseline: Configurations known to run in the old version and tried in the new one.
    """

    old: Mapping[str, _Reading] | None
    new: Mapping[str, _Reading]
    row_of: Mapping[str, int]
    failures: tuple[str, ...]
    n_baseline: int

    @classmethod
    def of(cls, baseline: Dataset | PerformanceModel, candidate: Dataset, name: str) -> "Runs":
        """Look up what ran; a model of the old version knows of no failure."""
        _check_alike(baseline, candidate, name)
        new, row_of = _by_configuration(candidate, name)
        old = _by_configuration(baseline, name)[0] if isinstance(baseline, Dataset) else None
        tried = [key for key in row_of if old is None or key in old]
        failures = [configuration_text(candidate.configurations, row_of[key]) for key in tried if key not in new]
        return cls(old, new, row_of, tuple(failures), len(tried))


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """The same configurations in both versions.

    Attributes:
        configurations: m of them.
        before: Log response of the old version, shape (m,).
        difference: Log response of the new version less `before`, shape (m,).
        se: Standard error of `difference` as far as the measurements know it themselves, shape (m,); else 0.
        is_repeated: Whether the new version was measured more than once, shape (m,).
        notes: How the pairs were made.
    """

    configurations: pd.DataFrame
    before: FloatArray
    difference: FloatArray
    se: FloatArray
    is_repeated: NDArray[np.bool_]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, runs: Runs, baseline: Dataset | PerformanceModel, candidate: Dataset, name: str, seed: int) -> "Pairs":
        """Match what ran, or predict the old version; see `perfport.advise.regression.check`.

        Raises:
            NotEnoughDataError: If fewer than `MIN_ROWS` configurations can be compared.
        """
        new, row_of = runs.new, runs.row_of
        if len(new) < MIN_ROWS:
            raise NotEnoughDataError(
                f"{len(new)} configuration(s) ran in both versions: a check needs at least {MIN_ROWS}; measure more",
                n=len(new),
            )
        notes: list[str] = []
        keys = list(new)
        if isinstance(baseline, Dataset):
            old = runs.old or {}
            shared = [key for key in new if key in old]
            if len(shared) >= max(MIN_ROWS, len(new) / 2):
                keys, before = shared, _column(old[key].log_response for key in shared)
                se_before = _column(old[key].se for key in shared)
                if len(shared) < len(new):
                    notes.append(f"{len(new) - len(shared)} configurations of the new version were not measured before")
            else:
                notes.append(f"only {len(shared)} configurations were measured in both: the old version is predicted")
                model = transfer(sources=[], target=baseline, property=name, seed=seed)
                before, se_before = _predicted(model, candidate, keys, row_of), np.zeros(len(keys))
        else:
            before, se_before = _predicted(baseline, candidate, keys, row_of), np.zeros(len(keys))
        if len(keys) > _MAX_ROWS:
            notes.append(f"{_MAX_ROWS} of {len(keys)} configurations were looked at")
            some = np.sort(rng_for(seed, "advise", "pairs").permutation(len(keys))[:_MAX_ROWS])
            keys, before, se_before = [keys[i] for i in some], before[some], se_before[some]
        return cls(
            configurations=candidate.configurations.iloc[[row_of[key] for key in keys]].reset_index(drop=True),
            before=before,
            difference=_column(new[key].log_response for key in keys) - before,
            se=np.hypot(se_before, _column(new[key].se for key in keys)),
            is_repeated=np.array([new[key].n > 1 for key in keys]),
            notes=tuple(notes),
        )


def _by_configuration(dataset: Dataset, name: str) -> tuple[dict[str, _Reading], dict[str, int]]:
    """Return what is known of each configuration that ran, and the first row of every one."""
    y = dataset.response(name)
    runs = (dataset.status == Status.OK.value) & np.isfinite(y) & (y > 0)
    rows_of: dict[str, list[int]] = {}
    for row, configuration in enumerate(dataset.space.configurations(dataset.configurations)):
        rows_of.setdefault(configuration_key(configuration), []).append(row)
    errors, blocks = np.nan_to_num(dataset.log_se[name]), _n_blocks(dataset)
    readings = {}
    for key, rows in rows_of.items():
        ran = [row for row in rows if runs[row]]
        if ran:
            se = float(np.sqrt(np.sum(errors[ran] ** 2))) / len(ran)
            readings[key] = _Reading(float(np.mean(np.log(y[ran]))), se, int(blocks[ran].sum()))
    return readings, {key: rows[0] for key, rows in rows_of.items()}


def _n_blocks(dataset: Dataset) -> NDArray[np.int64]:
    """Return how often each row was measured: a store folds the blocks of a configuration into one row."""
    if dataset.notes is None or "blocks_ok" not in dataset.notes:
        return np.ones(len(dataset), dtype=np.int64)
    counts = pd.to_numeric(dataset.notes["blocks_ok"], errors="coerce")
    return counts.fillna(1).clip(lower=1).to_numpy(dtype=np.int64)


def _column(values: Iterable[float]) -> FloatArray:
    return np.fromiter(values, dtype=np.float64)


def _predicted(model: PerformanceModel, candidate: Dataset, keys: list[str], row_of: Mapping[str, int]) -> FloatArray:
    rows = candidate.configurations.iloc[[row_of[key] for key in keys]].reset_index(drop=True)
    return np.asarray(np.log(central_response(model, rows)))


def configuration_text(configurations: pd.DataFrame, row: int) -> str:
    """Return one row as text, for instance `threads=4, spinning=on`."""
    return ", ".join(f"{name}={level_text(configurations[name].iloc[row])}" for name in configurations.columns)


def _check_alike(baseline: Dataset | PerformanceModel, candidate: Dataset, name: str) -> None:
    if isinstance(baseline, Dataset):
        odd = sorted(set(baseline.space.names) ^ set(candidate.space.names))
        if odd:
            raise UsageError(f"the two versions differ in the option(s) {', '.join(odd)}; measure the same options")
        baseline.response(name)
        before = baseline.properties[name]
    else:
        before = baseline.property
    now = candidate.properties[name]
    if before.unit != now.unit:
        raise UsageError(f"'{name}' is in {before.unit or 'no unit'} before and in {now.unit or 'no unit'} now")
