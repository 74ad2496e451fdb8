"""The figures of a study's page, in the style of `perfport.report.figures`."""

import html
from itertools import cycle, product

import plotly.graph_objects as go

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

__all__ = ["draw_ranks", "draw_study_curves", "shown_methods"]

_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
_SHAPES = (("solid", "circle"), ("dash", "square"), ("dot", "diamond"))
_MOST_LINES = 10


def shown_methods(summary: StudySummary) -> list[str]:
    """Return the methods a figure shows: the best learner of each strategy, best first, and the baseline.

    A study may have fifty methods; of those that differ in the learner only, the best says what the
    strategy can do, and the table has them all.
    """
    first: dict[str, str] = {}
    for name in map(str, summary.errors.index):
        first.setdefault(name.partition(" @ ")[0].partition(":")[0], name)
    chosen = list(first.values())[:_MOST_LINES]
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


def draw_ranks(critical: CriticalDifference) -> go.Figure:
    """Return the mean rank of every method, with bars half a critical difference long on either side.

    Two methods whose bars do not overlap differ significantly (Nemenyi).

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
    figure.update_xaxes(
        title_text="mean rank over the tasks (1 is best)",
        range=[max(0.0, min(ranks) - half) - 0.2, max(ranks) + half + 0.2],
    )
    return figure
