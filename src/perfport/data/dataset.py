"""A dataset: what is known about many configurations in one environment.

Everything above this room takes datasets and gives datasets: transfer, models, reports. A dataset is
frozen and validated when made, so an illegal one cannot exist, and it is only ever cut by `take`,
which keeps every column of a row together.

Example:
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"threads": [1, 2, 4], "inference_time_s": [0.9, 0.5, 0.4]})
    >>> dataset = Dataset.from_frame(frame, properties={"inference_time_s": "s"})
    >>> dataset.take([2, 0]).responses["inference_time_s"]
    array([0.4, 0.9])
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from perfport.data.environment import Environment
from perfport.data.frames import LevelProblem, check_column_names, infer_options, level_column, numbers_of
from perfport.data.measurement import FloatArray, Property, Status, unit_of
from perfport.errors import UsageError
from perfport.space.options import Option
from perfport.space.space import Space

__all__ = ["Dataset", "StatusArray"]

StatusArray = NDArray[np.str_]
_STATUSES = frozenset(str(status) for status in Status)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Configurations of one environment and how they did; n rows, one a configuration or a replicate.

    Two datasets are equal only if they are the same object; compare `key` to compare content. Arrays
    are read-only. The data frames are shared, not copied, by `take` and friends: do not write to them.

    Attributes:
        space: The options; `configurations` has one column for each, in the order of the space.
        environment: Where all rows were measured.
        properties: Name -> property; every response has one.
        configurations: Levels, shape (n, d), index 0 .. n-1; an inactive option is NaN or None.
        responses: Property name -> values, shape (n,), in the unit of the property; finite and not
            negative, or NaN where the row has none; of a row that timed out a lower bound. Zeros are
            kept as published (some tables mark failed runs by them).
        status: "ok", "invalid", "failed" or "timed_out" a row, shape (n,); "ok" if not given.
        log_se: Property name -> standard error of the logarithm of the response, shape (n,), NaN where
            it is not known; all NaN for properties not given.
        cost_s: Wall time the row took to measure, in seconds, shape (n,), NaN where not known.
        notes: Anything else about the rows, n rows; never read by a model.
    """

    space: Space
    environment: Environment
    properties: Mapping[str, Property]
    configurations: pd.DataFrame
    responses: Mapping[str, FloatArray]
    status: StatusArray = None  # type: ignore[assignment]  # filled in __post_init__, where n is known
    log_se: Mapping[str, FloatArray] = field(default_factory=dict)
    cost_s: FloatArray = None  # type: ignore[assignment]  # likewise
    notes: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        n = len(self.configurations)
        self._set("configurations", _checked_configurations(self.space, self.configurations))
        self._set("properties", MappingProxyType(dict(self.properties)))
        responses = {name: _column(f"response '{name}'", values, n) for name, values in self.responses.items()}
        self._set("responses", MappingProxyType(responses))
        self._set("status", _checked_status(self.status, n))
        log_se = {name: _column(f"log_se '{name}'", values, n) for name, values in self.log_se.items()}
        unknown = _constant(np.nan, n)
        self._set("log_se", MappingProxyType({name: unknown for name in responses} | log_se))
        self._set("cost_s", unknown if self.cost_s is None else _column("cost_s", self.cost_s, n))
        if self.notes is not None:
            self._set("notes", _checked_notes(self.notes, n))
        self._check_names()

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_names(self) -> None:
        if not self.responses:
            raise UsageError("a dataset needs at least one response; give responses={property: values}")
        for kind, names in (("response", self.responses), ("log_se", self.log_se)):
            unknown = sorted(set(names) - set(self.properties if kind == "response" else self.responses))
            if unknown:
                raise UsageError(f"{kind} '{unknown[0]}' belongs to no property; known are {_listed(self.properties)}")
        for name, declared in self.properties.items():
            if declared.name != name:
                raise UsageError(f"property '{declared.name}' is filed under the name '{name}'")
            if name not in self.responses:
                raise UsageError(f"property '{name}' has no responses; known are {_listed(self.responses)}")

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        properties: Mapping[str, str | Property] | Sequence[str | Property],
        options: Sequence[str | Option] | None = None,
        space: Space | None = None,
        environment: Environment | str = "unnamed",
    ) -> "Dataset":
        """Make a dataset from a hand-made frame that holds options and responses side by side.

        Args:
            frame: One row a configuration.
            properties: The columns that are responses: names (the unit is read from an ending such as
                `_s` or `_ms`), name -> unit, or `Property` objects.
            options: The columns that are options, as names (levels are those found) or `Option` objects;
                all columns that are no property if neither `options` nor `space` is given. Columns that
                are neither become notes.
            space: The space, instead of `options`.
            environment: Where it was measured, or just a name for it.

        Raises:
            UsageError: If a column is missing or named twice, or a level or a response is not legal; names the row.
        """
        check_column_names(frame)
        declared = _declared(properties)
        if options is not None and space is not None:
            raise UsageError("give options or space, not both")
        if space is None:
            chosen = options if options is not None else [name for name in frame.columns if name not in declared]
            space = Space(options=infer_options(frame, chosen))
        missing = [name for name in (*space.names, *declared) if name not in frame.columns]
        if missing:
            raise UsageError(f"the frame has no column '{missing[0]}'; its columns are {_listed(frame.columns)}")
        rest = [name for name in frame.columns if name not in declared and name not in set(space.names)]
        return cls(
            space=space,
            environment=Environment(environment) if isinstance(environment, str) else environment,
            properties=declared,
            configurations=frame[list(space.names)].reset_index(drop=True),
            responses={name: frame[name].to_numpy() for name in declared},
            notes=frame[rest].reset_index(drop=True) if rest else None,
        )

    def __len__(self) -> int:
        return len(self.configurations)

    def take(self, rows: ArrayLike) -> "Dataset":
        """Return the dataset of the given rows, in the given order.

        Args:
            rows: Row numbers, shape (m,), each in 0 .. n-1, or a boolean mask of shape (n,).

        Raises:
            UsageError: If a row number is out of range or not an integer.
        """
        index = _row_numbers(rows, len(self))
        part = object.__new__(Dataset)
        # OPTIM: the rows were validated when this dataset was made; validating them again would make
        # a cut cost as much as a read.
        for name, value in (
            ("space", self.space),
            ("environment", self.environment),
            ("properties", self.properties),
            ("configurations", self.configurations.take(index).reset_index(drop=True)),
            ("responses", _cut(self.responses, index)),
            ("status", _frozen(self.status[index])),
            ("log_se", _cut(self.log_se, index)),
            ("cost_s", _frozen(self.cost_s[index])),
            ("notes", None if self.notes is None else self.notes.take(index).reset_index(drop=True)),
        ):
            part._set(name, value)
        return part

    def with_rows_ok(self, property: str) -> "Dataset":
        """Return the rows that ended well and have a finite value of `property` (zeros included)."""
        return self.take(np.flatnonzero((self.status == Status.OK.value) & np.isfinite(self.response(property))))

    def response(self, property: str) -> FloatArray:
        """Return the responses of one property, shape (n,).

        Raises:
            UsageError: If the dataset has no such property; the message lists those it has.
        """
        if property not in self.responses:
            name = self.environment.name
            raise UsageError(f"environment '{name}' has no property '{property}'; it has {_listed(self.responses)}")
        return self.responses[property]

    def concat(self, *others: "Dataset") -> "Dataset":
        """Return the rows of this dataset and then those of `others`.

        Raises:
            UsageError: If spaces, environments (by fingerprint), property names or units differ.
        """
        parts = (self, *others)
        for other in others:
            self._check_joins(other)
        return Dataset(
            space=self.space,
            environment=self.environment,
            properties=self.properties,
            configurations=pd.concat([part.configurations for part in parts], ignore_index=True),
            responses={name: np.concatenate([part.responses[name] for part in parts]) for name in self.responses},
            status=np.concatenate([part.status for part in parts]),
            log_se={name: np.concatenate([part.log_se[name] for part in parts]) for name in self.responses},
            cost_s=np.concatenate([part.cost_s for part in parts]),
            notes=_joined_notes(parts),
        )

    def _check_joins(self, other: "Dataset") -> None:
        here, there = self.environment, other.environment
        if here.fingerprint != there.fingerprint:
            facts = "; ".join(map(str, here.diff(there)))
            raise UsageError(f"rows of environments '{here.name}' and '{there.name}' cannot be joined: {facts}")
        if self.space != other.space:
            mine, theirs = ({option.name: option for option in part.space.options} for part in (self, other))
            differing = [name for name in dict.fromkeys([*mine, *theirs]) if mine.get(name) != theirs.get(name)]
            what = f"options {_listed(differing)}" if differing else "their rules or names"
            raise UsageError(f"rows of two spaces cannot be joined; they differ in {what}")
        units = [{name: known.unit for name, known in part.properties.items()} for part in (self, other)]
        if units[0] != units[1]:
            raise UsageError(f"the properties or their units differ: {units[0]} and {units[1]}")

    @cached_property
    def key(self) -> str:
        """Sixteen hex digits over the content: environment, space, properties, rows in their order.

        Notes, descriptions and the names of environment and space do not count.
        """
        digest = hashlib.sha256()
        properties = {name: [known.unit, known.direction] for name, known in sorted(self.properties.items())}
        digest.update(json.dumps([self.environment.fingerprint, self.space.key, properties]).encode())
        for name in self.space.names:
            digest.update(_column_bytes(self.configurations[name]))
        for mapping in (self.responses, self.log_se):
            for name in sorted(mapping):
                digest.update(mapping[name].tobytes())
        digest.update(self.cost_s.tobytes())
        digest.update(",".join(self.status.tolist()).encode())
        return digest.hexdigest()[:16]

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes get datasets by pickle, which knows no mapping proxies and thaws arrays.
        fields = (self.space, self.environment, dict(self.properties), self.configurations, dict(self.responses))
        return Dataset, (*fields, self.status, dict(self.log_se), self.cost_s, self.notes)

    def __repr__(self) -> str:
        return (
            f"<Dataset '{self.environment.name}': {len(self)} rows, {len(self.space.names)} options, "
            f"properties {_listed(self.responses)}>"
        )

    def _repr_html_(self) -> str:
        head = self.configurations.head(5).assign(**{name: values[:5] for name, values in self.responses.items()})
        caption = repr(self)[1:-1].replace("&", "&amp;").replace("<", "&lt;")
        return f"<p>{caption}</p>{head.to_html(index=False)}"


