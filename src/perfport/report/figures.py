"""The figures of a report, as plotly objects: returned, never shown.

Colours are those of Okabe and Ito ("Color universal design", 2008), which people with any colour
vision can tell apart, and every colour is doubled by a symbol, a label or a dash. Text given by
users is escaped, since plotly reads a subset of HTML in every text. Row names stand above their
bars, not beside them, so that a figure is as readable on a telephone as on a wall.
"""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

from perfport.data.measurement import FloatArray, Property
from perfport.report.content import (
    Choice,
    Comparison,
    Effect,
    EnvironmentInfluences,
    Estimate,
    LearningCurve,
    Missing,
    Predictions,
)
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
    "EFFECT_ARROWS",
    "RankedTerm",
    "draw_choice",
    "draw_comparison",
    "draw_influences",
    "draw_learning_curves",
    "draw_predictions",
    "figure_json",
    "plotly_script",
    "rank_terms",
    "shown_rows",
]

BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
GREY = "#8a93a0"
_BAND = "rgba(128, 136, 148, 0.20)"
_TARGET_COLOUR, _SOURCE_COLOURS = BLUE, (VERMILLION, ORANGE, PURPLE, GREEN, SKY)
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
EFFECT_ARROWS: Mapping[Effect, str] = {"increases": "↑", "decreases": "↓", "mixed": "↕"}

# Beyond this a scatter plot in SVG gets slow and shows no more.
_MOST_POINTS = 2000
_MOST_HOVER_LINES = 16


@dataclass(frozen=True, slots=True)
class RankedTerm:
    """One influence in every environment; a share is None where the environment does not list it."""

    options: tuple[str, ...]
    shares: tuple[float | None, ...]
    effects: tuple[Effect, ...]
    details: tuple[str, ...]

    @property
    def name(self) -> str:
        """The option, or the pair of options."""
        return " × ".join(self.options)


def rank_terms(environments: Sequence[EnvironmentInfluences]) -> list[RankedTerm]:
    """Return the influences of all environments matched by their options, the largest anywhere first."""
    tables = [{tuple(sorted(term.options)): term for term in given.influences} for given in environments]
    keys = {key: term.options for table in reversed(tables) for key, term in table.items()}
    terms = []
    for key, options in keys.items():
        found = [table.get(key) for table in tables]
        terms.append(
            RankedTerm(
                options,
                tuple(term.share if term else None for term in found),
                tuple(term.effect if term else "mixed" for term in found),
                tuple(term.detail if term else "" for term in found),
            )
        )
    return sorted(terms, key=lambda term: (-max(share or 0.0 for share in term.shares), term.options))


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
    figure = _figure(height=500)
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
        figure.update_layout({axis: _log_axis(limits, prop.unit) | {"title_text": f"{title} (log scale)"}})
    return figure


def draw_influences(environments: Sequence[EnvironmentInfluences], *, n_terms: int = 12) -> go.Figure:
    """Return bars of the largest influences, the environments of one term beneath each other.

    Args:
        environments: Sources and target, each with a colour of its own; that of the target is always the same.
        n_terms: Terms to show at most.
    """
    terms = rank_terms(environments)[:n_terms]
    n_bars = len(environments)
    figure = _figure(height=110 + len(terms) * (26 + 24 * n_bars))
    positions = np.arange(len(terms))
    width = 0.62 / n_bars
    of_sources = cycle(_SOURCE_COLOURS)
    colours = [_TARGET_COLOUR if given.role == "target" else next(of_sources) for given in environments]
    for column, given in enumerate(environments):
        shares = [term.shares[column] for term in terms]
        figure.add_trace(
            go.Bar(
                x=[100 * (share or 0.0) for share in shares],
                y=positions - 0.12 + (column + 0.5) * width,
                width=width * 0.9,
                orientation="h",
                name=f"{html.escape(given.environment)} ({given.role})",
                marker={"color": colours[column]},
                text=[
                    "not listed" if share is None else f"{format_share(share)} {EFFECT_ARROWS[term.effects[column]]}"
                    for share, term in zip(shares, terms, strict=True)
                ],
                textposition="outside",
                cliponaxis=False,
                hovertext=[html.escape(f"{term.name}: {term.details[column]}".rstrip(": ")) for term in terms],
                hoverinfo="text",
            )
        )
    _name_rows(figure, [term.name for term in terms], above=0.28)
    top = max((share or 0.0 for term in terms for share in term.shares), default=0.0) or 1.0
    figure.update_xaxes(
        title_text="share of the variance of the log response",
        range=[0, 100 * min(top * 1.25, 1.15)],
        ticksuffix=" %",
    )
    return figure


