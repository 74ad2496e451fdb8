"""The figures of a study's page, in the style of `perfport.report.figures`."""

import html
from itertools import cycle, product
from math import ceil

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from perfport.report.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    empty_figure,
    log_axis,
    name_rows,
)
from perfport.report.wording import format_pct
from perfport.study.ranking import CriticalDifference
from perfport.study.summary import StudySummary

__all__ = ["draw_each_strategy", "draw_ranks", "draw_study_curves", "shown_methods", "strategy_methods"]

_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
_SHAPES = (("solid", "circle"), ("dash", "square"), ("dot", "diamond"))
_MOST_LINES = 10
_MOST_PANELS = 24
_PANEL_COLUMNS = 4
_FAINT = "rgba(125, 135, 150, 0.28)"


def strategy_methods(summary: StudySummary) -> list[str]:
    """Return the best learner of each strategy, best first.

    A study may have fifty methods; of those that differ in the learner only, the best says what the
    strategy can do, and the table has them all.
    """
    first: dict[str, str] = {}
    for name in map(str, summary.errors.index):
        first.setdefault(name.partition(" @ ")[0].partition(":")[0], name)
    return list(first.values())


def shown_methods(summary: StudySummary) -> list[str]:
    """Return the methods a figure shows together: the first of `strategy_methods`, and the baseline."""
    chosen = strategy_methods(summary)[:_MOST_LINES]
    if summary.baseline is not None and summary.baseline not in chosen:
        chosen = [*chosen[: _MOST_LINES - 1], summary.baseline]
    return chosen


def draw_study_curves(summary: StudySummary) -> go.Figure:
    """Return error against budget with bootstrap limits, a line for each of `shown_methods`.

    Args:
        summary: Of a study in which something can be compared.
    """
    figure = empty_figure(height=520)
    chosen = shown_methods(summary)
    looks = cycle(product(_SHAPES, _COLOURS))
    shown = summary.curves[summary.curves["method"].isin(chosen)]
    for name, ((dash, symbol), colour) in zip(chosen, looks, strict=False):
        curve = shown[shown["method"] == name]
        estimate, lower, upper = (curve[column].to_numpy(dtype=float) for column in ("estimate", "lower", "upper"))
        budgets = curve["budget"].tolist()
        figure.add_trace(
            go.Scatter(
                x=budgets, y=estimate.tolist(), mode="lines+markers", name=html.escape(name),
                line={"color": colour, "dash": dash, "width": 2.2}, marker={"symbol": symbol, "size": 8},
                error_y={
                    "type": "data", "symmetric": False, "array": (upper - estimate).clip(0).tolist(),
                    "arrayminus": (estimate - lower).clip(0).tolist(), "color": colour, "thickness": 1.1, "width": 3,
                },
                hovertext=[
                    html.escape(f"{name}: {format_pct(at)} ({format_pct(low)} to {format_pct(high)}) from {n} rows")
                    for n, at, low, high in zip(budgets, estimate, lower, upper, strict=True)
                ],
                hoverinfo="text",
            )
        )  # fmt: skip
    limits = (float(shown["lower"].min()) / 1.2, float(shown["upper"].max()) * 1.2)
    figure.update_layout(
        xaxis={"type": "log", "title_text": "measured target rows (log scale)", "tickvals": list(summary.budgets),
               "ticktext": [str(budget) for budget in summary.budgets]},
        yaxis=log_axis(limits, "%") | {"title_text": "mean absolute percentage error (log scale)"},
        # Below the axis: ten names above the figure would push it off the screen.
        legend={"orientation": "h", "x": 0, "y": -0.16, "xanchor": "left", "yanchor": "top"},
    )  # fmt: skip
    return figure


