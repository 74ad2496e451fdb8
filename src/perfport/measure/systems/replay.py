"""A system that was measured before: serves the rows of a dataset and charges what they cost then.

Strategies can be compared on published tables as if on the device: a replayed campaign has the
statuses, numbers and costs of the original one, and takes no time.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from perfport.data.dataset import Dataset
from perfport.data.environment import FACETS, Fact
from perfport.data.measurement import FloatArray, Property, Status, configuration_key
from perfport.data.tables import read_tables
from perfport.errors import InvalidConfigurationError, MeasurementError, UsageError
from perfport.measure.base import Configuration, Outcome, Session
from perfport.measure.rows import configurations_of
from perfport.space.space import Space

__all__ = ["ReplaySystem"]


class ReplaySystem:
    """Rows of one environment, looked up by configuration.

    Several rows of one configuration are its replicates: block 0 gets the first, block 1 the second,
    and so on, starting again after the last.

    Attributes:
        dataset: Where the rows come from.
    """

    name = "replay"
    is_isolated = False

    def __init__(self, folder: str | Path = "", environment: str = "", *, dataset: Dataset | None = None) -> None:
        """Choose the rows.

        Args:
            folder: A folder of tables (`read_tables`).
            environment: Name of one of its environments.
            dataset: The rows themselves, instead of `folder` and `environment`.

        Raises:
            UsageError: If the folder has no such environment, or both or neither are given.
        """
        if (dataset is None) == (not folder):
            raise UsageError("system 'replay' needs either folder and environment, or a dataset")
        if dataset is None:
            environments = read_tables(folder).environments
            if environment not in environments:
                raise UsageError(
                    f"system 'replay': {folder} has no environment '{environment}'; it has {', '.join(environments)}"
                )
            dataset = environments[environment]
        self.dataset = dataset
        self._settings: dict[str, Any] = (
            {"folder": str(folder), "environment": environment} if folder else {"dataset": dataset}
        )
        self._rows: dict[str, list[int]] = {}
        for row, configuration in enumerate(configurations_of(dataset.space, dataset.configurations)):
            self._rows.setdefault(configuration_key(configuration), []).append(row)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal system."""
        return dict(self._settings)

    def space(self) -> Space:
        """Return the space of the rows; not every configuration of it need have been measured."""
        return self.dataset.space

    def properties(self) -> tuple[Property, ...]:
        """Return the properties the rows have."""
        return tuple(self.dataset.properties.values())

    def facets(self) -> Mapping[str, Mapping[str, Fact]]:
        """Return the facts of where the rows were measured, which is not here."""
        return {facet: dict(getattr(self.dataset.environment, facet)) for facet in FACETS}

    def outcome(self, configuration: Configuration, *, block: int) -> Outcome:
        """Return what became of `configuration` then; INVALID if it was never measured."""
        rows = self._rows.get(configuration_key(configuration))
        if rows is None:
            return Outcome(Status.INVALID, f"never measured in environment '{self.dataset.environment.name}'")
        row = rows[block % len(rows)]
        values = {name: float(column[row]) for name, column in self.dataset.responses.items()}
        repetitions: dict[str, FloatArray] = {
            name: np.array([value]) for name, value in values.items() if np.isfinite(value)
        }
        absent = {name: "the row has no value" for name in values if name not in repetitions}
        cost_s = float(self.dataset.cost_s[row])
        conditions: dict[str, object] = {} if np.isfinite(cost_s) else {"cost": "not recorded"}
        status = Status(str(self.dataset.status[row]))
        if status is Status.OK and not repetitions:
            status = Status.FAILED
        return Outcome(
            status=status,
            reason="" if status is Status.OK else f"recorded as {status}",
            # Of a row that timed out they are lower bounds.
            repetitions=repetitions if status in (Status.OK, Status.TIMED_OUT) else {},
            absent=absent if status is Status.OK else {},
            conditions={"replayed_row": row, **conditions},
            cost_s=cost_s if np.isfinite(cost_s) else 0.0,
        )

    @contextmanager
    def open(self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0) -> Iterator[Session]:
        """Open with the readings of `configuration`; each run gives those of its next row."""
        rows = self._rows.get(configuration_key(configuration))
        if rows is None:
            raise InvalidConfigurationError(
                f"never measured in environment '{self.dataset.environment.name}'", configuration=dict(configuration)
            )
        yield _RecordedSession(self.dataset, [row for row in rows if self.dataset.status[row] == Status.OK.value])


class _RecordedSession:
    """Steps through the rows of one configuration."""

    inputs_per_run = 1

    def __init__(self, dataset: Dataset, rows: list[int]) -> None:
        self._dataset = dataset
        self._rows = rows
        self._runs = 0

    def run_once(self) -> None:
        if not self._rows:
            raise MeasurementError("this configuration was never measured successfully")
        self._runs += 1

    def readings(self) -> dict[str, float]:
        row = self._rows[(self._runs - 1) % len(self._rows)]
        return {name: float(column[row]) for name, column in self._dataset.responses.items()}
