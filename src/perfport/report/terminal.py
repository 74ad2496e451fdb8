"""The same report for the terminal, as rich tables that fit 80 columns.

Texts given by users are printed as they are: never read as markup.

Example:
    >>> from rich.console import Console
    >>> from perfport.report.content import ErrorRow, Comparison
    >>> table = show_comparison(Comparison((ErrorRow("auto", 6.1, 4.4, 0.98, 30),), "auto", 10))
    >>> Console(width=80).print(table)  # doctest: +SKIP
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from perfport.advise.rendering import level_text
from perfport.data.dataset import StatusArray
from perfport.data.measurement import FloatArray, Property, Status
from perfport.measure.doctor import Check, DoctorReport
from perfport.report.content import (
    Comparison,
    ErrorRow,
    Estimate,
    MeasuringSummary,
    Missing,
    ReportData,
    ReportedEnvironment,
)
from perfport.report.rows import fact_rows, setting_rows
from perfport.report.wording import (
    fact_label,
    format_duration,
    format_estimate,
    format_fact,
    format_factor,
    format_pct,
    format_share,
    gain_over_default,
    grades_text,
    headline,
    is_settled,
    verdict_sentence,
    verification_sentence,
)
from perfport.transfer.verdict import Verdict
from perfport.units import format_quantity

__all__ = [
    "plain",
    "show_absent",
    "show_comparison",
    "show_doctor",
    "show_environments",
    "show_measuring",
    "show_recommendation",
    "show_report",
    "show_rows",
    "show_verdict",
    "simple_table",
]

_LONG_FACTS = ("cpu_flags",)
_DECISION_STYLES = {
    "helped": "green",
    "no help": "yellow",
    "harmful": "red",
    "harmful, not used": "yellow",
    "no source": "yellow",
}


def show_report(data: ReportData) -> RenderableType:
    """Return all parts there are, the answer last, where the eye is when the command ends."""
    parts: list[RenderableType] = []
    if not isinstance(data.environments, Missing):
        parts += [show_environments(data.environments), show_measuring(data.environments)]
    if data.absent:
        parts.append(show_absent(data.absent))
    comparison, verdict = data.comparison, data.verdict
    parts.append(
        _left_out("comparison", comparison) if isinstance(comparison, Missing) else show_comparison(comparison)
    )
    parts.append(_left_out("verdict", verdict) if isinstance(verdict, Missing) else show_verdict(verdict))
    parts.append(show_recommendation(data))
    return Group(*(Padding(part, (0, 0, 1, 0)) for part in parts))


def show_doctor(
    found: DoctorReport, *, kinds: Sequence[str] = ("system", "network", "meter", "actuator")
) -> RenderableType:
    """Return what works on this machine and what does not, with the reason.

    Args:
        found: What `perfport.measure.doctor` found.
        kinds: Which parts to show.
    """
    facts = [
        f"{fact_label(name)} {format_fact(name, value)}"
        for name, value in found.hardware.items()
        if name not in _LONG_FACTS
    ]
    tables = [_checks_table(kind, [check for check in found.checks if check.kind == kind]) for kind in kinds]
    parts: list[RenderableType] = [Text(", ".join(facts)), *tables, Text()]
    if "actuator" in kinds:
        parts += [Text(f"Journal: {check.detail}.") for check in found.checks if check.kind == "journal"]
    if found.noise is not None:
        wall, cpu = format_pct(found.noise.wall_spread_pct), format_pct(found.noise.cpu_spread_pct)
        spread = f"Noise: from the 10 % to the 90 % quantile, the same work took {wall} more (processor time {cpu})"
        parts.append(Text(f"{spread}: {found.noise.verdict}."))
    return Group(*parts)


def _checks_table(kind: str, checks: Sequence[Check]) -> RenderableType:
    table = simple_table(f"{kind.capitalize()}s: {sum(check.ok for check in checks)} of {len(checks)} work here")
    for heading in ("", "Name", "Detail"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        mark = Text("yes", "green") if check.ok else Text("no", "yellow")
        table.add_row(mark, plain(check.name), plain(check.detail))
    return Padding(table, (1, 0, 0, 0))


def show_environments(environments: Sequence[ReportedEnvironment]) -> RenderableType:
    """Return the facts in which the environments differ, side by side."""
    rows = fact_rows(environments)
    different = [row for row in rows if row.differs]
    if not different:
        return Text(f"The environments do not differ in any of their {len(rows)} facts.")
    table = simple_table("What differs")
    table.add_column("Fact", overflow="fold")
    for given in environments:
        table.add_column(plain(f"{given.environment.name} ({given.role})"), overflow="fold")
    for row in different:
        table.add_row(Text.assemble((f"{row.facet} ", "dim"), row.name), *map(plain, row.values))
    return Group(table, Text(f"{len(rows) - len(different)} more facts are the same.", style="dim"))


def show_measuring(environments: Sequence[ReportedEnvironment]) -> RenderableType:
    """Return rows, outcomes, grades, time spent and noise floor of each environment."""
    table = simple_table("How it was measured")
    table.add_column("Environment", overflow="fold")
    table.add_column("Rows", justify="right")
    table.add_column("Outcomes", overflow="fold")
    table.add_column("Grades", overflow="fold")
    table.add_column("Time", justify="right")
    table.add_column("Noise floor", justify="right")
    reasons = []
    for given in environments:
        name = f"{given.environment.name} ({given.role})"
        if isinstance(given.measuring, Missing):
            table.add_row(plain(name), "", plain(f"not known: {given.measuring.reason}"), "", "", "")
        else:
            table.add_row(plain(name), *_measuring_cells(given.measuring))
            reasons += [f"{name}: {count} × {reason}" for reason, count in given.measuring.reasons.items()]
    return Group(table, *(Text(f"  {reason}", style="dim") for reason in reasons))


def show_absent(absent: Mapping[str, str]) -> RenderableType:
    """Return one line for each property that was not measured, with the reason."""
    return Group(*(Text.assemble((name, "bold"), f" absent, because {reason}") for name, reason in absent.items()))


def show_comparison(comparison: Comparison) -> RenderableType:
    """Return the errors of all strategies, with the noise floor beneath them."""
    table = simple_table(f"Errors of each strategy, fitted on {comparison.n_target} target rows")
    table.add_column("Strategy", overflow="fold")
    for heading in ("Mean error", "Median error", "Rank corr.", "Rows"):
        table.add_column(heading, justify="right")
    for row in comparison.rows:
        is_chosen = row.name == comparison.chosen
        table.add_row(
            plain(f"{row.name} (used)" if is_chosen else row.name),
            *_error_cells(row),
            style="bold" if is_chosen else "",
        )
    if isinstance(comparison.replicate, Missing):
        return Group(table, _left_out("noise floor", comparison.replicate))
    table.add_section()
    table.add_row(plain(f"noise floor: {comparison.replicate.name}"), *_error_cells(comparison.replicate), style="dim")
    return table


def show_verdict(verdict: Verdict) -> RenderableType:
    """Return how far the sources helped, and the notes on the transfer."""
    lines = [Text(verdict_sentence(verdict), style=_DECISION_STYLES[verdict.decision])]
    lines += [Text(f"  note: {note}", style="dim") for note in verdict.notes]
    return Group(*lines)


def show_rows(
    configurations: pd.DataFrame,
    columns: Mapping[str, FloatArray],
    prop: Property,
    *,
    status: StatusArray | None = None,
) -> RenderableType:
    """Return configurations with numbers beside them, in the unit of `prop`; options that do not vary stand above.

    Args:
        configurations: One row each, columns = options, n rows.
        columns: Heading -> numbers, each shape (n,); NaN where there is none.
        prop: Whose unit the numbers are in.
        status: How each row ended, shape (n,): the number of a time-out is a lower bound, another row that
            is not ok has none. All ok if not given.
    """
    n_rows = len(configurations)
    varying = [name for name in configurations.columns if n_rows == 1 or configurations[name].nunique(dropna=False) > 1]
    shared = [f"{name}={level_text(configurations[name].iloc[0])}" for name in configurations if name not in varying]
    table = simple_table("")
    table.add_column("Configuration", overflow="fold", ratio=1)
    for heading in columns:
        table.add_column(plain(heading), justify="right", overflow="fold")
    for row in range(n_rows):
        # One cell of text: a column an option would not fit a terminal.
        levels = [f"{name}={level_text(configurations[name].iloc[row])}" for name in varying]
        ended = Status.OK if status is None else Status(str(status[row]))
        numbers = [_reading(float(found[row]), prop.unit, ended) for found in columns.values()]
        table.add_row(plain(" ".join(levels)), *map(plain, numbers))
    return Group(table, Text(f"in all rows: {' '.join(shared)}", style="dim")) if shared else table


def show_recommendation(data: ReportData) -> RenderableType:
    """Return the headline, the settings, and what was predicted and verified."""
    answer = Text(headline(data), style="bold")
    choice, unit = data.recommendation, data.property.unit
    if isinstance(choice, Missing):
        return answer
    settings = simple_table("Settings")
    for heading in ("Option", "Recommended", "Default"):
        settings.add_column(heading, overflow="fold")
    for row in setting_rows(choice, data.options):
        style = "bold" if row.is_changed else "dim"
        settings.add_row(plain(row.option), plain(row.level), plain(row.default), style=style)
    numbers = Table(box=None, show_header=False, pad_edge=False)
    numbers.add_column(no_wrap=True)
    numbers.add_column(overflow="fold")
    interval = f"{format_share(choice.coverage)} interval" if choice.predicted.interval else "no interval"
    numbers.add_row("predicted", f"{format_estimate(choice.predicted, unit)}, {interval}")
    for name, part in (("verified", choice.verified), ("default", choice.default_measured)):
        numbers.add_row(name, plain(part.reason if isinstance(part, Missing) else format_estimate(part, unit)))
    gain = gain_over_default(choice, data.property)
    if gain is not None:
        numbers.add_row("gain", _gain_text(gain, data.noise_floor_pct()))
    return Group(settings, Padding(numbers, (1, 0)), answer, Text(verification_sentence(choice)))


def simple_table(title: str) -> Table:
    """Return an empty table in the house's style."""
    return Table(
        title=plain(title),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )


