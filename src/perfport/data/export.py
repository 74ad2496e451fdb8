"""Measurements as one tidy table: a row a repetition, for any other tool."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from perfport.data.files import replaced_when_whole
from perfport.data.measurement import Measurement, configuration_key, unit_of
from perfport.errors import StoreError, StoreUsageError

__all__ = ["tidy_rows", "write_rows"]

_ENDINGS = (".parquet", ".csv", ".csv.gz")


def tidy_rows(measurements: Sequence[Measurement], units: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    """Return one row a repetition of a property; a measurement without any has one row without a value.

    The values of a measurement that timed out are lower bounds; its `status` says so.

    Args:
        measurements: Of any environments.
        units: (Environment fingerprint, property) -> unit; others take the unit the name states.

    Returns:
        Columns environment, fingerprint, `option.<name>` for every option, configuration_key, protocol,
        block, attempt, status, reason, grade, grade_reasons, property, unit, repetition, value, cost_s,
        started_at. An option that an
        environment does not have, or that is inactive, is missing.
    """
    frame = pd.DataFrame(list(_rows(measurements, units)), columns=_columns(measurements))
    for name in frame.columns:
        if name.startswith("option.") and frame[name].dtype == object:
            # One column, one type: Parquet knows no other, and True beside 'auto' is text to every reader.
            kinds = {type(level) for level in frame[name].dropna()}
            if len(kinds) > 1:
                frame[name] = frame[name].astype("float64" if kinds == {int, float} else "str")
    return frame


def write_rows(path: Path, measurements: Sequence[Measurement], units: Mapping[tuple[str, str], str]) -> int:
    """Write `tidy_rows` to a file, whole or not at all, and return the number of rows.

    Raises:
        StoreError: If the ending is not .parquet, .csv or .csv.gz, or the file cannot be written.
    """
    if not path.name.endswith(_ENDINGS):
        raise StoreUsageError(
            f"{path}: cannot export to this kind of file; give a name ending in {', '.join(_ENDINGS)}"
        )
    if not path.parent.is_dir():
        raise StoreUsageError(f"{path}: directory {path.parent} does not exist; make it first", path=path)
    frame = tidy_rows(measurements, units)
    try:
        with replaced_when_whole(path) as part:
            if path.suffix == ".parquet":
                frame.to_parquet(part, engine="pyarrow", index=False)
            else:
                frame.to_csv(part, index=False, compression="gzip" if path.suffix == ".gz" else None)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}", path=path) from error
    return len(frame)


def _columns(measurements: Sequence[Measurement]) -> list[str]:
    options = dict.fromkeys(f"option.{name}" for measurement in measurements for name in measurement.configuration)
    after = ("configuration_key", "protocol", "block", "attempt", "status", "reason", "grade", "grade_reasons")
    values = ("property", "unit", "repetition", "value", "cost_s", "started_at")
    return ["environment", "fingerprint", *options, *after, *values]


def _rows(measurements: Sequence[Measurement], units: Mapping[tuple[str, str], str]) -> Iterator[dict[str, Any]]:
    for measurement in measurements:
        fingerprint = measurement.environment.fingerprint
        shared = {
            "environment": measurement.environment.name,
            "fingerprint": fingerprint,
            **{f"option.{name}": level for name, level in measurement.configuration.items()},
            "configuration_key": configuration_key(measurement.configuration),
            "protocol": measurement.protocol,
            "block": measurement.block,
            "attempt": measurement.attempt,
            "status": str(measurement.status),
            "reason": measurement.reason,
            "grade": measurement.grade,
            "grade_reasons": "; ".join(measurement.grade_reasons),
            "cost_s": measurement.cost_s,
            "started_at": measurement.started_at,
        }
        if not measurement.repetitions:
            yield shared
        for name, values in measurement.repetitions.items():
            unit = units.get((fingerprint, name), unit_of(name))
            for repetition, value in enumerate(values.tolist()):
                yield shared | {"property": name, "unit": unit, "repetition": repetition, "value": value}
