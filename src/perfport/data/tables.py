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

import numpy as np
import pandas as pd

from perfport.data.cells import CsvTable, level_parser, lossless_column, number, read_csv
from perfport.data.dataset import Dataset, StatusArray
from perfport.data.environment import FACETS, Environment, Fact
from perfport.data.folding import fold_replicates, row_groups
from perfport.data.measurement import FloatArray, Property, Status, unit_of
from perfport.data.schema import CARD_FILE, Card, EnvironmentCard, ObjectiveCard, OptionCard, RangeCard, read_card
from perfport.errors import SpaceError, TableError, UsageError
from perfport.space.columns import INACTIVE, column_of
from perfport.space.options import Level, Option
from perfport.space.space import Space

__all__ = ["Environments", "SystemTables", "UnknownEnvironmentError", "environment_of", "read_tables"]

# More numbers than this are a range, unless the card lists them (clock tables have up to about 50 steps).
_MOST_LISTED_FLOATS = 64


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
        if name not in self._cards:
            close = get_close_matches(str(name), self._cards, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise UnknownEnvironmentError(
                f"{self._folder / CARD_FILE}: no environment '{name}'; it has {', '.join(self._cards)}{hint}", name=name
            )
        if name not in self._read:
            self._read[name] = _read_environment(self._folder, self._card, self._cards[name], self._space)
        return self._read[name]

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
        metadata: What the card says beyond its schema (source, licence, known defects).
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
    for item in card.environments:
        _file_of(root, item)
    _check_distinct(root, card)
    space = _space_of(root, card)
    return SystemTables(
        name=card.system,
        title=card.title,
        space=space,
        properties={item.name: _property_of(item) for item in card.objectives},
        environments=Environments(root, card, space),
        index_column=card.index_column or "",
        metadata=card.metadata,
    )


def environment_of(system: str, card: EnvironmentCard) -> Environment:
    """Return the environment a card describes.

    A text is filed as the fact `name`; the software facet also names the system, so that two systems
    measured on the same device are two environments. A card that states nothing is told apart by name.
    """
    facets: dict[str, dict[str, Fact]] = {}
    for facet in FACETS:
        stated = getattr(card, facet)
        facets[facet] = {"name": stated} if isinstance(stated, str) else dict(stated or {})
    if not isinstance(card.software, dict):
        facets["software"] = {"system": system, **facets["software"]}
    if all(getattr(card, facet) is None for facet in FACETS):
        facets["workload"] = {"environment": card.name}
    return Environment(card.name, **facets)


def _check_distinct(root: Path, card: Card) -> None:
    seen: dict[str, str] = {}
    for item in card.environments:
        fingerprint = environment_of(card.system, item).fingerprint
        if fingerprint in seen:
            raise TableError(
                f"{root / CARD_FILE}: environments '{seen[fingerprint]}' and '{item.name}' state the same hardware, "
                "network, workload and software; state in what they differ",
                file=root / CARD_FILE,
            )
        seen[fingerprint] = item.name


def _file_of(root: Path, card: EnvironmentCard) -> Path:
    path = root / card.file
    if not path.resolve().is_relative_to(root.resolve()):
        raise TableError(
            f"{root / CARD_FILE}: environment '{card.name}': file '{card.file}' is outside the folder; "
            "a card may only name files beside it",
            file=root / CARD_FILE,
        )
    return path


def _property_of(card: ObjectiveCard) -> Property:
    unit = unit_of(card.name) if card.unit is None else card.unit
    return Property(card.name, unit, card.direction, card.description)


def _space_of(root: Path, card: Card) -> Space:
    """Return the space of a card, with the levels found in the files where the card lists none."""
    open_options = [item for item in card.options if _needs_files(item)]
    found = _levels_found(root, card, open_options) if open_options else {}
    try:
        return Space(
            options=[_option_of(item, found.get(item.name)) for item in card.options],
            conditions=[item.model_dump() for item in card.conditions],
            forbidden=list(card.forbidden),
            constraints=list(card.constraints),
            constants=dict(card.constants),
            name=card.system,
        )
    except SpaceError as error:
        raise TableError(f"{root / CARD_FILE}: {error}", file=root / CARD_FILE, **error.details) from error


def _needs_files(card: OptionCard) -> bool:
    if card.type == "boolean" or isinstance(card.values, tuple):
        return False
    # A range is enough for a number; an ordinal option's levels are steps, and which ones only the files say.
    return not isinstance(card.values, RangeCard) or card.type == "ordinal" or card.values.min == card.values.max


def _levels_found(root: Path, card: Card, options: Sequence[OptionCard]) -> dict[str, list[Level]]:
    texts: dict[str, set[str]] = {item.name: set() for item in options}
    for environment in card.environments:
        table = read_csv(_file_of(root, environment))
        for item in options:
            texts[item.name].update(table.column(item.name, "an option of the card"))
    return {item.name: _sorted_levels(root, item, texts[item.name] - {""}) for item in options}


def _sorted_levels(root: Path, card: OptionCard, texts: set[str]) -> list[Level]:
    if not texts:
        raise TableError(
            f"{root / CARD_FILE}: option '{card.name}': no level in any file; list its values", option=card.name
        )
    numbers = {text: number(text) for text in texts}
    wrong = sorted(text for text, value in numbers.items() if value is None)
    if card.type == "categorical":
        # Text even if it looks like numbers: the card says the levels have no order.
        return sorted(texts)
    if wrong:
        raise TableError(
            f"{root / CARD_FILE}: option '{card.name}' is {card.type}, but a file holds '{wrong[0]}'; "
            "list its values in order, or make it categorical",
            option=card.name,
        )
    levels = sorted({value for value in numbers.values() if value is not None})
    limits = card.values
    if isinstance(limits, RangeCard) and not limits.min <= levels[0] <= levels[-1] <= limits.max:
        outside = levels[0] if levels[0] < limits.min else levels[-1]
        raise TableError(
            f"{root / CARD_FILE}: option '{card.name}': a file holds {outside}, "
            f"the card says {limits.min} to {limits.max}",
            option=card.name,
        )
    return list(levels)


def _option_of(card: OptionCard, found: list[Level] | None) -> Option:
    fields: dict[str, Any] = card.model_dump(
        include={"name", "type", "description", "unit", "group", "scale", "owner", "default"}
    )
    values = card.values
    if isinstance(values, tuple):
        fields["values"] = values
    elif found is not None and card.type in ("float", "integer") and len(found) > _MOST_LISTED_FLOATS:
        fields |= {"lower": found[0], "upper": found[-1]}
    elif found is not None:
        fields["values"] = tuple(found)
    elif isinstance(values, RangeCard):
        fields |= {"lower": values.min, "upper": values.max}
    return Option(**fields)


def _read_environment(root: Path, card: Card, item: EnvironmentCard, space: Space) -> Dataset:
    table = read_csv(_file_of(root, item))
    if item.rows is not None and len(table) != item.rows:
        raise TableError(
            f"{table.path}: {len(table)} rows, the card says {item.rows}; the file is cut off or the card is old",
            file=table.path,
        )
    status = _status_column(table, card)
    columns = {option.name: _level_column(table, option, _may_be_inactive(card, option)) for option in space.options}
    configurations = pd.DataFrame(columns, index=range(len(table)))
    responses = {known.name: _response_column(table, known, status) for known in card.objectives}
    dataset = Dataset(
        space=space,
        environment=environment_of(card.system, item),
        properties={known.name: _property_of(known) for known in card.objectives},
        configurations=configurations,
        responses=responses,
        status=status,
        log_se={
            known.name: _number_column(table, known.log_se_column, f"standard error of '{known.name}'")
            for known in card.objectives
        },
        cost_s=_number_column(table, card.cost_column, "cost in seconds"),
        notes=_notes(table, card),
    )
    _check_valid(table, dataset)
    return _without_replicates(table, dataset, declared=card.repetition_column is not None)


def _may_be_inactive(card: Card, option: Option) -> bool:
    return any(condition.option == option.name for condition in card.conditions)


def _level_column(table: CsvTable, option: Option, may_be_inactive: bool) -> "pd.Series[Any]":
    texts = table.column(option.name, "an option of the card")
    parse = level_parser(option)
    # OPTIM: parsed once a distinct text, not once a cell; tables have few levels and many rows.
    levels = {text: parse(text) for text in set(texts)}
    if None in levels.values():
        for row, text in enumerate(texts):
            if levels[text] is None and not (text == "" and may_be_inactive):
                shown = f"'{text}' is not a level" if text else "no level"
                table.fail(row, f"option '{option.name}': {shown}; {option.allowed}")
    if option.levels is None:
        numbers = {text: np.nan if level is None else float(level) for text, level in levels.items()}
        return column_of(option, np.array([numbers[text] for text in texts], dtype=np.float64))
    codes = {text: option.code(level) for text, level in levels.items()}
    positions = {text: INACTIVE if code is None else code for text, code in codes.items()}
    return column_of(option, np.array([positions[text] for text in texts], dtype=np.int32))


def _status_column(table: CsvTable, card: Card) -> StatusArray:
    if card.outcome_column is None:
        return np.full(len(table), Status.OK.value, dtype="U9")
    texts = table.column(card.outcome_column, "how the row ended")
    known = {str(status) for status in Status}
    for row, text in enumerate(texts):
        if text not in known:
            table.fail(row, f"{card.outcome_column} '{text}' is not one of {', '.join(Status)}")
    return np.array(texts, dtype="U9")


def _response_column(table: CsvTable, card: ObjectiveCard, status: StatusArray) -> FloatArray:
    """Return the responses, shape (n,); NaN only where a row is not ok or the card allows an empty cell."""
    texts = table.column(card.name, "an objective of the card")
    values = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        if text == "" and (card.may_be_absent or status[row] != Status.OK.value):
            continue
        values[row] = _response(table, row, card.name, text)
    return values


def _response(table: CsvTable, row: int, label: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        table.fail(row, f"{label} is {f'the text {text!r}' if text else 'empty'}; it must be a number")
    if not 0 <= value < np.inf:
        table.fail(row, f"{label} is {text}; it must be finite and not negative")
    return value


def _number_column(table: CsvTable, name: str | None, role: str) -> FloatArray:
    if name is None:
        return np.full(len(table), np.nan)
    texts = table.column(name, role)
    return np.array([np.nan if text == "" else _response(table, row, name, text) for row, text in enumerate(texts)])


def _notes(table: CsvTable, card: Card) -> pd.DataFrame | None:
    read = {option.name for option in card.options} | {known.name for known in card.objectives}
    read |= {known.log_se_column for known in card.objectives if known.log_se_column}
    read |= {card.special_columns.get(role, "") for role in ("repetition", "outcome", "cost", "reason")}
    columns = {name: lossless_column(texts) for name, texts in table.columns.items() if name not in read}
    for role in ("index", "repetition"):
        if role in card.special_columns:
            table.column(card.special_columns[role], f"the {role} column of the card")
    if card.reason_column is not None:
        columns["reason"] = pd.Series(table.column(card.reason_column, "why a row is not ok"), dtype="str")
    return pd.DataFrame(columns) if columns else None


def _check_valid(table: CsvTable, dataset: Dataset) -> None:
    """Refuse rows that the card says cannot run, but that did."""
    ok = dataset.status == Status.OK.value
    if not ok.all() or len(dataset.space.conditions) or len(dataset.space.forbidden) or len(dataset.space.constraints):
        broken = np.flatnonzero(ok & ~dataset.space.is_valid(dataset.configurations))
        if len(broken):
            row = int(broken[0])
            configuration = dict(zip(dataset.space.names, dataset.configurations.iloc[row], strict=True))
            table.fail(
                row, f"is ok, but the card does not allow it: {'; '.join(dataset.space.violations(configuration))}"
            )


def _without_replicates(table: CsvTable, dataset: Dataset, *, declared: bool) -> Dataset:
    if declared:
        return fold_replicates(dataset)
    kept = []
    for rows in row_groups(dataset.configurations):
        kept.append(rows[0])
        for row in rows[1:]:
            for name, values in dataset.responses.items():
                if not np.array_equal(values[[rows[0]]], values[[row]], equal_nan=True):
                    table.fail(
                        int(row),
                        f"the configuration of row {rows[0] + 1} again, with another {name} "
                        f"({values[row]} and {values[rows[0]]}); name a repetition_column in the card to fold repeats",
                    )
    return dataset if len(kept) == len(dataset) else dataset.take(kept)
