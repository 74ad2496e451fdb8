"""From one CSV file to one dataset, checking everything the card promises of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from perfport.data.cells import CsvTable, level_parser, lossless_column, read_csv
from perfport.data.dataset import Dataset, StatusArray
from perfport.data.folding import configuration_numbers, fold_replicates
from perfport.data.measurement import FloatArray, Status
from perfport.data.schema import Card, EnvironmentCard, ObjectiveCard
from perfport.data.table_space import environment_of, file_of, property_of
from perfport.errors import TableError
from perfport.space.columns import INACTIVE, column_of
from perfport.space.options import Option
from perfport.space.space import Space

__all__ = ["read_environment"]


def read_environment(root: Path, card: Card, item: EnvironmentCard, space: Space, *, is_folded: bool = True) -> Dataset:
    """Read the file of one environment.

    Args:
        root: Folder of the card.
        card: The whole card.
        item: The environment's part of it.
        space: The space of the card.
        is_folded: Whether the repetitions that the card numbers become one row; otherwise each is one.

    Raises:
        TableError: If the file is not what the card says; names file and row.
    """
    table = read_csv(file_of(root, item))
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
        properties={known.name: property_of(known) for known in card.objectives},
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
    if card.repetition_column is not None:
        return fold_replicates(dataset) if is_folded else dataset
    return _without_replicates(table, dataset)


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
        if "reason" in columns:
            text = f"column 'reason' is a note, but the card gives the reasons in '{card.reason_column}'; rename one"
            raise TableError(f"{table.path}: {text}", file=table.path)
        columns["reason"] = pd.Series(table.column(card.reason_column, "why a row is not ok"), dtype="str")
    return pd.DataFrame(columns) if columns else None


def _check_valid(table: CsvTable, dataset: Dataset) -> None:
    """Refuse a row that the card says cannot run, but that did."""
    space = dataset.space
    if not (space.conditions or space.forbidden or space.constraints):
        return
    broken = np.flatnonzero((dataset.status == Status.OK.value) & ~space.is_valid(dataset.configurations))
    if len(broken):
        row = int(broken[0])
        configuration = dict(zip(space.names, dataset.configurations.iloc[row], strict=True))
        table.fail(row, f"is ok, but the card does not allow it: {'; '.join(space.violations(configuration))}")


def _without_replicates(table: CsvTable, dataset: Dataset) -> Dataset:
    numbers = configuration_numbers(dataset.configurations)
    _, firsts = np.unique(numbers, return_index=True)
    if len(firsts) == len(dataset):
        return dataset
    again = np.setdiff1d(np.arange(len(dataset)), firsts)
    for row in again[np.argsort(numbers[again], kind="stable")]:
        first = firsts[numbers[row]]
        for name, values in dataset.responses.items():
            if not np.array_equal(values[[first]], values[[row]], equal_nan=True):
                table.fail(
                    int(row),
                    f"the configuration of row {first + 1} again, with another {name} "
                    f"({values[row]} and {values[first]}); name a repetition_column in the card to fold repeats",
                )
    return dataset.take(firsts)