def plain(text: str) -> Text:
    """Return text that rich must not search for markup."""
    return Text(text)


def _reading(value: float, unit: str, status: Status) -> str:
    if status in (Status.FAILED, Status.INVALID) or not isfinite(value):
        return "not measured" if status is Status.OK else status.value.replace("_", " ")
    return f"{'>= ' if status is Status.TIMED_OUT else ''}{format_quantity(value, unit)}"


def _left_out(what: str, part: Missing) -> Text:
    return Text(f"{what} left out: {part.reason}", style="dim")


def _measuring_cells(measuring: MeasuringSummary) -> Iterator[Text]:
    counts = [f"{count} {status.value.replace('_', ' ')}" for status, count in measuring.outcomes.items() if count]
    yield plain(str(measuring.n_rows))
    yield plain(", ".join(counts))
    again = f"; {measuring.n_again} again" if measuring.n_again else ""
    yield plain(grades_text(measuring.grades) + again)
    yield plain("not known" if measuring.cost_s is None else format_duration(measuring.cost_s))
    floor = measuring.replicate_error_pct
    yield plain("not known" if floor is None else format_pct(floor))


def _error_cells(row: ErrorRow) -> Iterator[Text]:
    yield plain(format_pct(row.mape_pct))
    yield plain(format_pct(row.median_ape_pct))
    yield plain("–" if row.spearman is None else f"{row.spearman:.3f}")
    yield plain(str(row.n_rows))


def _gain_text(gain: Estimate, noise_floor_pct: float | None) -> Text:
    interval = ""
    if gain.interval is not None:
        interval = f" ({format_factor(gain.interval[0])} to {format_factor(gain.interval[1])})"
    if not is_settled(gain, noise_floor_pct):
        return Text(f"{format_factor(gain.value)}{interval}, within the noise", style="yellow")
    return Text(f"{format_factor(gain.value)}{interval}", style="bold green" if gain.value > 1 else "yellow")
