"""The front between two objectives, drawn."""

import html
from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from perfport.advise.recommendation.tradeoff import Offer, TradeOff
from perfport.report.figures import BLUE, GREY, VERMILLION, empty_figure, log_axis
from perfport.report.wording import format_configuration, property_label
from perfport.units import format_quantity

__all__ = ["draw_front"]

_MARGIN = 1.08  # of the axes around the front


def draw_front(found: TradeOff, *, units: Mapping[str, str]) -> go.Figure:
    """Return the offers by their first two objectives, the knee marked; both axes are logarithmic.

    Args:
        found: With two objectives at least.
        units: Of the options.
    """
    figure = empty_figure(height=420)
    axes = [offer.expected[:2] for offer in found.offers]
    x, y = (np.array([pair[side].predicted for pair in axes]) for side in (0, 1))
    is_knee = np.array([offer.is_knee for offer in found.offers])
    figure.add_trace(
        go.Scatter(x=x, y=y, mode="lines", line={"color": GREY, "dash": "dot"}, hoverinfo="skip", showlegend=False)
    )
    for name, chosen, colour, symbol, size in (
        ("on the front", ~is_knee, BLUE, "circle", 10),
        ("knee", is_knee, VERMILLION, "star", 16),
    ):
        figure.add_trace(
            go.Scatter(
                x=x[chosen],
                y=y[chosen],
                mode="markers",
                name=name,
                marker={"color": colour, "symbol": symbol, "size": size},
                hovertext=[_describe(found.offers[row], units) for row in np.flatnonzero(chosen)],
                hoverinfo="text",
            )
        )
    first, second = (expected.property for expected in axes[0])
    figure.update_layout(
        xaxis=log_axis((float(x.min() / _MARGIN), float(x.max() * _MARGIN)), first.unit)
        | {"title_text": html.escape(property_label(first))},
        yaxis=log_axis((float(y.min() / _MARGIN), float(y.max() * _MARGIN)), second.unit)
        | {"title_text": html.escape(property_label(second))},
    )
    return figure


def _describe(offer: Offer, units: Mapping[str, str]) -> str:
    lines = [
        f"{expected.property.name}: {format_quantity(expected.predicted, expected.property.unit)}"
        for expected in offer.expected
    ]
    if offer.probability is not None:
        lines.append(f"limits kept with probability {offer.probability:.2f}")
    return "<br>".join(html.escape(line) for line in [*lines, *format_configuration(offer.configuration, units)])
