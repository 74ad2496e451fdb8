"""Tables: the exchange format, a folder with `datacard.yaml` and one CSV file an environment.

Reading checks everything the card promises and says which row of which file breaks it. An
environment's file is read when the environment is first asked for, so a folder of thirty devices
costs as much as the two that are used.

Example:
    >>> tables = read_tables("measurements/opml19_xception_tx2")  # doctest: +SKIP
    >>> tables.environments["tx2_xception_200"].responses["inference_time_s"]  # doctest: +SKIP
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from perfport.data.dataset import Dataset
from perfport.data.measurement import Property
from perfport.data.schema import CARD_FILE, Card, EnvironmentCard, read_card
from perfport.data.table_reader import read_environment
from perfport.data.table_space import check_environments, property_of, space_of
from perfport.data.table_writer import TableFolder
from perfport.errors import TableError, UsageError
from perfport.space.space import Space

__all__ = ["Environments", "SystemTables", "UnknownEnvironmentError", "read_tables", "write_tables"]


class UnknownEnvironmentError(UsageError, KeyError):
    """An environment that the tables do not have; a `KeyError` too, so that mappings behave as expected."""

    __str__ = Exception.__str__


class Environments(Mapping[str, Dataset]):
    """Name -> dataset; each is read when first asked for, and kept."""

    def __init__(self, folder: Path, card: Card, space: Space) -> None:
        self._folder = folder
        self._card = card
        self._space = space
        self._cards = {item.name: item for item in card.environments}
        self._read: dict[str, Dataset] = {}

    def __getitem__(self, name: str) -> Dataset:
        if name not in self._read:
            self._read[name] = read_environment(self._folder, self._card, self._card_of(name), self._space)
        return self._read[name]

    def readings(self, name: str) -> Dataset:
        """Return an environment with one row a repetition, as its file has them."""
        if self._card.repetition_column is None:
            return self[name]
        return read_environment(self._folder, self._card, self._card_of(name), self._space, is_folded=False)

    def _card_of(self, name: str) -> EnvironmentCard:
        if name not in self._cards:
            close = get_close_matches(str(name), self._cards, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise UnknownEnvironmentError(
                f"{self._folder / CARD_FILE}: no environment '{name}'; it has {', '.join(self._cards)}{hint}", name=name
            )
        return self._cards[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cards)

    def __len__(self) -> int:
        return len(self._cards)

    def __contains__(self, name: object) -> bool:
        return name in self._cards  # without reading the file

    def __repr__(self) -> str:
        return f"<environments {', '.join(self._cards)}>"


@dataclass(frozen=True, eq=False)
class SystemTables:
    """The measurements of one system in several environments.

    Attributes:
        name: Name of the system.
        title: What it is, in a line.
        space: Its options; the same for all environments.
        properties: Name -> property; the same for all environments.
        environments: Name -> dataset.
        index_column: The column of the notes that identifies a row, "" if there is none.
        metadata: What the card says for people (source, licence, known defects, notes).
    """

    name: str
    title: str
    space: Space
    properties: Mapping[str, Property]
    environments: Mapping[str, Dataset]
    index_column: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, datasets: Sequence[Dataset], *, title: str = "") -> "SystemTables":
        """Bring datasets of one system together, for `write_tables`.

        Raises:
            TableError: If there is none, or spaces, properties, units or names of environments clash.
        """
        if not datasets:
            raise TableError("tables need at least one dataset; none was given")
        first = datasets[0]
        for other in datasets[1:]:
            here, there = first.environment.name, other.environment.name
            if other.space != first.space:
                raise TableError(f"environments '{here}' and '{there}' have different spaces; align them first")
            if dict(other.properties) != dict(first.properties):
                mine, theirs = (sorted(f"{p.name} in {p.unit}" for p in d.properties.values()) for d in (first, other))
                raise TableError(f"environments '{here}' and '{there}' have different properties: {mine} and {theirs}")
        environments = {dataset.environment.name: dataset for dataset in datasets}
        if len(environments) < len(datasets):
            names = [dataset.environment.name for dataset in datasets]
            twice = next(name for name in names if names.count(name) > 1)
            raise TableError(f"two datasets are of an environment called '{twice}'; join them or rename one")
        return cls(name, title, first.space, first.properties, environments)

    def readings(self, environment: str) -> Dataset:
        """Return one environment with one row a repetition, where the tables number repetitions."""
        held = self.environments
        return held.readings(environment) if isinstance(held, Environments) else held[environment]

    def __repr__(self) -> str:
        return f"<SystemTables '{self.name}': {len(self.space.names)} options, {len(self.environments)} environments>"


def read_tables(folder: str | Path) -> SystemTables:
    """Read a folder of measurements: its card now, each environment's file when it is asked for.

    Args:
        folder: Holds `datacard.yaml` (see `perfport.data.schema.Card`) and the CSV files it names.

    Raises:
        TableError: If the card is missing, is no card, or contradicts the files; names file and row.
            What is wrong in an environment's file is raised when that environment is first used.
    """
    root = Path(folder)
    card = read_card(root)
    check_environments(root, card)
    space = space_of(root, card)
    return SystemTables(
        name=card.system,
        title=card.title,
        space=space,
        properties={item.name: property_of(item) for item in card.objectives},
        environments=Environments(root, card, space),
        index_column=card.index_column or "",
        metadata=card.metadata,
    )


def write_tables(folder: str | Path, tables: SystemTables, *, overwrite: bool = False, compress: bool = False) -> None:
    """Write measurements as a folder that `read_tables` reads back equal, to the last digit.

    Files are complete or absent at any moment: a new folder appears at once, in an old one each file
    is replaced whole and the card last.

    Args:
        folder: Must not exist or be empty, unless `overwrite` is given.
        tables: What `read_tables` returned or `SystemTables.of` made.
        overwrite: Replace the tables in the folder; files the old card does not name are left alone.
        compress: Write `.csv.gz` files.

    Raises:
        TableError: If the folder is in use, something cannot be expressed in a table, or the disk refuses.
    """
    checked = SystemTables.of(tables.name, list(tables.environments.values()))
    datasets = list(checked.environments.values())
    TableFolder(tables.name, tables.title, datasets, tables.index_column, tables.metadata).write(
        Path(folder), overwrite=overwrite, compress=compress
    )
