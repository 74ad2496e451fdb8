"""From datasets to a folder of tables: the card and one CSV file an environment."""

import gzip
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from perfport.data.cells import level_text
from perfport.data.dataset import Dataset
from perfport.data.environment import FACETS, Environment
from perfport.data.files import replaced_when_whole, sync
from perfport.data.folding import configuration_numbers
from perfport.data.frames import levels_of
from perfport.data.measurement import Property, Status
from perfport.data.schema import CARD_FILE, card_text, check_metadata, read_card
from perfport.errors import TableError
from perfport.space.options import Option

__all__ = ["TableFolder", "is_in_use"]

_NEEDS_QUOTES = re.compile(r'[",\r\n]')


def is_in_use(folder: Path) -> bool:
    """Return whether something stands where tables would go."""
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


@dataclass(frozen=True)
class TableFolder:
    """What a folder of tables will hold; the datasets share their space and their properties.

    Attributes:
        name: Name of the system.
        title: What it is, in a line.
        datasets: One an environment.
        index_column: The column of the notes that identifies a row, "" if there is none.
        metadata: What else the card shall say.
    """

    name: str
    title: str
    datasets: Sequence[Dataset]
    index_column: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path, *, overwrite: bool, compress: bool) -> None:
        """Write all files, each whole or not at all, the card last.

        Raises:
            TableError: If the folder is in use, something cannot be expressed in a table, or the disk refuses.
        """
        if not overwrite and is_in_use(folder):
            raise TableError(
                f"{folder}: exists and is not empty; give another folder, or overwrite=True", folder=folder
            )
        names = _file_names([dataset.environment.name for dataset in self.datasets], ".csv.gz" if compress else ".csv")
        columns = _Columns.of(self.datasets)
        card = card_text(self._card(columns, names))
        files = {
            name: columns.csv_text(dataset, self.index_column)
            for name, dataset in zip(names, self.datasets, strict=True)
        }
        try:
            if folder.is_dir() and any(folder.iterdir()):
                _replace_files(folder, files, card)
            else:
                _make_folder(folder, files, card)
        except OSError as error:
            raise TableError(f"{folder}: cannot be written: {error.strerror or error}", folder=folder) from error

    def _card(self, columns: "_Columns", names: Sequence[str]) -> dict[str, Any]:
        space, datasets = self.datasets[0].space, self.datasets
        check_metadata(self.metadata)
        card: dict[str, Any] = {"system": self.name, "title": self.title, **self.metadata}
        card["index_column"] = self.index_column or None
        card |= {f"{role}_column": column for role, column in columns.special.items()}
        card["options"] = [_option_card(option) for option in space.options]
        card["conditions"] = [condition.model_dump() for condition in space.conditions]
        card |= {"forbidden": list(space.forbidden), "constraints": list(space.constraints)}
        card["constants"] = dict(space.constants)
        card["objectives"] = [
            _objective_card(declared, datasets, columns.log_se.get(name))
            for name, declared in datasets[0].properties.items()
        ]
        card["environments"] = [
            {"name": dataset.environment.name, "file": name, "rows": len(dataset)}
            | _facet_cards(self.name, dataset.environment)
            for name, dataset in zip(names, datasets, strict=True)
        ]
        return {key: value for key, value in card.items() if value not in (None, [], {})}


@dataclass(frozen=True)
class _Columns:
    """The columns beside options and responses; the same in all files, as one card describes them.

    Each takes its usual name, or one like it where an option or a property has that name.
    """

    special: Mapping[str, str]
    log_se: Mapping[str, str]
    notes: Mapping[str, str]

    @classmethod
    def of(cls, datasets: Sequence[Dataset]) -> "_Columns":
        first = datasets[0]
        taken = {*first.space.names, *first.properties}
        noted = [str(name) for dataset in datasets if dataset.notes is not None for name in dataset.notes.columns]
        notes = {name: _free(name, taken) for name in dict.fromkeys(noted)}
        special: dict[str, str] = {}
        if any((dataset.status != Status.OK.value).any() for dataset in datasets):
            special["outcome"] = _free("status", taken)
        if any(np.isfinite(dataset.cost_s).any() for dataset in datasets):
            special["cost"] = _free("cost_s", taken)
        if "reason" in notes:
            special["reason"] = notes["reason"]
        known = [
            name for name in first.properties if any(np.isfinite(dataset.log_se[name]).any() for dataset in datasets)
        ]
        return cls(special, {name: _free(f"{name}_log_se", taken) for name in known}, notes)

    def csv_text(self, dataset: Dataset, index_column: str) -> str:
        """Return the CSV of one dataset."""
        _check_no_replicates(dataset)
        columns = dict(self._texts(dataset))
        if index_column:
            if self.notes.get(index_column) != index_column or index_column not in columns:
                name = dataset.environment.name
                raise TableError(f"environment '{name}': the notes have no index column '{index_column}'")
            columns = {index_column: columns[index_column]} | columns
        rows = (columns.keys(), *zip(*columns.values(), strict=True))
        return "".join(",".join(map(_quoted, row)) + "\n" for row in rows)

    def _texts(self, dataset: Dataset) -> Iterator[tuple[str, list[str]]]:
        for option in dataset.space.options:
            yield option.name, _level_texts(option, dataset)
        for name, values in dataset.responses.items():
            yield name, _number_texts(values)
        for name, column in self.log_se.items():
            yield column, _number_texts(dataset.log_se[name])
        if "outcome" in self.special:
            yield self.special["outcome"], dataset.status.tolist()
        if "cost" in self.special:
            yield self.special["cost"], _number_texts(dataset.cost_s)
        notes = pd.DataFrame(index=range(len(dataset))) if dataset.notes is None else dataset.notes
        if "reason" in self.special and "reason" not in notes:
            yield self.special["reason"], [""] * len(dataset)
        for name in notes.columns:
            yield self.notes[str(name)], [_note_text(value) for value in notes[name].tolist()]


