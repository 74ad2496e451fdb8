"""The rows of the tables that the page and the terminal show, with every cell formatted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from perfport.advise.rendering import level_text
from perfport.data.environment import FACETS
from perfport.report.content import (
    Choice,
    Effect,
    EnvironmentInfluences,
    Estimate,
    Influence,
    Predictions,
    ReportedEnvironment,
)
from perfport.report.wording import (
    changed_options,
    fact_label,
    format_fact,
    format_interval,
    format_pct,
    format_share,
    units_of,
)
from perfport.space.options import Option
from perfport.units import format_quantity

__all__ = [
    "FactRow",
    "PointRow",
    "SettingRow",
    "TermCell",
    "TermRow",
    "fact_rows",
    "point_rows",
    "rank_terms",
    "setting_rows",
]

_ARROWS: Mapping[Effect, str] = {"increases": "↑", "decreases": "↓", "mixed": "↕"}


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


@dataclass(frozen=True, slots=True)
class TermCell:
    """One influence in one environment, all zero where the environment does not list it.

    Attributes:
        share: Share of the variance, 0 to 1, between `lower` and `upper`.
        arrow: "↑" if the property increases with the level, "↓" if it decreases, "↕" otherwise; "" if the
            influence is not listed.
        detail: What moves, for people.
    """

    share: float = 0.0
    lower: float = 0.0
    upper: float = 0.0
    arrow: str = ""
    detail: str = ""

    @property
    def label(self) -> str:
        """The share with its arrow."""
        return f"{format_share(self.share)} {self.arrow}" if self.arrow else "not listed"

    def describe(self) -> str:
        """Everything in one line."""
        interval = ""
        if self.upper > self.lower:
            interval = f" ({format_share(self.lower)} to {format_share(self.upper)})"
        return f"{self.label}{interval}" + (f", {self.detail}" if self.detail else "")


@dataclass(frozen=True, slots=True)
class TermRow:
    """One influence in every environment."""

    name: str
    cells: tuple[TermCell, ...]


def rank_terms(environments: Sequence[EnvironmentInfluences]) -> list[TermRow]:
    """Return the influences of all environments, a pair matched in any order, the largest anywhere first."""
    tables = [{frozenset(term.options): term for term in given.influences} for given in environments]
    # The names are those of the last environment that has the term: the target, if it comes last.
    names = {key: " × ".join(term.options) for table in tables for key, term in table.items()}
    rows = [
        TermRow(name, tuple(_term_cell(table[key]) if key in table else TermCell() for table in tables))
        for key, name in names.items()
    ]
    return sorted(rows, key=lambda row: (-max(cell.share for cell in row.cells), row.name))


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
            level_text(choice.configuration[name], units.get(name, "")),
            level_text(choice.default.get(name), units.get(name, "")),
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
                tuple(level_text(level, units.get(str(name), "")) for name, level in levels),
            )
        )
    return rows


def _term_cell(influence: Influence) -> TermCell:
    share = influence.share
    lower = share if influence.lower is None else influence.lower
    upper = share if influence.upper is None else influence.upper
    # An interval from resampling may miss the share itself by a rounding error; a bar with whiskers cannot.
    return TermCell(share, min(lower, share), max(upper, share), _ARROWS[influence.effect], influence.detail)