def draw_each_strategy(summary: StudySummary) -> go.Figure:
    """Return a panel for each of `strategy_methods`: its learning curve, all others faint, the baseline dashed.

    Args:
        summary: Of a study in which something can be compared.
    """
    chosen = strategy_methods(summary)[:_MOST_PANELS]
    columns = min(_PANEL_COLUMNS, len(chosen))
    rows = ceil(len(chosen) / columns)
    figure = make_subplots(
        rows, columns, shared_xaxes=True, shared_yaxes=True, subplot_titles=[html.escape(name) for name in chosen],
        horizontal_spacing=0.02, vertical_spacing=0.22 / max(rows, 2),
    )  # fmt: skip
    curves = {str(name): curve for name, curve in summary.curves.groupby("method")}
    others = pd.concat([part for name in chosen for part in (curves[name][["budget", "estimate"]], _GAP)])
    for at, name in enumerate(chosen):
        place = {"row": at // columns + 1, "col": at % columns + 1}
        figure.add_trace(_thin(others, _FAINT, "solid"), **place)
        if summary.baseline is not None and summary.baseline != name:
            figure.add_trace(_thin(curves[summary.baseline], GREY, "dot"), **place)
        figure.add_trace(
            go.Scatter(
                x=curves[name]["budget"].tolist(), y=curves[name]["estimate"].tolist(), mode="lines+markers",
                line={"color": BLUE, "width": 2.4}, marker={"size": 6}, showlegend=False, hoverinfo="text",
                hovertext=[
                    html.escape(f"{name}: {format_pct(error)} from {budget} rows")
                    for budget, error in zip(curves[name]["budget"], curves[name]["estimate"], strict=True)
                ],
            ),
            **place,
        )  # fmt: skip
    shown = summary.curves[summary.curves["method"].isin([*chosen, summary.baseline])]
    style = empty_figure(height=60 + 170 * rows).layout
    figure.update_layout(style.to_plotly_json() | {"xaxis": {}, "yaxis": {}})
    axis = {name: getattr(style.xaxis, name) for name in ("gridcolor", "linecolor", "zeroline", "showline")}
    figure.update_xaxes(axis | {"type": "log", "tickvals": list(summary.budgets), "tickangle": 0})
    figure.update_xaxes(ticktext=[str(budget) for budget in summary.budgets])
    for at in range(max(0, len(chosen) - columns), len(chosen)):  # the lowest panel of each column
        figure.update_xaxes(showticklabels=True, row=at // columns + 1, col=at % columns + 1)
    limits = (float(shown["estimate"].min()) / 1.2, float(shown["estimate"].max()) * 1.2)
    figure.update_yaxes(axis | log_axis(limits, "%"))
    figure.update_annotations(font_size=12)
    return figure


_GAP = pd.DataFrame({"budget": [None], "estimate": [None]}, dtype=object)


def _thin(curve: pd.DataFrame, colour: str, dash: str) -> go.Scatter:
    return go.Scatter(
        x=curve["budget"].tolist(), y=curve["estimate"].tolist(), mode="lines", hoverinfo="skip", showlegend=False,
        line={"color": colour, "width": 1.2, "dash": dash},
    )  # fmt: skip


def draw_ranks(critical: CriticalDifference) -> go.Figure:
    """Return the critical-difference picture: mean ranks with bars half a critical difference long on either side.

    Two methods whose bars do not overlap differ significantly (Nemenyi); those whose mean rank is in the
    shaded band do not differ from the best. With many methods this is easier to read than Demsar's bars
    that join groups, and says the same.

    Args:
        critical: From `perfport.study.ranking.critical_difference`.
    """
    names = [str(name) for name in critical.average_ranks.index]
    ranks = critical.average_ranks.to_list()
    half = critical.critical_difference / 2
    figure = empty_figure(height=90 + 34 * len(names))
    figure.add_trace(
        go.Scatter(
            x=ranks, y=[position + 0.16 for position in range(len(names))], mode="markers",
            marker={"color": [BLUE, *[GREY] * (len(names) - 1)], "size": 11},
            error_x={"type": "data", "array": [half] * len(names), "color": GREY, "thickness": 2, "width": 5},
            hovertext=[html.escape(f"{name}: mean rank {rank:.2f}") for name, rank in zip(names, ranks, strict=True)],
            hoverinfo="text", showlegend=False,
        )
    )  # fmt: skip
    name_rows(figure, names, above=0.22)
    figure.add_vrect(
        x0=min(ranks), x1=min(ranks) + critical.critical_difference, fillcolor=BLUE, opacity=0.08, line_width=0,
        layer="below",
    )  # fmt: skip
    step = max(1, round(len(names) / 10))
    figure.update_xaxes(
        title_text="mean rank over the tasks (1 is best)",
        # Bars may reach below 1, where there are no ranks to name.
        tickvals=[1, *range(1 + step, len(names) + 1, step)],
        range=[min(ranks) - half - 0.2, max(ranks) + half + 0.2],
    )
    return figure