def _quoted(text: str) -> str:
    # csv.writer leaves a lone carriage return bare, which every reader takes for the end of the row.
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def _free(wanted: str, taken: set[str]) -> str:
    name = wanted
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _check_no_replicates(dataset: Dataset) -> None:
    numbers = configuration_numbers(dataset.configurations)
    counts = np.bincount(numbers)
    if (counts > 1).any():
        again = np.flatnonzero(numbers == np.argmax(counts > 1))
        raise TableError(
            f"environment '{dataset.environment.name}': rows {again[0]} and {again[1]} are the same configuration; "
            "fold replicates first, see perfport.data.folding.fold_replicates",
            rows=again.tolist(),
        )


def _level_texts(option: Option, dataset: Dataset) -> list[str]:
    levels = levels_of(option, dataset.configurations[option.name])
    texts = {level: "" if level is None else level_text(option, level) for level in dict.fromkeys(levels)}
    if len(set(texts.values())) < len(texts):
        raise TableError(
            f"option '{option.name}': two of its levels would be the same text in a table "
            f"({', '.join(map(repr, texts))}); rename one"
        )
    return [texts[level] for level in levels]


def _number_texts(values: Iterable[float]) -> list[str]:
    # repr is the shortest text that reads back as the same float.
    return ["" if value != value else repr(float(value)) for value in values]  # noqa: PLR0124  # NaN only


def _note_text(value: object) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value)  # noqa: PLR0124  # NaN only


def _option_card(option: Option) -> dict[str, Any]:
    card = option.model_dump(mode="json", exclude_defaults=True, exclude={"values", "lower", "upper"})
    if option.values is not None:
        card["values"] = list(option.values)
    elif option.lower is not None:
        card["values"] = {"min": option.lower, "max": option.upper}
    return card


def _objective_card(declared: Property, datasets: Sequence[Dataset], log_se_column: str | None) -> dict[str, Any]:
    card: dict[str, Any] = {"name": declared.name, "unit": declared.unit, "direction": declared.direction}
    if declared.description:
        card["description"] = declared.description
    if log_se_column is not None:
        card["log_se_column"] = log_se_column
    values = [(dataset.status == Status.OK.value) & np.isnan(dataset.responses[declared.name]) for dataset in datasets]
    if any(absent.any() for absent in values):
        card["may_be_absent"] = True
    return card


def _facet_cards(system: str, environment: Environment) -> dict[str, Any]:
    """Return the facets so that `table_space.environment_of` reads them back: as text where they are one."""
    cards: dict[str, Any] = {}
    for facet in FACETS:
        facts = dict(getattr(environment, facet))
        rest = {name: fact for name, fact in facts.items() if (name, fact) != ("system", system)}
        is_named = list(rest) == ["name"] and isinstance(rest["name"], str)
        if is_named and (facet == "software") == (len(rest) < len(facts)):
            cards[facet] = rest["name"]
        elif facts or facet == "software":
            cards[facet] = facts
    return cards


def _file_names(environments: Sequence[str], ending: str) -> list[str]:
    """Return a file name an environment: its name, without what file systems dislike."""
    taken: set[str] = {CARD_FILE}
    names = []
    for environment in environments:
        stem = re.sub(r"[^A-Za-z0-9._+-]+", "_", environment).lstrip(".")[:120] or "environment"
        # File systems that ignore case would let one file overwrite another.
        number, name = 1, stem + ending
        while name.lower() in taken:
            number += 1
            name = f"{stem}_{number}{ending}"
        taken.add(name.lower())
        names.append(name)
    return names


def _content(name: str, text: str) -> bytes:
    content = text.encode("utf-8")
    # No time stamp in the file: the same measurements give the same bytes.
    return gzip.compress(content, mtime=0) if name.endswith(".gz") else content


def _make_folder(folder: Path, files: Mapping[str, str], card: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        for name, text in (*files.items(), (CARD_FILE, card)):
            (part / name).write_bytes(_content(name, text))
            sync(part / name)
        part.chmod(0o777 & ~_umask())  # mkdtemp makes private folders
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _replace_files(folder: Path, files: Mapping[str, str], card: str) -> None:
    old = _files_of_old_card(folder)
    for name, text in (*files.items(), (CARD_FILE, card)):
        with replaced_when_whole(folder / name) as part:
            part.write_bytes(_content(name, text))
    for name in old - set(files):
        (folder / name).unlink(missing_ok=True)


def _files_of_old_card(folder: Path) -> set[str]:
    """Return the files beside an old card that belong to it; none if it cannot be read."""
    try:
        named = {item.file for item in read_card(folder).environments}
    except TableError:
        return set()
    return {name for name in named if Path(name).name == name}
