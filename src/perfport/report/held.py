"""What a store or a folder of tables holds: one line an environment.

Example:
    >>> from perfport.data.dataset import Dataset
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"threads": [1, 2], "inference_time_s": [0.9, 0.5]})
    >>> held = held_in_dataset(Dataset.from_frame(frame, properties=["inference_time_s"], environment="laptop"))
    >>> held.environment, held.rows, held.outcomes, held.properties
    ('laptop', 2, {'ok': 2}, {'inference_time_s': 's'})
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.measurement import Measurement, Property, Status, configuration_key, unit_of
from perfport.report.terminal import plain, simple_table

__all__ = ["Held", "held_in_dataset", "held_in_measurements", "show_held"]


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of one environment.

    Attributes:
        environment: Its name.
        fingerprint: Of its facts; tells apart environments of one name.
        rows: Configurations, each counted once however often it was measured.
        outcomes: How they ended -> how many; a configuration is ok if one measurement of it is.
        properties: Name -> unit.
        options: Names.
    """

    environment: str
    fingerprint: str
    rows: int
    outcomes: Mapping[str, int]
    properties: Mapping[str, str]
    options: tuple[str, ...]


def held_in_dataset(dataset: Dataset) -> Held:
    """Return what a dataset holds."""
    return Held(
        environment=dataset.environment.name,
        fingerprint=dataset.environment.fingerprint,
        rows=len(dataset),
        outcomes=_in_order(Counter(dataset.status.tolist())),
        properties={name: declared.unit for name, declared in dataset.properties.items()},
        options=dataset.space.names,
    )


def held_in_measurements(
    environment: Environment, measurements: Sequence[Measurement], properties: Mapping[str, Property]
) -> Held:
    """Return what measurements of one environment hold, of whatever protocols and campaigns they are."""
    ended: dict[str, Status] = {}
    for measurement in measurements:
        key = configuration_key(measurement.configuration)
        if measurement.status is Status.OK or key not in ended:
            ended[key] = measurement.status
    measured = dict.fromkeys(name for measurement in measurements for name in measurement.repetitions)
    return Held(
        environment=environment.name,
        fingerprint=environment.fingerprint,
        rows=len(ended),
        outcomes=_in_order(Counter(str(status) for status in ended.values())),
        properties={name: properties[name].unit if name in properties else unit_of(name) for name in measured},
        options=tuple(dict.fromkeys(name for measurement in measurements for name in measurement.configuration)),
    )


def show_held(held: Sequence[Held]) -> RenderableType:
    """Return a table, one line an environment; properties that all have are said once."""
    if not held:
        return Text("no environment yet; perfport measure and perfport import add some")
    statuses = [status for status in map(str, Status) if any(status in item.outcomes for item in held)]
    are_shared = all(item.properties == held[0].properties for item in held)
    names = Counter(item.environment for item in held)
    table = simple_table("")
    table.add_column("Environment", overflow="fold")
    table.add_column("Rows", justify="right")
    for status in statuses:
        table.add_column(status.replace("_", " "), justify="right")
    table.add_column("Options", justify="right")
    if not are_shared:
        table.add_column("Properties", overflow="fold")
    for item in held:
        name = item.environment if names[item.environment] == 1 else f"{item.environment} ({item.fingerprint})"
        table.add_row(
            plain(name),
            str(item.rows),
            *(str(item.outcomes.get(status, 0)) for status in statuses),
            str(len(item.options)),
            *([] if are_shared else [plain(_properties(item))]),
        )
    if not are_shared:
        return table
    return Group(table, plain(f"properties: {_properties(held[0]) or 'none'}"))


def _properties(held: Held) -> str:
    return ", ".join(f"{name} ({unit})" if unit else name for name, unit in held.properties.items())


def _in_order(outcomes: Mapping[str, int]) -> dict[str, int]:
    return {str(status): outcomes[str(status)] for status in Status if str(status) in outcomes}
