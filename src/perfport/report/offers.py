"""Recommendations for the terminal: ranked, traded off, settled, searched for; tables that fit 80 columns."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from perfport.advise.recommendation.goals import Limit
from perfport.advise.recommendation.recommend import Recommendation
from perfport.advise.recommendation.search import SearchOutcome
from perfport.advise.recommendation.settling import Settled
from perfport.advise.recommendation.tradeoff import Offer, TradeOff
from perfport.advise.rendering import level_text
from perfport.report.content import Missing, VerifiedOffer
from perfport.report.terminal import plain, show_rows, simple_table
from perfport.report.wording import format_factor, format_share
from perfport.space.options import Level
from perfport.space.space import Space
from perfport.units import format_quantity

__all__ = ["show_recommendations", "show_search", "show_settled", "show_trade_off", "show_verified_offer"]

SHOWN_OFFERS = 20


def show_recommendations(best: Sequence[Recommendation], space: Space, *, target: str = "") -> RenderableType:
    """Return recommended configurations with predictions and intervals.

    Args:
        best: Best first.
        space: Their options.
        target: Name of the environment they are for; not said if empty.
    """
    numbers = {
        "median": [one.predicted for one in best],
        "lower": [one.lower for one in best],
        "upper": [one.upper for one in best],
    }
    found = {heading: np.array(column, dtype=float) for heading, column in numbers.items()}
    where = f" of {target}" if target else ""
    title = f"{best[0].property.name}{where}, best first: predicted medians with 90 % intervals"
    rows = show_rows(space.frame([one.configuration for one in best]), found, best[0].property)
    return Group(Text(title), rows)


def show_trade_off(found: TradeOff, *, n: int = SHOWN_OFFERS) -> RenderableType:
    """Return what is on offer: every property of the goal, the probability to keep the limits, the settings.

    Args:
        found: What `trade_off` returned.
        n: How many offers are listed, at least 1; of a front some from end to end, its knee among them.
    """
    lines: list[RenderableType] = [Text(f"goal: {found.goal}")]
    if not found.is_kept:
        said = f"No configuration keeps the limits with probability {found.confidence:g}; these come nearest."
        lines.append(Text(said, style="yellow"))
    offers = _shown(found, n)
    table = simple_table("")
    table.add_column("")
    for expected in offers[0].expected:
        table.add_column(plain(expected.property.name), justify="right", overflow="fold")
    has_limits = offers[0].probability is not None
    if has_limits:
        table.add_column("kept", justify="right")
    table.add_column("Configuration", overflow="fold", ratio=1)
    varying, shared = _split([offer.configuration for offer in offers])
    for offer in offers:
        cells = [format_quantity(expected.predicted, expected.property.unit) for expected in offer.expected]
        kept = [f"{offer.probability:.2f}"] if offer.probability is not None else []
        style = "bold" if offer.is_knee else None
        table.add_row(
            "*" if offer.is_knee else "", *map(plain, cells), *kept, plain(_levels(offer.configuration, varying)),
            style=style,
        )  # fmt: skip
    lines.append(table)
    if shared:
        lines.append(Text(f"in all rows: {shared}", style="dim"))
    lines += [Text(note, style="dim") for note in _notes(found, len(offers))]
    return Group(*lines)


def show_verified_offer(found: VerifiedOffer) -> RenderableType:
    """Return what measuring the knee and the default gave, property by property."""
    table = simple_table("Measured")
    for heading in ("Property", "predicted", "measured", "default", "gain"):
        table.add_column(heading, justify="left" if heading == "Property" else "right", overflow="fold")
    for expected in found.offer.expected:
        name, unit = expected.property.name, expected.property.unit
        gain = found.gains.get(name)
        parts = [found.measured[name], found.default[name]]
        measured = [part.reason if isinstance(part, Missing) else format_quantity(part.value, unit) for part in parts]
        table.add_row(
            plain(name),
            plain(format_quantity(expected.predicted, unit)),
            *map(plain, measured),
            "" if gain is None else format_factor(gain.value),
        )
    if found.keeps_limits is None:
        return table
    said = "The limits are kept." if found.keeps_limits else "The limits are not kept by what was measured."
    return Group(table, Text(said, style="green" if found.keeps_limits else "red"))


def show_settled(found: Settled) -> RenderableType:
    """Return the candidates with their readings, best first, and whether the best is settled."""
    unit = found.property.unit
    units = {limit.property: limit.unit for limit in found.limits}
    varying, shared = _split([standing.configuration for standing in found.standings])
    table = simple_table("")
    limited = list(found.best.limited)
    kept = ["kept"] if found.limits else []
    # Beside limits there is no room for what was predicted.
    predicted = [] if found.limits else ["predicted"]
    for heading in (*predicted, "measured", "90 % interval", *limited, *kept, "n", "best"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("Configuration", overflow="fold", ratio=1)
    for standing in found.standings:
        readings = standing.readings
        measured = format_quantity(float(np.median(readings)), unit) if readings else "–"
        limits = (format_quantity(limit, unit) for limit in (standing.lower, standing.upper))
        expected = plain("–" if standing.predicted is None else format_quantity(standing.predicted, unit))
        table.add_row(
            *([expected] if predicted else []),
            plain("failed" if standing.failed else measured),
            plain(" to ".join(limits)),
            *(plain(format_quantity(standing.limited[name], units[name])) for name in limited),
            *([] if standing.probability_kept is None else [format_share(standing.probability_kept)]),
            str(len(readings)),
            format_share(standing.probability_best),
            plain(_levels(standing.configuration, varying)),
        )
    lines: list[RenderableType] = [*map(_limit, found.limits), table]
    if shared:
        lines.append(Text(f"in all rows: {shared}", style="dim"))
    return Group(*lines, Text(_ending(found), style="bold green" if found.stopped == "settled" else "yellow"))


def _limit(limit: Limit) -> Text:
    return Text(f"limit: {limit.property} {limit.comparator} {format_quantity(limit.value, limit.unit)}")


def _ending(found: Settled) -> str:
    text = f"{found.stopped} after {found.n_measured} measurements"
    if found.stopped == "limits not kept":
        return f"{text}: probably none of these keeps them; the first comes nearest"
    return f"{text}; a better one of these is expected to gain {found.expected_regret_pct:.2g} %"


def show_search(found: SearchOutcome) -> RenderableType:
    """Return every reading of a search in order, and the best of them."""
    unit = found.property.unit
    if not found.readings:
        return Text(f"nothing was measured: {found.stopped}", style="yellow")
    varying, shared = _split([reading.configuration for reading in found.readings])
    table = simple_table("")
    for heading in ("", "measured", "expected gain"):
        table.add_column(heading, justify="right")
    table.add_column("Configuration", overflow="fold", ratio=1)
    for number, reading in enumerate(found.readings, start=1):
        is_best = reading.response is not None and reading.configuration == found.best
        gain = "–" if reading.expected_gain_pct is None else f"{reading.expected_gain_pct:.2g} %"
        response = "failed" if reading.response is None else format_quantity(reading.response, unit)
        table.add_row(
            str(number), plain(response), gain, plain(_levels(reading.configuration, varying)),
            style="bold" if is_best else None,
        )  # fmt: skip
    lines: list[RenderableType] = [table]
    if shared:
        lines.append(Text(f"in all rows: {shared}", style="dim"))
    return Group(*lines, Text(str(found), style="bold"))


def _shown(found: TradeOff, n: int) -> list[Offer]:
    if len(found.goal.objectives) == 1 or len(found.offers) <= n:
        return list(found.offers[:n])
    rows = np.linspace(0, len(found.offers) - 1, n).round().astype(int)
    knee = found.offers.index(found.knee)
    if knee not in rows:
        inner = rows[1:-1] if n > 2 else rows  # the ends say how far the front goes
        inner[np.argmin(np.abs(inner - knee))] = knee
    return [found.offers[row] for row in rows]


def _notes(found: TradeOff, n_shown: int) -> Iterable[str]:
    if len(found.offers) > n_shown:
        yield f"{n_shown} of {len(found.offers)} offers; --json gives them all"
    if len(found.goal.objectives) > 1:
        covered = (
            "" if found.hypervolume_share is None else f"; the front covers {found.hypervolume_share:.2f} of its box"
        )
        yield f"* is the knee{covered}"


def _split(configurations: Sequence[Mapping[str, Level | None]]) -> tuple[list[str], str]:
    """Return the options that differ between the configurations, and the others with their levels as text."""
    first = configurations[0]
    varying = [name for name in first if any(other[name] != first[name] for other in configurations)]
    # A single configuration is shown whole.
    varying = varying if len(configurations) > 1 else list(first)
    return varying, " ".join(f"{name}={level_text(first[name])}" for name in first if name not in varying)


def _levels(configuration: Mapping[str, Level | None], names: Sequence[str]) -> str:
    return " ".join(f"{name}={level_text(configuration[name])}" for name in names)
