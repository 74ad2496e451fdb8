"""One self-contained HTML page: everything inlined, no request to anywhere, readable in ten years.

What all pages share is in `perfport.report.document`.

Example:
    >>> from datetime import UTC, datetime
    >>> from perfport.data.measurement import Property
    >>> from perfport.report.content import ReportData
    >>> page = render(ReportData("A new board", datetime(2026, 1, 31, tzinfo=UTC), Property("inference_time_s", "s")))
    >>> page.startswith("<!doctype html>")
    True
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from perfport.data.measurement import Property
from perfport.report import figures, wording
from perfport.report.advice_figures import curve_limits, curve_text, draw_curve
from perfport.report.comparison_page import change_drawings, change_rows, comparison_headline
from perfport.report.content import EnvironmentInfluences, Missing, ReportData
from perfport.report.document import Drawing, drawing, render_page, write_page
from perfport.report.front_figure import draw_front
from perfport.report.rows import fact_rows, point_rows, rank_terms, setting_rows

__all__ = ["render", "write_report"]

_CURVE = "curve-"


def render(data: ReportData) -> str:
    """Return the report as one HTML document."""
    choice, predictions, unit = data.recommendation, data.predictions, data.property.unit
    gain = None if isinstance(choice, Missing) else wording.gain_over_default(choice, data.property)
    drawings = {found.name: found for found in _drawings(data)}
    return render_page(
        "report.html.j2",
        title=data.title,
        created=data.created,
        data=data,
        unit=unit,
        label=wording.property_label(data.property),
        headline=wording.headline(data),
        gain=gain,
        is_settled=gain is not None and wording.is_settled(gain, data.noise_floor_pct()),
        settings=[] if isinstance(choice, Missing) else setting_rows(choice, data.options),
        facts=[] if isinstance(data.environments, Missing) else fact_rows(data.environments),
        terms=[] if isinstance(data.influences, Missing) else rank_terms(data.influences),
        points=[] if isinstance(predictions, Missing) else point_rows(predictions, data.options, unit),
        drawings=drawings,
        change_rows=[] if isinstance(data.changes, Missing) else change_rows(data.changes),
        changed="" if isinstance(data.changes, Missing) else comparison_headline(data.changes),
        curves=[found for name, found in drawings.items() if name.startswith(_CURVE)],
    )


def write_report(data: ReportData, path: Path | str) -> Path:
    """Write the report; a file of that name is replaced, in one step or not at all.

    Args:
        data: What to say.
        path: The file, in a folder that exists.

    Returns:
        The absolute path of the file.

    Raises:
        UsageError: If the folder does not exist, or `path` is a folder.
        StoreError: If the file cannot be written.
    """
    return write_page(render(data), path)


def _drawings(data: ReportData) -> Iterator[Drawing]:
    """Every figure there is something to draw for."""
    label, floor = wording.property_label(data.property), data.noise_floor_pct()
    beside_floor = f" The noise floor is {wording.format_pct(floor)}." if floor is not None else ""
    if not isinstance(data.recommendation, Missing):
        yield drawing(
            "choice",
            f"The {label} of the default and of the recommended configuration. {wording.headline(data)}",
            figures.draw_choice(data.recommendation, data.property),
        )
    if data.trade_off is not None and len(data.trade_off.goal.objectives) > 1:
        yield drawing(
            "front",
            f"The {len(data.trade_off.offers)} configurations no other one beats, by {data.trade_off.goal}.",
            draw_front(data.trade_off, units=wording.units_of(data.options)),
        )
    if not isinstance(data.comparison, Missing) and data.comparison.rows:
        errors = ", ".join(f"{row.name} {wording.format_pct(row.mape_pct)}" for row in data.comparison.rows)
        yield drawing(
            "comparison",
            f"Bar chart of the mean absolute percentage error of each strategy: {errors}.{beside_floor}",
            figures.draw_comparison(data.comparison),
        )
    if data.learning_curves:
        ends = ", ".join(
            f"{curve.strategy} {wording.format_pct(curve.mape_pct[-1])} from {curve.n_target[-1]} rows"
            for curve in data.learning_curves
        )
        yield drawing(
            "curves",
            f"Line chart of the error of each strategy against the number of measured target rows: {ends}.",
            figures.draw_learning_curves(data.learning_curves, noise_floor_pct=floor),
        )
    if not isinstance(data.predictions, Missing) and len(data.predictions):
        n_fitted = int(data.predictions.is_fitted.sum())
        yield drawing(
            "predictions",
            f"Scatter plot of predicted against measured {label} of {len(data.predictions)} target configurations, "
            f"{n_fitted} of which the model was fitted on. {wording.interval_sentence(data.predictions)}",
            figures.draw_predictions(
                data.predictions, data.property, units=wording.units_of(data.options), noise_floor_pct=floor
            ),
        )
    if not isinstance(data.influences, Missing) and rank_terms(data.influences):
        yield drawing("influences", _describe_terms(data.influences), figures.draw_influences(data.influences))
        yield from _curve_drawings(data.influences, data.property)
    if not isinstance(data.changes, Missing):
        yield from change_drawings(data.changes)


def _curve_drawings(environments: Sequence[EnvironmentInfluences], prop: Property) -> Iterator[Drawing]:
    """One figure an option, all with the same vertical axis."""
    every = [(given.environment, given.role, curve) for given in environments for curve in given.curves]
    if not every:
        return
    limits = curve_limits(curve for _, _, curve in every)
    for number, option in enumerate(dict.fromkeys(curve.option for _, _, curve in every)):
        curves = [found for found in every if found[2].option == option]
        ends = "; ".join(f"{name}: {curve_text(curve, prop.unit)}" for name, _, curve in curves)
        yield drawing(f"{_CURVE}{number}", f"{option}. {ends}.", draw_curve(curves, prop, limits=limits))


def _describe_terms(environments: Sequence[EnvironmentInfluences]) -> str:
    largest = rank_terms(environments)[:3]
    parts = []
    for column, given in enumerate(environments):
        listed = ", ".join(f"{term.name} {term.cells[column].label}" for term in largest)
        parts.append(f"{given.environment} ({given.role}): {listed}")
    return "Bar chart of the most influential options and pairs, as shares of variance. " + "; ".join(parts) + "."