def _checked_configurations(space: Space, frame: pd.DataFrame) -> pd.DataFrame:
    if list(frame.columns) != list(space.names):
        raise UsageError(f"the columns are {_listed(frame.columns)}, the options are {_listed(space.names)}")
    columns = {}
    for option in space.options:
        column = level_column(option, frame[option.name])
        if isinstance(column, LevelProblem):
            raise UsageError(f"row {column.row}: {column.text}", row=column.row, option=option.name)
        columns[option.name] = column
    return pd.DataFrame(columns, index=range(len(frame)))


def _column(label: str, values: ArrayLike, n: int) -> FloatArray:
    """Return a read-only copy, shape (n,), each value NaN or finite and not negative."""
    column = numbers_of(label, values)
    if column.shape != (n,):
        raise UsageError(f"{label} has shape {column.shape}, the configurations have {n} rows; give one value a row")
    wrong = np.flatnonzero((column < 0) | np.isinf(column))
    if len(wrong):
        raise UsageError(
            f"row {wrong[0]}: {label} is {column[wrong[0]]}; values must be finite and not negative, or NaN where "
            "there is none",
            row=int(wrong[0]),
        )
    return _frozen(column)


def _checked_status(status: ArrayLike | None, n: int) -> StatusArray:
    if status is None:
        return _frozen(np.full(n, Status.OK.value, dtype="U9"))
    column = np.array([str(state) for state in np.asarray(status, dtype=object).ravel()], dtype="U9")
    if column.shape != (n,):
        raise UsageError(f"status has {len(column)} entries, the configurations have {n} rows; give one a row")
    unknown = sorted(set(column.tolist()) - _STATUSES)
    if unknown:
        raise UsageError(f"status '{unknown[0]}' is not one of {', '.join(Status)}")
    return _frozen(column)


