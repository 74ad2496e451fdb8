"""The figures of a report, as plotly objects: returned, never shown.

Colours are those of Okabe and Ito ("Color universal design", 2008), which people with any colour
vision can tell apart, and every colour is doubled by a symbol, a label or a dash. Text given by
users is escaped, since plotly reads a subset of HTML in every text. Row names stand above their
bars, not beside them, so that a figure is as readable on a telephone as on a wall.
"""

import html
import math
from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

from perfport.data.measurement import Property
from perfport.report.content import (
    Choice,
    Comparison,
    EnvironmentInfluences,
    Estimate,
    LearningCurve,
    Missing,
    Predictions,
)
from perfport.report.rows import rank_terms
from perfport.report.ticks import linear_ticks, log_ticks, tick_text
from perfport.report.wording import (
    format_configuration,
    format_estimate,
    format_interval,
    format_pct,
    format_share,
    property_label,
)
from perfport.units import format_quantity

__all__ = [
    "draw_choice",
    "draw_comparison",
    "draw_influences",
    "draw_learning_curves",
    "draw_predictions",
    "empty_figure",
    "figure_json",
    "log_axis",
    "name_rows",
    "plotly_script",
    "shown_rows",
]

BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
GREY = "#8a93a0"
_BAND = "rgba(128, 136, 148, 0.20)"
TARGET_COLOUR, SOURCE_COLOURS = BLUE, (VERMILLION, ORANGE, PURPLE, GREEN, SKY)
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")

# Beyond this a scatter plot in SVG gets slow and shows no more.
_MOST_POINTS = 2000
_MOST_HOVER_LINES = 16


def shown_rows(predictions: Predictions) -> NDArray[np.int64]:
    """Return the rows a figure shows: all, or evenly spread ones of those not fitted on if there are very many."""
    unseen, fitted = np.flatnonzero(~predictions.is_fitted), np.flatnonzero(predictions.is_fitted)
    if len(unseen) > _MOST_POINTS:
        unseen = unseen[np.linspace(0, len(unseen) - 1, _MOST_POINTS).astype(int)]
    return np.sort(np.concatenate([unseen, fitted]))


def draw_predictions(
    predictions: Predictions,
    prop: Property,
    *,
    units: Mapping[str, str] | None = None,
    noise_floor_pct: float | None = None,
) -> go.Figure:
    """Return predicted against measured responses, both on log scales, with predictive intervals.

    Rows the model was fitted on are diamonds. The band around the diagonal is the noise floor: a
    prediction inside it cannot be told from a perfect one.

    Args:
        predictions: At least one row.
        prop: The property and its unit.
        units: Option -> unit of its levels, for the hover text.
        noise_floor_pct: Replicate error in percent.
    """
    figure = empty_figure(height=500)
    ends = [predictions.measured, predictions.predicted]
    limits = (float(min(end.min() for end in ends)) / 1.25, float(max(end.max() for end in ends)) * 1.25)
    _add_diagonal(figure, limits, noise_floor_pct)
    shown = shown_rows(predictions)
    for name, is_fitted, colour, symbol in (
        ("not seen by the model", False, BLUE, "circle"),
        ("fitted on", True, VERMILLION, "diamond"),
    ):
        rows = shown[predictions.is_fitted[shown] == is_fitted]
        if len(rows):
            figure.add_trace(
                go.Scatter(
                    x=predictions.measured[rows],
                    y=predictions.predicted[rows],
                    error_y=_error_bars(predictions, rows, colour),
                    mode="markers",
                    name=name,
                    marker={"color": colour, "symbol": symbol, "size": 9, "opacity": 0.85},
                    hovertext=[_describe(predictions, row, prop, units or {}) for row in rows],
                    hoverinfo="text",
                )
            )
    label = html.escape(property_label(prop))
    for axis, title in (("xaxis", f"measured {label}"), ("yaxis", f"predicted {label}")):
        figure.update_layout({axis: log_axis(limits, prop.unit) | {"title_text": f"{title} (log scale)"}})
    return figure


