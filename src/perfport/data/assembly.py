"""From measurements to a dataset, and back: what the store holds by the row, learning reads by the column."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from perfport.data.dataset import Dataset
from perfport.data.folding import counting_rows, folded_reading, log_standard_error
from perfport.data.frames import infer_options, levels_of
from perfport.data.measurement import Measurement, Property, Status, configuration_key, unit_of
from perfport.data.standing import standing, worst_grade
from perfport.errors import NotEnoughDataError
from perfport.space.options import Level
from perfport.space.space import Space

__all__ = ["TABLE_PROTOCOL", "dataset_of", "inferred_space", "measurements_of"]

# The protocol of numbers that were read from a table: how they were measured is not known here.
TABLE_PROTOCOL = "table"


def dataset_of(
    measurements: Sequence[Measurement], *, space: Space, properties: Mapping[str, Property] | None = None
) -> Dataset:
    """Return one row a configuration, in order of first measurement.

    A response is the median over blocks of the median over the repetitions of a block. Its standard
    error comes from the scatter between blocks where there are two or more, but is never smaller than
    the blocks say of themselves; with one block it is what the measurement says of itself (or its
    repetitions, if it says nothing) and leaves out what differs from run to run. Only measurements
    that stand count, see `standing`: none graded D beside a better one. A configuration of which no
    block is ok has its first other outcome as status, and as responses the lower bounds that a time-out
    says, else NaN.

    Args:
        measurements: Of one environment; several blocks of one configuration are replicates.
        space: Holds every option of the configurations.
        properties: Units and directions; a name that is not in it takes the unit its ending states.

    Raises:
        NotEnoughDataError: If there is no measurement, or none that is ok.
        UsageError: If a level is not in the space.
    """
    if not measurements:
        raise NotEnoughDataError("no measurements to make a dataset of; measure or import some first")
    groups: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        groups.setdefault(configuration_key(measurement.configuration), []).append(measurement)
    blocks = list(groups.values())
    names = list(dict.fromkeys(name for measurement in measurements for name in measurement.repetitions))
    if all(measurement.status is not Status.OK for measurement in measurements):
        first = measurements[0]
        raise NotEnoughDataError(
            f"environment '{first.environment.name}': none of {len(measurements)} measurements is ok; "
            f"the first is {first.status}: {first.reason}"
        )
    known = properties or {}
    counting = [standing(group) for group in blocks]
    folded = {name: [_folded(group, name) for group in counting] for name in names}
    return Dataset(
        space=space,
        environment=measurements[0].environment,
        properties={name: known.get(name, Property(name, unit_of(name))) for name in names},
        configurations=space.frame([group[0].configuration for group in blocks]),
        responses={name: np.array([value for value, _ in folded[name]]) for name in names},
        status=np.array([str(_outcome(group).status) for group in counting]),
        log_se={name: np.array([error for _, error in folded[name]]) for name in names},
        cost_s=np.array([sum(measurement.cost_s for measurement in group) for group in blocks]),
        notes=_notes(counting),
    )


def measurements_of(
    dataset: Dataset, *, protocol: str = TABLE_PROTOCOL, readings: Dataset | None = None
) -> Iterator[Measurement]:
    """Yield one measurement a row; replicate rows become blocks.

    A property that a row does not have is absent. The response of a row that timed out is its limit, and kept.

    Args:
        dataset: The rows.
        protocol: How they were measured.
        readings: What the rows were folded from (see `folding.fold_replicates`), whose values are the
            repetitions; without it a measurement has one repetition of a property.
    """
    seen: dict[str, int] = {}
    sources, rows_of = dataset, [np.array([row]) for row in range(len(dataset))]
    if readings is not None:
        sources, rows_of = readings, counting_rows(readings)
    reasons = None if dataset.notes is None or "reason" not in dataset.notes else dataset.notes["reason"]
    for row, configuration in enumerate(_configurations(dataset)):
        status = Status(str(dataset.status[row]))
        has_values = status in (Status.OK, Status.TIMED_OUT)
        values = {name: column[rows_of[row]] for name, column in sources.responses.items()} if has_values else {}
        present = {name: found[np.isfinite(found)] for name, found in values.items() if np.isfinite(found).any()}
        if status is Status.OK and not present:
            continue  # nothing was measured and nothing went wrong: there is nothing to tell
        key = configuration_key(configuration)
        seen[key] = seen.get(key, -1) + 1
        yield Measurement(
            configuration=configuration,
            environment=dataset.environment,
            status=status,
            repetitions=present,
            absent={name: "the table has no value" for name in values if name not in present and status is Status.OK},
            cost_s=float(dataset.cost_s[row]),
            reason="" if status is Status.OK else str(reasons[row] if reasons is not None else "") or "as published",
            log_se={
                name: float(dataset.log_se[name][row]) for name in present if np.isfinite(dataset.log_se[name][row])
            },
            protocol=protocol,
            block=seen[key],
        )


def inferred_space(measurements: Sequence[Measurement], *, name: str = "") -> Space:
    """Return the space of the levels found; an option inactive in some configuration cannot be inferred.

    Raises:
        UsageError: If an option is inactive in a configuration; the message asks for the space.
    """
    frame = pd.DataFrame([dict(measurement.configuration) for measurement in measurements])
    return Space(options=infer_options(frame, [str(column) for column in frame.columns]), name=name)


def _folded(group: Sequence[Measurement], name: str) -> tuple[float, float]:
    """Return (response, standard error of its logarithm) of one property, NaN where there is none."""
    # As in `fold_replicates`: bounds count only where nothing ended well, and then the first.
    ok = [measurement for measurement in group if measurement.status is Status.OK]
    found = [measurement for measurement in ok or group[:1] if name in measurement.repetitions]
    if not found:
        return float("nan"), float("nan")
    medians = np.array([np.median(measurement.repetitions[name]) for measurement in found])
    within = np.array(
        [measurement.log_se.get(name, log_standard_error(measurement.repetitions[name])) for measurement in found]
    )
    return folded_reading(medians, within)


def _outcome(group: Sequence[Measurement]) -> Measurement:
    return next((measurement for measurement in group if measurement.status is Status.OK), group[0])


def _notes(blocks: Sequence[Sequence[Measurement]]) -> pd.DataFrame:
    outcomes = [_outcome(group) for group in blocks]
    notes = {
        "configuration_key": [configuration_key(group[0].configuration) for group in blocks],
        "reason": [outcome.reason for outcome in outcomes],
        "grade": [worst_grade(group) for group in blocks],
        "grade_reasons": [
            "; ".join(dict.fromkeys(sum((found.grade_reasons for found in group), ()))) for group in blocks
        ],
        "started_at": [outcome.started_at for outcome in outcomes],
    }
    counts = {
        "blocks_ok": [sum(measurement.status is Status.OK for measurement in group) for group in blocks],
        "blocks": [len(group) for group in blocks],
        "repetitions": [
            sum(max(map(len, found.repetitions.values())) for found in group if found.status is Status.OK)
            for group in blocks
        ],
    }
    return pd.DataFrame(notes, dtype="str").assign(**counts)


def _configurations(dataset: Dataset) -> Iterator[dict[str, Level | None]]:
    columns = [levels_of(option, dataset.configurations[option.name]) for option in dataset.space.options]
    for cells in zip(*columns, strict=True):
        yield dict(zip(dataset.space.names, cells, strict=True))
