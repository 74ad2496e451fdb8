"""Measured environments behind one name: a folder of tables or a store, looked up or measured on the way."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd
import yaml

from perfport.cli.console import err
from perfport.data.dataset import Dataset
from perfport.data.store import Store
from perfport.data.tables import SystemTables, read_tables
from perfport.errors import StoreUsageError, UsageError
from perfport.seeding import rng_for
from perfport.space.options import Level
from perfport.space.space import Space

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from perfport.advise.recommendation.feasible import Allowed, LeftOut
    from perfport.measure.campaign.spec import Campaign
    from perfport.measure.runner.rig import Rig

__all__ = [
    "Measured",
    "Pool",
    "candidates",
    "left_out",
    "measured_environments",
    "parse_pairs",
    "parse_settings",
    "rig_of_campaign",
    "rig_of_target",
    "store_to_read",
]

MAX_POOL = 20_000
SHOWN_DIFFERENCES = 3


class Pool(Protocol):
    """Target configurations to choose from."""

    @property
    def configurations(self) -> pd.DataFrame:
        """One configuration a row."""
        ...

    def take(self, rows: "NDArray[np.int64]") -> Dataset:
        """Return the rows measured: looked up, or measured now."""
        ...

    def others(self, rows: "NDArray[np.int64]") -> Dataset | None:
        """Return what is measured beside `rows`; None if nothing is."""
        ...


@dataclass(frozen=True)
class _LookedUp:
    """A target that has been measured already."""

    dataset: Dataset

    @property
    def configurations(self) -> pd.DataFrame:
        return self.dataset.configurations

    def take(self, rows: "NDArray[np.int64]") -> Dataset:
        return self.dataset.take(rows)

    def others(self, rows: "NDArray[np.int64]") -> Dataset | None:
        rest = np.setdiff1d(np.arange(len(self.dataset)), rows)
        return self.dataset.take(rest) if len(rest) else None


@dataclass(frozen=True)
class _MeasuredNow:
    """A target whose rows are measured when they are taken."""

    configurations: pd.DataFrame
    rig: "Rig"
    campaign: "Campaign"
    store: Store

    def take(self, rows: "NDArray[np.int64]") -> Dataset:
        from perfport.data.assembly import dataset_of
        from perfport.measure.campaign import Remeasure, measure_configurations
        from perfport.report.progress import MeasuringProgress

        with MeasuringProgress(err, "measuring") as shown:
            made = measure_configurations(
                self.rig,
                self.configurations.iloc[rows],
                self.store,
                protocol=self.campaign.protocol,
                campaign=self.campaign.name,
                meters=self.campaign.meters,
                remeasure=Remeasure(self.campaign.worst_kept, self.campaign.remeasure),
                seed=self.campaign.seed,
                progress=shown,
            )
        if len(made) < len(rows):
            raise KeyboardInterrupt
        return dataset_of(made, space=self.rig.space, properties=self.store.properties(self.rig.environment))

    def others(self, rows: "NDArray[np.int64]") -> Dataset | None:
        return None


@dataclass(frozen=True)
class Measured:
    """Where environments are looked up: in tables, or in a store, of which a campaign or protocol may be meant."""

    where: str
    held: SystemTables | Store
    campaign: str | None = None
    protocol: str | None = None

    def dataset(self, name: str) -> Dataset:
        """Return one environment.

        Raises:
            UsageError: If there is no such environment.
        """
        if isinstance(self.held, SystemTables):
            return self.held.environments[name]
        return self.held.dataset(name, campaign=self.campaign, protocol=self.protocol)

    def pool(self, target: str, *, campaign: Path | None, seed: int) -> Pool:
        """Return the target configurations to choose from: those looked up, or those of a rig to be measured.

        Raises:
            UsageError: If the campaign has no such environment, or there is no store to measure into.
        """
        if campaign is None:
            return _LookedUp(self.dataset(target))
        if isinstance(self.held, SystemTables):
            raise UsageError(f"{self.where} holds tables, which cannot be measured into; give a store with --data")
        rig, spec = rig_of_campaign(campaign, target)
        return _MeasuredNow(candidates(rig.space, seed), rig, spec, self.held)


@contextmanager
def measured_environments(
    data: str, *, create: bool = False, campaign: str | None = None, protocol: str | None = None
) -> Iterator[Measured]:
    """Open a folder of tables or a store.

    Args:
        data: A folder with a datacard, a database file, or a database URL.
        create: Make the store if it does not exist.
        campaign: Only measurements of it.
        protocol: Only measurements under it.

    Raises:
        UsageError: If a campaign or protocol is given for tables.
    """
    if Path(data).is_dir():
        given = next((flag for flag, name in (("campaign", campaign), ("protocol", protocol)) if name), None)
        if given is not None:
            raise UsageError(f"--{given} was given, but {data} holds tables, not a store; leave it out")
        yield Measured(data, read_tables(data))
        return
    with Store.open(data) if create else store_to_read(data) as store:
        yield Measured(data, store, campaign, protocol)


def store_to_read(where: str) -> Store:
    """Open a store that is there and is only read.

    Raises:
        StoreUsageError: If it is not there or holds nothing.
        StoreError: If it cannot be read.
    """
    path = Path(where)
    if path.is_file() and not path.stat().st_size:
        raise StoreUsageError(
            f"{where}: the file is empty; `perfport measure` or `perfport import` makes a store", path=path
        )
    return Store.open(where, create=False, read_only=True)


def rig_of_campaign(path: Path, environment: str) -> "tuple[Rig, Campaign]":
    """Return the rig of one environment of a campaign, and the campaign.

    Raises:
        UsageError: If the campaign has no such environment.
    """
    from perfport.measure.campaign.spec import Campaign, rig_of

    campaign = Campaign.read(path)
    for spec in campaign.environments:
        if spec.name == environment:
            return rig_of(spec, space=campaign.space), campaign
    names = ", ".join(spec.name for spec in campaign.environments)
    raise UsageError(f"{path}: no environment '{environment}'; the campaign has {names}")


def rig_of_target(path: Path, target: Dataset) -> "tuple[Rig, Campaign]":
    """Return the rig of the environment that a model's target rows are of, and its campaign.

    Raises:
        UsageError: If the campaign has no such environment, or one of that name with other facts or options.
    """
    rig, campaign = rig_of_campaign(path, target.environment.name)
    ours, theirs = target.space.names, rig.space.names
    differences = [
        *(f"option {name} (of the model only)" for name in ours if name not in theirs),
        *(f"option {name} (of the campaign only)" for name in theirs if name not in ours),
        *map(str, target.environment.diff(rig.environment)),
    ]
    if differences:
        more = f" and {len(differences) - SHOWN_DIFFERENCES} more" if len(differences) > SHOWN_DIFFERENCES else ""
        raise UsageError(
            f"{path}: environment '{target.environment.name}' is not the one the model is of; they differ in "
            f"{', '.join(differences[:SHOWN_DIFFERENCES])}{more}; measure where the model is of, or transfer it",
            differences=differences,
        )
    return rig, campaign


def left_out(space: Space, allowed: "Allowed | None", seed: int) -> "LeftOut | None":
    """Return how many configurations may not be recommended; None if nothing failed."""
    from perfport.advise.recommendation.feasible import LeftOut

    if allowed is None:
        return None
    pool = candidates(space, seed)
    size = space.size()
    return LeftOut(int(np.sum(~allowed(pool))), len(pool), is_sample=size is None or size > MAX_POOL)


def candidates(space: Space, seed: int) -> pd.DataFrame:
    """Return every valid configuration of a space, or enough of them drawn at random."""
    size = space.size()
    if size is not None and size <= MAX_POOL:
        return pd.concat(list(space.enumerate()), ignore_index=True)
    return space.sample(MAX_POOL, rng_for(seed, "candidates"))


def parse_pairs(given: Sequence[str], flag: str) -> dict[str, str]:
    """Return NAME=VALUE texts as a dict.

    Raises:
        UsageError: If one has no equals sign or no name.
    """
    pairs = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise UsageError(f"{flag} '{text}': expected NAME=VALUE")
        pairs[name] = value
    return pairs


def parse_settings(given: Sequence[str], space: Space) -> dict[str, Level]:
    """Return OPTION=LEVEL texts as levels of a space; the levels are checked later, with the whole configuration.

    Raises:
        SpaceError: If the space has no such option.
        UsageError: If a text is no OPTION=LEVEL.
    """
    return {name: _level(space, name, text) for name, text in parse_pairs(given, "--set").items()}


def _level(space: Space, name: str, text: str) -> Level:
    levels = space.option(name).levels or ()
    for level in levels:
        if str(level) == text:
            return level
    # YAML knows numbers and booleans as people write them ("2", "1e9", "true", "off").
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        # Such as "[" and "2024-13-45": a text of no option with levels, which are named where it is checked.
        return text
    return value if isinstance(value, bool | int | float | str) else text