def draw_comparison(comparison: Comparison) -> go.Figure:
    """Return a bar a strategy, its mean absolute percentage error, with the noise floor as a line."""
    rows = comparison.rows
    figure = _figure(height=100 + 50 * len(rows))
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
    _name_rows(figure, names, above=0.27)
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
    figure = _figure(height=400)
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
        yaxis=_log_axis(limits, "%") | {"title_text": "mean absolute percentage error (log scale)"},
    )
    return figure


def draw_choice(choice: Choice, prop: Property) -> go.Figure:
    """Return the default, the predicted and the verified response with their intervals, on one scale from 0."""
    figure = _figure(height=230)
    rows: list[tuple[str, Estimate, str, str]] = []
    if not isinstance(choice.default_measured, Missing):
        rows.append(("default, measured", choice.default_measured, GREY, "square"))
    rows.append(
        (f"recommended, predicted ({format_share(choice.coverage)} interval)", choice.predicted, VERMILLION, "diamond")
    )
    if not isinstance(choice.verified, Missing):
        rows.append(("recommended, measured", choice.verified, BLUE, "circle"))
    for position, (name, estimate, colour, symbol) in enumerate(rows):
        lower, upper = estimate.interval or (estimate.value, estimate.value)
        figure.add_trace(
            go.Scatter(
                x=[estimate.value],
                y=[position + 0.14],
                error_x={
                    "type": "data", "symmetric": False, "array": [upper - estimate.value],
                    "arrayminus": [estimate.value - lower], "color": colour, "thickness": 3, "width": 7,
                },
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 14},
                hovertext=f"{name}: {format_estimate(estimate, prop.unit)}",
                hoverinfo="text",
                showlegend=False,
            )
        )  # fmt: skip
    names = [f"{name}: {format_quantity(estimate.value, prop.unit)}" for name, estimate, _, _ in rows]
    _name_rows(figure, names, above=0.3)
    top = max(estimate.interval[1] if estimate.interval else estimate.value for _, estimate, _, _ in rows) * 1.08
    ticks = _linear_ticks(top)
    figure.update_xaxes(
        title_text=html.escape(property_label(prop)),
        range=[0, top],
        tickvals=ticks,
        ticktext=[_tick_text(tick, prop.unit) for tick in ticks],
    )
    return figure


def figure_json(figure: go.Figure) -> str:
    """Return a figure as JSON that may stand inside a script element: it contains no "<", ">" or "&"."""
    text = str(figure.to_json(engine="json"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def plotly_script() -> str:
    """Return plotly.js, the drawing script the page inlines; the wheel ships no smaller bundle than the whole."""
    return str(get_plotlyjs())


def _figure(*, height: int) -> go.Figure:
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


def _name_rows(figure: go.Figure, names: Sequence[str], *, above: float) -> None:
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


def _log_axis(limits: tuple[float, float], unit: str) -> dict[str, object]:
    ticks = _log_ticks(*limits)
    return {
        "type": "log",
        "range": [math.log10(limits[0]), math.log10(limits[1])],
        "tickvals": ticks,
        "ticktext": [_tick_text(tick, unit) for tick in ticks],
        "tickangle": 0,
    }


def _tick_text(value: float, unit: str) -> str:
    """A round number with its unit and without the zeros that would promise precision: "1.5 ms", "20 ms"."""
    if value == 0:
        return "0"
    number, _, unit_shown = format_quantity(float(value), unit).partition(" ")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return html.escape(f"{number} {unit_shown}".strip())


def _log_ticks(lower: float, upper: float) -> list[float]:
    """1-2-5 steps of each decade, or the decades alone where those would be more than seven."""
    decades = range(math.floor(math.log10(lower)), math.ceil(math.log10(upper)) + 1)
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,)):
        ticks = [step * 10.0**decade for decade in decades for step in steps if lower <= step * 10.0**decade <= upper]
        if len(ticks) <= 7:
            return ticks
    return ticks[:: math.ceil(len(ticks) / 7)]


def _linear_ticks(top: float) -> FloatArray:
    """About five round steps from 0."""
    raw = top / 5
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = magnitude * next(factor for factor in (1, 2, 5, 10) if factor * magnitude >= raw)
    return np.arange(0.0, top, step)
