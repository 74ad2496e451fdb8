"""The rows of the tables that the page and the terminal show, with every cell formatted."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from perfport.data.environment import FACETS
from perfport.report.content import Choice, Estimate, Predictions, ReportedEnvironment
from perfport.report.wording import (
    changed_options,
    fact_label,
    format_fact,
    format_interval,
    format_level,
    format_pct,
    units_of,
)
from perfport.space.options import Option
from perfport.units import format_quantity

__all__ = ["FactRow", "PointRow", "SettingRow", "fact_rows", "point_rows", "setting_rows"]


@dataclass(frozen=True, slots=True)
class FactRow:
    """One fact of every environment."""

    facet: str
    name: str
    values: tuple[str, ...]
    differs: bool


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One option of the recommended configuration."""

    option: str
    description: str
    level: str
    default: str
    is_changed: bool


@dataclass(frozen=True, slots=True)
class PointRow:
    """One predicted and measured configuration; `levels` in the order of the columns."""

    measured: str
    predicted: str
    interval: str
    error: str
    is_fitted: bool
    levels: tuple[str, ...]


def fact_rows(environments: Sequence[ReportedEnvironment]) -> list[FactRow]:
    """Return every fact any environment states, in the order of the facets, then by name."""
    rows = []
    for facet in FACETS:
        stated = [getattr(given.environment, facet) for given in environments]
        for fact in sorted({*chain(*stated)}):
            values = [facts.get(fact) for facts in stated]
            differs = any(value != values[0] for value in values)
            rows.append(FactRow(facet, fact_label(fact), tuple(format_fact(fact, value) for value in values), differs))
    return rows


def setting_rows(choice: Choice, options: Sequence[Option]) -> list[SettingRow]:
    """Return the recommended configuration in the order of `options`; names not among them come last."""
    known = {option.name: option for option in options}
    order = [name for name in known if name in choice.configuration]
    order += [name for name in choice.configuration if name not in known]
    changed, units = changed_options(choice), units_of(options)
    return [
        SettingRow(
            name,
            known[name].description if name in known else "",
            format_level(choice.configuration[name], units.get(name, "")),
            format_level(choice.default.get(name), units.get(name, "")),
            name in changed,
        )
        for name in order
    ]


def point_rows(predictions: Predictions, options: Sequence[Option], unit: str, *, n_rows: int = 200) -> list[PointRow]:
    """Return the `n_rows` rows of the largest relative error, largest first."""
    units = units_of(options)
    error_pct = 100 * np.abs(predictions.predicted / predictions.measured - 1)
    rows = []
    for row in np.argsort(-error_pct, kind="stable")[:n_rows]:
        interval = ""
        if predictions.lower is not None and predictions.upper is not None:
            ends = Estimate(predictions.predicted[row], predictions.lower[row], predictions.upper[row])
            interval = format_interval(ends, unit)
        levels = predictions.configurations.iloc[row].items()
        rows.append(
            PointRow(
                format_quantity(predictions.measured[row], unit),
                format_quantity(predictions.predicted[row], unit),
                interval,
                format_pct(error_pct[row]),
                bool(predictions.is_fitted[row]),
                tuple(format_level(level, units.get(str(name), "")) for name, level in levels),
            )
        )
    return rows