def draw_influences(environments: Sequence[EnvironmentInfluences], *, n_terms: int = 12) -> go.Figure:
    """Return bars of the largest influences with their intervals, the environments of one term together.

    Args:
        environments: Sources and target, each with a colour of its own; that of the target is always the same.
        n_terms: Terms to show at most.
    """
    terms = rank_terms(environments)[:n_terms]
    n_bars = len(environments)
    figure = empty_figure(height=110 + len(terms) * (26 + 24 * n_bars))
    width = 0.62 / n_bars
    of_sources = cycle(SOURCE_COLOURS)
    for column, given in enumerate(environments):
        colour = TARGET_COLOUR if given.role == "target" else next(of_sources)
        cells = [term.cells[column] for term in terms]
        name = html.escape(f"{given.environment} ({given.role})")
        heights = np.arange(len(terms)) - 0.12 + (column + 0.5) * width
        hover = [html.escape(f"{term.name}: {cell.describe()}") for term, cell in zip(terms, cells, strict=True)]
        figure.add_trace(
            go.Bar(
                x=[100 * cell.share for cell in cells],
                y=heights,
                width=width * 0.9,
                orientation="h",
                name=name,
                legendgroup=str(column),
                marker={"color": colour},
                error_x={
                    "type": "data", "symmetric": False, "color": GREY, "thickness": 2, "width": 0,
                    "array": [100 * (cell.upper - cell.share) for cell in cells],
                    "arrayminus": [100 * (cell.share - cell.lower) for cell in cells],
                },
                hovertext=hover,
                hoverinfo="text",
            )
        )  # fmt: skip
        # A bar would write over its own error bar.
        figure.add_trace(
            go.Scatter(
                x=[100 * cell.upper for cell in cells], y=heights, mode="text", textposition="middle right",
                text=["\N{NO-BREAK SPACE}" + cell.label for cell in cells],
                hoverinfo="skip", cliponaxis=False, showlegend=False, legendgroup=str(column),
            )
        )  # fmt: skip
    name_rows(figure, [term.name for term in terms], above=0.28)
    top = max((cell.upper for term in terms for cell in term.cells), default=0.0) or 1.0
    figure.update_xaxes(
        title_text="share of the variance of the log response",
        range=[0, 100 * top * 1.25],
        ticksuffix=" %",
    )
    return figure


def draw_comparison(comparison: Comparison) -> go.Figure:
    """Return a bar a strategy, its mean absolute percentage error, with the noise floor as a line."""
    rows = comparison.rows
    figure = empty_figure(height=100 + 50 * len(rows))
    figure.add_trace(
        go.Bar(
            x=[row.mape_pct for row in rows],
            y=np.arange(len(rows)) + 0.16,
            width=0.46,
            orientation="h",
            marker={"color": [BLUE if row.name == comparison.chosen else GREY for row in rows]},
            text=[format_pct(row.mape_pct) for row in rows],
            textposition="outside",
            cliponaxis=False,
            hovertext=[html.escape(f"{row.name}, {row.n_rows} rows") for row in rows],
            hoverinfo="text",
            showlegend=False,
        )
    )
    names = [f"{row.name} (used)" if row.name == comparison.chosen else row.name for row in rows]
    name_rows(figure, names, above=0.27)
    top = max((row.mape_pct for row in rows), default=1.0)
    if not isinstance(comparison.replicate, Missing):
        floor = comparison.replicate.mape_pct
        top = max(top, floor)
        # A piece across each bar, so that the line does not run through the names.
        ends = [(position - 0.13, position + 0.45, None) for position in range(len(rows))]
        figure.add_trace(
            go.Scatter(
                x=[floor, floor, None] * len(rows), y=[end for piece in ends for end in piece], mode="lines",
                line={"color": VERMILLION, "width": 2.5}, name=f"noise floor {format_pct(floor)}", hoverinfo="skip",
                showlegend=True,
            )
        )  # fmt: skip
    figure.update_xaxes(title_text="mean absolute percentage error", ticksuffix=" %", range=[0, top * 1.2 or 1.0])
    return figure


