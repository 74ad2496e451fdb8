"""The figures of explanations and comparisons: what each level does, and what became of each influence.

Style, colours and escaping are those of `perfport.report.figures`.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import numpy as np
import plotly.graph_objects as go

from perfport.advise.comparison.result import Comparison, InfluenceChange, Kind
from perfport.advise.influences.explanation import EffectCurve
from perfport.advise.rendering import level_text
from perfport.data.measurement import FloatArray, Property
from perfport.report.content import Estimate, Role
from perfport.report.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SOURCE_COLOURS,
    TARGET_COLOUR,
    VERMILLION,
    empty_figure,
    log_axis,
    name_rows,
)
from perfport.report.ticks import tick_text, ticks_between
from perfport.report.wording import format_estimate, format_pct, property_label
from perfport.units import format_quantity

__all__ = ["change_text", "curve_limits", "curve_text", "draw_changes", "draw_curve"]

# Colour and symbol say the same, for those who see one of them only.
_KINDS: Mapping[Kind, tuple[str, str]] = {
    "stays": (BLUE, "circle"),
    "scales": (ORANGE, "diamond"),
    "flips": (VERMILLION, "triangle-left"),
    "reshapes": (PURPLE, "square"),
    "vanishes": (GREY, "x"),
    "appears": (GREEN, "star"),
}
_MARGIN = 1.12
_SHORT_RANGE = 3.0


def change_text(change: InfluenceChange) -> str:
    """Return what became of an influence: "scales ×0.42 (0.35 to 0.50)".

    Example:
        >>> change_text(InfluenceChange(("threads",), "vanishes", 0.98, 0.0, None, None, 12.0, 0.1, None))
        'vanishes'
    """
    if change.kind not in ("scales", "flips") or change.factor is None:
        return change.kind
    interval = "" if change.lower is None else f" ({change.lower:.2f} to {change.upper:.2f})"
    return f"{change.kind} ×{change.factor:.2f}{interval}"


def draw_changes(comparison: Comparison, *, n_influences: int = 16) -> go.Figure:
    """Return where every influence was and where it is now, one row each.

    A ring is the influence in the source, a filled symbol in the target: on the ring it stays, away from it
    it scales, beyond zero it flips, at zero it vanishes; one whose ring is at zero appears.

    Args:
        comparison: With at least one influence.
        n_influences: Rows to show at most, the largest influences.
    """
    changes = comparison.influences[:n_influences]
    figure = empty_figure(height=130 + 46 * len(changes))
    heights: FloatArray = np.asarray(np.arange(len(changes)) + 0.1, dtype=np.float64)
    ends = [_position(change) for change in changes]
    figure.add_trace(
        go.Scatter(
            x=[x for change, end in zip(changes, ends, strict=True) for x in (change.source_pct, end, None)],
            y=[y for height in heights for y in (height, height, None)],
            mode="lines", line={"color": GREY, "width": 1.5, "dash": "dot"}, hoverinfo="skip", showlegend=False,
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=[change.source_pct for change in changes], y=heights, mode="markers", name=html.escape(comparison.source),
            marker={"color": GREY, "symbol": "circle-open", "size": 15, "line": {"width": 2}},
            hovertext=[f"{_name(change)}: {format_pct(change.source_pct)}" for change in changes], hoverinfo="text",
        )
    )  # fmt: skip
    for kind in _KINDS:
        rows = [row for row, change in enumerate(changes) if change.kind == kind]
        if rows:
            figure.add_trace(_targets(comparison, kind, rows, heights[rows]))
    name_rows(figure, [f"{change.name}: {change_text(change)}" for change in changes], above=0.28)
    figure.add_vline(x=0, line={"color": GREY, "width": 1.5})
    reach = [x for change in changes for x in (0.0, change.source_pct, *_interval(change))]
    low, high = min(reach), max(reach)
    room = 0.06 * (high - low or 1.0)
    figure.update_xaxes(
        title_text="typical move of the property" + (" (left of 0: the opposite way)" if low < 0 else ""),
        range=[low - room, high + room],
        ticksuffix=" %",
    )
    return figure


def _targets(comparison: Comparison, kind: Kind, rows: Sequence[int], heights: FloatArray) -> go.Scatter:
    colour, symbol = _KINDS[kind]
    changes = [comparison.influences[row] for row in rows]
    ends = np.array([_position(change) for change in changes])
    intervals = np.array([_interval(change) for change in changes])
    return go.Scatter(
        x=ends,
        y=heights,
        mode="markers",
        name=f"{html.escape(comparison.target)}: {kind}",
        marker={"color": colour, "symbol": symbol, "size": 10},
        error_x={
            "type": "data", "symmetric": False, "color": colour, "thickness": 2, "width": 0,
            "array": np.maximum(intervals[:, 1] - ends, 0.0), "arrayminus": np.maximum(ends - intervals[:, 0], 0.0),
        },
        hovertext=[
            f"{_name(change)} {html.escape(change_text(change))}: {format_pct(change.target_pct)}, "
            f"{change.probability:.0%} sure"
            for change in changes
        ],
        hoverinfo="text",
    )  # fmt: skip


def _position(change: InfluenceChange) -> float:
    """Where the influence is now, along its old pattern."""
    return -change.target_pct if change.kind == "flips" else change.target_pct


def _interval(change: InfluenceChange) -> tuple[float, float]:
    if change.target_interval_pct is None:
        return _position(change), _position(change)
    lower, upper = change.target_interval_pct
    return (-upper, -lower) if change.kind == "flips" else (lower, upper)


def _name(change: InfluenceChange) -> str:
    return html.escape(change.name)


def curve_limits(curves: Iterable[EffectCurve]) -> tuple[float, float]:
    """Return the lowest and the highest response of all curves, intervals included: axes that can be compared."""
    ends = [end for curve in curves for side in (curve.responses, curve.lower, curve.upper) if side for end in side]
    return min(ends), max(ends)


def curve_text(curve: EffectCurve, unit: str) -> str:
    """Return a curve in words: "1: 40.0 ms (38.0 to 42.0), 2: 22.0 ms"."""
    parts = []
    for number, (level, response) in enumerate(zip(curve.levels, curve.responses, strict=True)):
        ends = (
            (None, None) if curve.lower is None or curve.upper is None else (curve.lower[number], curve.upper[number])
        )
        shown = format_estimate(Estimate(response, *ends), unit)
        parts.append(f"{level_text(level, curve.unit)}: {shown}")
    return ", ".join(parts)


def draw_curve(
    curves: Sequence[tuple[str, Role, EffectCurve]], prop: Property, *, limits: tuple[float, float]
) -> go.Figure:
    """Return the typical response at each level of one option, with intervals where they are known.

    Args:
        curves: Environment, its role, and its curve; all of the same option, at least one.
        prop: The property and its unit.
        limits: Ends of the vertical axis, in the unit of the property.
    """
    figure = empty_figure(height=270)
    of_sources = cycle(SOURCE_COLOURS)
    for environment, role, curve in curves:
        colour = TARGET_COLOUR if role == "target" else next(of_sources)
        y = np.array(curve.responses)
        texts = [level_text(level, curve.unit) for level in curve.levels]
        figure.add_trace(
            go.Scatter(
                # As text: levels are steps, whatever their distance.
                x=[html.escape(text) for text in texts],
                y=y,
                mode="lines+markers",
                name=html.escape(f"{environment} ({role})"),
                line={"color": colour, "width": 2},
                marker={"color": colour, "symbol": "circle" if role == "target" else "square", "size": 8},
                error_y={
                    "type": "data", "symmetric": False, "color": colour, "thickness": 1.5, "width": 5,
                    "array": np.array(curve.upper or y) - y, "arrayminus": y - np.array(curve.lower or y),
                },
                hovertext=[
                    html.escape(f"{curve.option} {text}: {format_quantity(float(value), prop.unit)}")
                    for text, value in zip(texts, y, strict=True)
                ],
                hoverinfo="text",
                showlegend=len(curves) > 1,
            )
        )  # fmt: skip
    figure.update_xaxes(title_text=html.escape(curves[0][2].option), type="category", tickangle=0)
    figure.update_yaxes(_response_axis(*limits, prop) | {"title_text": html.escape(property_label(prop))})
    return figure


def _response_axis(low: float, high: float, prop: Property) -> dict[str, object]:
    """A logarithmic axis, on which factors look alike; a linear one for a short range, or one that reaches 0."""
    if low > 0 and high > _SHORT_RANGE * low:
        return log_axis((low / _MARGIN, high * _MARGIN), prop.unit)
    room = 0.08 * ((high - low) or abs(high) or 1.0)
    ticks = ticks_between(low - room, high + room)
    return {
        "range": [low - room, high + room],
        "tickvals": ticks,
        "ticktext": [html.escape(tick_text(float(tick), prop.unit)) for tick in ticks],
    }