def _checked_notes(notes: pd.DataFrame, n: int) -> pd.DataFrame:
    if len(notes) != n:
        raise UsageError(f"the notes have {len(notes)} rows, the configurations {n}")
    return notes.reset_index(drop=True)


def _declared(properties: Mapping[str, str | Property] | Sequence[str | Property]) -> dict[str, Property]:
    if isinstance(properties, str):
        raise UsageError(f"properties must be a list or a mapping; did you mean ['{properties}']?")
    if isinstance(properties, Mapping):
        pairs = [(name, Property(name, unit) if isinstance(unit, str) else unit) for name, unit in properties.items()]
    else:
        listed = [Property(item, unit_of(item)) if isinstance(item, str) else item for item in properties]
        pairs = [(item.name, item) for item in listed]
    return dict(pairs)


def _row_numbers(rows: ArrayLike, n: int) -> NDArray[np.intp]:
    index = np.asarray(rows)
    if index.dtype == np.bool_:
        if index.shape != (n,):
            raise UsageError(f"the mask has shape {index.shape}, the dataset has {n} rows")
        return np.flatnonzero(index)
    if index.size == 0:
        return np.empty(0, dtype=np.intp)
    if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer):
        raise UsageError(f"rows must be a list of integers or a mask, not {index.dtype} of shape {index.shape}")
    if index.min() < 0 or index.max() >= n:
        wrong = int(index[(index < 0) | (index >= n)][0])
        raise UsageError(f"row {wrong} does not exist; the dataset has rows 0 to {n - 1}", row=wrong)
    return index.astype(np.intp)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array


def _constant(value: float, n: int) -> FloatArray:
    return _frozen(np.full(n, value))


def _cut(columns: Mapping[str, FloatArray], index: NDArray[np.intp]) -> Mapping[str, FloatArray]:
    return MappingProxyType({name: _frozen(values[index]) for name, values in columns.items()})


def _joined_notes(parts: Sequence[Dataset]) -> pd.DataFrame | None:
    if all(part.notes is None for part in parts):
        return None
    frames = [pd.DataFrame(index=range(len(part))) if part.notes is None else part.notes for part in parts]
    return pd.concat(frames, ignore_index=True)


def _column_bytes(column: "pd.Series[Any]") -> bytes:
    """Return bytes that depend on the levels only, not on how pandas holds them."""
    if column.dtype.kind in "biuf":
        return column.to_numpy(dtype=np.float64).tobytes()
    # Codes in order of appearance and the levels they stand for: as telling as the texts, and far shorter.
    codes, levels = pd.factorize(column)
    return json.dumps(levels.tolist()).encode() + np.asarray(codes, dtype=np.int64).tobytes()


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(str, names))