def draw_learning_curves(curves: Sequence[LearningCurve], *, noise_floor_pct: float | None = None) -> go.Figure:
    """Return error against the number of measured target rows, one line a strategy, log error."""
    figure = empty_figure(height=400)
    colours = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
    for index, curve in enumerate(curves):
        figure.add_trace(
            go.Scatter(
                x=list(curve.n_target),
                y=list(curve.mape_pct),
                mode="lines+markers",
                name=html.escape(curve.strategy),
                line={"color": colours[index % len(colours)], "dash": _DASHES[index % len(_DASHES)], "width": 2.5},
                marker={"symbol": _SYMBOLS[index % len(_SYMBOLS)], "size": 9},
                hovertext=[
                    html.escape(f"{curve.strategy}: {format_pct(error)} from {n} target rows")
                    for n, error in zip(curve.n_target, curve.mape_pct, strict=True)
                ],
                hoverinfo="text",
            )
        )
    errors = [error for curve in curves for error in curve.mape_pct if error > 0]
    if noise_floor_pct:
        errors.append(noise_floor_pct)
        ends = [0, max((n for curve in curves for n in curve.n_target), default=1)]
        figure.add_trace(
            go.Scatter(x=ends, y=[noise_floor_pct] * 2, mode="lines", line={"color": GREY, "dash": "dash"},
                       name=f"noise floor {format_pct(noise_floor_pct)}", hoverinfo="skip")
        )  # fmt: skip
    limits = (min(errors, default=1.0) / 1.3, max(errors, default=10.0) * 1.3)
    figure.update_layout(
        xaxis={"title_text": "measured target rows", "rangemode": "tozero"},
        yaxis=log_axis(limits, "%") | {"title_text": "mean absolute percentage error (log scale)"},
    )
    return figure


def draw_choice(choice: Choice, prop: Property) -> go.Figure:
    """Return the default, the predicted and the verified response with their intervals, on one scale from 0."""
    figure = empty_figure(height=230)
    rows: list[tuple[str, Estimate, str, str]] = []
    if not isinstance(choice.default_measured, Missing):
        rows.append(("default, measured", choice.default_measured, GREY, "square"))
    coverage = f" ({format_share(choice.coverage)} interval)" if choice.predicted.interval else ""
    rows.append((f"recommended, predicted{coverage}", choice.predicted, VERMILLION, "diamond"))
    if not isinstance(choice.verified, Missing):
        rows.append(("recommended, measured", choice.verified, BLUE, "circle"))
    for position, (name, estimate, colour, symbol) in enumerate(rows):
        whiskers = None
        if estimate.interval is not None:
            lower, upper = estimate.interval
            whiskers = {
                "type": "data", "symmetric": False, "array": [upper - estimate.value],
                "arrayminus": [estimate.value - lower], "color": colour, "thickness": 3, "width": 7,
            }  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=[estimate.value],
                y=[position + 0.14],
                error_x=whiskers,
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 14},
                hovertext=f"{name}: {format_estimate(estimate, prop.unit)}",
                hoverinfo="text",
                showlegend=False,
            )
        )
    names = [f"{name}: {format_quantity(estimate.value, prop.unit)}" for name, estimate, _, _ in rows]
    name_rows(figure, names, above=0.3)
    top = max(estimate.interval[1] if estimate.interval else estimate.value for _, estimate, _, _ in rows) * 1.08
    ticks = linear_ticks(top)
    figure.update_xaxes(
        title_text=html.escape(property_label(prop)),
        range=[0, top],
        tickvals=ticks,
        ticktext=[html.escape(tick_text(tick, prop.unit)) for tick in ticks],
    )
    return figure


def figure_json(figure: go.Figure) -> str:
    """Return a figure as JSON that may stand inside a script element: it contains no "<", ">" or "&"."""
    text = str(figure.to_json(engine="json"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def plotly_script() -> str:
    """Return plotly.js, the drawing script the page inlines; the wheel ships no smaller bundle than the whole."""
    return str(get_plotlyjs())


def empty_figure(*, height: int) -> go.Figure:
    """An empty figure in the common style; the page exchanges the colours of text and lines for its own."""
    figure = go.Figure()
    figure.update_layout(
        template="none",
        height=height,
        autosize=True,
        font={"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": "#1d2733"},
        margin={"l": 16, "r": 16, "t": 30, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hoverlabel={"align": "left"},
        # Dragging scrolls the page; the buttons above a figure zoom.
        dragmode=False,
        legend={"orientation": "h", "x": 0, "y": 1.0, "xanchor": "left", "yanchor": "bottom"},
    )
    axis = {"automargin": True, "gridcolor": "#e3e7ec", "linecolor": "#aab2bd", "zeroline": False, "showline": True}
    axis |= {"title_font_size": 13, "title_standoff": 8, "ticklabeloverflow": "allow"}
    figure.update_xaxes(axis)
    figure.update_yaxes(axis)
    return figure


def name_rows(figure: go.Figure, names: Sequence[str], *, above: float) -> None:
    """Write the name of each row above its bars, first row on top, in place of a vertical axis."""
    for position, name in enumerate(names):
        figure.add_annotation(
            x=0, xref="paper", xanchor="left", y=position - above, yanchor="middle", showarrow=False, xshift=2,
            text=html.escape(name),
        )  # fmt: skip
    figure.update_yaxes(range=[len(names) - 0.45, -0.55], showticklabels=False, showgrid=False)


def _add_diagonal(figure: go.Figure, limits: tuple[float, float], noise_floor_pct: float | None) -> None:
    ends = np.array(limits)
    if noise_floor_pct:
        factor = 1 + noise_floor_pct / 100
        figure.add_trace(
            go.Scatter(
                x=np.concatenate([ends, ends[::-1]]),
                y=np.concatenate([ends / factor, ends[::-1] * factor]),
                fill="toself", fillcolor=_BAND, mode="none", hoverinfo="skip",
                name=f"noise floor ({format_pct(noise_floor_pct)})",
            )
        )  # fmt: skip
    figure.add_trace(
        go.Scatter(x=ends, y=ends, mode="lines", line={"color": GREY, "width": 1.5, "dash": "dash"},
                   hoverinfo="skip", name="predicted = measured")
    )  # fmt: skip


def _error_bars(predictions: Predictions, rows: NDArray[np.int64], colour: str) -> dict[str, object] | None:
    if predictions.lower is None or predictions.upper is None:
        return None
    centre = predictions.predicted[rows]
    return {
        "type": "data",
        "symmetric": False,
        "array": np.maximum(predictions.upper[rows] - centre, 0.0),
        "arrayminus": np.maximum(centre - predictions.lower[rows], 0.0),
        "color": colour,
        "thickness": 1.2,
        "width": 0,
    }


def _describe(predictions: Predictions, row: int, prop: Property, units: Mapping[str, str]) -> str:
    """Hover text: the two responses, then the configuration, one option a line."""
    lines = [
        f"measured {format_quantity(predictions.measured[row], prop.unit)}",
        f"predicted {format_quantity(predictions.predicted[row], prop.unit)}",
    ]
    if predictions.lower is not None and predictions.upper is not None:
        ends = Estimate(predictions.predicted[row], predictions.lower[row], predictions.upper[row])
        lines[-1] += f" ({format_interval(ends, prop.unit)})"
    configuration = {str(name): level for name, level in predictions.configurations.iloc[row].items()}
    lines += format_configuration(configuration, units)
    if len(lines) > _MOST_HOVER_LINES:
        lines = [*lines[:_MOST_HOVER_LINES], f"and {len(lines) - _MOST_HOVER_LINES} more options"]
    return "<br>".join(html.escape(line) for line in lines)


def log_axis(limits: tuple[float, float], unit: str) -> dict[str, object]:
    """Return a logarithmic axis between limits, both positive, with ticks that name the unit."""
    ticks = log_ticks(*limits)
    return {
        "type": "log",
        "range": [math.log10(limits[0]), math.log10(limits[1])],
        "tickvals": ticks,
        "ticktext": [html.escape(tick_text(tick, unit)) for tick in ticks],
        "tickangle": 0,
    }
